"""The contract of RecordStore, listing of items: the fake in memory and Cosmos DB find the same and the right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from record_stores import Items, governed_items, ids, listed, row

from shared.model import Action, Record, Scope, ScopeKind, utc_text

pytest_plugins = ["record_store_fixture"]

MONTH = timedelta(days=30)
NOW = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
AT = {"from": "field", "field": "at"}


async def test_what_is_due_is_found_exactly_once_and_nothing_else(items: Items) -> None:
    chance = random.Random(2)
    category = governed_items(items)
    times = [NOW - timedelta(seconds=chance.randrange(60 * 86_400)) for _ in range(60)]
    rows = [row(number, at) for number, at in enumerate(times)]
    await items.put(category, rows)
    found = await listed(items, category, now=NOW)
    assert found.keys == [item["id"] for item, at in zip(rows, times, strict=True) if at + MONTH <= NOW]
    assert max(len(page.records) for page in found.pages) <= 5
    assert found.strange == {}


async def test_a_record_is_due_at_the_second_at_which_its_period_ends(items: Items) -> None:
    category = governed_items(items)
    rows = [row(0, NOW - MONTH), row(1, NOW - MONTH + timedelta(seconds=1))]
    await items.put(category, rows)
    assert (await listed(items, category, now=NOW)).keys == ["i000"]
    assert (await listed(items, category, now=NOW - timedelta(seconds=1))).keys == []
    assert (await listed(items, category, now=NOW + timedelta(seconds=1))).keys == ["i000", "i001"]


async def test_fractions_of_a_second_are_told_apart(items: Items) -> None:
    category = governed_items(items)
    end = NOW - MONTH
    times = {
        "i000": end.replace(microsecond=0),
        "i001": end.replace(microsecond=1),
        "i002": end - timedelta(microseconds=1),
    }
    await items.put(category, [row(number, at) for number, at in enumerate(times.values())])
    assert (await listed(items, category, now=NOW)).keys == ["i000", "i002"]
    assert (await listed(items, category, now=NOW.replace(microsecond=1))).keys == ["i000", "i001", "i002"]


async def test_calendar_months_are_counted_to_the_day_at_the_end_of_a_month(items: Items) -> None:
    category = governed_items(items, {"start": AT, "period": "P1M"})
    days = [datetime(2025, 1, day, tzinfo=UTC) for day in (27, 28, 29, 30, 31)] + [datetime(2025, 2, 1, tzinfo=UTC)]
    rows = [row(number, at) for number, at in enumerate(days)]
    await items.put(category, rows)
    for now, due in (
        (datetime(2025, 2, 27, tzinfo=UTC), 1),
        (datetime(2025, 2, 28, tzinfo=UTC), 5),
        (datetime(2025, 3, 1, tzinfo=UTC), 6),
    ):
        assert (await listed(items, category, now=now)).keys == ids(rows[:due])


async def test_a_record_says_where_it_is_whose_it_is_and_when_its_period_began_and_ended(items: Items) -> None:
    category = governed_items(items, belongs_to="home", find={"home": {"by": "partition"}})
    await items.put(category, [row(1, NOW - timedelta(days=40), home="øya 1")])
    [record] = (await listed(items, category, now=NOW)).records
    where = record.locator
    assert (where.store, where.account, where.container) == ("cosmos", "main", items.container)
    assert (where.partition, where.key) == ("øya 1", "i001")
    assert (record.category, record.rule, record.action) == ("governed", "rule-0", Action.DELETE)
    assert record.scope == Scope(kind=ScopeKind.HOME, id="øya 1")
    assert (record.starting_point, record.due) == (NOW - timedelta(days=40), NOW - timedelta(days=10))
    assert record.etag


async def test_a_record_that_is_a_persons_by_a_field_is_nobodys_where_the_field_is_missing(items: Items) -> None:
    category = governed_items(items, belongs_to="person", find={"person": {"by": "field", "field": "userId"}})
    old = NOW - timedelta(days=40)
    await items.put(category, [row(0, old, userId="u1"), row(1, old), row(2, old, userId=""), row(3, old, userId=None)])
    found = await listed(items, category, now=NOW)
    scopes = {record.locator.key: record.scope for record in found.records}
    assert scopes == {"i000": Scope(kind=ScopeKind.PERSON, id="u1"), "i001": None, "i002": None, "i003": None}


@pytest.mark.parametrize(
    ("where", "due"),
    [
        ({"absent": True}, ["i000", "i001"]),
        ({"absent": False}, ["i002", "i003", "i004"]),
        ({"equals": "u1"}, ["i002"]),
        ({"equals": "U1"}, []),
    ],
)
async def test_a_rule_is_about_the_records_that_its_condition_selects(items: Items, where: Any, due: list[str]) -> None:
    category = governed_items(items, {"start": AT, "period": "P30D", "where": {"field": "userId", **where}})
    old = NOW - timedelta(days=40)
    rows = [
        row(0, old),
        row(1, old, userId=None),
        row(2, old, userId="u1"),
        row(3, old, userId="u10"),
        row(4, old, userId=""),
    ]
    await items.put(category, [*rows, row(5, NOW, userId="u1"), row(6, NOW)])
    assert (await listed(items, category, now=NOW)).keys == due


async def test_a_touched_record_begins_its_period_anew(items: Items) -> None:
    category = governed_items(items, {"start": {"from": "touched"}, "period": "PT60S"})
    written = await items.records.now(category)
    await items.put(category, [row(number, None) for number in range(9)])
    assert (await listed(items, category, now=written + timedelta(seconds=59))).keys == []
    found = await listed(items, category, now=written + timedelta(seconds=65))
    assert len(found.keys) == 9
    starting_point = found.records[0].starting_point
    assert starting_point is not None
    assert written <= starting_point <= written + timedelta(seconds=5)


async def test_an_empty_list_is_due_and_a_missing_or_filled_one_is_not(items: Items) -> None:
    category = governed_items(items, {"start": {"from": "empty", "field": "members"}, "period": "P0D"})
    written = await items.records.now(category)
    kinds: list[dict[str, Any]] = [{"members": []}, {"members": ["u1"]}, {}, {"members": None}, {"members": ""}]
    await items.put(category, [row(number, None, **more) for number, more in enumerate(kinds)])
    assert (await listed(items, category, now=written + timedelta(seconds=5))).keys == ["i000"]


async def test_a_rule_that_follows_another_category_lists_nothing_of_its_own(items: Items) -> None:
    category = governed_items(items, {"start": {"from": "follows", "category": "homes"}, "period": "P0D"})
    await items.put(category, [row(0, NOW - timedelta(days=400))])
    assert (await items.records.divide(category, category.rules[0], now=NOW, most=4)).parts == []


async def test_a_record_without_its_starting_point_has_not_begun_its_period(items: Items) -> None:
    category = governed_items(items)
    await items.put(category, [row(0, NOW - timedelta(days=40)), row(1, None), {**row(2, None), "at": None}])
    assert (await listed(items, category, now=NOW)).keys == ["i000"]


async def test_a_starting_point_that_is_no_time_is_reported_and_its_record_stays(items: Items) -> None:
    category = governed_items(items)
    no_times = ("2025-13-45T00:00:00Z", "2025-01-01T00:00:00", "", "0001-01-01T00:00:00+14:00")
    rows = [row(number, text) for number, text in enumerate(no_times, 1)]
    # These sort after every time, where the listing itself never comes.
    rows += [{**row(number, None), "at": odd} for number, odd in enumerate(("yesterday", 1_700_000_000, {"t": 1}), 10)]
    await items.put(category, [row(0, NOW - timedelta(days=40)), *rows])
    found = await listed(items, category, now=NOW)
    assert found.keys == ["i000"]
    assert found.strange == {"starting point is no time": 7}


async def test_a_text_that_is_no_time_is_reported_whatever_digit_it_begins_with(items: Items) -> None:
    category = governed_items(items)
    no_times = ("01.12.2019", "25.12.2019", "31/12/2019", "99", "9", "9999999999", "7 May", "9:00", "99999-01-01")
    await items.put(category, [row(0, NOW - timedelta(days=40)), *(row(n, text) for n, text in enumerate(no_times, 1))])
    found = await listed(items, category, now=NOW)
    assert found.keys == ["i000"]
    assert found.strange == {"starting point is no time": len(no_times)}


@pytest.mark.parametrize("start", [AT, {"from": "year-end", "field": "at"}], ids=["field", "year-end"])
async def test_a_starting_point_in_a_year_more_than_ten_ahead_is_reported_and_its_record_stays(
    items: Items, start: Any
) -> None:
    category = governed_items(items, {"start": start, "period": "P30D", "where": {"field": "userId", "equals": "u1"}})
    times = ("2024-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2036-12-31T23:59:59Z")
    far = ("2037-01-01T00:00:00Z", "2099-12-31T23:59:59Z", "2999-01-01T00:00:00+02:00", "9998-12-31T23:59:59Z")
    await items.put(category, [row(number, text, userId="u1") for number, text in enumerate((*times, *far))])
    await items.put(category, [row(90, far[0], userId="u2")])
    found = await listed(items, category, now=NOW)
    assert found.keys == ["i000"]
    assert found.strange == {"starting point is more than ten years ahead": len(far)}


@pytest.mark.parametrize("deleting", ["all", "some", "none"])
@pytest.mark.parametrize("distinct", [1, 2, 30])
async def test_pages_resume_without_loss_with_many_equal_times_whatever_happens_between(
    items: Items, deleting: str, distinct: int
) -> None:
    category = governed_items(items)
    rows = [row(number, NOW - timedelta(days=31, seconds=number % distinct)) for number in range(30)]
    await items.put(category, [*rows, row(99, NOW)])

    async def between(records: Sequence[Record]) -> None:
        for number, record in enumerate(records):
            if deleting == "all" or (deleting == "some" and number % 2):
                await items.remove(category, record.locator.key, record.locator.partition)

    found = await listed(items, category, now=NOW, size=4, between=between)
    assert found.keys == ids(rows)
    assert max(len(page.records) for page in found.pages) <= 4


async def test_two_rules_of_one_category_list_each_their_own(items: Items) -> None:
    rules = [{"start": {"from": "field", "field": "endedAt"}, "period": "P0D"}, {"start": AT, "period": "P24M"}]
    category = governed_items(items, *rules)
    ended = {"endedAt": utc_text(NOW - timedelta(days=1))}
    await items.put(category, [row(0, NOW, **ended), row(1, NOW - timedelta(days=800)), row(2, NOW)])
    assert (await listed(items, category, now=NOW, rule=0)).keys == ["i000"]
    found = await listed(items, category, now=NOW, rule=1)
    assert found.keys == ["i001"]
    assert found.records[0].rule == "rule-1"
