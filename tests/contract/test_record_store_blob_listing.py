"""The contract of RecordStore, listing of blobs: the fake in memory and Blob storage find the same and the right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from record_stores import Blobs, a_category, all_of, listed

from shared.model import Action, Record, Scope, ScopeKind
from shared.policy import Category
from shared.stores.interface import Slice

pytest_plugins = ["record_store_fixture"]

WEEK = timedelta(days=7)
DATE_FIRST = "{captured:%Y-%m-%d}/{captured:%H}/{home_id}/{camera_id}/{captured:%H%M%S}-{name}"
SUBJECT_FIRST = "{home_id}/{captured:%Y}/{captured:%m}/{captured:%d}/{captured:%H%M%S}-{name}"
ONE_LEVEL = "{captured:%Y-%m-%dT%H%M%SZ}-{home_id}"
DAY_IN_THE_MIDDLE = "cam-{camera_id}/{captured:%Y%m%d}/{home_id}/{captured:%H%M%S}/{name}"
NO_DATE = "{home_id}/{camera_id}/{name}"
DATED = [DATE_FIRST, SUBJECT_FIRST, ONE_LEVEL, DAY_IN_THE_MIDDLE]


def governed(shelf: Blobs, layout: str, *, period: str = "P7D", start: str = "name-or-stored") -> Category:
    begins = {"from": start} if start == "stored" else {"from": start, "field": "captured"}
    return a_category(
        {"kind": "blob", "account": "data", "container": shelf.container, "layout": layout},
        {"start": begins, "period": period},
        belongs_to="home",
        find={"home": {"by": "name-part", "field": "home_id"}},
    )


def named(layout: str, captured: datetime, *, home: str = "h1", camera: str = "c1", name: str = "a.jpg") -> str:
    parts = {"home_id": home, "camera_id": camera, "name": name, "captured": captured}
    return layout.format(**parts)


def to_the_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


@pytest.mark.parametrize("layout", DATED)
async def test_what_is_due_is_found_exactly_once_and_nothing_else(blobs: Blobs, layout: str) -> None:
    chance = random.Random(layout)
    category = governed(blobs, layout)
    now = to_the_second(await blobs.records.now(category))
    captured = {
        named(layout, at, home=f"h{chance.randrange(4)}", name=f"{number}.jpg"): at
        for number in range(40)
        for at in [now - timedelta(seconds=chance.randrange(20 * 86_400))]
    }
    await blobs.put(category, captured)
    found = await listed(blobs, category, now=now)
    assert found.keys == sorted(name for name, at in captured.items() if at + WEEK <= now)
    assert found.parts <= 3
    assert max(len(page.records) for page in found.pages) <= 5
    assert found.strange == {}


@pytest.mark.parametrize("layout", DATED)
async def test_a_record_is_due_at_the_second_at_which_its_period_ends(blobs: Blobs, layout: str) -> None:
    category = governed(blobs, layout)
    now = to_the_second(await blobs.records.now(category))
    ending, staying = (named(layout, now - WEEK + timedelta(seconds=late)) for late in (0, 1))
    await blobs.put(category, [ending, staying])
    assert (await listed(blobs, category, now=now)).keys == [ending]
    assert (await listed(blobs, category, now=now - timedelta(seconds=1))).keys == []


async def test_a_record_says_where_it_is_whose_it_is_and_when_its_period_began_and_ended(blobs: Blobs) -> None:
    category = governed(blobs, DATE_FIRST)
    at = to_the_second(datetime.now(UTC)) - timedelta(days=9)
    name = named(DATE_FIRST, at, home="øya 1")
    await blobs.put(category, [name])
    [record] = (await listed(blobs, category, now=await blobs.records.now(category))).records
    where = record.locator
    assert (where.store, where.account, where.container, where.key) == ("blob", "data", blobs.container, name)
    assert (record.category, record.rule, record.action) == ("governed", "rule-0", Action.DELETE)
    assert record.scope == Scope(kind=ScopeKind.HOME, id="øya 1")
    assert (record.starting_point, record.due) == (at, at + WEEK)
    assert record.etag


async def test_calendar_months_are_counted_to_the_day_at_the_end_of_a_month(blobs: Blobs) -> None:
    category = governed(blobs, "{captured:%Y-%m-%d}/{home_id}/{name}", period="P1M")
    names = [f"2025-01-{day}/h1/a" for day in (27, 28, 29, 30, 31)]
    await blobs.put(category, [*names, "2025-02-01/h1/a"])
    for now, due in (
        (datetime(2025, 2, 27, tzinfo=UTC), names[:1]),
        (datetime(2025, 2, 28, tzinfo=UTC), names),
        (datetime(2025, 3, 1, tzinfo=UTC), [*names, "2025-02-01/h1/a"]),
    ):
        assert (await listed(blobs, category, now=now)).keys == due


@pytest.mark.parametrize("deleting", ["all", "some", "none"])
async def test_pages_resume_without_loss_whatever_happens_to_the_records_of_the_page_before(
    blobs: Blobs, deleting: str
) -> None:
    category = governed(blobs, SUBJECT_FIRST)
    now = to_the_second(await blobs.records.now(category))
    days = [now - timedelta(days=day) for day in (8, 9, 10)]
    names = sorted(
        named(SUBJECT_FIRST, at, home=f"h{home}", name=f"{n}") for at in days for home in (1, 2) for n in range(3)
    )
    await blobs.put(category, names)

    async def between(records: Sequence[Record]) -> None:
        for number, record in enumerate(records):
            if deleting == "all" or (deleting == "some" and number % 2):
                await blobs.remove(category, record.locator.key)

    found = await listed(blobs, category, now=now, most=2, size=4, between=between)
    assert found.keys == names
    assert len(found.pages) >= 5


async def test_a_listing_read_on_goes_on_by_itself_and_ends_with_an_empty_cursor(blobs: Blobs) -> None:
    category = governed(blobs, DATE_FIRST)
    now = to_the_second(await blobs.records.now(category))
    names = [named(DATE_FIRST, now - timedelta(days=8), name=f"{n}") for n in range(8)]
    await blobs.put(category, names)
    [part] = (await blobs.records.divide(category, category.rules[0], now=now, most=1)).parts
    pages = [p async for p in blobs.records.expired(category, category.rules[0], part, now=now, cursor="", size=4)]
    assert [record.locator.key for page in pages for record in page.records] == names
    assert [bool(page.cursor) for page in pages] == [True] * (len(pages) - 1) + [False]


async def test_where_nothing_is_due_there_are_no_parts(blobs: Blobs) -> None:
    category = governed(blobs, DATE_FIRST)
    now = to_the_second(await blobs.records.now(category))
    assert (await blobs.records.divide(category, category.rules[0], now=now, most=4)).parts == []
    await blobs.put(category, [named(DATE_FIRST, now - timedelta(days=2))])
    assert (await blobs.records.divide(category, category.rules[0], now=now, most=4)).parts == []


async def test_a_part_whose_records_have_all_gone_since_it_was_planned_ends_at_once(blobs: Blobs) -> None:
    category = governed(blobs, DATE_FIRST)
    now = to_the_second(await blobs.records.now(category))
    name = named(DATE_FIRST, now - timedelta(days=9))
    await blobs.put(category, [name])
    [part] = (await blobs.records.divide(category, category.rules[0], now=now, most=4)).parts
    await blobs.remove(category, name)
    pages = [p async for p in blobs.records.expired(category, category.rules[0], part, now=now, cursor="", size=4)]
    assert [(list(page.records), page.cursor) for page in pages] == [([], "")]


@pytest.mark.parametrize("layout", DATED)
async def test_a_name_dated_in_the_future_falls_back_to_the_creation_time_and_is_reported(
    blobs: Blobs, layout: str
) -> None:
    category = governed(blobs, layout)
    stored = to_the_second(await blobs.records.now(category))
    name = named(layout, stored + timedelta(days=400))
    await blobs.put(category, [name])
    assert (await listed(blobs, category, now=stored + timedelta(days=6))).keys == []
    found = await listed(blobs, category, now=stored + timedelta(days=7, seconds=5))
    assert found.keys == [name]
    assert found.strange == {"named later than stored": 1}
    starting_point = found.records[0].starting_point
    assert starting_point is not None
    assert stored <= starting_point <= stored + timedelta(seconds=5)


async def test_a_name_later_than_stored_is_found_at_the_latest_when_its_name_is_due(blobs: Blobs) -> None:
    category = governed(blobs, DATE_FIRST)
    stored = to_the_second(await blobs.records.now(category))
    name = named(DATE_FIRST, stored + timedelta(days=3))
    await blobs.put(category, [name])
    found = await listed(blobs, category, now=stored + timedelta(days=11))
    assert found.keys == [name]
    assert found.strange == {"named later than stored": 1}
    starting_point = found.records[0].starting_point
    assert starting_point is not None
    assert starting_point < stored + timedelta(days=1)


@pytest.mark.parametrize("layout", DATED)
async def test_a_name_up_to_an_hour_later_than_stored_goes_in_time(blobs: Blobs, layout: str) -> None:
    category = governed(blobs, layout)
    stored = to_the_second(await blobs.records.now(category))
    names = [named(layout, stored + timedelta(minutes=minutes), name=f"{minutes}") for minutes in (2, 59)]
    await blobs.put(category, names)
    assert (await listed(blobs, category, now=stored + WEEK - timedelta(seconds=1))).keys == []
    found = await listed(blobs, category, now=stored + WEEK + timedelta(seconds=5))
    assert found.keys == names
    assert found.strange == {"named later than stored": 2}


async def test_blobs_outside_the_layout_are_reported_and_never_listed(blobs: Blobs) -> None:
    category = governed(blobs, DATE_FIRST)
    now = to_the_second(await blobs.records.now(category))
    due = named(DATE_FIRST, now - timedelta(days=9))
    day = due.split("/")[0]
    strange = ["stray.jpg", "2026-13-45/07/h1/c1/070000-a.jpg", f"{day}/07/h1/too-short", f"{day}/7/h1/c1/070000-a.jpg"]
    await blobs.put(category, [due, *strange])
    found = await listed(blobs, category, now=now)
    assert found.keys == [due]
    assert found.strange == {"outside the layout": 4}


@pytest.mark.parametrize("layout", [NO_DATE, DATE_FIRST])
async def test_a_rule_on_the_creation_time_needs_no_date_in_the_name(blobs: Blobs, layout: str) -> None:
    category = governed(blobs, layout, start="stored")
    stored = to_the_second(await blobs.records.now(category))
    names = sorted(named(layout, stored - timedelta(days=30), home=f"h{n % 2}", name=f"{n}") for n in range(6))
    await blobs.put(category, names)
    assert (await listed(blobs, category, now=stored + WEEK - timedelta(seconds=1))).keys == []
    assert (await listed(blobs, category, now=stored + WEEK + timedelta(seconds=5))).keys == names


async def test_names_of_any_kind_are_listed_and_deleted(blobs: Blobs) -> None:
    category = governed(blobs, "{captured:%Y-%m-%d}/{home_id}/{name}")
    kinds = ("with space", "100%", "%2F%25", "a?b=1&c#d", "a+b;c", "a'b\"c", "øya", "家", "e\u0301", "a=b", "😀")
    names = sorted(f"2025-01-01/{kind}/{kind}" for kind in kinds)
    await blobs.put(category, names)
    found = await listed(blobs, category, now=datetime(2025, 3, 1, tzinfo=UTC))
    assert found.keys == names
    assert {record.scope for record in found.records} == {Scope(kind=ScopeKind.HOME, id=kind) for kind in kinds}
    for kind in kinds:
        pages = blobs.records.of_scope(category, Scope(kind=ScopeKind.HOME, id=kind), size=9)
        assert [r.locator.key async for page in pages for r in page.records] == [f"2025-01-01/{kind}/{kind}"]
    assert set(await blobs.records.delete(found.records)) == {"deleted"}
    assert await blobs.keys(category) == []


@pytest.mark.parametrize("layout", [*DATED, NO_DATE])
async def test_a_scopes_records_are_found_whatever_their_age_and_wherever_its_id_stands_in_the_name(
    blobs: Blobs, layout: str
) -> None:
    category = governed(blobs, layout, start="stored" if layout == NO_DATE else "name-or-stored")
    now = to_the_second(await blobs.records.now(category))
    ages = [timedelta(days=days, hours=days) for days in (-300, 0, 1, 8, 900)]
    names = {
        home: sorted({named(layout, now - age, home=home, name=f"{n}") for n, age in enumerate(ages)})
        for home in ("h1", "h11", "h", "H1", "h1 ")
    }
    await blobs.put(category, [name for each in names.values() for name in each])
    for home, expected in names.items():
        found = await all_of(blobs, category, Scope(kind=ScopeKind.HOME, id=home))
        assert sorted(record.locator.key for record in found) == expected
        assert {record.action for record in found} == {Action.DELETE}
    assert await all_of(blobs, category, Scope(kind=ScopeKind.HOME, id="nobody")) == []


async def test_a_kind_of_scope_without_a_finder_has_no_records(blobs: Blobs) -> None:
    category = governed(blobs, NO_DATE, start="stored")
    await blobs.put(category, ["h1/c1/a"])
    assert await all_of(blobs, category, Scope(kind=ScopeKind.PERSON, id="h1")) == []


async def test_a_home_named_like_a_path_finds_nothing_of_another_home(blobs: Blobs) -> None:
    category = governed(blobs, NO_DATE, start="stored")
    await blobs.put(category, ["h1/c1/a", "h1/c2/b"])
    for name in ("h1/c1", "../h1", "h1/", "{home_id}"):
        assert await all_of(blobs, category, Scope(kind=ScopeKind.HOME, id=name)) == []


async def test_the_memory_of_a_part_is_text_that_survives_json(blobs: Blobs) -> None:
    category = governed(blobs, SUBJECT_FIRST)
    now = to_the_second(await blobs.records.now(category))
    await blobs.put(category, [named(SUBJECT_FIRST, now - timedelta(days=9), home="øya 1%")])
    [part] = (await blobs.records.divide(category, category.rules[0], now=now, most=4)).parts
    copy: Any = Slice(bounds=part.bounds.encode("ascii").decode())
    pages = [p async for p in blobs.records.expired(category, category.rules[0], copy, now=now, cursor="", size=4)]
    assert [len(page.records) for page in pages] == [1]


async def test_a_name_tells_whose_a_blob_is_and_who_else_it_is_about(blobs: Blobs) -> None:
    category = a_category(
        {"kind": "blob", "account": "data", "container": blobs.container, "layout": "{home_id}/{person_id}/{name}"},
        {"start": {"from": "stored"}, "period": "P7D"},
        belongs_to="home",
        find={"home": {"by": "name-part", "field": "home_id"}, "person": {"by": "name-part", "field": "person_id"}},
    )
    await blobs.put(category, ["h1/u1/a", "h2/u1/b"])
    home, person = Scope(kind=ScopeKind.HOME, id="h1"), Scope(kind=ScopeKind.PERSON, id="u1")
    [record] = await all_of(blobs, category, home)
    assert (record.scope, record.names) == (home, (person,))
    assert sorted(r.locator.key for r in await all_of(blobs, category, person)) == ["h1/u1/a", "h2/u1/b"]


async def test_what_a_law_keeps_says_until_when_whoever_asks(blobs: Blobs) -> None:
    category = a_category(
        {"kind": "blob", "account": "data", "container": blobs.container, "layout": "{day:%Y-%m-%d}/{home_id}"},
        {"start": {"from": "name", "field": "day"}, "period": "P5Y"},
        {"start": {"from": "name", "field": "day"}, "period": "P10Y"},
        belongs_to="home",
        find={"home": {"by": "name-part", "field": "home_id"}},
        law="An Act",
    )
    await blobs.put(category, ["2025-01-01/h1"])
    [record] = await all_of(blobs, category, Scope(kind=ScopeKind.HOME, id="h1"))
    assert (record.rule, record.due) == ("rule-1", datetime(2035, 1, 1, tzinfo=UTC))
