"""Scope keys: a random key per person, home, or category and year makes the pseudonyms in the log.

Keys live in a container without soft delete, versions or backup. Whoever destroys a scope's key turns all that the log
says of it into numbers that link to nobody; the log still verifies. The container's own retention destroys keys, by
their metadata: `closed_at` of a scope's, once its request is closed, `year` of a category's, with the log of that year.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.errors import ExistsError, TransientError
from shared.model import Locator, Scope, utc_text
from shared.stores.concurrency import bounded
from shared.stores.interface import ObjectStore

KEY_BYTES = 32
CONTAINER = "scope-keys"
_CATEGORY = "category/"


def name_of(scope: Scope) -> str:
    """Where a scope's key is: under the SHA-256 of its id, which fits a blob's name however long the id is."""
    return f"{scope.kind.value}/{hashlib.sha256(scope.id.encode()).hexdigest()}"


def name_of_category(category: str, year: int) -> str:
    """Where the key is for records that belong to no scope."""
    return f"{_CATEGORY}{category}/{year}"


def is_scope_key(locator: Locator) -> bool:
    """Whether this is where the key of a person, a home or another scope is."""
    return (locator.place, locator.container) == ("own/", CONTAINER) and not locator.key.startswith(_CATEGORY)


def fresh_key() -> bytes:
    """A random key."""
    return secrets.token_bytes(KEY_BYTES)


@dataclass(frozen=True, kw_only=True)
class ScopeKeys:
    """The container of keys. Nothing is cached: a destroyed key is gone from the next unit of work on."""

    objects: ObjectStore
    concurrency: int = 32  # a unit reads one for each person or home, and each is but 32 bytes

    async def get(self, names: Iterable[str]) -> Mapping[str, bytes]:
        """Return the key of each name, made now where there is none. A crash after making one leaves it unused."""
        wanted = sorted(set(names))
        keys = await bounded([self._one(name) for name in wanted], self.concurrency)
        return dict(zip(wanted, keys, strict=True))

    async def of(self, scope: Scope) -> bytes:
        """Return the key under which a request's work is told, made now where there is none.

        A mark to go, left by an earlier request of the same person, is taken off, and the key's year is this one: it
        outlives the request. Raises ChangedError when somebody else did so at the same moment.
        """
        name = name_of(scope)
        held = await self.objects.read(name)
        if held is None:
            return await self._one(name)
        year = await self._year(name)
        if dict(held.metadata) != {"year": year}:
            await self.objects.replace(name, held.data, etag=held.etag, metadata={"year": year})
        return held.data

    async def find(self, scope: Scope) -> bytes | None:
        """Return the key of a scope, None where none was ever made."""
        held = await self.objects.read(name_of(scope))
        return held.data if held else None

    async def close(self, scope: Scope, at: datetime) -> None:
        """Mark the key to go; the policy's row of this container destroys it. One that is not there needs nothing."""
        held = await self.objects.read(name_of(scope))
        if held is not None:
            metadata = {**held.metadata, "closed_at": utc_text(at)}
            await self.objects.replace(held.name, held.data, etag=held.etag, metadata=metadata)

    async def _one(self, name: str) -> bytes:
        held = await self.objects.read(name)
        if held is None:
            try:
                fresh = fresh_key()
                await self.objects.create(name, fresh, metadata={"year": await self._year(name)})
            except ExistsError:
                held = await self.objects.read(name)
                if held is None:
                    raise TransientError("a scope key was destroyed while it was read") from None
            else:
                return fresh
        return held.data

    async def _year(self, name: str) -> str:
        """The year of the log with which a new key goes at the latest."""
        return name.rpartition("/")[2] if name.startswith(_CATEGORY) else str((await self.objects.now()).year)
