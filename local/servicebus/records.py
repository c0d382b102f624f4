"""What the broker remembers: messages, and the changes that a store must make durable before anyone hears of them.

Times are whole milliseconds since the Unix epoch, as AMQP timestamps are.
"""

import enum
from dataclasses import dataclass

from local.servicebus.envelope import DeadLetter, Envelope, delivery_annotations, write_delivery


class State(enum.IntEnum):
    """Where a message stands; the values are those of ``x-opt-message-state``."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message in a queue. ``enqueued_ms`` of a scheduled one is when it is due; ``delivery_count`` counts failures.

    ``expires_ms`` is None where nothing limits its life; ``dead_letter`` is set in a dead-letter queue only.
    """

    sequence: int
    envelope: Envelope
    state: State
    delivery_count: int
    enqueued_ms: int
    expires_ms: int | None
    dead_letter: DeadLetter | None

    def written(self, locked_until_ms: int | None = None) -> bytes:
        """The message as a receiver gets it."""
        return write_delivery(
            self.envelope,
            delivery_count=self.delivery_count,
            annotations=delivery_annotations(
                sequence=self.sequence,
                enqueued_ms=self.enqueued_ms,
                state=self.state,
                locked_until_ms=locked_until_ms,
            ),
            dead_letter=self.dead_letter,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A message is in a queue, new or changed. Its sequence number is never given again."""

    path: str
    message: Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """A message has left a queue."""

    path: str
    sequence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A message id entered the duplicate-detection history."""

    path: str
    message_id: str
    at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgotten:
    """Ids that entered the history at ``until_ms`` or before have left it."""

    path: str
    until_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStateSet:
    """A session's state; None when it was cleared."""

    path: str
    session_id: str
    state: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LastSequence:
    """The highest sequence number that a queue ever gave; only in what a store loads."""

    path: str
    sequence: int


Change = Stored | Removed | Seen | Forgotten | SessionStateSet
Loaded = Stored | Seen | SessionStateSet | LastSequence
