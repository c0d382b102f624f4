"""The outbox: settled journals, read as the appender needs them. Their exact form is `shared.journal`'s.

Refused with OutboxError: a settled journal that names no log, cannot be read, or holds what is not an event. Such a
journal is evidence that cannot be appended, and is never skipped in silence: the log halts until an operator looked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass

from shared.audit import EventError
from shared.errors import IntegrityError
from shared.ledger.ahead import ahead
from shared.ledger.head import YEAR
from shared.ledger.shapes import Shapes
from shared.stores.interface import Entry, ObjectStore

_SUFFIX = ".json"
READ_AHEAD = 4  # a batch is full after a few journals of the usual size: what is read beyond it is read again


class OutboxError(IntegrityError):
    """A settled journal cannot be appended as it is, or contradicts another. Names the intent: look at its journal."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one commit appends: whole journals, in the order they were settled. `more` says that others are left."""

    intents: tuple[str, ...]
    entries: tuple[bytes, ...]
    more: bool


async def settled(journals: ObjectStore) -> dict[str, list[Entry]]:
    """Settled journals by their log's year, oldest first. Raises OutboxError for one that names none."""
    found: dict[str, list[Entry]] = {}
    async for entry in journals.list():
        if entry.metadata.get("state") == "settled":
            year = entry.metadata.get("log", "")
            if not YEAR.fullmatch(year) or not entry.name.endswith(_SUFFIX):
                message = f"journal {_intent(entry.name)} is settled, and its name or log is not one of ours"
                raise OutboxError(message)
            found.setdefault(year, []).append(entry)
    for entries in found.values():
        entries.sort(key=lambda entry: (entry.metadata.get("at", ""), entry.modified, entry.name))
    return found


async def gather(journals: ObjectStore, year: str, *, most_journals: int, most_entries: int) -> Batch:
    """Read settled journals of one year, until one of the two bounds is reached; a journal is never divided.

    The caller has read the head before: a journal that is listed now, and that the head does not name, is not in the
    log. Events with one id collapse when their bytes are the same. Raises OutboxError when they are not.
    """
    waiting = (await settled(journals)).get(year, [])
    intents = list[str]()
    events: dict[str, bytes] = {}
    shapes = Shapes()
    reads = (_read(journals, entry) for entry in waiting[:most_journals])
    async with aclosing(ahead(reads, at_once=READ_AHEAD)) as journals_read:
        async for intent, data in journals_read:
            if data is None:  # another appender has cleared it since the listing
                continue
            for event_id, text in _events(intent, data, shapes):
                if events.setdefault(event_id, text) != text:
                    message = f"journal {intent} has another event under the id {event_id}"
                    raise OutboxError(message)
            intents.append(intent)
            if len(events) >= most_entries:
                break
    more = len(intents) < len(waiting)
    return Batch(intents=tuple(intents), entries=tuple(events.values()), more=more)


def _intent(name: str) -> str:
    return name.removesuffix(_SUFFIX)


def journal_name(intent: str) -> str:
    """Name of an intent's journal."""
    return intent + _SUFFIX


async def _read(journals: ObjectStore, entry: Entry) -> tuple[str, bytes | None]:
    stored = await journals.read(entry.name)
    return _intent(entry.name), None if stored is None else stored.data


def _events(intent: str, data: bytes, shapes: Shapes) -> Iterator[tuple[str, bytes]]:
    """(id, exact bytes) of each event of a settled journal. Raises OutboxError."""
    try:
        value = json.loads(data)
        if value["v"] != 1 or value["state"] != "settled" or value["intent"] != intent:
            message = f"journal {intent} is not the settled journal that its metadata says"
            raise OutboxError(message)
        for text in value["events"]:
            event = text.encode()
            event_id = shapes.event_id(event)
            if not event_id.startswith(f"{intent}/"):
                message = f"journal {intent} holds an event of another intent"
                raise OutboxError(message)
            yield event_id, event
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, EventError) as error:
        message = f"journal {intent} cannot be read as events"
        raise OutboxError(message) from error
