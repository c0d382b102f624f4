"""The gate: the only caller of a store's delete.

It keeps one promise: after recovery from any crash, a record that is gone through us has its event in the log, and no
event is untrue. The order of its steps is what keeps it (docs/adr/0001-gate-protocol.md); recovery is the same steps.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from shared import audit, messages
from shared.accounts import account
from shared.errors import ChangedError, ConfigError, TransientError
from shared.holds import Holds
from shared.journal import Intent, Journals, OpenJournal
from shared.keys import ScopeKeys
from shared.model import (
    AlreadyGone,
    Blocked,
    Cause,
    Erased,
    ErasedRecoverable,
    Held,
    Left,
    Outcome,
    Record,
    Renewed,
    RequestCause,
    Retained,
    Scope,
)
from shared.policy import Policy
from shared.stores.interface import Answer, NoAnswer, Queue, RecordStore, Recoverable, Said

ATTEMPTS = 4  # of one record that had no answer, before its journal is left open for recovery
FIRST_WAIT = 0.2  # seconds before the second attempt; doubled each time
LONGEST_WAIT = 30.0  # seconds that a store may ask for; beyond it the journal is left to recovery
SEND_WITHIN = timedelta(minutes=2)  # of an attempt's beginning: later it deletes nothing more
ANSWER_WITHIN = 120.0  # seconds that one call of a store may take
ON_ITS_WAY = timedelta(minutes=5)  # more than both: by then what an attempt sent has reached its store, or never will

Outcomes = tuple[Outcome, ...]

log = logging.getLogger("retention.gate")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the gate needs. `stores` by `<store>/<account>`; `source` is the events' CloudEvents source.

    `sleep` waits that many seconds before records without an answer are asked for again.
    """

    stores: Mapping[str, RecordStore]
    journals: Journals
    holds: Holds
    keys: ScopeKeys
    doorbell: Queue
    policy: Policy
    source: str
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def delete(self, records: Sequence[Record], cause: Cause, *, intent_id: str | None = None) -> Outcomes:
        """Carry out each record's action and account for each. Returns the outcomes in the order of `records`.

        0. See that the holds can be read: where they cannot, nothing is begun.
        1. Write the intent, durably, once.
        2. Read the holds, after that; see what a law keeps against a request.
        3. Delete, each record on condition that it is still the version that was listed.
        4. Settle: the journal becomes the exact events.
        5. Ring the ledger's doorbell.

        Returns nothing when another worker settled first: then its account is the one in the log. Raises TransientError
        when a record had no answer: the journal stays open and recovery repeats from step 2.
        """
        if not records:
            return ()
        await self.holds.read()  # else each delivery of the message would leave one more open journal
        intent = Intent(
            id=intent_id or new_intent_id(),
            cause=cause,
            policy=self.policy.digest,
            clauses={r.category: self.policy.category(r.category).clause for r in records},
            laws={r.category: law for r in records if (law := self.policy.category(r.category).law)},
            created=self.clock(),
            records=tuple(records),
        )
        journal = await self.journals.open(intent)  # a crash from here on leaves the journal open
        return await self._carry_out(journal)

    async def recover(self, intent_id: str) -> Outcomes:
        """Finish an open journal by the same steps, from 2 on. One that is settled or gone needs nothing.

        What is held by now is looked at, because the attempt before may have deleted it.
        """
        journal = await self.journals.read_open(intent_id)
        return await self._again(journal) if journal else ()

    async def ring(self, intent_id: str) -> None:
        """Tell the ledger that a journal is settled. A lost ring loses nothing: the watch rings again."""
        try:
            await self.doorbell.send(messages.doorbell(intent_id), message_id=f"{intent_id}-{secrets.token_hex(4)}")
        except TransientError:
            log.warning("the ledger's doorbell did not answer; the watch will ring it again")

    async def _again(self, journal: OpenJournal, known: Mapping[int, Outcome] | None = None) -> Outcomes:
        """Steps 2 to 5 for a journal that another attempt worked on, or still does; `known` is what is final already.

        Who will send anything writes a new version of the journal first: by its age the next attempt knows whether
        something may still be on its way.
        """
        known = known or {}
        now = await self.journals.objects.now()
        quiet = journal.modified is not None and now >= journal.modified + ON_ITS_WAY
        current: OpenJournal | None = journal
        while current is not None and len(known) < len(journal.intent.records):
            try:
                current = await self.journals.touch(current)
                break
            except ChangedError:  # another worker has begun, or settled
                quiet = False
                current = await self.journals.read_open(journal.intent.id)
        return () if current is None else await self._carry_out(current, again=True, known=known, quiet=quiet)

    async def _carry_out(
        self,
        journal: OpenJournal,
        *,
        again: bool = False,
        known: Mapping[int, Outcome] | None = None,
        quiet: bool = False,
    ) -> Outcomes:
        """Steps 2 to 5. `again`: an earlier attempt may have deleted; unless it is `quiet`, it may be about to.

        That a record is missing or changed is final. That it stays (held, blocked) is not while an attempt without an
        answer may still be on its way: then its journal stays open.
        """
        intent = journal.intent
        unsure = set(range(len(intent.records))) if again and not quiet else set[int]()
        outcomes: dict[int, Outcome] = dict(known or {})
        held = {n: why for n, why in (await self._kept(intent)).items() if n not in outcomes}
        if again:  # what is held now may have been deleted before the hold was there
            await self._look(intent, held, outcomes, unsure)
        else:
            outcomes |= held
        await self._delete_conditionally(intent, held, outcomes, unsure)
        missing = len(intent.records) - len(outcomes)
        if missing:
            await self._give_up(journal, outcomes)
            raise TransientError(f"{missing} records had no final answer; journal {intent.id} stays open for recovery")
        return await self._settle(journal, outcomes)

    async def _give_up(self, journal: OpenJournal, outcomes: Mapping[int, Outcome]) -> None:
        """Leave the journal open for recovery, as a new version: who looked before our deletions can settle no more."""
        current: OpenJournal | None = journal
        while current is not None:
            try:
                await self.journals.touch(current)
            except ChangedError:
                current = await self.journals.read_open(journal.intent.id)
            else:
                return
        said = await self.journals.settled(journal.intent.id)
        await self._correct(journal.intent, outcomes, said, self.clock())

    async def _settle(self, journal: OpenJournal, outcomes: Mapping[int, Outcome]) -> Outcomes:
        """Steps 4 and 5."""
        intent = journal.intent
        final = tuple(outcomes[ordinal] for ordinal in range(len(intent.records)))
        now = self.clock()
        events = await account(intent, outcomes, now, keys=self.keys, source=self.source)
        try:
            await self.journals.settle(journal, events, log=str(now.year))
        except ChangedError:
            current = await self.journals.read_open(intent.id)
            if current is not None:  # another worker gave up, and may have deleted what we found to stay
                known = {n: each for n, each in outcomes.items() if not isinstance(each, Held | Blocked | Retained)}
                return await self._again(current, known)
            said = await self.journals.settled(intent.id)
            if said != events:  # else the store's client repeated a write of ours that had gone through
                await self._correct(intent, outcomes, said, now)
                final = ()
        await self.ring(intent.id)
        return final

    async def _correct(
        self, intent: Intent, outcomes: Mapping[int, Outcome], said: Sequence[bytes] | None, now: datetime
    ) -> None:
        """Another worker settled first. Where it said that a record stays and this one deleted it, say so as well.

        That takes a worker that slept for minutes in the middle of a call. Its event names the one it corrects. Where
        the journal is cleared already (`said` is None), what it said is not known here, and every deletion is said.
        """
        types = {event["id"]: event["type"] for event in map(audit.parse_event, said or ())}
        gone = {
            ordinal: outcome
            for ordinal, outcome in outcomes.items()
            if isinstance(outcome, Erased | ErasedRecoverable | Left)
            and (said is None or types[f"{intent.id}/{ordinal}"] in audit.STAYED)
        }
        log.info("journal %s was settled by another worker", intent.id)
        if gone:
            log.error("ALARM journal %s was settled while its first worker still deleted: corrected", intent.id)
            correction = new_intent_id()  # a crash before this write loses the correction: two faults at once
            events = await account(intent, gone, now, keys=self.keys, source=self.source, correction=correction)
            await self.journals.post(correction, events, log=str(now.year))

    async def _kept(self, intent: Intent) -> dict[int, Held | Retained]:
        """What must stay: held, or kept by a law against a request."""
        holds = await self.holds.read()
        now = self.clock()
        found: dict[int, Held | Retained] = {}
        for ordinal, record in enumerate(intent.records):
            law = intent.laws.get(record.category) if isinstance(intent.cause, RequestCause) else None
            hold = next((h for h in holds if h.covers(record, intent.cause)), None)
            if hold is not None:
                found[ordinal] = Held(hold=hold.id)
            elif law and (record.due is None or record.due > now):
                found[ordinal] = Retained(law=law, until=record.due)
        return found

    async def _look(
        self, intent: Intent, held: Mapping[int, Held | Retained], outcomes: dict[int, Outcome], unsure: set[int]
    ) -> None:
        """Fill in the outcome of what is kept, without asking for a deletion."""
        for store, ordinals in _by_store(intent, held):
            here = await self._store(store).there([intent.records[n] for n in ordinals], leaver=_leaver(intent))
            for ordinal, is_here in zip(ordinals, here, strict=True):
                if is_here is False:
                    outcomes[ordinal] = AlreadyGone()
                elif is_here is True and ordinal not in unsure:
                    outcomes[ordinal] = held[ordinal]

    async def _delete_conditionally(
        self, intent: Intent, held: Mapping[int, Held | Retained], outcomes: dict[int, Outcome], unsure: set[int]
    ) -> None:
        """Fill in the outcome of every record that is not held and gives a final answer.

        Gives up, and leaves the journal open, when the store asks for a longer wait than LONGEST_WAIT, or when the
        attempt is older than SEND_WITHIN: recovery may rely on it that nothing is sent then.
        """
        begun = self.clock()
        wait = 0.0
        for attempt in range(ATTEMPTS):
            left = [n for n in range(len(intent.records)) if n not in outcomes and n not in held]
            if not left or wait > LONGEST_WAIT:
                return
            await self.sleep(wait)
            wait = FIRST_WAIT * 2**attempt
            for store, ordinals in _by_store(intent, left):
                if self.clock() >= begun + SEND_WITHIN:
                    return
                for ordinal, answer in zip(ordinals, await self._ask(store, intent, ordinals), strict=True):
                    if isinstance(answer, NoAnswer):
                        wait = max(wait, answer.retry_after or 0.0)
                        unsure.add(ordinal)
                        continue
                    outcome = _outcome(answer)
                    if not (isinstance(outcome, Blocked) and ordinal in unsure):
                        outcomes[ordinal] = outcome

    async def _ask(self, store: str, intent: Intent, ordinals: Sequence[int]) -> Sequence[Answer]:
        records = [intent.records[n] for n in ordinals]
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await self._store(store).delete(records, leaver=_leaver(intent))
        except TimeoutError:
            return [NoAnswer()] * len(records)

    def _store(self, name: str) -> RecordStore:
        try:
            return self.stores[name]
        except KeyError:
            raise ConfigError(f"no connection to {name} is set: this journal needs it") from None


def _by_store(intent: Intent, ordinals: Iterable[int]) -> Iterable[tuple[str, list[int]]]:
    found: dict[str, list[int]] = {}
    for ordinal in ordinals:
        found.setdefault(intent.records[ordinal].locator.place, []).append(ordinal)
    return found.items()


def _leaver(intent: Intent) -> Scope | None:
    return intent.cause.scope if isinstance(intent.cause, RequestCause) else None


def count(outcomes: Sequence[Outcome]) -> Counter[str]:
    """How many records had which outcome, by the word that ends their event's type."""
    return Counter(audit.outcome_name(outcome) for outcome in outcomes)


def new_intent_id() -> str:
    """A random intent id: 32 hex digits."""
    return secrets.token_hex(16)


def _outcome(answer: Said | Recoverable) -> Outcome:
    """What an answer proves."""
    match answer:
        case Recoverable(until=until):
            return ErasedRecoverable(until=until)
        case "deleted":
            return Erased()
        case "left":
            return Left()
        case "missing":
            return AlreadyGone()
        case "changed":
            return Renewed()
        case "lease" | "immutability" | "legal-hold" | "blob-type":
            return Blocked(reason=answer)
        case _:
            assert_never(answer)
