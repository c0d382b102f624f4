"""Serves an ASGI application on a free port of 127.0.0.1, in a thread, for as long as a `with` block lasts."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from local.processes import HOST

SECONDS = 10.0


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Yield the URL, without a final slash. Raises RuntimeError when the server does not come up."""
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.set()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:  # signals belong to the process, not to this thread
            yield

    config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False, date_header=False)
    server = Server(config)
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            if not ready.wait(SECONDS):
                raise RuntimeError("the server did not come up")
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(SECONDS)
