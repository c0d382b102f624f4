"""The broker: all entities of a namespace, what is sent to them, and the changes that wait to be made durable.

It knows no network and no disk. A server calls it, then hands ``take_changes`` to a store, and only when the store has
them lets out what it wrote meanwhile; ``take_awake`` names the queues that may have something for a waiting receiver.

Refused: entities that the namespace has not, messages over the size limit, schedules on a topic.
"""

from collections.abc import Callable, Iterable

from local.servicebus import faults
from local.servicebus.duplicates import DuplicateHistory
from local.servicebus.entities import Namespace, QueueSpec, TopicSpec
from local.servicebus.envelope import BATCH_FORMAT, Envelope, open_batch, open_envelope
from local.servicebus.faults import RefusedError
from local.servicebus.message_queue import MessageQueue
from local.servicebus.records import Change, LastSequence, Loaded, Seen, SessionStateSet, Stored
from local.servicebus.values import MalformedError

# Azure's Standard tier; a batch counts as one message. https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
MAX_MESSAGE_SIZE = 256 * 1024

_DEAD_LETTERS = "/$DeadLetterQueue"
Clock = Callable[[], int]


class UnknownEntityError(Exception):
    """The data folder holds messages of an entity that the entities file has not. Restore the entity, or start anew."""


class Topic:
    """A topic: hands a copy of each message to every subscription, and keeps nothing itself."""

    def __init__(
        self, spec: TopicSpec, path: str, subscriptions: list[MessageQueue], duplicates: DuplicateHistory
    ) -> None:
        self.spec = spec
        self.path = path
        self.subscriptions = subscriptions
        self.duplicates = duplicates

    def check(self, envelope: Envelope) -> None:
        """Raises RefusedError when the topic or a subscription cannot take this message."""
        if envelope.scheduled_ms is not None:
            raise RefusedError(faults.NOT_IMPLEMENTED, f"{self.path}: scheduling to a topic is not modelled")
        for subscription in self.subscriptions:
            subscription.check(envelope)

    def enqueue(self, envelope: Envelope, now: int) -> int:
        """A copy for each subscription. A topic's messages have no sequence number of their own: 0."""
        for subscription in self.subscriptions:
            subscription.enqueue(envelope, now, ttl_ms=self.spec.default_ttl_ms)
        return 0


class Broker:
    """All entities.

    Args:
        namespace: what they are.
        clock: the time in whole milliseconds since the Unix epoch; it must not go back.
    """

    def __init__(self, namespace: Namespace, clock: Clock) -> None:
        self.clock = clock
        self._changes: list[Change] = []
        self._awake: dict[MessageQueue, None] = {}
        self._queues: dict[str, MessageQueue] = {}
        self._topics: dict[str, Topic] = {}
        for queue in namespace.queues:
            self._add_queue(queue, queue.name)
        for topic in namespace.topics:
            path = topic.name.lower()
            subscriptions = [
                self._add_queue(subscription, f"{topic.name}/Subscriptions/{subscription.name}")
                for subscription in topic.subscriptions
            ]
            duplicates = DuplicateHistory(path, topic.duplicate_window_ms, self._record)
            self._topics[path] = Topic(topic, path, subscriptions, duplicates)

    def _add_queue(self, spec: QueueSpec, address: str) -> MessageQueue:
        buried = QueueSpec(name=spec.name, lock_ms=spec.lock_ms, max_delivery_count=None)
        dead_letters = self._new_queue(buried, address + _DEAD_LETTERS, None)
        return self._new_queue(spec, address, dead_letters)

    def _new_queue(self, spec: QueueSpec, address: str, dead_letters: MessageQueue | None) -> MessageQueue:
        queue = MessageQueue(
            spec=spec,
            path=address.lower(),
            address=address,
            record=self._record,
            wake=self._wake,
            dead_letters=dead_letters,
        )
        self._queues[queue.path] = queue
        return queue

    def _record(self, change: Change) -> None:
        self._changes.append(change)

    def _wake(self, queue: MessageQueue) -> None:
        self._awake[queue] = None

    # --- restoring ----------------------------------------------------------------------------------------------------

    def restore(self, loaded: Iterable[Loaded]) -> None:
        """What a store held. Raises UnknownEntityError."""
        now = self.clock()
        for record in loaded:
            topic = self._topics.get(record.path)
            queue = self._queues.get(record.path)
            if isinstance(record, Seen) and topic is not None:
                topic.duplicates.restore(record)
            elif queue is None:
                raise UnknownEntityError(f"the data folder holds messages of {record.path}, which is not configured")
            elif isinstance(record, Stored):
                queue.restore(record.message, now)
            elif isinstance(record, Seen):
                queue.duplicates.restore(record)
            elif isinstance(record, SessionStateSet):
                queue.restore_session_state(record)
            elif isinstance(record, LastSequence):
                queue.restore_sequence(record.sequence)

    # --- entities -----------------------------------------------------------------------------------------------------

    def source(self, path: str) -> MessageQueue:
        """What can be received from. Raises RefusedError."""
        queue = self._queues.get(path)
        if queue is not None:
            return queue
        if path in self._topics:
            raise RefusedError(faults.NOT_ALLOWED, f"{path} is a topic: receive from a subscription")
        raise RefusedError(faults.NOT_FOUND, f"The messaging entity '{path}' could not be found.")

    def target(self, path: str) -> MessageQueue | Topic:
        """What can be sent to. Raises RefusedError."""
        target = self.entity(path)
        if isinstance(target, MessageQueue) and target.address != target.spec.name:
            raise RefusedError(faults.NOT_ALLOWED, f"{path}: messages are sent to queues and topics")
        return target

    def entity(self, path: str) -> MessageQueue | Topic:
        """Any entity. Raises RefusedError."""
        return self._topics.get(path) or self.source(path)

    # --- sending ------------------------------------------------------------------------------------------------------

    def send(self, target: MessageQueue | Topic, raw: bytes, message_format: int) -> None:
        """Takes in a transfer: a message, or all messages of a batch or none. Raises RefusedError.

        A duplicate is accepted and dropped, as by the service.
        """
        if message_format not in {0, BATCH_FORMAT}:
            raise RefusedError(faults.NOT_IMPLEMENTED, f"message format {message_format:#x} is not modelled")
        try:
            parts = [raw] if message_format == 0 else open_batch(raw)
            envelopes = [open_envelope(part) for part in parts]
        except MalformedError as error:
            raise RefusedError(faults.DECODE_ERROR, str(error)) from error
        for envelope in envelopes:
            target.check(envelope)
        now = self.clock()
        for envelope in envelopes:
            if not target.duplicates.contains(envelope.message_id, now):
                target.duplicates.add(envelope.message_id, now)
                target.enqueue(envelope, now)

    def schedule(self, target: MessageQueue | Topic, raws: Iterable[bytes]) -> list[int]:
        """Takes in scheduled messages, all or none; their sequence numbers. Raises RefusedError.

        A duplicate is refused: which sequence number the service would give it is not known.
        """
        now = self.clock()
        envelopes: list[Envelope] = []
        for raw in raws:
            if len(raw) > MAX_MESSAGE_SIZE:
                raise too_large()
            try:
                envelope = open_envelope(raw)
            except MalformedError as error:
                raise RefusedError(faults.DECODE_ERROR, str(error)) from error
            if envelope.scheduled_ms is None:
                raise RefusedError(faults.INVALID_FIELD, "a message to schedule has no time")
            target.check(envelope)
            ids = [other.message_id for other in envelopes]
            if target.duplicates.contains(envelope.message_id, now) or (
                target.duplicates.enabled and envelope.message_id is not None and envelope.message_id in ids
            ):
                raise RefusedError(faults.NOT_IMPLEMENTED, "scheduling a duplicate message is not modelled")
            envelopes.append(envelope)
        for envelope in envelopes:
            target.duplicates.add(envelope.message_id, now)
        return [target.enqueue(envelope, now) for envelope in envelopes]

    # --- time and effects ---------------------------------------------------------------------------------------------

    def tick(self) -> list[object]:
        """Lets happen what is due; the receivers whose session's lock ended."""
        now = self.clock()
        lost: list[object] = []
        for queue in self._queues.values():
            queue.tick(now)
            lost += queue.lost_sessions()
        return lost

    def next_due(self) -> int | None:
        """When to call ``tick`` next, in the clock's milliseconds; None when nothing waits."""
        return min((due for queue in self._queues.values() if (due := queue.next_due()) is not None), default=None)

    def take_changes(self) -> list[Change]:
        """The changes since the last call, in order."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def take_awake(self) -> list[MessageQueue]:
        """The queues in which something became available since the last call."""
        awake = list(self._awake)
        self._awake.clear()
        return awake


def too_large() -> RefusedError:
    """What is answered to a message over the limit."""
    return RefusedError(
        faults.SIZE_EXCEEDED, f"The message exceeds the limit of {MAX_MESSAGE_SIZE} bytes of this entity."
    )
