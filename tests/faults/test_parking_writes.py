"""Each write of parking fails: a message parked, come again, dismissed, emptied; a dead letter that was made good.

What comes next (the same message, the same order, the watch) leaves one object, and each of its events once.
"""

from collections import Counter
from contextlib import suppress
from uuid import uuid4

import pytest
from disturbances import Broken, CrashError, Scene, die
from promises import assert_whole
from world import World

from shared import messages
from shared.errors import RetentionError
from shared.parking import entries

NONSENSE = b'{"retention": {"version": 1, "type": "era'


async def send(world: World, body: bytes, message_id: str) -> None:
    """As the broker has it, whose memory of earlier ids is short."""
    world.queues["requests"]._seen.clear()
    await world.queues["requests"].send(body, message_id=message_id)


async def dismiss(world: World) -> None:
    """Somebody looks, and dismisses what waits."""
    for entry in [each async for each in entries(world.own["parking"])]:
        if not entry.dismissed:
            order = messages.compose("dismiss", id=(number := str(uuid4())), parked=entry.id, by="cleo", reason="seen")
            await send(world, order, number)
            for _ in range(2):
                await world.deliver("requests")


async def settle(world: World) -> None:
    with suppress(RetentionError, CrashError):
        await world.dead_letters.look_again()


# ---------------------------------------------------------------- scenes


async def quiet() -> World:
    return World(sweeping=False)


async def comes_twice(world: World) -> None:
    """Parked, dismissed, come again, and dismissed again."""
    for _ in range(2):
        await send(world, NONSENSE, "m1")
        for _ in range(2):
            await world.deliver("requests")
        await dismiss(world)
        await settle(world)


async def failed() -> World:
    """The work on a request fails ten times."""
    world = World(sweeping=False)
    world.user("anna")
    await world.ask(user_id="anna")
    await world.deliver("requests")
    world.queues["work"].dead, world.queues["work"].messages = world.queues["work"].messages, []
    return world


async def made_good(world: World) -> None:
    """It is parked; the watch sends the request again, which is carried out; then the watch looks again."""
    for _ in range(2):
        await world.deliver_dead()
    world.later(minutes=11)
    for _ in range(2):
        with suppress(RetentionError):
            await world.watch.idle_requests()
        await world.deliver("work")
    await settle(world)
    await settle(world)


def die_when_parked(world: World) -> None:
    """Whoever parks a message dies before its event is posted."""

    async def turn(name: str) -> None:
        if name == "before create" and [each async for each in world.own["parking"].list()]:
            await die()

    world.steps.turn = turn


async def untold() -> World:
    """Whoever parked a message died before its event was posted."""
    world = World(sweeping=False)
    await send(world, NONSENSE, "m1")

    die_when_parked(world)
    await world.deliver("requests")
    world.steps.turn = None
    world.queues["requests"].messages.clear()
    return world


async def looked_at(world: World) -> None:
    await settle(world)
    await settle(world)


SCENES = {
    "comes twice": Scene(build=quiet, work=comes_twice),
    "made good": Scene(build=failed, work=made_good),
    "untold": Scene(build=untold, work=looked_at),
}
EVENTS = {
    "comes twice": {"parked": 2, "dismissed": 2},
    "made good": {"parked": 1, "dismissed": 1},
    "untold": {"parked": 1},
}
CASES = [
    (name, broken)
    for name, scene in SCENES.items()
    for broken in scene.all_broken()
    if broken.sites and (name != "made good" or broken.where == "parking")
]


def test_every_kind_of_write_is_among_those_that_fail() -> None:
    made = Counter((each.where, each.kind) for name, each in CASES if name == "comes twice" and each.how == "applied")
    # replaced: its event is posted; it is dismissed; that event is posted; and the same again, which first comes again
    assert made == {
        ("parking", "create"): 2,  # the second finds the first
        ("parking", "replace"): 7,
        ("journals", "create"): 4,
        ("ledger", "send"): 4,
    }


async def ended(world: World, name: str) -> None:
    await world.rest()
    if name == "comes twice":
        [entry] = [each async for each in entries(world.own["parking"])]
        while entry.arrival < 2 or not entry.dismissed:  # the sender, or who dismisses, gave up at the error
            await comes_twice(world)
            [entry] = [each async for each in entries(world.own["parking"])]
    await world.rest()
    events = await assert_whole(world)
    said = Counter(each["type"].removeprefix("retention.message.") for each in events if ".message." in each["type"])
    if name == "comes twice":
        [entry] = [each async for each in entries(world.own["parking"])]
        assert said == {"parked": entry.arrival, "dismissed": entry.arrival}
    else:
        assert said == EVENTS[name]
    for each in [each async for each in entries(world.own["parking"])]:
        assert not each.waiting


@pytest.mark.parametrize(("name", "broken"), CASES, ids=str)
async def test_after_a_failed_write_each_arrival_is_told_once_and_each_dismissal_once(
    name: str, broken: Broken
) -> None:
    await ended(await SCENES[name].broken_world(broken), name)
