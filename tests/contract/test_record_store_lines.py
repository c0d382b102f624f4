"""The contract of RecordStore, lines of a log: a visit's lines go in one write, the rest stays, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.storage.blob import AccountSasPermissions, BlobType, ContentSettings, ResourceTypes, generate_account_sas
from azure.storage.blob.aio import BlobServiceClient
from record_stores import Blobs, BlobShelf, all_of, blob_category, log_category
from web_log import ME, OTHER, VISIT, a_visit, at, lines, named

from local import servers
from local.processes import free_port
from shared.errors import PermanentError, TransientError
from shared.model import Action, Record, Scope, ScopeKind
from shared.policy import Category
from shared.stores.blob import retry_policy
from shared.stores.interface import NoAnswer
from shared.stores.line_logs import LineLogs

pytest_plugins = ["record_store_fixture"]


@pytest.fixture
def logs(blobs: Blobs) -> Blobs:
    return blobs


async def three_hours(shelf: Blobs) -> Category:
    """Logs of 9, 10 and 11 o'clock: mine and another's in each, and one of mine an hour too early."""
    category = log_category(shelf)
    for hour in (9, 10, 11):
        await shelf.write(category, named(at(hour)), lines((at(hour, 5), ME), (at(hour, 6), OTHER)))
    return category


async def test_the_blobs_with_a_visits_lines_are_found_to_be_left(logs: Blobs) -> None:
    category = await three_hours(logs)
    found = await all_of(logs, category, VISIT)
    assert sorted(record.locator.key for record in found) == [named(at(10)), named(at(11))]
    assert {(record.action, record.scope, record.names, record.due) for record in found} == {
        (Action.LEAVE, None, (), None)
    }
    assert await all_of(logs, category, a_visit(at(10), at(12), "192.0.2.70")) == []


async def test_the_lines_go_and_the_rest_stays(logs: Blobs) -> None:
    category = await three_hours(logs)
    found = await all_of(logs, category, VISIT)
    assert await logs.records.there(found, leaver=VISIT) == ["same", "same"]
    assert await logs.records.delete(found, leaver=VISIT) == ["left", "left"]
    assert await logs.records.there(found, leaver=VISIT) == ["missing", "missing"]
    assert await logs.data(category, named(at(9))) == lines((at(9, 5), ME), (at(9, 6), OTHER))
    assert await logs.data(category, named(at(10))) == lines((at(10, 6), OTHER))
    assert await logs.data(category, named(at(11))) == lines((at(11, 6), OTHER))
    assert await all_of(logs, category, VISIT) == []


async def test_a_log_of_nothing_but_the_visits_lines_stays_empty(logs: Blobs) -> None:
    category = log_category(logs)
    await logs.write(category, named(at(10)), lines((at(10, 5), ME), (at(10, 6), ME)))
    assert await logs.records.delete(await all_of(logs, category, VISIT), leaver=VISIT) == ["left"]
    assert await logs.data(category, named(at(10))) == b""


async def test_leaving_again_is_missing_and_so_is_leaving_a_log_that_is_gone(logs: Blobs) -> None:
    category = await three_hours(logs)
    found = await all_of(logs, category, VISIT)
    await logs.remove(category, named(at(11)))
    assert await logs.records.there(found, leaver=VISIT) == ["same", "missing"]
    assert await logs.records.delete(found, leaver=VISIT) == ["left", "missing"]
    assert await logs.records.delete(found, leaver=VISIT) == ["missing", "missing"]


async def test_a_log_that_was_written_again_is_changed_and_stays(logs: Blobs) -> None:
    category = await three_hours(logs)
    found = await all_of(logs, category, VISIT)
    more = lines((at(10, 5), ME), (at(10, 50), OTHER))
    await logs.write(category, named(at(10)), more)
    assert await logs.records.there(found, leaver=VISIT) == ["another", "same"]
    assert await logs.records.delete(found, leaver=VISIT) == ["changed", "left"]
    assert await logs.data(category, named(at(10))) == more


async def test_a_log_that_was_written_again_without_the_visit_is_missing(logs: Blobs) -> None:
    category = await three_hours(logs)
    found = await all_of(logs, category, VISIT)
    await logs.write(category, named(at(10)), lines((at(10, 6), OTHER)))
    assert await logs.records.delete(found, leaver=VISIT) == ["missing", "left"]


async def test_a_leased_log_stays(logs: Blobs) -> None:
    category = await three_hours(logs)
    found = await all_of(logs, category, VISIT)
    await logs.lease(category, named(at(10)))
    assert await logs.records.delete(found, leaver=VISIT) == ["lease", "left"]
    assert await logs.data(category, named(at(10))) == lines((at(10, 5), ME), (at(10, 6), OTHER))


async def test_a_line_astray_in_the_next_hours_log_is_found(logs: Blobs) -> None:
    category = log_category(logs)
    await logs.write(category, named(at(12)), lines((at(11, 59), ME), (at(12, 1), ME)))
    await logs.write(category, named(at(9)), lines((at(10, 0), ME)))
    found = await all_of(logs, category, VISIT)
    assert await logs.records.delete(found, leaver=VISIT) == ["left", "left"]
    assert await logs.data(category, named(at(12))) == lines((at(12, 1), ME))


async def test_lines_that_cannot_be_read_stay_and_are_counted(logs: Blobs) -> None:
    category = log_category(logs)
    odd = b"\xff\x00 no JSON\n" + b'{"ip": "192.0.2.7"}\n'
    await logs.write(category, named(at(10)), odd + lines((at(10, 5), ME)))
    pages = [page async for page in logs.records.of_scope(category, VISIT, size=10)]
    assert {reason: n for page in pages for reason, n in page.strange.items()} == {"line cannot be read": 2}
    records = [record for page in pages for record in page.records]
    assert await logs.records.delete(records, leaver=VISIT) == ["left"]
    assert await logs.data(category, named(at(10))) == odd


async def test_the_hour_that_is_still_being_written_is_reported_and_left_alone(logs: Blobs) -> None:
    category = log_category(logs)
    now = await logs.records.now(category)
    before = now - timedelta(hours=1)
    await logs.write(category, named(now), lines((now, ME)))
    await logs.write(category, named(before), lines((before, ME)))
    pages = [p async for p in logs.records.of_scope(category, a_visit(now - timedelta(hours=5), now), size=10)]
    later = await logs.records.now(category)
    found = [record.locator.key for page in pages for record in page.records]
    strange = {reason: n for page in pages for reason, n in page.strange.items()}
    assert (found, strange) == ([named(before)], {"hour is still being written": 1}) or later.hour != now.hour


async def test_blobs_outside_the_layout_are_left_alone(logs: Blobs) -> None:
    category = await three_hours(logs)
    await logs.write(category, "2026-03-01/notes.txt", lines((at(10, 5), ME)))
    found = await all_of(logs, category, VISIT)
    assert sorted(record.locator.key for record in found) == [named(at(10)), named(at(11))]


async def test_lines_leave_for_a_visit_only(logs: Blobs) -> None:
    category = await three_hours(logs)
    found = await all_of(logs, category, VISIT)
    for leaver in (None, Scope(kind=ScopeKind.PERSON, id="u1")):
        with pytest.raises(PermanentError):
            await logs.records.delete(found, leaver=leaver)
    assert await logs.data(category, named(at(10))) == lines((at(10, 5), ME), (at(10, 6), OTHER))


# ---------------------------------------------------------------- Blob storage


async def test_only_the_logs_that_a_visit_can_touch_are_read(azurite_blobs: BlobShelf, azurite: Any) -> None:
    category = log_category(azurite_blobs)
    for day in range(3):
        for hour in range(0, 24, 3):
            start = at(24 * day + hour)
            await azurite_blobs.write(category, named(start), lines((start, ME)))
    seen: list[str] = []

    class Seeing(AsyncHTTPPolicy[Any, Any]):
        async def send(self, request: Any) -> Any:
            seen.append(request.http_request.url)
            return await self.next.send(request)

    async with a_service(azurite, _additional_pipeline_policies=[Seeing()]) as service:
        store = replace(azurite_blobs.records, service=service)
        pages = [page async for page in store.of_scope(category, a_visit(at(33), at(34)), size=10)]
    assert [record.locator.key for page in pages for record in page.records] == [named(at(33))]
    assert sum(".jsonl" in url for url in seen) == 1
    assert sum("2026-03-01%2F" in url or "2026-03-03%2F" in url for url in seen) == 0


def a_service(azurite: Any, **options: Any) -> BlobServiceClient:
    account = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    return BlobServiceClient.from_connection_string(account, retry_policy=retry_policy(), **options)


async def found_in(shelf: BlobShelf) -> tuple[Category, list[Record]]:
    category = await three_hours(shelf)
    return category, await all_of(shelf, category, VISIT)


async def test_headers_metadata_and_index_tags_stay(azurite_blobs: BlobShelf) -> None:
    category = log_category(azurite_blobs)
    await azurite_blobs.client.upload_blob(
        named(at(10)),
        lines((at(10, 5), ME)),
        metadata={"server": "web1"},
        tags={"site": "shop"},
        content_settings=ContentSettings(content_type="application/x-ndjson", cache_control="no-store"),
    )
    await azurite_blobs.records.delete(await all_of(azurite_blobs, category, VISIT), leaver=VISIT)
    blob = azurite_blobs.client.get_blob_client(named(at(10)))
    about = await blob.get_blob_properties()
    assert await blob.get_blob_tags() == {"site": "shop"}
    assert about.metadata == {"server": "web1"}
    assert (about.content_settings.content_type, about.content_settings.cache_control) == (
        "application/x-ndjson",
        "no-store",
    )


async def test_tags_that_may_not_be_read_keep_no_line(azurite_blobs: BlobShelf, azurite: Any) -> None:
    category = log_category(azurite_blobs)
    await azurite_blobs.client.upload_blob(named(at(10)), lines((at(10, 5), ME)), tags={"site": "shop"})
    found = await all_of(azurite_blobs, category, VISIT)
    client = azurite_blobs.records.service
    all_but_tags = AccountSasPermissions(read=True, write=True, list=True)
    until = datetime.now(UTC) + timedelta(hours=1)
    key, things = client.credential.account_key, ResourceTypes(container=True, object=True)
    sas = generate_account_sas(client.credential.account_name, key, things, all_but_tags, until)
    async with BlobServiceClient(client.url, credential=sas) as service:
        assert await replace(azurite_blobs.records, service=service).delete(found, leaver=VISIT) == ["left"]
    assert await azurite_blobs.data(category, named(at(10))) == b""


async def test_a_log_too_large_to_be_read_is_reported_and_left_alone(azurite_blobs: BlobShelf) -> None:
    category = await three_hours(azurite_blobs)
    await azurite_blobs.write(category, named(at(10)), lines(*[(at(10, 5), ME)] * 20))
    store = azurite_blobs.records
    logs = LineLogs(service=store.service, account="data", concurrency=2, finders=store.lines, largest=1000)
    pages = [page async for page in logs.of_scope(category, category.store, VISIT, now=at(100), size=10)]
    assert [record.locator.key for page in pages for record in page.records] == [named(at(11))]
    assert [dict(page.strange) for page in pages if page.strange] == [{"log is too large to be searched": 1}]


async def test_an_append_blob_that_the_service_does_not_replace_is_of_the_wrong_type_and_stays(
    azurite_blobs: BlobShelf, azurite: Any
) -> None:
    category = log_category(azurite_blobs)
    blob = azurite_blobs.client.get_blob_client(named(at(10)))
    await blob.create_append_blob()
    await blob.append_block(lines((at(10, 5), ME)))
    await blob.append_block(lines((at(10, 6), OTHER)))
    # Azurite lets Put Blob change a blob's type, which the service does not; Put Block is refused by both.
    async with a_service(azurite, max_single_put_size=1) as service:
        store = replace(azurite_blobs.records, service=service)
        found = [record async for page in store.of_scope(category, VISIT, size=10) for record in page.records]
        assert await store.delete(found, leaver=VISIT) == ["blob-type"]
    assert (await blob.get_blob_properties()).blob_type == BlobType.APPENDBLOB
    assert await azurite_blobs.data(category, named(at(10))) == lines((at(10, 5), ME), (at(10, 6), OTHER))


class Between(AsyncHTTPPolicy[Any, Any]):
    """Does something just before the first write."""

    def __init__(self, act: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.act: Callable[[], Awaitable[object]] | None = act

    async def send(self, request: Any) -> Any:
        if request.http_request.method == "PUT" and self.act is not None:
            act, self.act = self.act, None
            await act()
        return await self.next.send(request)


@pytest.mark.parametrize(
    ("written", "said"),
    [(lines((at(10, 5), ME), (at(10, 7), OTHER)), "replaced"), (lines((at(10, 7), OTHER)), "missing")],
)
async def test_who_writes_between_reading_and_writing_loses_nothing(
    azurite_blobs: BlobShelf, azurite: Any, written: bytes, said: str
) -> None:
    category, found = await found_in(azurite_blobs)
    ten = [record for record in found if record.locator.key == named(at(10))]
    between = Between(lambda: azurite_blobs.write(category, named(at(10)), written))
    async with a_service(azurite, _additional_pipeline_policies=[between]) as service:
        assert await replace(azurite_blobs.records, service=service).delete(ten, leaver=VISIT) == [said]
    assert await azurite_blobs.data(category, named(at(10))) == written


class Deaf(AsyncHTTPPolicy[Any, Any]):
    """Loses the answer to the first write, which was applied."""

    lost = False

    async def send(self, request: Any) -> Any:
        response = await self.next.send(request)
        if request.http_request.method == "PUT" and not self.lost:
            self.lost = True
            raise ServiceResponseError("no answer")
        return response


@pytest.mark.parametrize(("retries", "said"), [({"retry_total": 0}, NoAnswer()), ({}, "missing")])
async def test_a_write_whose_answer_was_lost_proves_nothing_until_the_log_is_read_again(
    azurite_blobs: BlobShelf, azurite: Any, retries: dict[str, int], said: object
) -> None:
    category, found = await found_in(azurite_blobs)
    ten = [record for record in found if record.locator.key == named(at(10))]
    account = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    options = retries or {"retry_policy": retry_policy()}
    async with BlobServiceClient.from_connection_string(
        account, _additional_pipeline_policies=[Deaf()], **options
    ) as service:
        assert await replace(azurite_blobs.records, service=service).delete(ten, leaver=VISIT) == [said]
    assert await azurite_blobs.data(category, named(at(10))) == lines((at(10, 6), OTHER))
    assert await azurite_blobs.records.delete(ten, leaver=VISIT) == ["missing"]


async def test_two_who_leave_at_once_lose_nothing_of_each_other(azurite_blobs: BlobShelf) -> None:
    category, mine = await found_in(azurite_blobs)
    others = a_visit(at(10), at(12), OTHER)
    theirs = await all_of(azurite_blobs, category, others)

    async def leave(records: Sequence[Record], visit: Scope) -> None:
        while records:
            said = await azurite_blobs.records.delete(records, leaver=visit)
            assert set(said) <= {"left", "changed", "replaced", "missing"}
            records = await all_of(azurite_blobs, category, visit)

    await asyncio.gather(leave(mine, VISIT), leave(theirs, others))
    assert await azurite_blobs.data(category, named(at(10))) == b""
    assert await azurite_blobs.data(category, named(at(9))) == lines((at(9, 5), ME), (at(9, 6), OTHER))


async def test_an_account_that_is_away_gives_no_answer(azurite_blobs: BlobShelf) -> None:
    category, found = await found_in(azurite_blobs)
    away = servers.settings(servers.Ports(blob=free_port()))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(away, retry_total=0) as service:
        store = replace(azurite_blobs.records, service=service)
        assert await store.delete(found, leaver=VISIT) == [NoAnswer()] * 2
        assert await store.there(found, leaver=VISIT) == [NoAnswer()] * 2
        with pytest.raises(TransientError):
            await anext(aiter(store.of_scope(category, VISIT, size=10)))


async def test_a_category_whose_finder_left_the_policy_is_a_permanent_error(azurite_blobs: BlobShelf) -> None:
    _, found = await found_in(azurite_blobs)
    with pytest.raises(PermanentError, match=r"find\.visit"):
        await replace(azurite_blobs.records, lines={}).delete(found, leaver=VISIT)


async def test_blobs_without_lines_have_nothing_of_a_visit(logs: Blobs) -> None:
    category = blob_category(logs.container)
    await logs.put(category, ["2026-03-01/a"])
    assert await all_of(logs, category, VISIT) == []
