"""Listing a blob container by its name layout: what has expired, or what is a subject's, without reading the rest.

The walker lists level by level and leaves out every prefix that the cutoff or the subject excludes, whichever comes
first in the name; below a prefix where nothing more can be left out it lists flat. A prefix dated in the future is
entered: its names cannot be trusted. Names outside the layout are counted, never skipped in silence.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from azure.storage.blob import BlobProperties
from azure.storage.blob.aio import BlobPrefix, ContainerClient

from shared.layout import Layout
from shared.stores.concurrency import bounded

OUTSIDE = "outside the layout"


async def fetch(
    container: ContainerClient, prefix: str, token: str | None, **options: Any
) -> tuple[list[BlobProperties], str | None]:
    """One page of a flat listing, and the token of the next, None: it was the last. Raises AzureError.

    `options` are the SDK's, such as `include`.
    """
    pages = container.list_blobs(name_starts_with=prefix, **options).by_page(continuation_token=token)
    async for page in pages:
        blobs = [blob async for blob in page]
        return blobs, pages.continuation_token or None  # type: ignore[attr-defined]
    return [], None


Fetch = Callable[[ContainerClient, str, str | None], Awaitable[tuple[list[BlobProperties], str | None]]]


@dataclass(frozen=True, kw_only=True)
class Walk:
    """One walk over a container.

    With `time` (a time placeholder) and `cutoff`, prefixes wholly after the cutoff are left out, and with `since` those
    wholly before it. `known` gives plain placeholders' values, and leaves out every other value. `fetch` lists a page.
    """

    container: ContainerClient
    layout: Layout
    now: datetime
    time: str | None = None
    cutoff: datetime | None = None
    since: datetime | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    ahead: int = 8
    fetch: Fetch = fetch

    async def leaves(self) -> tuple[list[str], Counter[str]]:
        """The prefixes to list flat, in the order of names, and what was strange on the way."""
        strange: Counter[str] = Counter()
        found: list[str] = []
        edge: list[tuple[str, ...]] = [()]
        while edge:
            found += [_prefix(segments) for segments in edge if self._flat(segments)]
            inner = [segments for segments in edge if not self._flat(segments)]
            listed = await bounded([self._children(segments, strange) for segments in inner], self.ahead)
            edge = [child for children in listed for child in children if self._wanted(child)]
        return sorted(found), strange

    async def pages(self, prefixes: Sequence[str], *, after: str = "") -> AsyncIterator[list[BlobProperties]]:
        """List the prefixes flat, page by page, names after `after` only; first pages are fetched ahead."""
        left = [p for p in prefixes if p > after or after.startswith(p)]
        first = [asyncio.ensure_future(self._page(prefix)) for prefix in left[: self.ahead]]
        try:
            for number, prefix in enumerate(left):
                blobs, token = await first[number]
                if number + self.ahead < len(left):
                    first.append(asyncio.ensure_future(self._page(left[number + self.ahead])))
                yield [b for b in blobs if b.name > after]
                while token:
                    blobs, token = await self._page(prefix, token)
                    yield [b for b in blobs if b.name > after]
        finally:
            for task in first:
                task.cancel()
            await asyncio.gather(*first, return_exceptions=True)

    def may_hold(self, name: str) -> bool:
        """Whether a full name is of the layout, and within the walk's bounds."""
        segments = tuple(name.split("/"))
        return len(segments) == len(self.layout.levels) and self._wanted(segments)

    async def _page(self, prefix: str, token: str | None = None) -> tuple[list[BlobProperties], str | None]:
        return await self.fetch(self.container, prefix, token)

    async def _children(self, segments: tuple[str, ...], strange: Counter[str]) -> list[tuple[str, ...]]:
        level = self.layout.levels[len(segments)]
        if all(t.text or (t.field in self.known and not t.unit) for t in level.tokens):
            return [(*segments, "".join(t.text or self.known[t.field] for t in level.tokens))]
        children = []
        async for item in self.container.walk_blobs(name_starts_with=_prefix(segments), delimiter="/"):
            child = (*segments, item.name.removeprefix(_prefix(segments)).removesuffix("/"))
            if isinstance(item, BlobPrefix) and self.layout.below(child) is not None:
                children.append(child)
            else:
                strange[OUTSIDE] += 1
        return children

    def _wanted(self, segments: tuple[str, ...]) -> bool:
        below = self.layout.below(segments)
        if below is None or any(self.known.get(k, v) != v for k, v in below.fields.items()):
            return False
        if self.time is None or self.cutoff is None:
            return True
        earliest, latest = below.times[self.time]
        too_old = self.since is not None and latest < self.since
        return (earliest <= self.cutoff and not too_old) or earliest > self.now

    def _flat(self, segments: tuple[str, ...]) -> bool:
        """Whether nothing below this prefix can be left out by listing level by level."""
        rest = self.layout.levels[len(segments) : -1]
        tokens = [token for level in rest for token in level.tokens]
        if any(token.field in self.known and not token.unit for token in tokens):
            return False
        if self.time is None or self.cutoff is None or not any(t.unit and t.field == self.time for t in tokens):
            return True
        earliest, latest = self.layout.interval(segments, self.time) or (self.now, self.now)
        return (latest <= self.cutoff and (self.since is None or earliest >= self.since)) or earliest > self.now


def _prefix(segments: Sequence[str]) -> str:
    return "".join(f"{segment}/" for segment in segments)
