"""The runner's listeners, when the broker falls silent while they connect: they connect anew, as the platform's do."""

import asyncio
from datetime import timedelta
from pathlib import Path

import azure.functions as func
import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from wire import wire

from local import servers
from local.processes import Process, free_port
from local.runner import queues
from local.runner.app import BusOptions, Function, Queue


@pytest.mark.parametrize(
    ("name", "many", "sessions"),
    [("requests", False, False), ("ledger", True, False), ("requests-work", False, True)],
)
async def test_a_listener_whose_connection_was_lost_while_it_was_made_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, many: bool, sessions: bool
) -> None:
    for constant in ("_PATIENCE_SECONDS", "_CLOSE_SECONDS", "_ACCEPT_SECONDS"):
        monkeypatch.setattr(queues, constant, 4.0)
    handled = asyncio.Event()

    async def handler(msg: func.ServiceBusMessage) -> None:
        handled.set()

    trigger = Queue(name=name, connection="ServiceBus", many=many, sessions=sessions)
    function = Function(name="it", handler=handler, parameter="msg", trigger=trigger)
    options = BusOptions(session_idle_timeout=timedelta(seconds=1))
    port = free_port()
    broker = Process(servers.servicebus(tmp_path, port), tmp_path)
    broker.start()
    broker.wait_ready()
    try:
        with wire(port) as between:
            between.silence()
            far = servers.settings(servers.Ports(bus=between.port))["ServiceBus"]
            stopping = asyncio.Event()
            loop = queues.queue_loop(
                function, trigger, lambda: ServiceBusClient.from_connection_string(far), options, stopping
            )
            running = asyncio.create_task(loop.run())
            await asyncio.sleep(1)
            between.mend(forgotten=True)
            near = servers.settings(servers.Ports(bus=port))["ServiceBus"]
            async with ServiceBusClient.from_connection_string(near) as client, client.get_queue_sender(name) as sender:
                await sender.send_messages(ServiceBusMessage(b"{}", session_id="s" if sessions else None))
            async with asyncio.timeout(90):
                await handled.wait()
                stopping.set()
                await running
    finally:
        broker.stop()
