"""A hold comes at any step of a gate pass: what it covers stays from the moment it says so, and what went is counted."""

import asyncio
from contextlib import suppress
from itertools import pairwise
from uuid import UUID

import pytest
from disturbances import Countdown, CrashError, die, dies, wander
from promises import assert_whole
from test_gate_races import dies_twice, recovers
from test_gate_writes import CAUSE, build
from world import World, person

from shared import messages
from shared.errors import RetentionError
from shared.holds import NOTE, Hold, InForce

ID = "5d6b6cf5-3b4d-4f60-9c0a-2a3c2f4d9e01"
TARGETS = {
    "person": {"user_id": "anna"},
    "home": {"home_id": "birkeveien"},
    "category": {"category": "operation-log"},
    "left": {"category": "homes"},
}


def hold_message(hold: str = ID, **target) -> messages.Hold:
    return messages.Hold(version=1, type="hold", id=UUID(hold), by="ops", owner="legal", reason="a case", **target)


async def held(world: World, hold: str = ID) -> Hold | None:
    stored = await world.own["holds"].read(f"{hold}.json")
    return Hold.model_validate_json(stored.data) if stored else None


async def still_there(world: World, hold: Hold) -> dict[str, bool]:
    """Which of the records that the gate was given, and that the hold covers, are there (and not left) as listed."""
    covered = [record for record in world.todo if hold.covers(record, CAUSE)]
    there = await world.records.there(covered, leaver=person("anna"))
    return {record.locator.text(): here == "same" for record, here in zip(covered, there, strict=True)}


async def open_journals(world: World) -> int:
    """How many there are, seen without a step."""
    return len([each async for each in world.own["journals"].list() if each.metadata["state"] == "open"])


class Witnessing:
    """A turn for `Steps`: notes what is there at each step from the moment at which the hold says that it is in force.

    `first` is another turn that comes before it.
    """

    def __init__(self, world: World, first=None, hold: str = ID) -> None:
        self.world = world
        self.first = first
        self.hold = hold
        self.seen: list[dict[str, bool]] = []

    async def __call__(self, name: str) -> None:
        if self.first is not None:
            await self.first(name)
        await self.look()

    async def look(self) -> None:
        hold = await held(self.world, self.hold)
        if hold is not None and hold.in_force is InForce.YES:
            self.seen.append(await still_there(self.world, hold))

    def assert_nothing_went(self) -> None:
        assert self.seen, "the hold never came into force"
        assert all(before == after for before, after in pairwise(self.seen))


async def disturbed(target: dict, at: int, then) -> tuple[World, Witnessing]:
    """The world after a delete at whose `at`-th step the hold came, and then `then` happened."""
    world = await build()
    world.open = 0

    async def comes() -> None:
        world.open = await open_journals(world)
        await world.holding.add(hold_message(**target))
        await then(world)

    witnessing = Witnessing(world, Countdown(at, comes))
    world.steps.turn = witnessing
    try:
        await world.gate.delete(world.todo, CAUSE)
    except (RetentionError, CrashError) as error:
        world.errors.append(error)
    world.steps.turn = Witnessing(world)
    world.steps.turn.seen = witnessing.seen
    return world, witnessing


async def nothing(_: World) -> None:
    pass


async def somebody_recovers(world: World) -> None:
    with suppress(RetentionError):
        await recovers(world)


async def is_settled_at_once(world: World) -> None:
    await world.holding.watch()


async def steps() -> int:
    world = await build()
    world.steps.turn = turn = Countdown(0, die)
    await world.gate.delete(world.todo, CAUSE)
    return turn.taken


STEPS = asyncio.run(steps())


@pytest.mark.parametrize("then", [nothing, dies, dies_twice, somebody_recovers, is_settled_at_once])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("at", range(1, STEPS + 1))
async def test_a_hold_that_comes_at_a_step_keeps_what_is_there_and_counts_what_went(at, target, then):
    world, witnessing = await disturbed(target, at, then)
    await world.rest()
    events = await assert_whole(world)
    await witnessing.look()
    witnessing.assert_nothing_went()
    hold = await held(world)
    went = [text for text, there in (await still_there(world, hold)).items() if not there]
    assert hold.too_late == (len(went) if world.open else 0)
    assert hold.in_force is InForce.YES
    (said,) = [each["data"] for each in events if each["type"] == "retention.hold.in_force"]
    assert (said["hold"], said["too_late"], said["journals"]) == (ID, hold.too_late, len(hold.journals))
    assert not [entry async for entry in world.own["holds"].list() if NOTE in entry.metadata]


@pytest.mark.parametrize("silence", [False, True], ids=["answers", "silence"])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("at", range(1, STEPS + 1))
async def test_what_a_worker_deletes_that_slept_until_the_hold_was_in_force_is_counted_in_the_end(at, target, silence):
    async def sleeps(world: World) -> None:
        """Minutes pass for this worker alone: the watch recovers what it began, and settles the hold."""
        world.later(minutes=11)
        for timer in (world.watch.journals, world.holding.watch):
            with suppress(RetentionError):
                await timer()
        if silence:
            world.records.fail(nth=1, applied=True)

    world, _ = await disturbed(target, at, sleeps)
    world.steps.turn = None
    await world.rest()
    events = await assert_whole(world)
    hold = await held(world)
    went = [text for text, there in (await still_there(world, hold)).items() if not there]
    assert hold.too_late == (len(went) if world.open else 0)
    said = [each["data"]["too_late"] for each in events if each["type"] == "retention.hold.in_force"]
    assert max(said) == hold.too_late
    assert not [entry async for entry in world.own["holds"].list() if NOTE in entry.metadata]


async def test_some_holds_come_in_time_and_some_come_too_late():
    late = set()
    for at in range(1, STEPS + 1):
        world, _ = await disturbed(TARGETS["category"], at, nothing)
        await world.rest()
        late.add((await held(world)).too_late)
    assert {0, 2} < late, "what others deleted and changed alone, and ours"


async def test_a_hold_does_not_say_that_it_is_in_force_while_a_journal_that_it_covers_is_open():
    world = await build()
    seen = []

    async def watching(_: str) -> None:
        hold = await held(world)
        seen.append((hold and hold.in_force, bool(await open_journals(world))))

    async def comes() -> None:
        world.steps.turn = None
        await world.holding.add(hold_message(**TARGETS["category"]))
        world.steps.turn = watching

    world.steps.turn = Countdown(7, comes)
    await world.gate.delete(world.todo, CAUSE)
    assert (InForce.PENDING, True) in seen
    await world.rest()
    assert (await held(world)).in_force is InForce.YES
    assert (InForce.YES, True) not in seen


@pytest.mark.parametrize("seed", range(40))
async def test_holds_workers_and_watches_in_any_order_of_steps_let_nothing_go_that_is_in_force(seed):
    other = ID[:-1] + "2"
    world = await build()
    turn = wander(seed, (0, 0, 1, 3, 9))
    witnesses = [Witnessing(world, hold=each) for each in (ID, other)]

    async def taking_turns(name: str) -> None:
        await turn(name)
        for each in witnesses:
            await each.look()

    world.steps.turn = taking_turns
    first = asyncio.ensure_future(world.gate.delete(world.todo, CAUSE, intent_id="f" * 32))
    for _ in range(seed * 3):
        await asyncio.sleep(0)
    ends = await asyncio.gather(
        first,
        world.holding.add(hold_message(**TARGETS["category"])),
        world.holding.add(hold_message(other, **TARGETS["person"])),
        world.gate.recover("f" * 32),
        world.holding.watch(),
        return_exceptions=True,
    )
    assert not [end for end in ends if isinstance(end, Exception) and not isinstance(end, RetentionError)]
    world.steps.turn = None
    await world.holding.add(hold_message(**TARGETS["category"]))  # the broker gives a message again that failed
    await world.holding.add(hold_message(other, **TARGETS["person"]))
    for each in witnesses:
        await each.look()
    await world.rest()
    await assert_whole(world)
    for each in witnesses:
        await each.look()
        each.assert_nothing_went()
