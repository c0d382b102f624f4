"""Publishing in log order, in bounded messages, from a cursor that only follows what was sent."""

import json

import pytest
from ledger_world import YEAR, World, event

from shared.errors import IntegrityError, TransientError
from shared.ledger.log import append
from shared.ledger.publish import BATCH_BYTES, MESSAGE_BYTES, publish
from shared.ledger.seal import seal


async def sealed(world, intent, events):
    await world.put(intent, events)
    await append(world.ledger, YEAR)
    await seal(world.ledger, YEAR, world.signer())


async def test_events_go_out_in_log_order_with_their_place_as_extensions():
    world = World()
    await sealed(world, "x", [event("x", n) for n in range(300)])
    assert await publish(world.ledger, YEAR, world.topic) == 300
    assert [(e["id"], e["logindex"]) for e in world.topic.events()] == [(f"x/{n}", n) for n in range(300)]
    assert {e["logorigin"] for e in world.topic.events()} == {f"local.example/retention/{YEAR}"}
    assert world.topic.events()[7]["data"] == json.loads(event("x", 7))["data"]


async def test_what_was_published_is_not_published_again():
    world = World()
    await sealed(world, "x", [event("x", 0)])
    assert await publish(world.ledger, YEAR, world.topic) == 1
    assert await publish(world.ledger, YEAR, world.topic) == 0
    await sealed(world, "y", [event("y", 0)])
    assert await publish(world.ledger, YEAR, world.topic) == 1
    assert [message_id for message_id, _ in world.topic.sent] == ["2026-0-1", "2026-1-2"]


async def test_only_what_is_sealed_is_published():
    world = World()
    await world.settle("x", 5)
    await append(world.ledger, YEAR)
    assert await publish(world.ledger, YEAR, world.topic) == 0
    assert await world.names("state", f"{YEAR}/published") == []


async def test_no_message_is_longer_than_the_limit_and_none_is_nearly_empty():
    world = World()
    await sealed(world, "x", [event("x", n, note="x" * 7_900) for n in range(100)])
    assert await publish(world.ledger, YEAR, world.topic) == 100
    lengths = [len(batch) for _, batch in world.topic.sent]
    assert max(lengths) <= BATCH_BYTES < MESSAGE_BYTES == 262_144
    assert all(length > BATCH_BYTES - 9_000 for length in lengths[:-1])
    ends = [message_id.split("-")[1:] for message_id, _ in world.topic.sent]
    assert [first for first, _ in ends] == ["0", *[end for _, end in ends[:-1]]]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"v":1}',
        b'{"v":2,"next":0}',
        b'{"v":1,"next":0.5}',
        b'{"v":1,"next":-1}',
        b'{"v":1,"next":2}',
    ],
    ids=range(9),
)
async def test_a_cursor_that_cannot_be_stops_the_publisher(data):
    world = World()
    await sealed(world, "x", [event("x", 0)])
    await world.stores["state"].create(f"{YEAR}/published", data)
    with pytest.raises(IntegrityError):
        await publish(world.ledger, YEAR, world.topic)
    assert world.topic.sent == []


async def test_a_publisher_that_others_overtake_goes_on_from_their_cursor():
    world = World()
    await sealed(world, "x", [event("x", n) for n in range(5)])

    class Overtaken:
        async def send(self, batch, *, message_id):
            assert await publish(world.ledger, YEAR, world.topic) == 5

    assert await publish(world.ledger, YEAR, Overtaken()) == 0
    assert len(world.topic.sent) == 1


async def test_each_event_is_told_once_after_its_batch_and_one_that_was_overtaken_tells_nothing():
    world, told = World(), []
    await sealed(world, "x", [event("x", n, note="x" * 7_900) for n in range(100)])
    assert await publish(world.ledger, YEAR, world.topic, tell=told.extend) == 100
    assert [each["id"] for each in told] == [f"x/{n}" for n in range(100)]
    await sealed(world, "y", [event("y", 0)])

    class Overtaken:
        async def send(self, batch, *, message_id):
            await publish(world.ledger, YEAR, world.topic, tell=told.extend)

    await publish(world.ledger, YEAR, Overtaken(), tell=told.extend)
    assert [each["id"] for each in told[100:]] == ["y/0"]


async def test_what_was_not_sent_is_not_told():
    world, told = World(), []
    await sealed(world, "x", [event("x", 0)])
    world.topic.fail = "unapplied"
    with pytest.raises(TransientError):
        await publish(world.ledger, YEAR, world.topic, tell=told.extend)
    assert told == []


async def test_a_publisher_that_is_always_overtaken_gives_up_for_now():
    world = World()
    await sealed(world, "x", [event("x", n, note="x" * 7_900) for n in range(100)])
    state = world.stores["state"]

    class Hostile:
        async def send(self, batch, *, message_id):
            stored = await state.read(f"{YEAR}/published")
            if stored:
                await state.replace(stored.name, stored.data, etag=stored.etag)
            else:
                await state.create(f"{YEAR}/published", b'{"v":1,"next":0}')

    with pytest.raises(TransientError):
        await publish(world.ledger, YEAR, Hostile())
