"""Each write of the functions themselves fails, and of the looks that they take: what fires next makes it good.

The functions are the app's own; under them is the tests' world in place of the stores.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter
from disturbances import Broken, Scene
from promises import assert_whole
from world import World

from functions import ledger, pipeline, requests, watch
from shared.audit import EventType
from shared.errors import RetentionError
from shared.ledger.retire import Retirement
from shared.outbox import outgoing, post
from shared.overdue import NAME as OVERDUE
from shared.posture.watch import NAME as POSTURE
from shared.posture.watch import PostureWatch

JOURNALS = 70  # more than one commit takes
TIMERS = ("watch_overdue", "watch_posture")


class App(SimpleNamespace):
    """What the functions ask of a Product, over a world."""

    def __init__(self, world: World) -> None:
        async def stores() -> dict[str, Any]:
            return {}

        own = {name: world.steps.around(store) for name, store in world.own.items()}
        one = replace(world.policy, categories=world.policy.categories[:1])  # a look at all takes its time
        super().__init__(
            door=world.door,
            parking=world.parking,
            heartbeats=world.heartbeats,
            overseer=replace(world.overseer, policy=one),
            posture=PostureWatch(policy=one, stores=stores, heartbeats=own["heartbeats"]),
            ledger=world.ledger,
            retirement=Retirement(
                ledger=world.ledger, policy=world.policy, doorbell=world.queues["ledger"], source="//test.example"
            ),
            queue=world.queues.__getitem__,
            hurry=lambda _: lambda: True,
        )


@contextmanager
def running(world: World) -> Iterator[None]:
    """The functions have this world's app."""
    before = {module: module.product for module in (pipeline, ledger, requests)}

    async def product() -> App:
        return App(world)

    for module in before:
        module.product = product
    try:
        yield
    finally:
        for module, each in before.items():
            module.product = each


async def fire(world: World, module: Any, function: str, given: Any) -> None:
    """Call a function as the host does: what it raises is the host's, which calls it again."""
    with running(world), suppress(RetentionError):
        await getattr(module, function).build(func.AuthLevel.ANONYMOUS).get_user_function()(given)


# ---------------------------------------------------------------- scenes


async def quiet() -> World:
    return World(sweeping=False)


async def looks(world: World) -> None:
    """Each look twice: the second stands in the place of the first."""
    for _ in range(2):
        for timer in TIMERS:
            await fire(world, watch, timer, None)
        world.later(minutes=15)


async def refuses(world: World) -> None:
    """A message that nobody can read, given again as long as it is not settled."""
    body, name = Datum(b'{"retention": {"version": 1', "bytes"), {"MessageId": Datum("m1", "string")}
    for _ in range(2):
        message = ServiceBusMessageInConverter.decode_single_message(body, trigger_metadata=name)
        await fire(world, requests, "requests_intake", message)


async def full() -> World:
    """More settled journals than one commit takes."""
    world = World(sweeping=False)
    for number in range(JOURNALS):
        data = {"category": f"c-{number}"}
        await post(world.gate, [outgoing(world.gate, EventType.CATEGORY_PAUSED, world.now, data)])
    world.queues["ledger"].messages.clear()
    return world


async def appends(world: World) -> None:
    """The time of a ring is over after one commit: it rings for another."""
    await fire(world, ledger, "ledger_append", [])


SCENES = {
    "looks": Scene(build=quiet, work=looks),
    "refuses": Scene(build=quiet, work=refuses),
    "appends": Scene(build=full, work=appends),
}
CASES = [(name, broken) for name, scene in SCENES.items() for broken in scene.all_broken()]


def test_every_kind_of_write_is_among_those_that_fail() -> None:
    made = Counter((name, each.where, each.kind) for name, each in CASES if each.how == "applied")
    assert made["looks", "heartbeats", "create"] == 4, "two looks, and that two timers fired"
    assert made["looks", "heartbeats", "replace"] == 4
    assert made["refuses", "parking", "create"] >= 1
    assert made["appends", "ledger", "send"] == 1


@pytest.mark.parametrize(("name", "broken"), CASES, ids=str)
async def test_after_a_failed_write_the_next_firing_makes_it_good(name: str, broken: Broken) -> None:
    world = await SCENES[name].broken_world(broken)
    fired = world.now
    match name:
        case "looks":
            await looks(world)
            entries = {each.name: each async for each in world.own["heartbeats"].list()}
            assert set(entries) == {OVERDUE, POSTURE, *(f"timer/{each}" for each in TIMERS)}
            assert {each for each, entry in entries.items() if entry.modified < fired} == set()
        case "refuses":
            await refuses(world)
            await world.rest()
            assert [each["type"] for each in await assert_whole(world)] == ["retention.message.parked"]
        case "appends":
            await world.rest()
            assert len(await assert_whole(world)) == JOURNALS
