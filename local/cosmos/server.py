"""The HTTP side of the local Cosmos DB server: an ASGI application, and the process that serves it.

Requests are carried out one at a time, in the event loop's thread: SQLite answers in well under a millisecond, and
nothing has to be locked.
"""

import asyncio
import contextlib
import ipaddress
import signal
import socket
import uuid
from collections.abc import Generator
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from local.cosmos import EMULATOR_KEY
from local.cosmos.authentication import check_signature
from local.cosmos.clock import Clock
from local.cosmos.errors import RefusedError
from local.cosmos.gateway import Gateway
from local.cosmos.items import MAX_ITEM_BYTES
from local.cosmos.levers import PREFIX, Fault, Levers
from local.cosmos.messages import Call, Reply
from local.cosmos.storage import Storage
from local.cosmos.values import to_json

DROP_CONNECTION = 0
_KEEP_ALIVE_SECONDS = 3600  # a client's idle connection must not end under its next request


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1 connection, which can also be cut from outside."""

    transports: ClassVar[dict[tuple[str, int], asyncio.Transport]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own is
        """Remember the connection by its client's address."""
        # asyncio does it only for sockets that were made with an explicit protocol number; without it each answer
        # waits 40 ms for the client's delayed acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        if self.client is not None:
            self.transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self.client is not None:
            self.transports.pop(self.client, None)
        super().connection_lost(exc)


class Application:
    """The ASGI application.

    :param storage: the data.
    :param range_count: partition key ranges of a new container.
    """

    def __init__(self, storage: Storage, range_count: int) -> None:
        self._clock = Clock(storage)
        self._gateway = Gateway(storage, self._clock, range_count)
        self._levers = Levers(clock=self._clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        body = await _body(request)
        segments = tuple(part for part in scope["path"].split("/") if part)
        if segments[:1] == (PREFIX,):
            reply = self._pull_lever(request, segments, body)
        else:
            call = Call(
                method=request.method,
                segments=segments,
                headers=dict(request.headers),
                body=body,
                endpoint=str(request.base_url),
            )
            answered = self._answer(call, scope["path"])
            if answered is None:
                await _drop(scope, receive)
                return
            reply = answered
        response = Response(reply.body, status_code=reply.status, headers=self._headers(reply, request))
        await response(scope, receive, send)

    def _pull_lever(self, request: Request, segments: tuple[str, ...], body: bytes) -> Reply:
        if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
            return _refusal(RefusedError(HTTPStatus.FORBIDDEN, "levers answer to loopback only"))
        try:
            return Reply(body=to_json(self._levers.handle(request.method, "/".join(segments[1:]), body)))
        except RefusedError as error:
            return _refusal(error)

    def _answer(self, call: Call, path: str) -> Reply | None:
        """The reply, or None to drop the connection."""
        try:
            check_signature(
                key=EMULATOR_KEY,
                method=call.method,
                segments=call.segments,
                by_rid=self._gateway.names_rid(call.segments),
                headers=call.headers,
            )
            fault = self._levers.take_fault(call.method, path)
            if fault is not None and not fault.applied:
                return _fault_reply(fault)
            reply = self._gateway.handle(call)
        except RefusedError as error:
            return _refusal(error)
        return reply if fault is None else _fault_reply(fault)

    def _headers(self, reply: Reply, request: Request) -> dict[str, str]:
        common = {
            "date": self._clock.http_date(),
            "x-ms-request-charge": "1",
            "x-ms-activity-id": request.headers.get("x-ms-activity-id", str(uuid.uuid4())),
        }
        if reply.body:
            common["content-type"] = "application/json"
        return {**common, **reply.headers}


async def _body(request: Request) -> bytes:
    """The body, read to its end and kept as far as one is looked at: what is longer is refused for its length."""
    kept = bytearray()
    async for part in request.stream():
        kept += part[: MAX_ITEM_BYTES + 1 - len(kept)]
    return bytes(kept)


def _refusal(error: RefusedError) -> Reply:
    headers = {"x-ms-substatus": str(error.substatus)} if error.substatus else {}
    return Reply(status=error.status, body=to_json({"code": error.code, "message": error.message}), headers=headers)


def _fault_reply(fault: Fault) -> Reply | None:
    if fault.status == DROP_CONNECTION:
        return None
    body = to_json({"code": "InjectedFault", "message": "a fault injected by a test"})
    wait = fault.retry_after_ms
    return Reply(status=fault.status, body=body, headers={} if wait is None else {"x-ms-retry-after-ms": str(wait)})


async def _drop(scope: Scope, receive: Receive) -> None:
    """Cut the connection and wait until uvicorn has seen it: it would answer 500 otherwise."""
    Protocol.transports[scope["client"]].abort()
    message: dict[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = dict(await receive())


class _Server(uvicorn.Server):
    """uvicorn, which says when it is ready and ends with status 0 when it is told to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            print(f"ready http://{host}:{port}/", flush=True)  # noqa: T201 - the line that whoever starts us waits for


def serve(*, data: Path, host: str, port: int, range_count: int) -> None:
    """Serve until SIGTERM or SIGINT.

    :param data: the database file; created when missing.
    :param port: 0 for a free one; the line ``ready http://HOST:PORT/`` on stdout tells which.
    :param range_count: partition key ranges of a new container.
    """
    storage = Storage(data)
    config = uvicorn.Config(
        Application(storage, range_count),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5,
    )
    with contextlib.closing(storage), socket.create_server((host, port), reuse_port=False) as listener:
        _Server(config).run(sockets=[listener])
