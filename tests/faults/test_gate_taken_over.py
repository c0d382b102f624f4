"""Two workers at one unit, and answers that were lost: who may take over, when, and what the other does who comes late.

The vendor's client repeats a write that had no answer, a minute later or more; meanwhile another worker may have
recovered the journal, the ledger appended it, and cleared it.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from disturbances import CrashError, die_at
from promises import assert_whole
from test_hold_races import hold_message
from world import LINES, World, found, home_of

from shared.errors import RetentionError, TransientError
from shared.model import RequestCause, Scope, ScopeKind
from shared.requests.by_policy import start_erasure

CAUSE = RequestCause(request="7b0ecf63-3a62-4c7d-9d65-6f9e8f0f1c11", scope=home_of("birkeveien"))
INTENT = "a" * 32


async def built() -> World:
    world = World(sweeping=False)
    world.home("birkeveien", "anna", rows=2)
    world.todo = await found(world, "operation-log", home_of("birkeveien"))
    return world


def repeat_create(world: World, between: Callable[[], Awaitable[None]]) -> None:
    """The first open journal is created, the answer lost; `between` happens, and the client sends it again."""
    store, left = world.own["journals"], [1]
    create = store.create

    async def repeating(name, data, *, metadata):
        if left and metadata["state"] == "open":
            left.clear()
            await create(name, data, metadata=metadata)
            await between()
        return await create(name, data, metadata=metadata)

    store.create = repeating


async def rested(world: World) -> list[dict]:
    await world.rest()
    return await assert_whole(world)


async def test_a_journal_that_was_cleared_is_not_begun_anew_by_a_repeat_of_its_creation():
    world = await built()

    async def between() -> None:
        with suppress(RetentionError):
            await world.gate.recover_or_forestall(INTENT)
        await world.append()

    repeat_create(world, between)
    with suppress(RetentionError):
        await world.gate.delete(world.todo, CAUSE, intent_id=INTENT)
    await rested(world)


async def test_a_slice_that_was_sent_twice_is_told_once_though_an_answer_is_lost():
    world = World(unit=10)
    world.only = "operation-log"
    world.home("birkeveien", "anna", rows=0, old_rows=3, pictures=0)
    await world.planner.tick(only=["operation-log"])
    world.later(minutes=10)
    await world.planner.tick(only=["operation-log"])  # the queue was long

    async def between() -> None:
        await world.deliver("sweeps")
        await world.append()

    repeat_create(world, between)
    messages = world.queues["sweeps"].messages
    first, world.queues["sweeps"].messages = messages[:2], messages[2:]
    for each in first:
        with suppress(RetentionError):
            await world.handle("sweeps", each)
    events = await rested(world)
    assert len({e["data"]["record"] for e in events if e["type"].endswith(".erased")}) == 3


@pytest.mark.parametrize("minutes", [0, 6])
@pytest.mark.parametrize("then", ["a hold", "written anew"])
async def test_who_comes_back_to_a_journal_that_was_taken_over_says_nothing_of_it(then: str, minutes: int):
    world = await built()
    key = world.todo[0].locator.key

    async def between() -> None:
        world.later(minutes=minutes)
        die_at(world, "after delete")
        with suppress(CrashError, RetentionError):
            await world.gate.recover_or_forestall(INTENT)
        world.steps.turn = None
        if then == "a hold":
            await world.hold("hold-1", "home", "birkeveien")
        elif minutes:
            world.put("operation-log", {"id": key, "homeId": "birkeveien", "at": "2026-02-28T00:00:00Z"})

    repeat_create(world, between)
    with suppress(RetentionError):
        await world.gate.delete(world.todo, CAUSE, intent_id=INTENT)
    await rested(world)


async def test_a_correction_is_made_though_the_journal_s_name_was_taken_and_let_go_meanwhile():
    world = await built()

    async def sleeps(name: str) -> None:
        if name == "before delete":
            world.steps.turn = None
            await world.hold("hold-1", "home", "birkeveien")
            await world.hold("another", "category", "users")
            world.later(minutes=11)
            await world.watch.journals()  # held
            await world.append()
            await world.gate.recover_or_forestall(INTENT)
            world.later(minutes=11)
            await world.watch.journals()  # let go

    world.steps.turn = sleeps
    with suppress(RetentionError):
        await world.gate.delete(world.todo, CAUSE, intent_id=INTENT)
    noted = {entry.name.partition("/")[0] async for entry in world.own["holds"].list() if "/" in entry.name}
    assert noted == {"hold-1"}, "of the holds, the one that came too late is told"
    events = await rested(world)
    assert [e["type"] for e in events if "corrects" in e["data"]] == ["retention.record.erased"] * 2
    assert [text for text in LINES.texts if text.startswith(f"ALARM journal {INTENT} was settled while")]


async def test_a_settling_whose_answer_was_lost_and_whose_journal_was_cleared_corrects_nothing():
    world = await built()
    store, left = world.own["journals"], [1]
    replace = store.replace

    async def lost(name, data, *, etag, metadata):
        new = await replace(name, data, etag=etag, metadata=metadata)
        if left and metadata["state"] == "settled":
            left.clear()
            await world.append()  # another unit rang
            await world.holding.add(hold_message(home_id="birkeveien"))  # placed when all was gone
            raise TransientError("no answer (applied)")
        return new

    store.replace = lost
    await world.gate.delete(world.todo, CAUSE, intent_id=INTENT)
    events = await rested(world)
    assert not [e for e in events if "corrects" in e["data"] or e["data"].get("too_late")]
    assert not [text for text in LINES.texts if "was settled while" in text]


async def test_a_name_that_cannot_be_let_go_keeps_no_journal_from_its_recovery():
    world = await built()

    die_at(world, "before delete")
    with suppress(CrashError):
        await world.gate.delete(world.todo, CAUSE, intent_id=INTENT)
    await world.gate.recover_or_forestall("b" * 32)
    store = world.own["journals"]
    replace = store.replace

    async def refuses(name, data, **more):
        if name.startswith("b"):
            raise TransientError("no answer")
        return await replace(name, data, **more)

    store.replace = refuses
    world.later(minutes=11)
    with suppress(RetentionError):
        await world.watch.journals()
    assert (await store.read(f"{INTENT}.json")).metadata["state"] == "settled"


async def test_a_user_who_came_back_is_not_erased_for_a_unit_that_never_reached_the_gate():
    world = World(sweeping=False)
    world.user("anna", active_days_ago=2_000)
    rule = next(r for c in world.policy.enforced() for r in c.rules if r.id == "users-inactive")
    anna = Scope(kind=ScopeKind.PERSON, id="anna")
    await start_erasure(anna, rule, world.now, keys=world.gate.keys, queue=world.queues["requests"])
    await world.deliver("requests")
    values = world.records.values

    async def broken_meanwhile(*which):
        with suppress(RetentionError):
            await world.own["holds"].create("broken.json", b"{")
        return await values(*which)

    world.records.values = broken_meanwhile  # after the work has seen that the policy still asks for it
    await world.deliver("work")
    [document] = await world.documents()
    assert [unit.outcomes for unit in document.work] == [None]
    world.records.values = values
    world.user("anna", active_days_ago=0)
    await world.own["holds"].delete("broken.json")
    await rested(world)
    assert world.keys("users") == ["anna"]
