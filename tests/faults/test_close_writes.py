"""Each write of a request's end fails: receipt, register, parking, keys, document, and what the sweeps then take.

The next run of the same timers ends it: one receipt, one event that it is closed, no key, and one event for each of our
own records that is gone.
"""

from collections import Counter
from contextlib import suppress
from uuid import uuid4

import pytest
from disturbances import Broken, CrashError, Scene, die
from promises import assert_whole
from test_parking_writes import die_when_parked
from world import World, person

from shared import messages
from shared.errors import RetentionError
from shared.keys import name_of
from shared.receipt import Receipt
from shared.requests.documents import State

KEPT = ("register", "scope-keys")
"""The categories of what goes with a request that is closed, a day later."""


async def park(world: World, message_id: str, about: str = "") -> None:
    more = {"request": world.request, "about": about, "now": world.now}
    await world.parking.park(b"anna", queue="requests", message_id=message_id, reason="unreadable", **more)


async def erased() -> World:
    """A person who was erased a month ago; a dead letter of it is parked, and a message that nobody could read."""
    world = World(sweeping=False)
    world.user("anna")
    world.home("birkeveien", "anna")
    world.request = await world.ask(user_id="anna")
    await world.rest()
    await park(world, "m1", about=world.request)
    await park(world, "m2")
    await world.drain("ledger")
    world.later(days=31)
    return world


async def interrupted() -> World:
    """An event of a request, and one of a message parked with its id, still wait when the time has come to close it."""
    world = World(sweeping=False)
    world.user("anna")
    world.request = await world.ask(user_id="anna")
    await world.deliver("requests")

    async def dies_when_done(name: str) -> None:
        if name == "before create" and b'"state":"done"' in await _stored(world):
            await die()

    world.steps.turn = dies_when_done
    await world.deliver("work")
    world.queues["work"].messages.clear()
    die_when_parked(world)
    with suppress(CrashError):
        await park(world, "m1")
    world.steps.turn = None
    await world.append()
    world.later(days=31)
    return world


async def _stored(world: World) -> bytes:
    return (await world.own["requests"].read(f"{world.request}.json")).data


async def work(world: World) -> None:
    """The timers of a day, and of the next one, when sweeps take what is closed."""
    for _ in range(3):
        with suppress(RetentionError, CrashError):
            await world.closer.close_due()
        await world.seal()
    world.later(days=2)
    for _ in range(2):
        with suppress(RetentionError, CrashError):
            await world.planner.tick(only=KEPT, forced=True)
        await world.deliver("sweeps", "ledger")


SCENES = {each.__name__: Scene(build=each, work=work) for each in (erased, interrupted)}
CLOSING = [
    (name, broken)
    for name, scene in SCENES.items()
    for broken in scene.all_broken()
    if (name == "erased" and broken.where not in ("runs", "sweeps")) or broken.where in ("requests", "parking")
]


def test_every_kind_of_write_is_among_those_that_fail() -> None:
    made = {(each.where, each.kind, each.name.split("/")[0]) for scene, each in CLOSING if scene == "erased"}
    assert made >= {
        ("receipts", "create", "…"),
        ("requests", "replace", "…"),
        ("register", "replace", "…"),
        ("keys", "replace", "person"),
        ("keys", "delete", "person"),
        ("register", "delete", "…"),
        ("parking", "replace", "requests"),
    }


async def by_ids_alone(world: World, events: list[dict]) -> None:
    """Without the key nobody finds a record's name in the log; the ids of its events still account for it."""
    assert len(world.records.took) == len(set(world.records.took))


async def ended(world: World) -> None:
    world.sweeping = True
    for _ in range(2):
        await world.closer.close_due()
        await world.rest()
    world.later(days=2)
    await world.rest()
    events = await assert_whole(world, accounted=by_ids_alone)
    document = await world.document(world.request)
    assert (document.state, document.scope, document.subject) == (State.CLOSED, None, None)
    stored = await world.own["receipts"].read(f"{world.request}.json")
    assert [each.id for each in Receipt.model_validate_json(stored.data).subjects] == ["anna"]
    assert await world.own["register"].read(f"{world.request}.json") is None
    assert await world.own["keys"].read(name_of(person("anna"))) is None
    assert b"anna" not in await _stored(world)
    for entry in [each async for each in world.own["parking"].list()]:
        assert b'"body":null' in (await world.own["parking"].read(entry.name)).data
    said = Counter(each["type"] for each in events)
    assert said["retention.request.closed"] == 1
    gone = [each for each in events if each["data"].get("category") in KEPT and "record" in each["data"]]
    assert {each["type"] for each in gone} <= {"retention.record.erased", "retention.record.already_gone"}
    assert Counter(each["data"]["category"] for each in gone)["register"] == 1
    assert set(Counter(each["data"]["record"] for each in gone).values()) == {1}


@pytest.mark.parametrize(("scene", "broken"), CLOSING, ids=str)
async def test_after_a_failed_write_the_request_closes_once(scene: str, broken: Broken) -> None:
    await ended(await SCENES[scene].broken_world(broken))


# ---------------------------------------------------------------- whoever was forgotten, and comes back


async def restored() -> World:
    """A restore brings back somebody whose request is closed, before the sweeps took the register's entry and the key."""
    world = await erased()
    await world.closer.close_due()
    await world.seal()
    world.user("anna")
    order = messages.compose(
        "replay", id=(number := str(uuid4())), by="the office", backup_began="2026-01-01T00:00:00Z"
    )
    await world.queues["requests"].send(order, message_id=number)
    return world


async def replay(world: World) -> None:
    for _ in range(3):
        await world.deliver("requests", "work")


RESTORED = Scene(build=restored, work=replay)
AGAIN = [each for each in RESTORED.all_broken() if each.where == "keys"]
CASES = [*CLOSING, *AGAIN]


@pytest.mark.parametrize("broken", AGAIN, ids=str)
async def test_after_a_failed_write_a_key_that_was_to_go_stays_for_the_request_that_needs_it(broken: Broken) -> None:
    world = await RESTORED.broken_world(broken)
    await world.rest()
    await assert_whole(world)
    assert world.everything() == {}
    assert sorted(each.state for each in await world.documents()) == [State.CLOSED, State.DONE]
    assert "closed_at" not in (await world.own["keys"].read(name_of(person("anna")))).metadata
