"""Deleting in containers in memory, as the adapter of a Blob account does it: the fake behind OwnRecords in tests.

A fault that is armed for an object's delete is a record's missing answer here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.errors import ChangedError, PermanentError, TransientError
from shared.model import Action, Record, Scope
from shared.stores.interface import Answer, NoAnswer, ObjectStore, Stored, There


@dataclass(frozen=True, kw_only=True)
class MemoryOwn:
    """The containers by name."""

    containers: Mapping[str, ObjectStore]

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """Delete one after the other, each on condition of its ETag."""
        del leaver
        if any(record.action is not Action.DELETE for record in records):
            raise PermanentError("an object can only be deleted")
        return [await self._delete(record) for record in records]

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[There | NoAnswer]:
        """Look."""
        del leaver
        return [await self._there(record) for record in records]

    async def _delete(self, record: Record) -> Answer:
        try:
            await self.containers[record.locator.container].delete(record.locator.key, etag=record.etag)
        except ChangedError:
            return "missing" if await self._read(record) is None else "changed"
        except TransientError as error:
            return NoAnswer(retry_after=error.retry_after)
        return "deleted"

    async def _there(self, record: Record) -> There:
        held = await self._read(record)
        if held is None:
            return "missing"
        return "same" if held.etag == record.etag else "another"

    async def _read(self, record: Record) -> Stored | None:
        return await self.containers[record.locator.container].read(record.locator.key)
