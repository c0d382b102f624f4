"""A message as it was sent, and the bytes that a receiver gets: AMQP 1.0 message sections.

The sender's sections are kept as raw bytes; only what a broker owns is written anew: the header's delivery count, the
broker's annotations, and the reason on a dead-lettered message. Annotations that only a broker may set, and
``x-opt-via-partition-key`` (transactions across entities), are refused on a sent message.

Specification: OASIS AMQP 1.0 part 3 (messaging), 3.2; batches (format 0x80013700) are Service Bus's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from local.servicebus.decoding import decode
from local.servicebus.encoding import described
from local.servicebus.faults import INVALID_FIELD, NOT_IMPLEMENTED, RefusedError
from local.servicebus.performatives import item
from local.servicebus.values import Described, Int, Long, MalformedError, Symbol, Timestamp, UInt, ULong

T = TypeVar("T")

BATCH_FORMAT = 0x80013700

HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION = 0x70, 0x71, 0x72, 0x73, 0x74
DATA, SEQUENCE, VALUE, FOOTER = 0x75, 0x76, 0x77, 0x78
_REPEATABLE = (DATA, SEQUENCE)

_SCHEDULED = "x-opt-scheduled-enqueue-time"
_BROKERS_OWN = (
    "x-opt-enqueued-time", "x-opt-sequence-number", "x-opt-locked-until", "x-opt-message-state",
    "x-opt-deadletter-source", "x-opt-enqueue-sequence-number", "x-opt-lock-token",
)  # fmt: skip
# Fields of the header and the properties, by position.
_TTL, _DELIVERY_COUNT = 2, 4
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999, in milliseconds
_MESSAGE_ID, _ABSOLUTE_EXPIRY, _CREATED, _GROUP_ID = 0, 8, 9, 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A sent message, opened as far as a broker must.

    ``raw`` is the whole message as sent. ``message_id`` and ``session_id`` are None where the sender gave none;
    ``ttl_ms`` (milliseconds) likewise; ``scheduled_ms`` (epoch milliseconds) is when it asked to be enqueued.
    """

    raw: bytes
    header: list[object]
    annotations: dict[object, object]
    properties: bytes
    application: bytes
    body: bytes
    message_id: str | None
    session_id: str | None
    ttl_ms: int | None
    scheduled_ms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """Why and from where a message was dead-lettered."""

    source: str
    reason: str | None
    description: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A management request: its id with its AMQP type, its application properties and its value."""

    message_id: object
    properties: dict[object, object]
    value: object


def _sections(raw: bytes) -> Iterator[tuple[int, object, bytes]]:
    """Each section of a message: its code, its value, its bytes."""
    offset, last = 0, 0
    while offset < len(raw):
        value, end = decode(raw, offset)
        if not isinstance(value, Described) or not isinstance(value.descriptor, ULong):
            raise MalformedError("a message section without a numeric descriptor")
        code = int(value.descriptor)
        if not HEADER <= code <= FOOTER or code < last or (code == last and code not in _REPEATABLE):
            raise MalformedError(f"message section {code:#x} is unknown or out of order")
        yield code, value.value, raw[offset:end]
        offset, last = end, code


def open_envelope(raw: bytes) -> Envelope:
    """A message from its bytes. Raises MalformedError, or RefusedError for what is not modelled."""
    values: dict[int, object] = {}
    sections: dict[int, bytes] = {}
    body = b""
    for code, value, section in _sections(raw):
        values[code], sections[code] = value, section
        if code >= DATA:
            body += section
    header, fields = _list(values.get(HEADER)), _list(values.get(PROPERTIES))
    annotations = _map(values.get(ANNOTATIONS))
    _map(values.get(APPLICATION))
    for name in annotations:
        if name in _BROKERS_OWN or name == "x-opt-via-partition-key":
            raise RefusedError(NOT_IMPLEMENTED, f"a sent message with the annotation {name} is not modelled")
    return Envelope(
        raw=raw,
        header=header,
        annotations=annotations,
        properties=sections.get(PROPERTIES, b""),
        application=sections.get(APPLICATION, b""),
        body=body,
        message_id=_message_id(item(fields, _MESSAGE_ID)),
        session_id=_optional(item(fields, _GROUP_ID), str, "session id"),
        ttl_ms=_time_to_live(header, fields),
        scheduled_ms=_time(annotations.get(_SCHEDULED), _SCHEDULED),
    )


def _list(value: object) -> list[object]:
    if value is None or isinstance(value, list):
        return value or []
    raise MalformedError("a message's header and properties are lists")


def _map(value: object) -> dict[object, object]:
    if value is None or isinstance(value, dict):
        return value or {}
    raise MalformedError("a message's annotations and application properties are maps")


def _optional(value: object, kind: type[T], name: str) -> T | None:
    if value is None or isinstance(value, kind):
        return value
    raise RefusedError(INVALID_FIELD, f"a {name} of type {type(value).__name__}")


def _time(value: object, name: str) -> Timestamp | None:
    time = _optional(value, Timestamp, name)
    if time is not None and not _FIRST_TIME <= time <= _LAST_TIME:
        raise RefusedError(INVALID_FIELD, f"a {name} outside the years 1 to 9999")
    return time


def _message_id(value: object) -> str | None:
    """The id as duplicate detection compares it: ids of different AMQP types are different ids."""
    if value is None or type(value) is str:
        return value
    return f"{type(value).__name__}:{value!s}"


def _time_to_live(header: list[object], fields: list[object]) -> int | None:
    """Milliseconds. The pair of absolute times can say more than the header's 32 bits, so it comes first."""
    expiry = _time(item(fields, _ABSOLUTE_EXPIRY), "absolute expiry time")
    created = _time(item(fields, _CREATED), "creation time")
    if expiry is not None and created is not None:
        return expiry - created
    return _optional(item(header, _TTL), UInt, "time to live")


def open_batch(raw: bytes) -> list[bytes]:
    """The messages in a message of format ``BATCH_FORMAT``. Raises MalformedError."""
    messages = []
    for code, value, _ in _sections(raw):
        if code == DATA:
            if not isinstance(value, bytes):
                raise MalformedError("a batch holds binary data sections")
            messages.append(value)
        elif code in {SEQUENCE, VALUE}:
            raise MalformedError("a batch holds data sections only")
    if not messages:
        raise MalformedError("an empty batch")
    return messages


def write_delivery(
    envelope: Envelope,
    *,
    delivery_count: int,
    annotations: dict[str, object],
    dead_letter: DeadLetter | None,
) -> bytes:
    """The message as a receiver gets it.

    Args:
        envelope: what was sent.
        delivery_count: earlier deliveries that failed.
        annotations: the broker's own, by name.
        dead_letter: why it was dead-lettered, when it was.
    """
    header = (envelope.header + [None] * (_DELIVERY_COUNT + 1))[: _DELIVERY_COUNT + 1]
    header[_DELIVERY_COUNT] = UInt(delivery_count)
    marks = dict(envelope.annotations)
    marks.update({Symbol(name): value for name, value in annotations.items()})
    application = envelope.application
    if dead_letter is not None:
        marks[Symbol("x-opt-deadletter-source")] = dead_letter.source
        application = _with_reason(application, dead_letter)
    return described(HEADER, header) + described(ANNOTATIONS, marks) + envelope.properties + application + envelope.body


def _with_reason(application: bytes, dead_letter: DeadLetter) -> bytes:
    section = decode(application)[0] if application else None
    properties = _map(section.value if isinstance(section, Described) else None)
    for name, text in (
        ("DeadLetterReason", dead_letter.reason),
        ("DeadLetterErrorDescription", dead_letter.description),
    ):
        if text is not None:
            properties[name] = text
    return described(APPLICATION, properties)


def delivery_annotations(
    *, sequence: int, enqueued_ms: int, state: int, locked_until_ms: int | None
) -> dict[str, object]:
    """The broker's annotations on a delivered or peeked message; times in epoch milliseconds."""
    annotations: dict[str, object] = {
        "x-opt-sequence-number": Long(sequence),
        "x-opt-enqueued-time": Timestamp(enqueued_ms),
        "x-opt-message-state": Int(state),
    }
    if locked_until_ms is not None:
        annotations["x-opt-locked-until"] = Timestamp(locked_until_ms)
    return annotations


def open_request(raw: bytes) -> Request:
    """A management request from its bytes. Raises MalformedError."""
    message_id: object = None
    properties: dict[object, object] = {}
    body: object = None
    for code, value, _ in _sections(raw):
        if code == PROPERTIES:
            message_id = item(_list(value), _MESSAGE_ID)
        elif code == APPLICATION:
            properties = _map(value)
        elif code == VALUE:
            body = value
    if message_id is None:
        raise MalformedError("a request without a message id cannot be answered")
    return Request(message_id=message_id, properties=properties, value=body)


def write_reply(request: Request, properties: dict[str, object], value: object) -> bytes:
    """The answer to a management request, correlated by the request's id."""
    fields: list[object] = [None] * 13
    fields[5] = request.message_id
    return described(PROPERTIES, fields) + described(APPLICATION, properties) + described(VALUE, value)
