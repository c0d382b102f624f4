"""The planner: what starts the runs that are due, queues their slices, asks for approval, and closes what is done.

It deletes nothing and keeps nothing in memory: whatever it knows is in the container of runs, so a tick may die or meet
another anywhere. Before anything of a run is queued, what has expired is counted, up to one more than the cap, with the
listing that the workers and the dry run use. That costs one listing of the expired records more than the sweep itself,
and ends at the cap: with the default of 100,000 at most some 100 list calls of Blob storage, or pages of Cosmos DB.
Each slice gets a quota from the count, so that what appears later cannot take the run beyond its cap.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import audit, messages
from shared.deletion import Gate
from shared.each import each
from shared.errors import ChangedError, ExistsError, PermanentError
from shared.liveness import Heartbeats
from shared.outbox import outgoing, post
from shared.plan import Caps, Finish, Paused, Post, Start, Step, Unapproved, Wait, decide, quotas, swept_rules
from shared.plan import Queue as QueueStep
from shared.policy import Category, Policy
from shared.runs import REMEMBERED, Current, PlannedSlice, RunDocument, Runs, SliceProgress
from shared.stores.interface import Queue, RecordStore, Slice, record_store
from shared.sweep import send_slice, without_nobodys

log = logging.getLogger("retention.planner")

PAGE = 1_000
"""Records listed at once when they are only counted."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a run would find now: how many records are due, since when the oldest, and what is strange, by reason.

    A record that is due by two rules counts twice. `counted` has the records of each slice that was looked at.
    """

    counted: Sequence[int]
    oldest: datetime | None
    strange: Mapping[str, int]

    @property
    def due(self) -> int:
        """How many records are due in all."""
        return sum(self.counted)


@dataclass(frozen=True, kw_only=True)
class Planner:
    """What planning needs. `stores` by `<kind>/<account>`; a run has `most_slices` slices at most."""

    policy: Policy
    stores: Mapping[str, RecordStore]
    gate: Gate
    runs: Runs
    sweeps: Queue
    heartbeats: Heartbeats
    clock: Callable[[], datetime]
    resend_after: timedelta
    most_slices: int
    caps: Caps

    async def run_now(self, message: messages.Run) -> Mapping[str, Step]:
        """Start a run of the message's categories before their time, and say of which it started none, and why.

        Raises PermanentError for a category that is not enforced.
        """
        steps = await self.tick(only=message.categories, forced=True)
        for category, step in steps.items():
            match step:
                case Paused():
                    log.warning("run message %s starts nothing of %s: it is paused", message.id, category)
                case Unapproved():
                    log.warning("run message %s starts nothing of %s: a run waits for approval", message.id, category)
                case Wait() | QueueStep():
                    log.warning("run message %s starts nothing of %s: a run is unfinished", message.id, category)
                case Start() | Finish() | Post():
                    pass
        return steps

    async def tick(self, *, only: Sequence[str] = (), forced: bool = False) -> Mapping[str, Step]:
        """Take the next steps of every enforced category (or of `only`), until each waits. Safe to repeat and to race.

        Returns the first step of each; in place of an event's posting, what kept the category from more.

        Raises PermanentError for an id in `only` that is not enforced. A category that fails does not stop the others:
        its error is raised when all have had their turn.
        """
        chosen = [self._enforced(name) for name in only] or self.policy.enforced()
        taken: dict[str, Step] = {}

        async def advance(category: Category) -> None:
            try:
                taken[category.id] = await self._advance(category, forced=forced)
            except (ChangedError, ExistsError):
                log.info("another planner was faster for %s", category.id)

        await each(filter(swept_rules, chosen), advance, log=log, say=lambda category: f"the planning of {category.id}")
        return taken

    async def _advance(self, category: Category, *, forced: bool) -> Step:
        first: Step | None = None
        started = False
        while True:
            held = await self.runs.current(category.id)
            current = held.value if held else None
            pause = await self.runs.pause(category.id)
            step = decide(
                category,
                current,
                await self._progress(category, current),
                policy=self.policy.digest,
                pause=pause.value if pause else None,
                now=self.clock(),
                resend_after=self.resend_after,
                forced=forced and not started,
            )
            first = step if first is None or isinstance(first, Post) else first
            if isinstance(step, Wait | Paused | Unapproved):
                return first
            if isinstance(step, Start) or held is None:  # before the first run there is nothing but to start one
                started = True
                await self._start(category, current, held.etag if held else None)
                continue
            match step:
                case QueueStep():
                    await self._queue(
                        category, held.value, step, held.etag, resumed_at=pause.value.resumed_at if pause else None
                    )
                case Finish():
                    await self._finish(category, held.value, step, held.etag)
                case Post():
                    await self._post(category, held.value, held.etag)

    async def _progress(self, category: Category, current: Current | None) -> list[SliceProgress]:
        if current is None or current.finished is not None:
            return []
        numbers = range(current.slices)
        return [(await self.runs.progress(category.id, current.run, n)).value for n in numbers]

    # ------------------------------------------------------------ the steps

    async def _start(self, category: Category, last: Current | None, etag: str | None) -> None:
        """Plan a run, count what it finds, and make it the category's current one; over the cap it asks for approval.

        A crash before the last write leaves a run's document that no category points to: nothing comes of it, and it
        goes by itself.
        """
        history = last.history if last else ()
        cap = self.caps.of(category, history)
        document = await self.plan(category)
        seen = await self._look(category, document, most=cap + 1)
        found = min(seen.due, cap + 1)
        if found <= cap:
            bounded = zip(document.slices, quotas(seen.counted, cap), strict=True)
            slices = tuple(planned.model_copy(update={"quota": quota}) for planned, quota in bounded)
            document = document.model_copy(update={"slices": slices})
        current = Current(
            run=document.run,
            policy=document.policy,
            started=document.started,
            slices=len(document.slices),
            found=found,
            cap=cap,
            history=history,
            orders=last.orders if last else {},
        )
        if found > cap:
            data = {"category": category.id, "run": document.run, "more_than": cap}
            kind = audit.EventType.RUN_NEEDS_APPROVAL
            event = outgoing(self.gate, kind, self.clock(), data, policy=document.policy)
            current = current.model_copy(update={"approval": "waiting", "outbox": (event,)})
        if document.slices or document.strange:
            await self.runs.add(document)
        await self.runs.set_current(category.id, current, etag)

    async def _queue(
        self,
        category: Category,
        current: Current,
        step: QueueStep,
        etag: str | None,
        *,
        resumed_at: datetime | None,
    ) -> None:
        for number in step.slices:
            await send_slice(self.sweeps, category.id, current.run, number, step.attempt)
        # a crash before this write sends the same messages again: their ids are the same
        update = {"queued": self.clock(), "resumed_at": resumed_at, "attempt": step.attempt}
        await self.runs.set_current(category.id, current.model_copy(update=update), etag)

    async def _finish(self, category: Category, current: Current, step: Finish, etag: str | None) -> None:
        document = await self.runs.document(category.id, current.run)
        strange = Counter(step.totals.strange) + Counter(document.strange if document else {})
        totals = step.totals.model_copy(update={"strange": strange})
        for reason, number in strange.items():
            log.warning("run %s met %d records that are strange: %s", current.run, number, reason)
        now = self.clock()
        event = outgoing(
            self.gate,
            audit.EventType.RUN_COMPLETED,
            now,
            {
                "category": category.id,
                "run": current.run,
                "expired": totals.expired,
                "forwarded": totals.forwarded,
                "outcomes": dict(totals.outcomes),
                "uncounted": totals.uncounted,
                "strange": dict(strange),
            },
            intent=current.run,
            policy=document.policy if document else None,
        )
        update = {
            "finished": now,
            "approval": None if current.approval == "waiting" else current.approval,
            "totals": totals,
            "history": (*current.history, totals.expired)[-REMEMBERED:],
            # What a crash kept from being counted was deleted all the same: only a run that had no work goes unsaid.
            "outbox": (event,) if current.slices or strange else (),
        }
        await self.runs.end(category.id, current.run, now)
        await self.heartbeats.category(category.id, now)
        await self.runs.set_current(category.id, current.model_copy(update=update), etag)

    async def _post(self, category: Category, current: Current, etag: str | None) -> None:
        if current.approval == "waiting":
            log.error(
                "ALARM run %s found more than its cap of %d: nothing of it is queued before `retention approve`",
                current.run,
                current.cap,
            )
        await post(self.gate, current.outbox)
        await self.runs.set_current(category.id, current.model_copy(update={"outbox": ()}), etag)

    # ------------------------------------------------------------ looking

    async def plan(self, category: Category) -> RunDocument:
        """Divide what is due now into slices, writing nothing."""
        store = record_store(self.stores, category)
        now = await store.now(category)
        started = self.clock()
        slices: list[PlannedSlice] = []
        strange: Counter[str] = Counter()
        for rule in swept_rules(category):
            division = await store.divide(category, rule, now=now, most=self.most_slices)
            slices += [PlannedSlice(rule=rule.id, now=now, bounds=part.bounds) for part in division.parts]
            strange.update(division.strange)
        return RunDocument(
            run=f"{category.id}-{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",  # two may start in one second
            category=category.id,
            policy=self.policy.digest,
            started=started,
            slices=tuple(slices),
            strange=strange,
        )

    async def survey(self, category: Category, *, most: int) -> Survey:
        """Look at what a run would find now, up to about `most` records. Deletes and writes nothing."""
        return await self._look(category, await self.plan(category), most=most)

    async def _look(self, category: Category, document: RunDocument, *, most: int) -> Survey:
        strange: Counter[str] = Counter(document.strange)
        counted: list[int] = []
        oldest: datetime | None = None
        for planned in document.slices:
            counted.append(0)
            rule = next(r for r in category.rules if r.id == planned.rule)
            pages = record_store(self.stores, category).expired(
                category, rule, Slice(bounds=planned.bounds), now=planned.now, cursor="", size=min(PAGE, most)
            )
            async for listed in pages:
                page = without_nobodys(listed, rule)
                counted[-1] += len(page.records)
                strange.update(page.strange)
                oldest = min((d for d in (oldest, *(r.due for r in page.records)) if d), default=None)
                if sum(counted) >= most:
                    return Survey(counted=counted, oldest=oldest, strange=strange)
        return Survey(counted=counted, oldest=oldest, strange=strange)

    def _enforced(self, category_id: str) -> Category:
        category = next((c for c in self.policy.enforced() if c.id == category_id), None)
        if category is None:
            raise PermanentError("no such category is enforced: `retention policy show` lists them")
        return category
