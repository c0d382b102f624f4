"""What every kind of work on a request does: keep the document, find a scope's records, give them to the gate.

The document is written before each step acts, so that an attempt resumes wherever the one before it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.deletion import Gate, count, new_intent_id
from shared.documents import Version
from shared.errors import TransientError
from shared.model import Blocked, Held, Locator, Outcome, Record, RequestCause, Retained, Scope
from shared.policy import Category, Policy
from shared.requests.documents import RequestDocument, Requests, Unit
from shared.stores.interface import RecordStore
from shared.sweep import record_store

ROUNDS = 10  # of finding a category's records again; more means that somebody keeps writing them


class OutOfTimeError(Exception):
    """The worker's time budget is over: the work goes on in a continuation."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the work needs. `stores` by `<kind>/<account>`; `unit` is the number of records in one journal."""

    policy: Policy
    stores: Mapping[str, RecordStore]
    gate: Gate
    requests: Requests
    clock: Callable[[], datetime]
    unit: int


@dataclass(kw_only=True)
class Attempt:
    """One worker's go at a request about `scope`: the document as last written, and what this attempt saw stay."""

    tools: Tools
    held: Version[RequestDocument]
    scope: Scope
    hurry: Callable[[], bool]
    strange: dict[tuple[str, Scope], Counter[str]] = field(default_factory=dict)  # as each last listing met it
    stay: dict[Locator, tuple[str, Outcome]] = field(default_factory=dict)  # by record: its category, and why

    @property
    def document(self) -> RequestDocument:
        """The document as last written."""
        return self.held.value

    async def update(self, **change: Any) -> None:
        """Write the document. Raises ChangedError when another worker has the request: the message is redelivered."""
        self.held = await self.tools.requests.save(self.document.model_copy(update=change), self.held.etag)

    async def finish_earlier(self) -> None:
        """Recover every unit whose outcome is not known. One that is settled already is counted by the log alone."""
        for unit in self.document.work:
            if unit.outcomes is None:
                await self._account(unit.intent, await self.tools.gate.recover(unit.intent))

    async def records(self, category: Category, scope: Scope) -> list[Record]:
        """All of a scope's records in a category."""
        pages = self.store(category).of_scope(category, scope, size=self.tools.unit)
        return [record async for page in pages for record in page.records]

    async def erase(self, category: Category, scope: Scope) -> None:
        """Find the scope's records and give them to the gate, again and again until only those are left that stay."""
        for _ in range(ROUNDS):
            found = False
            self.strange[category.id, scope] = Counter()
            async for page in self.store(category).of_scope(category, scope, size=self.tools.unit):
                self.strange[category.id, scope] += Counter(page.strange)
                records = [record for record in page.records if record.locator not in self.stay]
                await self.through_gate(category, records, scope)
                found = found or bool(records)
            if not found:
                return
        raise TransientError(f"records of {category.id} appear as fast as they are erased: request {self.document.id}")

    async def through_gate(self, category: Category, records: Sequence[Record], scope: Scope) -> None:
        """One unit through the gate; the document names its intent before and its outcomes after.

        Raises OutOfTimeError after it when the time budget is over.
        """
        if not records:
            return
        intent = new_intent_id()
        await self.update(work=(*self.document.work, Unit(intent=intent, category=category.id)))
        asker = None if scope == self.scope else self.scope
        cause = RequestCause(request=self.document.id, scope=scope, asker=asker)
        outcomes = await self.tools.gate.delete(records, cause, intent_id=intent)
        await self._account(intent, outcomes)
        if not outcomes:  # another worker accounted for them: what is left is found again
            return
        stay = {
            record.locator: (category.id, outcome)
            for record, outcome in zip(records, outcomes, strict=True)
            if isinstance(outcome, Held | Blocked | Retained)
        }
        self.stay |= stay
        if self.hurry() and len(stay) < len(records):  # a continuation meets again what stays: it alone is no progress
            raise OutOfTimeError

    def store(self, category: Category) -> RecordStore:
        """The adapter of a category."""
        return record_store(self.tools.stores, category)

    async def _account(self, intent: str, outcomes: Sequence[Outcome]) -> None:
        counts = count(outcomes)
        work = [w.model_copy(update={"outcomes": counts}) if w.intent == intent else w for w in self.document.work]
        await self.update(work=tuple(work))
