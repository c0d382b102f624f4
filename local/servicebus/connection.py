"""One TCP connection: protocol headers, SASL ANONYMOUS, frames, and the sessions on it.

Nothing is written to the socket at once: ``send`` collects, and the server lets it out when everything done before it
is durable. Bytes that are not AMQP, and frames that no session can answer, close the connection with an AMQP error. TLS
and WebSockets are refused: the client must be told ``UseDevelopmentEmulator=true``.

Specification: OASIS AMQP 1.0 part 2, 2.2 and 2.4; part 5, 5.3.
"""

import asyncio
import logging
from collections.abc import Callable

from local.servicebus import faults
from local.servicebus.dispatch import Dispatcher
from local.servicebus.faults import RefusedError
from local.servicebus.frames import AMQP_HEADER, EMPTY_FRAME, MAX_FRAME_SIZE, SASL_HEADER, FrameReader, Incoming, frame
from local.servicebus.performatives import (
    Begin,
    Close,
    End,
    Open,
    Performative,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    error,
)
from local.servicebus.session import Session
from local.servicebus.values import Array, MalformedError, Symbol, UByte, UInt, UShort

CHANNEL_MAX = 255
_LOG = logging.getLogger(__name__)
_ARRAY_OF_SYMBOLS = 0xB3
_SASL_OK, _SASL_AUTH = 0, 1
_MIN_FRAME_SIZE = 512
_MIN_IDLE_MS = 200
_IDLE_MS = 120_000  # what Azure asks of its clients: to send something, were it an empty frame, within this time
_FORCED_SECONDS = 240.0  # of silence, after which Azure ends a connection
_LAST_WORD_SECONDS = 5.0  # for the client to be told so


class Connection(asyncio.Protocol):
    """A client's connection.

    Args:
        dispatcher: the entities and who waits for their messages.
        dirty: called with the connection when it has something to write, or something happened on it.
        gone: called when it is over.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        dirty: Callable[["Connection"], None],
        gone: Callable[["Connection"], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._dirty = dirty
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._output = bytearray()
        self._sessions: dict[int, Session] = {}
        self._ended: set[int] = set()
        self._opened = self._closing = False
        self._heartbeat: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self.max_frame_size = MAX_FRAME_SIZE

    # --- asyncio ------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what asyncio gives a TCP server)
        self._transport = transport
        self._heard = asyncio.get_running_loop().time()
        self._await_word()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._closing:
            return
        self._heard = asyncio.get_running_loop().time()
        try:
            for incoming in self._reader.feed(data):
                if isinstance(incoming, bytes):
                    self._header(incoming)
                else:
                    self._frame(incoming)
                if self._closing:
                    break
        except MalformedError as malformed:
            self._fail(RefusedError(faults.DECODE_ERROR, str(malformed)))
        except RefusedError as refused:
            self._fail(refused)
        self._dirty(self)

    def pause_writing(self) -> None:
        """The client does not read: it is not listened to either, or its answers would pile up here."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it held comes back."""
        if exc is not None:
            _LOG.debug("connection lost: %s", exc)
        for timer in (self._heartbeat, self._silence):
            if timer is not None:
                timer.cancel()
        self._closing = True
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._gone(self)

    # --- output -------------------------------------------------------------------------------------------------------

    def send(self, performative: Performative, channel: int, payload: bytes = b"") -> None:
        """Sends a frame, after what was done so far is durable."""
        if not self._closing:
            self._output += frame(performative, channel, payload)
            self._dirty(self)

    def flush(self) -> None:
        """Lets out what was collected: the server calls this when the changes before it are durable."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._output:
            self._transport.write(bytes(self._output))
            self._output.clear()
        if self._closing:
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once; what was collected is never sent."""
        self._closing = True
        self._output.clear()
        if self._transport is not None:
            self._transport.abort()

    # --- input --------------------------------------------------------------------------------------------------------

    def _header(self, header: bytes) -> None:
        if header == SASL_HEADER and not self._opened:
            self._output += SASL_HEADER
            mechanisms = Array(_ARRAY_OF_SYMBOLS, (Symbol("ANONYMOUS"),))
            self.send(SaslMechanisms(mechanisms=mechanisms), 0)
        elif header == AMQP_HEADER and not self._opened:
            self._output += AMQP_HEADER
        else:  # the answer to any other header is the one that this side speaks, and the end
            self._output += AMQP_HEADER
            self._closing = True

    def _frame(self, incoming: Incoming) -> None:
        performative, channel = incoming.performative, incoming.channel
        if isinstance(performative, SaslInit):
            known = performative.mechanism == "ANONYMOUS"
            self.send(SaslOutcome(outcome=UByte(_SASL_OK if known else _SASL_AUTH)), 0)
            self._closing = not known
        elif isinstance(performative, Open):
            self._open(performative)
        elif not self._opened:
            raise RefusedError(faults.ILLEGAL_STATE, f"{type(performative).__name__} before open")
        elif isinstance(performative, Begin):
            if channel in self._sessions or channel > CHANNEL_MAX:
                raise RefusedError(faults.NOT_ALLOWED, f"channel {channel} is in use or too high")
            self._ended.discard(channel)
            self._sessions[channel] = Session(self, channel, performative, self._dispatcher)
        elif isinstance(performative, Close):
            self.send(Close(), 0)
            self._closing = True
        elif channel in self._ended:
            pass  # azure-servicebus detaches the links of a session after it has ended it
        elif channel not in self._sessions:
            raise RefusedError(faults.ILLEGAL_STATE, f"a frame on channel {channel}, which has no session")
        elif isinstance(performative, End):
            self._sessions.pop(channel).close()
            self._ended.add(channel)
            self.send(End(), channel)
        else:
            self._sessions[channel].handle(performative, incoming.payload)

    def _open(self, opening: Open) -> None:
        if self._opened:
            raise RefusedError(faults.ILLEGAL_STATE, "a second open")
        self._opened = True
        if opening.idle_time_out and opening.idle_time_out < _MIN_IDLE_MS:
            raise RefusedError(faults.NOT_ALLOWED, f"an idle time of less than {_MIN_IDLE_MS} ms cannot be kept")
        if opening.max_frame_size is not None:
            self.max_frame_size = max(_MIN_FRAME_SIZE, min(MAX_FRAME_SIZE, opening.max_frame_size))
        self.send(
            Open(
                container_id="local-servicebus",
                idle_time_out=UInt(_IDLE_MS),
                max_frame_size=UInt(MAX_FRAME_SIZE),
                channel_max=UShort(CHANNEL_MAX),
                properties={Symbol("product"): "local Service Bus"},
            ),
            0,
        )
        if opening.idle_time_out:
            self._beat(opening.idle_time_out / 2_000)

    def _beat(self, seconds: float) -> None:
        """The client hangs up when it hears nothing for its idle time: an empty frame at each half of it."""
        if self._opened and self._heartbeat is not None:
            self._output += EMPTY_FRAME
            self._dirty(self)
        self._heartbeat = asyncio.get_running_loop().call_later(seconds, self._beat, seconds)

    def _await_word(self) -> None:
        """Hang up on a client that says nothing any more, be it gone without a word: what it held comes back."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._heard + _FORCED_SECONDS:
            self._silence = loop.call_at(self._heard + _FORCED_SECONDS, self._await_word)
            return
        self._fail(RefusedError(faults.FORCED, f"nothing was heard for {_FORCED_SECONDS:.0f} seconds"))
        self._dirty(self)
        self._silence = loop.call_later(_LAST_WORD_SECONDS, self.abort)

    def _fail(self, refused: RefusedError) -> None:
        _LOG.warning("connection closed: %s", refused)
        if self._opened:
            self.send(Close(error=error(refused.condition, refused.description)), 0)
        self._closing = True
