"""The app writes a record anew, under its old id, after it was deleted: no event says that the old one stayed."""

import asyncio

import pytest
from disturbances import Countdown, CrashError, die, dies
from promises import assert_whole
from test_gate_races import all_is_held, dies_and_all_is_held, recovers
from test_hold_races import held, hold_message
from world import World, found, home_of, outcomes, person

from shared import audit
from shared.errors import RetentionError
from shared.model import RequestCause

CAUSE = RequestCause(request="7b0ecf63-3a62-4c7d-9d65-6f9e8f0f1c11", scope=person("anna"))
ROWS = ("birkeveien-anna-0", "birkeveien-anna-1")
HOLD = "5d6b6cf5-3b4d-4f60-9c0a-2a3c2f4d9e01"


class App:
    """A turn for `Steps`: the app writes what is not there, before and after each call. Another turn comes first."""

    def __init__(self, world: World, first=None) -> None:
        self.world = world
        self.first = first

    async def __call__(self, name: str) -> None:
        if self.first is not None:
            await self.first(name)
        for row in set(ROWS) - set(self.world.keys("operation-log")):
            self.world.put("operation-log", {"id": row, "homeId": "birkeveien", "at": "2026-02-28T00:00:00Z"})
        home = self.world.records.item(self.world.policy.category("homes"), "birkeveien", partition="birkeveien")
        if "anna" not in home["members"]:
            self.world.put("homes", {**home, "members": ["anna", *home["members"]]})


async def build() -> World:
    """Two rows, and a home to leave."""
    world = World(sweeping=False)
    world.home("birkeveien", "anna", "bob", rows=2, pictures=0)
    rows = await found(world, "operation-log", home_of("birkeveien"))
    world.todo = [row for row in rows if row.locator.key in ROWS] + await found(world, "homes", person("anna"))
    return world


async def sleeps_and_all_is_held(world: World) -> None:
    await all_is_held(world)
    world.later(minutes=11)
    await world.watch.journals()


async def disturbed(at: int, then, *, silence: bool = False) -> tuple[World, Countdown]:
    """The world after a delete at whose `at`-th step `then` happened; `silence`: one deletion had no answer."""
    world = await build()

    async def comes() -> None:
        world.steps.turn = App(world)
        await then(world)

    world.steps.turn = App(world, turn := Countdown(at, comes))
    if silence:
        world.records.fail(nth=2, applied=True)
    try:
        await world.gate.delete(world.todo, CAUSE)
    except (RetentionError, CrashError) as error:
        world.errors.append(error)
    return world, turn


STEPS = asyncio.run(disturbed(0, dies))[1].taken


@pytest.mark.parametrize("silence", [False, True], ids=["answers", "silence"])
@pytest.mark.parametrize("then", [dies, dies_and_all_is_held, recovers, sleeps_and_all_is_held])
@pytest.mark.parametrize("at", range(1, STEPS + 1))
async def test_whatever_happens_at_a_step_each_deletion_has_an_event_that_is_true(at, then, silence):
    world, _ = await disturbed(at, then, silence=silence)
    world.steps.turn = App(world)
    await world.rest()
    await assert_whole(world)
    assert set(ROWS) <= set(world.keys("operation-log"))


async def test_a_row_deleted_without_an_answer_and_written_anew_is_replaced():
    world = await build()
    world.records.fail(nth=1, applied=True)
    world.steps.turn = App(world)
    said = await world.gate.delete(world.todo, CAUSE)
    assert [audit.outcome_name(each) for each in said] == ["replaced", "erased", "left"]
    await world.rest()
    await assert_whole(world)


async def test_a_row_that_was_written_anew_before_a_hold_came_is_not_called_held_and_the_hold_came_too_late(caplog):
    world = await build()

    async def once_deleted(name: str) -> None:
        if name == "after delete":
            await App(world)(name)
            await die()

    world.steps.turn = once_deleted
    with pytest.raises(CrashError):
        await world.gate.delete(world.todo, CAUSE)
    world.steps.turn = None
    await world.holding.add(hold_message(HOLD, category="operation-log"))
    await world.rest()
    said = outcomes(await assert_whole(world))
    assert said == {"replaced": 3}
    assert (await held(world, HOLD)).too_late == 2
    assert "came too late for 2 records" in caplog.text
