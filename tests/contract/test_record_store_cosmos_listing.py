"""Listing on Cosmos DB: what the other stores do not have. Ranges, cursors, keys that are no text, faults."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from record_stores import CosmosShelf, governed_items, ids, listed, row

from shared.errors import PermanentError, TransientError
from shared.model import Record, Scope, ScopeKind, utc_text
from shared.stores.cosmos_records import CosmosRecords

pytest_plugins = ["record_store_fixture"]

NOW = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)


async def test_a_container_of_two_ranges_is_swept_in_two_parts(cosmos_items: CosmosShelf) -> None:
    category = governed_items(cosmos_items)
    rows = [row(number, NOW - timedelta(days=31)) for number in range(16)]
    await cosmos_items.put(category, rows)
    found = await listed(cosmos_items, category, now=NOW)
    assert found.parts == 2
    assert found.keys == ids(rows)


async def test_the_cursor_of_a_page_does_not_grow_with_the_pages_before(cosmos_items: CosmosShelf) -> None:
    category = governed_items(cosmos_items)
    await cosmos_items.put(category, [row(number, NOW - timedelta(days=31), home="h1") for number in range(60)])

    async def between(records: Sequence[Record]) -> None:
        await cosmos_items.records.delete(records)

    found = await listed(cosmos_items, category, now=NOW, size=4, between=between)
    assert len(found.keys) == 60
    assert max(len(page.cursor) for page in found.pages) < 400


async def test_a_record_written_between_pages_is_found_if_it_comes_later_in_the_order(
    cosmos_items: CosmosShelf,
) -> None:
    category = governed_items(cosmos_items)
    rows = [row(number, NOW - timedelta(days=40) + timedelta(hours=number), home="h1") for number in range(8)]
    await cosmos_items.put(category, rows)
    late = [row(90, NOW - timedelta(days=31), home="h1")]

    async def between(records: Sequence[Record]) -> None:
        await cosmos_items.put(category, [late.pop()] if late else [])

    assert (await listed(cosmos_items, category, now=NOW, between=between)).keys == [*ids(rows), "i090"]


async def test_an_item_whose_partition_key_is_no_text_is_reported(cosmos_items: CosmosShelf) -> None:
    category = governed_items(cosmos_items)
    old = utc_text(NOW - timedelta(days=40))
    await cosmos_items.client.create_item({"id": "number", "homeId": 7, "at": old})
    await cosmos_items.client.create_item({"id": "none", "at": old})
    await cosmos_items.put(category, [row(1, NOW - timedelta(days=40))])
    found = await listed(cosmos_items, category, now=NOW)
    assert found.keys == ["i001"]
    assert found.strange == {"partition key is no text": 2}


async def test_a_rule_that_no_item_can_tell_is_a_permanent_error(cosmos_items: CosmosShelf) -> None:
    category = governed_items(cosmos_items, {"start": {"from": "stored"}, "period": "P1D"})
    with pytest.raises(PermanentError, match="rule-0"):
        await cosmos_items.records.divide(category, category.rules[0], now=NOW, most=1)


async def test_a_listing_waits_as_asked_and_then_goes_on(cosmos_items: CosmosShelf) -> None:
    category = governed_items(cosmos_items)
    rows = [row(number, NOW - timedelta(days=31)) for number in range(6)]
    await cosmos_items.put(category, rows)
    cosmos_items.fault(status=429, count=3, retry_after_ms=10, method="POST", path_contains="/docs")
    assert (await listed(cosmos_items, category, now=NOW)).keys == ids(rows)


async def test_a_listing_that_gets_no_answer_is_a_transient_error_that_names_no_item(cosmos_items: CosmosShelf) -> None:
    category = governed_items(cosmos_items, belongs_to="home", find={"home": {"by": "partition"}})
    await cosmos_items.put(category, [row(1, NOW - timedelta(days=31), home="secret-home")])
    [part] = (await cosmos_items.records.divide(category, category.rules[0], now=NOW, most=1)).parts
    cosmos_items.fault(status=500, count=1000, method="POST", path_contains="/docs")
    records: CosmosRecords = cosmos_items.records
    scope = Scope(kind=ScopeKind.HOME, id="secret-home")

    async def expired() -> Any:
        return [page async for page in records.expired(category, category.rules[0], part, now=NOW, cursor="", size=5)]

    async def of_scope() -> Any:
        return [page async for page in records.of_scope(category, scope, size=5)]

    for call in (
        records.divide(category, category.rules[0], now=NOW, most=1),
        expired(),
        of_scope(),
        records.find(category, "homeId", "secret-home"),
    ):
        with pytest.raises(TransientError) as caught:
            await call
        assert "secret" not in str(caught.value)
