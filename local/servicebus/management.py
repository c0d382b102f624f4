"""Requests and answers: ``$cbs`` (tokens) and ``<entity>/$management`` (all that AMQP's own frames cannot say).

Tokens: any shared access signature is taken, for nobody is kept out of this server; other tokens are refused. The type
that the client declares is not looked at: azure-servicebus calls its shared access signatures ``jwt`` too.
Management operations not in ``_OPERATIONS`` (rules, listing sessions, transactions) are answered 501 by name.

Request and reply fields: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from local.servicebus import faults
from local.servicebus.broker import MAX_MESSAGE_SIZE, Broker
from local.servicebus.envelope import Request, open_request, write_reply
from local.servicebus.faults import RefusedError
from local.servicebus.links import ConsumerLink
from local.servicebus.locks import Delivery
from local.servicebus.message_queue import MessageQueue
from local.servicebus.records import Message
from local.servicebus.values import ARRAY_OF, Array, Int, Long, Symbol, Timestamp

_OK, _ACCEPTED, _NO_CONTENT, _UNAUTHORIZED = 200, 202, 204, 401
_VENDOR = "com.microsoft:"


def answer_token(raw: bytes) -> bytes:
    """The answer to a request at ``$cbs``. Raises MalformedError when there is nothing to correlate it with."""
    request = open_request(raw)
    operation = request.properties.get("operation")
    if operation == "put-token" and str(request.value).startswith("SharedAccessSignature "):
        status, description = _ACCEPTED, "Accepted"
    else:
        status, description = _UNAUTHORIZED, f"{operation} with another token than a shared access signature"
    return write_reply(request, {"status-code": Int(status), "status-description": description}, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One management request on its way; ``link`` is the client's receiving link that it names, if it has one."""

    broker: Broker
    path: str
    fields: dict[object, object]
    link: ConsumerLink | None

    @property
    def queue(self) -> MessageQueue:
        """The entity, where it can be received from."""
        return self.broker.source(self.path)

    @property
    def owner(self) -> ConsumerLink:
        """Who holds the session that the request speaks of, or will hold the messages that it locks."""
        if self.link is None or self.link.queue is not self.queue:
            raise RefusedError(faults.NOT_ALLOWED, "associated-link-name must name a receiving link of this entity")
        return self.link

    def integer(self, name: str) -> int:
        """A number that the request must have."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise RefusedError(faults.INVALID_FIELD, f"{name} must be a number")
        return int(value)

    def text(self, name: str) -> str | None:
        """A string that the request may have."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise RefusedError(faults.INVALID_FIELD, f"{name} must be a string")
        return value

    def items(self, name: str, kind: type) -> tuple[object, ...]:
        """An array or list of one type that the request must have."""
        value = self.fields.get(name)
        items = value.items if isinstance(value, Array) else tuple(value) if isinstance(value, list) else ()
        if not items or not all(isinstance(item, kind) for item in items):
            raise RefusedError(faults.INVALID_FIELD, f"{name} must be one or more of {kind.__name__}")
        return items

    def tokens(self) -> list[UUID]:
        """The request's lock tokens."""
        return [item for item in self.items("lock-tokens", UUID) if isinstance(item, UUID)]

    def sequences(self) -> list[int]:
        """The request's sequence numbers."""
        return [int(item) for item in self.items("sequence-numbers", Long) if isinstance(item, Long)]


Reply = tuple[int, dict[str, object]]


def answer_management(
    broker: Broker, path: str, raw: bytes, find_link: Callable[[object], ConsumerLink | None]
) -> bytes:
    """The answer to a request at ``<path>/$management``. Raises MalformedError when it cannot be correlated.

    Args:
        broker: the entities.
        path: the entity's path.
        raw: the request's bytes.
        find_link: the client's receiving link of a name, if it has one.
    """
    request = open_request(raw)
    link = find_link(request.properties.get("associated-link-name"))
    try:
        status, value = _call(broker, path, request, link)
    except RefusedError as error:
        return _reply(request, error.status, error.description, None, error.condition)
    return _reply(request, status, "OK", value, None)


def _call(broker: Broker, path: str, request: Request, link: ConsumerLink | None) -> Reply:
    operation = str(request.properties.get("operation"))
    handler = _OPERATIONS.get(operation.removeprefix(_VENDOR))
    if handler is None or not operation.startswith(_VENDOR):
        raise RefusedError(faults.NOT_IMPLEMENTED, f"the management operation {operation} is not modelled")
    if not isinstance(request.value, dict):
        raise RefusedError(faults.INVALID_FIELD, "a management request's body is a map")
    return handler(Call(broker=broker, path=path, fields=request.value, link=link))


def _reply(
    request: Request, status: int, description: str, value: dict[str, object] | None, condition: str | None
) -> bytes:
    properties: dict[str, object] = {"statusCode": Int(status), "statusDescription": description}
    if condition is not None:
        properties["errorCondition"] = Symbol(condition)
    return write_reply(request, properties, value)


def _renew_locks(call: Call) -> Reply:
    now = call.broker.clock()
    until = tuple(Timestamp(call.queue.renew(token, now)) for token in call.tokens())
    return _OK, {"expirations": Array(ARRAY_OF[Timestamp], until)}


def _peek(call: Call) -> Reply:
    count = call.integer("message-count")
    found = call.queue.peek(
        call.integer("from-sequence-number"), count, call.broker.clock(), session_id=call.text("session-id")
    )
    messages: list[object] = []
    size = 0
    for message in found:  # as many as fit one answer: the client asks again from where it ended
        written = message.written()
        size += len(written)
        if messages and size > MAX_MESSAGE_SIZE:
            break
        messages.append({"message": written})
    return (_OK, {"messages": messages}) if messages else (_NO_CONTENT, {})


def _schedule(call: Call) -> Reply:
    messages = []
    for entry in call.items("messages", dict):
        message = entry.get("message") if isinstance(entry, dict) else None
        if not isinstance(message, bytes):
            raise RefusedError(faults.INVALID_FIELD, "a message to schedule must be binary")
        messages.append(message)
    sequences = call.broker.schedule(call.broker.target(call.path), messages)
    return _OK, {"sequence-numbers": Array(ARRAY_OF[Long], tuple(Long(sequence) for sequence in sequences))}


def _cancel_scheduled(call: Call) -> Reply:
    call.queue.cancel_scheduled(call.sequences(), call.broker.clock())
    return _OK, {}


def _receive_deferred(call: Call) -> Reply:
    delete = call.integer("receiver-settle-mode") == 0
    deliveries = call.queue.take_deferred(
        call.sequences(), call.owner, call.broker.clock(), delete=delete, session_id=call.text("session-id")
    )
    return _OK, {"messages": [_deferred(delivery) for delivery in deliveries]}


def _deferred(delivery: Delivery) -> dict[str, object]:
    message: Message = delivery.message
    entry: dict[str, object] = {"message": message.written(delivery.locked_until_ms)}
    if delivery.token is not None:
        entry["lock-token"] = delivery.token
    return entry


def _update_disposition(call: Call) -> Reply:
    status, now, queue = call.text("disposition-status"), call.broker.clock(), call.queue
    if call.fields.get("properties-to-modify"):
        raise RefusedError(faults.NOT_IMPLEMENTED, "modifying properties on settlement is not modelled")
    for token in call.tokens():
        match status:
            case "completed":
                queue.complete(token, now)
            case "abandoned":
                queue.abandon(token, now)
            case "defered":
                queue.defer(token, now)
            case "suspended":
                queue.dead_letter(token, call.text("deadletter-reason"), call.text("deadletter-description"), now)
            case _:
                raise RefusedError(faults.NOT_IMPLEMENTED, f"the disposition status {status} is not modelled")
    return _OK, {}


def _renew_session(call: Call) -> Reply:
    until = call.queue.renew_session(call.text("session-id"), call.owner, call.broker.clock())
    return _OK, {"expiration": Timestamp(until)}


def _get_session_state(call: Call) -> Reply:
    state = call.queue.session_state(call.text("session-id"), call.owner, call.broker.clock())
    return _OK, {"session-state": state}


def _set_session_state(call: Call) -> Reply:
    state = call.fields.get("session-state")
    if state is not None and not isinstance(state, bytes):
        raise RefusedError(faults.INVALID_FIELD, "a session's state is binary or null")
    if state is not None and len(state) > MAX_MESSAGE_SIZE:
        raise RefusedError(faults.SIZE_EXCEEDED, f"a session's state is at most {MAX_MESSAGE_SIZE} bytes")
    call.queue.set_session_state(call.text("session-id"), state, call.owner, call.broker.clock())
    return _OK, {}


_OPERATIONS: dict[str, Callable[[Call], Reply]] = {
    "renew-lock": _renew_locks,
    "peek-message": _peek,
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel_scheduled,
    "receive-by-sequence-number": _receive_deferred,
    "update-disposition": _update_disposition,
    "renew-session-lock": _renew_session,
    "get-session-state": _get_session_state,
    "set-session-state": _set_session_state,
}
