"""The contract of RecordStore, no answer: what proves nothing concludes nothing, and the next try tells the truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.storage.blob.aio import BlobServiceClient
from cosmos_faults import BATCHES
from record_stores import PERSON, BlobShelf, CosmosShelf, Governed, MemoryShelf, blob_category, item_category, members

from local import servers
from local.processes import free_port
from shared.errors import TransientError
from shared.stores.blob import retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.interface import NoAnswer
from shared.stores.memory_records import MemoryRecords

pytest_plugins = ["record_store_fixture"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Busy(AsyncHTTPPolicy[Any, Any]):
    """Answers 503 to the first batch, which was applied."""

    busy = True

    async def send(self, request: Any) -> Any:
        response = await self.next.send(request)
        if request.http_request.method == "POST" and self.busy:
            self.busy = False
            response.http_response.status_code = 503
        return response


async def test_a_blob_account_that_is_away_gives_no_answer_and_its_listings_are_transient_errors() -> None:
    account = servers.settings(servers.Ports(blob=free_port()))["BLOB_DATA"]
    category = blob_category("records")
    async with BlobServiceClient.from_connection_string(account, retry_total=0) as service:
        store = BlobRecords(service=service, account="data")
        fake = MemoryRecords()
        fake.put(category, "2026-01-01/a")
        [part] = (await fake.divide(category, category.rules[0], now=NOW, most=1)).parts
        [page] = [p async for p in fake.expired(category, category.rules[0], part, now=NOW, cursor="", size=9)]
        assert await store.delete(page.records) == [NoAnswer()]
        with pytest.raises(TransientError):
            await store.divide(category, category.rules[0], now=NOW, most=1)
        with pytest.raises(TransientError):
            await store.now(category)


@pytest.mark.parametrize("applied", [False, True])
async def test_the_fake_gives_no_answer_to_the_record_chosen_and_the_next_try_tells(applied: bool) -> None:
    shelf = MemoryShelf(records=MemoryRecords(), container="records")
    governed = Governed(shelf=shelf, category=item_category("records"))
    await governed.write(range(3))
    records = await governed.listed()
    shelf.records.fail(nth=2, applied=applied, retry_after=0.5)
    assert await governed.store.delete(records) == ["deleted", NoAnswer(retry_after=0.5), "deleted"]
    assert await governed.left() == ([] if applied else ["0001"])
    assert await governed.store.delete(records[1:2]) == (["missing"] if applied else ["deleted"])


@pytest.fixture(params=[1, 6], ids=["batch", "single"])
async def six(request: pytest.FixtureRequest, cosmos_items: CosmosShelf) -> Governed:
    """Six items of one partition, which go in a batch, or of six, which go one by one."""
    governed = Governed(shelf=cosmos_items, category=item_category(cosmos_items.container), homes=request.param)
    await governed.write(range(6))
    return governed


async def test_throttled_deletes_wait_as_asked_and_succeed(six: Governed) -> None:
    records = await six.listed()
    six.shelf.fault(status=429, count=4, retry_after_ms=10, **BATCHES)
    assert await six.store.delete(records) == ["deleted"] * 6
    assert await six.left() == []


async def test_deletes_throttled_for_too_long_have_no_answer_and_say_how_long_to_wait(six: Governed) -> None:
    records = await six.listed()
    six.shelf.fault(status=429, count=1000, retry_after_ms=3, **BATCHES)
    assert await six.store.delete(records) == [NoAnswer(retry_after=0.003)] * 6
    six.shelf.heal()
    assert len(await six.left()) == 6
    assert await six.store.delete(records) == ["deleted"] * 6


async def test_deletes_that_a_service_cannot_serve_have_no_answer(six: Governed) -> None:
    records = await six.listed()
    six.shelf.fault(status=503, count=1000, retry_after_ms=2000, **BATCHES)
    answers = await six.store.delete(records)
    assert answers == [NoAnswer(retry_after=2.0)] * 6
    six.shelf.heal()
    assert len(await six.left()) == 6


@pytest.mark.parametrize("status", [0, 500, 503])
async def test_deletes_whose_answer_was_lost_have_no_answer_or_are_missing_and_never_deleted_twice(
    six: Governed, status: int
) -> None:
    records = await six.listed()
    six.shelf.fault(status=status, count=1000, applied=True, **BATCHES)
    answers = await six.store.delete(records)
    assert set(answers) <= {NoAnswer(), "missing"}
    six.shelf.heal()
    assert await six.left() == []
    assert await six.store.delete(records) == ["missing"] * 6


async def test_an_item_of_another_version_is_changed_or_replaced_where_the_client_asked_more_than_once(
    six: Governed,
) -> None:
    records = await six.listed()
    await six.write(range(6))
    assert await six.store.delete(records) == ["changed"] * 6
    six.shelf.fault(status=429, count=1, retry_after_ms=10, **BATCHES)
    answers = list(await six.store.delete(records))
    asked_twice = 6 if six.homes == 1 else 1  # those of the batch that was refused and repeated
    assert sorted(map(str, answers)) == ["changed"] * (6 - asked_twice) + ["replaced"] * asked_twice


async def test_a_blob_of_another_version_is_changed_or_replaced_where_the_client_asked_more_than_once(
    azurite: Any, azurite_blobs: BlobShelf
) -> None:
    category = blob_category(azurite_blobs.container)
    await azurite_blobs.put(category, ["2026-01-01/a", "2026-01-01/b"])
    [part] = (await azurite_blobs.records.divide(category, category.rules[0], now=NOW, most=1)).parts
    [page] = [
        p async for p in azurite_blobs.records.expired(category, category.rules[0], part, now=NOW, cursor="", size=9)
    ]
    await azurite_blobs.put(category, ["2026-01-01/a"])
    account = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(
        account, retry_policy=retry_policy(), _additional_pipeline_policies=[Busy()]
    ) as service:
        store = replace(azurite_blobs.records, service=service)
        assert await store.delete(page.records) == ["replaced", "missing"], "a deletion whose answer was 503"
    assert await azurite_blobs.records.delete(page.records) == ["changed", "missing"]


async def test_one_lost_answer_among_several_leaves_the_others_theirs(cosmos_items: CosmosShelf) -> None:
    governed = Governed(shelf=cosmos_items, category=item_category(cosmos_items.container), homes=6)
    await governed.write(range(6))
    records = await governed.listed()
    cosmos_items.fault(status=500, skip=3, applied=True, method="POST", path_contains="/docs")
    answers = list(await governed.store.delete(records))
    answers.remove(NoAnswer())
    assert answers == ["deleted"] * 5


async def test_leaving_without_an_answer_is_found_done_by_the_next_try(cosmos_items: CosmosShelf) -> None:
    category, records = await members(cosmos_items, ["u0", "u1"])
    # The item is read by a query first; then the patch goes in a batch.
    cosmos_items.fault(status=500, count=1000, skip=1, applied=True, method="POST", path_contains="/docs")
    assert await cosmos_items.records.delete(records, leaver=PERSON) == [NoAnswer()]
    cosmos_items.heal()
    assert await cosmos_items.records.delete(records, leaver=PERSON) == ["missing"]
    held = await cosmos_items.item(category, "h0", "h0")
    assert held is not None
    assert held["members"] == ["u0"]


async def test_a_database_that_is_away_gives_no_answer(cosmos_items: CosmosShelf) -> None:
    governed = Governed(shelf=cosmos_items, category=item_category(cosmos_items.container), homes=2)
    await governed.write(range(2))
    records = await governed.listed()
    cosmos_items.fault(status=0, count=1000)
    assert await governed.store.delete(records) == [NoAnswer()] * 2
    with pytest.raises(TransientError):
        await governed.store.now(governed.category)
