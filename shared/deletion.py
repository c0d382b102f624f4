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
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from shared import audit, messages
from shared.accounts import account
from shared.attempt import Attempt, Kept
from shared.errors import ChangedError, ConfigError, TransientError
from shared.holds import Hold, HoldAstrayError, Holds
from shared.journal import Intent, Journals, OpenJournal
from shared.keys import ScopeKeys
from shared.model import Cause, Held, Outcome, Record, RequestCause, Retained, Scope
from shared.policy import Policy
from shared.stores.interface import Answer, NoAnswer, Queue, RecordStore

ATTEMPTS = 4  # of one record that had no answer, before its journal is left open for recovery
FIRST_WAIT = 0.2  # seconds before the second attempt; doubled each time
LONGEST_WAIT = 30.0  # seconds that a store may ask for; beyond it the journal is left to recovery
SEND_WITHIN = timedelta(minutes=2)  # of an attempt's beginning, before its first write: later it deletes nothing more
ANSWER_WITHIN = 120.0  # seconds that one call of a store, or reading the holds, may take
ON_ITS_WAY = timedelta(minutes=5)  # more than both: by then what an attempt sent has reached its store, or never will

Outcomes = tuple[Outcome, ...]
T = TypeVar("T")

log = logging.getLogger("retention.gate")


class UndecidedError(TransientError):
    """Some of an open journal's records stay, as it seems, and a deletion may still be on its way to them.

    The message is done with: to repeat it at once helps nobody. The watch comes back to the journal in its time, and
    whatever waits for it is sent again. Operators do nothing.
    """


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

        Returns nothing when another worker settled first: then its account is the one in the log. Raises ChangedError
        when another worker has taken over before step 1: nothing was deleted. Raises TransientError
        when a record had no answer: the journal stays open and recovery repeats from step 2. It is an UndecidedError
        where that cannot help before some minutes are over.
        """
        if not records:
            return ()
        await self.readable_holds()  # else each delivery of the message would leave one more open journal
        begun = self.clock()
        intent = Intent(
            id=intent_id or new_intent_id(),
            cause=cause,
            policy=self.policy.digest,
            clauses={r.category: self.policy.category(r.category).clause for r in records},
            laws={r.category: law for r in records if (law := self.policy.category(r.category).law)},
            created=begun,
            records=tuple(records),
        )
        try:
            async with asyncio.timeout(ANSWER_WITHIN):  # the client repeats a write without an answer no longer than so
                journal = await self.journals.open(intent)  # a crash from here on leaves the journal open
        except TimeoutError:
            raise TransientError("the journal could not be opened in time: nothing is deleted") from None
        return await self._carry_out(Attempt(journal=journal, begun=begun, since=begun))

    async def recover(self, intent_id: str) -> Outcomes:
        """Finish an open journal by the same steps, from 2 on. One that is settled or gone needs nothing.

        What is held by now is looked at, because the attempt before may have deleted it.
        """
        journal = await self.journals.read_open(intent_id)
        return await self._again(journal) if journal else ()

    async def recover_or_forestall(self, intent_id: str) -> Outcomes:
        """The same for an intent that its worker noted and may not have written down: then it never will be.

        For whoever goes on with that worker's records: it may only be slow, and both would delete them. Raises
        UndecidedError for a young journal that no attempt has rewritten: its worker, or a repeat of the very write that
        created it, may still be on its way, and would begin anew where it was settled and cleared meanwhile.
        """
        journal = await self.journals.read_open(intent_id)
        if journal is None:
            await self.journals.forestall(intent_id, log=str(self.clock().year))
            journal = await self.journals.read_open(intent_id)
        if journal is not None and journal.first and not await self._quiet(journal):
            raise UndecidedError(f"journal {intent_id} was opened a moment ago: its worker may be at it")
        return await self._again(journal) if journal else ()

    async def ring(self, intent_id: str) -> None:
        """Tell the ledger that a journal is settled. A lost ring loses nothing: the watch rings again."""
        try:
            await self.doorbell.send(messages.doorbell(intent_id), message_id=f"{intent_id}-{secrets.token_hex(4)}")
        except TransientError:
            log.warning("the ledger's doorbell did not answer; the watch will ring it again")

    async def _again(self, journal: OpenJournal, before: Attempt | None = None) -> Outcomes:
        """Steps 2 to 5 for a journal that another attempt worked on, or still does; `before` is this worker's last one.

        Who will send anything writes a new version of the journal first: by its age the next attempt knows whether
        something may still be on its way.
        """
        known = before.for_certain() if before else {}
        since = before.since if before else self.clock()
        quiet = await self._quiet(journal)
        begun = self.clock()
        current: OpenJournal | None = journal
        while current is not None and len(known) < len(journal.intent.records):
            begun = self.clock()
            try:
                current = await self.journals.touch(current)
                break
            except ChangedError:  # another worker has begun, or settled
                quiet = False
                current = await self.journals.read_open(journal.intent.id)
        if current is None:
            return ()
        return await self._carry_out(Attempt.repeated(current, begun, known=known, quiet=quiet, since=since))

    async def _quiet(self, journal: OpenJournal) -> bool:
        """Whether nothing can be on its way any more of what the attempt sent that wrote this version."""
        return journal.modified is not None and await self.journals.objects.now() >= journal.modified + ON_ITS_WAY

    async def _carry_out(self, attempt: Attempt) -> Outcomes:
        """Steps 2 to 5.

        That a record is missing or another version is final. That it stays (held, blocked) is not while a deletion
        without an answer may still be on its way: then its journal stays open.
        """
        kept = {n: why for n, why in (await self._kept(attempt.intent)).items() if n not in attempt.outcomes}
        if attempt.again:  # what is held now may have been deleted before the hold was there
            await self._look(attempt, kept)
        else:
            attempt.outcomes.update(kept)
        await self._delete_conditionally(attempt, kept)
        if attempt.left:
            name = attempt.intent.id
            if not await self._give_up(attempt):
                raise TransientError(f"journal {name} was settled by another worker meanwhile")
            kind = UndecidedError if attempt.undecided else TransientError
            raise kind(f"{len(attempt.left)} records had no final answer; journal {name} stays open for recovery")
        return await self._settle(attempt)

    async def _give_up(self, attempt: Attempt) -> bool:
        """Leave the journal open for recovery, as a new version: who looked before our deletions can settle no more.

        False when another worker has settled it: then what this one may have deleted is corrected.
        """
        intent = attempt.intent
        current: OpenJournal | None = attempt.journal
        while current is not None:
            try:
                await self._surely(partial(self.journals.touch, current))
            except ChangedError:
                current = await self.journals.read_open(intent.id)
            else:
                return True
        said = await self.journals.settled(intent.id)
        silent = [n for n in attempt.left if n in attempt.unsure]
        for number in range(ATTEMPTS):  # nobody else looks once it is settled
            if not silent:
                break
            await self.sleep(FIRST_WAIT * 2**number if number else 0.0)
            silent = await self._look(attempt, dict.fromkeys(silent))
        if silent:
            log.error("ALARM journal %s was settled: no store says what became of %d records", intent.id, len(silent))
        await self._correct(attempt, said, self.clock())
        return False

    async def _settle(self, attempt: Attempt) -> Outcomes:
        """Steps 4 and 5."""
        intent, outcomes = attempt.intent, attempt.outcomes
        final = tuple(outcomes[ordinal] for ordinal in range(len(intent.records)))
        now = self.clock()
        events = await account(intent, outcomes, now, keys=self.keys, source=self.source)
        try:
            await self._surely(partial(self.journals.settle, attempt.journal, events, log=str(now.year)))
        except ChangedError:
            current = await self.journals.read_open(intent.id)
            if current is not None:  # another worker began, or gave up: it may have deleted what we found to be there
                return await self._again(current, attempt)
            said = await self.journals.settled(intent.id)
            if said != events:  # else the store's client repeated a write of ours that had gone through
                await self._correct(attempt, said, now)
                final = ()
        await self.ring(intent.id)
        return final

    async def _correct(self, attempt: Attempt, said: Sequence[bytes] | None, now: datetime) -> None:
        """Another worker settled first. Where it said that a record stays and this one deleted it, say so as well.

        That takes a worker that slept for minutes in the middle of a call. Its event names the one it corrects, and
        the holds that it came across are told. Where the journal is cleared already (`said` is None), what it said is
        not known here, and every deletion is said; but not by a worker that began less than ON_ITS_WAY ago: nobody can
        have called final by then what stays, and it may be this one's own writing that was cleared.
        """
        if said is None and self.clock() < attempt.since + ON_ITS_WAY:
            return
        intent = attempt.intent
        types = None if said is None else {_ordinal(e["id"]): e["type"] for e in map(audit.parse_event, said)}
        gone = attempt.corrections(types, audit.STAYED)
        log.info("journal %s was settled by another worker", intent.id)
        if gone:
            log.error("ALARM journal %s was settled while its first worker still deleted: corrected", intent.id)
            correction = new_intent_id()  # a crash before this write loses the correction: two faults at once
            said_of = partial(account, intent, gone, now, keys=self.keys, source=self.source, correction=correction)
            events = await self._surely(said_of)
            await self._surely(partial(self.journals.post, correction, events, log=str(now.year)))
            for hold in await self._surely(self.holds.read):
                late = [f"{intent.id}/{n}" for n in gone if hold.covers(intent.records[n], intent.cause)]
                if late:
                    await self._surely(partial(self.holds.tell_late, hold.id, correction, late))

    async def _surely(self, step: Callable[[], Awaitable[T]]) -> T:
        """Take a step that can be repeated, again where it had no answer: who woke too late alone knows what to say.

        Raises TransientError when there is none in the end.
        """
        for number in range(ATTEMPTS - 1):
            with suppress(TransientError):
                return await step()
            await self.sleep(FIRST_WAIT * 2**number)
        return await step()

    async def readable_holds(self) -> Sequence[Hold]:
        """The holds. Raises TransientError where they cannot be read in time, or one covers nobody knows what."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                holds = await self.holds.read()
        except TimeoutError:
            raise TransientError("the holds could not be read in time: nothing is deleted") from None
        astray = next((hold.id for hold in holds if hold.astray(self.policy)), None)
        if astray is not None:
            raise HoldAstrayError(astray)
        return holds

    async def _kept(self, intent: Intent) -> dict[int, Kept]:
        """What must stay: held, or kept by a law against a request."""
        holds = await self.readable_holds()
        laws = intent.laws if isinstance(intent.cause, RequestCause) else {}
        now = await self.journals.objects.now() if laws else intent.created  # no worker's: its clock may be ahead
        found: dict[int, Kept] = {}
        for ordinal, record in enumerate(intent.records):
            law = laws.get(record.category)
            hold = next((h for h in holds if h.covers(record, intent.cause)), None)
            if hold is not None:
                found[ordinal] = Held(hold=hold.id)
            elif law and (record.due is None or record.due > now):
                found[ordinal] = Retained(law=law, until=record.due)
        return found

    async def _look(self, attempt: Attempt, kept: Mapping[int, Kept | None]) -> list[int]:
        """Fill in what a look proves of these records, and delete nothing. Returns those without an answer."""
        intent, silent = attempt.intent, list[int]()
        for store, ordinals in _by_store(intent, kept):
            records = [intent.records[n] for n in ordinals]
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    seen = await self._store(store).there(records, leaver=_leaver(intent))
            except TimeoutError:
                silent += ordinals
                continue
            for ordinal, there in zip(ordinals, seen, strict=True):
                attempt.looked(ordinal, there, kept[ordinal])
                silent += [ordinal] if isinstance(there, NoAnswer) else []
        return silent

    async def _delete_conditionally(self, attempt: Attempt, kept: Mapping[int, Kept]) -> None:
        """Fill in the outcome of every record that is not kept and gives a final answer.

        Gives up, and leaves the journal open, when the store asks for a longer wait than LONGEST_WAIT, or when the
        attempt is older than SEND_WITHIN: recovery may rely on it that nothing is sent then. A shorter wait is kept
        after the last attempt too: the message comes again at once.
        """
        wait = asked = 0.0
        for number in range(ATTEMPTS):
            left = [n for n in attempt.left if n not in kept]
            if not left or wait > LONGEST_WAIT:
                return
            await self.sleep(wait)
            wait, asked = FIRST_WAIT * 2**number, 0.0
            for store, ordinals in _by_store(attempt.intent, left):
                if self.clock() >= attempt.begun + SEND_WITHIN:
                    return
                for ordinal, answer in zip(ordinals, await self._ask(store, attempt.intent, ordinals), strict=True):
                    attempt.answered(ordinal, answer)
                    if isinstance(answer, NoAnswer):
                        asked = max(asked, answer.retry_after or 0.0)
            wait = max(wait, asked)
        if asked <= LONGEST_WAIT:
            await self.sleep(asked)

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


def _ordinal(event_id: str) -> int:
    return int(event_id.rpartition("/")[2])


def _leaver(intent: Intent) -> Scope | None:
    return intent.cause.scope if isinstance(intent.cause, RequestCause) else None


def count(outcomes: Sequence[Outcome]) -> Counter[str]:
    """How many records had which outcome, by the word that ends their event's type."""
    return Counter(audit.outcome_name(outcome) for outcome in outcomes)


def new_intent_id() -> str:
    """A random intent id: 32 hex digits."""
    return secrets.token_hex(16)
