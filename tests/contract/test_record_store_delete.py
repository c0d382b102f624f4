"""The contract of RecordStore, deleting: one true answer for each record, in order, and NoAnswer where none is proved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.storage.blob import RetentionPolicy
from azure.storage.blob.aio import BlobServiceClient
from record_stores import (
    LATER,
    PERSON,
    Blobs,
    BlobShelf,
    CosmosShelf,
    Governed,
    Items,
    MemoryShelf,
    blob_category,
    governed_items,
    item_category,
    listed,
    members,
    row,
)

from local import servers
from shared.errors import PermanentError
from shared.model import Action, Scope, ScopeKind
from shared.stores.blob import retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.interface import Recoverable
from shared.stores.memory_records import MemoryRecords

pytest_plugins = ["record_store_fixture"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)


# ---------------------------------------------------------------- every store


async def test_the_version_that_was_listed_is_deleted(governed: Governed) -> None:
    await governed.write(range(3))
    [_, second, _] = await governed.listed()
    assert await governed.store.delete([second]) == ["deleted"]
    assert await governed.left() == [governed.key(0), governed.key(2)]


async def test_a_record_that_is_gone_is_missing(governed: Governed) -> None:
    await governed.write([0])
    records = await governed.listed()
    await governed.remove(0)
    assert await governed.store.delete(records) == ["missing"]


async def test_a_record_that_was_written_again_is_changed_and_stays(governed: Governed) -> None:
    await governed.write([0])
    records = await governed.listed()
    await governed.write([0])
    assert await governed.store.delete(records) == ["changed"]
    assert await governed.left() == [governed.key(0)]


async def test_a_second_delete_of_the_same_version_is_missing(governed: Governed) -> None:
    await governed.write(range(2))
    records = await governed.listed()
    assert await governed.store.delete(records) == ["deleted", "deleted"]
    assert await governed.store.delete(records) == ["missing", "missing"]


async def test_nothing_asked_is_nothing_answered(governed: Governed) -> None:
    assert await governed.store.delete([]) == []


async def check_300(governed: Governed) -> None:
    await governed.write(range(300))
    records = await governed.listed()
    changed, gone = (0, 42, 43, 150, 255, 256, 299), (1, 41, 99, 100, 298)
    await governed.write(changed)
    for number in gone:
        await governed.remove(number)
    expected = ["changed" if n in changed else "missing" if n in gone else "deleted" for n in range(300)]
    asked = sorted(zip(records, expected, strict=True), key=lambda pair: pair[0].locator.key[::-1])
    assert await governed.store.delete([record for record, _ in asked]) == [answer for _, answer in asked]
    assert await governed.left() == [governed.key(number) for number in changed]


async def test_answers_are_in_the_order_asked_over_several_batches_with_refusals_in_their_middle(
    governed: Governed,
) -> None:
    await check_300(governed)


async def test_answers_are_in_the_order_asked_over_many_partitions(items: Items) -> None:
    await check_300(Governed(shelf=items, category=item_category(items.container), homes=40))


async def test_a_batch_in_which_every_record_is_refused_is_answered_in_full(governed: Governed) -> None:
    await governed.write(range(12))
    records = await governed.listed()
    await governed.write(range(12))
    assert await governed.store.delete(records) == ["changed"] * 12
    assert len(await governed.left()) == 12


async def test_the_same_record_asked_for_twice_is_deleted_once(governed: Governed) -> None:
    await governed.write(range(2))
    [first, second] = await governed.listed()
    assert sorted(await governed.store.delete([first, second, first])) == ["deleted", "deleted", "missing"]
    assert await governed.left() == []


# ---------------------------------------------------------------- blobs


async def test_a_leased_blob_stays_and_the_others_of_its_batch_go(blobs: Blobs) -> None:
    governed = Governed(shelf=blobs, category=blob_category(blobs.container))
    await governed.write(range(3))
    records = await governed.listed()
    await blobs.lease(governed.category, governed.key(1))
    assert await governed.store.delete(records) == ["deleted", "lease", "deleted"]
    assert await governed.left() == [governed.key(1)]


class SoftDelete(AsyncHTTPPolicy[Any, Any]):
    """Azurite deletes for good, soft delete or not: this lets it say of each blob what an account that keeps it says."""

    async def send(self, request: Any) -> Any:
        response = await self.next.send(request)
        if "comp=batch" in request.http_request.url:
            http = response.http_response
            said = b"x-ms-delete-type-permanent: true"
            assert http.body().count(said) == 2
            http._content = http.body().replace(said, said.replace(b"true", b"false"))
        return response


@pytest.mark.parametrize(("set_days", "days"), [(7, 7), (None, 365)])
async def test_what_soft_delete_keeps_is_recoverable_as_long_as_the_account_says_or_a_year(
    azurite_blobs: BlobShelf, azurite: Any, set_days: int | None, days: int
) -> None:
    governed = Governed(shelf=azurite_blobs, category=blob_category(azurite_blobs.container))
    await governed.write(range(3))
    [first, changed, last] = await governed.listed()
    await governed.write([1])
    account = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(
        account, retry_policy=retry_policy(), _additional_pipeline_policies=[SoftDelete()]
    ) as service:
        await service.set_service_properties(
            delete_retention_policy=RetentionPolicy(enabled=set_days is not None, days=set_days)
        )
        store = BlobRecords(service=service, account="data")
        answers = await store.delete([first, changed, last])
        now = await store.now(governed.category)
        await service.set_service_properties(delete_retention_policy=RetentionPolicy(enabled=False))
    assert answers[1] == "changed"
    assert isinstance(answers[0], Recoverable)
    assert answers[0] == answers[2]
    until_now = answers[0].until - timedelta(days=days)  # told to the second by the service: never too early
    assert now - timedelta(seconds=30) <= until_now <= now + timedelta(seconds=2)


async def test_the_fake_s_blobs_are_recoverable_when_it_is_told_so() -> None:
    store = MemoryRecords()
    governed = Governed(shelf=MemoryShelf(records=store, container="records"), category=blob_category("records"))
    await governed.write(range(1))
    store.recoverable_until = NOW
    assert await store.delete(await governed.listed()) == [Recoverable(until=NOW)]
    assert await governed.left() == []


async def test_a_blob_goes_with_its_snapshots(azurite_blobs: BlobShelf) -> None:
    governed = Governed(shelf=azurite_blobs, category=blob_category(azurite_blobs.container))
    await governed.write(range(2))
    await azurite_blobs.client.get_blob_client(governed.key(0)).create_snapshot()
    assert await governed.store.delete(await governed.listed()) == ["deleted", "deleted"]
    assert [blob.name async for blob in azurite_blobs.client.list_blobs(include=["snapshots"])] == []


async def test_blobs_of_two_containers_are_deleted_in_one_call(azurite_blobs: BlobShelf) -> None:
    other = await azurite_blobs.records.service.create_container(f"records-{uuid4()}")
    both = [azurite_blobs, replace(azurite_blobs, client=other, container=other.container_name)]
    stores = [Governed(shelf=shelf, category=blob_category(shelf.container)) for shelf in both]
    records = []
    for governed in stores:
        await governed.write(range(2))
        records += await governed.listed()
    interleaved = [records[n] for n in (0, 2, 1, 3)]
    await stores[1].remove(0)
    assert await azurite_blobs.records.delete(interleaved) == ["deleted", "missing", "deleted", "deleted"]
    await other.delete_container()


async def test_nobody_can_leave_a_blob(blobs: Blobs) -> None:
    governed = Governed(shelf=blobs, category=blob_category(blobs.container))
    await governed.write([0])
    [record] = await governed.listed()
    with pytest.raises(PermanentError):
        await governed.store.delete([replace(record, action=Action.LEAVE)], leaver=PERSON)
    assert await governed.left() == [governed.key(0)]


# ---------------------------------------------------------------- items


@pytest.mark.parametrize("homes", [1, 12], ids=["batch", "single"])
async def test_items_of_any_name_in_any_partition_are_deleted(items: Items, homes: int) -> None:
    category = governed_items(items)
    kinds = ["a b", "100%", "%2F", "a+b;c", "a=b&c", "a'b\"c", "øya", "家", "e\u0301", "😀", "[1]", "a:b@c"]
    partitions = [*kinds[1:], "a/b?c#d"] if homes > 1 else ["a/b?c#d"] * len(kinds)
    old = LATER - timedelta(days=40)
    await items.put(category, [{**row(0, old), "id": k, "homeId": p} for k, p in zip(kinds, partitions, strict=True)])
    found = await listed(items, category, now=LATER)
    assert found.keys == sorted(kinds)
    assert set(await items.records.delete(found.records)) == {"deleted"}
    assert await items.keys(category) == []


# ---------------------------------------------------------------- members


async def test_who_leaves_is_taken_out_and_the_rest_of_the_record_stays(items: Items) -> None:
    category, records = await members(items, ["u0", "u1", "u2"], ["u1"])
    assert await items.records.delete(records, leaver=PERSON) == ["left", "left"]
    expected = {"id": "h0", "homeId": "h0", "name": "home", "members": ["u0", "u2"]}
    assert await items.item(category, "h0", "h0") == expected
    assert await items.item(category, "h1", "h1") == {"id": "h1", "homeId": "h1", "name": "home", "members": []}
    assert not await items.records.empty(category, Scope(kind=ScopeKind.HOME, id="h0"))
    assert await items.records.empty(category, Scope(kind=ScopeKind.HOME, id="h1"))


async def test_leaving_again_is_missing(items: Items) -> None:
    _, records = await members(items, ["u0", "u1"])
    assert await items.records.delete(records, leaver=PERSON) == ["left"]
    assert await items.records.delete(records, leaver=PERSON) == ["missing"]


async def test_leaving_a_record_that_is_gone_is_missing(items: Items) -> None:
    category, records = await members(items, ["u1"])
    await items.remove(category, "h0", "h0")
    assert await items.records.delete(records, leaver=PERSON) == ["missing"]


async def test_leaving_a_record_that_changed_is_refused_and_changes_nothing(items: Items) -> None:
    category, records = await members(items, ["u0", "u1"])
    await items.put(category, [{"id": "h0", "homeId": "h0", "name": "home", "members": ["u1", "u3"]}])
    assert await items.records.delete(records, leaver=PERSON) == ["changed"]
    held = await items.item(category, "h0", "h0")
    assert held is not None
    assert held["members"] == ["u1", "u3"]


async def test_an_empty_record_is_not_deleted_once_somebody_joined(items: Items) -> None:
    category, _ = await members(items, [])
    home = Scope(kind=ScopeKind.HOME, id="h0")
    [record] = [r async for page in items.records.of_scope(category, home, size=10) for r in page.records]
    await items.put(category, [{"id": "h0", "homeId": "h0", "name": "home", "members": ["u9"]}])
    assert await items.records.delete([record]) == ["changed"]
    assert await items.keys(category) == ["h0"]


async def test_a_record_cannot_be_left_by_nobody(items: Items) -> None:
    _, records = await members(items, ["u1"])
    with pytest.raises(PermanentError):
        await items.records.delete(records, leaver=None)


@pytest.mark.parametrize("key", [".", "..", "a b", "100%", "%2e%2e", "æ", "\u0001"])
async def test_an_item_of_any_id_is_looked_at_and_deleted_and_nothing_else_is(
    cosmos_items: CosmosShelf, key: str
) -> None:
    category = item_category(cosmos_items.container)
    for each in (key, "other"):
        await cosmos_items.put(category, [{"id": each, "homeId": "h0", "at": "2020-01-01T00:00:00Z"}])
    records = [r for r in (await listed(cosmos_items, category, now=NOW)).records if r.locator.key == key]
    assert await cosmos_items.records.there(records) == ["same"]
    assert await cosmos_items.records.delete(records) == ["deleted"]
    assert await cosmos_items.records.there(records) == ["missing"]
    assert await cosmos_items.keys(category) == ["other"]
