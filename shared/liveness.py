"""Liveness: when each timer, and each category's run, last succeeded. One small object per name, written over.

A timer that stops says nothing, so somebody else must see it: the readers of these heartbeats (`retention status`,
monitoring) hold each against its interval. Names in container `heartbeats`: `timer/<function>`, `category/<id>`. All of
a heartbeat is in its metadata: one listing tells all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from shared.errors import ChangedError, ExistsError, TransientError
from shared.model import parse_utc, utc_text
from shared.stores.interface import Entry, ObjectStore

log = logging.getLogger("retention.liveness")

TIMERS: Mapping[str, timedelta] = MappingProxyType(
    {
        "planner": timedelta(minutes=1),
        "watch_journals": timedelta(minutes=1),
        "watch_requests": timedelta(minutes=5),
        "watch_overdue": timedelta(minutes=15),
        "watch_metrics": timedelta(minutes=5),
        "watch_posture": timedelta(minutes=15),
        "requests_close": timedelta(minutes=15),
        "ledger_seal": timedelta(minutes=1),
        "ledger_publish": timedelta(minutes=1),
        "ledger_retire": timedelta(days=1),
    }
)
"""Every timer function and the time between two of its firings; a test holds this and the schedules together."""

MISSED = 3
SLACK = timedelta(minutes=2)
"""Late is who has not succeeded for MISSED intervals and SLACK."""

_TIMER = "timer/"
_CATEGORY = "category/"


@dataclass(frozen=True, kw_only=True)
class Beat:
    """One heartbeat: `last` is when it last succeeded, None before it first did; `interval` when that is expected.

    `age` is how long ago that was; before the first success, how long it has been waited for.
    """

    name: str
    last: datetime | None
    interval: timedelta
    age: timedelta

    @property
    def late(self) -> bool:
        """Whether it should have succeeded again long ago."""
        return self.age > MISSED * self.interval + SLACK


@dataclass(frozen=True, kw_only=True)
class Heartbeats:
    """The container of heartbeats."""

    objects: ObjectStore

    async def timer(self, function: str, now: datetime) -> None:
        """A timer function succeeded, `now` by this store's clock: readers go by that too. Raises TransientError."""
        await self._beat(f"{_TIMER}{function}", now)

    async def category(self, category: str, now: datetime) -> None:
        """A run of the category is finished. A store without an answer loses this one: the next run tells again."""
        try:
            await self._beat(f"{_CATEGORY}{category}", now)
        except TransientError:
            log.warning("the heartbeat of category %s was not written", category)

    async def _beat(self, name: str, now: datetime) -> None:
        held = await self.objects.read(name)
        metadata = {"first": (held.metadata.get("first") if held else None) or utc_text(now), "last": utc_text(now)}
        try:
            if held is None:
                await self.objects.create(name, b"", metadata=metadata)
            else:
                await self.objects.replace(name, b"", etag=held.etag, metadata=metadata)
        except (ChangedError, ExistsError):
            log.debug("another instance told of %s at the same moment", name)

    async def read(self, now: datetime, *, categories: Mapping[str, timedelta]) -> Pulse:
        """Every heartbeat as of `now`, of the timers and of these categories with their cadences."""
        entries = {entry.name: entry async for entry in self.objects.list()}
        firsts = (each.metadata["first"] for each in entries.values() if "first" in each.metadata)
        began = min(map(parse_utc, firsts), default=None)
        if began is None:
            return Pulse()
        timers = [_read(name, entries.get(f"{_TIMER}{name}"), span, began, now) for name, span in TIMERS.items()]
        runs = [_read(name, entries.get(f"{_CATEGORY}{name}"), span, began, now) for name, span in categories.items()]
        return Pulse(timers=tuple(timers), categories=tuple(runs))


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """All heartbeats; none before the product first ran at all."""

    timers: tuple[Beat, ...] = ()
    categories: tuple[Beat, ...] = ()


def _read(name: str, entry: Entry | None, interval: timedelta, began: datetime, now: datetime) -> Beat:
    last = parse_utc(entry.metadata["last"]) if entry else None
    return Beat(name=name, last=last, interval=interval, age=now - (last or began))
