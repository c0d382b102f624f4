"""Sweeps: the worker of one slice. It lists what expired, and gives it to the gate unit by unit.

Nothing here deletes. Workers know nothing of each other; two on one slice cost work and lose nothing, because each
delete is conditional and each progress write is a compare-and-swap. While its category is paused a worker begins no
unit, and leaves the slice where it stands: the planner sends it again afterwards. Only the unit that a crash left open
is finished even then, by the watch. The next page is listed while a unit is at the gate; whoever stops drops it.

Refused: orders of a run that is not its category's, or that waits for approval. A slice ends early where more is due
than was counted, unless somebody approved the run, and where the policy is another one than it was planned under: the
next run counts anew.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared import messages
from shared.deletion import Gate, UndecidedError, count, new_intent_id
from shared.documents import Version
from shared.errors import ChangedError, ExistsError, PermanentError
from shared.model import Outcome, Record, SweepCause
from shared.plan import POLICY_CHANGED
from shared.policy import Policy
from shared.policy_terms import Rule
from shared.requests.by_policy import start_erasure
from shared.runs import Current, RunDocument, Runs, SliceProgress
from shared.stores.concurrency import one_ahead
from shared.stores.interface import Page, Queue, RecordStore, Slice, record_store

log = logging.getLogger("retention.sweep")

MORE_THAN_COUNTED = "more than was counted"
"""Why a slice ended: to go on would take the run beyond its cap, and nobody approved that."""

PLAN_GONE = "the plan is gone"
"""Why a slice ended: the run was unfinished for so long that retention took its document (`shared.runs.ABANDONED`)."""


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
    unit: int

    async def sweep(self, order: messages.SliceOrder, *, hurry: Callable[[], bool]) -> SliceProgress:
        """Sweep a slice from where it stands until it is done, or until `hurry` says to queue a continuation.

        Raises PermanentError for a slice that no run has. A crash anywhere repeats from the last progress written. A
        slice that can never be swept ends here, counted as strange and alarmed: the run after it tries again. One whose
        category is paused is left as it stands, at the latest before the next unit.
        """
        document = await self.runs.document(order.category, order.run)
        current = await self.runs.current(order.category)
        mine = current.value if current is not None and current.value.run == order.run else None
        slices = mine.slices if mine else len(document.slices) if document else 0
        if not 0 <= order.slice < slices:
            raise PermanentError("the message names a slice that no run has")
        held = await self.runs.progress(order.category, order.run, order.slice)
        if held.value.done or mine is None or await self._kept_back(order, mine):
            if mine is None and not held.value.done:
                log.error("ALARM an order came to sweep %s, which is not its category's run: ignored", order.run)
            return held.value
        try:
            return await self._sweep(order, mine, document, held, hurry)
        except (ChangedError, ExistsError):
            log.info("another worker is on slice %d of %s", order.slice, order.run)
            return held.value
        except UndecidedError as error:
            log.info("slice %d of %s waits, until it is sent again: %s", order.slice, order.run, error)
            return held.value
        except PermanentError as error:
            log.error("ALARM slice %d of %s cannot be swept: %s", order.slice, order.run, error)  # noqa: TRY400 - no bug
            held = await self.runs.progress(order.category, order.run, order.slice)
            change = _counted(held.value, ()) if held.value.intent else {}  # what the gate did is in the log
            return await self._end(order, held, "cannot be swept", change)

    async def _kept_back(self, order: messages.SliceOrder, current: Current) -> bool:
        """Whether the category is paused, or the run waits for approval: then the planner sent no such order."""
        if current.approval == "waiting":
            log.error("ALARM an order to sweep %s came before its approval: it is not carried out", order.run)
            return True
        return await self.runs.paused(order.category)

    async def _sweep(
        self,
        order: messages.SliceOrder,
        current: Current,
        document: RunDocument | None,
        held: Version[SliceProgress],
        hurry: Callable[[], bool],
    ) -> SliceProgress:
        if held.value.intent:  # an earlier worker was at the gate: its unit is finished, and counted where that can be
            outcomes = await self.gate.recover_or_forestall(held.value.intent)
            held = await self._record(order, held, _counted(held.value, outcomes))
        if document is None or document.policy != self.policy.digest:
            return await self._end(order, held, POLICY_CHANGED if document else PLAN_GONE)
        planned = document.slices[order.slice]
        category = self.policy.category(order.category)
        rule = next(rule for rule in category.rules if rule.id == planned.rule)
        cause = SweepCause(run=order.run, slice=order.slice)
        holds = await self.gate.readable_holds()  # else nothing is begun, and nothing counted as begun
        part = Slice(bounds=planned.bounds)
        pages = record_store(self.stores, category).expired(
            category, rule, part, now=planned.now, cursor=held.value.cursor, size=self.unit
        )
        async with aclosing(one_ahead(pages)) as ahead:
            async for listed in ahead:
                if await self.runs.paused(category.id):
                    log.info("slice %d of %s stops: its category is paused", order.slice, order.run)
                    break
                page = without_nobodys(listed, rule)
                strange = Counter(held.value.strange) + Counter(page.strange)
                change: dict[str, Any] = {}
                if page.records:
                    begun = held.value.begun + len(page.records)
                    if begun > planned.quota and current.approval != "given":
                        log.error(
                            "ALARM slice %d of %s met more than was counted: it ends here", order.slice, order.run
                        )
                        return await self._end(order, held, MORE_THAN_COUNTED, {"strange": strange})
                    intent = new_intent_id() if rule.action == "delete" else ""
                    held = await self._record(order, held, {"begun": begun, "intent": intent})
                    if intent:
                        change = _counted(held.value, await self.gate.delete(page.records, cause, intent_id=intent))
                    else:
                        free = [r for r in page.records if not any(hold.covers(r, cause) for hold in holds)]
                        await self._forward(free, rule, document.started)
                        change = _forwarded(held.value, len(page.records), len(free))
                change |= {"cursor": page.cursor, "done": page.cursor == "", "strange": strange}
                held = await self._record(order, held, change)
                if not held.value.done and hurry():
                    await send_slice(
                        self.sweeps, order.category, order.run, order.slice, order.attempt, hop=order.hop + 1
                    )
                    break
        return held.value

    async def _forward(self, records: Sequence[Record], rule: Rule, started: datetime) -> None:
        """Start the erasure of the person or home of each record."""
        for record in records:
            if record.scope is not None:
                await start_erasure(record.scope, rule, started, keys=self.gate.keys, queue=self.requests)

    async def _end(
        self,
        order: messages.SliceOrder,
        held: Version[SliceProgress],
        why: str,
        change: Mapping[str, Any] | None = None,
    ) -> SliceProgress:
        """End the slice where it stands, with one more that is strange."""
        update = {"strange": held.value.strange, **(change or {})}
        update |= {"cursor": "", "done": True, "strange": Counter(update["strange"]) + Counter({why: 1})}
        return (await self._record(order, held, update)).value

    async def _record(
        self, order: messages.SliceOrder, held: Version[SliceProgress], change: Mapping[str, Any]
    ) -> Version[SliceProgress]:
        value = held.value.model_copy(update=change)
        at = self.clock()
        etag = await self.runs.set_progress(order.category, order.run, order.slice, value, held.etag, at=at)
        return Version(value=value, etag=etag)


async def send_slice(queue: Queue, category: str, run: str, number: int, attempt: int, *, hop: int = 0) -> None:
    """Send the order to sweep a slice. The same again has the same id. Raises TransientError."""
    body = messages.slice_order(category=category, run=run, number=number, attempt=attempt, hop=hop)
    await queue.send(body, message_id=f"{run}-{number}-{attempt}-{hop}")


def _counted(progress: SliceProgress, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What the progress becomes when the unit at the gate had these outcomes; none: the log alone knows them."""
    return {
        "intent": "",
        "expired": progress.expired + len(outcomes),
        "outcomes": Counter(progress.outcomes) + count(outcomes),
        "uncounted": progress.uncounted + (not outcomes),
    }


def _forwarded(progress: SliceProgress, found: int, forwarded: int) -> dict[str, Any]:
    """What the progress becomes when so many records were found, and so many started an erasure: the rest are held."""
    return {
        "expired": progress.expired + found,
        "forwarded": progress.forwarded + forwarded,
        "outcomes": Counter(progress.outcomes) + Counter({"held": found - forwarded}),
    }


def without_nobodys(page: Page, rule: Rule) -> Page:
    """The page; where the rule erases subjects, without the records that belong to nobody: those are strange."""
    records = [record for record in page.records if rule.action == "delete" or record.scope is not None]
    nobodys = Counter({"belongs to nobody": len(page.records) - len(records)})
    return replace(page, records=records, strange=Counter(page.strange) + nobodys)
