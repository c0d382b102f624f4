"""The two ports. Use cases see this file only; each adapter is one file beside it and passes the same contract suite.

`ObjectStore` keeps the product's own small documents (journals, runs, requests, the log). `RecordStore` reaches the
governed data. Both raise the errors of `shared.errors` and nothing foreign.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from shared.errors import ConfigError
from shared.model import Record, Scope
from shared.policy import Category
from shared.policy_terms import Rule


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One name in a listing, with the metadata that was written with it."""

    name: str
    etag: str
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stored(Entry):
    """An object and its bytes, read together: `etag` is the version of `data`."""

    data: bytes


class ObjectStore(Protocol):
    """Named byte strings with ETags: one container of a strongly consistent object store."""

    async def read(self, name: str) -> Stored | None:
        """Return the object, or None where there is none."""

    async def create(self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        """Write only if the name is free; return the ETag. Raises ExistsError, TransientError."""

    async def replace(self, name: str, data: bytes, *, etag: str, metadata: Mapping[str, str] | None = None) -> str:
        """Write only over the version `etag`; return the new ETag. Raises ChangedError, TransientError."""

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """Delete; nothing there is fine. With `etag`, only that version. Raises ChangedError, RefusedError."""

    def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        """Yield every object whose name starts with `prefix`, in the order of names."""

    async def now(self) -> datetime:
        """The store's own clock (its Date header), to the second."""


# ---------------------------------------------------------------- governed data


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a category that one worker sweeps. `bounds` belongs to the adapter and is JSON-able text."""

    bounds: str


@dataclass(frozen=True, kw_only=True)
class Division:
    """What may have expired, in parts for several workers; no parts when nothing can have."""

    parts: Sequence[Slice]
    strange: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some records found, and where to go on.

    `cursor` resumes after this page ("" when the slice is finished). `strange` counts what the listing met and could
    not judge by its layout, by reason: it is reported, never skipped in silence.
    """

    records: Sequence[Record]
    cursor: str
    strange: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NoAnswer:
    """The store said nothing that proves anything; it asked to wait `retry_after` seconds, or named no time."""

    retry_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recoverable:
    """The store deleted the record and keeps a copy that can be restored, `until` a time at the latest.

    None means that no clock ends it: somebody has to delete the copy.
    """

    until: datetime | None


Said = Literal["deleted", "left", "missing", "changed", "replaced", "lease", "immutability", "legal-hold", "blob-type"]
Answer = Said | Recoverable | NoAnswer
"""What a store said to one conditional delete. NoAnswer concludes nothing: the journal stays open.

`changed`: another version is there, and this delete took none. `replaced`: another is there, but the adapter or its
client asked more than once, so an answer that was lost may have been "deleted".
"""

There = Literal["same", "another", "missing"]
"""What a look found: the very version that was listed, another one, or none."""


class RecordStore(Protocol):
    """One account of governed data (Blob storage, a Cosmos database, a supplier)."""

    async def now(self, category: Category) -> datetime:
        """The clock of the category's store, to the second: cutoffs are computed from it."""

    async def divide(self, category: Category, rule: Rule, *, now: datetime, most: int) -> Division:
        """Divide what may have expired by `now` into parts: at most `most`, where the store lets parts be joined."""

    def expired(
        self, category: Category, rule: Rule, part: Slice, *, now: datetime, cursor: str, size: int
    ) -> AsyncIterator[Page]:
        """Yield pages of at most `size` records of the slice whose due time is not after `now`."""

    def of_scope(self, category: Category, scope: Scope, *, size: int, rule: Rule | None = None) -> AsyncIterator[Page]:
        """Yield pages of all records that belong to the scope or name it, whatever their age: without rule or due.

        With a `rule`, each says when it is due by that rule; None: never, as it is now.
        """

    async def empty(self, category: Category, scope: Scope) -> bool:
        """Whether the shared record of the scope names nobody any more; True also when there is no such record."""

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """Carry out each record's action on exactly its `etag`; answers are in the order of `records`.

        `leaver` is the person that a `leave` takes out of the record. What got no answer is NoAnswer: this never
        raises TransientError.
        """

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[There | NoAnswer]:
        """Look, and change nothing: whether each record is there, and in the version that was listed.

        For a `leave`: whether it names `leaver`, and in which version. Like `delete`, this never raises TransientError.
        """

    async def find(self, category: Category, field_name: str, value: str) -> Sequence[Record]:
        """Records of the category in which a field equals the value, letter case apart (an e-mail address)."""

    async def values(self, category: Category, scope: Scope, field_name: str) -> Sequence[str]:
        """The texts that a field has in the scope's records (a person's e-mail address), without repeats."""


def record_store(stores: Mapping[str, RecordStore], category: Category) -> RecordStore:
    """The adapter of a category. Raises ConfigError where none is configured."""
    store = stores.get(category.store.place)
    if store is None:
        raise ConfigError(f"category {category.id}: no connection to {category.store.place} is set")
    return store


# ---------------------------------------------------------------- messages


class Queue(Protocol):
    """One Service Bus queue to send to. At-least-once: a receiver may see a message twice."""

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        """Send durably. Within the queue's window a repeated `message_id` is dropped. Raises TransientError."""
