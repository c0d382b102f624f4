"""Connections: from the settings to the clients of the services that every role has, and to the product's own stores.

Clients are built when a role first needs them and live as long as the process; nothing is built at import. The data
that is governed is reached by `shared.governed`, which role ledger does without.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any, Literal, Self, TypeVar

from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from shared.config import Config
from shared.containers import OWN_CONTAINERS
from shared.errors import ConfigError
from shared.policy import Policy
from shared.policy_file import load
from shared.stores.blob import BlobObjects, client_options
from shared.stores.servicebus import BusSender, dead_letters

TOPIC = "audit"

Some = TypeVar("Some", bound="Connections")


class Connections:
    """The clients of the services, built on demand. Use `async with`, or `close` it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._stack = AsyncExitStack()
        self._blobs: dict[str, BlobServiceClient] = {}
        self._senders: dict[str, BusSender] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every client."""
        for sender in self._senders.values():
            await sender.close()
        await self._stack.aclose()

    # ------------------------------------------------------------ clients

    def _credential(self, connection: str) -> Any:
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - slow to import, unneeded with keys

        credential = DefaultAzureCredential(managed_identity_client_id=self.config.client_id(connection))
        self._stack.push_async_callback(credential.close)
        return credential

    def blobs(self, setting: str) -> BlobServiceClient:
        """The account that a setting names."""
        if setting not in self._blobs:
            how, where = self.config.connection(setting, "serviceUri")
            try:
                if how == "identity":
                    credential = self._credential(setting)
                    client = BlobServiceClient(where, credential=credential, **client_options())
                else:
                    client = BlobServiceClient.from_connection_string(where, **client_options())
            except ValueError:
                raise ConfigError(f"setting {setting} is no connection string of a storage account") from None
            self._stack.push_async_callback(client.close)
            self._blobs[setting] = client
        return self._blobs[setting]

    @cached_property
    def bus(self) -> ServiceBusClient:
        """Service Bus."""
        how, where = self.config.connection("ServiceBus", "fullyQualifiedNamespace")
        try:
            if how == "identity":
                client = ServiceBusClient(where, credential=self._credential("ServiceBus"))
            else:
                client = ServiceBusClient.from_connection_string(where)
        except ValueError:
            raise ConfigError("setting ServiceBus is no connection string of a Service Bus namespace") from None
        self._stack.push_async_callback(client.close)
        return client

    def queue(self, name: str) -> BusSender:
        """The sender to a queue."""
        if name not in self._senders:
            self._senders[name] = BusSender(self.bus, queue=name)
        return self._senders[name]

    def topic(self) -> BusSender:
        """The sender to topic `audit`."""
        if TOPIC not in self._senders:
            kind = "application/cloudevents-batch+json"
            self._senders[TOPIC] = BusSender(self.bus, topic=TOPIC, content_type=kind)
        return self._senders[TOPIC]

    async def dead_letters_of(self, queue: str) -> int | Literal["no right to receive"] | None:
        """How many dead letters a queue has, up to a hundred; None where Service Bus gives no answer."""
        return await dead_letters(self.bus, queue, most=100)

    def own(self, name: str) -> BlobObjects:
        """One of the product's own containers."""
        container = next(c for c in OWN_CONTAINERS if c.name == name)
        return BlobObjects(self.blobs(container.account).get_container_client(container.name))

    @cached_property
    def policy(self) -> Policy:
        """The policy."""
        return load(self.config.policy_file)


_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[type, asyncio.Task[Any]]] = weakref.WeakKeyDictionary()


async def shared(kind: type[Some], config: Config) -> Some:
    """The one of its kind in this process's event loop, whoever asks: functions share its clients."""
    loop = asyncio.get_running_loop()
    tasks = _open.setdefault(loop, {})
    task: asyncio.Task[Some] | None = tasks.get(kind)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = loop.create_task(kind(config).__aenter__())
        tasks[kind] = task
    return await asyncio.shield(task)
