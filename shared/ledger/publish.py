"""Publish: the sealed events to topic `audit`, in log order, at least once. The log is the record; this is its echo.

Each event carries its place as CloudEvents extensions, `logindex` and `logorigin`: a subscriber that keeps the highest
index it has seen knows a repeat from news, and a gap from silence.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from shared.audit import canonical, parse_event
from shared.errors import ChangedError, ExistsError, IntegrityError, TransientError
from shared.ledger.head import Ledger
from shared.ledger.log import TRIES, is_dropped
from shared.ledger.reader import Live, bundles, latest

MESSAGE_BYTES = 256 * 1024
BATCH_BYTES = MESSAGE_BYTES - 4_096  # the rest is the message's own: id, content type, headers
VERSION = 1


class Topic(Protocol):
    """The topic `audit`: a batch is a JSON array of CloudEvents (application/cloudevents-batch+json)."""

    async def send(self, batch: bytes, /, *, message_id: str) -> None:
        """Send one message. Raises TransientError when no answer says that it was taken."""


Tell = Callable[[Sequence[Mapping[str, Any]]], object]
"""Is told of the events of each batch, once the cursor stands behind it: never twice of one, and of none in a crash."""


async def publish(ledger: Ledger, year: str, topic: Topic, *, tell: Tell | None = None) -> int:
    """Send what was sealed since the cursor; return the number of events sent.

    1. Read the cursor, then the checkpoint: it can only be ahead.
    2. Send batches in log order, each of at most MESSAGE_BYTES, under the id `<year>-<first>-<next>`.
    3. After each, move the cursor, if it is still where it was read. A crash before that sends the batch again.

    Raises IntegrityError when the cursor is ahead of the checkpoint, TransientError when the topic or a store is away
    or when other publishers were faster TRIES times.
    """
    sent = 0
    for _ in range(TRIES):
        first, etag = await cursor(ledger, year)
        checkpoint = await latest(Live(ledger=ledger, year=year))
        size = 0 if checkpoint is None else checkpoint.size
        if await is_dropped(ledger, year):  # all of it was published before: what was read may be half deleted
            return sent
        if first > size:
            raise IntegrityError("the publisher's cursor is ahead of the checkpoint: one of the two was set back")
        try:
            async for events, batch, end in _batches(ledger, year, first, size):
                await topic.send(batch, message_id=f"{year}-{first}-{end}")
                etag = await _move(ledger, year, end, etag)
                sent, first = sent + end - first, end
                if tell is not None:
                    tell(events)
        except (ChangedError, ExistsError):
            continue  # another publisher is at it: go on from where it is
        return sent
    raise TransientError("other publishers were faster every time")


async def cursor(ledger: Ledger, year: str) -> tuple[int, str | None]:
    """The index of the next event to publish, and the ETag it was read with. Raises IntegrityError."""
    stored = await ledger.state.read(_cursor_name(year))
    return (0, None) if stored is None else (_decode(stored.data), stored.etag)


def _cursor_name(year: str) -> str:
    return f"{year}/published"


def _decode(data: bytes) -> int:
    try:
        value = json.loads(data)
        if value["v"] == VERSION and isinstance(value["next"], int) and value["next"] >= 0:
            return value["next"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError("the publisher's cursor cannot be read") from error
    raise IntegrityError("the publisher's cursor is not one of ours")


async def _move(ledger: Ledger, year: str, end: int, etag: str | None) -> str:
    data = canonical({"v": VERSION, "next": end})
    if etag is None:
        return await ledger.state.create(_cursor_name(year), data)
    return await ledger.state.replace(_cursor_name(year), data, etag=etag)


_Batch = tuple[Sequence[Mapping[str, Any]], bytes, int]


async def _batches(ledger: Ledger, year: str, start: int, size: int) -> AsyncIterator[_Batch]:
    """Yield (events, message body, index after the last). An event alone always fits: it has at most 8 KB."""
    origin = ledger.origin_of(year)
    events: list[Mapping[str, Any]] = []
    held, held_bytes, end = list[bytes](), 2, start  # the two brackets
    async for first, texts in bundles(Live(ledger=ledger, year=year), size, start=start):
        for index, text in enumerate(texts, start=first):
            parsed = parse_event(text)
            event = canonical({**parsed, "logindex": index, "logorigin": origin})
            if held and held_bytes + len(event) + 1 > BATCH_BYTES:
                yield events, _array(held), end
                events, held, held_bytes = [], [], 2
            events.append(parsed)
            held.append(event)
            held_bytes += len(event) + 1  # its comma
            end = index + 1
    if held:
        yield events, _array(held), end


def _array(events: list[bytes]) -> bytes:
    return b"[" + b",".join(events) + b"]"
