"""A planner or a worker dies at any step, or a rival runs to its end there: what expired goes, once, and is counted."""

from collections import Counter

import pytest
from disturbances import dies, disturbed, steps
from promises import assert_whole
from test_sweep_writes import assert_runs_tell_the_truth, rows
from world import World

from shared import messages

GONE = ("record.erased", "record.already_gone", "record.replaced")


async def planned() -> World:
    """The run is planned and its messages are sent."""
    world = await rows()
    await world.planner.tick(only=["operation-log"])
    return world


async def sweep(world: World) -> None:
    for message in list(world.queues["sweeps"].messages):
        await world.sweeps.sweep(messages.parse(message.body, now=world.now), hurry=world.hurry)


async def tick(world: World) -> None:
    await world.planner.tick(only=["operation-log"], forced=True)


async def everything(world: World) -> None:
    await tick(world)
    await world.deliver("sweeps", "ledger")
    await tick(world)


async def ended(world: World) -> None:
    await world.rest()
    events = await assert_whole(world)
    assert_runs_tell_the_truth(events)
    assert world.everything()["operation-log"] == ["birkeveien-anna-0", "birkeveien-anna-3"]


@pytest.mark.parametrize("then", [dies, sweep])
@pytest.mark.parametrize("at", steps(planned, sweep))
async def test_a_worker_that_is_disturbed_at_a_step_loses_nothing(at, then):
    world, _ = await disturbed(planned, sweep, at, then)
    await ended(world)
    told = Counter(each["data"]["record"] for each in await world.events() if each["type"].endswith(GONE))
    assert set(told.values()) == {1}, "one event for each record that is gone, whoever was at it too"


@pytest.mark.parametrize("then", [dies, everything])
@pytest.mark.parametrize("at", steps(rows, everything))
async def test_a_planner_that_is_disturbed_at_a_step_starts_and_ends_each_run_once(at, then):
    world, _ = await disturbed(rows, everything, at, then)
    await ended(world)


async def test_two_forced_runs_within_one_second_are_two_runs():
    world = World()
    world.put("camera-snapshots", "thumbs.db")  # strange, so that a run without slices has an event too
    for _ in range(2):
        await world.planner.tick(only=["camera-snapshots"], forced=True)
        world.now = world.now.replace(microsecond=world.now.microsecond + 1)
    await world.rest()
    events = await assert_whole(world)
    assert len({each["data"]["run"] for each in events}) == len(events) >= 2
