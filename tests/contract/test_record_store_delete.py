"""The contract of RecordStore, deleting: one true answer for each record, in order, and NoAnswer where none is proved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from azure.storage.blob.aio import BlobServiceClient

from local import servers
from local.processes import free_port
from shared.errors import PermanentError, TransientError
from shared.model import Action, Record, Scope, ScopeKind
from shared.policy import Category
from shared.stores.blob_records import BlobRecords
from shared.stores.interface import NoAnswer, RecordStore
from shared.stores.memory_records import MemoryRecords

if TYPE_CHECKING:  # pytest itself imports the fixtures, so that their assertions are rewritten
    from record_store_fixture import BlobShelf, CosmosShelf, MemoryShelf

    Items = MemoryShelf | CosmosShelf

pytest_plugins = ["record_store_fixture"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PERSON = Scope(kind=ScopeKind.PERSON, id="u1")


def blob_category(container: str) -> Category:
    from record_store_fixture import category

    store = {"kind": "blob", "account": "data", "container": container, "layout": "{taken:%Y-%m-%d}/{name}"}
    return category(store, {"start": {"from": "name", "field": "taken"}, "period": "P7D"})


def item_category(container: str) -> Category:
    from record_store_fixture import category

    store = {"kind": "cosmos", "account": "main", "container": container, "partition_key": "/homeId"}
    find = {"person": {"by": "member", "field": "members"}, "home": {"by": "partition"}}
    rule = {"start": {"from": "field", "field": "at"}, "period": "P30D"}
    return category(store, rule, belongs_to="home", find=find)


@dataclass(kw_only=True)
class Governed:
    """A store under test with one category; records are numbered from 0."""

    shelf: Any
    category: Category
    homes: int = 1

    @property
    def store(self) -> RecordStore:
        return self.shelf.records

    def key(self, number: int) -> str:
        return f"2026-01-01/{number:04}" if self.category.store.kind == "blob" else f"{number:04}"

    def partition(self, number: int) -> str:
        return "" if self.category.store.kind == "blob" else f"h{number % self.homes}"

    async def write(self, numbers: Iterable[int]) -> None:
        """Write records, or write them again: a new version each time."""
        if self.category.store.kind == "blob":
            await self.shelf.put(self.category, [self.key(number) for number in numbers])
            return
        rows = [{"id": self.key(n), "homeId": self.partition(n), "at": "2026-01-01T00:00:00Z"} for n in numbers]
        await self.shelf.put(self.category, rows)

    async def remove(self, number: int) -> None:
        await self.shelf.remove(self.category, self.key(number), self.partition(number))

    async def listed(self) -> list[Record]:
        """All records, in the order of their numbers."""
        from record_store_fixture import listed

        found = await listed(self.shelf, self.category, now=NOW, size=1000)
        return sorted(found.records, key=lambda record: record.locator.key)

    async def left(self) -> list[str]:
        return await self.shelf.keys(self.category)


@pytest.fixture(params=["memory blobs", "memory items", "azurite", "cosmos"])
async def governed(request: pytest.FixtureRequest) -> AsyncIterator[Governed]:
    from record_store_fixture import MemoryShelf, blob_shelf, cosmos_shelf

    async with AsyncExitStack() as stack:
        if request.param == "azurite":
            shelf: Any = await blob_shelf(stack, request.getfixturevalue("azurite").program.port)
        elif request.param == "cosmos":
            shelf = await cosmos_shelf(stack, request.getfixturevalue("cosmos").program.port, "/homeId")
        else:
            shelf = MemoryShelf(records=MemoryRecords(), container=f"records-{uuid4()}")
        blob = request.param in {"memory blobs", "azurite"}
        yield Governed(shelf=shelf, category=(blob_category if blob else item_category)(shelf.container))


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


@pytest.mark.parametrize("homes", [1, 40])
async def test_answers_are_in_the_order_asked_over_several_batches_with_refusals_in_their_middle(
    governed: Governed, homes: int
) -> None:
    governed.homes = homes
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


async def test_a_leased_blob_stays_and_the_others_of_its_batch_go(blobs: MemoryShelf | BlobShelf) -> None:
    governed = Governed(shelf=blobs, category=blob_category(blobs.container))
    await governed.write(range(3))
    records = await governed.listed()
    await blobs.lease(governed.category, governed.key(1))
    assert await governed.store.delete(records) == ["deleted", "lease", "deleted"]
    assert await governed.left() == [governed.key(1)]


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


async def test_nobody_can_leave_a_blob(blobs: MemoryShelf | BlobShelf) -> None:
    governed = Governed(shelf=blobs, category=blob_category(blobs.container))
    await governed.write([0])
    [record] = await governed.listed()
    with pytest.raises(PermanentError):
        await governed.store.delete([replace(record, action=Action.LEAVE)], leaver=PERSON)
    assert await governed.left() == [governed.key(0)]


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


# ---------------------------------------------------------------- members


async def members(items: Items, *homes: Sequence[str]) -> tuple[Category, list[Record]]:
    """Homes h0, h1, ... with these members, and the records by which u1 leaves theirs."""
    category = item_category(items.container)
    rows = [{"id": f"h{n}", "homeId": f"h{n}", "name": "home", "members": [*each]} for n, each in enumerate(homes)]
    await items.put(category, rows)
    found = [r async for page in items.records.of_scope(category, PERSON, size=10) for r in page.records]
    return category, sorted(found, key=lambda record: record.locator.key)


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


# ---------------------------------------------------------------- no answer


@pytest.mark.parametrize("applied", [False, True])
async def test_the_fake_gives_no_answer_to_the_record_chosen_and_the_next_try_tells(applied: bool) -> None:
    from record_store_fixture import MemoryShelf

    shelf = MemoryShelf(records=MemoryRecords(), container="records")
    governed = Governed(shelf=shelf, category=item_category("records"))
    await governed.write(range(3))
    records = await governed.listed()
    shelf.records.fail(nth=2, applied=applied, retry_after=0.5)
    assert await governed.store.delete(records) == ["deleted", NoAnswer(retry_after=0.5), "deleted"]
    assert await governed.left() == ([] if applied else ["0001"])
    assert await governed.store.delete(records[1:2]) == (["missing"] if applied else ["deleted"])


def batch(governed: Governed) -> dict[str, str]:
    """The requests that delete: single items by DELETE, several of one partition by POST."""
    return {"method": "POST", "path_contains": "/docs"} if governed.homes == 1 else {"method": "DELETE"}


@pytest.fixture(params=[1, 6], ids=["batch", "single"])
async def six(request: pytest.FixtureRequest, cosmos_items: CosmosShelf) -> Governed:
    """Six items of one partition, which go in a batch, or of six, which go one by one."""
    governed = Governed(shelf=cosmos_items, category=item_category(cosmos_items.container), homes=request.param)
    await governed.write(range(6))
    return governed


async def test_throttled_deletes_wait_as_asked_and_succeed(six: Governed) -> None:
    records = await six.listed()
    six.shelf.fault(status=429, count=4, retry_after_ms=10, **batch(six))
    assert await six.store.delete(records) == ["deleted"] * 6
    assert await six.left() == []


async def test_deletes_throttled_for_too_long_have_no_answer_and_say_how_long_to_wait(six: Governed) -> None:
    records = await six.listed()
    six.shelf.fault(status=429, count=1000, retry_after_ms=3, **batch(six))
    assert await six.store.delete(records) == [NoAnswer(retry_after=0.003)] * 6
    six.shelf.heal()
    assert len(await six.left()) == 6
    assert await six.store.delete(records) == ["deleted"] * 6


async def test_deletes_that_a_service_cannot_serve_have_no_answer(six: Governed) -> None:
    records = await six.listed()
    six.shelf.fault(status=503, count=1000, retry_after_ms=2000, **batch(six))
    answers = await six.store.delete(records)
    assert answers == [NoAnswer(retry_after=2.0)] * 6
    six.shelf.heal()
    assert len(await six.left()) == 6


@pytest.mark.parametrize("status", [0, 500, 503])
async def test_deletes_whose_answer_was_lost_have_no_answer_or_are_missing_and_never_deleted_twice(
    six: Governed, status: int
) -> None:
    records = await six.listed()
    six.shelf.fault(status=status, count=1000, applied=True, **batch(six))
    answers = await six.store.delete(records)
    assert set(answers) <= {NoAnswer(), "missing"}
    six.shelf.heal()
    assert await six.left() == []
    assert await six.store.delete(records) == ["missing"] * 6


async def test_one_lost_answer_among_several_leaves_the_others_theirs(cosmos_items: CosmosShelf) -> None:
    governed = Governed(shelf=cosmos_items, category=item_category(cosmos_items.container), homes=6)
    await governed.write(range(6))
    records = await governed.listed()
    cosmos_items.fault(status=500, count=1000, applied=True, method="DELETE", path_contains="/docs/0003")
    answers = list(await governed.store.delete(records))
    assert answers.pop(3) == NoAnswer()
    assert answers == ["deleted"] * 5


async def test_leaving_without_an_answer_is_found_done_by_the_next_try(cosmos_items: CosmosShelf) -> None:
    category, records = await members(cosmos_items, ["u0", "u1"])
    cosmos_items.fault(status=500, count=1000, applied=True, method="PATCH")
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
