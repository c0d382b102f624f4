"""Doors before the local servers, one for each role and service: what the role may do passes as it is, byte for byte.

The signatures of requests stay valid, for neither path nor date changes, and the Host header is not signed. What a role
may not do is answered as the service answers it: 403 AuthorizationPermissionMismatch, 403 of Cosmos DB, a link that is
detached with amqp:unauthorized-access. What the model cannot map is answered 501. All of it is remembered. A batch of
which one request is refused is refused whole here; the service would answer each by itself.
"""

import asyncio
import contextlib
import json
import struct
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rights.blob_needs import blob_needs
from rights.cosmos_needs import cosmos_needs
from rights.model import Need, Rights, Seen, UnmappedError

from local.processes import HOST
from local.servers import Ports, settings
from local.servicebus.addresses import Node, parse_address
from local.servicebus.attach import refuse_attach
from local.servicebus.frames import FrameReader, Incoming, frame
from local.servicebus.performatives import Attach, Detach, described_list, error, item

_ENTITIES = Path(__file__).parents[2] / "local" / "entities.json"
_HEADER = struct.Struct(">IBBH")
_UNAUTHORIZED = "amqp:unauthorized-access"
_DENIED = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>refused at the door of this test</Message></Error>"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamWriter], Awaitable[None]]
"""(from the client, to the client, to the server): relays until the client hangs up."""


@dataclass(kw_only=True)
class Door:
    """What one role brings to one service: judges its requests."""

    who: str
    rights: Rights
    seen: Seen

    def judge(self, needs: Iterable[Need]) -> bool:
        """Whether all is allowed."""
        refused = [need for need in needs if not self.rights.allowing(need)]
        self.seen.refused += refused
        if not refused:
            self.seen.needs.update(needs)
        return not refused


@dataclass(kw_only=True)
class HttpDoor(Door):
    """To the Blob service or to Cosmos DB."""

    is_blob: bool

    async def serve(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        """One request after another: the next comes when the answer to the last is there."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
            assert "transfer-encoding" not in headers, "a request of unknown length: the SDKs send none"
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            answer = self._answer(method, target, headers, body)
            (server if answer is None else client).write(answer or head + body)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes | None:
        map_needs = blob_needs if self.is_blob else cosmos_needs
        try:
            needs = map_needs(self.who, method, target, headers, body)
        except UnmappedError as unmapped:
            self.seen.unmapped.append(f"{self.who}: {unmapped}")
            return self._said(501, "NotModelled", method)
        return None if self.judge(needs) else self._said(403, "AuthorizationPermissionMismatch", method)

    def _said(self, status: int, code: str, method: str) -> bytes:
        if self.is_blob:
            body, more = _DENIED % code.encode(), f"x-ms-error-code: {code}\r\nContent-Type: application/xml\r\n"
        else:
            text = {"code": "Forbidden", "message": f"{code}: refused at the door of this test"}
            body, more = json.dumps(text).encode(), "x-ms-substatus: 5301\r\nContent-Type: application/json\r\n"
        length = f"Content-Length: {len(body)}\r\n"
        shown = b"" if method == "HEAD" else body
        return f"HTTP/1.1 {status} Refused\r\n{more}{length}\r\n".encode() + shown


@dataclass(kw_only=True)
class BusDoor(Door):
    """To Service Bus: each link that a client attaches is judged by its address and direction."""

    kinds: Mapping[str, str]

    async def serve(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        """Frame after frame; what belongs to a link that was refused goes no further."""
        shut: set[tuple[int, int]] = set()
        while True:
            head = await reader.readexactly(8)
            if head.startswith(b"AMQP"):
                server.write(head)
                continue
            data = head + await reader.readexactly(_HEADER.unpack(head)[0] - 8)
            found = next(iter(FrameReader().feed(data)), None)
            if not isinstance(found, Incoming):
                server.write(data)
                continue
            link = (found.channel, getattr(found.performative, "handle", None))
            if isinstance(found.performative, Attach) and not self._may(found.performative):
                shut.add(link)
                detach = Detach(
                    handle=found.performative.handle, closed=True, error=error(_UNAUTHORIZED, "refused at the door")
                )
                client.write(frame(refuse_attach(found.performative), found.channel) + frame(detach, found.channel))
            elif link not in shut:
                server.write(data)
            elif isinstance(found.performative, Detach):
                shut.discard(link)

    def _may(self, attach: Attach) -> bool:
        _, values = described_list(attach.source if attach.role else attach.target)
        address = parse_address(item(values, 0))
        if address.node is Node.TOKENS:
            return True
        verbs = ["receive"] if attach.role else ["send"]
        if address.node is Node.MANAGEMENT:  # renewing locks and peeking are for receivers, scheduling for senders
            verbs = ["receive", "send"]
        entity = address.path.removesuffix("/$deadletterqueue")
        if entity not in self.kinds:
            self.seen.unmapped.append(f"{self.who}: a link to an entity that local/entities.json has not")
            return False
        actions = tuple(f"Microsoft.ServiceBus/namespaces/messages/{verb}/action" for verb in verbs)
        place = ("bus", self.kinds[entity], entity.rpartition("/")[2])
        return self.judge([Need(who=self.who, actions=actions, place=place)])


def entities() -> dict[str, str]:
    """queue, topic or subscription, by the path of a link's address."""
    [namespace] = json.loads(_ENTITIES.read_text())["UserConfig"]["Namespaces"]
    found = {each["Name"]: "queue" for each in namespace["Queues"]}
    for topic in namespace["Topics"]:
        found[topic["Name"]] = "topic"
        found |= {f"{topic['Name']}/subscriptions/{each['Name']}": "subscription" for each in topic["Subscriptions"]}
    return found


class Doors:
    """Runs doors on free ports of the loopback address, in a thread with a loop of its own."""

    def __init__(self, rights: Rights, seen: Seen) -> None:
        self._rights = rights
        self._seen = seen
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @contextlib.contextmanager
    def open(self) -> Iterator["Doors"]:
        """Run until the end of the block."""
        self._thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def blob(self, who: str, port: int) -> int:
        """The port of a door to the Blob service at `port`."""
        return self._add(HttpDoor(who=who, rights=self._rights, seen=self._seen, is_blob=True).serve, port)

    def cosmos(self, who: str, port: int) -> int:
        """The port of a door to Cosmos DB at `port`."""
        return self._add(HttpDoor(who=who, rights=self._rights, seen=self._seen, is_blob=False).serve, port)

    def bus(self, who: str, port: int) -> int:
        """The port of a door to Service Bus at `port`."""
        return self._add(BusDoor(who=who, rights=self._rights, seen=self._seen, kinds=entities()).serve, port)

    def _add(self, serve: Serve, port: int) -> int:
        async def relay(reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
            back, server = await asyncio.open_connection(HOST, port)
            answers = asyncio.create_task(_pump(back, client))
            # IncompleteReadError: the client hung up; CancelledError: the doors close, and streams log what is left
            with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                await serve(reader, client, server)
            server.close()
            answers.cancel()
            client.close()

        async def listen() -> int:
            listener = await asyncio.start_server(relay, HOST, 0, limit=2**26)
            port: int = listener.sockets[0].getsockname()[1]
            return port

        return asyncio.run_coroutine_threadsafe(listen(), self._loop).result(10)

    async def _close(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def behind(doors: Doors, ports: Ports, who: str) -> dict[str, str]:
    """The settings that lead to the servers through the doors of this role."""
    blob, cosmos, bus = doors.blob(who, ports.blob), doors.cosmos(who, ports.cosmos), doors.bus(who, ports.bus)
    return settings(Ports(blob=blob, cosmos=cosmos, bus=bus), role=who if who in ("pipeline", "ledger") else "all")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bring the server's answers to the client, as they come; hang up when the server does."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()
