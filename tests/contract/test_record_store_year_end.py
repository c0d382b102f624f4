"""The contract of RecordStore, records kept by accounting year: the fake and Cosmos DB list exactly what has expired."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from record_stores import CosmosShelf, Items, all_of, governed_items, listed, row

from shared.model import Scope, ScopeKind
from shared.stores.cosmos_queries import expiring

pytest_plugins = ["record_store_fixture"]

OSLO = ZoneInfo("Europe/Oslo")
END_OF_2020 = datetime(2020, 12, 31, 23, tzinfo=UTC)
DUE = datetime(2025, 12, 31, 23, tzinfo=UTC)  # five years later, in Oslo
PERSON = Scope(kind=ScopeKind.PERSON, id="h1")


def five_years(zone: str = "Europe/Oslo") -> dict[str, Any]:
    return {"start": {"from": "year-end", "field": "at", "zone": zone}, "period": "P5Y"}


async def test_a_record_is_due_when_the_year_of_its_date_in_the_zone_and_the_period_are_over(items: Items) -> None:
    category = governed_items(items, five_years())
    texts = [
        "2020-01-01", "2020-12-31", "2020-12-31T22:59:59Z", "2020-12-31T23:59:59+01:00", "2021-01-01T05:00:00+07:00",
        "2021-01-01", "2020-12-31T23:00:00Z", "2021-01-01T00:00:00+01:00", "2021-06-30", "2020-12-31T20:00:00-05:00",
    ]  # fmt: skip
    await items.put(category, [row(number, text) for number, text in enumerate(texts)])
    assert (await listed(items, category, now=DUE - timedelta(seconds=1))).keys == []
    found = await listed(items, category, now=DUE)
    assert found.keys == ["i000", "i001", "i002", "i003", "i004"]
    assert found.strange == {}
    assert {(record.starting_point, record.due) for record in found.records} == {(END_OF_2020, DUE)}
    assert len((await listed(items, category, now=DUE + timedelta(days=365))).keys) == len(texts)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
async def test_a_records_year_is_its_zones(items: Items, zone: str) -> None:
    chance = random.Random(zone)
    category = governed_items(items, five_years(zone))
    times = [datetime(2020, 12, 30, tzinfo=UTC) + timedelta(minutes=chance.randrange(4 * 1440)) for _ in range(40)]
    await items.put(category, [row(number, each) for number, each in enumerate(times)])
    now = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    expected = [f"i{n:03}" for n, each in enumerate(times) if each.astimezone(ZoneInfo(zone)).year <= 2020]
    assert (await listed(items, category, now=now)).keys == expected
    assert (await listed(items, category, now=now - timedelta(seconds=1))).keys == []


async def test_pages_resume_over_many_records_of_one_day(items: Items) -> None:
    category = governed_items(items, five_years())
    await items.put(category, [row(number, f"2019-12-{number % 3 + 10}") for number in range(30)])
    found = await listed(items, category, now=DUE, size=4)
    assert len(found.keys) == len(set(found.keys)) == 30


async def test_what_is_no_date_and_no_time_is_reported_and_stays(items: Items) -> None:
    category = governed_items(items, five_years())
    odd = ("2019-02-30", "2019-06-30T10:00:00", "yesterday", "", 2019, {"year": 2019})
    await items.put(category, [{**row(number, None), "at": each} for number, each in enumerate(odd)])
    await items.put(category, [row(90, "2019-06-30"), row(91, None), {**row(92, None), "at": None}])
    found = await listed(items, category, now=DUE)
    assert found.keys == ["i090"]
    assert found.strange == {"starting point is no time": len(odd)}


async def test_the_listing_reads_what_has_expired_and_no_year_before_its_time(cosmos_items: CosmosShelf) -> None:
    category = governed_items(cosmos_items, five_years())
    for now, first_kept in ((DUE - timedelta(seconds=1), "2020"), (DUE, "2021"), (DUE + timedelta(days=364), "2021")):
        _, parameters = expiring(category, category.rules[0], now, "")
        high = next(each["value"] for each in parameters if each["name"] == "@high")
        assert high == f"{first_kept}-01-03"


# ---------------------------------------------------------------- a law keeps them


def invoices(items: Items, *rules: dict[str, Any]) -> Any:
    find = {"person": {"by": "partition"}}
    return governed_items(items, *(rules or (five_years(),)), belongs_to="person", find=find, law="An Act")


async def test_what_a_law_keeps_says_until_when_whoever_asks(items: Items) -> None:
    category = invoices(items)
    await items.put(category, [row(0, "2020-06-30", home="h1"), row(1, "2025-06-30T12:00:00Z", home="h1")])
    found = {record.locator.key: record for record in await all_of(items, category, PERSON)}
    assert (found["i000"].rule, found["i000"].starting_point, found["i000"].due) == ("rule-0", END_OF_2020, DUE)
    assert found["i001"].due == datetime(2031, 1, 1, tzinfo=OSLO)
    assert {record.scope for record in found.values()} == {PERSON}


async def test_of_several_rules_the_last_says_until_when_a_law_keeps_a_record(items: Items) -> None:
    paid = {
        "start": {"from": "field", "field": "paidAt"},
        "period": "P10Y",
        "where": {"field": "paidAt", "absent": False},
    }
    category = invoices(items, five_years(), paid)
    await items.put(
        category,
        [row(0, "2020-06-30", home="h1"), row(1, "2020-06-30", home="h1", paidAt="2020-07-01T00:00:00Z")],
    )
    found = {record.locator.key: (record.rule, record.due) for record in await all_of(items, category, PERSON)}
    assert found == {"i000": ("rule-0", DUE), "i001": ("rule-1", datetime(2030, 7, 1, tzinfo=UTC))}


async def test_a_record_that_a_law_keeps_and_that_says_not_until_when_is_reported(items: Items) -> None:
    category = invoices(items)
    await items.put(category, [row(0, None, home="h1"), row(1, "soon", home="h1"), row(2, "2020-06-30", home="h1")])
    pages = [page async for page in items.records.of_scope(category, PERSON, size=10)]
    found = {record.locator.key: record.due for page in pages for record in page.records}
    assert found == {"i000": None, "i001": None, "i002": DUE}
    strange = {reason: number for page in pages for reason, number in page.strange.items()}
    assert strange == {"kept by law, and nothing says until when": 2}


async def test_without_a_law_a_scopes_records_have_neither_rule_nor_due(items: Items) -> None:
    category = governed_items(items, five_years(), belongs_to="person", find={"person": {"by": "partition"}})
    await items.put(category, [row(0, "2020-06-30", home="h1"), row(1, "soon", home="h1")])
    found = await all_of(items, category, PERSON)
    assert {(record.rule, record.starting_point, record.due) for record in found} == {(None, None, None)}
