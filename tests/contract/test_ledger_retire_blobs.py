"""Dropping a year's log with real clients: on Azurite, and on write-once storage that refuses."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import uuid4

import pytest
from azure.storage.blob.aio import BlobServiceClient
from ledger_world import RememberingTopic, World, event, journal
from record_stores import versions_shelf
from retire_world import OLD, Rings, policy

from local import servers
from local.azure.account import Settings
from shared.errors import RefusedError
from shared.ledger.head import Ledger
from shared.ledger.log import append, logs
from shared.ledger.publish import publish
from shared.ledger.retire import Retirement
from shared.ledger.seal import seal
from shared.stores.blob import BlobObjects, retry_policy
from shared.stores.interface import ObjectStore
from shared.stores.memory import MemoryObjects


@pytest.fixture
async def containers(azurite: servers.Process) -> AsyncIterator[list[BlobObjects]]:
    connection = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_LEDGER"]
    async with BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy()) as service:
        made = [await service.create_container(f"log-{uuid4()}") for _ in range(3)]
        yield [BlobObjects(each) for each in made]
        for each in made:
            await each.delete_container()


async def complete(tiles: ObjectStore, state: ObjectStore, journals: ObjectStore) -> Retirement:
    """The complete log of a year long over, and what drops it."""
    ledger = Ledger(origin="local.example/retention", tiles=tiles, state=state, journals=journals)
    for intent in ("one", "two"):
        events = [event(intent, ordinal) for ordinal in range(150)]
        metadata = {"state": "settled", "log": OLD}
        await journals.create(f"{intent}.json", journal(intent, events), metadata=metadata)
        await append(ledger, OLD)
        await seal(ledger, OLD, World().signer(OLD))
        await publish(ledger, OLD, RememberingTopic())
    short = ({"id": "audit-log-1-year", "start": {"from": "year-end", "field": "year"}, "period": "P1Y"},)
    return Retirement(ledger=ledger, policy=policy(rules=short), doorbell=Rings(), source="//test.example")


async def names(store: ObjectStore) -> list[str]:
    return [entry.name async for entry in store.list()]


async def test_a_whole_log_is_dropped_and_its_event_waits_for_the_ledger(containers: list[BlobObjects]) -> None:
    tiles, state, journals = containers
    retirement = await complete(tiles, state, journals)
    now = await state.now()
    assert not await retirement.retire(OLD, now)  # it changed within the last day
    assert len(await names(tiles)) > 5
    later = now + timedelta(days=2)
    assert await retirement.retire(OLD, later)
    assert (await names(tiles), await names(state)) == ([], [])
    assert len(await names(journals)) == 1
    await append(retirement.ledger, str(later.year))
    assert await names(journals) == []


class Mirrored(MemoryObjects):
    """What is written here stands on the server too, and goes here only when it went there."""

    def __init__(self, server: BlobObjects) -> None:
        super().__init__()
        self.server = server

    async def create(self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        await self.server.create(name, data)
        return await super().create(name, data, metadata=metadata)

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        await self.server.delete(name)
        await super().delete(name, etag=etag)


@pytest.mark.parametrize("why", ["immutable", "legal hold"])
async def test_a_store_that_refuses_keeps_the_log_whole_and_names_the_year(
    why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        shelf = await versions_shelf(stack, Settings())
        tiles, state = Mirrored(BlobObjects(shelf.client)), MemoryObjects()
        retirement = await complete(tiles, state, MemoryObjects())
        container = shelf.account.containers[shelf.container]
        container.immutable_days, container.legal_hold = (30, False) if why == "immutable" else (None, True)
        before = await names(tiles)
        with pytest.raises(RefusedError, match="Immutab"):
            await tiles.delete(before[0])
        now = await state.now() + timedelta(days=2)
        assert not await retirement.retire(OLD, now)
        [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert line.startswith(f"ALARM the period of log {OLD} is over")
        assert await names(tiles) == await names(tiles.server) == before
        assert await logs(retirement.ledger) == [OLD]
        container.immutable_days, container.legal_hold = None, False
        assert await retirement.retire(OLD, now)
        assert (await names(tiles.server), await names(state)) == ([], [])
