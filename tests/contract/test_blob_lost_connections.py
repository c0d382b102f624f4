"""A connection that breaks before the answer: the client asks again, and what the next answer says is known."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from azure.storage.blob.aio import BlobServiceClient, ContainerClient
from blob_stand_in import connection
from wire import Wire, wire

from local.azure.account import Account, Settings
from local.azure.blob_server import Answer, BlobServer
from local.azure.serving import serving
from shared.errors import TransientError
from shared.model import Locator, Record
from shared.posture.read_blob import read_account
from shared.stores.blob import client_options, quoted, service_clock
from shared.stores.blob_deletes import Deletes
from shared.stores.blob_versions import Versions
from shared.stores.interface import NoAnswer


class Breaking(BlobServer):
    """Breaks the connection in place of an answer, on requests of this method whose target holds this.

    Twice: of a connection that was used before the transport may ask again by itself, unseen by the client.
    """

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.wire: Wire | None = None
        self.breaks = ("", "")
        self.left = 2

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        of, part = self.breaks
        if of == method and part in target and self.left and self.wire is not None:
            self.left -= 1
            self.wire.cut()
            self.wire.mend()
            return Answer(status=500, headers={})  # nobody gets it
        return super()._answer(method, target, headers, body)


@dataclass(kw_only=True)
class World:
    server: Breaking
    service: BlobServiceClient
    client: ContainerClient


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        account = Account(settings=Settings(versioning=True))
        server = Breaking(account)
        url = stack.enter_context(serving(server))
        server.wire = stack.enter_context(wire(urlsplit(url).port or 0))
        near = f"http://127.0.0.1:{server.wire.port}"
        service = BlobServiceClient.from_connection_string(connection(near, account), **client_options())
        await stack.enter_async_context(service)
        yield World(server=server, service=service, client=await service.create_container("records"))


async def test_the_services_clock(world: World) -> None:
    world.server.breaks = ("GET", "restype=container")
    now = await service_clock(world.client)
    assert world.server.left == 0
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


async def test_that_a_version_went_for_good(world: World) -> None:
    await world.client.upload_blob("a", b"x")
    etag = quoted((await world.client.get_blob_client("a").get_blob_properties()).etag)
    where = Locator(store="blob", account="data", container="records", key="a")
    world.server.breaks = ("DELETE", "versionid")
    deletes = Deletes(service=world.service, concurrency=1, versions=Versions())
    assert await deletes.delete([Record(locator=where, etag=etag, category="x", alone=True)]) == ["deleted"]
    assert world.server.left == 0
    assert not [each async for each in world.client.list_blobs(include=["versions", "deleted"])]


async def test_the_accounts_settings(world: World) -> None:
    world.server.breaks = ("GET", "comp=properties")
    read = await read_account(world.service, "data", None, None, look=1)
    assert world.server.left == 0
    assert list(read.containers) == ["records"]


async def test_a_batch_is_not_sent_again_unseen(world: World) -> None:
    """What the first one deleted nobody would know."""
    await world.client.upload_blob("a", b"x")
    etag = quoted((await world.client.get_blob_client("a").get_blob_properties()).etag)
    where = Locator(store="blob", account="data", container="records", key="a")
    world.server.breaks = ("POST", "comp=batch")
    deletes = Deletes(service=world.service, concurrency=1, versions=Versions())
    [answer] = await deletes.delete([Record(locator=where, etag=etag, category="x", alone=True)])
    assert answer == NoAnswer()
    assert world.server.left == 1
    assert [each.name async for each in world.client.list_blobs()] == ["a"]


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 22 Nov 2026 19:06:24 -0000", "Sun, 31 Feb 2026 19:06:24 GMT"])
async def test_an_answer_without_a_time_is_none(world: World, date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.azure.blob_server.http_date", lambda _: date)
    with pytest.raises(TransientError):
        await service_clock(world.client)
