"""Sweeps: the planner starts, resends, finishes; the worker goes page by page and hands over; forwards start requests."""

from datetime import timedelta

import pytest
from promises import assert_whole
from world import LINES, START, World

from shared import messages
from shared.errors import PermanentError, TransientError
from shared.plan import Queue, Start, Wait
from shared.requests.documents import State


def ids(world: World) -> list[str]:
    return [each.message_id for each in world.queues["sweeps"].messages]


@pytest.fixture
def world() -> World:
    world = World()
    world.home("birkeveien", "anna", rows=1, old_rows=5, pictures=0)
    world.user("anna")
    return world


async def tick(world: World, *only: str, forced: bool = False):
    return await world.planner.tick(only=only or ("operation-log",), forced=forced)


async def current(world: World, category: str = "operation-log"):
    return (await world.runs.current(category)).value


async def completed(world: World) -> list[dict]:
    return [each["data"] for each in await assert_whole(world) if each["type"] == "retention.run.completed"]


# ---------------------------------------------------------------- the planner


async def test_a_run_has_a_document_its_slices_and_one_message_for_each(world: World):
    assert await tick(world) == {"operation-log": Start()}
    run = await current(world)
    document = await world.runs.document("operation-log", run.run)
    assert len(document.slices) == run.slices == 2
    assert document.policy == world.policy.digest
    assert ids(world) == [f"{run.run}-0-1-0", f"{run.run}-1-1-0"]


async def test_a_run_ends_when_its_slices_are_done_and_says_so_once(world: World):
    await tick(world)
    await world.deliver("sweeps")
    await tick(world)
    run = await current(world)
    assert run.finished == START
    assert run.outbox == ()
    assert world.keys("operation-log") == ["birkeveien-anna-0"]
    await world.rest()
    [data] = await completed(world)
    assert (data["run"], data["expired"], data["outcomes"]) == (run.run, 5, {"erased": 5})


async def test_a_category_where_nothing_is_due_has_a_run_and_no_event(world: World):
    assert await tick(world, "backups") == {"backups": Start()}
    assert (await current(world, "backups")).finished == START
    assert not world.own["journals"].writes
    assert not ids(world)


async def test_what_is_strange_is_told_although_nothing_expired(world: World):
    world.put("camera-snapshots", "thumbs.db")
    await tick(world, "camera-snapshots")
    assert [line for line in LINES.texts if "outside the layout" in line]
    await world.rest()
    assert (await completed(world))[0]["strange"] == {"outside the layout": 1}


async def test_the_next_run_starts_after_the_cadence_and_a_missed_one_is_caught_up_by_one(world: World):
    await tick(world, "backups")
    first = await current(world, "backups")
    world.later(minutes=59)
    assert await tick(world, "backups") == {"backups": Wait()}
    world.put("backups", "2026-01-01T000000Z/set.tar", age=timedelta(days=59))
    world.later(days=3)
    await tick(world, "backups")
    second = await current(world, "backups")
    assert second.run != first.run
    assert second.slices == 1
    await world.deliver("sweeps")
    await tick(world, "backups")
    assert await tick(world, "backups") == {"backups": Wait()}
    assert world.keys("backups") == []


async def test_unfinished_slices_are_sent_again_after_a_time_as_another_attempt(world: World):
    await tick(world)
    run = (await current(world)).run
    [_, other] = world.queues["sweeps"].messages
    world.queues["sweeps"].messages = [other]
    await world.deliver("sweeps")  # slice 0's message is lost
    world.later(minutes=9)
    await tick(world)
    assert ids(world) == []
    world.later(minutes=1)
    assert await tick(world) == {"operation-log": Queue(slices=(0,), attempt=2)}
    assert ids(world) == [f"{run}-0-2-0"]
    await world.rest()
    await assert_whole(world)
    assert world.keys("operation-log") == ["birkeveien-anna-0"]


async def test_a_forced_run_does_not_wait_for_the_cadence_and_overtakes_no_other(world: World):
    await tick(world, "users")
    first = await current(world, "users")
    world.later(minutes=1)
    await tick(world, "users", forced=True)
    assert (await current(world, "users")).run != first.run
    await tick(world)
    unfinished = await current(world)
    assert await tick(world, forced=True) == {"operation-log": Wait()}
    assert (await current(world)).run == unfinished.run


async def test_a_category_that_is_not_enforced_is_refused(world: World):
    planned = next(each.id for each in world.policy.categories if each.status == "planned")
    with pytest.raises(PermanentError, match="no such category is enforced"):
        await tick(world, planned)


async def test_a_category_that_only_follows_another_is_not_swept(world: World):
    assert await tick(world, "devices") == {}


async def test_a_category_that_fails_does_not_stop_the_others(world: World):
    world.planner.stores["blob/data"] = _Away()
    with pytest.raises(TransientError):
        await world.planner.tick()
    assert (await current(world)).slices == 2
    assert await world.runs.current("camera-snapshots") is None
    assert "the planning of camera-snapshots failed: TransientError: no answer" in LINES.texts


class _Away:
    async def now(self, category):
        raise TransientError("no answer")


async def test_a_dry_run_counts_and_writes_nothing(world: World):
    world.put("operation-log", {"id": "x", "homeId": "birkeveien", "at": "yesterday"})
    found = await world.planner.survey(world.policy.category("operation-log"), most=100)
    assert (found.due, found.strange) == (5, {"starting point is no time": 1})
    assert (await world.planner.survey(world.policy.category("operation-log"), most=2)).due == 2
    assert not any(store.writes for store in world.own.values())
    assert len(world.keys("operation-log")) == 7


# ---------------------------------------------------------------- the worker


async def test_a_worker_without_time_hands_over_and_the_next_goes_on_there(world: World):
    await tick(world)
    run = (await current(world)).run
    world.hurry = lambda: True
    asked: list[list[str]] = []
    while world.queues["sweeps"].messages:
        before = len(world.records.asked)
        await world.deliver("sweeps")
        asked.append([each.locator.key for each in world.records.asked[before:]])
    assert len(asked) > 1
    assert sorted(key for keys in asked for key in keys) == [f"birkeveien-anna-{n}" for n in range(1, 6)], (
        "each record once"
    )
    assert {f"{run}-0-1-1", f"{run}-1-1-1"} & set(world.queues["sweeps"]._seen), "as a message of the next hop"
    await world.rest()
    assert [each["expired"] for each in await completed(world)] == [5]


async def test_a_slice_delivered_again_after_its_end_does_nothing(world: World):
    await tick(world)
    [message, other] = world.queues["sweeps"].messages
    await world.handle("sweeps", message)
    asked = len(world.records.asked)
    await world.handle("sweeps", message)
    assert len(world.records.asked) == asked
    await world.handle("sweeps", other)
    world.queues["sweeps"].messages.clear()
    await world.rest()
    assert [each["expired"] for each in await completed(world)] == [5]


@pytest.mark.parametrize(("run", "number"), [("not-a-run", 0), ("", 2)])
async def test_a_message_for_a_slice_that_no_run_has_is_refused(world: World, run, number):
    await tick(world)
    run = run or (await current(world)).run
    body = messages.slice_order(category="operation-log", run=run, number=number, attempt=1, hop=0)
    with pytest.raises(PermanentError, match="a slice that no run has"):
        await world.sweeps.sweep(messages.parse(body, now=world.now), hurry=world.hurry)


@pytest.mark.parametrize("where", ["listing", "gate"])
async def test_a_slice_that_can_never_be_swept_ends_and_is_alarmed_and_parks_nothing(world: World, where):
    def never(*_, **__):
        raise PermanentError("cannot be searched there")

    await tick(world)
    run = await current(world)
    holder, name = (world.records, "expired") if where == "listing" else (world.gate.journals.objects._inner, "create")
    setattr(holder, name, never)
    await world.deliver("sweeps")
    delattr(holder, name)
    assert len([line for line in LINES.texts if line.startswith("ALARM slice") and run.run in line]) == 2
    assert not world.queues["sweeps"].messages
    assert not [each async for each in world.own["parking"].list()]
    await tick(world)
    assert (await current(world)).finished == START, "so that the next run has its turn"
    world.later(hours=23)
    await world.rest()
    events = [each for each in await completed(world) if each["run"] == run.run]
    assert [each["strange"] for each in events] == [{"cannot be swept": 2}]
    assert [each["uncounted"] for each in events] == [0 if where == "listing" else 2]


async def test_what_was_renewed_since_it_was_listed_stays(world: World):
    await tick(world)

    def renew(records) -> None:
        world.records.before_delete = None
        world.put("operation-log", {"id": records[0].locator.key, "homeId": "birkeveien", "at": "2026-02-28T00:00:00Z"})

    world.records.before_delete = renew
    await world.rest()
    assert len(world.keys("operation-log")) == 2
    assert (await completed(world))[0]["outcomes"] == {"erased": 4, "renewed": 1}


# ---------------------------------------------------------------- sweeps that start requests


async def test_a_person_whose_contract_ended_is_erased_by_a_request_of_the_policy(world: World):
    world.user("anna", contractEndedAt="2026-02-20T00:00:00Z")
    await world.rest()
    await assert_whole(world)
    assert world.everything() == {}
    [document] = await world.documents()
    assert document.requested_by == "the retention policy"
    assert document.identity_verified_by == "rule users-contract-ended"
    assert document.received_at == START.replace(hour=0)


async def test_a_person_is_asked_to_go_once_a_day_by_an_id_that_only_the_keys_holder_can_make(world: World):
    world.user("anna", contractEndedAt="2026-02-20T00:00:00Z")
    bodies = []
    for hours in (0, 1, 23):
        world.later(hours=hours)
        await tick(world, "users", forced=True)
        await world.deliver("sweeps")
        await tick(world, "users")
        bodies += [each.body for each in world.queues["requests"].messages]
        world.queues["requests"].messages.clear()
    requests = [messages.parse(each, now=world.now).id for each in bodies]
    assert bodies[0] == bodies[1], "the same request in the same words"
    assert len(set(requests)) == 2
    other = World()
    other.user("anna", contractEndedAt="2026-02-20T00:00:00Z")
    await tick(other, "users")
    await other.deliver("sweeps")
    assert messages.parse(other.queues["requests"].messages[0].body, now=other.now).id not in requests


async def test_a_record_that_belongs_to_nobody_is_strange_and_left_and_the_others_go(world: World):
    world.user("anna", contractEndedAt="2026-02-20T00:00:00Z")
    world.put("users", {"id": "odd", "userId": "", "contractEndedAt": "2026-02-20T00:00:00Z"})
    found = await world.planner.survey(world.policy.category("users"), most=100)
    assert (found.due, found.strange) == (1, {"belongs to nobody": 1})
    await world.rest()
    [data] = [each for each in await completed(world) if each["category"] == "users"]
    assert (data["expired"], data["forwarded"], data["strange"]) == (1, 1, {"belongs to nobody": 1})
    assert world.keys("users") == ["odd"]
    assert not [each async for each in world.own["parking"].list()]


async def test_an_empty_home_is_erased_by_a_request_of_the_policy(world: World):
    world.home("tomtveien")
    await world.rest()
    await assert_whole(world)
    assert world.keys("homes") == ["birkeveien"]
    assert world.keys("devices") == ["birkeveien-hub"]
    assert [each.state for each in await world.documents()] == [State.DONE]


async def test_a_run_that_only_forwards_counts_that(world: World):
    world.home("tomtveien")
    await world.rest()
    data = [each for each in await completed(world) if each["category"] == "homes"]
    assert [(each["expired"], each["forwarded"], each["outcomes"]) for each in data] == [(1, 1, {})]
