"""How everything stands: the gathering behind `retention status`. Reads only.

What it tells names nobody: categories, counts, times, ids of requests, runs and parked messages. `Status.attention` is
what an operator must look at: see `shared.attention`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.attention import attention
from shared.documents import read
from shared.errors import IntegrityError
from shared.holds import Holds, InForce
from shared.journal import Journals
from shared.ledger.head import Ledger, decode_head
from shared.ledger.log import logs
from shared.ledger.reader import Live, latest
from shared.liveness import Heartbeats
from shared.model import parse_utc
from shared.overdue import Look, last_look
from shared.parking import ParkedMessage, entries
from shared.plan import swept_rules, total
from shared.policy import Category, Policy
from shared.policy_terms import Follows, OwnStore
from shared.posture.watch import last_posture
from shared.requests.documents import OPEN, State
from shared.runs import ERASURES, Runs, SliceProgress
from shared.standing import (
    SHOWN,
    CategoryStatus,
    Closing,
    DeadLetters,
    Due,
    HoldStatus,
    LogStatus,
    Parked,
    Paused,
    PendingHold,
    RequestsStatus,
    Status,
    Waiting,
)
from shared.stores.interface import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """What status reads. `after` is how old a journal may be before it needs attention."""

    policy: Policy
    runs: Runs
    journals: Journals
    requests: ObjectStore
    parking: ObjectStore
    holds: Holds
    heartbeats: Heartbeats
    ledger: Ledger
    after: timedelta

    async def gather(self, *, look: Look | None = None, dead: Mapping[str, DeadLetters] | None = None) -> Status:
        """Read all of it, side by side. Raises TransientError that names the store without an answer.

        `look` is a look at what is overdue that was taken just now, else the last one is read; `dead` are the numbers
        of dead letters by queue, where somebody counted them.
        """
        at = await self.journals.objects.now()
        enforced = self.policy.enforced()
        cadences = {category.id: category.cadence.time for category in enforced if swept_rules(category)}
        categories, pause, (still_open, settled), requests, (parked, latest_parked, dismissed) = await asyncio.gather(
            asyncio.gather(*(self._category(category) for category in enforced)),
            self._pause(ERASURES),
            self._waiting(),
            self._requests(at),
            self._parked(),
        )
        holds, pulse, last, posture, logs = await asyncio.gather(
            self._holds(at),
            self.heartbeats.read(at, categories=cadences),
            last_look(self.heartbeats.objects),
            last_posture(self.heartbeats.objects),
            self._logs(),
        )
        found = Status(
            at=at,
            categories=categories,
            planned=[category.id for category in self.policy.categories if category.status == "planned"],
            look=look or last,
            timers=pulse.timers,
            runs=pulse.categories,
            holds=holds,
            open=still_open,
            settled=settled,
            requests=replace(requests, pause=pause),
            parked=parked,
            dismissed=dismissed,
            latest_parked=latest_parked,
            dead=dead,
            logs=logs,
            posture=posture,
        )
        return replace(found, attention=attention(found, after=self.after))

    async def _category(self, category: Category) -> CategoryStatus:
        follows = [rule.start.category for rule in category.rules if isinstance(rule.start, Follows)]
        own = isinstance(category.store, OwnStore)
        by_ledger = isinstance(category.store, OwnStore) and category.store.swept_by == "ledger"
        pause = await self._pause(category.id)
        held = await self.runs.current(category.id)
        if held is None:
            return CategoryStatus(category=category.id, own=own, follows=follows, by_ledger=by_ledger, pause=pause)
        current = held.value
        totals, open_slices = current.totals or SliceProgress(), 0
        if current.finished is None:
            numbers = range(current.slices)
            progress = [(await self.runs.progress(category.id, current.run, number)).value for number in numbers]
            totals, open_slices = total(progress), sum(not each.done for each in progress)
        return CategoryStatus(
            category=category.id,
            own=own,
            follows=follows,
            run=current.run,
            started=current.started,
            finished=current.finished,
            next_due=category.cadence.after(current.started),
            found=current.found,
            cap=current.cap,
            approval=current.approval,
            pause=pause,
            slices=current.slices,
            open_slices=open_slices,
            expired=totals.expired,
            forwarded=totals.forwarded,
            uncounted=totals.uncounted,
            outcomes=dict(totals.outcomes),
            strange=dict(totals.strange),
        )

    async def _pause(self, name: str) -> Paused | None:
        held = await self.runs.pause(name)
        if held is None or not held.value.paused:
            return None
        return Paused(since=held.value.since, by=held.value.by, reason=held.value.reason)

    async def _waiting(self) -> tuple[Waiting, Waiting]:
        """Journals that are open, and those that are settled and wait for the ledger."""
        still_open, settled = Waiting(), Waiting()
        async for _, state, entry in self.journals.entries():
            if state == "settled":
                settled = settled.and_one(entry.modified)
            else:
                still_open = still_open.and_one(entry.modified)
        return still_open, settled

    async def _requests(self, at: datetime) -> RequestsStatus:
        """Counts by state, the ids of those that need a person, the unfinished ones, and those that are late to close.

        All of it is in the metadata: no document is read.
        """
        states: Counter[str] = Counter()
        undecided: list[str] = []
        unfinished: list[Due] = []
        done: list[Closing] = []
        async for entry in self.requests.list():
            said, request = entry.metadata, entry.name.removesuffix(".json")
            state = said.get("state", "")
            states[state] += 1
            if state == State.NEEDS_ATTENTION:
                undecided.append(request)
            if "due_at" not in said:
                continue
            due_at = parse_utc(said["due_at"])
            if state in (*OPEN, State.NEEDS_ATTENTION):
                unfinished.append(Due(request=request, due_at=due_at))
            if state == State.DONE:
                closes_at = parse_utc(said["closes_at"]) if "closes_at" in said else None
                done.append(Closing(request=request, due_at=due_at, closes_at=closes_at))
        return RequestsStatus(
            states=dict(states),
            undecided=undecided,
            unfinished=sorted(unfinished, key=lambda each: each.due_at),
            not_closed=sorted((each for each in done if each.late(at)), key=lambda each: each.due_at),
        )

    async def _parked(self) -> tuple[int, list[Parked], int]:
        """How many messages are parked and not dismissed, the latest SHOWN of them, and how many are dismissed."""
        found = [entry async for entry in entries(self.parking)]
        waiting = sorted((each for each in found if not each.dismissed), key=lambda each: (each.at, each.name))
        told = []
        for entry in waiting[-SHOWN:]:
            held = await read(self.parking, entry.name, ParkedMessage)
            if held is not None:
                message = held.value
                told.append(
                    Parked(
                        id=entry.id, queue=message.queue, at=entry.at, reason=message.reason, request=message.request
                    )
                )
        return len(waiting), told, len(found) - len(waiting)

    async def _holds(self, now: datetime) -> HoldStatus:
        found, wrong = await self.holds.all()
        standing = [hold for hold in found if not hold.over(now)]
        pending = [PendingHold(hold=h.id, since=h.since) for h in standing if h.in_force is InForce.PENDING]
        return HoldStatus(
            standing=len(standing),
            pending=pending,
            unknown=sum(hold.in_force is InForce.UNKNOWN for hold in standing),
            too_late=sum(hold.too_late > 0 for hold in standing),
            astray=[hold.id for hold in standing if hold.astray(self.policy)],
            ended=len(found) - len(standing),
            unreadable=len(wrong),
        )

    async def _logs(self) -> list[LogStatus]:
        return [await self._log(year) for year in await logs(self.ledger)]

    async def _log(self, year: str) -> LogStatus:
        try:
            stored = await self.ledger.state.read(f"{year}/head")
            checkpoint = await latest(Live(ledger=self.ledger, year=year))
            return LogStatus(
                year=year,
                size=decode_head(stored.data, self.ledger.origin_of(year)).size if stored else 0,
                sealed=checkpoint.size if checkpoint else 0,
                published=await self._published(year),
            )
        except IntegrityError as error:
            return LogStatus(year=year, wrong=str(error))

    async def _published(self, year: str) -> int:
        """The publisher's cursor; see `shared.ledger.publish`."""
        stored = await self.ledger.state.read(f"{year}/published")
        if stored is None:
            return 0
        try:
            return int(json.loads(stored.data)["next"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise IntegrityError("the publisher's cursor cannot be read") from None
