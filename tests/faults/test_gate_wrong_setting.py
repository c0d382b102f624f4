"""A setting that leads to another database or account never makes a record that is there `already gone` in the log.

With the real adapters over real sockets: there, a container that does not exist answers 404 too.
"""

from dataclasses import replace

import pytest
from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from local import servers
from shared.model import Action, Locator, Record, Scope, ScopeKind
from shared.stores.blob import retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords
from shared.stores.interface import NoAnswer

PERSON = Scope(kind=ScopeKind.PERSON, id="u1")


def record(store: str, account: str, key: str, *, partition: str = "", action: Action = Action.DELETE) -> Record:
    where = Locator(store=store, account=account, container="not-there", key=key, partition=partition)
    return Record(locator=where, etag='"1"', category="homes", rule="r", action=action)


ITEMS = [
    record("cosmos", "main", "one", partition="h1"),
    record("cosmos", "main", "one", partition="h2"),
    record("cosmos", "main", "two", partition="h2"),
    record("cosmos", "main", "three", partition="h3", action=Action.LEAVE),
]


@pytest.mark.parametrize("database", ["there", "not-there"])
async def test_an_item_of_a_container_that_is_not_there_has_no_answer(cosmos, database):
    url = f"http://127.0.0.1:{cosmos.program.port}/"
    async with CosmosClient(url, credential=servers.COSMOS_KEY, enable_endpoint_discovery=False) as client:
        await client.create_database_if_not_exists("there")
        store = CosmosRecords(database=client.get_database_client(database), account="main")
        assert await store.delete(ITEMS, leaver=PERSON) == [NoAnswer()] * len(ITEMS)


async def test_a_blob_of_a_container_that_is_not_there_has_no_answer(azurite):
    connection = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy()) as service:
        store = BlobRecords(service=service, account="data")
        blob = record("blob", "data", "2026-01-01/one")
        assert await store.delete([blob, replace(blob, etag='"2"')]) == [NoAnswer()] * 2
