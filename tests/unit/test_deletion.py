"""The gate: one outcome per record, by what the store answered, and nothing concluded from silence."""

import asyncio
import json
from datetime import timedelta

import pytest
from promises import assert_whole
from world import World, found, home_of, outcomes, person

from shared import deletion
from shared.deletion import ATTEMPTS, FIRST_WAIT, LONGEST_WAIT, UndecidedError, count
from shared.errors import ConfigError, TransientError
from shared.model import (
    AlreadyGone,
    Blocked,
    Erased,
    Held,
    Left,
    Outcome,
    Record,
    Renewed,
    RequestCause,
    SweepCause,
)
from shared.stores.memory import Fault

CAUSE = RequestCause(request="7b0ecf63-3a62-4c7d-9d65-6f9e8f0f1c11", scope=person("anna"))
SWEEP = SweepCause(run="operation-log-1", slice=0)


@pytest.fixture
async def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def one(world: World) -> Record:
    return (await found(world, "operation-log", home_of("birkeveien")))[0]


async def delete(world: World, record: Record, cause=CAUSE) -> Outcome:
    [outcome] = await world.gate.delete([record], cause)
    return outcome


async def open_journals(world: World) -> list[str]:
    return [name async for name, state, _ in world.gate.journals.entries() if state == "open"]


# ---------------------------------------------------------------- outcomes by cause


async def test_a_record_that_the_store_deleted_is_erased(world: World):
    assert await delete(world, await one(world)) == Erased()
    assert world.keys("operation-log") == ["skogveien-bob-0", "skogveien-cleo-0"]


async def test_a_record_that_is_not_there_is_already_gone(world: World):
    record = await one(world)
    world.remove("operation-log", record.locator.key, "birkeveien")
    assert await delete(world, record) == AlreadyGone()


async def test_a_record_that_changed_since_it_was_listed_is_renewed_and_stays(world: World):
    record = await one(world)
    world.put("operation-log", {"id": record.locator.key, "homeId": "birkeveien", "at": "2026-02-28T00:00:00Z"})
    assert await delete(world, record) == Renewed()
    assert record.locator.key in world.keys("operation-log")


@pytest.mark.parametrize("reason", ["lease", "immutability", "legal-hold"])
async def test_a_record_that_the_store_refuses_to_delete_is_blocked(world: World, reason):
    record = await one(world)
    world.records.block(world.policy.category("operation-log"), record.locator.key, reason, partition="birkeveien")
    assert await delete(world, record) == Blocked(reason=reason)


async def test_who_leaves_a_home_is_taken_out_and_the_home_stays(world: World):
    [record] = await found(world, "homes", person("bob"))
    cause = RequestCause(request=CAUSE.request, scope=person("bob"))
    assert await delete(world, record, cause) == Left()
    item = world.records.item(world.policy.category("homes"), "skogveien", partition="skogveien")
    assert item["members"] == ["cleo"]
    assert await delete(world, record, cause) == AlreadyGone()
    await world.rest()
    events = [each["data"] for each in await assert_whole(world)]
    assert [each["action"] for each in events] == ["leave"] * 2, "gone from the home: the home itself is there"


async def test_outcomes_are_in_the_order_of_the_records(world: World):
    first, second, third = await found(world, "camera-snapshots", home_of("birkeveien")) + await found(
        world, "operation-log", home_of("skogveien")
    )
    world.remove("operation-log", second.locator.key, "skogveien")
    assert await world.gate.delete([third, second, first], SWEEP) == (Erased(), AlreadyGone(), Erased())


async def test_nothing_to_delete_writes_no_journal(world: World):
    assert await world.gate.delete([], SWEEP) == ()
    assert not world.own["journals"].writes


def test_outcomes_are_counted_by_the_last_word_of_their_events():
    assert count([Erased(), Erased(), Held(hold="h")]) == {"erased": 2, "held": 1}


# ---------------------------------------------------------------- holds


@pytest.mark.parametrize(
    ("kind", "target", "cause"),
    [
        ("category", "operation-log", SWEEP),
        ("home", "birkeveien", SWEEP),
        ("record", "", SWEEP),
        ("person", "anna", CAUSE),
    ],
)
async def test_a_hold_of_each_kind_keeps_the_record(world: World, kind, target, cause):
    record = await one(world)
    await world.hold("hold-1", kind, target or record.locator.text())
    steps: list[str] = []

    async def turn(name: str) -> None:
        steps.append(name)

    world.steps.turn = turn
    assert await delete(world, record, cause) == Held(hold="hold-1")
    assert not world.records.asked, "the store was not even asked"
    assert "before there" not in steps, "nor looked at: nobody can have deleted it before"


async def test_a_hold_keeps_only_what_it_covers(world: World):
    records = await found(world, "operation-log", home_of("skogveien"))
    await world.hold("hold-1", "record", records[0].locator.text())
    assert await world.gate.delete(records, SWEEP) == (Held(hold="hold-1"), Erased())


async def test_a_hold_that_is_over_keeps_nothing(world: World):
    await world.hold("hold-1", "category", "operation-log", until=world.now)
    assert await delete(world, await one(world)) == Erased()


async def test_a_hold_with_an_end_keeps_until_then(world: World):
    await world.hold("hold-1", "category", "operation-log", until=world.now + timedelta(seconds=1))
    assert await delete(world, await one(world)) == Held(hold="hold-1")


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'{"id": "hold 1: anna of birkeveien", "kind": "person", "target": "x", "owner": "o", "reason": "r"}'],
    ids=["empty", "no fields", "an id that no event may carry"],
)
async def test_a_hold_that_cannot_be_read_stops_everything(world: World, data):
    await world.own["holds"].create("hold-1.json", data)
    with pytest.raises(TransientError, match="a hold cannot be read"):
        await delete(world, await one(world))
    assert not world.records.asked
    assert not [each async for each in world.own["journals"].list()], "each delivery would leave one more"
    await world.release("hold-1")
    assert await delete(world, await one(world)) == Erased()


async def test_a_hold_that_cannot_be_read_stops_recovery_until_it_is_mended(world: World):
    async def meanwhile(name: str) -> None:
        if name == "after create" and not [e async for e in world.own["holds"].list()]:
            await world.own["holds"].create("hold-1.json", b"{}")

    world.steps.turn = meanwhile
    with pytest.raises(TransientError, match="a hold cannot be read"):
        await delete(world, await one(world))
    world.later(minutes=11)
    with pytest.raises(TransientError):
        await world.watch.journals()
    assert not world.records.asked
    await world.release("hold-1")
    await world.rest()
    assert outcomes(await assert_whole(world)) == {"erased": 1}


async def test_a_hold_added_after_the_intent_is_seen_before_anything_is_deleted(world: World):
    async def meanwhile(name: str) -> None:
        if name == "after create" and not [e async for e in world.own["holds"].list()]:
            await world.hold("hold-1", "category", "operation-log")

    record = await one(world)
    world.steps.turn = meanwhile
    assert await delete(world, record) == Held(hold="hold-1")


async def test_a_hold_on_a_category_that_the_policy_has_not_stops_everything_until_it_is_released(world: World):
    await world.hold("hold-1", "category", "device-log")  # which the policy calls operation-log by now
    with pytest.raises(TransientError, match="hold hold-1 is on a category that the policy has not"):
        await delete(world, await one(world))
    assert not world.records.asked
    assert not [each async for each in world.own["journals"].list()]
    await world.release("hold-1")
    assert await delete(world, await one(world)) == Erased()


async def test_a_hold_on_such_a_category_that_has_ended_stops_nothing(world: World):
    await world.hold("hold-1", "category", "device-log", until=world.now)
    assert await delete(world, await one(world)) == Erased()


# ---------------------------------------------------------------- a worker held up


async def asleep(*_: object) -> None:
    await asyncio.Event().wait()


async def test_holds_that_cannot_be_read_in_time_stop_everything(world: World, monkeypatch: pytest.MonkeyPatch):
    record = await one(world)
    monkeypatch.setattr(deletion, "ANSWER_WITHIN", 0.01)
    world.steps.turn = asleep
    with pytest.raises(TransientError, match="holds could not be read in time"):
        await delete(world, record)


async def test_a_journal_that_cannot_be_opened_in_time_deletes_nothing(world: World, monkeypatch: pytest.MonkeyPatch):
    record = await one(world)
    monkeypatch.setattr(deletion, "ANSWER_WITHIN", 0.01)
    world.steps.turn = lambda name: asleep() if name == "before create" else asyncio.sleep(0)
    with pytest.raises(TransientError, match="journal could not be opened in time"):
        await delete(world, record)
    assert not world.records.asked


async def test_a_deletion_that_gives_no_answer_in_time_may_have_gone_through(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    record = await one(world)
    monkeypatch.setattr(deletion, "ANSWER_WITHIN", 0.01)

    async def turn(name: str) -> None:
        if name == "after delete":
            world.steps.turn = None
            await asleep()

    world.steps.turn = turn
    assert await delete(world, record) == AlreadyGone()
    assert world.slept == [FIRST_WAIT]


async def test_a_look_that_gives_no_answer_in_time_proves_nothing(world: World, monkeypatch: pytest.MonkeyPatch):
    intent = await unanswered(world, await one(world), applied=True)
    await world.hold("hold-1", "home", "birkeveien")
    monkeypatch.setattr(deletion, "ANSWER_WITHIN", 0.01)
    world.steps.turn = lambda name: asleep() if name == "before there" else asyncio.sleep(0)
    with pytest.raises(TransientError, match="1 records had no final answer"):
        await world.gate.recover(intent)
    world.steps.turn = None
    assert await world.gate.recover(intent) == (AlreadyGone(),)


@pytest.mark.parametrize("held_up", ["after list", "after create"])
@pytest.mark.parametrize("recovering", [False, True])
async def test_a_worker_that_is_held_up_before_it_deletes_anything_deletes_nothing_more(
    world: World, held_up: str, recovering: bool
):
    """The time is measured from before its first write: from then on others wait for it, and then no more."""
    record = await one(world)
    intent = await unanswered(world, record, applied=False) if recovering else ""
    asked = len(world.records.asked)
    held_up = "after replace" if recovering and held_up == "after create" else held_up

    async def turn(name: str) -> None:
        if name == held_up and [each async for each in world.own["journals"].list()]:
            world.steps.turn = None
            world.later(minutes=11)

    await world.hold("other", "category", "users")
    world.steps.turn = turn
    with pytest.raises(TransientError, match="1 records had no final answer"):
        await (world.gate.recover(intent) if recovering else delete(world, record))
    assert len(world.records.asked) == asked


# ---------------------------------------------------------------- silence


async def test_a_record_without_an_answer_is_asked_for_again_and_the_others_are_not(world: World):
    records = await found(world, "operation-log", home_of("skogveien"))
    world.records.fail(nth=2, applied=False)
    assert await world.gate.delete(records, SWEEP) == (Erased(), Erased())
    assert [each.locator.key for each in world.records.asked] == [
        "skogveien-bob-0",
        "skogveien-cleo-0",
        "skogveien-cleo-0",
    ]
    assert world.slept == [FIRST_WAIT]


async def test_the_wait_that_the_store_asks_for_is_kept(world: World):
    world.records.fail(applied=False, retry_after=7.5)
    world.records.fail(nth=2, applied=False)
    assert await delete(world, await one(world)) == Erased()
    assert world.slept == [7.5, FIRST_WAIT * 2]


@pytest.mark.parametrize("nth", [1, ATTEMPTS])
async def test_a_longer_wait_than_a_worker_may_keep_is_left_to_recovery(world: World, nth: int):
    for number in range(1, nth):
        world.records.fail(nth=number, applied=False)
    world.records.fail(nth=nth, applied=False, retry_after=LONGEST_WAIT + 1)
    with pytest.raises(TransientError, match="1 records had no final answer"):
        await delete(world, await one(world))
    assert world.slept == [FIRST_WAIT * 2**number for number in range(nth - 1)]
    assert len(await open_journals(world)) == 1


async def test_a_journal_that_cannot_be_settled_at_once_is_settled_after_a_wait(world: World):
    world.own["journals"].arm(Fault(write="replace", applied=False))
    assert await delete(world, await one(world)) == Erased()
    assert world.slept == [FIRST_WAIT]


async def test_a_deletion_whose_answer_was_lost_is_already_gone(world: World):
    world.records.fail(applied=True)
    assert await delete(world, await one(world)) == AlreadyGone()


async def test_after_the_last_attempt_the_journal_stays_open(world: World):
    for nth in range(1, ATTEMPTS + 1):
        world.records.fail(nth=nth, applied=False)
    with pytest.raises(TransientError, match="1 records had no final answer") as caught:
        await delete(world, await one(world))
    assert not isinstance(caught.value, UndecidedError), "to repeat the message may help"
    assert len(world.slept) == ATTEMPTS - 1
    assert len(await open_journals(world)) == 1


async def test_the_wait_that_the_store_asks_for_after_the_last_attempt_is_kept_before_the_message_comes_again(
    world: World,
):
    for nth in range(1, ATTEMPTS):
        world.records.fail(nth=nth, applied=False)
    world.records.fail(nth=ATTEMPTS, applied=False, retry_after=7.5)
    with pytest.raises(TransientError, match="1 records had no final answer"):
        await delete(world, await one(world))
    assert world.slept == [FIRST_WAIT, FIRST_WAIT * 2, FIRST_WAIT * 4, 7.5]


async def test_a_store_that_is_not_configured_leaves_the_journal_open(world: World):
    record = await one(world)
    world.gate.stores.pop("cosmos/main")
    with pytest.raises(ConfigError, match="no connection to cosmos/main"):
        await delete(world, record)
    assert len(await open_journals(world)) == 1


# ---------------------------------------------------------------- recovery


async def test_recovery_takes_the_same_steps(world: World):
    for nth in range(1, ATTEMPTS + 1):
        world.records.fail(nth=nth, applied=True)
    record = await one(world)
    with pytest.raises(TransientError):
        await delete(world, record)
    [intent] = await open_journals(world)
    assert await world.gate.recover(intent) == (AlreadyGone(),)
    assert world.records.asked == [record] * (ATTEMPTS + 1), "the same delete, on the same condition"
    assert await open_journals(world) == []
    assert await world.gate.recover(intent) == ()


async def unanswered(world: World, record: Record, *, applied: bool) -> str:
    """The intent of a journal that a worker left open; `applied` says whether the record went all the same."""
    for nth in range(1, ATTEMPTS + 1):
        world.records.fail(nth=nth, applied=applied)
    with pytest.raises(TransientError):
        await delete(world, record)
    [intent] = await open_journals(world)
    return intent


async def test_a_record_held_since_its_deletion_without_an_answer_is_already_gone_and_not_held(world: World):
    intent = await unanswered(world, await one(world), applied=True)
    await world.hold("hold-1", "home", "birkeveien")
    asked = len(world.records.asked)
    assert await world.gate.recover(intent) == (AlreadyGone(),)
    assert len(world.records.asked) == asked, "it was looked at: no deletion of a held record is asked for"


async def test_a_young_journal_that_its_worker_gave_up_is_gone_on_with_at_once(world: World):
    intent = await unanswered(world, await one(world), applied=True)
    assert await world.gate.recover_or_forestall(intent) == (AlreadyGone(),)


async def test_who_left_a_home_that_is_held_since_then_has_left_it(world: World):
    [record] = await found(world, "homes", person("anna"))
    intent = await unanswered(world, record, applied=True)
    await world.hold("hold-1", "home", "birkeveien")
    assert await world.gate.recover(intent) == (AlreadyGone(),)


async def test_a_held_record_that_is_there_is_held_once_no_delete_can_be_on_its_way(world: World):
    intent = await unanswered(world, await one(world), applied=False)
    await world.hold("hold-1", "home", "birkeveien")
    with pytest.raises(UndecidedError, match="1 records had no final answer"):
        await world.gate.recover(intent)
    assert await open_journals(world) == [intent]
    world.later(minutes=5)
    assert await world.gate.recover(intent) == (Held(hold="hold-1"),)
    assert "birkeveien-anna-0" in world.keys("operation-log")


@pytest.mark.parametrize("reason", ["lease", "immutability", "legal-hold"])
async def test_a_refusal_after_silence_is_no_answer_while_a_delete_may_be_on_its_way(world: World, reason):
    record = await one(world)
    world.records.block(world.policy.category("operation-log"), record.locator.key, reason, partition="birkeveien")
    world.records.fail(applied=False)
    with pytest.raises(UndecidedError, match="1 records had no final answer"):
        await delete(world, record)
    [intent] = await open_journals(world)
    with pytest.raises(UndecidedError):
        await world.gate.recover(intent)
    world.later(minutes=5)
    assert await world.gate.recover(intent) == (Blocked(reason=reason),)


async def test_recovery_of_what_is_not_there_does_nothing(world: World):
    assert await world.gate.recover("0" * 32) == ()


async def test_a_worker_that_comes_late_corrects_nothing_where_what_another_said_is_true(world: World):
    record = await one(world)

    async def sleeps(name: str) -> None:
        if name == "after delete":
            world.steps.turn = None
            world.later(minutes=11)
            await world.watch.journals()  # already gone

    world.steps.turn = sleeps
    assert await world.gate.delete([record], CAUSE) == ()
    await world.rest()
    assert outcomes(await assert_whole(world)) == {"already_gone": 1}


# ---------------------------------------------------------------- what is told


async def test_a_lost_ring_is_no_failure_and_the_watch_rings_again(world: World):
    world.queues["ledger"].arm(applied=False)
    assert await delete(world, await one(world)) == Erased()
    assert not world.queues["ledger"].messages
    assert await world.watch.journals() == (0, 1)
    assert len(world.queues["ledger"].messages) == 1


async def test_events_name_nobody_and_no_record(world: World):
    records = await found(world, "operation-log", home_of("skogveien")) + await found(world, "users", person("bob"))
    await world.gate.delete(records, CAUSE)
    await world.rest()
    events = await assert_whole(world)  # which looks for every name there is
    assert {each["subject"].partition(":")[0] for each in events} == {"subject"}
    assert len({each["subject"] for each in events}) == 1, "whom the request is about, whosever the record is"
    assert len({each["data"]["record"] for each in events}) == 3


async def test_a_settled_journal_holds_no_locators(world: World):
    await delete(world, await one(world))
    [stored] = [await world.own["journals"].read(e.name) async for e in world.own["journals"].list()]
    assert "birkeveien" not in stored.data.decode()
    assert json.loads(stored.data)["state"] == "settled"


async def test_a_very_long_id_of_a_home_or_person_hinders_no_event(world: World):
    world.home("ø" * 600, "anna")
    assert await delete(world, (await found(world, "operation-log", home_of("ø" * 600)))[0]) == Erased()
    assert {len(each.name) < 100 async for each in world.own["keys"].list()} == {True}
