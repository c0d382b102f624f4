"""Connections: from the settings to the clients of the services, and to the stores over them. Nothing else builds one.

Clients are built when a role first needs them and live as long as the process; nothing is built at import.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any, Literal, Self

from azure.core.exceptions import AzureError
from azure.cosmos.aio import CosmosClient
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from shared.config import Config
from shared.containers import OWN_CONTAINERS, OwnContainer
from shared.errors import ConfigError
from shared.policy import Policy
from shared.policy_file import load
from shared.stores.blob import BlobObjects, client_options
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords, translate
from shared.stores.cosmos_transport import PatientTransport
from shared.stores.interface import RecordStore
from shared.stores.own_records import PLACE, Container, OwnRecords
from shared.stores.servicebus import BusSender, dead_letters

TOPIC = "audit"


class Connections:
    """The clients of the services, built on demand. Use `async with`, or `close` it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._stack = AsyncExitStack()
        self._blobs: dict[str, BlobServiceClient] = {}
        self._senders: dict[str, BusSender] = {}
        self._cosmos: CosmosClient | None = None

    async def __aenter__(self) -> Self:
        """Connect what must be connected before its first use: Cosmos DB, where it is configured."""
        if self.config.has("COSMOS_MAIN"):
            try:
                self._cosmos = await self._stack.enter_async_context(self._cosmos_client())
            except ValueError:
                raise ConfigError("setting COSMOS_MAIN is no connection string of a Cosmos DB account") from None
            except AzureError as error:
                raise translate(error) from None
        return self

    def _cosmos_client(self) -> CosmosClient:
        how, where = self.config.connection("COSMOS_MAIN", "accountEndpoint")
        if how == "identity":
            return CosmosClient(where, credential=self._credential("COSMOS_MAIN"), transport=PatientTransport())
        local = "//127.0.0.1" in where or "//localhost" in where
        return CosmosClient.from_connection_string(
            where, enable_endpoint_discovery=not local, transport=PatientTransport()
        )

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

    @cached_property
    def stores(self) -> dict[str, RecordStore]:
        """The governed data, by `<kind>/<account>`: those accounts that are configured."""
        most = self.config.number("RETENTION_CONCURRENCY")
        stores: dict[str, RecordStore] = {}
        for account in ("data", "backup"):
            setting = f"BLOB_{account.upper()}"
            if self.config.has(setting):
                stores[f"blob/{account}"] = BlobRecords(
                    service=self.blobs(setting), account=account, concurrency=most, lines=self.policy.line_finders()
                )
        if self._cosmos is not None:
            database = self._cosmos.get_database_client(self.config.text("COSMOS_MAIN_DATABASE"))
            stores["cosmos/main"] = CosmosRecords(database=database, account="main", concurrency=most)
        own = [c for c in OWN_CONTAINERS if c.swept_by == "pipeline" and self.config.has(c.account)]
        stores[PLACE] = OwnRecords(containers={c.name: self._swept(c, most) for c in own})
        return stores

    def _swept(self, own: OwnContainer, most: int) -> Container:
        account = BlobRecords(service=self.blobs(own.account), account="", concurrency=most)
        return Container(objects=self.own(own.name), account=account)
