"""The local Service Bus without its network: real server, real store, and clients whose bytes are handed over by hand.

An exception that a connection lets out is the caller's to see; one inside a turn sets the server's `failed`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from local.servicebus.connection import Connection
from local.servicebus.encoding import encode
from local.servicebus.entities import Namespace, QueueSpec, TopicSpec
from local.servicebus.frames import AMQP_HEADER, FrameReader, Incoming, frame
from local.servicebus.performatives import (
    SOURCE,
    TARGET,
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Open,
    Performative,
    Transfer,
    described_list,
)
from local.servicebus.server import Server
from local.servicebus.store import Store
from local.servicebus.values import Described, Symbol, UByte, UInt, ULong

NAMESPACE = Namespace(
    queues=(
        QueueSpec(name="plain", max_delivery_count=3),
        QueueSpec(name="unique", duplicate_window_ms=20_000),
        QueueSpec(name="expiring", dead_letter_expired=True),
        QueueSpec(name="sessions", requires_session=True),
    ),
    topics=(TopicSpec(name="topic", subscriptions=(QueueSpec(name="one"), QueueSpec(name="two"))),),
)
WINDOW = UInt(5_000)


class Wire(asyncio.Transport):
    """What a connection writes to; nothing is ever full."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = self.paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@dataclass(kw_only=True)
class Client:
    """One connection; `seconds` is the most CPU time that one handing over took."""

    connection: Connection
    wire: Wire = field(default_factory=Wire)
    seconds: float = 0.0

    async def give(self, data: bytes) -> None:
        """Hand bytes over, and let the server take its turn."""
        begun = time.process_time()
        self.connection.data_received(data)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.seconds = max(self.seconds, time.process_time() - begun)

    async def say(self, *performatives: Performative, channel: int = 0) -> list[Performative]:
        """Send frames, the last with what came of them; what the server answered."""
        await self.give(b"".join(frame(each, channel) for each in performatives))
        return self.heard()

    def heard(self) -> list[Performative]:
        """What the server wrote since the last call."""
        data = bytes(self.wire.written)
        self.wire.written.clear()
        return [each.performative for each in FrameReader().feed(data) if isinstance(each, Incoming)]

    async def begin(self) -> None:
        """An open connection with a session on channel 0."""
        window = Begin(next_outgoing_id=UInt(0), incoming_window=WINDOW, outgoing_window=WINDOW)
        await self.give(AMQP_HEADER + frame(Open(container_id="c")) + frame(window))
        self.heard()

    async def send(self, raw: bytes, address: str = "plain", message_format: int = 0) -> tuple[str, int]:
        """Send a message on a link of its own; what became of it: ("attach", 0) or ("disposition", outcome)."""
        handle = UInt(7)
        answers = await self.say(attach(handle, address, role=False))
        if any(isinstance(each, Detach) for each in answers):
            return "attach", 0
        await self.give(frame(transfer(handle, message_format), 0, raw))
        for each in self.heard():
            if isinstance(each, Disposition):
                return "disposition", described_list(each.state)[0]
        return "nothing", 0

    def hang_up(self) -> None:
        self.wire.closed = True
        self.connection.connection_lost(None)


def attach(handle: int, address: str, *, role: bool, session: str | None = None) -> Attach:
    """A link as the SDK attaches one; role true receives."""
    wanted = [] if session is None else [*[None] * 6, {Symbol("com.microsoft:session-filter"): session}]
    end = Described(ULong(SOURCE if role else TARGET), [address, *wanted])
    other = Described(ULong(TARGET if role else SOURCE), [])
    return Attach(
        name=f"link {handle}",
        handle=UInt(handle),
        role=role,
        snd_settle_mode=UByte(0),
        source=end if role else other,
        target=other if role else end,
        initial_delivery_count=None if role else UInt(0),
    )


def transfer(handle: int, message_format: int = 0) -> Transfer:
    """The only frame of a message."""
    return Transfer(
        handle=UInt(handle),
        delivery_id=UInt(1),
        delivery_tag=b"t",
        message_format=UInt(message_format),
        more=False,
    )


def sections(*parts: tuple[int, object]) -> bytes:
    """A message of these sections, each its code and value."""
    return b"".join(encode(Described(ULong(code), value)) for code, value in parts)


def credit(handle: int, count: int) -> Flow:
    return Flow(
        next_incoming_id=UInt(2**30),
        incoming_window=WINDOW,
        next_outgoing_id=UInt(0),
        outgoing_window=WINDOW,
        handle=UInt(handle),
        delivery_count=UInt(0),
        link_credit=UInt(count),
    )


@dataclass(kw_only=True)
class BusAtHand:
    """A server on a folder of its own."""

    server: Server
    store: Store

    def client(self) -> Client:
        client = Client(connection=self.server._connect())
        client.connection.connection_made(client.wire)
        return client

    def check(self) -> None:
        """The server goes on."""
        if self.server.failed.done():
            self.server.failed.result()
            raise AssertionError("it ended")


@contextlib.asynccontextmanager
async def bus_at_hand(folder: Path, namespace: Namespace = NAMESPACE) -> AsyncIterator[BusAtHand]:
    with Store(folder) as store:
        server = Server(namespace, store)
        yield BusAtHand(server=server, store=store)
        await server.stop()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The server warns of each connection that it closes: here that is every other one."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
