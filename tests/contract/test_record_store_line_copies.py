"""What an account keeps of a log that lines left goes too, or is told: versions, snapshots, and what is soft-deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.storage.blob.aio import BlobServiceClient
from record_stores import BlobShelf, VersionsShelf, all_of, log_category, versions_shelf
from web_log import ME, OTHER, VISIT, at, lines, named

from local.azure.account import Blob, Settings
from shared.model import Record
from shared.policy import Category
from shared.stores.blob_records import BlobRecords
from shared.stores.interface import NoAnswer, Recoverable

pytest_plugins = ["record_store_fixture"]

NAME = named(at(10))
MINE = lines((at(10, 5), ME))
REST = lines((at(10, 6), OTHER))


@dataclass(kw_only=True)
class Kept:
    """An account with one log, that of ten o'clock."""

    shelf: VersionsShelf
    category: Category

    @property
    def blob(self) -> Blob:
        return self.shelf.account.containers[self.shelf.container].blobs.get(NAME, Blob())

    async def write(self, data: bytes) -> None:
        await self.shelf.write(self.category, NAME, data)

    async def snapshot(self) -> None:
        await self.shelf.client.get_blob_client(NAME).create_snapshot()

    async def listed(self) -> list[Record]:
        return await all_of(self.shelf, self.category, VISIT)

    async def leave(self, records: list[Record], store: BlobRecords | None = None) -> Any:
        [answer] = await (store or self.shelf.records).delete(records, leaver=VISIT)
        return answer

    def contents(self) -> list[bytes]:
        """Of all that the account holds of the log, softly deleted or not."""
        return [copy.data for copy in self.blob.copies()]

    @asynccontextmanager
    async def refusing(self, operation: str, status: int = 503) -> AsyncIterator[BlobRecords]:
        """A store whose client does not try again, on an account that refuses something."""
        client = self.shelf.records.service
        async with BlobServiceClient(client.url, credential=client.credential, retry_total=0) as impatient:
            self.shelf.account.settings.refused[operation] = status
            yield replace(self.shelf.records, service=impatient)
            self.shelf.account.settings.refused.clear()


@asynccontextmanager
async def kept(settings: Settings, *contents: bytes) -> AsyncIterator[Kept]:
    """An account of these settings; the log was written with each of the contents in turn."""
    async with AsyncExitStack() as stack:
        shelf = await versions_shelf(stack, settings)
        made = Kept(shelf=shelf, category=log_category(shelf))
        for content in contents:
            await made.write(content)
        yield made


def within_days(answer: Any, days: float) -> bool:
    """Whether the answer is recoverable until so many days from now, to the minute."""
    assert isinstance(answer, Recoverable)
    assert answer.until is not None
    return abs(answer.until - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=1)


ERASABLE = {
    "plain": Settings(),
    "versions": Settings(versioning=True),
    "soft delete": Settings(soft_delete_days=7, permanent_delete=True),
    "both": Settings(versioning=True, soft_delete_days=7, permanent_delete=True),
    "hierarchical": Settings(hierarchical=True),
}
KEPT_BY_SOFT_DELETE = {
    "soft delete": Settings(soft_delete_days=7),
    "both": Settings(versioning=True, soft_delete_days=7),
}


@pytest.fixture(params=ERASABLE)
def erasable(request: pytest.FixtureRequest) -> Settings:
    return replace(ERASABLE[request.param], refused={})


# ---------------------------------------------------------------- where everything may go


async def test_nothing_that_the_account_keeps_holds_the_lines_after_they_left(erasable: Settings) -> None:
    async with kept(erasable, MINE, MINE + REST) as log:
        assert await log.leave(await log.listed()) == "left"
        assert log.contents() == [REST]


async def test_snapshots_that_somebody_took_go_if_they_hold_a_line(erasable: Settings) -> None:
    async with kept(erasable, MINE) as log:
        await log.snapshot()
        await log.write(MINE + REST)
        assert await log.leave(await log.listed()) == "left"
        assert log.contents() == [REST]


async def test_a_snapshot_of_azurite_goes_if_it_holds_a_line(azurite_blobs: BlobShelf) -> None:
    category = log_category(azurite_blobs)
    blob = azurite_blobs.client.get_blob_client(NAME)
    for content in (REST, MINE, MINE + REST):
        await azurite_blobs.write(category, NAME, content)
        await blob.create_snapshot()
    await azurite_blobs.write(category, NAME, MINE + REST + REST)
    assert await azurite_blobs.records.delete(await all_of(azurite_blobs, category, VISIT), leaver=VISIT) == ["left"]
    left = [each async for each in azurite_blobs.client.list_blobs(include=["snapshots"])]
    assert [(bool(each.snapshot), each.size) for each in left] == [(True, len(REST)), (False, 2 * len(REST))]


@pytest.mark.parametrize("operation", ["list-versions", "delete-version", "permanent-delete", "read-copy"])
async def test_copies_that_gave_no_answer_conclude_nothing_and_the_repeat_erases_them(
    erasable: Settings, operation: str
) -> None:
    async with kept(erasable, MINE) as log:
        await log.snapshot()
        await log.write(MINE + REST)
        records = await log.listed()
        async with log.refusing(operation) as store:
            first = await log.leave(records, store)
            assert first in {NoAnswer(), "left"}
            assert (first == "left") == (log.contents() == [REST])
        assert await log.shelf.records.there(records, leaver=VISIT) == ["missing"]
        assert await log.leave(records) == "missing"
        assert log.contents() == [REST]
        assert await log.leave(records) == "missing"


class DyingAfter(AsyncHTTPPolicy[Any, Any]):
    """Sends so many deletes, and none after them."""

    def __init__(self, deletes: int) -> None:
        super().__init__()
        self.left = deletes

    async def send(self, request: Any) -> Any:
        if request.http_request.method == "DELETE":
            self.left -= 1
            if self.left < 0:
                raise ServiceRequestError("died")
        return await self.next.send(request)


@pytest.mark.parametrize("deletes", range(6))
async def test_wherever_an_attempt_dies_its_repeat_finishes(deletes: int) -> None:
    settings = Settings(versioning=True, soft_delete_days=7, permanent_delete=True)
    async with kept(settings, MINE, MINE + MINE, MINE + REST) as log:
        records = await log.listed()
        client = log.shelf.records.service
        policies = [DyingAfter(deletes)]
        async with BlobServiceClient(
            client.url, credential=client.credential, retry_total=0, _additional_pipeline_policies=policies
        ) as dying:
            assert await log.leave(records, replace(log.shelf.records, service=dying)) == NoAnswer()
        assert len(log.contents()) > 1
        assert await log.leave(records) == "missing"
        assert log.contents() == [REST]


async def test_the_versions_of_a_log_that_is_gone_itself_go_too() -> None:
    async with kept(Settings(versioning=True), MINE, MINE + REST) as log:
        records = await log.listed()
        await log.shelf.remove(log.category, NAME)
        assert await log.leave(records) == "missing"
        assert log.contents() == []


# ---------------------------------------------------------------- what stays because it is another's


async def test_versions_newer_than_the_record_stay(erasable: Settings) -> None:
    async with kept(erasable, MINE) as log:
        records = await log.listed()
        for content in (b"", REST, REST + REST):
            await log.write(content)
        newer = log.contents()[1:] if len(log.contents()) > 1 else log.contents()
        assert await log.leave(records) == "missing"
        assert log.contents() == newer


async def test_a_newer_snapshot_without_the_lines_stays(erasable: Settings) -> None:
    async with kept(erasable, MINE, REST) as log:
        await log.snapshot()
        await log.write(MINE + REST)
        records = await log.listed()
        await log.write(REST)
        await log.snapshot()
        await log.write(REST + REST)
        assert await log.leave(records) == "missing"
        assert any(copy.snapshot and not copy.deleted and copy.data == REST for copy in log.blob.copies())
        assert MINE + REST not in log.contents()


async def test_a_log_without_a_line_that_nobody_wrote_since_is_not_touched(erasable: Settings) -> None:
    async with kept(erasable, MINE) as log:
        [record] = await log.listed()
        await log.write(REST)
        base = log.blob.base
        assert base is not None
        before = len(log.shelf.account.requests)
        assert await log.leave([replace(record, etag=base.etag)]) == "missing"
        assert "DELETE blob" not in log.shelf.account.requests[before:]


async def test_a_log_that_was_written_again_with_the_lines_keeps_all_its_copies(erasable: Settings) -> None:
    async with kept(erasable, MINE) as log:
        records = await log.listed()
        await log.write(MINE + REST)
        before = log.contents()
        assert await log.leave(records) == "changed"
        assert log.contents() == before


async def test_the_copies_of_a_log_whose_name_begins_the_same_stay(erasable: Settings) -> None:
    async with kept(erasable, MINE + REST) as log:
        other = f"{NAME}.old"
        for _ in range(2):
            await log.shelf.client.upload_blob(other, MINE, overwrite=True)
        blobs = log.shelf.account.containers[log.shelf.container].blobs
        before = list(blobs[other].copies())
        assert await log.leave(await log.listed()) == "left"
        assert list(blobs[other].copies()) == before


# ---------------------------------------------------------------- where something stays


@pytest.mark.parametrize("kind", KEPT_BY_SOFT_DELETE)
async def test_lines_that_soft_delete_keeps_are_recoverable_until_then_and_gone_after(kind: str) -> None:
    async with kept(replace(KEPT_BY_SOFT_DELETE[kind], refused={}), MINE, MINE + REST) as log:
        assert within_days(await log.leave(await log.listed()), 7)
        assert MINE + REST in log.contents()
        log.shelf.account.advance(timedelta(days=7))
        assert log.contents() == [REST]


async def test_a_copy_kept_longer_than_the_others_tells_the_end() -> None:
    async with kept(Settings(soft_delete_days=90), MINE, MINE + REST) as log:
        log.shelf.account.settings.soft_delete_days = 7
        assert within_days(await log.leave(await log.listed()), 90)


async def test_what_soft_delete_kept_before_it_was_switched_off_is_still_told() -> None:
    async with kept(Settings(soft_delete_days=7), MINE, MINE + REST) as log:
        log.shelf.account.settings.soft_delete_days = None
        assert within_days(await log.leave(await log.listed()), 7)


@pytest.mark.parametrize("status", [403, 409])
async def test_a_version_that_may_not_be_deleted_is_recoverable_without_end(status: int) -> None:
    async with kept(Settings(versioning=True, refused={"delete-version": status}), MINE + REST) as log:
        assert await log.leave(await log.listed()) == Recoverable(until=None)
        log.shelf.account.advance(timedelta(days=5_000))
        assert log.contents() == [MINE + REST, REST]


async def test_an_immutable_version_is_recoverable_without_end_and_the_others_go() -> None:
    async with kept(Settings(versioning=True), MINE, MINE + REST) as log:
        records = await log.listed()
        base = log.blob.base
        assert base is not None
        log.blob.base = replace(base, immutable_until=datetime.now(UTC) + timedelta(days=30))
        assert await log.leave(records) == Recoverable(until=None)
        assert log.contents() == [MINE + REST, REST]


@pytest.mark.parametrize(("how", "said"), [("days", "immutability"), ("hold", "legal-hold")])
async def test_an_immutable_log_is_blocked_and_its_copies_stay(how: str, said: str) -> None:
    async with kept(Settings(versioning=True), MINE, MINE + REST) as log:
        records = await log.listed()
        container = log.shelf.account.containers[log.shelf.container]
        container.immutable_days, container.legal_hold = (30, False) if how == "days" else (None, True)
        assert await log.leave(records) == said
        assert log.contents() == [MINE, MINE + REST]


# ---------------------------------------------------------------- what it costs


async def test_an_account_that_keeps_nothing_pays_one_request_for_each_log() -> None:
    async with kept(Settings(), *[MINE + REST] * 3) as log:
        for hour in (9, 11):
            await log.shelf.write(log.category, named(at(hour)), lines((at(max(10, hour), 30), ME)))
        records = await log.listed()
        before = len(log.shelf.account.requests)
        assert await log.shelf.records.delete(records, leaver=VISIT) == ["left"] * 3
        asked = log.shelf.account.requests[before:]
        assert sorted(asked) == ["GET blob"] * 3 + ["GET list"] * 3 + ["PUT blob"] * 3


async def test_permanent_delete_that_is_refused_is_asked_once() -> None:
    async with kept(Settings(versioning=True, soft_delete_days=7), *[MINE + REST] * 3) as log:
        records = await log.listed()
        before = len(log.shelf.account.requests)
        assert within_days(await log.leave(records), 7)
        assert log.shelf.account.requests[before:].count("DELETE blob") == 3 + 1
