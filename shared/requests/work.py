"""What every kind of work on a request does: keep the document, find a scope's records, give them to the gate.

The document is written before each step acts, so that an attempt resumes wherever the one before it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.deletion import Gate, count, new_intent_id
from shared.documents import Version
from shared.errors import TransientError
from shared.model import (
    Blocked,
    ErasedRecoverable,
    Held,
    Locator,
    Outcome,
    Record,
    RequestCause,
    Retained,
    Scope,
    ScopeKind,
)
from shared.policy import Category, Policy
from shared.requests.documents import RequestDocument, Requests, Unit
from shared.runs import ERASURES
from shared.stores.interface import RecordStore, record_store

ROUNDS = 10  # of finding a category's records again; more means that somebody keeps writing them


OTHERS = "names another person too"


class OutOfTimeError(Exception):
    """The worker's time budget is over: the work goes on in a continuation."""


class PausedError(Exception):
    """Somebody has paused the erasures: the request waits where it stands, and the watch comes back to it."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the work needs. `stores` by `<kind>/<account>`; `unit` is the number of records in one journal.

    `paused` says whether work of a kind is paused.
    """

    policy: Policy
    stores: Mapping[str, RecordStore]
    gate: Gate
    requests: Requests
    paused: Callable[[str], Awaitable[bool]]
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
                await self._account(unit, await self.tools.gate.recover_or_forestall(unit.intent))

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
                theirs = [record for record in page.records if self._is_theirs(record, scope)]
                if len(theirs) < len(page.records):
                    self.strange[category.id, scope][OTHERS] += len(page.records) - len(theirs)
                records = [record for record in theirs if record.locator not in self.stay]
                await self.through_gate(category, records, scope)
                found = found or bool(records)
            if not found:
                return
        raise TransientError(f"records of {category.id} appear as fast as they are erased: request {self.document.id}")

    async def through_gate(self, category: Category, records: Sequence[Record], scope: Scope) -> None:
        """One unit through the gate; the document names its intent before and its outcomes after.

        Raises OutOfTimeError after it when the time budget is over, PausedError before it while erasures are paused.
        """
        if not records:
            return
        if await self.tools.paused(ERASURES):
            raise PausedError
        unit = Unit(intent=new_intent_id(), category=category.id)
        await self.update(work=(*self.document.work, unit))
        asker = None if scope == self.scope else self.scope
        cause = RequestCause(request=self.document.id, scope=scope, asker=asker)
        outcomes = await self.tools.gate.delete(records, cause, intent_id=unit.intent)
        await self._account(unit, outcomes)
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

    def _is_theirs(self, record: Record, scope: Scope) -> bool:
        """Whether a record found by an address is not somebody else's: one that names another user is that user's."""
        people = {each for each in (record.scope, *record.names) if each is not None and each.kind is ScopeKind.PERSON}
        return scope.kind is not ScopeKind.ADDRESS or people <= {self.scope}

    async def _account(self, unit: Unit, outcomes: Sequence[Outcome]) -> None:
        """Note what became of a unit, and until when a store keeps copies of what was erased."""
        done = unit.model_copy(update={"outcomes": count(outcomes)})
        work = tuple(done if each.intent == unit.intent else each for each in self.document.work)
        recoverable = dict(self.document.recoverable)
        for outcome in outcomes:
            if isinstance(outcome, ErasedRecoverable):
                earlier = recoverable.get(unit.category, outcome.until)
                ends = [end for end in (earlier, outcome.until) if end is not None]
                recoverable[unit.category] = max(ends) if len(ends) == 2 else None  # noqa: PLR2004 - of both
        await self.update(work=work, recoverable=recoverable)
