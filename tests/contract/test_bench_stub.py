"""The bench's stub of the Blob service says to the vendor's SDK what Azurite says, and refuses what it does not model."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient, ContainerClient
from record_stores import BlobShelf, blob_category, listed

from bench.on_stub import prepare
from bench.raw_blobs import plain_boundary
from bench.stub_process import StubProcess, stub
from bench.sweep_cpu import sweep
from local import servers
from shared.stores.blob import BlobObjects, code_of, quoted
from shared.stores.blob_records import BlobRecords

NAMES = ["2026-01-01/a", "2026-01-01/å &<x>.jpg", "2026-01-02/b", "2026-01-02/c/d", "top"]


@pytest.fixture(scope="module")
def stubbed() -> Iterator[StubProcess]:
    with stub() as server:
        prepare(server)
        yield server


@pytest.fixture
async def both(stubbed: StubProcess, azurite: Any) -> AsyncIterator[tuple[ContainerClient, ContainerClient]]:
    """A container on the stub, and one of the same name on Azurite."""
    name = f"records-{uuid4()}"
    made = []
    clients = []
    for port in (stubbed.port, azurite.program.port):
        account = servers.settings(servers.Ports(blob=port))["BLOB_DATA"]
        clients.append(BlobServiceClient.from_connection_string(account))
        made.append(await clients[-1].create_container(name))
    yield made[0], made[1]
    for client in clients:
        await client.close()


async def fill(client: ContainerClient) -> None:
    for name in NAMES:
        await client.upload_blob(name, name.encode(), metadata={"closed_at": "2026-01-01T00:00:00Z"})


async def pages(client: ContainerClient, **options: Any) -> list[list[tuple[Any, ...]]]:
    """What a listing says page by page, times and ETags apart."""
    return [
        [
            (b.name, b.size, dict(b.metadata or {}), b.blob_type, b.deleted, b.snapshot, b.version_id, bool(b.etag))
            async for b in page
        ]
        async for page in client.list_blobs(**options).by_page()
    ]


async def test_listings_are_those_of_azurite(both: tuple[ContainerClient, ContainerClient]) -> None:
    said = []
    for client in both:
        await fill(client)
        levels = [b.name async for b in client.walk_blobs("2026-01-02/", delimiter="/")]
        said.append(
            [
                await pages(client, results_per_page=2),
                await pages(client, name_starts_with="2026-01-02/", include=["metadata", "versions"]),
                await pages(client, name_starts_with="nothing"),
                sorted(levels),
                [name async for name in client.list_blob_names()],
            ]
        )
    assert said[0] == said[1]
    assert [len(page) for page in said[0][0]] == [2, 2, 1]


async def test_batches_are_answered_as_by_azurite(both: tuple[ContainerClient, ContainerClient]) -> None:
    said = []
    for client in both:
        await fill(client)
        etags = {b.name: quoted(b.etag) async for b in client.list_blobs()}
        match = {"match_condition": MatchConditions.IfNotModified, "delete_snapshots": "include"}
        parts = await client.delete_blobs(
            {"name": NAMES[1], "etag": etags[NAMES[1]], **match},
            {"name": NAMES[0], "etag": '"0x1"', **match},
            "never there",
            NAMES[2],
            raise_on_any_failure=False,
            raw_request_hook=plain_boundary,
        )
        heads = [{k.lower(): v for k, v in each.headers.items()} | {"status": each.status_code} async for each in parts]
        told = ("status", "x-ms-error-code", "x-ms-delete-type-permanent")
        said.append([[head.get(name) for name in told] for head in heads])
        assert [name async for name in client.list_blob_names()] == [NAMES[0], *NAMES[3:]]
    assert said[0] == said[1]
    assert [status for status, *_ in said[0]] == [202, 412, 404, 202]


async def test_objects_are_written_read_and_deleted_as_on_azurite(
    both: tuple[ContainerClient, ContainerClient],
) -> None:
    said = []
    for client in both:
        told: list[Any] = []
        blob = client.get_blob_client("a/å b")
        await blob.upload_blob(b"one", metadata={"state": "open"})
        for write in (
            {"overwrite": False},
            {"overwrite": True, "etag": '"0x1"', "match_condition": MatchConditions.IfNotModified},
        ):
            with pytest.raises((ResourceExistsError, ResourceModifiedError)) as refused:
                await blob.upload_blob(b"two", **write)
            told.append((refused.value.status_code, code_of(refused.value)))
        about = await blob.get_blob_properties()
        await blob.upload_blob(b"two", overwrite=True, etag=about.etag, match_condition=MatchConditions.IfNotModified)
        read = await blob.download_blob()
        told += [await read.readall(), dict(about.metadata), read.properties.etag != about.etag]
        await blob.upload_blob(b"", overwrite=True)
        told.append(await (await blob.download_blob()).readall())
        with pytest.raises(ResourceModifiedError):
            await blob.delete_blob(etag='"0x1"', match_condition=MatchConditions.IfNotModified)
        await blob.delete_blob()
        for ask in (blob.delete_blob, blob.get_blob_properties, blob.download_blob):
            with pytest.raises(ResourceNotFoundError) as missing:
                await ask()
            told.append((missing.value.status_code, code_of(missing.value)))
        said.append(told)
    assert said[0] == said[1]


async def test_the_products_own_stores_work_on_it(
    both: tuple[ContainerClient, ContainerClient], stubbed: StubProcess
) -> None:
    client = both[0]
    account = servers.settings(servers.Ports(blob=stubbed.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(account) as service:
        records = BlobRecords(service=service, account="data")
        shelf = BlobShelf(records=records, client=client, container=client.container_name)
        category = blob_category(client.container_name)
        await shelf.put(category, ["2026-01-01/a", "2026-01-01/b", "2026-01-01/c"])
        found = await listed(shelf, category, now=await records.now(category))
        await shelf.put(category, ["2026-01-01/b"])
        await client.delete_blob("2026-01-01/c")
        assert await records.delete(found.records) == ["deleted", "changed", "missing"]
    objects = BlobObjects(client)
    etag = await objects.create("own", b"1", metadata={"state": "open"})
    assert (await objects.read("own")).metadata == {"state": "open"}
    await objects.replace("own", b"2", etag=etag)
    assert [entry.name async for entry in objects.list("ow")] == ["own"]


async def test_a_sweep_on_it_erases_every_picture_and_asks_for_nothing_that_it_does_not_model(
    stubbed: StubProcess,
) -> None:
    stubbed.fill(expired=1_200, kept=300)
    stubbed.forget()
    planned, swept = await sweep(stubbed, 1_200)
    assert (planned.records, swept.records) == (1_200, 1_200)
    counts = stubbed.counts()
    assert swept.cpu > 0
    assert not [kind for kind in counts if kind.startswith("refused NotModelled")]
    account = servers.settings(servers.Ports(blob=stubbed.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(account) as service:
        left = [name async for name in service.get_container_client("camera-snapshots").list_blob_names()]
    assert len(left) == 300


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.get_blob_client("a").create_snapshot(),
        lambda c: c.get_blob_client("a").acquire_lease(),
        lambda c: c.get_blob_client("a").set_blob_tags({"a": "b"}),
        lambda c: c.get_blob_client("a").get_blob_properties(etag='"x"', match_condition=MatchConditions.IfModified),
        lambda c: c.get_blob_client("a").upload_blob(b"x", blob_type="AppendBlob", overwrite=True),
        lambda c: c.list_blobs(include=["tags"]).by_page().__anext__(),
        lambda c: c.get_container_access_policy(),
    ],
)
async def test_what_it_does_not_model_is_refused_with_501(
    both: tuple[ContainerClient, ContainerClient], ask: Any
) -> None:
    await both[0].upload_blob("a", b"x", overwrite=True)
    with pytest.raises(HttpResponseError) as refused:
        await ask(both[0])
    assert refused.value.status_code == 501


def test_without_any_authorization_nothing_is_served(stubbed: StubProcess) -> None:
    url = f"http://127.0.0.1:{stubbed.port}/retentiondata/camera-snapshots?restype=container&comp=list"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10)
    assert refused.value.code == 403
    refused.value.close()
