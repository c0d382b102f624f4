"""Each write of adding and releasing a hold fails, or its worker dies at any step: what comes next mends it.

That is the message's next delivery, or the watch; the log says each thing once.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial

import pytest
from disturbances import Broken, Countdown, CrashError, Scene, die
from promises import assert_whole
from test_gate_writes import CAUSE, build
from test_hold_races import ID, TARGETS, held, hold_message
from world import World

from shared import messages
from shared.errors import RetentionError
from shared.holds import NOTE, InForce

RELEASE = messages.Release(version=1, type="release", id=ID[:-1] + "2", hold=ID, by="ops", reason="settled")


async def half_deleted() -> World:
    """A worker died in the middle of its deletions; the hold that comes now waits for its journal."""
    world = await build()
    world.steps.turn = Countdown(8, die)
    with suppress(CrashError):
        await world.gate.delete(world.todo, CAUSE)
    world.steps.turn = None
    return world


async def in_force() -> World:
    world = await build()
    await world.holding.add(hold_message(**TARGETS["category"]))
    return world


async def delivered(world: World, handle) -> None:
    """What the broker does: a message whose handling fails is given again."""
    try:
        await handle()
    except (RetentionError, CrashError) as error:
        world.errors.append(error)
        world.steps.turn = None
        await handle()


async def add(world: World, **target) -> None:
    await delivered(world, partial(world.holding.add, hold_message(**target or TARGETS["category"])))


async def add_and_settle(world: World) -> None:
    """With the watch's part, ten minutes later, which recovers the journal and settles the hold."""
    await add(world)
    world.later(minutes=11)
    for step in (world.watch.journals, world.holding.watch, world.holding.watch):
        try:
            await step()
        except (RetentionError, CrashError) as error:
            world.steps.turn = None
            world.errors.append(error)


async def release(world: World) -> None:
    await delivered(world, partial(world.holding.release, RELEASE))


async def add_and_release(world: World) -> None:
    await add(world)
    await release(world)


SCENES = {
    "alone": Scene(build=build, work=add),
    "with an open journal": Scene(build=half_deleted, work=add_and_settle),
    "release": Scene(build=in_force, work=release),
    "release too early": Scene(build=half_deleted, work=add_and_release),
}
CASES = [(name, broken) for name, scene in SCENES.items() for broken in scene.all_broken()]


def said(events: list[dict]) -> Counter[str]:
    return Counter(each["type"].removeprefix("retention.hold.") for each in events if ".hold." in each["type"])


EXPECTED = {
    "alone": {"added": 1, "in_force": 1},
    "with an open journal": {"added": 1, "in_force": 1},
    "release": {"added": 1, "in_force": 1, "released": 1},
    "release too early": {"added": 1, "released": 1},
}


async def assert_held_once(world: World, name: str) -> None:
    await world.rest()
    assert said(await assert_whole(world)) == EXPECTED[name]
    hold = await held(world)
    assert hold.in_force is (InForce.UNKNOWN if name == "release too early" else InForce.YES)
    assert not hold.outbox
    assert not [entry async for entry in world.own["holds"].list() if NOTE in entry.metadata]
    assert (ID in [each.id for each in await world.gate.holds.read()]) is not name.startswith("release")


def test_the_writes_of_a_hold_are_these():
    made = Counter((each.where, each.kind) for each in SCENES["alone"].all_broken() if each.how == "applied")
    # replaced: its event is posted; the journals were looked at; it is in force; that event is posted
    expected = {("holds", "create"): 1, ("holds", "replace"): 4, ("journals", "create"): 2, ("ledger", "send"): 2}
    assert made == expected


@pytest.mark.parametrize(("name", "broken"), CASES, ids=lambda each: str(each).replace(" ", "-"))
async def test_after_a_failed_write_there_is_one_hold_and_each_of_its_events_once(name: str, broken: Broken):
    world = await SCENES[name].broken_world(broken)
    await assert_held_once(world, name)


async def at_step(name: str, at: int) -> tuple[World, int]:
    world = await SCENES[name].build()
    world.steps.turn = turn = Countdown(at, die)
    await SCENES[name].work(world)
    world.steps.turn = None
    return world, turn.taken


DEATHS = [(name, at) for name in SCENES for at in range(1, asyncio.run(at_step(name, 0))[1] + 1)]


@pytest.mark.parametrize(("name", "at"), DEATHS)
async def test_a_worker_that_dies_at_a_step_leaves_one_hold_and_each_of_its_events_once(name: str, at: int):
    world, _ = await at_step(name, at)
    await assert_held_once(world, name)
