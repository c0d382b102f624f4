"""The server: one event loop, one thread, and the order in which things become true.

Whatever arrives in one turn of the loop is done in memory; then its changes are committed in one transaction; only
then anything is written to any client (output commit). So nobody hears of what a crash could undo, and the more clients
there are, the more share one fsync. A disk that refuses ends the server: it must not acknowledge what it cannot keep.
"""

import asyncio
import time
from pathlib import Path

from local.servicebus.broker import Broker
from local.servicebus.connection import Connection
from local.servicebus.dispatch import Dispatcher
from local.servicebus.entities import Namespace
from local.servicebus.store import Store

_MS = 1_000
# The clock has whole milliseconds: a timer that fires within one of its time finds it past.
_TIMER_SLACK = 0.001


class Clock:
    """The system's time in whole milliseconds, which never goes back while the server runs."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        """Milliseconds since the Unix epoch."""
        self._last = max(self._last, time.time_ns() // 1_000_000)
        return self._last


class Server:
    """The local Service Bus.

    Args:
        namespace: its entities.
        store: what survives; everything in it is served again.

    Made inside a running loop. ``failed`` gets the exception that made the server give up, if one does.
    """

    def __init__(self, namespace: Namespace, store: Store) -> None:
        self._store = store
        self._broker = Broker(namespace, Clock())
        self._broker.restore(store.load())
        self._dispatcher = Dispatcher(self._broker)
        self._connections: set[Connection] = set()
        self._dirty: dict[Connection, None] = {}
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Server | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, host: str, port: int) -> int:
        """Listens; the port, chosen by the system when ``port`` is 0."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connect, host, port)
        self._wake()
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Hangs up on everybody; what was not committed was not acknowledged."""
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self._connections):
            connection.abort()
        for handle in (self._turn, self._timer):
            if handle is not None:
                handle.cancel()
        await asyncio.sleep(0)

    def _connect(self) -> Connection:
        connection = Connection(self._dispatcher, self._touch, self._forget)
        self._connections.add(connection)
        return connection

    def _touch(self, connection: Connection) -> None:
        self._dirty[connection] = None
        self._wake()

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._dirty.pop(connection, None)
        self._wake()

    def _wake(self) -> None:
        """Asks for a turn after what is happening now."""
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Does what is due, commits, and only then lets out what was written."""
        try:
            self._dispatcher.run()
            self._store.commit(self._broker.take_changes())
        except Exception as error:  # noqa: BLE001 (the disk's or our own fault: nothing may be acknowledged any more)
            self._fail(error)
            return
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            connection.flush()
        self._turn = None
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._dispatcher.next_due()
        if due is not None:
            delay = max(0, due - self._broker.clock()) / _MS + _TIMER_SLACK
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _fail(self, error: Exception) -> None:
        # _turn stays set, so that there is never another one: memory is ahead of the disk now.
        for connection in tuple(self._connections):
            connection.abort()
        if not self.failed.done():
            self.failed.set_exception(error)


async def serve(namespace: Namespace, data: Path, host: str, port: int, stop: asyncio.Event) -> None:
    """Serves until ``stop`` is set; prints ``ready sb://HOST:PORT`` when it listens. Raises StoreError, OSError."""
    with Store(data) as store:
        server = Server(namespace, store)
        bound = await server.start(host, port)
        print(f"ready sb://{host}:{bound}", flush=True)  # noqa: T201 (what the starting process waits for)
        server.failed.add_done_callback(lambda _: stop.set())
        try:
            await stop.wait()
        finally:
            await server.stop()
        if server.failed.done():
            server.failed.result()
