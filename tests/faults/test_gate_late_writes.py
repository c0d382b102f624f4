"""Each write of a worker that came too late fails: its giving up, its correction of what another said, the holds told.

Such a worker slept in the middle of a call, past every limit, while another settled that its records are held; then it
deleted them. Nobody else knows that, so what it writes then is written again until there is an answer.
"""

from contextlib import suppress

import pytest
from disturbances import Broken, Scene
from promises import assert_whole
from test_gate_writes import CAUSE, build
from test_hold_races import TARGETS, held, hold_message, still_there
from world import World

from shared.deletion import ATTEMPTS
from shared.errors import RetentionError
from shared.holds import NOTE, InForce


async def gives_up(world: World) -> None:
    """One record never answers: the journal stays open, in a new version."""
    for nth in (2, *range(len(world.todo), len(world.todo) + ATTEMPTS - 1)):
        world.records.fail(nth=nth, applied=True)
    with suppress(RetentionError):
        await world.gate.delete(world.todo, CAUSE)


async def oversleeps(world: World, *, at: int = 1, target: str = "category", silence: bool = False) -> None:
    """A store is asked, and minutes pass: a hold comes into force, and the watch recovers the journal.

    It is the first of two stores: the second is not asked any more.
    """
    asked = 0

    async def sleeps(name: str) -> None:
        nonlocal asked
        asked += name == "before delete"
        if asked < at:
            return
        world.steps.turn = None
        await world.holding.add(hold_message(**TARGETS[target]))
        world.later(minutes=11)
        for timer in (world.watch.journals, world.holding.watch):
            await timer()
        for nth in range(1, 1 + ATTEMPTS * len(world.todo) * silence):
            world.records.fail(nth=nth, applied=True)

    world.steps.turn = sleeps
    with suppress(RetentionError):
        await world.gate.delete(world.todo, CAUSE)
    for _ in range(2):
        with suppress(RetentionError):
            await world.holding.watch()


async def oversleeps_and_hears_nothing(world: World) -> None:
    """The same, and the store's answer to what it deleted is lost each time."""
    await oversleeps(world, silence=True)


async def oversleeps_at_the_last(world: World) -> None:
    """The same at the second store: every record has an answer."""
    await oversleeps(world, at=2, target="home")


LATE = ("Gate._correct", "Holding._see_to", "Holding._in_force")
WORKS = (gives_up, oversleeps, oversleeps_and_hears_nothing, oversleeps_at_the_last)
SCENES = {each.__name__: Scene(build=build, work=each) for each in WORKS}
CASES = [
    (name, broken)
    for name, scene in SCENES.items()
    for broken in scene.all_broken()
    if {site.function for site in broken.sites} & {"Gate._give_up", *LATE}
]


def test_these_are_the_writes_of_whoever_comes_late() -> None:
    made = {(name, each.where, each.kind) for name, each in CASES}
    late = [("journals", "create"), ("holds", "create"), ("holds", "replace"), ("holds", "delete"), ("ledger", "send")]
    assert made >= {
        ("gives_up", "journals", "replace"),
        ("oversleeps_and_hears_nothing", "journals", "replace"),
        *((name, *write) for name in ("oversleeps", "oversleeps_and_hears_nothing") for write in late),
    }


@pytest.mark.parametrize(("name", "broken"), CASES, ids=str)
async def test_after_a_failed_write_what_went_is_told_and_the_hold_counts_it(name: str, broken: Broken) -> None:
    world = await SCENES[name].broken_world(broken)
    await world.rest()
    events = await assert_whole(world)
    if name == "gives_up":
        return
    hold = await held(world)
    went = [text for text, there in (await still_there(world, hold)).items() if not there]
    assert went, "else nothing came late"
    assert (hold.in_force, hold.too_late) == (InForce.YES, len(went))
    assert max(each["data"]["too_late"] for each in events if each["type"] == "retention.hold.in_force") == len(went)
    assert not [entry async for entry in world.own["holds"].list() if NOTE in entry.metadata]
