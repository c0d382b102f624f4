"""An ObjectStore in memory, with fault switches: the fake that passes the adapters' contract suite.

A fault is armed for one write: it fails unapplied (the store did nothing) or applied (the store did it, the answer was
lost); both raise TransientError, as a lost connection does. Refused with ValueError: a name or metadata that Blob
storage does not take.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Literal

from shared.errors import ChangedError, ExistsError, TransientError
from shared.stores.interface import Entry, Stored

Write = Literal["create", "replace", "delete"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Fail the `nth` write from now (1 = the next) of this kind whose name contains `name`."""

    write: Write
    applied: bool
    nth: int = 1
    name: str = ""


LONGEST_NAME = 1024
MOST_METADATA = 8 * 1024  # bytes, names and values together


def _refuse(name: str, metadata: Mapping[str, str]) -> None:
    """Refuse what Blob storage refuses, or takes otherwise than it was meant: raise ValueError, for it is a bug.

    https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    """
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "\\" in name or name.endswith((".", "/")):
        raise ValueError("no name of a blob")
    if any(part in ("", ".", "..") for part in name.split("/")):  # a client takes such a path apart
        raise ValueError("no name of a blob: a part of it is empty, or goes elsewhere")
    for key, value in metadata.items():
        if not (key.isascii() and key.isidentifier()):
            raise ValueError("no name of metadata: letters, digits and underscores")
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            raise ValueError("no value of metadata: a header is printable ASCII, and is trimmed")
    if sum(len(key) + len(value) for key, value in metadata.items()) > MOST_METADATA:
        raise ValueError("too much metadata")


class MemoryObjects:
    """A dictionary behind the ObjectStore port. `writes` lists (write, name) of all that was asked, for tests."""

    def __init__(self, clock: datetime | None = None) -> None:
        self._objects: dict[str, Stored] = {}
        self._etags = count(1)
        self._faults: list[tuple[Fault, list[int]]] = []
        self.clock = clock
        self.writes: list[tuple[Write, str]] = []

    def arm(self, fault: Fault) -> None:
        """Arm one fault; it goes off once."""
        self._faults.append((fault, [fault.nth]))

    async def now(self) -> datetime:
        """The clock given, or the machine's."""
        return (self.clock or datetime.now(UTC)).replace(microsecond=0)

    async def read(self, name: str) -> Stored | None:
        """Return the object or None."""
        return self._objects.get(name)

    async def create(self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        """Write if free, else ExistsError."""
        lost = self._strike("create", name)
        if name in self._objects:
            message = "the name is taken"
            raise ExistsError(message)
        etag = await self._put(name, data, metadata)
        self._answer(lost)
        return etag

    async def replace(self, name: str, data: bytes, *, etag: str, metadata: Mapping[str, str] | None = None) -> str:
        """Write over the version, else ChangedError."""
        lost = self._strike("replace", name)
        self._same(name, etag)
        new = await self._put(name, data, metadata)
        self._answer(lost)
        return new

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """Delete, with a version if given."""
        lost = self._strike("delete", name)
        if etag is not None:
            self._same(name, etag)
        self._objects.pop(name, None)
        self._answer(lost)

    async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        """Yield entries in the order of names."""
        for name in sorted(n for n in self._objects if n.startswith(prefix)):
            if name in self._objects:
                yield self._objects[name]

    async def _put(self, name: str, data: bytes, metadata: Mapping[str, str] | None) -> str:
        _refuse(name, metadata or {})
        etag = f'"{next(self._etags)}"'
        self._objects[name] = Stored(
            name=name, data=bytes(data), etag=etag, modified=await self.now(), metadata=dict(metadata or {})
        )
        return etag

    def _same(self, name: str, etag: str) -> None:
        held = self._objects.get(name)
        if held is None or held.etag != etag:
            message = "the object changed since it was read"
            raise ChangedError(message)

    def _strike(self, write: Write, name: str) -> bool:
        """Count the write; raise if a fault fails it unapplied; say whether its answer is to be lost."""
        self.writes.append((write, name))
        for fault, left in self._faults:
            if fault.write == write and fault.name in name and left[0] > 0:
                left[0] -= 1
                if left[0] == 0:
                    if not fault.applied:
                        message = "no answer (unapplied)"
                        raise TransientError(message)
                    return True
        return False

    @staticmethod
    def _answer(lost: bool) -> None:  # noqa: FBT001 - one private flag
        if lost:
            message = "no answer (applied)"
            raise TransientError(message)
