"""A worker dies with a unit of which something stays: that it stays is final minutes later, and no redelivery helps.

So the message is done with, and whoever comes back after a time finds the journal: nothing becomes a dead letter, and
nobody is alarmed.
"""

import pytest
from disturbances import die
from promises import assert_whole
from world import MOST_DELIVERIES, World


async def home(stays: str) -> World:
    """A home with old log rows, one of which stays."""
    world = World(unit=10)
    world.only = "operation-log"
    world.user("anna")
    world.home("birkeveien", "anna", rows=0, old_rows=3, pictures=0)
    if stays == "held":
        await world.hold("hold-1", "home", "birkeveien")
    else:
        category = world.policy.category("operation-log")
        world.records.block(category, "birkeveien-anna-0", "lease", partition="birkeveien")
    return world


async def left_open(world: World, queue: str) -> None:
    """The worker of a message of the queue dies when the journal is written that names the row which stays."""
    journals = world.own["journals"]

    async def names_it() -> bool:
        found = [await journals.read(each.name) async for each in journals.list()]
        return any(held is not None and b"birkeveien-anna-0" in held.data for held in found)

    async def turn(name: str) -> None:
        if name == "after create" and await names_it():
            world.steps.turn = None
            await die()

    world.steps.turn = turn
    while world.steps.turn is not None:
        await world.deliver(queue)


async def delivered_until_nobody_would_any_more(world: World, queue: str) -> None:
    for _ in range(MOST_DELIVERIES):
        await world.deliver(queue)
    assert not world.queues[queue].dead, "redelivery at once could not help"
    await world.rest()
    assert not [each async for each in world.own["parking"].list()], "nobody need look at it"


@pytest.mark.parametrize("stays", ["held", "blocked"])
async def test_the_slice_of_a_worker_that_died_with_something_that_stays_waits_and_ends(stays: str):
    world = await home(stays)
    await world.planner.tick(only=["operation-log"])
    await left_open(world, "sweeps")
    await delivered_until_nobody_would_any_more(world, "sweeps")
    assert len(world.keys("operation-log")) == (3 if stays == "held" else 1)
    await assert_whole(world)


@pytest.mark.parametrize("stays", ["held", "blocked"])
async def test_the_request_of_a_worker_that_died_with_something_that_stays_waits_and_goes_on(stays: str):
    world = await home(stays)
    world.sweeping = False
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    await left_open(world, "work")
    await delivered_until_nobody_would_any_more(world, "work")
    assert (await world.document(request)).state == "needs_attention"
    await assert_whole(world)
