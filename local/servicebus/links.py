"""The three kinds of link: one that takes messages in, one that answers requests, one that delivers from a queue.

A link knows its session only through ``LinkSession``, so that it can be read without it. Settlement by a receiver:
accepted completes, modified abandons or (undeliverable-here) defers, rejected dead-letters, released gives back. The
answer repeats the outcome, a dead-letter's without its error; a refused settlement is answered ``rejected`` with why.
Refused: transactions, modified with message annotations, rejected with another condition than dead-letter's.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol
from uuid import UUID, uuid4

from local.servicebus import faults
from local.servicebus.broker import MAX_MESSAGE_SIZE, Broker, too_large
from local.servicebus.faults import RefusedError
from local.servicebus.locks import Delivery
from local.servicebus.message_queue import MessageQueue
from local.servicebus.performatives import (
    ACCEPTED,
    MODIFIED,
    REJECTED,
    RELEASED,
    Flow,
    Transfer,
    described_list,
    item,
    outcome,
)
from local.servicebus.values import Described, MalformedError

# A management request may carry several messages to schedule.
MAX_REQUEST_SIZE = 4 * MAX_MESSAGE_SIZE
CREDIT = 1_000
_UINT = 2**32


class LinkSession(Protocol):
    """What a link needs of its session."""

    def transfer(self, handle: int, payload: bytes, *, tag: bytes, token_of: "ConsumerLink | None") -> None:
        """Sends a message; settled unless ``token_of``, the link to which its settlement goes, waits for one."""

    def settled(self, delivery_id: int, refused: RefusedError | None) -> None:
        """Answers a transfer from the client: accepted or rejected."""

    def grant(self, handle: int, delivery_count: int, credit: int, *, drain: bool = False) -> None:
        """Tells the client the state of a link."""

    def detach(self, handle: int, error: RefusedError) -> None:
        """Ends a link with the reason."""

    @property
    def blocked(self) -> bool:
        """Whether the client's window leaves no room for a transfer."""


class IncomingLink:
    """A link on which the client sends: to an entity, to ``$cbs`` or to ``$management``.

    Args:
        session: where it was attached.
        handle: its number there.
        limit: the largest message, in bytes.
        consume: takes a whole message and its format; raises RefusedError to reject it.
    """

    def __init__(self, session: LinkSession, handle: int, limit: int, consume: Callable[[bytes, int], None]) -> None:
        self._session = session
        self._handle = handle
        self._limit = limit
        self._consume = consume
        self._first: Transfer | None = None
        self._parts = bytearray()
        self._oversize = False
        self._count = 0

    def start(self) -> None:
        """Lets the client send."""
        self._session.grant(self._handle, self._count, CREDIT)

    def take(self, transfer: Transfer, payload: bytes) -> None:
        """One frame of a message; the last one hands it on and answers it."""
        if self._first is None:
            if transfer.delivery_id is None:
                raise MalformedError("a first transfer without a delivery id")
            self._first = transfer
        self._oversize = self._oversize or len(self._parts) + len(payload) > self._limit
        if not self._oversize:
            self._parts += payload
        if transfer.more and not transfer.aborted:
            return
        first, message, oversize = self._first, bytes(self._parts), self._oversize
        self._first, self._parts, self._oversize = None, bytearray(), False
        self._count += 1
        if self._count % (CREDIT // 2) == 0:
            self._session.grant(self._handle, self._count, CREDIT)
        if not transfer.aborted:
            self._answer(first, None if oversize else message)

    def _answer(self, first: Transfer, message: bytes | None) -> None:
        refused = None
        try:
            if message is None:
                raise too_large()
            self._consume(message, first.message_format or 0)
        except RefusedError as error:
            refused = error
        if not first.settled and first.delivery_id is not None:
            self._session.settled(first.delivery_id, refused)


class ReplyLink:
    """A link on which the client gets the answers to its requests."""

    def __init__(self, session: LinkSession, handle: int) -> None:
        self._session = session
        self._handle = handle
        self._credit = 0
        self._count = 0
        self._waiting: deque[bytes] = deque()

    def reply(self, payload: bytes) -> None:
        """Sends an answer, or keeps it until the client gives credit."""
        self._waiting.append(payload)
        self.pump()

    def flow(self, flow: Flow) -> None:
        """The client gave credit."""
        self._credit = _credit(flow, self._count)
        self.pump()
        if flow.drain:
            self._count, self._credit = self._count + self._credit, 0
        if flow.drain or flow.echo:
            self._session.grant(self._handle, self._count, self._credit, drain=bool(flow.drain))

    def pump(self) -> None:
        """Sends what waits and may go."""
        while self._waiting and self._credit > 0 and not self._session.blocked:
            self._session.transfer(self._handle, self._waiting.popleft(), tag=uuid4().bytes, token_of=None)
            self._count += 1
            self._credit -= 1


class ConsumerLink:
    """A link on which the client receives from a queue.

    Args:
        session: where it was attached.
        handle: its number there.
        name: its name; management requests refer to it.
        broker: for the clock.
        queue: where the messages come from.
        delete: whether messages are gone once sent (receive-and-delete).

    ``session_id`` is the Service Bus session that it holds, if its queue has sessions.
    """

    def __init__(
        self,
        *,
        session: LinkSession,
        handle: int,
        name: str,
        broker: Broker,
        queue: MessageQueue,
        delete: bool,
    ) -> None:
        self.session = session
        self.handle = handle
        self.name = name
        self.queue = queue
        self.session_id: str | None = None
        self.delete = delete
        self._broker = broker
        self._credit = 0
        self._count = 0

    @property
    def ready(self) -> bool:
        """Whether the client can take a message now."""
        return self._credit > 0 and not self.session.blocked

    def flow(self, flow: Flow) -> None:
        """The client gave credit, or wants what there is and the rest of its credit used up (drain)."""
        self._credit = _credit(flow, self._count)
        while self.ready and self.serve():
            pass
        if flow.drain:
            self._count, self._credit = self._count + self._credit, 0
        if flow.drain or flow.echo:
            self.session.grant(self.handle, self._count, self._credit, drain=bool(flow.drain))

    def serve(self) -> bool:
        """Sends the next message of the queue, if there is one for this link."""
        delivery = self.queue.take(self, self._broker.clock(), delete=self.delete, session_id=self.session_id)
        if delivery is not None:
            self._deliver(delivery)
        return delivery is not None

    def _deliver(self, delivery: Delivery) -> None:
        token = delivery.token or uuid4()
        self._count += 1
        self._credit -= 1
        self.session.transfer(
            self.handle,
            delivery.message.written(delivery.locked_until_ms),
            tag=token.bytes_le,
            token_of=None if self.delete else self,
        )

    def settle(self, token: UUID, state: Described | None) -> Described:
        """What the client says became of a delivery; the outcome to answer with. Raises RefusedError."""
        if state is None:
            raise RefusedError(faults.NOT_IMPLEMENTED, "settling without an outcome is not modelled")
        code, values = described_list(state)
        now = self._broker.clock()
        if code == ACCEPTED:
            self.queue.complete(token, now)
        elif code == RELEASED:
            self.queue.release(token, now)
        elif code == MODIFIED:
            self._modify(token, values, now)
        elif code == REJECTED:
            self._reject(token, values, now)
            return outcome(REJECTED, None)
        else:
            raise RefusedError(faults.NOT_IMPLEMENTED, f"the delivery state {code:#x} is not modelled")
        return state

    def _modify(self, token: UUID, values: list[object], now: int) -> None:
        if item(values, 2):
            raise RefusedError(faults.NOT_IMPLEMENTED, "modifying properties on settlement is not modelled")
        if item(values, 1):
            self.queue.defer(token, now)
        elif item(values, 0):
            self.queue.abandon(token, now)
        else:
            self.queue.release(token, now)

    def _reject(self, token: UUID, values: list[object], now: int) -> None:
        error = item(values, 0)
        fields: list[object] = [faults.DEAD_LETTER]
        if isinstance(error, Described):
            fields = described_list(error)[1]
        if item(fields, 0) != faults.DEAD_LETTER:
            raise RefusedError(faults.NOT_IMPLEMENTED, f"rejecting with condition {item(fields, 0)} is not modelled")
        info = item(fields, 2)
        details = info if isinstance(info, dict) else {}
        self.queue.dead_letter(
            token, _text(details, "DeadLetterReason"), _text(details, "DeadLetterErrorDescription"), now
        )


def _text(details: dict[object, object], name: str) -> str | None:
    value = details.get(name)
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    raise RefusedError(faults.INVALID_FIELD, f"{name} of type {type(value).__name__}")


def _credit(flow: Flow, sent: int) -> int:
    """Credit left of what the client gave, counted from how many deliveries it had seen when it gave it."""
    if flow.link_credit is None:
        raise MalformedError("a flow for a link without its credit")
    left = ((flow.delivery_count or 0) + flow.link_credit - sent) % _UINT
    return left if left < _UINT // 2 else 0
