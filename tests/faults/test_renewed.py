"""A record that is renewed between the listing and the delete is kept, and an event says so; the others go.

In memory, on Azurite, on the local Cosmos server, and on the stand-in for accounts that keep versions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient
from blob_stand_in import served
from promises import assert_whole
from world import POLICY, START, World, found, home_of, outcomes

from local import servers
from local.azure.account import Account, Settings
from local.azure.blob_server import BlobServer
from local.processes import Process
from shared.model import Record, SweepCause, utc_text
from shared.stores.blob import retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords

PICTURES, LOG = "camera-snapshots", "operation-log"
CAUSE = SweepCause(run="camera-snapshots-20260301T120000Z-00000000", slice=0)
Change = Callable[[Any, str], Awaitable[object]]


async def told(world: World, records: list[Record]) -> dict[str, int]:
    """Give the records to the gate; what the log says of them."""
    await world.gate.delete(records, CAUSE)
    await world.rest()
    return dict(outcomes(await world.events()))


# ---------------------------------------------------------------- blobs


async def overwritten(container: Any, name: str) -> None:
    await container.upload_blob(name, b"another picture", overwrite=True)


async def written_anew(container: Any, name: str) -> None:
    await container.delete_blob(name, delete_snapshots="include")
    await container.upload_blob(name, b"picture")


async def described(container: Any, name: str) -> None:
    await container.get_blob_client(name).set_blob_metadata({"seen": "yes"})


async def snapshot_taken(container: Any, name: str) -> None:
    await container.get_blob_client(name).create_snapshot()


async def pictures(container: Any, home: str) -> list[str]:
    names = [f"2026-02-01/10/{home}/hall/1000{number:02}-a.jpg" for number in range(3)]
    for name in names:
        await container.upload_blob(name, b"picture")
    return names


async def listed(world: World, records: BlobRecords, home: str) -> list[Record]:
    world.gate.stores["blob/data"] = records
    category = POLICY.category(PICTURES)
    return [r async for page in records.of_scope(category, home_of(home), size=10) for r in page.records]


@pytest.fixture
async def container(azurite: Process) -> AsyncIterator[tuple[BlobServiceClient, Any]]:
    text = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(text, retry_policy=retry_policy()) as service:
        with suppress(ResourceExistsError):
            await service.create_container(PICTURES)
        yield service, service.get_container_client(PICTURES)


@pytest.mark.parametrize("change", [overwritten, written_anew, described])
async def test_a_blob_that_is_renewed_after_it_was_listed_is_kept(container: Any, change: Change) -> None:
    service, client = container
    home, world = f"h-{uuid4()}", World(sweeping=False)
    names = await pictures(client, home)
    records = await listed(world, BlobRecords(service=service, account="data"), home)
    await change(client, names[1])
    assert await told(world, records) == {"erased": 2, "renewed": 1}
    assert [b.name async for b in client.list_blobs() if home in b.name] == [names[1]]


async def test_a_snapshot_that_is_taken_after_its_blob_was_listed_goes_with_it(container: Any) -> None:
    service, client = container
    home, world = f"h-{uuid4()}", World(sweeping=False)
    names = await pictures(client, home)
    records = await listed(world, BlobRecords(service=service, account="data"), home)
    await snapshot_taken(client, names[1])
    assert await told(world, records) == {"erased": 3}
    assert not [b.name async for b in client.list_blobs(include=["snapshots"]) if home in b.name]


@pytest.mark.parametrize("change", [overwritten, written_anew])
async def test_a_blob_that_gets_another_version_after_it_was_listed_is_kept_with_every_version(change: Change) -> None:
    account = Account(settings=Settings(versioning=True))
    async with served(BlobServer(account), retry_total=0) as service:
        client = await service.create_container(PICTURES)
        world = World(sweeping=False)
        names = await pictures(client, "birkeveien")
        records = await listed(world, BlobRecords(service=service, account="data"), "birkeveien")
        await change(client, names[1])
        kept = [b.name async for b in client.list_blobs(include=["versions"]) if b.name == names[1]]
        assert len(kept) == 2
        assert await told(world, records) == {"erased": 2, "renewed": 1}
        assert [b.name async for b in client.list_blobs(include=["versions"])] == kept


# ---------------------------------------------------------------- items


async def replaced(container: Any, key: str) -> None:
    item = await container.read_item(key, "birkeveien")
    await container.replace_item(item, {**item, "note": "seen"})


async def patched(container: Any, key: str) -> None:
    await container.patch_item(key, "birkeveien", [{"op": "set", "path": "/note", "value": "seen"}])


async def item_written_anew(container: Any, key: str) -> None:
    item = await container.read_item(key, "birkeveien")
    await container.delete_item(key, "birkeveien")
    await container.create_item({k: v for k, v in item.items() if not k.startswith("_")})


@pytest.mark.parametrize("change", [replaced, patched, item_written_anew])
async def test_an_item_that_is_renewed_after_it_was_listed_is_kept(cosmos: Process, change: Change) -> None:
    async with CosmosClient(cosmos.url, credential=servers.COSMOS_KEY, enable_endpoint_discovery=False) as client:
        database = await client.create_database(f"renewed-{uuid4()}")
        container = await database.create_container(LOG, PartitionKey("/homeId"))
        at = utc_text(START - timedelta(days=40))
        for number in range(3):
            await container.create_item({"id": f"r{number}", "homeId": "birkeveien", "at": at})
        world = World(sweeping=False)
        store = CosmosRecords(database=database, account="main")
        world.gate.stores["cosmos/main"] = store
        category = POLICY.category(LOG)
        pages = store.of_scope(category, home_of("birkeveien"), size=10)
        records = [record async for page in pages for record in page.records]
        await change(container, "r1")
        assert await told(world, records) == {"erased": 2, "renewed": 1}
        assert [item["id"] async for item in container.read_all_items()] == ["r1"]


# ---------------------------------------------------------------- in memory, through a sweep


@pytest.mark.parametrize("anew", [False, True], ids=["overwritten", "written anew"])
async def test_a_row_that_is_renewed_while_a_worker_is_about_to_delete_it_is_kept(anew: bool) -> None:
    world = World(unit=10)
    at = utc_text(START - timedelta(days=40))
    rows = [{"id": f"birkeveien-{n}", "homeId": "birkeveien", "at": at} for n in range(3)]
    for row in rows:
        world.put(LOG, row)
    assert len(await found(world, LOG)) == 3

    async def renew(step: str) -> None:
        if step == "before delete" and [each async for each in world.own["journals"].list()]:
            world.steps.turn = None
            if anew:
                world.remove(LOG, "birkeveien-1", "birkeveien")
            world.put(LOG, {**rows[1], "at": utc_text(START)})

    world.steps.turn = renew
    await world.planner.tick(only=[LOG])
    await world.drain("sweeps")
    assert world.steps.turn is None
    assert world.keys(LOG) == ["birkeveien-1"]
    await world.rest()
    assert outcomes(await assert_whole(world)) == {"erased": 2, "renewed": 1}
