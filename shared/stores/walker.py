"""Listing a blob container by its name layout: what has expired, or what is a subject's, without reading the rest.

The walker lists level by level and leaves out every prefix that the cutoff or the subject excludes, whichever comes
first in the name; below a prefix where nothing more can be left out it lists flat. A prefix dated in the future is
entered: its names cannot be trusted. Names outside the layout are counted, never skipped in silence.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.layout import Layout
from shared.stores.blob_list import Listed, ListedPage
from shared.stores.concurrency import bounded

OUTSIDE = "outside the layout"


class Listing(Protocol):
    """One page of a container's blobs, as `blob_list.page` gives it."""

    async def __call__(self, prefix: str, marker: str | None = None, *, delimiter: str = "") -> ListedPage:
        """List one page of what begins with `prefix`; with a delimiter, level by level. Raises AzureError."""


@dataclass(frozen=True, kw_only=True)
class Walk:
    """One walk over a container.

    With `time` (a time placeholder) and `cutoff`, prefixes wholly after the cutoff are left out, and with `since` those
    wholly before it. `known` gives plain placeholders' values, and leaves out every other value.
    """

    listing: Listing
    layout: Layout
    now: datetime
    time: str | None = None
    cutoff: datetime | None = None
    since: datetime | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    ahead: int = 8

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

    async def pages(self, prefixes: Sequence[str], *, after: str = "") -> AsyncIterator[list[Listed]]:
        """List the prefixes flat, page by page, names after `after` only.

        First pages are fetched ahead, and the next one of a prefix while its page is worked on; none is kept longer.
        """
        left = [p for p in prefixes if p > after or after.startswith(p)]
        first = deque(asyncio.ensure_future(self.listing(prefix)) for prefix in left[: self.ahead])
        following: asyncio.Future[ListedPage] | None = None
        try:
            for number, prefix in enumerate(left):
                found = await first[0]
                first.popleft()
                if number + self.ahead < len(left):
                    first.append(asyncio.ensure_future(self.listing(left[number + self.ahead])))
                while found.marker:  # the next page comes while this one is worked on
                    following = asyncio.ensure_future(self.listing(prefix, found.marker))
                    yield [b for b in found.blobs if b.name > after]
                    found = await following
                yield [b for b in found.blobs if b.name > after]
        finally:
            tasks = [*first, following] if following else [*first]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def may_hold(self, name: str) -> bool:
        """Whether a full name is of the layout, and within the walk's bounds."""
        segments = tuple(name.split("/"))
        return len(segments) == len(self.layout.levels) and self._wanted(segments)

    async def _children(self, segments: tuple[str, ...], strange: Counter[str]) -> list[tuple[str, ...]]:
        level = self.layout.levels[len(segments)]
        if all(t.text or (t.field in self.known and not t.unit) for t in level.tokens):
            return [(*segments, "".join(t.text or self.known[t.field] for t in level.tokens))]
        children: list[tuple[str, ...]] = []
        marker: str | None = ""
        while marker is not None:
            found = await self.listing(_prefix(segments), marker, delimiter="/")
            under = [(*segments, p.removeprefix(_prefix(segments)).removesuffix("/")) for p in found.prefixes]
            ours = [child for child in under if self.layout.below(child) is not None]
            if astray := len(found.blobs) + len(under) - len(ours):
                strange[OUTSIDE] += astray
            children += ours
            marker = found.marker
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
