"""Fixtures of the RecordStore contract suite: a store under test, each with one empty container of its own.

`blobs` is a store of blobs, `items` one of items (two partition key ranges), `governed` each of the seven. `versions` is
an account that keeps everything that is deleted or overwritten, and lets all of it be erased.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from own_shelf import azurite_own, memory_own, own_category
from record_stores import (
    BlobShelf,
    CosmosShelf,
    Governed,
    MemoryShelf,
    blob_category,
    blob_shelf,
    cosmos_shelf,
    item_category,
    versions_shelf,
)

from local.azure.account import Settings
from shared.stores.memory_records import MemoryRecords

ERASABLE = Settings(versioning=True, soft_delete_days=7, permanent_delete=True)


@pytest.fixture(params=["memory", "azurite", "versions"])
async def blobs(request: pytest.FixtureRequest) -> AsyncIterator[MemoryShelf | BlobShelf]:
    if request.param == "memory":
        yield MemoryShelf(records=MemoryRecords(), container=f"records-{uuid4()}")
        return
    if request.param == "versions":
        async with AsyncExitStack() as stack:
            yield await versions_shelf(stack, ERASABLE)
        return
    server = request.getfixturevalue("azurite")
    async with AsyncExitStack() as stack:
        yield await blob_shelf(stack, server.program.port)


@pytest.fixture
async def azurite_blobs(azurite: Any) -> AsyncIterator[BlobShelf]:
    async with AsyncExitStack() as stack:
        yield await blob_shelf(stack, azurite.program.port)


@pytest.fixture(params=["memory", "cosmos"])
async def items(request: pytest.FixtureRequest) -> AsyncIterator[MemoryShelf | CosmosShelf]:
    if request.param == "memory":
        yield MemoryShelf(records=MemoryRecords(), container=f"records-{uuid4()}")
        return
    server = request.getfixturevalue("cosmos")
    async with AsyncExitStack() as stack:
        yield await cosmos_shelf(stack, server.program.port, "/homeId")


@pytest.fixture
async def cosmos_items(cosmos: Any) -> AsyncIterator[CosmosShelf]:
    async with AsyncExitStack() as stack:
        yield await cosmos_shelf(stack, cosmos.program.port, "/homeId")


@pytest.fixture(params=["memory blobs", "memory items", "memory own", "azurite", "azurite own", "versions", "cosmos"])
async def governed(request: pytest.FixtureRequest) -> AsyncIterator[Governed]:
    async with AsyncExitStack() as stack:
        if request.param in {"memory own", "azurite own"}:
            memory = request.param == "memory own"
            own = memory_own() if memory else await azurite_own(stack, request.getfixturevalue("azurite").program.port)
            yield Governed(shelf=own, category=own_category(own.container))
            return
        if request.param == "azurite":
            shelf: Any = await blob_shelf(stack, request.getfixturevalue("azurite").program.port)
        elif request.param == "versions":
            shelf = await versions_shelf(stack, ERASABLE)
        elif request.param == "cosmos":
            shelf = await cosmos_shelf(stack, request.getfixturevalue("cosmos").program.port, "/homeId")
        else:
            shelf = MemoryShelf(records=MemoryRecords(), container=f"records-{uuid4()}")
        blob = request.param in {"memory blobs", "azurite", "versions"}
        yield Governed(shelf=shelf, category=(blob_category if blob else item_category)(shelf.container))
