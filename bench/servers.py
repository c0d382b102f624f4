"""The local servers for a measurement, as near as they are and 20 ms away."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.delay_proxy import delayed
from local.prepare import prepare
from local.servers import Ports, Stack, settings
from shared.config import Config

LATENCY = 0.020
"""Seconds that are added to a round trip: half in each direction."""


@contextmanager
def servers(root: Path) -> Iterator[tuple[Mapping[str, str], Mapping[str, str]]]:
    """The settings that reach the servers, and those by which each server is LATENCY away."""
    stack = Stack(root, Ports.free())
    with ExitStack() as undo:
        undo.callback(stack.stop)
        stack.start()
        asyncio.run(prepare(Config(values=stack.settings)))
        far = {}
        for name, process in (("blob", stack.azurite), ("cosmos", stack.cosmos), ("bus", stack.servicebus)):
            proxy = delayed(root, process.program.port, LATENCY / 2)
            undo.callback(proxy.stop)
            proxy.start()
            proxy.wait_ready()
            far[name] = proxy.program.port
        yield stack.settings, settings(Ports(**far))


def ending() -> None:
    """Let SIGTERM end this process as Ctrl-C does: the servers it started are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
