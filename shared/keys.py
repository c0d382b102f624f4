"""Scope keys: a random key per person, home, or category and year makes the pseudonyms in the log.

Keys live in a container without soft delete, versions or backup. Whoever destroys a scope's key turns all that the log
says of it into numbers that link to nobody; the log still verifies.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.errors import ExistsError, TransientError
from shared.model import Scope
from shared.stores.concurrency import bounded
from shared.stores.interface import ObjectStore

KEY_BYTES = 32


def name_of(scope: Scope) -> str:
    """Where a scope's key is: under the SHA-256 of its id, which fits a blob's name however long the id is."""
    return f"{scope.kind.value}/{hashlib.sha256(scope.id.encode()).hexdigest()}"


def name_of_category(category: str, year: int) -> str:
    """Where the key is for records that belong to no scope."""
    return f"category/{category}/{year}"


@dataclass(frozen=True, kw_only=True)
class ScopeKeys:
    """The container of keys. Nothing is cached: a destroyed key is gone from the next unit of work on."""

    objects: ObjectStore
    concurrency: int = 8

    async def get(self, names: Iterable[str]) -> Mapping[str, bytes]:
        """Return the key of each name, made now where there is none. A crash after making one leaves it unused."""
        wanted = sorted(set(names))
        keys = await bounded([self._one(name) for name in wanted], self.concurrency)
        return dict(zip(wanted, keys, strict=True))

    async def of(self, scope: Scope) -> bytes:
        """Return the key of one person or home, made now where there is none."""
        name = name_of(scope)
        return (await self.get([name]))[name]

    async def _one(self, name: str) -> bytes:
        held = await self.objects.read(name)
        if held is None:
            try:
                fresh = secrets.token_bytes(KEY_BYTES)
                await self.objects.create(name, fresh)
            except ExistsError:
                held = await self.objects.read(name)
                if held is None:
                    raise TransientError("a scope key was destroyed while it was read") from None
            else:
                return fresh
        return held.data
