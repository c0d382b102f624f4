"""The contract of RecordStore, listing of items: the fake in memory and Cosmos DB find the same and the right."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import PermanentError, TransientError
from shared.model import Action, Record, Scope, ScopeKind, utc_text
from shared.policy import Category
from shared.stores.cosmos_records import CosmosRecords

if TYPE_CHECKING:  # pytest itself imports the fixtures, so that their assertions are rewritten
    from record_store_fixture import CosmosShelf, MemoryShelf

    Items = MemoryShelf | CosmosShelf

pytest_plugins = ["record_store_fixture"]

MONTH = timedelta(days=30)
NOW = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
AT = {"from": "field", "field": "at"}
HOMES = [f"h{number}" for number in range(8)]


def governed(shelf: Items, *rules: Mapping[str, Any], **more: Any) -> Category:
    from record_store_fixture import category

    store = {"kind": "cosmos", "account": "main", "container": shelf.container, "partition_key": "/homeId"}
    return category(store, *(rules or ({"start": AT, "period": "P30D"},)), **more)


def row(number: int, at: datetime | str | None, *, home: str | None = None, **more: Any) -> dict[str, Any]:
    """An item; its time is left out when None."""
    written = utc_text(at) if isinstance(at, datetime) else at
    item = {"id": f"i{number:03}", "homeId": home or HOMES[number % len(HOMES)], **more}
    return item if written is None else {**item, "at": written}


def ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(item["id"] for item in rows)


async def test_what_is_due_is_found_exactly_once_and_nothing_else(items: Items) -> None:
    from record_store_fixture import listed

    chance = random.Random(2)
    category = governed(items)
    times = [NOW - timedelta(seconds=chance.randrange(60 * 86_400)) for _ in range(60)]
    rows = [row(number, at) for number, at in enumerate(times)]
    await items.put(category, rows)
    found = await listed(items, category, now=NOW)
    assert found.keys == [item["id"] for item, at in zip(rows, times, strict=True) if at + MONTH <= NOW]
    assert max(len(page.records) for page in found.pages) <= 5
    assert found.strange == {}


async def test_a_container_of_two_ranges_is_swept_in_two_parts(cosmos_items: CosmosShelf) -> None:
    from record_store_fixture import listed

    category = governed(cosmos_items)
    rows = [row(number, NOW - timedelta(days=31)) for number in range(16)]
    await cosmos_items.put(category, rows)
    found = await listed(cosmos_items, category, now=NOW)
    assert found.parts == 2
    assert found.keys == ids(rows)


async def test_a_record_is_due_at_the_second_at_which_its_period_ends(items: Items) -> None:
    from record_store_fixture import listed

    category = governed(items)
    rows = [row(0, NOW - MONTH), row(1, NOW - MONTH + timedelta(seconds=1))]
    await items.put(category, rows)
    assert (await listed(items, category, now=NOW)).keys == ["i000"]
    assert (await listed(items, category, now=NOW - timedelta(seconds=1))).keys == []
    assert (await listed(items, category, now=NOW + timedelta(seconds=1))).keys == ["i000", "i001"]


async def test_fractions_of_a_second_are_told_apart(items: Items) -> None:
    from record_store_fixture import listed

    category = governed(items)
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
    from record_store_fixture import listed

    category = governed(items, {"start": AT, "period": "P1M"})
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
    from record_store_fixture import listed

    category = governed(items, belongs_to="home", find={"home": {"by": "partition"}})
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
    from record_store_fixture import listed

    category = governed(items, belongs_to="person", find={"person": {"by": "field", "field": "userId"}})
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
    from record_store_fixture import listed

    category = governed(items, {"start": AT, "period": "P30D", "where": {"field": "userId", **where}})
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
    from record_store_fixture import listed

    category = governed(items, {"start": {"from": "touched"}, "period": "PT60S"})
    written = await items.records.now(category)
    await items.put(category, [row(number, None) for number in range(9)])
    assert (await listed(items, category, now=written + timedelta(seconds=59))).keys == []
    found = await listed(items, category, now=written + timedelta(seconds=65))
    assert len(found.keys) == 9
    starting_point = found.records[0].starting_point
    assert starting_point is not None
    assert written <= starting_point <= written + timedelta(seconds=5)


async def test_an_empty_list_is_due_and_a_missing_or_filled_one_is_not(items: Items) -> None:
    from record_store_fixture import listed

    category = governed(items, {"start": {"from": "empty", "field": "members"}, "period": "P0D"})
    written = await items.records.now(category)
    kinds: list[dict[str, Any]] = [{"members": []}, {"members": ["u1"]}, {}, {"members": None}, {"members": ""}]
    await items.put(category, [row(number, None, **more) for number, more in enumerate(kinds)])
    assert (await listed(items, category, now=written + timedelta(seconds=5))).keys == ["i000"]


async def test_a_rule_that_follows_another_category_lists_nothing_of_its_own(items: Items) -> None:
    category = governed(items, {"start": {"from": "follows", "category": "homes"}, "period": "P0D"})
    await items.put(category, [row(0, NOW - timedelta(days=400))])
    assert (await items.records.divide(category, category.rules[0], now=NOW, most=4)).parts == []


async def test_a_record_without_its_starting_point_has_not_begun_its_period(items: Items) -> None:
    from record_store_fixture import listed

    category = governed(items)
    await items.put(category, [row(0, NOW - timedelta(days=40)), row(1, None), {**row(2, None), "at": None}])
    assert (await listed(items, category, now=NOW)).keys == ["i000"]


async def test_a_starting_point_that_is_no_time_is_reported_and_its_record_stays(items: Items) -> None:
    from record_store_fixture import listed

    category = governed(items)
    rows = [row(0, NOW - timedelta(days=40)), row(1, "2025-13-45T00:00:00Z"), row(2, "2025-01-01T00:00:00"), row(3, "")]
    await items.put(category, rows)
    found = await listed(items, category, now=NOW)
    assert found.keys == ["i000"]
    assert found.strange == {"starting point is no time": 3}


@pytest.mark.parametrize("deleting", ["all", "some", "none"])
@pytest.mark.parametrize("distinct", [1, 2, 30])
async def test_pages_resume_without_loss_with_many_equal_times_whatever_happens_between(
    items: Items, deleting: str, distinct: int
) -> None:
    from record_store_fixture import listed

    category = governed(items)
    rows = [row(number, NOW - timedelta(days=31, seconds=number % distinct)) for number in range(30)]
    await items.put(category, [*rows, row(99, NOW)])

    async def between(records: Sequence[Record]) -> None:
        for number, record in enumerate(records):
            if deleting == "all" or (deleting == "some" and number % 2):
                await items.remove(category, record.locator.key, record.locator.partition)

    found = await listed(items, category, now=NOW, size=4, between=between)
    assert found.keys == ids(rows)
    assert max(len(page.records) for page in found.pages) <= 4


async def test_the_cursor_of_a_page_does_not_grow_with_the_pages_before(cosmos_items: CosmosShelf) -> None:
    from record_store_fixture import listed

    category = governed(cosmos_items)
    await cosmos_items.put(category, [row(number, NOW - timedelta(days=31), home="h1") for number in range(60)])

    async def between(records: Sequence[Record]) -> None:
        await cosmos_items.records.delete(records)

    found = await listed(cosmos_items, category, now=NOW, size=4, between=between)
    assert len(found.keys) == 60
    assert max(len(page.cursor) for page in found.pages) < 400


async def test_two_rules_of_one_category_list_each_their_own(items: Items) -> None:
    from record_store_fixture import listed

    rules = [{"start": {"from": "field", "field": "endedAt"}, "period": "P0D"}, {"start": AT, "period": "P24M"}]
    category = governed(items, *rules)
    ended = {"endedAt": utc_text(NOW - timedelta(days=1))}
    await items.put(category, [row(0, NOW, **ended), row(1, NOW - timedelta(days=800)), row(2, NOW)])
    assert (await listed(items, category, now=NOW, rule=0)).keys == ["i000"]
    found = await listed(items, category, now=NOW, rule=1)
    assert found.keys == ["i001"]
    assert found.records[0].rule == "rule-1"


# ---------------------------------------------------------------- by scope


PERSON = Scope(kind=ScopeKind.PERSON, id="u1")
HOME = Scope(kind=ScopeKind.HOME, id="h1")


async def test_a_homes_records_are_those_of_its_partition(items: Items) -> None:
    from record_store_fixture import all_of

    category = governed(items, belongs_to="home", find={"home": {"by": "partition"}})
    rows = [row(number, NOW, home="h1") for number in range(5)] + [row(7, None, home="h1")]
    await items.put(category, [*rows, row(8, NOW, home="h11"), row(9, NOW, home="H1")])
    found = await all_of(items, category, HOME)
    assert sorted(record.locator.key for record in found) == ids(rows)
    assert {(record.scope, record.action) for record in found} == {(HOME, Action.DELETE)}
    assert await all_of(items, category, PERSON) == []


async def test_a_persons_records_by_a_field_are_found_in_every_partition(items: Items) -> None:
    from record_store_fixture import all_of

    find = {"person": {"by": "field", "field": "userId"}, "home": {"by": "partition"}}
    category = governed(items, belongs_to="home", find=find)
    rows = [row(number, NOW, userId="u1") for number in range(9)]
    await items.put(category, [*rows, row(90, NOW, userId="u11"), row(91, NOW), row(92, NOW, userId=["u1"])])
    found = await all_of(items, category, PERSON)
    assert sorted(record.locator.key for record in found) == ids(rows)
    assert {record.scope for record in found} == {Scope(kind=ScopeKind.HOME, id=home) for home in HOMES}


async def test_a_members_homes_are_to_be_left_and_not_deleted(items: Items) -> None:
    from record_store_fixture import all_of

    find = {"person": {"by": "member", "field": "members"}, "home": {"by": "partition"}}
    category = governed(items, belongs_to="home", find=find)
    members = [["u1"], ["u2", "u1"], ["u2"], [], ["u11"]]
    await items.put(category, [row(number, None, members=each) for number, each in enumerate(members)])
    found = await all_of(items, category, PERSON)
    assert sorted(record.locator.key for record in found) == ["i000", "i001"]
    assert {record.action for record in found} == {Action.LEAVE}
    [home] = await all_of(items, category, Scope(kind=ScopeKind.HOME, id=HOMES[3]))
    assert home.action is Action.DELETE


async def test_a_home_is_empty_when_nobody_is_a_member_or_there_is_no_such_home(items: Items) -> None:
    find = {"person": {"by": "member", "field": "members"}, "home": {"by": "partition"}}
    category = governed(items, belongs_to="home", find=find)
    rows = [row(0, None, home="none", members=[]), row(1, None, home="one", members=["u1"]), row(2, None, home="plain")]
    await items.put(category, rows)
    for home, empty in (("none", True), ("one", False), ("plain", True), ("no such home", True)):
        assert await items.records.empty(category, Scope(kind=ScopeKind.HOME, id=home)) is empty


async def test_an_address_is_found_letter_case_apart_and_as_a_whole(items: Items) -> None:
    category = governed(items, belongs_to="person", find={"person": {"by": "partition"}}, identifies={"email": "email"})
    addresses = ["kari@example.no", "KARI@Example.NO", "kari@example.nope", "ola@example.no", "", "o'hara\"@example.no"]
    await items.put(category, [row(number, None, email=each) for number, each in enumerate(addresses)])
    await items.put(category, [row(90, None), row(91, None, email=["kari@example.no"]), row(92, None, email=None)])
    for asked, expected in (
        ("Kari@example.no", ["i000", "i001"]),
        ("o'hara\"@EXAMPLE.no", ["i005"]),
        ("nobody@example.no", []),
        ("%@example.no", []),
    ):
        found = await items.records.find(category, "email", asked)
        assert sorted(record.locator.key for record in found) == expected
    [record] = await items.records.find(category, "email", "ola@example.no")
    assert record.scope == Scope(kind=ScopeKind.PERSON, id=HOMES[3])


# ---------------------------------------------------------------- Cosmos DB alone


async def test_a_record_written_between_pages_is_found_if_it_comes_later_in_the_order(
    cosmos_items: CosmosShelf,
) -> None:
    from record_store_fixture import listed

    category = governed(cosmos_items)
    rows = [row(number, NOW - timedelta(days=40) + timedelta(hours=number), home="h1") for number in range(8)]
    await cosmos_items.put(category, rows)
    late = [row(90, NOW - timedelta(days=31), home="h1")]

    async def between(records: Sequence[Record]) -> None:
        await cosmos_items.put(category, [late.pop()] if late else [])

    assert (await listed(cosmos_items, category, now=NOW, between=between)).keys == [*ids(rows), "i090"]


async def test_an_item_whose_partition_key_is_no_text_is_reported(cosmos_items: CosmosShelf) -> None:
    from record_store_fixture import listed

    category = governed(cosmos_items)
    old = utc_text(NOW - timedelta(days=40))
    await cosmos_items.client.create_item({"id": "number", "homeId": 7, "at": old})
    await cosmos_items.client.create_item({"id": "none", "at": old})
    await cosmos_items.put(category, [row(1, NOW - timedelta(days=40))])
    found = await listed(cosmos_items, category, now=NOW)
    assert found.keys == ["i001"]
    assert found.strange == {"partition key is no text": 2}


async def test_a_rule_that_no_item_can_tell_is_a_permanent_error(cosmos_items: CosmosShelf) -> None:
    category = governed(cosmos_items, {"start": {"from": "stored"}, "period": "P1D"})
    with pytest.raises(PermanentError, match="rule-0"):
        await cosmos_items.records.divide(category, category.rules[0], now=NOW, most=1)


async def test_a_listing_waits_as_asked_and_then_goes_on(cosmos_items: CosmosShelf) -> None:
    from record_store_fixture import listed

    category = governed(cosmos_items)
    rows = [row(number, NOW - timedelta(days=31)) for number in range(6)]
    await cosmos_items.put(category, rows)
    cosmos_items.fault(status=429, count=3, retry_after_ms=10, method="POST", path_contains="/docs")
    assert (await listed(cosmos_items, category, now=NOW)).keys == ids(rows)


async def test_a_listing_that_gets_no_answer_is_a_transient_error_that_names_no_item(cosmos_items: CosmosShelf) -> None:
    category = governed(cosmos_items, belongs_to="home", find={"home": {"by": "partition"}})
    await cosmos_items.put(category, [row(1, NOW - timedelta(days=31), home="secret-home")])
    [part] = (await cosmos_items.records.divide(category, category.rules[0], now=NOW, most=1)).parts
    cosmos_items.fault(status=500, count=1000, method="POST", path_contains="/docs")
    records: CosmosRecords = cosmos_items.records
    scope = Scope(kind=ScopeKind.HOME, id="secret-home")

    async def expired() -> Any:
        return [page async for page in records.expired(category, category.rules[0], part, now=NOW, cursor="", size=5)]

    async def of_scope() -> Any:
        return [page async for page in records.of_scope(category, scope, size=5)]

    for call in (
        records.divide(category, category.rules[0], now=NOW, most=1),
        expired(),
        of_scope(),
        records.find(category, "homeId", "secret-home"),
    ):
        with pytest.raises(TransientError) as caught:
            await call
        assert "secret" not in str(caught.value)
