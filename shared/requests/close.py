"""The end of a request: when no backup is left that began before it, with a receipt, and without the person's key.

A request closes when that is past and true: the date that was promised, and a look at the backups themselves. Steps, of
which each can be repeated: the receipt, written once; the register's entry and the keys, marked to go (their own rows
of the policy take them); parked messages with its id, emptied; the document, which forgets whom it was about. A crash
between two is finished by the next run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import audit
from shared.documents import Version
from shared.each import each
from shared.errors import ExistsError
from shared.ledger.head import Ledger
from shared.ledger.reader import Live, entries
from shared.model import Scope, parse_utc
from shared.parking import Parking
from shared.receipt import NAME, Receipt, ReceiptEvent, ReceiptSubject, is_about
from shared.requests.documents import ENDED, RequestDocument, State
from shared.requests.register import Register
from shared.requests.scopes import backup_categories
from shared.requests.work import Tools
from shared.stores.interface import ObjectStore, record_store

log = logging.getLogger("retention.requests")
MARGIN = timedelta(hours=1)  # by which the clocks of workers may differ, and a journal may be late in the log
LAST = (audit.EventType.REQUEST_COMPLETED.value, audit.EventType.REQUEST_REJECTED.value)


@dataclass(frozen=True, kw_only=True)
class Closer:
    """What closing needs; of the `ledger` it only reads."""

    tools: Tools
    register: Register
    receipts: ObjectStore
    parking: Parking
    ledger: Ledger

    async def close_due(self) -> int:
        """Close every request that is due to. Returns how many were closed.

        One that fails does not stop the others; raises the first error when all have had their turn.
        """
        requests = self.tools.requests
        now = await requests.objects.now()
        listed = [entry async for entry in requests.objects.list() if "closed_at" not in entry.metadata]
        if not any("closes_at" in e.metadata and parse_utc(e.metadata["closes_at"]) <= now for e in listed):
            return 0  # mostly: no document is read then
        held = [await requests.load(entry.name.removesuffix(".json")) for entry in listed]
        unclosed = {each.value.id: each for each in held if each is not None}
        due = [each for each in unclosed.values() if _is_due(each.value, now)]
        closed = 0

        async def close(version: Version[RequestDocument]) -> None:
            nonlocal closed
            others = [o.value for o in unclosed.values() if o.value.id != version.value.id]
            if await self._close(version, others, now):
                closed += 1
                del unclosed[version.value.id]  # else of two that close together each would keep the key for the other

        await each(due, close, log=log, say=lambda version: f"the closing of request {version.value.id}")
        return closed

    async def _close(self, held: Version[RequestDocument], others: Sequence[RequestDocument], now: datetime) -> bool:
        held = await self.tools.requests.flush(held)
        document = held.value
        if document.type == "erase" and not await self._concluded(document, now):
            return False
        await self.register.close(document.id, now)
        await self.parking.forget(document.id)
        if document.type == "erase":
            in_use = {scope for other in others for scope in other.scopes()}
            for scope in document.scopes():
                if scope not in in_use:
                    await self.tools.gate.keys.close(scope, now)
        # without a subject: a key made for this event alone would never be destroyed
        event = await self.tools.requests.event(audit.EventType.REQUEST_CLOSED, document, now, {}, nameless=True)
        state = State.CLOSED if document.state is State.DONE else document.state
        closed = document.forgotten(now).model_copy(update={"state": state, "outbox": (event,)})
        await self.tools.requests.save(closed, held.etag)
        return True

    async def _concluded(self, document: RequestDocument, now: datetime) -> bool:
        """Whether no older backup is left and the log is complete; then the receipt is written."""
        finished = document.finished_at or now
        if await self._older_backups(finished):
            log.error("ALARM request %s cannot close: a backup from before it is still there", document.id)
            return False
        events = await self._events(document, finished, now)
        if events is None:
            log.info("request %s closes once the log holds its last event", document.id)
            return False
        await self._write_receipt(document, finished, events, now)
        return True

    async def _older_backups(self, finished: datetime) -> bool:
        """Whether a backup may be left that began before the erasure's end: by a look, not by the calendar.

        One whose name does not tell when it began may be one of them.
        """
        for category in backup_categories(self.tools.policy):
            store = record_store(self.tools.stores, category)
            for rule in category.rules:
                then = rule.period.after(finished)  # what is due by then began by `finished`
                division = await store.divide(category, rule, now=then, most=1)
                if any(division.strange.values()):
                    return True
                for part in division.parts:
                    async for page in store.expired(category, rule, part, now=then, cursor="", size=1):
                        if page.records or any(page.strange.values()):
                            return True
        return False

    async def _events(self, document: RequestDocument, finished: datetime, now: datetime) -> list[ReceiptEvent] | None:
        """The request's events, from the sealed logs; None while some are not there yet.

        The log is in the order of time but for what clocks differ, and for what a crash left in an outbox for long:
        past the margin it is read on only while something is missing. One that was taken in when a year had just begun
        may have been worked on where the old year was not over yet.
        """
        found: list[ReceiptEvent] = []
        for year in range((document.accepted_at - MARGIN).year, now.year + 1):
            start = document.log_from if year == document.accepted_at.year else 0
            async for index, event in entries(Live(ledger=self.ledger, year=str(year)), start=start):
                if is_about(event, document.id):
                    found.append(ReceiptEvent(log=str(year), index=index, event=event))
                elif parse_utc(event["time"]) > finished + MARGIN and _are_all(found, document):
                    break
        return found if _are_all(found, document) else None

    async def _write_receipt(
        self, document: RequestDocument, finished: datetime, events: Sequence[ReceiptEvent], now: datetime
    ) -> None:
        subject = await self._subject(document.scope_value())
        receipt = Receipt(
            request=document.id,
            type=document.type,
            state=document.state.value,
            organisation=self.tools.policy.organisation,
            policy=self.tools.policy.digest,
            received_at=document.received_at,
            finished_at=finished,
            backups_gone_at=now,
            outcomes=document.outcomes(),
            retained=document.retained,
            not_reached=document.not_reached,
            strange=document.strange,
            requested_by=document.requested_by,
            identity_verified_by=document.identity_verified_by,
            subjects=(subject,) if subject else (),
            origin=self.ledger.origin,
            events=tuple(events),
        )
        try:
            await self.receipts.create(NAME.format(request=document.id), receipt.model_dump_json(indent=1).encode())
        except ExistsError:
            log.info("the receipt of request %s is there already", document.id)

    async def _subject(self, scope: Scope | None) -> ReceiptSubject | None:
        """A scope with its key; None where nothing was ever said of it."""
        key = await self.tools.gate.keys.find(scope) if scope else None
        if scope is None or key is None:
            return None
        return ReceiptSubject(
            kind=scope.kind, id=scope.id, pseudonym=audit.subject_pseudonym(key, scope), key=key.hex()
        )


def _is_due(document: RequestDocument, now: datetime) -> bool:
    """Whether the time has come; a request without a time has backups that nobody deletes, or copies without end."""
    until = document.closes_at()
    return document.state in ENDED and document.scope is not None and until is not None and until <= now


def _are_all(found: Sequence[ReceiptEvent], document: RequestDocument) -> bool:
    """Whether the request's last event is among them, and each outcome that its document counts."""
    counted = Counter(each.event["id"].partition("/")[0] for each in found)
    last = any(each.event["type"] in LAST for each in found)
    return last and all(counted[unit.intent] >= sum((unit.outcomes or {}).values()) for unit in document.work)
