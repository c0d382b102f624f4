"""The journal: one object per unit of work, written before anything is deleted, and the outbox of its events.

States: `open` (the intent, with the records' locators) -> `settled` (the exact bytes of the events, no locators). One
that is `forestalled` only takes its name, so that its worker can begin no more; it is settled later, without events.
Only the ledger deletes a journal, once the log's head includes it. A crash at any point leaves an open journal, which
recovery repeats, or a settled one, which the ledger appends. The metadata (`state`, `log`) lets a listing tell them
apart without reading them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.errors import ChangedError, ExistsError, IntegrityError
from shared.model import (
    Action,
    Cause,
    Locator,
    Record,
    RequestCause,
    Scope,
    ScopeKind,
    SweepCause,
    parse_utc,
    utc_text,
)
from shared.stores.interface import Entry, ObjectStore

VERSION = 1
FORESTALLED = "forestalled"
CREATED = "created"  # metadata of a version that no later attempt has rewritten: a mark of whoever created it


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What is about to be done, and why. `id` is random (32 hex digits).

    `clauses` and `laws` are by category: `laws` has those whose records a law keeps against a request.
    """

    id: str
    cause: Cause
    policy: str
    clauses: Mapping[str, str]
    created: datetime
    records: tuple[Record, ...]
    laws: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OpenJournal:
    """An intent as it stands in the store, with the ETag that settling it is conditional on.

    `modified` is when its version was written, by the store's clock: the beginning of the latest attempt, or its giving
    up. None where this process wrote it. `first` says that it is the version that was created.
    """

    intent: Intent
    etag: str
    modified: datetime | None = field(default=None, compare=False)
    first: bool = field(default=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Journals:
    """The container of journals. Private, without soft delete, versions or backup: it holds locators."""

    objects: ObjectStore

    async def open(self, intent: Intent) -> OpenJournal:
        """Write the intent, once. A crash after this leaves an open journal that recovery repeats.

        Raises ChangedError when another worker has taken it over meanwhile, or has seen to it that it is never begun.
        """
        data, mark = encode(intent), secrets.token_hex(8)
        try:
            etag = await self.objects.create(_name(intent.id), data, metadata={"state": "open", CREATED: mark})
        except ExistsError as error:  # the client repeated a write whose first answer was lost, or somebody was faster
            held = await self.objects.read(_name(intent.id))
            if held is not None and held.metadata.get(CREATED) == mark:
                etag = held.etag
            elif held is None or held.metadata.get("state") in (FORESTALLED, "settled") or held.data == data:
                raise ChangedError(f"journal {intent.id} was taken over by another worker") from error
            else:
                raise IntegrityError(f"journal {intent.id} is somebody else's") from error
        return OpenJournal(intent=intent, etag=etag)

    async def forestall(self, intent_id: str, *, log: str) -> None:
        """Take the name of an intent that was not written down, so that it never will be; or it is there by now.

        `let_go` ends that, once the worker that noted the intent has certainly woken up or died.
        """
        metadata = _metadata((), log) | {"state": FORESTALLED}
        with suppress(ExistsError):
            await self.objects.create(_name(intent_id), _settled(intent_id, ()), metadata=metadata)

    async def let_go(self, entry: Entry) -> None:
        """Make a forestalled journal a settled one without events: the ledger lets it go as any."""
        intent_id = entry.name.removesuffix(".json")
        metadata = {**entry.metadata, "state": "settled"}
        with suppress(ChangedError):
            await self.objects.replace(entry.name, _settled(intent_id, ()), etag=entry.etag, metadata=metadata)

    async def read_open(self, intent_id: str) -> OpenJournal | None:
        """Return the journal if it is open; None when it is settled or gone."""
        stored = await self.objects.read(_name(intent_id))
        if stored is None or stored.metadata.get("state") != "open":
            return None
        first = CREATED in stored.metadata
        return OpenJournal(intent=decode(stored.data), etag=stored.etag, modified=stored.modified, first=first)

    async def touch(self, journal: OpenJournal) -> OpenJournal:
        """Make the open journal a new version of itself. Raises ChangedError when another worker was faster."""
        name, data = _name(journal.intent.id), encode(journal.intent)
        etag = await self.objects.replace(name, data, etag=journal.etag, metadata={"state": "open"})
        return OpenJournal(intent=journal.intent, etag=etag)

    async def settle(self, journal: OpenJournal, events: Sequence[bytes], *, log: str) -> None:
        """Replace the intent by its events. Raises ChangedError when another worker settled first."""
        await self.objects.replace(
            _name(journal.intent.id),
            _settled(journal.intent.id, events),
            etag=journal.etag,
            metadata=_metadata(events, log),
        )

    async def settled(self, intent_id: str) -> list[bytes] | None:
        """The events of a settled journal; None when it is cleared, not settled, or only took a cleared one's name."""
        stored = await self.objects.read(_name(intent_id))
        if stored is None or stored.metadata.get("state") != "settled":
            return None
        return [text.encode() for text in json.loads(stored.data)["events"]] or None

    async def post(self, intent_id: str, events: Sequence[bytes], *, log: str) -> None:
        """Write events that belong to no deletion, as a journal born settled. The same again is the same.

        The caller keeps the bytes with its own state first, so that a repeat after a crash is byte-identical.
        """
        data = _settled(intent_id, events)
        try:
            await self.objects.create(_name(intent_id), data, metadata=_metadata(events, log))
        except ExistsError as error:
            held = await self.objects.read(_name(intent_id))
            if held is not None and held.data != data:
                raise IntegrityError(f"journal {intent_id} holds other events") from error

    async def entries(self) -> AsyncIterator[tuple[str, str, Entry]]:
        """Yield (intent id, state, entry) of every journal."""
        async for entry in self.objects.list():
            yield entry.name.removesuffix(".json"), entry.metadata.get("state", ""), entry


def _name(intent_id: str) -> str:
    return f"{intent_id}.json"


def _metadata(events: Sequence[bytes], log: str) -> dict[str, str]:
    """What the ledger sees without reading: the log's year, and the first event's time, which gives the order."""
    first = {"at": json.loads(events[0])["time"]} if events else {}
    return {"state": "settled", "log": log} | first


def _settled(intent_id: str, events: Sequence[bytes]) -> bytes:
    texts = [event.decode() for event in events]
    return _json({"v": VERSION, "state": "settled", "intent": intent_id, "events": texts})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# ---------------------------------------------------------------- the open journal's form


def encode(intent: Intent) -> bytes:
    """The bytes of an open journal."""
    return _json(
        {
            "v": VERSION,
            "state": "open",
            "intent": intent.id,
            "cause": _encode_cause(intent.cause),
            "policy": intent.policy,
            "clauses": dict(intent.clauses),
            "laws": dict(intent.laws),
            "created": utc_text(intent.created),
            "records": [encode_record(record) for record in intent.records],
        }
    )


def decode(data: bytes) -> Intent:
    """Read what encode wrote. Raises IntegrityError on anything else: nobody else may write here."""
    try:
        value = json.loads(data)
        if value["v"] != VERSION or value["state"] != "open":
            raise IntegrityError("the journal is not an open journal of version 1")
        return Intent(
            id=value["intent"],
            cause=_decode_cause(value["cause"]),
            policy=value["policy"],
            clauses=dict(value["clauses"]),
            created=parse_utc(value["created"]),
            records=tuple(decode_record(each) for each in value["records"]),
            laws=dict(value.get("laws", {})),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError("the journal cannot be read: its form is not ours") from error


def _encode_cause(cause: Cause) -> dict[str, Any]:
    match cause:
        case SweepCause():
            return {"run": cause.run, "slice": cause.slice}
        case RequestCause():
            asker = {"asker": _encode_scope(cause.asker)} if cause.asker else {}
            return {"request": cause.request, "scope": _encode_scope(cause.scope)} | asker


def _decode_cause(value: dict[str, Any]) -> Cause:
    if "request" in value:
        asker = _decode_scope(value["asker"]) if "asker" in value else None
        return RequestCause(request=value["request"], scope=_decode_scope(value["scope"]), asker=asker)
    return SweepCause(run=value["run"], slice=value["slice"])


def _encode_scope(scope: Scope) -> list[str]:
    return [scope.kind.value, scope.id]


def _decode_scope(value: Sequence[str]) -> Scope:
    return Scope(kind=ScopeKind(value[0]), id=value[1])


def encode_record(record: Record) -> dict[str, Any]:
    """A record as JSON; decode_record reads it back."""
    where = record.locator
    return {
        "at": [where.store, where.account, where.container, where.partition, where.key],
        "etag": record.etag,
        "category": record.category,
        "rule": record.rule,
        "scope": _encode_scope(record.scope) if record.scope else None,
        "start": utc_text(record.starting_point) if record.starting_point else None,
        "due": utc_text(record.due) if record.due else None,
        "names": [_encode_scope(each) for each in record.names],
        "action": record.action.value,
    }


def decode_record(value: dict[str, Any]) -> Record:
    """Read what encode_record wrote. Raises KeyError, TypeError or ValueError on another form."""
    store, account, container, partition, key = value["at"]
    return Record(
        locator=Locator(store=store, account=account, container=container, partition=partition, key=key),
        etag=value["etag"],
        category=value["category"],
        rule=value["rule"],
        scope=_decode_scope(value["scope"]) if value["scope"] else None,
        starting_point=parse_utc(value["start"]) if value["start"] else None,
        due=parse_utc(value["due"]) if value["due"] else None,
        names=tuple(_decode_scope(each) for each in value.get("names", ())),
        action=Action(value["action"]),
    )
