"""Sweeps: the planner's tick, the worker of one slice, and the dry run of both. The same listing serves all three.

Nothing here deletes: a worker gives what it listed to the gate. Workers know nothing of each other; two on one slice
cost work and lose nothing, because each delete is conditional and each progress write is a compare-and-swap.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared import audit, messages
from shared.deletion import Gate, count, new_intent_id
from shared.documents import Version
from shared.each import each
from shared.errors import ChangedError, ConfigError, ExistsError, PermanentError
from shared.model import Outcome, SweepCause
from shared.plan import Finish, Post, Start, Step, Wait, decide
from shared.plan import Queue as QueueStep
from shared.policy import Category, Follows, Policy, Rule
from shared.requests.by_policy import start_erasure
from shared.runs import Current, PlannedSlice, RunDocument, Runs, SliceProgress
from shared.stores.interface import Page, Queue, RecordStore, Slice

log = logging.getLogger("retention.sweep")


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a run would find now: how many records are due, since when the oldest, and what is strange, by reason."""

    due: int
    oldest: datetime | None
    strange: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Sweeps:
    """What sweeping needs. `stores` by `<kind>/<account>`; `unit` is the number of records in one journal."""

    policy: Policy
    stores: Mapping[str, RecordStore]
    gate: Gate
    runs: Runs
    sweeps: Queue
    requests: Queue
    clock: Callable[[], datetime]
    resend_after: timedelta
    most_slices: int
    unit: int

    # ------------------------------------------------------------ the planner

    async def tick(self, *, only: Sequence[str] = (), forced: bool = False) -> Mapping[str, Step]:
        """Take the next steps of every enforced category (or of `only`), until each waits. Safe to repeat and to race.

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

        await each(filter(_swept, chosen), advance, log=log, say=lambda category: f"the planning of {category.id}")
        return taken

    async def _advance(self, category: Category, *, forced: bool) -> Step:
        first: Step | None = None
        started = False
        while True:
            held = await self.runs.current(category.id)
            current = held.value if held else None
            progress = await self._progress(category, current)
            step = decide(
                category,
                current,
                progress,
                now=self.clock(),
                resend_after=self.resend_after,
                forced=forced and not started,
            )
            first = first or step
            if isinstance(step, Start) or held is None:  # before the first run there is nothing but to start one
                started = True
                await self._start(category, held.etag if held else None)
                continue
            match step:
                case Wait():
                    return first
                case QueueStep():
                    await self._queue(category, held.value, step, held.etag)
                case Finish():
                    await self._finish(category, held.value, step, held.etag)
                case Post():
                    await self._post(category, held.value, held.etag)

    async def _progress(self, category: Category, current: Current | None) -> list[SliceProgress]:
        if current is None or current.finished is not None:
            return []
        numbers = range(current.slices)
        return [(await self.runs.progress(category.id, current.run, n)).value for n in numbers]

    async def _start(self, category: Category, etag: str | None) -> None:
        document = await self.plan(category)
        if document.slices or document.strange:
            # a crash after this leaves a document that no category points to: nothing came of it
            document = await self.runs.add(document)
        current = Current(run=document.run, started=document.started, slices=len(document.slices))
        await self.runs.set_current(category.id, current, etag)

    async def plan(self, category: Category) -> RunDocument:
        """Divide what is due now into slices, writing nothing."""
        store = self._store(category)
        now = await store.now(category)
        started = self.clock()
        slices: list[PlannedSlice] = []
        strange: Counter[str] = Counter()
        for rule in _rules(category):
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

    async def _queue(self, category: Category, current: Current, step: QueueStep, etag: str | None) -> None:
        for number in step.slices:
            await self._send(category.id, current.run, number, step.attempt, hop=0)
        # a crash before this write sends the same messages again: their ids are the same
        update = {"queued": self.clock(), "attempt": step.attempt}
        await self.runs.set_current(category.id, current.model_copy(update=update), etag)

    async def _finish(self, category: Category, current: Current, step: Finish, etag: str | None) -> None:
        document = await self.runs.document(category.id, current.run)
        strange = Counter(step.totals.strange) + Counter(document.strange if document else {})
        totals = step.totals.model_copy(update={"strange": strange})
        for reason, number in strange.items():
            log.warning("run %s met %d records that are strange: %s", current.run, number, reason)
        now = self.clock()
        event = audit.plain_event(
            audit.EventType.RUN_COMPLETED,
            event_id=f"{current.run}/0",
            source=self.gate.source,
            time=now,
            policy_digest=document.policy if document else self.policy.digest,
            subject=None,
            data={
                "category": category.id,
                "run": current.run,
                "expired": totals.expired,
                "forwarded": totals.forwarded,
                "outcomes": dict(totals.outcomes),
                "uncounted": totals.uncounted,
                "strange": dict(strange),
            },
        )
        # What a crash kept from being counted was deleted all the same: only a run that had no work goes unsaid.
        outbox = event.decode() if current.slices or strange else None
        update = {"finished": now, "totals": totals, "outbox": outbox}
        await self.runs.set_current(category.id, current.model_copy(update=update), etag)

    async def _post(self, category: Category, current: Current, etag: str | None) -> None:
        event = (current.outbox or "").encode()
        year = str((current.finished or current.started).year)
        await self.gate.journals.post(current.run, [event], log=year)
        await self.gate.ring(current.run)
        await self.runs.set_current(category.id, current.model_copy(update={"outbox": None}), etag)

    # ------------------------------------------------------------ the worker

    async def sweep(self, order: messages.SliceOrder, *, hurry: Callable[[], bool]) -> SliceProgress:
        """Sweep a slice from where it stands until it is done, or until `hurry` says to queue a continuation.

        Raises PermanentError for a slice that no run has. A crash anywhere repeats from the last progress written. A
        slice that can never be swept ends here, counted as strange and alarmed: the run after it tries again.
        """
        document = await self.runs.document(order.category, order.run)
        if document is None or not 0 <= order.slice < len(document.slices):
            raise PermanentError("the message names a slice that no run has")
        held = await self.runs.progress(order.category, order.run, order.slice)
        if held.value.done:
            return held.value
        try:
            return await self._sweep(order, document, held, hurry)
        except (ChangedError, ExistsError):
            log.info("another worker is on slice %d of %s", order.slice, order.run)
            return held.value
        except PermanentError as error:
            log.error("ALARM slice %d of %s cannot be swept: %s", order.slice, order.run, error)  # noqa: TRY400 - no bug
            held = await self.runs.progress(order.category, order.run, order.slice)
            change = _counted(held.value, ()) if held.value.intent else {}  # what the gate did is in the log
            strange = Counter(held.value.strange) + Counter({"cannot be swept": 1})
            return (await self._record(order, held, {**change, "done": True, "strange": strange})).value

    async def _sweep(
        self,
        order: messages.SliceOrder,
        document: RunDocument,
        held: Version[SliceProgress],
        hurry: Callable[[], bool],
    ) -> SliceProgress:
        planned = document.slices[order.slice]
        category = self.policy.category(order.category)
        rule = next((r for r in category.rules if r.id == planned.rule), None)
        if held.value.intent:  # an earlier worker was at the gate: its unit is finished, and counted where that can be
            held = await self._record(order, held, _counted(held.value, await self.gate.recover(held.value.intent)))
        if rule is None or category.status != "enforced":
            strange = {**held.value.strange, "rule left the policy": 1}
            return (await self._record(order, held, {"done": True, "strange": strange})).value
        part = Slice(bounds=planned.bounds)
        pages = self._store(category).expired(
            category, rule, part, now=planned.now, cursor=held.value.cursor, size=self.unit
        )
        async for listed in pages:
            page = _without_nobodys(listed, rule)
            change: dict[str, Any] = {}
            if rule.action == "delete" and page.records:
                intent = new_intent_id()
                held = await self._record(order, held, {"intent": intent})
                cause = SweepCause(run=order.run, slice=order.slice)
                change = _counted(held.value, await self.gate.delete(page.records, cause, intent_id=intent))
            elif page.records:
                scopes = [record.scope for record in page.records if record.scope is not None]
                for scope in scopes:
                    await start_erasure(scope, rule, document.started, keys=self.gate.keys, queue=self.requests)
                number = len(scopes)
                change = {"expired": held.value.expired + number, "forwarded": held.value.forwarded + number}
            strange = Counter(held.value.strange) + Counter(page.strange)
            change |= {"cursor": page.cursor, "done": page.cursor == "", "strange": strange}
            held = await self._record(order, held, change)
            if not held.value.done and hurry():
                await self._send(order.category, order.run, order.slice, order.attempt, hop=order.hop + 1)
                break
        return held.value

    async def _record(
        self, order: messages.SliceOrder, held: Version[SliceProgress], change: Mapping[str, Any]
    ) -> Version[SliceProgress]:
        value = held.value.model_copy(update=change)
        etag = await self.runs.set_progress(order.category, order.run, order.slice, value, held.etag)
        return Version(value=value, etag=etag)

    async def _send(self, category: str, run: str, number: int, attempt: int, *, hop: int) -> None:
        body = messages.slice_order(category=category, run=run, number=number, attempt=attempt, hop=hop)
        await self.sweeps.send(body, message_id=f"{run}-{number}-{attempt}-{hop}")

    # ------------------------------------------------------------ the dry run

    async def survey(self, category: Category, *, most: int) -> Survey:
        """Look at what a run would find now, up to about `most` records. Deletes and writes nothing."""
        document = await self.plan(category)
        strange: Counter[str] = Counter(document.strange)
        found = 0
        oldest: datetime | None = None
        for planned in document.slices:
            rule = next(r for r in category.rules if r.id == planned.rule)
            part = Slice(bounds=planned.bounds)
            pages = self._store(category).expired(
                category, rule, part, now=planned.now, cursor="", size=min(self.unit, most)
            )
            async for listed in pages:
                page = _without_nobodys(listed, rule)
                found += len(page.records)
                strange.update(page.strange)
                oldest = min((d for d in (oldest, *(r.due for r in page.records)) if d), default=None)
                if found >= most:
                    return Survey(due=found, oldest=oldest, strange=strange)
        return Survey(due=found, oldest=oldest, strange=strange)

    def _store(self, category: Category) -> RecordStore:
        return record_store(self.stores, category)

    def _enforced(self, category_id: str) -> Category:
        category = next((c for c in self.policy.enforced() if c.id == category_id), None)
        if category is None:
            raise PermanentError("no such category is enforced: `retention policy show` lists them")
        return category


def _counted(progress: SliceProgress, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What the progress becomes when the unit at the gate had these outcomes; none: the log alone knows them."""
    return {
        "intent": "",
        "expired": progress.expired + len(outcomes),
        "outcomes": Counter(progress.outcomes) + count(outcomes),
        "uncounted": progress.uncounted + (not outcomes),
    }


def _without_nobodys(page: Page, rule: Rule) -> Page:
    """The page; where the rule erases subjects, without the records that belong to nobody: those are strange."""
    records = [record for record in page.records if rule.action == "delete" or record.scope is not None]
    nobodys = Counter({"belongs to nobody": len(page.records) - len(records)})
    return replace(page, records=records, strange=Counter(page.strange) + nobodys)


def record_store(stores: Mapping[str, RecordStore], category: Category) -> RecordStore:
    """The adapter of a category. Raises ConfigError where none is configured."""
    store = stores.get(category.store.place)
    if store is None:
        raise ConfigError(f"category {category.id}: no connection to {category.store.place} is set")
    return store


def _rules(category: Category) -> list[Rule]:
    return [rule for rule in category.rules if not isinstance(rule.start, Follows)]


def _swept(category: Category) -> bool:
    return bool(_rules(category))
