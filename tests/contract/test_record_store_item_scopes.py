"""The contract of RecordStore, finding items by scope, by member and by e-mail address: fake and Cosmos DB alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from record_stores import Items, all_of, governed_items, ids, listed, row

from shared.model import Action, Scope, ScopeKind
from shared.policy import Category
from shared.policy_terms import Empty, Rule

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


async def test_with_a_rule_a_scopes_records_say_when_they_are_due_by_it(items: Items) -> None:
    find = {"person": {"by": "member", "field": "members"}, "home": {"by": "partition"}}
    category = governed_items(items, belongs_to="home", find=find)
    [by_field] = category.rules
    empty = by_field.model_copy(update={"start": Empty(**{"from": "empty"}, field="members")})
    category = category.model_copy(update={"rules": (by_field, empty)})
    rows = [
        row(0, NOW, home="h1", members=[]),
        row(1, None, home="h1", members=["u1"]),
        row(2, "soon", home="h1", members=[]),
        row(3, NOW, home="h2", members=[]),
    ]
    await items.put(category, rows)

    async def due(rule: Rule | None) -> dict[str, datetime | None]:
        pages = items.records.of_scope(category, HOME, size=2, rule=rule)
        return {record.locator.key: record.due async for page in pages for record in page.records}

    assert await due(None) == {"i000": None, "i001": None, "i002": None}
    assert await due(by_field) == {"i000": by_field.period.after(NOW), "i001": None, "i002": None}
    assert {key: when is not None for key, when in (await due(empty)).items()} == {
        "i000": True,
        "i001": False,
        "i002": True,
    }


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


async def test_an_addresss_records_are_found_letter_case_apart_in_every_partition(items: Items) -> None:
    category = subscribers(items)
    spelled = ["kari@example.no", "Kari@Example.NO", "kari@example.nope", "ola@example.no"]
    await items.put(category, [row(number, None, email=each) for number, each in enumerate(spelled)])
    await items.put(category, [row(90, None), row(91, None, email=["kari@example.no"]), row(92, None, email="")])
    kari = Scope(kind=ScopeKind.ADDRESS, id="kari@example.no")
    found = await all_of(items, category, kari)
    assert sorted(record.locator.key for record in found) == ["i000", "i001"]
    assert {record.scope for record in found} == {kari}


def subscribers(items: Items) -> Category:
    find = {"address": {"by": "field", "field": "email"}, "person": {"by": "field", "field": "userId"}}
    return governed_items(items, belongs_to="address", find=find)


async def test_a_record_names_every_other_scope_that_it_tells_of(items: Items) -> None:
    category = subscribers(items)
    rows = [
        row(0, NOW, email="Kari@example.no", userId="u1"),
        row(1, NOW, email="kari@example.no"),
        row(2, NOW, userId="u1"),
        row(3, NOW, email=7, userId=""),
    ]
    await items.put(category, rows)
    kari = Scope(kind=ScopeKind.ADDRESS, id="kari@example.no")
    due = await listed(items, category, now=NOW + timedelta(days=30))
    assert {record.locator.key: (record.scope, record.names) for record in due.records} == {
        "i000": (kari, (PERSON,)),
        "i001": (kari, ()),
        "i002": (None, (PERSON,)),
        "i003": (None, ()),
    }
    assert {record.names for record in await all_of(items, category, PERSON)} == {(PERSON,)}


async def test_a_row_of_a_home_names_the_person_in_it(items: Items) -> None:
    find = {"person": {"by": "field", "field": "userId"}, "home": {"by": "partition"}}
    category = governed_items(items, belongs_to="home", find=find)
    await items.put(category, [row(0, NOW, home="h1", userId="u1"), row(1, NOW, home="h1")])
    found = {record.locator.key: record.names for record in await all_of(items, category, HOME)}
    assert found == {"i000": (PERSON,), "i001": ()}


async def test_a_members_names_are_not_told_by_the_record_that_they_share(items: Items) -> None:
    find = {"person": {"by": "member", "field": "members"}, "home": {"by": "partition"}}
    category = governed_items(items, belongs_to="home", find=find)
    await items.put(category, [row(0, None, home="h1", members=["u1"])])
    [record] = await all_of(items, category, HOME)
    assert (record.scope, record.names) == (HOME, ())


async def test_in_a_shared_container_a_category_has_only_the_records_that_a_rule_of_its_is_about(items: Items) -> None:
    touched = {"start": {"from": "touched"}, "period": "PT60S"}
    guests = governed_items(
        items, {**touched, "where": {"field": "userId", "absent": True}}, find={"session": {"by": "partition"}}
    )
    users = governed_items(
        items,
        {**touched, "where": {"field": "userId", "equals": "u1"}},
        {**touched, "where": {"field": "kind", "equals": "gift"}},
        belongs_to="person",
        find={"person": {"by": "field", "field": "userId"}, "session": {"by": "partition"}},
    )
    rows = [
        row(0, None, home="s1"),
        row(1, None, home="s1", userId=None),
        row(2, None, home="s1", userId="u1"),
        row(3, None, home="s1", userId="u2", kind="gift"),
        row(4, None, home="s1", userId="u2", kind="none"),
        row(5, None, home="s2", userId="u2", kind="gift"),
    ]
    await items.put(guests, rows)
    session = Scope(kind=ScopeKind.SESSION, id="s1")
    guest, user = await all_of(items, guests, session), await all_of(items, users, session)
    assert sorted(record.locator.key for record in guest) == ["i000", "i001"]
    assert {(record.scope, record.names) for record in guest} == {(None, (session,))}
    assert sorted(record.locator.key for record in user) == ["i002", "i003"]
    found = await all_of(items, users, Scope(kind=ScopeKind.PERSON, id="u2"))
    assert sorted(record.locator.key for record in found) == ["i003", "i005"]
    assert await items.records.values(users, session, "userId") in (["u1", "u2"], ["u2", "u1"])
    assert sorted(r.locator.key for r in await items.records.find(users, "userId", "U2")) == ["i003", "i005"]


async def test_where_a_rule_is_about_every_record_all_are_the_categorys(items: Items) -> None:
    rules = [
        {"start": {"from": "field", "field": "lastUsedAt"}, "period": "P7D"},
        {"start": {"from": "touched"}, "period": "P7D", "where": {"field": "lastUsedAt", "absent": True}},
    ]
    category = governed_items(items, *rules, belongs_to="home", find={"home": {"by": "partition"}})
    await items.put(category, [row(0, None, home="h1", lastUsedAt="2026-01-01T00:00:00Z"), row(1, None, home="h1")])
    assert sorted(record.locator.key for record in await all_of(items, category, HOME)) == ["i000", "i001"]
    assert (await listed(items, category, now=NOW, rule=0)).keys == ["i000"]
    soon = await items.records.now(category) + timedelta(days=7, minutes=1)
    assert (await listed(items, category, now=soon, rule=1)).keys == ["i001"]
