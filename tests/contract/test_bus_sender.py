"""The sender to a queue, over a wire that can fall silent: no send waits without end, and the next one goes through."""

import time

import pytest
from azure.servicebus.aio import ServiceBusClient
from wire import wire

from local import servers
from local.processes import Process
from shared.errors import TransientError
from shared.stores.servicebus import BusSender


async def test_a_send_over_a_connection_that_was_lost_silently_ends_in_time_and_the_next_one_opens_another(
    servicebus: Process,
) -> None:
    with wire(servicebus.program.port) as between:
        text = servers.settings(servers.Ports(bus=between.port))["ServiceBus"]
        async with ServiceBusClient.from_connection_string(text) as client:
            sender = BusSender(client, queue="requests", seconds=1.5)
            await sender.send(b"{}", message_id="1")
            between.silence()
            between.mend(forgotten=True)
            began = time.monotonic()
            with pytest.raises(TransientError):
                await sender.send(b"{}", message_id="2")
            assert time.monotonic() - began < 20
            await BusSender(client, queue="requests").send(b"{}", message_id="3")
            await sender.close()
