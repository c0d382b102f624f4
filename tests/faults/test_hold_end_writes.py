"""Each write of what holds seldom come to fails: one record held, an end while units are open, the forgetting.

What comes next (the message again, the watch) ends it; the log says each thing once.
"""

from contextlib import suppress
from datetime import timedelta

import pytest
from disturbances import Broken, Scene
from promises import assert_whole
from test_gate_writes import build
from test_hold_races import TARGETS, held, hold_message
from test_hold_writes import RELEASE, delivered, half_deleted, said
from world import World

from shared.errors import RetentionError
from shared.holds import InForce


async def watches(world: World) -> None:
    for _ in range(2):
        with suppress(RetentionError):
            await world.holding.watch()


def one_record(world: World) -> dict[str, dict[str, str]]:
    where = world.todo[-1].locator
    return {"record": {"category": world.todo[-1].category, "key": where.key, "partition": where.partition}}


async def a_record_is_held(world: World) -> None:
    """One record by its name: its pseudonym needs the key of the home that it belongs to."""
    await delivered(world, lambda: world.holding.add(hold_message(**one_record(world))))


async def ends_while_units_are_open(world: World) -> None:
    until = world.now + timedelta(minutes=5)
    message = hold_message(**TARGETS["person"]).model_copy(update={"until": until})
    await delivered(world, lambda: world.holding.add(message))
    world.later(minutes=6)
    await watches(world)


async def released_long_ago() -> World:
    """A hold on a person that ended more than a day ago."""
    world = await build()
    await world.holding.add(hold_message(**TARGETS["person"]))
    await world.holding.release(RELEASE)
    world.later(days=2)
    return world


SCENES = {
    "a record": Scene(build=build, work=a_record_is_held),
    "ends while pending": Scene(build=half_deleted, work=ends_while_units_are_open),
    "forgotten": Scene(build=released_long_ago, work=watches),
}
EXPECTED = {
    "a record": {"added": 1, "in_force": 1},
    "ends while pending": {"added": 1},
    "forgotten": {"added": 1, "in_force": 1, "released": 1},
}
CASES = [(name, broken) for name, scene in SCENES.items() for broken in scene.all_broken()]


@pytest.mark.parametrize(("name", "broken"), CASES, ids=lambda each: str(each).replace(" ", "-"))
async def test_after_a_failed_write_the_hold_ends_as_it_should_and_is_told_once(name: str, broken: Broken) -> None:
    world = await SCENES[name].broken_world(broken)
    await world.rest()
    events = await assert_whole(world)
    assert said(events) == EXPECTED[name]
    hold = await held(world)
    assert hold.in_force is (InForce.UNKNOWN if name == "ends while pending" else InForce.YES)
    assert not hold.outbox
    if name == "forgotten":
        assert (hold.forgotten, hold.target, hold.reason) == (True, "", "")
