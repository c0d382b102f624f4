"""A wire between a client and a server of the tests: a TCP proxy that can refuse connections, or fall silent.

`cut` does what a stopped server does: connections break, and new ones are refused. `silence` does what a lost route
does: connections stay, new ones are taken, and nobody ever says a word. `mend` ends either; with `forgotten` what was
silent stays so for ever, as behind a firewall that has forgotten its connections.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from local.processes import HOST

CHUNK = 1 << 16


class Link:
    """One connection, client to server."""

    def __init__(self, wire: "Wire", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._wire = wire
        self._client = (reader, writer)
        self._writers = [writer]
        self.lost = False

    async def run(self) -> None:
        try:
            await self._pass()
            there, to = await asyncio.open_connection(HOST, self._wire.target)
            self._writers.append(to)
            reader, writer = self._client
            await asyncio.gather(self._pump(reader, to), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._pass()
            writer.write(data)
            await writer.drain()
        await self._pass()
        with suppress(OSError):
            writer.write_eof()

    async def _pass(self) -> None:
        await self._wire.flowing.wait()
        if self.lost:
            await asyncio.Event().wait()


class Wire:
    """See the module. Runs in a thread of its own, so that whatever a test does, it goes on."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._links: dict[asyncio.Task[None], Link] = {}
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._begin())

    def cut(self) -> None:
        self._do(self._cut())

    def silence(self) -> None:
        self._do(self._silence())

    def mend(self, *, forgotten: bool = False) -> None:
        self._do(self._mend(forgotten=forgotten))

    def close(self) -> None:
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _begin(self) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, reader, writer)
        task = asyncio.ensure_future(link.run())
        self._links[task] = link
        task.add_done_callback(self._links.pop)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _silence(self) -> None:
        self.flowing.clear()

    async def _mend(self, *, forgotten: bool) -> None:
        if forgotten:
            for link in self._links.values():
                link.lost = True
        self.flowing.set()
        if self._server is None:
            await self._listen()


@contextmanager
def wire(target: int) -> Iterator[Wire]:
    made = Wire(target)
    try:
        yield made
    finally:
        made.close()
