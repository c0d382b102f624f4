"""Wiring: from the settings to the use cases with real stores behind them. The only file that builds clients.

Clients are built when a role first needs them and live as long as the process; nothing is built at import.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Self

from azure.core.exceptions import AzureError
from azure.cosmos.aio import CosmosClient
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from shared.config import Config
from shared.containers import OWN_CONTAINERS
from shared.deletion import Gate
from shared.errors import ConfigError
from shared.holds import Holds
from shared.journal import Journals
from shared.keys import ScopeKeys
from shared.ledger.checkpoint import Signer
from shared.ledger.head import Ledger
from shared.policy import Policy
from shared.policy_file import load
from shared.requests.documents import Parking, Requests
from shared.requests.erase import Eraser
from shared.requests.intake import Intake
from shared.runs import Runs
from shared.stores.blob import BlobObjects, retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords, translate
from shared.stores.interface import RecordStore
from shared.stores.servicebus import BusSender
from shared.sweep import Sweeps
from shared.watch import Watch

TOPIC = "audit"


class Product:
    """Everything, built on demand. Use `async with`, or `close` it."""

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
            return CosmosClient(where, credential=self._credential("COSMOS_MAIN"))
        local = "//127.0.0.1" in where or "//localhost" in where
        return CosmosClient.from_connection_string(where, enable_endpoint_discovery=not local)

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
                    client = BlobServiceClient(where, credential=credential, retry_policy=retry_policy())
                else:
                    client = BlobServiceClient.from_connection_string(where, retry_policy=retry_policy())
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

    def own(self, name: str) -> BlobObjects:
        """One of the product's own containers."""
        container = next(c for c in OWN_CONTAINERS if c.name == name)
        return BlobObjects(self.blobs(container.account).get_container_client(container.name))

    @cached_property
    def stores(self) -> dict[str, RecordStore]:
        """The governed data, by `<kind>/<account>`: those accounts that are configured."""
        most = self.config.number("RETENTION_CONCURRENCY")
        stores: dict[str, RecordStore] = {}
        for account in ("data", "backup"):
            setting = f"BLOB_{account.upper()}"
            if self.config.has(setting):
                stores[f"blob/{account}"] = BlobRecords(service=self.blobs(setting), account=account, concurrency=most)
        if self._cosmos is not None:
            database = self._cosmos.get_database_client(self.config.text("COSMOS_MAIN_DATABASE"))
            stores["cosmos/main"] = CosmosRecords(database=database, account="main", concurrency=most)
        return stores

    # ------------------------------------------------------------ use cases

    @cached_property
    def policy(self) -> Policy:
        """The policy."""
        return load(self.config.policy_file)

    @cached_property
    def keys(self) -> ScopeKeys:
        """The scope keys."""
        return ScopeKeys(objects=self.own("scope-keys"), concurrency=self.config.number("RETENTION_CONCURRENCY"))

    @cached_property
    def gate(self) -> Gate:
        """The gate."""
        return Gate(
            stores=self.stores,
            journals=Journals(objects=self.own("journals")),
            holds=Holds(objects=self.own("holds")),
            keys=self.keys,
            doorbell=self.queue("ledger"),
            policy=self.policy,
            source=f"//{self.config.text('LEDGER_ORIGIN')}",
            clock=utc_now,
        )

    @cached_property
    def sweeps(self) -> Sweeps:
        """Planner and workers."""
        return Sweeps(
            policy=self.policy,
            stores=self.stores,
            gate=self.gate,
            runs=Runs(objects=self.own("runs")),
            sweeps=self.queue("sweeps"),
            requests=self.queue("requests"),
            clock=utc_now,
            resend_after=timedelta(seconds=self.config.number("RETENTION_RESEND_AFTER")),
            most_slices=self.config.number("RETENTION_SLICES"),
            unit=self.config.number("RETENTION_UNIT"),
        )

    @cached_property
    def requests(self) -> Requests:
        """The request documents."""
        return Requests(objects=self.own("requests"), gate=self.gate)

    @cached_property
    def parking(self) -> Parking:
        """The parking of messages."""
        return Parking(objects=self.own("parking"), gate=self.gate)

    @cached_property
    def intake(self) -> Intake:
        """The intake of requests."""
        return Intake(
            policy=self.policy,
            stores=self.stores,
            requests=self.requests,
            work=self.queue("requests-work"),
            sweeps=self.sweeps,
            clock=utc_now,
        )

    @cached_property
    def eraser(self) -> Eraser:
        """The erasure of persons and homes."""
        return Eraser(
            policy=self.policy,
            stores=self.stores,
            gate=self.gate,
            requests=self.requests,
            work=self.queue("requests-work"),
            register=self.own("register"),
            clock=utc_now,
            unit=self.config.number("RETENTION_UNIT"),
        )

    @cached_property
    def watch(self) -> Watch:
        """Recovery."""
        return Watch(
            gate=self.gate,
            intake=self.intake,
            after=timedelta(seconds=self.config.number("RETENTION_RECOVER_AFTER")),
        )

    @cached_property
    def ledger(self) -> Ledger:
        """The audit log's storage."""
        return Ledger(
            origin=self.config.text("LEDGER_ORIGIN"),
            tiles=self.own("audit-log"),
            state=self.own("audit-state"),
            journals=self.own("journals"),
        )

    def signer(self, year: str) -> Signer:
        """The signer of a year's log: role ledger only."""
        return Signer(name=self.ledger.origin_of(year), seed=self.config.signing_seed())

    def hurry(self, seconds: float | None = None) -> Hurry:
        """A time budget that begins now: a worker's, unless `seconds` says otherwise."""
        return Hurry(seconds=self.config.number("RETENTION_TIME_BUDGET") if seconds is None else seconds)


class Hurry:
    """Says when a time budget is over."""

    def __init__(self, *, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds

    def __call__(self) -> bool:
        """Whether it is."""
        return self._loop.time() >= self._end


def utc_now() -> datetime:
    """The machine's clock. Cutoffs are not made of it: they are made of the stores' own."""
    return datetime.now(UTC)


_open: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Product]] = weakref.WeakKeyDictionary()


async def shared_product(config: Config) -> Product:
    """The one Product of this process's event loop: functions share its clients."""
    loop = asyncio.get_running_loop()
    task = _open.get(loop)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = loop.create_task(Product(config).__aenter__())
        _open[loop] = task
    return await asyncio.shield(task)
