"""Servers of a test's own, the app's own functions on them, and the console script: for tests of counts and of crashes.

The timers of the app fire when a test tells them to, and never by the clock.
"""

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.prepare import prepare
from local.processes import Process, free_port
from local.servers import Ports, Stack, runner, settings_file
from shared.config import SETTINGS, Config

SCRIPT = Path(sys.executable).parent / "retention"
ELSEWHERE = {name: value for name, value in os.environ.items() if name.split("__")[0] not in {s.name for s in SETTINGS}}


@contextmanager
def servers(home: Path) -> Iterator[Stack]:
    """The three local servers, with their data in `home`."""
    stack = Stack(home, Ports.free())
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def of_role(role: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Those that an app of this role has on Azure: of the product's own, what its functions read and no more."""
    others = {each.name for each in SETTINGS if role not in each.roles}
    return {name: value for name, value in settings.items() if name not in others}


def send(connection: str, *bodies: bytes, queue: str = "requests", **options: int) -> None:
    """Send messages in this order, as operations do."""
    with (
        ServiceBusClient.from_connection_string(connection, **options) as client,
        client.get_queue_sender(queue) as sender,
    ):
        for body in bodies:
            sender.send_messages(ServiceBusMessage(body, message_id=str(uuid4())))


def fire(app: Process, *timers: str, seconds: float = 60) -> None:
    """Let timers fire once. Returns when the functions have ended; an HTTPError says that one failed."""
    for name in timers:
        url = f"{app.url.rstrip('/')}/admin/functions/{name}"
        urllib.request.urlopen(urllib.request.Request(url, data=b"{}", method="POST"), timeout=seconds).close()


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a child; no failure that is expected shows a traceback."""
    out, err = child.communicate(timeout=60)
    assert "Traceback" not in err, err
    return child.returncode, out, err


@dataclass
class Running:
    """Servers, an app on them, and the console script in a folder of its own."""

    stack: Stack
    app: Process
    home: Path

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        environment = {**ELSEWHERE, "RETENTION_SETTINGS": str(self.home / "settings.json"), **settings}
        return subprocess.Popen(
            [SCRIPT, *arguments],
            cwd=self.home,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def retention(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        return ended(self.start(*arguments, **settings))

    def send(self, body: bytes) -> None:
        send(self.stack.settings["ServiceBus"], body)

    def fire(self, *timers: str) -> None:
        fire(self.app, *timers)

    def until(self, found: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not found():
            assert time.monotonic() < end, self.app.log_tail()
            time.sleep(0.2)  # between two looks at what another process does


@contextmanager
def running(
    home: Path, before: Callable[[Config], Awaitable[None]] | None = None, **settings: str
) -> Iterator[Running]:
    """Everything under `home`: prepared, `before` carried out, then the app with these settings besides."""
    with servers(home) as stack:
        values = {**stack.settings, **settings}
        (home / "settings.json").write_text(settings_file(values))
        config = Config(values=stack.settings)
        asyncio.run(prepare(config))
        if before is not None:
            asyncio.run(before(config))
        app = Process(runner(home, free_port(), values, manual_timers=True), home)
        try:
            app.start()
            app.wait_ready()
            yield Running(stack=stack, app=app, home=home)
        finally:
            app.stop()
