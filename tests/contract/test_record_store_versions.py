"""What an account keeps of a deleted blob goes too, or is told: versions, soft delete, permanent delete, immutability."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob.aio import BlobServiceClient
from record_stores import LATER, Governed, blob_category, versions_shelf

from local.azure.account import Blob, Settings
from shared.journal import decode_record, encode_record
from shared.stores.blob_records import BlobRecords
from shared.stores.interface import NoAnswer, Recoverable

Shelf: TypeAlias = Callable[[Settings], Coroutine[Any, Any, Governed]]


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    async with AsyncExitStack() as stack:

        async def make(settings: Settings) -> Governed:
            made = await versions_shelf(stack, settings)
            return Governed(shelf=made, category=blob_category(made.container))

        yield make


def held(governed: Governed, number: int = 0) -> Blob:
    """What the account holds under a record's name."""
    blobs = governed.shelf.account.containers[governed.shelf.container].blobs
    return blobs.get(governed.key(number), Blob())


def copies(governed: Governed, number: int = 0) -> int:
    return len(list(held(governed, number).copies()))


def within_days(answer: Any, days: float) -> bool:
    """Whether the answer is recoverable until so many days from now, to the minute."""
    assert isinstance(answer, Recoverable)
    assert answer.until is not None
    return abs(answer.until - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=1)


async def asked(governed: Governed, records: Any) -> tuple[list[Any], list[str]]:
    """The answers of one delete, and the requests that it took."""
    before = len(governed.shelf.account.requests)
    answers = list(await governed.store.delete(records))
    return answers, governed.shelf.account.requests[before:]


# ---------------------------------------------------------------- where everything may go


async def test_every_version_of_a_deleted_blob_goes_with_it(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True))
    for _ in range(3):
        await governed.write(range(2))
    assert await governed.store.delete(await governed.listed()) == ["deleted", "deleted"]
    assert copies(governed, 0) == copies(governed, 1) == 0


async def test_versions_that_soft_delete_would_keep_go_for_good_where_the_account_allows_it(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True, soft_delete_days=30, permanent_delete=True))
    await governed.write([0])
    await governed.shelf.client.get_blob_client(governed.key(0)).create_snapshot()
    await governed.write([0])
    assert await governed.store.delete(await governed.listed()) == ["deleted"]
    assert copies(governed) == 0
    with pytest.raises(HttpResponseError):
        await governed.shelf.client.get_blob_client(governed.key(0)).undelete_blob()


async def test_what_an_attempt_left_of_a_blob_is_erased_by_its_repeat(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True, soft_delete_days=7, permanent_delete=True))
    await governed.write(range(2))
    await governed.write([0])
    records = await governed.listed()
    await governed.remove(0)  # as by a worker that died after the batch
    assert await governed.store.delete(records) == ["missing", "deleted"]
    assert copies(governed, 0) == copies(governed, 1) == 0


async def test_a_version_newer_than_the_record_stays(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True))
    await governed.write([0])
    records = await governed.listed()
    await governed.write([0])
    await governed.remove(0)
    newer = held(governed).versions[-1]
    assert await governed.store.delete(records) == ["missing"]
    assert held(governed).versions == [newer]
    assert await governed.store.delete(records) == ["missing"]
    assert held(governed).versions == [newer]


async def test_a_renewed_blob_keeps_its_versions(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True))
    await governed.write([0])
    records = await governed.listed()
    await governed.write([0])
    assert await governed.store.delete(records) == ["changed"]
    assert copies(governed) == 2


async def test_a_blob_written_again_after_the_delete_keeps_its_current_state(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True))
    await governed.write([0])
    records = await governed.listed()
    await governed.remove(0)
    await governed.write([0])
    assert await governed.store.delete(records) == ["changed"]
    assert await governed.left() == [governed.key(0)]


async def test_a_name_that_begins_another_name_leaves_the_other_s_versions(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True))
    names = ["2026-01-01/a", "2026-01-01/a.jpg"]
    for _ in range(2):
        await governed.shelf.put(governed.category, names)
    [record, _] = await governed.listed()
    assert await governed.store.delete([record]) == ["deleted"]
    blobs = governed.shelf.account.containers[governed.shelf.container].blobs
    assert [len(list(blobs[name].copies())) for name in names] == [0, 2]


async def test_versions_left_from_before_versioning_was_switched_off_go_too(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True))
    for _ in range(2):
        await governed.write(range(3))
    governed.shelf.account.settings.versioning = False
    assert await governed.store.delete(await governed.listed()) == ["deleted"] * 3
    assert [copies(governed, n) for n in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("versioned", [[1], [2], [0, 2]])
@pytest.mark.parametrize("read_back", [False, True], ids=["listed", "from a journal"])
async def test_a_version_that_only_some_of_a_batch_have_goes_with_its_blob(
    shelf: Shelf, versioned: list[int], read_back: bool
) -> None:
    governed = await shelf(Settings(versioning=True))
    for _ in range(2):
        await governed.write(versioned)
    governed.shelf.account.settings.versioning = False
    await governed.write(range(3))
    records = await governed.listed()
    if read_back:  # by another process, as after a crash
        records = [decode_record(encode_record(record)) for record in records]
        governed.shelf.records = BlobRecords(service=governed.shelf.records.service, account="data")
    assert await governed.store.delete(records) == ["deleted"] * 3
    assert [copies(governed, n) for n in range(3)] == [0, 0, 0]


async def test_versions_of_blobs_that_were_listed_before_versioning_was_switched_on_go_too(shelf: Shelf) -> None:
    governed = await shelf(Settings())
    await governed.write(range(3))
    records = await governed.listed()
    governed.shelf.account.settings.versioning = True
    assert await governed.store.delete(records) == ["deleted"] * 3
    assert [copies(governed, n) for n in range(3)] == [0, 0, 0]


async def test_what_is_only_a_version_is_not_listed(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True))
    for _ in range(2):
        await governed.write(range(2))
    await governed.remove(0)
    assert [record.locator.key for record in await governed.listed()] == [governed.key(1)]


# ---------------------------------------------------------------- where something stays


async def test_a_version_that_soft_delete_keeps_is_recoverable_until_then_and_gone_after(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True, soft_delete_days=7))
    await governed.write([0])
    await governed.write([0])
    [answer] = await governed.store.delete(await governed.listed())
    assert within_days(answer, 7)
    assert copies(governed) == 2
    governed.shelf.account.advance(timedelta(days=7))
    assert copies(governed) == 0


async def test_an_older_copy_kept_longer_than_the_account_s_days_tells_the_end(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True, soft_delete_days=90))
    await governed.write([0])
    await governed.write([0])
    [old] = held(governed).versions
    blob = governed.shelf.client.get_blob_client(governed.key(0))
    await blob.delete_blob(version_id=old.version)
    governed.shelf.account.settings.soft_delete_days = 7
    [answer] = await governed.store.delete(await governed.listed())
    assert within_days(answer, 90)


async def test_soft_delete_without_versions_is_recoverable_and_the_blob_can_be_restored_until_then(
    shelf: Shelf,
) -> None:
    governed = await shelf(Settings(soft_delete_days=7, permanent_delete=True))
    await governed.write([0])
    [answer] = await governed.store.delete(await governed.listed())
    assert within_days(answer, 7)
    await governed.shelf.client.get_blob_client(governed.key(0)).undelete_blob()
    assert await governed.left() == [governed.key(0)]


@pytest.mark.parametrize("status", [403, 409])
async def test_a_version_that_may_not_be_deleted_is_recoverable_without_end(shelf: Shelf, status: int) -> None:
    governed = await shelf(Settings(versioning=True, refused={"delete-version": status}))
    governed.shelf.records = replace(governed.shelf.records, concurrency=1)
    await governed.write(range(3))
    answers, requests = await asked(governed, await governed.listed())
    assert answers == [Recoverable(until=None)] * 3
    assert requests.count("DELETE blob") == (1 if status == 403 else 3)  # no permission: asked once


async def test_permanent_delete_that_is_refused_is_asked_once(shelf: Shelf) -> None:
    settings = Settings(versioning=True, soft_delete_days=7, permanent_delete=True, refused={"permanent-delete": 403})
    governed = await shelf(settings)
    governed.shelf.records = replace(governed.shelf.records, concurrency=1)
    await governed.write(range(3))
    answers, requests = await asked(governed, await governed.listed())
    assert all(within_days(answer, 7) for answer in answers)
    assert requests.count("DELETE blob") == 3 + 1


async def test_an_immutable_version_is_recoverable_without_end_and_the_others_go(shelf: Shelf) -> None:
    governed = await shelf(Settings(versioning=True))
    await governed.write(range(2))
    records = await governed.listed()
    blob = held(governed, 1)
    assert blob.base is not None
    blob.base = replace(blob.base, immutable_until=datetime.now(UTC) + timedelta(days=30))
    assert await governed.store.delete(records) == ["deleted", Recoverable(until=None)]
    assert await governed.left() == []


@pytest.mark.parametrize(("how", "answer"), [("days", "immutability"), ("hold", "legal-hold")])
async def test_an_immutable_container_blocks_the_delete(shelf: Shelf, how: str, answer: str) -> None:
    governed = await shelf(Settings())
    await governed.write([0])
    container = governed.shelf.account.containers[governed.shelf.container]
    container.immutable_days, container.legal_hold = (30, False) if how == "days" else (None, True)
    assert await governed.store.delete(await governed.listed()) == [answer]
    assert copies(governed) == 1


# ---------------------------------------------------------------- no answer


@pytest.mark.parametrize("operation", ["list-versions", "delete-version"])
async def test_copies_that_gave_no_answer_conclude_nothing_and_the_repeat_erases_them(
    shelf: Shelf, operation: str
) -> None:
    governed = await shelf(Settings(versioning=True))
    await governed.write([0])
    records = await governed.listed()
    account = governed.shelf.account
    account.settings.refused[operation] = 503
    client = governed.shelf.records.service
    async with BlobServiceClient(client.url, credential=client.credential, retry_total=0) as impatient:
        store = BlobRecords(service=impatient, account="data")
        assert await store.delete(records) == [NoAnswer()]
        assert copies(governed) == 1
        account.settings.refused.clear()
        assert await store.delete(records) == ["missing"]
    assert copies(governed) == 0


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize("settings", [Settings(), Settings(soft_delete_days=7)], ids=["plain", "soft delete"])
async def test_an_account_without_versions_pays_one_look_for_each_batch(shelf: Shelf, settings: Settings) -> None:
    governed = await shelf(settings)
    await governed.write(range(300))
    answers, requests = await asked(governed, await governed.listed())
    assert len(answers) == 300
    assert (requests.count("POST batch"), requests.count("GET list")) == (2, 2)
    assert len(requests) <= 6  # and, with soft delete, its days and the clock


async def test_a_listing_looks_for_versions_in_the_requests_that_it_makes_anyway(shelf: Shelf) -> None:
    governed = await shelf(Settings())
    await governed.write(range(20))
    category, account = governed.category, governed.shelf.account
    before = len(account.requests)
    [part] = (await governed.store.divide(category, category.rules[0], now=LATER, most=1)).parts
    pages = governed.store.expired(category, category.rules[0], part, now=LATER, cursor="", size=100)
    assert [record.alone for page in [page async for page in pages] for record in page.records] == [True] * 20
    assert account.requests[before:] == ["GET list", "GET list"]  # the days, and what is under one of them


async def test_records_read_back_from_a_journal_are_looked_at_one_by_one(shelf: Shelf) -> None:
    governed = await shelf(Settings())
    await governed.write(range(20))
    answers, requests = await asked(governed, [decode_record(encode_record(r)) for r in await governed.listed()])
    assert answers == ["deleted"] * 20
    assert (requests.count("POST batch"), requests.count("GET list")) == (1, 20)


async def test_an_account_with_a_hierarchical_namespace_has_no_versions_to_look_for(shelf: Shelf) -> None:
    governed = await shelf(Settings(hierarchical=True))
    await governed.write(range(3))
    assert await governed.store.delete(await governed.listed()) == ["deleted"] * 3
