"""Fixtures of the RecordStore contract suite: a store under test, each with one empty container of its own.

`blobs` is a store of blobs, `items` one of items (two partition key ranges), `governed` each of the four.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from record_stores import (
    BlobShelf,
    CosmosShelf,
    Governed,
    MemoryShelf,
    blob_category,
    blob_shelf,
    cosmos_shelf,
    item_category,
)

from shared.stores.memory_records import MemoryRecords


@pytest.fixture(params=["memory", "azurite"])
async def blobs(request: pytest.FixtureRequest) -> AsyncIterator[MemoryShelf | BlobShelf]:
    if request.param == "memory":
        yield MemoryShelf(records=MemoryRecords(), container=f"records-{uuid4()}")
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


@pytest.fixture(params=["memory blobs", "memory items", "azurite", "cosmos"])
async def governed(request: pytest.FixtureRequest) -> AsyncIterator[Governed]:
    async with AsyncExitStack() as stack:
        if request.param == "azurite":
            shelf: Any = await blob_shelf(stack, request.getfixturevalue("azurite").program.port)
        elif request.param == "cosmos":
            shelf = await cosmos_shelf(stack, request.getfixturevalue("cosmos").program.port, "/homeId")
        else:
            shelf = MemoryShelf(records=MemoryRecords(), container=f"records-{uuid4()}")
        blob = request.param in {"memory blobs", "azurite"}
        yield Governed(shelf=shelf, category=(blob_category if blob else item_category)(shelf.container))
