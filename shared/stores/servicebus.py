"""Queues and the topic on Azure Service Bus: one sender each, opened at first use and kept (opening costs a second).

Dead letters are counted by peeking at them, which needs the right to receive, and takes and changes nothing. On Azure
people may send only: they are told so, and the platform's own metric counts for them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import ServiceBusAuthorizationError

from shared.errors import TransientError

SECONDS = 30  # that one call may take: the client itself waits without end where a connection was lost silently
CLOSING_SECONDS = 5


async def dead_letters(
    client: ServiceBusClient, queue: str, *, most: int
) -> int | Literal["no right to receive"] | None:
    """How many dead letters a queue has, counted up to `most`; None where Service Bus gives no answer."""
    try:
        async with (
            asyncio.timeout(SECONDS),
            client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver,
        ):
            return len(await receiver.peek_messages(max_message_count=most))
    except ServiceBusAuthorizationError:
        return "no right to receive"
    except (AzureError, OSError):  # a TimeoutError is an OSError
        return None


class BusSender:
    """Sends to one queue or topic. A sender that failed, or got no answer in time, is opened anew by the next send."""

    def __init__(
        self,
        client: ServiceBusClient,
        *,
        queue: str = "",
        topic: str = "",
        content_type: str = "application/json",
        seconds: float = SECONDS,
    ) -> None:
        self._client = client
        self._queue = queue
        self._topic = topic
        self._content_type = content_type
        self._seconds = seconds
        self._sender: ServiceBusSender | None = None
        self._lock = asyncio.Lock()

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        """Send one message durably. Raises TransientError."""
        message = ServiceBusMessage(body, message_id=message_id, session_id=session_id, content_type=self._content_type)
        try:
            async with self._lock, asyncio.timeout(self._seconds):  # the SDK's sender takes one send at a time
                if self._sender is None:
                    self._sender = (
                        self._client.get_queue_sender(self._queue)
                        if self._queue
                        else self._client.get_topic_sender(self._topic)
                    )
                await self._sender.send_messages(message)
        except (AzureError, OSError) as error:  # a ServiceBusError is an AzureError; so is a credential that fails
            await self.close()
            raise TransientError(f"Service Bus: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the sender, if there is one: where nobody answers to that either, it is left alone."""
        sender, self._sender = self._sender, None
        if sender is not None:
            with suppress(AzureError, OSError):  # a TimeoutError is an OSError
                async with asyncio.timeout(CLOSING_SECONDS):
                    await sender.close()
