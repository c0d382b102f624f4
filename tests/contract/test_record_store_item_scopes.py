"""The contract of RecordStore, finding items by scope, by member and by e-mail address: fake and Cosmos DB alike."""

from __future__ import annotations

from datetime import UTC, datetime

from record_stores import Items, all_of, governed_items, ids, row

from shared.model import Action, Scope, ScopeKind

pytest_plugins = ["record_store_fixture"]

NOW = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
HOMES = [f"h{number}" for number in range(8)]
PERSON = Scope(kind=ScopeKind.PERSON, id="u1")
HOME = Scope(kind=ScopeKind.HOME, id="h1")


async def test_a_homes_records_are_those_of_its_partition(items: Items) -> None:
    category = governed_items(items, belongs_to="home", find={"home": {"by": "partition"}})
    rows = [row(number, NOW, home="h1") for number in range(5)] + [row(7, None, home="h1")]
    await items.put(category, [*rows, row(8, NOW, home="h11"), row(9, NOW, home="H1")])
    found = await all_of(items, category, HOME)
    assert sorted(record.locator.key for record in found) == ids(rows)
    assert {(record.scope, record.action) for record in found} == {(HOME, Action.DELETE)}
    assert await all_of(items, category, PERSON) == []


async def test_a_persons_records_by_a_field_are_found_in_every_partition(items: Items) -> None:
    find = {"person": {"by": "field", "field": "userId"}, "home": {"by": "partition"}}
    category = governed_items(items, belongs_to="home", find=find)
    rows = [row(number, NOW, userId="u1") for number in range(9)]
    await items.put(category, [*rows, row(90, NOW, userId="u11"), row(91, NOW), row(92, NOW, userId=["u1"])])
    found = await all_of(items, category, PERSON)
    assert sorted(record.locator.key for record in found) == ids(rows)
    assert {record.scope for record in found} == {Scope(kind=ScopeKind.HOME, id=home) for home in HOMES}


async def test_a_members_homes_are_to_be_left_and_not_deleted(items: Items) -> None:
    find = {"person": {"by": "member", "field": "members"}, "home": {"by": "partition"}}
    category = governed_items(items, belongs_to="home", find=find)
    members = [["u1"], ["u2", "u1"], ["u2"], [], ["u11"]]
    await items.put(category, [row(number, None, members=each) for number, each in enumerate(members)])
    found = await all_of(items, category, PERSON)
    assert sorted(record.locator.key for record in found) == ["i000", "i001"]
    assert {record.action for record in found} == {Action.LEAVE}
    [home] = await all_of(items, category, Scope(kind=ScopeKind.HOME, id=HOMES[3]))
    assert home.action is Action.DELETE


async def test_a_home_is_empty_when_nobody_is_a_member_or_there_is_no_such_home(items: Items) -> None:
    find = {"person": {"by": "member", "field": "members"}, "home": {"by": "partition"}}
    category = governed_items(items, belongs_to="home", find=find)
    rows = [row(0, None, home="none", members=[]), row(1, None, home="one", members=["u1"]), row(2, None, home="plain")]
    await items.put(category, rows)
    for home, empty in (("none", True), ("one", False), ("plain", True), ("no such home", True)):
        assert await items.records.empty(category, Scope(kind=ScopeKind.HOME, id=home)) is empty


async def test_an_address_is_found_letter_case_apart_and_as_a_whole(items: Items) -> None:
    category = governed_items(
        items, belongs_to="person", find={"person": {"by": "partition"}}, identifies={"email": "email"}
    )
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
