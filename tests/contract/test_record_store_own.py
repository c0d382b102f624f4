"""The contract of RecordStore over the product's own containers: what is due by its metadata, and what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from own_shelf import BY_CLOSING, CLOSED, OwnShelf, azurite_own, memory_own, own_category
from record_stores import PERSON, listed, versions_shelf

from local.azure.account import Settings
from shared.errors import PermanentError
from shared.stores.blob import BlobObjects
from shared.stores.interface import Recoverable
from shared.stores.own_records import Container, OwnRecords

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BY_YEAR = {"start": {"from": "year-end", "field": "year"}, "period": "P3Y"}
BY_STORING = {"start": {"from": "stored"}, "period": "P90D"}


@pytest.fixture(params=["memory", "azurite"])
async def own(request: pytest.FixtureRequest) -> AsyncIterator[OwnShelf]:
    if request.param == "memory":
        yield memory_own()
        return
    port = request.getfixturevalue("azurite").program.port
    async with AsyncExitStack() as stack:
        yield await azurite_own(stack, port)


async def test_only_what_says_when_its_period_began_and_is_over_is_due(own: OwnShelf) -> None:
    category = own_category(own.container)
    await own.put(
        category,
        [
            ("closed-long-ago", CLOSED),
            ("closed-to-the-second", {"closed_at": "2026-01-30T00:00:00Z", "state": "done"}),
            ("closed-in-another-offset", {"closed_at": "2026-01-30T02:00:00+02:00"}),
            ("closed-a-second-later", {"closed_at": "2026-01-30T00:00:01Z"}),
            ("ends-in-future", {"closed_at": "2027-01-01T00:00:00Z"}),
            ("open", {"state": "working"}),
            ("bare", {}),
        ],
    )
    found = await listed(own, category, now=NOW)
    assert found.keys == ["closed-in-another-offset", "closed-long-ago", "closed-to-the-second"]
    assert found.strange == {}
    record = next(r for r in found.records if r.locator.key == "closed-to-the-second")
    assert (record.due, record.rule, record.scope, record.names) == (NOW, "rule-0", None, ())
    assert (record.locator.place, record.locator.container) == ("own/", own.container)


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:00"])
async def test_a_start_that_is_no_time_is_counted_and_never_deleted(own: OwnShelf, text: str) -> None:
    category = own_category(own.container)
    await own.put(category, [("odd", {"closed_at": text})])
    found = await listed(own, category, now=NOW)
    assert (found.keys, found.parts, found.strange) == ([], 0, {"starting point is no time": 1})
    await own.put(category, [("closed", CLOSED)])
    found = await listed(own, category, now=NOW)
    assert (found.keys, found.parts, found.strange) == (["closed"], 1, {"starting point is no time": 1})


async def test_what_is_due_and_has_an_event_to_post_stays_until_it_is_posted(own: OwnShelf) -> None:
    category = own_category(own.container)
    await own.put(category, [("waiting", CLOSED | {"outbox": "waiting"}), ("open", {"outbox": "waiting"})])
    found = await listed(own, category, now=NOW)
    assert (found.keys, found.strange) == ([], {"an event of it is still to be posted": 1})
    await own.put(category, [("waiting", CLOSED)])
    assert (await listed(own, category, now=NOW)).keys == ["waiting"]


async def test_a_year_ends_with_its_last_moment_and_its_period_counts_from_there(own: OwnShelf) -> None:
    category = own_category(own.container, BY_YEAR)
    await own.put(
        category, [(f"k{year}", {"year": year}) for year in ("2022", "2023", "20x3", "202")] + [("k", CLOSED)]
    )
    before = await listed(own, category, now=datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert (before.keys, before.strange) == (["k2022"], {"starting point is no time": 2})
    assert (await listed(own, category, now=datetime(2027, 1, 1, tzinfo=UTC))).keys == ["k2022", "k2023"]


async def test_what_is_written_over_begins_its_period_again_where_the_store_s_time_counts(own: OwnShelf) -> None:
    category = own_category(own.container, BY_STORING)
    await own.put(category, [("beat", {})])
    [first] = (await listed(own, category, now=datetime.now(UTC) + timedelta(days=91))).records
    assert (await listed(own, category, now=datetime.now(UTC) + timedelta(days=89))).keys == []
    await own.put(category, [("beat", {})])
    assert await own.records.delete([first]) == ["changed"]
    assert await own.keys(category) == ["beat"]


async def test_two_rules_of_one_container_each_take_their_own(own: OwnShelf) -> None:
    category = own_category(own.container, BY_CLOSING, BY_YEAR)
    await own.put(category, [("person", CLOSED), ("category", {"year": "2020"}), ("in-use", {})])
    assert (await listed(own, category, now=NOW, rule=0)).keys == ["person"]
    assert (await listed(own, category, now=NOW, rule=1)).keys == ["category"]


async def test_pages_resume_where_the_one_before_ended_while_what_was_listed_is_deleted(own: OwnShelf) -> None:
    category = own_category(own.container)
    await own.put(category, [f"{number:03}" for number in range(23)] + [("open", {})])
    gone: list[Any] = []

    async def delete(records: Any) -> None:
        gone.extend(await own.records.delete(records))

    found = await listed(own, category, now=NOW, size=5, between=delete)
    assert [len(page.records) for page in found.pages] == [5, 5, 5, 5, 3]
    assert gone == ["deleted"] * 23
    assert await own.keys(category) == ["open"]


async def test_looking_tells_what_is_there_as_it_was_listed_and_what_in_another_version(own: OwnShelf) -> None:
    category = own_category(own.container)
    await own.put(category, ["a", "b", "c"])
    records = (await listed(own, category, now=NOW)).records
    await own.put(category, ["a"])
    await own.remove(category, "b")
    assert await own.records.there(records) == ["another", "missing", "same"]


async def test_nothing_there_is_nothing_to_do(own: OwnShelf) -> None:
    found = await listed(own, own_category(own.container), now=NOW)
    assert (found.parts, found.strange) == (0, {})
    assert await own.records.delete([]) == []


async def test_nobody_has_records_here_and_nothing_is_searched(own: OwnShelf) -> None:
    category = own_category(own.container)
    await own.put(category, ["person/u1"])
    assert [page async for page in own.records.of_scope(category, PERSON, size=5)] == []
    with pytest.raises(PermanentError, match="no field email"):
        await own.records.find(category, "email", "a@b.example")
    with pytest.raises(PermanentError, match="no field email"):
        await own.records.values(category, PERSON, "email")
    with pytest.raises(PermanentError, match="members"):
        await own.records.empty(category, PERSON)


async def test_a_container_that_sweeps_may_not_reach_is_refused_before_anything_is_listed(own: OwnShelf) -> None:
    category = own_category("journals")
    with pytest.raises(PermanentError, match="journals"):
        await own.records.divide(category, category.rules[0], now=NOW, most=1)
    with pytest.raises(PermanentError, match="journals"):
        await own.records.now(category)


async def test_the_clock_is_the_account_s_to_the_second(own: OwnShelf) -> None:
    now = await own.records.now(own_category(own.container))
    assert now.microsecond == 0
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=30)


async def test_an_account_with_soft_delete_answers_for_our_own_records_too_that_they_can_be_restored() -> None:
    async with AsyncExitStack() as stack:
        kept = await versions_shelf(stack, Settings(soft_delete_days=7))
        objects = BlobObjects(kept.client)
        records = OwnRecords(containers={kept.container: Container(objects=objects, account=kept.records)})
        own = OwnShelf(records=records, objects=objects, container=kept.container, name="versions own")
        category = own_category(kept.container, BY_STORING)
        await own.put(category, ["a"])
        later = await records.now(category) + timedelta(days=91)
        [answer] = await records.delete((await listed(own, category, now=later)).records)
        assert isinstance(answer, Recoverable)
        assert await own.keys(category) == []
