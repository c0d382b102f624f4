"""The erasure of a person or a home: what goes, what stays, in which order, and how a request ends."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from disturbances import Broken, Scene
from promises import assert_whole
from world import POLICY, START, World, person

from shared import messages
from shared.deletion import ATTEMPTS
from shared.errors import PermanentError, TransientError
from shared.model import ScopeKind
from shared.requests.documents import State
from shared.requests.scopes import NO_VISIT, PLANNED
from shared.requests.work import ROUNDS


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def erased(world: World, **subject: str):
    """The document of a request that was carried out, and the events."""
    request = await world.ask(**subject)
    await world.rest()
    return await world.document(request), await assert_whole(world)


def members(world: World, home: str) -> list[str]:
    return world.records.item(world.policy.category("homes"), home, partition=home)["members"]


async def test_who_lives_alone_takes_the_home_along(world: World):
    document, _ = await erased(world, user_id="anna")
    assert document.state is State.DONE
    assert document.outcomes() == {
        "homes": {"left": 1, "erased": 1},
        "devices": {"erased": 1},
        "operation-log": {"erased": 1},
        "camera-snapshots": {"erased": 1},
        "users": {"erased": 1},
    }
    assert world.everything() == {
        "users": ["bob", "cleo"],
        "homes": ["skogveien"],
        "devices": ["skogveien-hub"],
        "operation-log": ["skogveien-bob-0", "skogveien-cleo-0"],
        "camera-snapshots": [world.keys("camera-snapshots")[0]],
    }
    assert "skogveien" in world.keys("camera-snapshots")[0]


async def test_one_of_two_leaves_the_home_and_what_is_theirs_goes(world: World):
    document, _ = await erased(world, email="bob@bob.example")
    assert document.state is State.DONE
    assert document.outcomes() == {"homes": {"left": 1}, "operation-log": {"erased": 1}, "users": {"erased": 1}}
    assert members(world, "skogveien") == ["cleo"]
    assert world.keys("operation-log") == ["birkeveien-anna-0", "skogveien-cleo-0"]
    assert world.keys("devices") == ["birkeveien-hub", "skogveien-hub"]


async def test_the_last_of_two_takes_the_home_along(world: World):
    await erased(world, user_id="bob")
    await erased(world, user_id="cleo")
    await erased(world, user_id="anna")
    assert world.everything() == {}


async def test_who_lives_in_several_homes_leaves_each_and_takes_along_those_left_empty(world: World):
    world.home("tomtveien", "bob")
    await erased(world, user_id="bob")
    assert world.keys("homes") == ["birkeveien", "skogveien"]
    assert world.keys("devices") == ["birkeveien-hub", "skogveien-hub"]
    assert members(world, "skogveien") == ["cleo"]
    assert not [each for each in world.keys("operation-log") if "bob" in each]


async def test_rows_in_a_home_that_the_person_has_left_before_go_too(world: World):
    world.put("operation-log", {"id": "old", "homeId": "skogveien", "userId": "anna", "at": "2026-02-20T00:00:00Z"})
    await erased(world, user_id="anna")
    assert world.keys("operation-log") == ["skogveien-bob-0", "skogveien-cleo-0"]


async def test_a_home_without_users_goes_whole(world: World):
    world.home("tomtveien")
    document, _ = await erased(world, home_id="tomtveien")
    assert document.state is State.DONE
    assert world.keys("homes") == ["birkeveien", "skogveien"]
    assert world.keys("devices") == ["birkeveien-hub", "skogveien-hub"]


async def test_the_homes_own_record_goes_first_and_the_user_record_last(world: World):
    await erased(world, user_id="anna")
    order = [(each.category, each.action.value) for each in world.records.asked]
    assert order[:2] == [("homes", "leave"), ("homes", "delete")]
    assert order[-1] == ("users", "delete")


async def test_a_record_that_appears_meanwhile_goes_too(world: World):
    def one_more(records) -> None:
        if records[0].category == "operation-log" and len(world.records.asked) < 10:
            world.put("operation-log", {"id": "late", "homeId": "birkeveien", "userId": "anna"})
            world.records.before_delete = None

    world.records.before_delete = one_more
    document, _ = await erased(world, user_id="anna")
    assert document.state is State.DONE
    assert "late" not in world.keys("operation-log")


async def test_records_that_appear_without_end_are_left_to_the_next_delivery(world: World):
    def one_more(records) -> None:
        if records[0].category == "operation-log":
            world.put("operation-log", {"id": f"{len(world.records.asked)}", "homeId": "skogveien", "userId": "bob"})

    world.records.before_delete = one_more
    request = await world.ask(user_id="bob")
    await world.deliver("requests")
    await world.deliver("work")
    [error] = world.errors
    assert isinstance(error, TransientError)
    assert "as fast as they are erased" in str(error)
    assert len(world.records.asked) == 1 + ROUNDS
    world.records.before_delete = None
    await world.rest()
    assert (await world.document(request)).state is State.DONE
    await assert_whole(world)


# ---------------------------------------------------------------- what stays


async def test_a_held_record_stays_and_the_request_needs_attention(world: World):
    await world.hold("hold-1", "category", "users")
    document, events = await erased(world, user_id="anna")
    assert (document.state, document.reason) == (State.NEEDS_ATTENTION, "some records had to stay: 1 held")
    assert world.keys("users") == ["anna", "bob", "cleo"]
    [event] = [each for each in events if each["type"] == "retention.request.needs_attention"]
    assert event["data"]["reason"] == document.reason


async def test_a_hold_on_the_person_keeps_all_that_is_theirs(world: World):
    before = world.everything()
    await world.hold("hold-1", "person", "anna")
    document, _ = await erased(world, user_id="anna")
    assert document.state is State.NEEDS_ATTENTION
    assert world.everything() == before
    assert members(world, "birkeveien") == ["anna"]


async def test_a_hold_on_the_home_keeps_the_home_and_not_the_person(world: World):
    await world.hold("hold-1", "home", "birkeveien")
    document, _ = await erased(world, user_id="anna")
    assert document.state is State.NEEDS_ATTENTION
    assert world.keys("users") == ["bob", "cleo"]
    assert "birkeveien-hub" in world.keys("devices")


async def test_a_home_whose_own_record_has_to_stay_is_kept_whole_because_somebody_may_join(world: World):
    world.home("tomtveien")
    world.records.block(world.policy.category("homes"), "tomtveien", partition="tomtveien")
    document, _ = await erased(world, home_id="tomtveien")
    assert (document.state, document.reason) == (State.NEEDS_ATTENTION, "some records had to stay: 1 blocked")
    assert "tomtveien-hub" in world.keys("devices")


async def test_what_an_earlier_attempt_met_held_and_a_later_one_erased_did_not_stay(world: World):
    await world.hold("hold-1", "category", "operation-log")
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    world.own["register"].create = _failing_once(world.own["register"].create)
    await world.deliver("work")
    await world.release("hold-1")
    await world.rest()
    assert (await world.document(request)).state is State.DONE
    assert "birkeveien-anna-0" not in world.keys("operation-log")
    await assert_whole(world)


def _failing_once(method):
    left = [TransientError("no answer")]

    async def call(*args, **options):
        if left:
            raise left.pop()
        return await method(*args, **options)

    return call


# ---------------------------------------------------------------- how it goes on, and ends


@pytest.mark.parametrize("held", [False, True])
async def test_a_worker_without_time_hands_over_after_each_unit_and_ends(world: World, held):
    if held:
        for number in range(7):
            world.put("operation-log", {"id": f"row{number}", "homeId": "birkeveien", "userId": "anna"})
        await world.hold("hold-1", "category", "operation-log")
    world.hurry = lambda: True
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    hops = 0
    while world.queues["work"].messages:
        assert {each.session_id for each in world.queues["work"].messages} == {
            await world.requests.session(person("anna"))
        }
        await world.deliver("work")
        hops += 1
        assert hops < 20
    assert hops > 3
    document = await world.document(request)
    assert document.state is (State.NEEDS_ATTENTION if held else State.DONE)
    assert document.reason == ("some records had to stay: 8 held" if held else "")
    await world.rest()
    await assert_whole(world)


async def test_the_next_worker_finishes_the_unit_that_the_one_before_left_and_counts_it(world: World):
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    for _ in range(ATTEMPTS):
        Scene.arm(world, Broken(where="journals", kind="replace", nth=1, name="", how="unapplied"))
    await world.deliver("work")  # the person has left the home; that could not be settled
    world.later(minutes=6)  # before, that worker may still be at it
    await world.deliver("work")
    document = await world.document(request)
    assert document.state is State.DONE
    assert document.outcomes()["homes"] == {"already_gone": 1, "erased": 1}
    states = [state async for _, state, _ in world.gate.journals.entries()]
    assert set(states) == {"settled"}, "and nothing of it waits for the watch"


async def test_a_request_says_until_when_backups_hold_what_it_erased(world: World):
    document, events = await erased(world, user_id="anna")
    assert document.finished_at == START
    assert document.in_backups_until == START + timedelta(days=30, hours=1)
    [event] = [each for each in events if each["type"] == "retention.request.completed"]
    assert event["data"]["in_backups_until"] == "2026-03-31T13:00:00Z"
    assert event["data"]["outcomes"] == document.outcomes()


async def test_with_backups_that_nobody_deletes_yet_a_request_claims_no_end_of_them(monkeypatch: pytest.MonkeyPatch):
    rows = [
        category.model_copy(update={"status": "planned"}) if category.id == "backups" else category
        for category in POLICY.categories
    ]
    monkeypatch.setattr("world.POLICY", replace(POLICY, categories=tuple(rows)))
    world = World(sweeping=False)
    world.neighbourhood()
    document, events = await erased(world, user_id="anna")
    assert (document.state, document.in_backups_until) == (State.DONE, None)
    [event] = [each for each in events if each["type"] == "retention.request.completed"]
    assert "in_backups_until" not in event["data"]


async def test_the_register_names_all_that_was_erased_with_its_time(world: World):
    document, _ = await erased(world, user_id="anna")
    [entry] = [each async for each in world.register.entries()]
    assert (entry.request, entry.scope, entry.erased_at) == (document.id, (ScopeKind.PERSON, "anna"), START)
    assert entry.scopes == (
        (ScopeKind.ADDRESS, "anna@anna.example"),
        (ScopeKind.HOME, "birkeveien"),
        (ScopeKind.PERSON, "anna"),
    )


async def test_work_on_a_request_that_nobody_made_is_refused(world: World):
    order = messages.Work(version=1, type="work", request=str(uuid4()), hop=0)
    with pytest.raises(PermanentError, match="a request that nobody made"):
        await world.eraser.carry_out(order, hurry=world.hurry)


async def test_work_on_a_finished_request_changes_nothing(world: World):
    document, _ = await erased(world, user_id="anna")
    world.user("anna")  # she came back: the old request is not about her new account
    order = messages.Work(version=1, type="work", request=document.id, hop=0)
    await world.eraser.carry_out(order, hurry=world.hurry)
    assert "anna" in world.keys("users")
    assert await world.document(document.id) == document


async def test_the_result_names_what_was_not_reached_and_why(world: World):
    request = await world.ask(user_id="anna")
    await world.rest()
    document = (await world.requests.load(request)).value
    assert document.state is State.DONE
    assert document.not_reached == {"newsletter at Mailchimp": PLANNED, "web-access-log": NO_VISIT}
    completed = [e for e in await world.events() if e["type"] == "retention.request.completed"]
    assert completed[-1]["data"]["not_reached"] == sorted(document.not_reached)
