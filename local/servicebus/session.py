"""An AMQP session: its links, its windows, and the deliveries on it that are not settled yet.

Delivery ids start high, away from the client's own: azure-servicebus looks at every disposition for the ids of what it
sent, whichever side the disposition speaks of.

Specification: OASIS AMQP 1.0 part 2, 2.5 and 2.6.
"""

from collections import deque
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from local.servicebus import faults
from local.servicebus.attach import Attached, accept_attach, refuse_attach
from local.servicebus.dispatch import Dispatcher
from local.servicebus.faults import RefusedError
from local.servicebus.links import ConsumerLink, IncomingLink, ReplyLink
from local.servicebus.performatives import (
    ACCEPTED,
    REJECTED,
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Performative,
    Transfer,
    error,
    outcome,
)
from local.servicebus.values import Described, UInt, UShort

WINDOW = 65_536
HANDLE_MAX = 65_535
_FIRST_ID = 2**30
_UINT = 2**32
_FRAME_HEADER_SIZE = 8


class Outlet(Protocol):
    """What a session needs of its connection."""

    @property
    def max_frame_size(self) -> int:
        """The largest frame that the client takes, in bytes."""

    def send(self, performative: Performative, channel: int, payload: bytes = b"") -> None:
        """Sends a frame, after what was done so far is durable."""


class Session:
    """One session.

    Args:
        outlet: its connection.
        channel: its number there.
        begin: what the client opened it with.
        dispatcher: brings it messages.
    """

    def __init__(self, outlet: Outlet, channel: int, begin: Begin, dispatcher: Dispatcher) -> None:
        self._outlet = outlet
        self._channel = channel
        self._dispatcher = dispatcher
        self._links: dict[int, IncomingLink | ReplyLink | ConsumerLink] = {}
        self._ended: set[int] = set()  # handles that this side detached and the client has not yet
        self._replies: dict[str, ReplyLink] = {}
        self._unsettled: dict[int, tuple[ConsumerLink, UUID]] = {}
        self._backlog: deque[tuple[Transfer, bytes]] = deque()
        self._next_incoming = int(begin.next_outgoing_id)
        self._next_outgoing = _FIRST_ID
        self._next_delivery = _FIRST_ID
        self._window = int(begin.incoming_window)
        self._received = 0
        outlet.send(
            Begin(
                remote_channel=UShort(channel),
                next_outgoing_id=UInt(_FIRST_ID),
                incoming_window=UInt(WINDOW),
                outgoing_window=UInt(WINDOW),
                handle_max=UInt(HANDLE_MAX),
            ),
            channel,
        )

    # --- frames from the client ---------------------------------------------------------------------------------------

    def handle(self, performative: Performative, payload: bytes) -> None:
        """One frame. Raises RefusedError or MalformedError where only closing the connection is left."""
        match performative:
            case Attach():
                self._attach(performative)
            case Flow():
                self._flow(performative)
            case Transfer():
                self._transfer(performative, payload)
            case Disposition():
                self._disposition(performative)
            case Detach():
                self._detach(performative)
            case _:
                raise RefusedError(faults.NOT_ALLOWED, f"{type(performative).__name__} inside a session")

    def _attach(self, attach: Attach) -> None:
        if attach.handle in self._links or attach.handle > HANDLE_MAX:
            raise RefusedError(faults.HANDLE_IN_USE, f"handle {attach.handle} is in use or too high")
        self._ended.discard(attach.handle)
        try:
            attached = accept_attach(attach, self, self._dispatcher, self._replies, self._find)
        except RefusedError as refused:
            self._refuse(attach, refused)
            return
        self._links[attach.handle] = attached.link
        if attached.wait is None:
            self._start(attached)
        else:
            attached.wait(lambda: self._start(attached), lambda refused: self._give_up(attach, refused))

    def _start(self, attached: Attached) -> None:
        self._outlet.send(attached.reply(), self._channel)
        link = attached.link
        if isinstance(link, ConsumerLink):
            self._dispatcher.add(link)
        elif isinstance(link, IncomingLink):
            link.start()

    def _refuse(self, attach: Attach, refused: RefusedError) -> None:
        self._outlet.send(refuse_attach(attach), self._channel)
        self.detach(attach.handle, refused)

    def _give_up(self, attach: Attach, refused: RefusedError) -> None:
        self._links.pop(attach.handle, None)
        self._refuse(attach, refused)

    def _flow(self, flow: Flow) -> None:
        seen = int(flow.next_incoming_id) if flow.next_incoming_id is not None else _FIRST_ID
        self._window = (seen + int(flow.incoming_window) - self._next_outgoing) % _UINT
        self._send_backlog()
        link = self._link(flow.handle) if flow.handle is not None else None
        if isinstance(link, ConsumerLink | ReplyLink):
            link.flow(flow)
        elif flow.handle is None:
            for other in self._links.values():
                self._wake(other)
            if flow.echo:
                self._outlet.send(self._state(), self._channel)

    def _wake(self, link: IncomingLink | ReplyLink | ConsumerLink) -> None:
        if isinstance(link, ReplyLink):
            link.pump()
        elif isinstance(link, ConsumerLink):
            while link.ready and link.serve():
                pass

    def _transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming = (self._next_incoming + 1) % _UINT
        self._received += 1
        if self._received % (WINDOW // 2) == 0:
            self._outlet.send(self._state(), self._channel)
        link = self._link(transfer.handle)
        if isinstance(link, IncomingLink):
            link.take(transfer, payload)
        elif link is not None:
            raise RefusedError(faults.NOT_ALLOWED, "a transfer on a link that receives")

    def _disposition(self, disposition: Disposition) -> None:
        if not disposition.role:
            return  # about what the client sent: this side has settled that already
        last = int(disposition.last if disposition.last is not None else disposition.first)
        if last - disposition.first > WINDOW:
            raise RefusedError(faults.NOT_ALLOWED, "a disposition over more deliveries than a window holds")
        following = int(disposition.first)
        if following == last:
            known = [last] if last in self._unsettled else []
        else:
            known = sorted(each for each in self._unsettled if following <= each <= last)
        for delivery_id in known:
            self._refuse_to_settle(following, delivery_id - 1, disposition)
            self._settle(delivery_id, disposition)
            following = delivery_id + 1
        self._refuse_to_settle(following, last, disposition)

    def _settle(self, delivery_id: int, disposition: Disposition) -> None:
        link, token = self._unsettled.pop(delivery_id)
        try:
            state = link.settle(token, disposition.state)
        except RefusedError as refused:
            state = outcome(REJECTED, error(refused.condition, refused.description))
        if not disposition.settled:
            self._send_disposition(delivery_id, delivery_id, role=False, state=state)

    def _refuse_to_settle(self, first: int, last: int, disposition: Disposition) -> None:
        """One answer for a whole range that holds no delivery of this session."""
        if first <= last and not disposition.settled:
            lost = error(faults.MESSAGE_LOCK_LOST, "the delivery is settled, or of another session")
            self._send_disposition(first, last, role=False, state=outcome(REJECTED, lost))

    def _detach(self, detach: Detach) -> None:
        if detach.handle in self._ended:
            self._ended.discard(detach.handle)
            return
        link = self._link(detach.handle)
        self._drop(detach.handle)
        if link is not None:
            self._outlet.send(Detach(handle=detach.handle, closed=True), self._channel)

    def close(self) -> None:
        """The session or its connection is over."""
        for handle in list(self._links):
            self._drop(handle)

    # --- what links ask for (LinkSession) -----------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether the client's window leaves no room for a transfer."""
        return bool(self._backlog) or self._window <= 0

    def transfer(self, handle: int, payload: bytes, *, tag: bytes, token_of: ConsumerLink | None) -> None:
        """Sends a message, in as many frames as it takes; settled unless ``token_of`` waits for its outcome."""
        delivery_id = self._next_delivery
        self._next_delivery = (delivery_id + 1) % _UINT
        if token_of is not None:
            self._unsettled[delivery_id] = (token_of, UUID(bytes_le=tag))
        part = Transfer(
            handle=UInt(handle),
            delivery_id=UInt(delivery_id),
            delivery_tag=tag,
            message_format=UInt(0),
            settled=token_of is None,
            more=True,
        )
        room = self._outlet.max_frame_size - len(part.encode()) - _FRAME_HEADER_SIZE
        while len(payload) > room:
            self._backlog.append((part, payload[:room]))
            payload = payload[room:]
        self._backlog.append((replace(part, more=False), payload))
        self._send_backlog()

    def settled(self, delivery_id: int, refused: RefusedError | None) -> None:
        """Answers a transfer from the client: accepted or rejected."""
        state = outcome(ACCEPTED)
        if refused is not None:
            state = outcome(REJECTED, error(refused.condition, refused.description))
        self._send_disposition(delivery_id, delivery_id, role=True, state=state)

    def grant(self, handle: int, delivery_count: int, credit: int, *, drain: bool = False) -> None:
        """Tells the client the state of a link."""
        self._outlet.send(
            replace(
                self._state(),
                handle=UInt(handle),
                delivery_count=UInt(delivery_count % _UINT),
                link_credit=UInt(credit),
                drain=drain,
            ),
            self._channel,
        )

    def detach(self, handle: int, refused: RefusedError) -> None:
        """Ends a link with the reason."""
        self._drop(handle)
        self._ended.add(handle)
        reason = error(refused.condition, refused.description)
        self._outlet.send(Detach(handle=UInt(handle), closed=True, error=reason), self._channel)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _link(self, handle: int) -> IncomingLink | ReplyLink | ConsumerLink | None:
        """The link of a handle; None when this side has ended it and the client may not know yet."""
        if handle not in self._links and handle not in self._ended:
            raise RefusedError(faults.UNATTACHED_HANDLE, f"handle {handle} is not attached")
        return self._links.get(handle)

    def _find(self, name: object) -> ConsumerLink | None:
        consumers = [link for link in self._links.values() if isinstance(link, ConsumerLink)]
        return next((link for link in consumers if link.name == name), None)

    def _drop(self, handle: int) -> None:
        link = self._links.pop(handle, None)
        if isinstance(link, ConsumerLink):
            self._unsettled = {key: value for key, value in self._unsettled.items() if value[0] is not link}
            self._dispatcher.remove(link)
        elif isinstance(link, ReplyLink):
            for node in [node for node, reply in self._replies.items() if reply is link]:
                del self._replies[node]

    def _send_backlog(self) -> None:
        while self._backlog and self._window > 0:
            transfer, payload = self._backlog.popleft()
            self._outlet.send(transfer, self._channel, payload)
            self._window -= 1
            self._next_outgoing = (self._next_outgoing + 1) % _UINT

    def _send_disposition(self, first: int, last: int, *, role: bool, state: Described) -> None:
        self._outlet.send(
            Disposition(role=role, first=UInt(first), last=UInt(last), settled=True, state=state), self._channel
        )

    def _state(self) -> Flow:
        """The windows of this session, as a flow without a link."""
        return Flow(
            next_incoming_id=UInt(self._next_incoming),
            incoming_window=UInt(WINDOW),
            next_outgoing_id=UInt(self._next_outgoing),
            outgoing_window=UInt(WINDOW),
        )
