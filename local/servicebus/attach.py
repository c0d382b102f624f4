"""What stands behind a link that a client attaches: the decision, the link, and the answer.

Refused, each by name: transactions, dynamic nodes, filters other than the session filter, the settlement mode "mixed",
sending to a subscription or dead-letter queue, receiving from a topic, receivers that do not fit the queue's sessions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from local.servicebus import faults
from local.servicebus.addresses import Node, parse_address
from local.servicebus.broker import MAX_MESSAGE_SIZE, Broker
from local.servicebus.dispatch import Dispatcher, SessionWait
from local.servicebus.faults import RefusedError
from local.servicebus.links import MAX_REQUEST_SIZE, ConsumerLink, IncomingLink, LinkSession, ReplyLink
from local.servicebus.management import answer_management, answer_token
from local.servicebus.performatives import COORDINATOR, SOURCE, TARGET, Attach, described_list, item
from local.servicebus.sessions import SessionLock
from local.servicebus.values import Described, Long, Symbol, UInt, ULong

SESSION_WAIT_MS = 65_000
_SESSION_FILTER = "com.microsoft:session-filter"
_FILTER_FIELD = 7
_SETTLE_UNSETTLED, _SETTLE_SETTLED = 0, 1
# Ticks of 100 ns from the year 1 to the Unix epoch: how .NET counts time.
_TICKS_AT_EPOCH, _TICKS_PER_MS = 621_355_968_000_000_000, 10_000

Started = Callable[[], None]
Refused = Callable[[RefusedError], None]


@dataclass(kw_only=True, slots=True)
class Attached:
    """A link, and how to answer the attach once ``wait`` (a session that another receiver may have) is over.

    ``session_lock`` is set by then where there is one.
    """

    attach: Attach
    link: IncomingLink | ReplyLink | ConsumerLink
    wait: Callable[[Started, Refused], None] | None = None
    session_lock: SessionLock | None = None

    def reply(self) -> Attach:
        """The answer: both ends repeated, as azure-servicebus demands."""
        attach, source = self.attach, self.attach.source or Described(ULong(SOURCE), [])
        properties: dict[object, object] = {}
        if self.session_lock is not None:
            _, values = described_list(source)
            values = [*values[:_FILTER_FIELD], {Symbol(_SESSION_FILTER): self.session_lock.session_id}]
            source = Described(ULong(SOURCE), values)
            ticks = self.session_lock.until_ms * _TICKS_PER_MS + _TICKS_AT_EPOCH
            properties[Symbol("com.microsoft:locked-until-utc")] = Long(ticks)
        return Attach(
            name=attach.name,
            handle=attach.handle,
            role=not attach.role,
            snd_settle_mode=attach.snd_settle_mode,
            rcv_settle_mode=attach.rcv_settle_mode,
            source=source,
            target=attach.target or Described(ULong(TARGET), []),
            initial_delivery_count=UInt(0) if attach.role else None,
            max_message_size=ULong(MAX_MESSAGE_SIZE),
            properties=properties,
        )


def refuse_attach(attach: Attach) -> Attach:
    """The answer to an attach that is refused: the end that this side would have had is null; a detach follows."""
    return Attach(
        name=attach.name,
        handle=attach.handle,
        role=not attach.role,
        source=None if attach.role else attach.source,
        target=attach.target if attach.role else None,
        initial_delivery_count=UInt(0) if attach.role else None,
        properties={},
    )


def accept_attach(
    attach: Attach,
    session: LinkSession,
    dispatcher: Dispatcher,
    replies: dict[str, ReplyLink],
    find_link: Callable[[object], ConsumerLink | None],
) -> Attached:
    """The link that a client asks for. Raises RefusedError.

    Args:
        attach: what it asks.
        session: where.
        dispatcher: the entities and who waits for their messages.
        replies: the session's reply links by address; a new one is added here.
        find_link: the session's receiving link of a name.
    """
    code, values = described_list(attach.source if attach.role else attach.target)
    if code == COORDINATOR:
        raise RefusedError(faults.NOT_IMPLEMENTED, "transactions are not modelled")
    address = parse_address(item(values, 0))
    broker = dispatcher.broker
    node = f"{address.path} {address.node.name}"
    if not attach.role:
        consume, limit = _consumer_of(broker, address.node, address.path, lambda: replies.get(node), find_link)
        return Attached(attach=attach, link=IncomingLink(session, attach.handle, limit, consume))
    if address.node is not Node.ENTITY:
        reply = ReplyLink(session, attach.handle)
        replies[node] = reply
        return Attached(attach=attach, link=reply)
    return _attach_consumer(attach, values, address.path, session, dispatcher)


def _consumer_of(
    broker: Broker,
    node: Node,
    path: str,
    reply_link: Callable[[], ReplyLink | None],
    find_link: Callable[[object], ConsumerLink | None],
) -> tuple[Callable[[bytes, int], None], int]:
    """What takes the messages that a client sends to a node, and how large they may be."""
    if node is Node.ENTITY:
        return partial(broker.send, broker.target(path)), MAX_MESSAGE_SIZE

    def answer(raw: bytes, _format: int) -> None:
        link = reply_link()
        if link is None:
            raise RefusedError(faults.NOT_ALLOWED, "a request needs a receiving link at the same address")
        link.reply(answer_token(raw) if node is Node.TOKENS else answer_management(broker, path, raw, find_link))

    if node is Node.MANAGEMENT:
        broker.entity(path)
    return answer, MAX_REQUEST_SIZE


def _attach_consumer(
    attach: Attach, source: list[object], path: str, session: LinkSession, dispatcher: Dispatcher
) -> Attached:
    broker = dispatcher.broker
    queue = broker.source(path)
    if attach.snd_settle_mode not in {_SETTLE_UNSETTLED, _SETTLE_SETTLED}:
        raise RefusedError(faults.NOT_IMPLEMENTED, "receive with the settle mode unsettled or settled, not mixed")
    has_filter, wanted = _session_filter(source)
    if queue.spec.requires_session and not has_filter:
        raise RefusedError(faults.NOT_ALLOWED, f"{path} requires sessions: a receiver without one is not possible")
    link = ConsumerLink(
        session=session,
        handle=attach.handle,
        name=attach.name,
        broker=broker,
        queue=queue,
        delete=attach.snd_settle_mode == _SETTLE_SETTLED,
    )
    attached = Attached(attach=attach, link=link)
    if not has_filter:
        return attached

    def accepted(lock: SessionLock) -> None:
        attached.session_lock = lock
        link.session_id = lock.session_id

    now = broker.clock()
    lock = queue.accept_session(wanted, link, now)
    if lock is not None:
        accepted(lock)
        return attached
    until = now + _session_wait(attach)

    def wait(started: Started, refused: Refused) -> None:
        def on_session(lock: SessionLock) -> None:
            accepted(lock)
            started()

        dispatcher.wait(SessionWait(link=link, until_ms=until, accepted=on_session, refused=refused))

    attached.wait = wait
    return attached


def _session_filter(source: list[object]) -> tuple[bool, str | None]:
    """Whether a receiver asks for a session, and for which; None for any."""
    filters = item(source, _FILTER_FIELD)
    if not filters:
        return False, None
    if not isinstance(filters, dict) or set(filters) != {_SESSION_FILTER}:
        raise RefusedError(faults.NOT_IMPLEMENTED, "filters other than the session filter are not modelled")
    value = filters[_SESSION_FILTER]
    value = value.value if isinstance(value, Described) else value
    if value is not None and not isinstance(value, str):
        raise RefusedError(faults.INVALID_FIELD, "a session filter is a string or null")
    return True, value


def _session_wait(attach: Attach) -> int:
    """How long a receiver waits for any session, in milliseconds."""
    value = (attach.properties or {}).get("com.microsoft:timeout", SESSION_WAIT_MS)
    if not isinstance(value, int):
        raise RefusedError(faults.INVALID_FIELD, "com.microsoft:timeout is a number of milliseconds")
    return int(value)
