"""The register of what was erased, in the ledger's account: a restored backup is erased again by it.

One entry for each request, with the scopes it erased. It goes once no backup is left that began before the erasure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime

from shared.documents import Form, Version, read, write
from shared.model import Scope, ScopeKind, utc_text
from shared.stores.interface import ObjectStore


class RegisterEntry(Form):
    """What one request erased, and when it was finished last. `scope` is whom it was about, `scopes` all it took."""

    v: int = 1
    request: str
    scope: tuple[ScopeKind, str]
    scopes: tuple[tuple[ScopeKind, str], ...]
    erased_at: AwareDatetime


@dataclass(frozen=True, kw_only=True)
class Register:
    """The container of entries."""

    objects: ObjectStore

    async def note(self, request: str, scope: Scope, scopes: Sequence[Scope], erased_at: datetime) -> None:
        """Write what a request erased; one that was taken up again adds to its entry.

        Raises TransientError, and ChangedError or ExistsError when another worker has the request.
        """
        held = await self._read(request)
        all_scopes = {(each.kind, each.id) for each in scopes} | set(held.value.scopes if held else ())
        entry = RegisterEntry(
            request=request, scope=(scope.kind, scope.id), scopes=tuple(sorted(all_scopes)), erased_at=erased_at
        )
        await write(self.objects, _name(request), entry, held.etag if held else None)

    async def close(self, request: str, at: datetime) -> None:
        """Let the entry go: no backup is left that a restore could bring the records back from."""
        held = await self._read(request)
        if held is not None:
            await write(self.objects, _name(request), held.value, held.etag, metadata={"closed_at": utc_text(at)})

    async def entries(self) -> AsyncIterator[RegisterEntry]:
        """Yield every entry."""
        async for each in self.objects.list():
            held = await read(self.objects, each.name, RegisterEntry)
            if held is not None:
                yield held.value

    async def _read(self, request: str) -> Version[RegisterEntry] | None:
        return await read(self.objects, _name(request), RegisterEntry)


def _name(request: str) -> str:
    return f"{request}.json"
