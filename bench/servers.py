"""The local servers for a measurement, as near as they are and 20 ms away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from azure.storage.blob.aio import BlobServiceClient

from bench.delay_proxy import delayed
from local.prepare import prepare
from local.servers import Ports, Stack, settings
from shared.config import Config
from shared.containers import OWN_CONTAINERS

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


async def own_containers(values: Mapping[str, str]) -> None:
    """Make the product's own containers on an account that has none, and nothing else."""
    for own in OWN_CONTAINERS:
        async with BlobServiceClient.from_connection_string(values[own.account]) as service:
            await service.create_container(own.name)
