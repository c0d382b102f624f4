"""Audit events: what the log says happened, as CloudEvents 1.0 JSON of at most 8 KB, and the pseudonyms in them. Pure.

An event states one outcome of one record, or one step of a request, run or message. Refused with EventError: an event
that is too long, or bytes that are not an event in the canonical form below. No event says just "deleted", and none
holds personal data: people and records stand in it by pseudonyms, whose keys are destroyed with the person's data.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from shared.errors import PermanentError
from shared.model import (
    Action,
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
    Replaced,
    RequestCause,
    Retained,
    Scope,
    SweepCause,
    parse_utc,
    utc_text,
)

MAX_BYTES = 8_192
MAX_DEPTH = 32  # ours have four; a limit of our own, so that every machine says the same
_RECORD = "retention.record."
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class EventError(PermanentError):
    """An event is too long, or bytes are not an event: nothing was written; the operator looks at who made it."""


class EventType(StrEnum):
    """Everything the log can say. Append-only: a name once written stays, in the past tense."""

    RECORD_ERASED = "retention.record.erased"
    RECORD_ERASED_RECOVERABLE = "retention.record.erased_recoverable"
    RECORD_LEFT = "retention.record.left"
    RECORD_ALREADY_GONE = "retention.record.already_gone"
    RECORD_RENEWED = "retention.record.renewed"
    RECORD_HELD = "retention.record.held"
    RECORD_BLOCKED = "retention.record.blocked"
    RECORD_RETAINED = "retention.record.retained"
    REQUEST_RECEIVED = "retention.request.received"
    REQUEST_COMPLETED = "retention.request.completed"
    REQUEST_REJECTED = "retention.request.rejected"
    REQUEST_NEEDS_ATTENTION = "retention.request.needs_attention"
    MESSAGE_PARKED = "retention.message.parked"
    RUN_COMPLETED = "retention.run.completed"
    RUN_NEEDS_APPROVAL = "retention.run.needs_approval"
    RUN_APPROVED = "retention.run.approved"
    CATEGORY_PAUSED = "retention.category.paused"
    CATEGORY_RESUMED = "retention.category.resumed"
    REQUEST_TAKEN_UP = "retention.request.taken_up"
    REQUEST_CLOSED = "retention.request.closed"
    MESSAGE_DISMISSED = "retention.message.dismissed"
    HOLD_ADDED = "retention.hold.added"
    HOLD_RELEASED = "retention.hold.released"
    LOG_DROPPED = "retention.log.dropped"
    HOLD_IN_FORCE = "retention.hold.in_force"
    RECORD_REPLACED = "retention.record.replaced"


STAYED = (EventType.RECORD_HELD, EventType.RECORD_BLOCKED, EventType.RECORD_RETAINED)
"""The events that say of a record that it is still there, and stays."""


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one spelling of a JSON object: keys sorted, no white space, ASCII. Raises ValueError for NaN and the like."""
    return _ENCODER.encode(value).encode()


def pseudonym(key: bytes, kind: str, text: str) -> str:
    """`<kind>:<64 hex>`: HMAC-SHA256 under the scope's key over kind, a zero byte and text.

    The kind ("subject", "record") keeps the two apart: no record's pseudonym can be a person's.
    """
    message = kind.encode() + b"\x00" + text.encode()
    return f"{kind}:{hmac.digest(key, message, 'sha256').hex()}"


def subject_pseudonym(key: bytes, scope: Scope) -> str:
    """The name that a person, a home or what else is theirs has in the log, as long as its key exists."""
    return pseudonym(key, "subject", f"{scope.kind.value}\n{scope.id}")


# ---------------------------------------------------------------- making events


def record_event(
    record: Record,
    outcome: Outcome,
    *,
    event_id: str,
    source: str,
    time: datetime,
    cause: Cause,
    clause: str,
    policy_digest: str,
    subject_pseudonym: str | None,
    record_pseudonym: str,
    corrects: str | None = None,
) -> bytes:
    """Bytes of the event that states what became of one record.

    `event_id` is `<intent id>/<ordinal>`, `clause` and `policy_digest` say which promise this kept, and the two
    pseudonyms stand for the person or home (None: the record belongs to nobody) and the record. `corrects` is the id of
    an earlier event about the same record that this one completes. Raises EventError.
    """
    event_type, said = _outcome(outcome)
    data: dict[str, Any] = {
        "category": record.category,
        "clause": clause,
        "policy": policy_digest,
        "cause": _cause(cause),
        "record": record_pseudonym,
        "outcome": said,
    }
    if record.action is Action.LEAVE:  # the record itself stays: already_gone says that it named the person no more
        data["action"] = record.action.value
    if corrects is not None:
        data["corrects"] = corrects
    if record.rule is not None:
        data["rule"] = record.rule
    if record.starting_point is not None:
        data["starting_point"] = utc_text(record.starting_point)
    if record.due is not None:
        data["due"] = utc_text(record.due)
    return _event(event_type, event_id=event_id, source=source, time=time, subject=subject_pseudonym, data=data)


def plain_event(
    event_type: EventType,
    *,
    event_id: str,
    source: str,
    time: datetime,
    policy_digest: str,
    subject: str | None,
    data: Mapping[str, Any],
) -> bytes:
    """Bytes of an event about a request, a message or a run. `subject` is a pseudonym; `data` holds no personal data.

    `policy_digest` says under which policy it happened.

    Raises EventError when it is too long, ValueError for a record's event: only record_event makes those.
    """
    if event_type.startswith(_RECORD):
        message = f"{event_type} is made by record_event"
        raise ValueError(message)
    data = {**data, "policy": policy_digest}
    text = _event(event_type, event_id=event_id, source=source, time=time, subject=subject, data=data)
    parse_event(text)  # data may be anything: what the log's readers would refuse is refused here
    return text


def outcome_name(outcome: Outcome) -> str:
    """One word for an outcome, for counts: the last part of its event's type."""
    return _outcome(outcome)[0].removeprefix(_RECORD)


def _event(
    event_type: EventType,
    *,
    event_id: str,
    source: str,
    time: datetime,
    subject: str | None,
    data: Mapping[str, Any],
) -> bytes:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": event_type.value,
        "time": utc_text(time),
        "datacontenttype": "application/json",
        "data": dict(data),
    }
    if subject is not None:
        event["subject"] = subject
    text = canonical(event)  # of texts, whole numbers and objects of these: JSON gives them back as they are
    _refuse_long(text)
    _refuse_shapeless(event)
    return text


def _cause(cause: Cause) -> dict[str, Any]:
    match cause:
        case SweepCause():
            return {"run": cause.run, "slice": cause.slice}
        case RequestCause():  # its scope is personal data and stays out
            return {"request": cause.request}
        case _:
            assert_never(cause)


def _outcome(outcome: Outcome) -> tuple[EventType, dict[str, Any]]:
    """Type of the event, and what its data says of the outcome."""
    match outcome:
        case Erased():
            return EventType.RECORD_ERASED, {"name": "erased"}
        case ErasedRecoverable():
            until = utc_text(outcome.until) if outcome.until else None  # None: for ever
            said = {"name": "erased_recoverable", "until": until}
            return EventType.RECORD_ERASED_RECOVERABLE, said
        case Left():
            return EventType.RECORD_LEFT, {"name": "left"}
        case AlreadyGone():
            return EventType.RECORD_ALREADY_GONE, {"name": "already_gone"}
        case Renewed():
            return EventType.RECORD_RENEWED, {"name": "renewed"}
        case Replaced():
            return EventType.RECORD_REPLACED, {"name": "replaced"}
        case Held():
            return EventType.RECORD_HELD, {"name": "held", "hold": outcome.hold}
        case Blocked():
            return EventType.RECORD_BLOCKED, {"name": "blocked", "reason": outcome.reason}
        case Retained():
            until = utc_text(outcome.until) if outcome.until else None
            return EventType.RECORD_RETAINED, {"name": "retained", "law": outcome.law, "until": until}
        case _:
            assert_never(outcome)


# ---------------------------------------------------------------- reading events


def parse_event(data: bytes) -> dict[str, Any]:
    """The event that the bytes are. Raises EventError, and nothing else, for any other bytes.

    Checked: at most MAX_BYTES, canonical JSON of at most MAX_DEPTH levels, CloudEvents 1.0 with id, source, type, a
    time with an offset, an object as data. The type need not be one of ours: a newer version may have written it.
    """
    _refuse_long(data)
    try:
        event = json.loads(data.decode())
        if not isinstance(event, dict) or canonical(event) != data:
            raise EventError("the event is not a JSON object in canonical form")
        if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _depth(event) > MAX_DEPTH:
            raise EventError(f"the event has more than {MAX_DEPTH} levels")
    except (ValueError, RecursionError) as error:
        raise EventError("the event is not JSON") from error
    _refuse_shapeless(event)
    try:
        parse_utc(event["time"])
    except (ValueError, OverflowError) as error:
        raise EventError("the event's time is not RFC 3339 with an offset") from error
    return event


def _depth(value: Any) -> int:
    """How many levels of objects and arrays there are; walked in a loop, because Pythons differ in how deep they go."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def _refuse_long(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        message = f"the event has {len(data)} bytes: at most {MAX_BYTES} are allowed"
        raise EventError(message)


def _refuse_shapeless(event: Mapping[str, Any]) -> None:
    """Refuse what is not in the shape of CloudEvents 1.0, the time's form apart."""
    for name in ("id", "source", "type", "time"):
        if not isinstance(event.get(name), str) or not event[name]:
            message = f"the event's {name} is missing or empty"
            raise EventError(message)
    if event.get("specversion") != "1.0" or not isinstance(event.get("data"), dict):
        raise EventError("the event is not CloudEvents 1.0 with an object as data")
    if not isinstance(event.get("subject", ""), str):
        raise EventError("the event's subject is not text")
