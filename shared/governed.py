"""From the settings to the stores of the governed data: role pipeline's and the command line's, never role ledger's."""

from __future__ import annotations

from functools import cached_property
from typing import Self

from azure.core.exceptions import AzureError
from azure.cosmos.aio import CosmosClient

from shared.config import Config
from shared.connections import Connections
from shared.containers import OWN_CONTAINERS, OwnContainer
from shared.errors import ConfigError
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords, translate
from shared.stores.cosmos_transport import PatientTransport
from shared.stores.interface import RecordStore
from shared.stores.own_records import PLACE, Container, OwnRecords


class Governed(Connections):
    """The clients of the services, and the stores over them."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
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
