"""Turns messages of the Service Bus SDK into those that a function gets on the platform.

There the host describes a message to Microsoft's Python worker as a body and "trigger metadata", and the converter in
`azure.functions` builds the object from it. Here the same metadata go through the same converter, so that every quirk
is the real one: `enqueued_time_utc` is naive, `locked_until` and `time_to_live` are None, `delivery_count` starts at
1, and in a batch empty strings drop out of their array. Refused: a body that is not bytes (AMQP value or sequence).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure.functions import ServiceBusMessage
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

_NO_EXPIRY = datetime.max  # noqa: DTZ901 - .NET's DateTime.MaxValue, naive as this field's other values
_LONGS = frozenset({"SequenceNumber"})
_JSON = frozenset(
    {
        "DeliveryCount", "ExpiresAtUtc", "ExpiresAt", "EnqueuedTimeUtc", "EnqueuedTime",
        "ApplicationProperties", "UserProperties",
    }
)  # fmt: skip


class UnreadableBodyError(Exception):
    """The message's body is an AMQP value or sequence, which no binding of type binary can deliver."""


@dataclass(frozen=True, kw_only=True)
class _Collection:
    """A typed list as the worker's protocol carries it: one attribute per type."""

    string: tuple[str, ...] = ()
    bytes: tuple[bytes, ...] = ()
    sint64: tuple[int, ...] = ()


def single(message: ServiceBusReceivedMessage) -> ServiceBusMessage:
    """Return what a function with cardinality one gets for this message.

    Raises:
        UnreadableBodyError: the body is not bytes.
    """
    metadata = {key: _datum(value) for key, value in _metadata(message).items() if value is not None}
    return ServiceBusMessageInConverter.decode_single_message(Datum(_body(message), "bytes"), trigger_metadata=metadata)


def batch(messages: Sequence[ServiceBusReceivedMessage]) -> list[ServiceBusMessage]:
    """Return what a function with cardinality many gets for these messages.

    Raises:
        UnreadableBodyError: a body is not bytes.
    """
    described = [_metadata(message) for message in messages]
    metadata = {f"{key}Array": _array(key, [one[key] for one in described]) for key in described[0]}
    bodies = _Collection(bytes=tuple(_body(message) for message in messages))
    data = Datum(bodies, "collection_bytes")
    return list(ServiceBusMessageInConverter.decode_multiple_messages(data, trigger_metadata=metadata))


def _body(message: ServiceBusReceivedMessage) -> bytes:
    if message.body_type != AmqpMessageBodyType.DATA:
        raise UnreadableBodyError
    return b"".join(message.body)


def _metadata(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    """Return the properties under the names and in the forms in which the host's extension exposes them."""
    properties = {_text(key): _text(value) for key, value in (message.application_properties or {}).items()}
    enqueued, expires = message.enqueued_time_utc, message.expires_at_utc
    return {
        # The SDK counts the deliveries before this one, .NET this one too.
        "DeliveryCount": (message.delivery_count or 0) + 1,
        "DeadLetterSource": message.dead_letter_source,
        "LockToken": str(message.lock_token),
        "ExpiresAtUtc": (expires.replace(tzinfo=None) if expires else _NO_EXPIRY).isoformat(),
        "ExpiresAt": expires.isoformat() if expires else None,
        "EnqueuedTimeUtc": enqueued.replace(tzinfo=None).isoformat() if enqueued else None,
        "EnqueuedTime": enqueued.isoformat() if enqueued else None,
        "MessageId": message.message_id,
        "ContentType": message.content_type,
        "ReplyTo": message.reply_to,
        "SequenceNumber": message.sequence_number,
        "To": message.to,
        "Subject": message.subject,
        "Label": message.subject,
        "CorrelationId": message.correlation_id,
        "ApplicationProperties": properties,
        "UserProperties": properties,
        "SessionId": message.session_id,
        "ReplyToSessionId": message.reply_to_session_id,
        "PartitionKey": message.partition_key,
        "TransactionPartitionKey": None,
    }


def _datum(value: object) -> Datum:
    return Datum(value, "string") if isinstance(value, str) else Datum(json.dumps(value, default=str), "json")


def _array(key: str, values: list[Any]) -> Datum:
    if key in _JSON:
        return Datum(json.dumps(values, default=str), "json")
    if key in _LONGS:
        return Datum(_Collection(sint64=tuple(values)), "collection_sint64")
    # The host leaves out what is empty, and so shifts the rest: a batch function must not read these by message.
    return Datum(_Collection(string=tuple(value for value in values if value)), "collection_string")


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
