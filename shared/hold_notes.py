"""The notes beside a hold: what was being deleted when it came, and what went all the same.

Settling a journal takes its locators away, so a journal that was open when the hold came is noted, and its records are
looked at once it is settled. The gate leaves a note of its own (`Holds.tell_late`) where it deleted what had been
called held. Notes hold locators; the watch drops them as soon as they are counted.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

from shared.deletion import Gate
from shared.errors import ConfigError, ExistsError, IntegrityError
from shared.holds import LATE, NOTE, Hold
from shared.journal import Intent, decode, encode
from shared.model import RequestCause
from shared.stores.interface import NoAnswer, ObjectStore


@dataclass(frozen=True, kw_only=True)
class HoldNotes:
    """The notes, in the container of holds. Reads the gate's journals and stores; changes neither."""

    gate: Gate

    async def take(self, hold: Hold) -> tuple[str, ...]:
        """Note the open journals that name what the hold covers. Returns the ids of all that are noted.

        That is with what an earlier look noted: such a journal may be settled by now.
        """
        async for intent_id, state, _ in self.gate.journals.entries():
            journal = None if state == "settled" else await self.gate.journals.read_open(intent_id)
            if journal is not None and _covered(hold, journal.intent):
                with suppress(ExistsError):  # an earlier look's: an intent never changes
                    note = encode(journal.intent)
                    await self._objects.create(_name(hold.id, intent_id), note, metadata={NOTE: "open"})
        notes = [entry async for entry in self._objects.list(_name(hold.id, "")) if entry.metadata[NOTE] != LATE]
        return tuple(entry.name.rpartition("/")[2] for entry in notes)

    async def gone(self, hold: Hold) -> set[str] | None:
        """The events of the records noted that are gone or replaced, each record once; None while it is not final."""
        found: dict[str, str] = {}
        for intent_id in hold.journals or ():
            if await self.gate.journals.read_open(intent_id) is not None:
                return None
            note = await self._objects.read(_name(hold.id, intent_id))
            gone = await self._gone(hold, decode(note.data)) if note else None
            if gone is None:
                return None
            found = gone | found
        return set(found.values())

    async def late(self, name: str) -> set[str]:
        """The events that a note of the gate names. Raises IntegrityError when it cannot be read."""
        note = await self._objects.read(name)
        try:
            return {str(each) for each in json.loads(note.data)} if note else set()
        except (ValueError, TypeError):
            raise IntegrityError("a note beside a hold cannot be read: nobody else may write there") from None

    async def _gone(self, hold: Hold, intent: Intent) -> dict[str, str] | None:
        """The events, by locator, of those records of the intent that the hold covers and that are not as they were.

        They are gone, or name the leaver no more; or another version is there, which may have been written after the
        listed one was deleted. None if a store does not say.
        """
        leaver = intent.cause.scope if isinstance(intent.cause, RequestCause) else None
        covered = _covered(hold, intent)
        found: dict[str, str] = {}
        for place in sorted({intent.records[n].locator.place for n in covered}):
            store = self.gate.stores.get(place)
            if store is None:
                raise ConfigError(f"no connection to {place} is set: a hold needs it")
            ordinals = [n for n in covered if intent.records[n].locator.place == place]
            seen = await store.there([intent.records[n] for n in ordinals], leaver=leaver)
            for ordinal, there in zip(ordinals, seen, strict=True):
                if isinstance(there, NoAnswer):
                    return None
                if there != "same":
                    found[intent.records[ordinal].locator.text()] = f"{intent.id}/{ordinal}"
        return found

    @property
    def _objects(self) -> ObjectStore:
        return self.gate.holds.objects


def _covered(hold: Hold, intent: Intent) -> list[int]:
    return [n for n, record in enumerate(intent.records) if hold.covers(record, intent.cause)]


def _name(hold_id: str, intent_id: str) -> str:
    return f"{hold_id}/{intent_id}"
