"""What a broker may fall over, or let grow without end: the local Service Bus refuses each, and goes on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from bus_at_hand import Client, attach, bus_at_hand, credit, sections, transfer

from local.servicebus import connection
from local.servicebus.decoding import decode
from local.servicebus.encoding import encode
from local.servicebus.frames import AMQP_HEADER, EMPTY_FRAME, FrameReader, Incoming, frame
from local.servicebus.performatives import (
    ACCEPTED,
    REJECTED,
    Close,
    Detach,
    Disposition,
    Open,
    Transfer,
    error,
    outcome,
)
from local.servicebus.values import Array, Described, Int, MalformedError, Symbol, Timestamp, UInt, ULong

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LAST, FIRST = 2**63 - 1, -(2**63)
LATE = (0x72, {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(LAST)})


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with bus_at_hand(tmp_path) as bus:
        client = bus.client()
        await client.begin()
        yield client
        bus.check()
        other = bus.client()
        await other.begin()
        assert await other.send(sections((0x75, b"good"))) == ("disposition", ACCEPTED)


def properties(**at: object) -> tuple[int, object]:
    fields: list[object] = [None] * 13
    for name, value in at.items():
        fields[{"expiry": 8, "created": 9, "group": 10, "id": 0}[name]] = value
    return 0x73, fields


@pytest.mark.parametrize(
    "parts",
    [
        [LATE],
        [(0x70, [None, None, UInt(5)]), LATE],
        [properties(expiry=Timestamp(LAST), created=Timestamp(FIRST))],
        [properties(expiry=Timestamp(FIRST), created=Timestamp(LAST))],
        [properties(expiry=Timestamp(LAST), created=Timestamp(0))],
    ],
)
@pytest.mark.parametrize("queue", ["plain", "expiring"])
async def test_message_with_a_time_beyond_the_calendar_is_rejected(
    client: Client, parts: list[tuple[int, object]], queue: str
) -> None:
    assert await client.send(sections(*parts, (0x75, b"x")), queue) == ("disposition", REJECTED)


async def test_message_that_lives_as_long_as_the_calendar_is_taken(client: Client) -> None:
    ends = 253_402_300_799_999
    raw = sections(properties(expiry=Timestamp(ends), created=Timestamp(0)), (0x75, b"x"))
    assert await client.send(raw) == ("disposition", ACCEPTED)


def test_array_of_items_without_bytes_is_refused_however_many_it_claims() -> None:
    inner = b"\xf0" + (5).to_bytes(4, "big") + (65_000).to_bytes(4, "big") + b"\x40"
    item = inner[1:]
    bomb = b"\xf0" + (5 + 5_000 * len(item)).to_bytes(4, "big") + (5_000).to_bytes(4, "big") + b"\xf0" + item * 5_000
    begun = time.process_time()
    for raw in (inner, bomb):
        with pytest.raises(MalformedError):
            decode(raw)
    assert time.process_time() - begun < 1


def test_map_whose_keys_all_have_one_hash_is_refused_before_they_are_compared() -> None:
    same = [UUID(int=number * (2**61 - 1)) for number in range(30_000)]
    data = b"".join(encode(key) + b"\x40" for key in same)
    raw = b"\xd1" + (4 + len(data)).to_bytes(4, "big") + (2 * len(same)).to_bytes(4, "big") + data
    begun = time.process_time()
    with pytest.raises(MalformedError):
        decode(raw)
    assert time.process_time() - begun < 1


async def test_settling_a_range_is_answered_in_as_few_frames_as_there_are_outcomes(client: Client) -> None:
    for number in range(3):
        assert await client.send(sections((0x75, str(number).encode()))) == ("disposition", ACCEPTED), number
        await client.say(Detach(handle=UInt(7), closed=True))
    delivered = await client.say(attach(1, "plain", role=True), credit(1, 2))
    ids = [each.delivery_id for each in delivered if isinstance(each, Transfer)]
    assert len(ids) == 2
    first = UInt(ids[0] - 30_000)
    done = Disposition(role=True, first=first, last=UInt(first + 60_000), settled=False, state=outcome(ACCEPTED))
    answers = [each for each in await client.say(done) if isinstance(each, Disposition)]
    assert [(each.first - ids[0], each.last - ids[0]) for each in answers if each.last is not None] == [
        (-30_000, -1),
        (0, 0),
        (1, 1),
        (2, 30_000),
    ]
    assert [each.state.descriptor for each in answers if each.state] == [REJECTED, ACCEPTED, ACCEPTED, REJECTED]


async def test_endless_settlements_of_nothing_cost_little(client: Client) -> None:
    nothing = Disposition(role=True, first=UInt(0), last=UInt(65_000), settled=False, state=outcome(ACCEPTED))
    await client.give(frame(nothing) * 1_000)
    assert len(client.wire.written) < 1_000_000
    assert client.seconds < 2


async def test_idle_time_that_cannot_be_kept_closes_the_connection_with_the_reason(tmp_path: Path) -> None:
    async with bus_at_hand(tmp_path) as bus:
        client = bus.client()
        await client.give(AMQP_HEADER + frame(Open(container_id="c", idle_time_out=UInt(1))))
        answers = client.heard()
        assert isinstance(answers[-1], Close)
        assert answers[-1].error is not None
        assert client.wire.closed


async def test_client_that_says_nothing_is_hung_up_on_and_what_it_held_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_FORCED_SECONDS", 0.5)
    async with bus_at_hand(tmp_path) as bus:
        silent, speaking = bus.client(), bus.client()
        await silent.begin()
        await speaking.begin()
        assert await speaking.send(sections((0x75, b"x"))) == ("disposition", ACCEPTED)
        delivered = await silent.say(attach(1, "plain", role=True), credit(1, 1))
        assert "Transfer" in {type(each).__name__ for each in delivered}
        await speaking.say(attach(1, "plain", role=True), credit(1, 1))
        got = list[str]()
        for _ in range(20):
            await asyncio.sleep(0.1)
            await speaking.give(EMPTY_FRAME)
            got += [type(each).__name__ for each in speaking.heard()]
        told = silent.heard()
        assert isinstance(told[-1], Close)
        assert told[-1].error is not None
        assert silent.wire.closed
        assert not speaking.wire.closed
        silent.connection.connection_lost(None)  # as the transport says then
        await asyncio.sleep(0.1)
        got += [type(each).__name__ for each in speaking.heard()]
        assert "Transfer" in got


async def test_client_that_does_not_read_is_not_listened_to_until_it_does(client: Client) -> None:
    client.connection.pause_writing()
    assert client.wire.paused
    client.connection.resume_writing()
    assert not client.wire.paused
    client.wire.closed = True  # and what is going away is left alone
    client.connection.pause_writing()
    assert not client.wire.paused


@pytest.mark.parametrize(
    ("operation", "token", "status"),
    [
        ("put-token", "SharedAccessSignature sr=x&sig=y&se=1&skn=z", 202),
        ("put-token", "eyJ0eXAiOiJKV1QifQ.e30.", 401),
        ("put-token", None, 401),
        ("delete-token", "SharedAccessSignature x", 401),
    ],
)
async def test_token_that_is_no_shared_access_signature_is_unauthorised(
    client: Client, operation: str, token: str | None, status: int
) -> None:
    await client.say(attach(3, "$cbs", role=True), credit(3, 5), attach(4, "$cbs", role=False))
    request = sections(properties(id=UUID(int=1)), (0x74, {"operation": operation}), (0x77, token))
    await client.give(frame(transfer(4), 0, request))
    answers = FrameReader().feed(bytes(client.wire.written))
    (payload,) = [each.payload for each in answers if isinstance(each, Incoming) and each.payload]
    client.wire.written.clear()
    assert encode("status-code") + encode(Int(status)) in payload


async def test_rejection_without_a_list_of_fields_is_answered(client: Client) -> None:
    await client.send(sections((0x75, b"x")))
    delivered = await client.say(attach(1, "plain", role=True), credit(1, 1))
    (number,) = [each.delivery_id for each in delivered if isinstance(each, Transfer)]
    for state in (outcome(REJECTED, error("x", "y")), Described(ULong(REJECTED), [Described(ULong(0x1D), [])])):
        rejected = Disposition(role=True, first=number, last=number, settled=False, state=state)
        (answer,) = await client.say(rejected)
        assert isinstance(answer, Disposition)


def test_array_of_lists_without_items_keeps_its_items() -> None:
    assert decode(encode(Array(0xD0, ([], []))))[0] == Array(0xD0, ([], []))
