"""No bytes stop the local Service Bus: what the SDK sends, spoilt, and frames that a hostile client makes up.

Each stream gets the protocol's own error or a closed connection within its time; whatever it did, the next good client is
served, and what the store holds can be read again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bus_at_hand import BusAtHand, bus_at_hand, quiet
from effort import effort
from hostile_bus import Hostile
from recorded import bus_traffic

from local.servicebus.entities import load_entities
from local.servicebus.frames import AMQP_HEADER, SASL_HEADER, FrameReader
from local.servicebus.performatives import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.processes import Process

ENTITIES = load_entities(Path(__file__).parents[2] / "local" / "entities.json")
GOOD = b"\x00\x53\x75\xa0\x04good"
PER_SERVER = 100
SECONDS = 2.0


@pytest.fixture(scope="module")
def streams(servicebus: Process) -> list[bytes]:
    return bus_traffic(servicebus.program.port)


async def run(bus: BusAtHand, stream: bytes, pieces: int, said: str) -> None:
    """One client from its greeting to its end."""
    client = bus.client()
    step = max(1, len(stream) // pieces)
    for at in range(0, len(stream), step):
        if client.wire.closed:
            break
        await client.give(stream[at : at + step])
    bus.check()
    assert client.seconds < SECONDS, said
    for answer in FrameReader().feed(bytes(client.wire.written)):  # frames, all of them
        assert not isinstance(answer, bytes) or answer[:4] == b"AMQP", said
    client.hang_up()


async def serves(bus: BusAtHand) -> None:
    client = bus.client()
    await client.begin()
    assert await client.send(GOOD, "ledger") == ("disposition", ACCEPTED)
    client.hang_up()


async def under_fire(folder: Path, seed: int, many: int, make: Callable[[Hostile], bytes]) -> None:
    with quiet():
        for first in range(seed, seed + many, PER_SERVER):
            place = folder / str(first)
            async with bus_at_hand(place, ENTITIES) as bus:
                for number in range(first, min(first + PER_SERVER, seed + many)):
                    hostile = Hostile(number)
                    stream = make(hostile)
                    await run(bus, stream, hostile.chance.choice((1, 1, 3, 40)), f"seed {number}")
                await serves(bus)
            async with bus_at_hand(place, ENTITIES) as bus:  # all that it kept can be served again
                await serves(bus)


async def test_recorded_streams_are_what_they_are_taken_for(tmp_path: Path, streams: list[bytes]) -> None:
    assert len(streams) >= 5
    async with bus_at_hand(tmp_path, ENTITIES) as bus:
        for stream in streams:
            await run(bus, stream, 3, "as it was sent")
        assert all(stream.startswith((AMQP_HEADER, SASL_HEADER)) for stream in streams)


async def test_spoilt_traffic_stops_nothing(tmp_path: Path, streams: list[bytes]) -> None:
    await under_fire(tmp_path, 1_000, effort(300, 4_000), lambda hostile: hostile.spoilt(streams))


async def test_frames_made_up_by_a_hostile_client_stop_nothing(tmp_path: Path) -> None:
    await under_fire(tmp_path, 1_000_000, effort(300, 4_000), lambda hostile: hostile.stream())
