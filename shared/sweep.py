"""Sweeps: the worker of one slice. It lists what expired, and gives it to the gate unit by unit.

Nothing here deletes. Workers know nothing of each other; two on one slice cost work and lose nothing, because each
delete is conditional and each progress write is a compare-and-swap. While its category is paused a worker begins no
unit, and leaves the slice where it stands: the planner sends it again afterwards.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared import messages
from shared.deletion import Gate, count, new_intent_id
from shared.documents import Version
from shared.errors import ChangedError, ConfigError, ExistsError, PermanentError
from shared.model import Outcome, SweepCause
from shared.policy import Category, Policy
from shared.policy_terms import Rule
from shared.requests.by_policy import start_erasure
from shared.runs import RunDocument, Runs, SliceProgress
from shared.stores.interface import Page, Queue, RecordStore, Slice

log = logging.getLogger("retention.sweep")


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
        if document is None or not 0 <= order.slice < len(document.slices):
            raise PermanentError("the message names a slice that no run has")
        held = await self.runs.progress(order.category, order.run, order.slice)
        if held.value.done or await self.runs.paused(order.category) or await self._unapproved(order):
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

    async def _unapproved(self, order: messages.SliceOrder) -> bool:
        """Whether the run waits for approval: then the planner sent no such order, and somebody else did."""
        current = await self.runs.current(order.category)
        waiting = current is not None and (current.value.run, current.value.approval) == (order.run, "waiting")
        if waiting:
            log.error("ALARM an order to sweep %s came before its approval: it is not carried out", order.run)
        return waiting

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
        pages = record_store(self.stores, category).expired(
            category, rule, part, now=planned.now, cursor=held.value.cursor, size=self.unit
        )
        async for listed in pages:
            if await self.runs.paused(category.id):
                log.info("slice %d of %s stops: its category is paused", order.slice, order.run)
                break
            page = without_nobodys(listed, rule)
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
                await send_slice(self.sweeps, order.category, order.run, order.slice, order.attempt, hop=order.hop + 1)
                break
        return held.value

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


def without_nobodys(page: Page, rule: Rule) -> Page:
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
