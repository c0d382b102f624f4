"""The two outboxes of the log, as one: what the pipeline settled, and what the ledger itself has to say.

Role ledger may create nothing among the pipeline's journals: an open one that it forged would be carried out by the
watch, which may delete. So its own events (a log was dropped) wait in a container of their own, which the watch never
reads. Their names begin with OURS; all other names are the pipeline's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.stores.interface import Entry, ObjectStore, Stored

OURS = "ledger-"


@dataclass(frozen=True, kw_only=True)
class Outboxes:
    """An ObjectStore of both: `journals` is the pipeline's, `ours` the ledger's."""

    journals: ObjectStore
    ours: ObjectStore

    def _of(self, name: str) -> ObjectStore:
        return self.ours if name.startswith(OURS) else self.journals

    async def read(self, name: str) -> Stored | None:
        """See ObjectStore."""
        return await self._of(name).read(name)

    async def create(self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        """See ObjectStore."""
        return await self._of(name).create(name, data, metadata=metadata)

    async def replace(self, name: str, data: bytes, *, etag: str, metadata: Mapping[str, str] | None = None) -> str:
        """See ObjectStore."""
        return await self._of(name).replace(name, data, etag=etag, metadata=metadata)

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """See ObjectStore."""
        await self._of(name).delete(name, etag=etag)

    async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        """See ObjectStore; the pipeline's first. What is in the other's container under a name not its own is left."""
        for store in (self.journals, self.ours):
            async for entry in store.list(prefix):
                if self._of(entry.name) is store:
                    yield entry

    async def now(self) -> datetime:
        """See ObjectStore."""
        return await self.journals.now()
