"""The independent look: does data that should be gone still lie in the stores? It asks them, and no run's own account.

A record may lie until its due time, the cadence of its category and a grace of as much again (GRACE at least) have
passed: whatever is listed after that is overdue, however well the runs say that they went. It is looked for with the
listing of the sweeps and an earlier clock, so a fault of the listing itself is not seen here; what a listing finds
strange is, by the runs. Deletes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import AwareDatetime

from shared.documents import Form, read, write
from shared.errors import ChangedError, ExistsError, named
from shared.holds import Hold, HoldKind, Holds
from shared.model import Locator, Record, SweepCause
from shared.plan import swept_rules
from shared.policy import Category, Policy
from shared.policy_terms import Rule
from shared.stores.concurrency import bounded
from shared.stores.interface import ObjectStore, RecordStore, record_store

log = logging.getLogger("retention.overdue")

BOUND = 1_000
"""Overdue records are counted up to this number."""

LOOKED_AT = 10 * BOUND
"""Held records of a category that are passed over before the look there is broken off."""

GRACE = timedelta(minutes=15)
SECONDS = 60.0
"""What one category may take."""

NAME = "overdue.json"
_BY_LOOKING = SweepCause(run="none", slice=0)


class Overdue(Form):
    """What is overdue in one category.

    `count` leaves out what holds keep: that is `held`, and `all_held` where one keeps the whole category, which is not
    looked at then. `oldest` is the due time of the oldest that was counted; `more` says that there are others, not
    counted; `error` why not all could be looked at, "" where all was.
    """

    category: str
    count: int = 0
    oldest: AwareDatetime | None = None
    more: bool = False
    held: int = 0
    all_held: bool = False
    error: str = ""

    @property
    def number(self) -> str:
        """The count as text: `1000+` where there are more."""
        return f"{self.count}{'+' if self.more else ''}"


class Look(Form):
    """What one look found, and when: every category that sweeps reach, in the order of the policy."""

    at: AwareDatetime
    categories: tuple[Overdue, ...]


@dataclass(frozen=True, kw_only=True)
class Overseer:
    """What looking needs. `stores` by `<kind>/<account>`; `heartbeats` keeps the last look for everybody to read."""

    policy: Policy
    stores: Mapping[str, RecordStore]
    holds: Holds
    heartbeats: ObjectStore
    concurrency: int

    async def watch(self, now: datetime) -> Look:
        """Look, raise an alarm for each category in which something is overdue, and keep what was found."""
        found = await self.look(now)
        for each in found.categories:
            if each.count or each.error:
                log.error("ALARM category %s: %s", each.category, said(each))
        try:
            held = await read(self.heartbeats, NAME, Look)
            await write(self.heartbeats, NAME, found, held.etag if held else None)
        except (ChangedError, ExistsError):
            log.info("another look was faster")
        return found

    async def look(self, now: datetime) -> Look:
        """Look through every category side by side. One that cannot be looked at says so, and stops no other.

        Raises TransientError where the holds cannot be read: without them nothing can be judged.
        """
        holds = await self.holds.read()
        swept = [category for category in self.policy.enforced() if swept_rules(category)]
        found = await bounded([self._category(each, holds) for each in swept], self.concurrency)
        return Look(at=now, categories=tuple(found))

    async def _category(self, category: Category, holds: Sequence[Hold]) -> Overdue:
        if any(hold.kind is HoldKind.CATEGORY and hold.target == category.id for hold in holds):
            return Overdue(category=category.id, all_held=True)
        tally, error = _Tally(holds=holds), ""
        try:
            async with asyncio.timeout(SECONDS):
                for rule in swept_rules(category):
                    await self._rule(category, rule, tally)
        except TimeoutError:
            error = f"no answer within {SECONDS:.0f} s"
        except Exception as failed:  # noqa: BLE001 - it is told, and the other categories still have their turn
            error = named(failed)
        if not error and not tally.more and len(tally.held) >= LOOKED_AT:
            error = f"broken off after {LOOKED_AT} records that are held"
        return Overdue(
            category=category.id,
            count=len(tally.late),
            oldest=min(tally.late.values(), default=None),
            more=tally.more,
            held=len(tally.held),
            error=error,
        )

    async def _rule(self, category: Category, rule: Rule, tally: _Tally) -> None:
        store = record_store(self.stores, category)
        latest = await store.now(category) - allowance(category)
        for part in (await store.divide(category, rule, now=latest, most=1)).parts:
            async for page in store.expired(category, rule, part, now=latest, cursor="", size=BOUND):
                for record in page.records:
                    tally.add(record, latest)
                if tally.more or len(tally.held) >= LOOKED_AT:
                    return


@dataclass(kw_only=True)
class _Tally:
    """What is counted in one category: each record once, though two rules may name it; the late ones by due time."""

    holds: Sequence[Hold]
    late: dict[Locator, datetime] = field(default_factory=dict)
    held: set[Locator] = field(default_factory=set)
    more: bool = False

    def add(self, record: Record, latest: datetime) -> None:
        if any(hold.covers(record, _BY_LOOKING) for hold in self.holds):
            self.held.add(record.locator)
        elif len(self.late) < BOUND or record.locator in self.late:
            due = record.due or latest
            self.late[record.locator] = min(due, self.late.get(record.locator, due))
        else:
            self.more = True


async def last_look(heartbeats: ObjectStore) -> Look | None:
    """What the last look found; None before the first. Raises IntegrityError when it cannot be read."""
    held = await read(heartbeats, NAME, Look)
    return held.value if held else None


def allowance(category: Category) -> timedelta:
    """How long after its due time a record may still be there: the cadence, and a grace."""
    return category.cadence.time + max(category.cadence.time, GRACE)


def said(found: Overdue) -> str:
    """What was found, in words; "" when nothing is overdue."""
    records = "record is" if found.number == "1" else "records are"
    told = [f"{found.number} {records} overdue"] if found.count else []
    return "; ".join(told + ([f"not all could be looked at: {found.error}"] if found.error else []))
