"""The gate's questions to the real adapters, over real sockets: what is `missing`, what is `there`, what proves nothing.

A setting that leads to another database or account never makes a record `already gone` in the log, although a
container that does not exist answers 404 too.
"""

from dataclasses import replace
from uuid import uuid4

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from local import servers
from shared.model import Action, Locator, Record, Scope, ScopeKind
from shared.stores.blob import quoted, retry_policy
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
    async with CosmosClient(cosmos.url, credential=servers.COSMOS_KEY, enable_endpoint_discovery=False) as client:
        await client.create_database_if_not_exists("there")
        store = CosmosRecords(database=client.get_database_client(database), account="main")
        assert await store.delete(ITEMS, leaver=PERSON) == [NoAnswer()] * len(ITEMS)
        assert await store.there(ITEMS, leaver=PERSON) == [NoAnswer()] * len(ITEMS)


async def test_a_blob_of_a_container_that_is_not_there_has_no_answer(azurite):
    connection = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy()) as service:
        store = BlobRecords(service=service, account="data")
        blob = record("blob", "data", "2026-01-01/one")
        assert await store.delete([blob, replace(blob, etag='"2"')]) == [NoAnswer()] * 2
        assert await store.there([blob]) == [NoAnswer()]


def named(record: Record, container: str) -> Record:
    return replace(record, locator=replace(record.locator, container=container))


async def test_an_item_is_there_as_listed_or_in_another_version_and_looking_changes_nothing(cosmos):
    async with CosmosClient(cosmos.url, credential=servers.COSMOS_KEY, enable_endpoint_discovery=False) as client:
        database = await client.create_database_if_not_exists("there")
        container = await database.create_container(f"there-{uuid4()}", PartitionKey("/homeId"))
        etags = {
            home: (await container.create_item({"id": home, "homeId": home, "members": members}))["_etag"]
            for home, members in (("h1", ["u1"]), ("h2", ["u2"]))
        }
        store = CosmosRecords(database=database, account="main")
        records = [
            named(record("cosmos", "main", home, partition=home, action=action), container.id)
            for action in (Action.DELETE, Action.LEAVE)
            for home in ("h1", "h2", "h3")
        ]
        listed = [replace(each, etag=etags.get(each.locator.key, each.etag)) for each in records]
        assert await store.there(listed, leaver=PERSON) == ["same", "same", "missing", "same", "missing", "missing"]
        found = ["another", "another", "missing", "another", "missing", "missing"]
        assert await store.there(records, leaver=PERSON) == found
        await database.delete_container(container.id)


async def test_a_blob_is_there_as_listed_or_in_another_version_and_looking_changes_nothing(azurite):
    connection = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy()) as service:
        container = await service.create_container(f"there-{uuid4()}")
        about = await (await container.upload_blob("one", b"1")).get_blob_properties()
        await container.get_blob_client("one").acquire_lease()
        store = BlobRecords(service=service, account="data")
        records = [named(record("blob", "data", key), container.container_name) for key in ("one", "two")]
        assert await store.there(records) == ["another", "missing"]
        assert await store.there([replace(records[0], etag=quoted(about.etag))]) == ["same"]
        assert [name async for name in container.list_blob_names()] == ["one"]
