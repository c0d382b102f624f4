"""The sense of a policy: what types cannot say is found, and what is merely costly is a warning."""

from __future__ import annotations

import pytest

from shared import policy_file

HEAD = "version: 1\norganisation: Example Ltd\ncategories:\n"
COSMOS = "{kind: cosmos, account: main, container: things, partition_key: /homeId}"
BLOB = '{kind: blob, account: data, container: things, layout: "{day:%Y-%m-%d}/{home_id}/{name}"}'
UNDATED = BLOB.replace("{day:%Y-%m-%d}/", "")
HOURLY = '{kind: blob, account: data, container: things, layout: "{day:%Y-%m-%d}.log"}'
OWN = "{kind: own, container: things}"


def category(name: str = "things", *more: str, store: str = COSMOS, row: int = 1, rules: str = "", **keys: str) -> str:
    """One category as YAML; `rules` are flow mappings without their ids, `more` further lines."""
    values = {"status": "enforced", "cadence": "PT1H", "legal_basis": "consent", **keys}
    rules = rules or ("{from: name, field: day}" if store in (BLOB, HOURLY) else "{from: field, field: at}")
    lines = [
        f"  - id: {name}",
        f"    row: {row}",
        '    clause: "1"',
        "    says: Something goes.",
        "    role: controller",
        f"    store: {store}",
        "    on_request: erase",
        *(f"    {key}: {value}" for key, value in values.items()),
        *(f"    {line}" for line in more),
    ]
    if rules != "none":
        lines.append("    rules:")
        starts = rules.split(" | ")
        lines.extend(f"      - {{id: {name}-{n}, period: P1D, start: {start}}}" for n, start in enumerate(starts))
    else:
        lines.append("    rules: []")
    return "\n".join(lines) + "\n"


def findings(*categories: str, tail: str = "") -> list[str]:
    found = policy_file.inspect((HEAD + "".join(categories) + tail).encode()).findings
    return [f"{finding.path}: {finding.text}" for finding in found]


def warnings(*categories: str) -> list[str]:
    inspection = policy_file.inspect((HEAD + "".join(categories)).encode())
    assert inspection.findings == ()
    return [f"{warning.path}: {warning.text}" for warning in inspection.warnings]


HOMES = category(
    "homes", "belongs_to: home", "find: {home: {by: partition}, person: {by: member, field: members}}",
    store=COSMOS.replace("things", "homes"), rules="{from: empty, field: members}", row=2,
)  # fmt: skip


def test_whom_a_partition_names_besides_is_said_of_items_alone_and_once() -> None:
    assert findings(category("carts", "find: {person: {by: field, field: userId}}", "partition_names: session")) == []
    [said] = findings(category("carts", "find: {session: {by: partition}}", "partition_names: session"))
    assert said.startswith("categories[0].partition_names: find.session says already")
    [said] = findings(
        category("pictures", "find: {home: {by: name-part, field: home_id}}", "partition_names: home", store=BLOB)
    )
    assert said == "categories[0].partition_names: only items have a partition key; remove it"


def test_sensible_categories_have_no_findings_and_no_warnings() -> None:
    log = category("log", "belongs_to: home", "find: {home: {by: partition}, person: {by: field, field: userId}}")
    pictures = category(
        "pictures", "belongs_to: home", "find: {home: {by: name-part, field: home_id}}", store=BLOB, row=3
    )
    devices = category(
        "devices", "belongs_to: home", "find: {home: {by: partition}}", rules="{from: follows, category: homes}",
        store=COSMOS.replace("things", "devices"), row=4,
    )  # fmt: skip
    assert warnings(log, HOMES, pictures, devices) == []


def test_every_new_kind_of_row_makes_sense() -> None:
    """A law with its answer, a year's end, a subscriber without an account, a session, lines of visits, own records."""
    invoices = category(
        "invoices", "belongs_to: person", "find: {person: {by: partition}}", law="Bookkeeping Act", cap="5",
        rules="{from: year-end, field: issuedAt, zone: Europe/Oslo}", store=COSMOS.replace("things", "invoices"),
    )  # fmt: skip
    subscribers = category(
        "subscribers", "belongs_to: address", "suppliers: [{name: Mailchimp, status: planned}]", row=2,
        find="{address: {by: field, field: email}, person: {by: field, field: userId}}",
    )  # fmt: skip
    carts = category(
        "carts", "find: {session: {by: partition}}", rules="{from: touched}", store=COSMOS.replace("things", "carts"), row=3,
    )  # fmt: skip
    log = category("log", "find: {visit: {by: line, ip: ip, at: at}}", store=HOURLY, row=4)
    own = category("own", store=OWN, rules="{from: stored} | {from: field, field: closed_at}", row=5)
    journals = category("journals", store="{kind: own, container: journals, swept_by: ledger}", row=6)
    assert warnings(invoices, subscribers, carts, log, own, journals) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (category(rules="none"), "categories[0].rules: an enforced category needs a rule; add one, or write planned"),
        (category(store=OWN, cap="0"), "categories[0].cap: is too small; write 1 or more"),
        (category("things", "find: {person: {by: field, field: userId}}", rules="none", status="planned", law="Bookkeeping Act"), "categories[0].law: an answer says until when a law keeps a record; give each rule a start that the record tells"),
        (category(law="Bookkeeping Act"), "categories[0].law: nobody can ask for these records, so nothing is kept by law; add find, or remove it"),
        (category("things", "belongs_to: person", "find: {person: {by: partition}}", rules="{from: field, field: at}, action: erase-subject", law="Bookkeeping Act"), "categories[0].rules[0].action: a law keeps these records against an erasure; write delete, or remove law"),
        (category("things", "suppliers: [Mailchimp]"), "categories[0].suppliers[0]: must be keys with values; write key: value below it"),
        (category("things", "suppliers: [{name: Mailchimp, status: enforced}]"), 'categories[0].suppliers[0].status: "enforced" is not allowed; write planned'),
        (category("things", cap="5", rules="none", status="planned"), "categories[0].cap: no sweep runs here by a start of its own: nothing to cap; remove it"),
        (category("things", store="{kind: own, container: things, swept_by: ledger}", cap="5"), "categories[0].cap: no sweep runs where role ledger deletes: nothing to cap; remove it"),
        (category("things", store="{kind: own, container: journals}"), "categories[0].store.container: role ledger alone deletes in journals; add swept_by: ledger"),
        (category("things", store="{kind: own, container: audit-log, swept_by: pipeline}"), "categories[0].store.container: role ledger alone deletes in audit-log; add swept_by: ledger"),
        (category("things", store="{kind: own, container: things, swept_by: nobody}"), 'categories[0].store.swept_by: "nobody" is not allowed; write pipeline or ledger'),
        (category("things", store=COSMOS.replace("}", ", swept_by: ledger}")), "categories[0].store.swept_by: does not belong here; remove it"),
        (category("things", "belongs_to: session", "find: {session: {by: partition}}"), "categories[0].belongs_to: records belong to person or home or address, not to a session; remove it: find.session is enough"),
        (category("things", "belongs_to: visit"), "categories[0].belongs_to: records belong to person or home or address, not to a visit; remove it: find.visit is enough"),
        (category("things", "belongs_to: address"), "categories[0].find: says not how an address's records are found; add address here"),
        (category("things", "belongs_to: person", "find: {person: {by: member, field: members}, home: {by: partition}}"), "categories[0].belongs_to: a record with members belongs to none of them; remove it: find.person is enough"),
        (category("things", "find: {address: {by: partition}}"), 'categories[0].find.address.by: an address is not found by "partition"; write by: field, which leaves letter case out of account'),
        (category("things", "find: {person: {by: member, field: members}}"), "categories[0].find.person.by: whether a home has members left is asked of its partition; add find.home: {by: partition}"),
        (category("things", "find: {person: {by: member, field: members}, home: {by: field, field: house}}"), "categories[0].find.person.by: whether a home has members left is asked of its partition; add find.home: {by: partition}"),
        (category("things", "find: {session: {by: member, field: sessions}}"), 'categories[0].find.session.by: a session is not found by "member"; members are persons, lines a visit\'s; write by: partition or field'),
        (category("things", "find: {visit: {by: field, field: ip}}"), 'categories[0].find.visit.by: a visit is not found by "field"; write by: line, in a blob store'),
        (category("things", "find: {visit: {by: line, ip: ip, at: at}}"), 'categories[0].find.visit.by: "line" does not fit a store of kind cosmos; write partition or field or member'),
        (category("things", "find: {person: {by: line, ip: ip, at: at}}", store=HOURLY), 'categories[0].find.person.by: a person is not found by "line"; lines are a visit\'s; write visit in place of person'),
        (category("things", "find: {visit: {by: line, ip: ip, at: at}}", store=UNDATED, rules="{from: stored}"), "categories[0].find.visit.by: the layout must tell one time, so that only the blobs of a visit's hours are read; add it to the names"),
        (category("things", "find: {visit: {by: line, ip: ip, at: at}}", store=HOURLY, law="An Act"), "categories[0].law: a log that a law keeps cannot lose a visit's lines; remove find.visit, or law"),
        (category("things", "find: {visit: {by: line, ip: ip}}", store=HOURLY), "categories[0].find.visit.at: is missing; add it"),
        (category("things", "belongs_to: address", "find: {address: {by: field, field: email}}", rules="{from: field, field: at}, action: erase-subject"), "categories[0].rules[0].action: there is no subject to erase; write belongs_to: person or home in the category"),
        (category(rules="{from: year-end, field: at, zone: Oslo}"), 'categories[0].rules[0].start.zone: "Oslo" is no time zone; write an IANA name such as Europe/Oslo'),
        (category(store=BLOB, rules="{from: year-end, field: day}"), 'categories[0].rules[0].start.from: "year-end" does not fit a store of kind blob; write name or stored or name-or-stored or follows'),
        (category(legal_basis="none"), 'categories[0].legal_basis: "none" needs its reason; add legal_note'),
        (category("things", "identifies: {email: email}"), "categories[0].identifies: only items that belong to a person can name one; remove it, or write belongs_to: person"),
        (category("things", "belongs_to: home"), "categories[0].find: says not how a home's records are found; add home here"),
        (category("things", "find: {home: {by: name-part, field: x}}"), 'categories[0].find.home.by: "name-part" does not fit a store of kind cosmos; write partition or field or member'),
        (category("things", "find: {home: {by: partition}}", store=BLOB), 'categories[0].find.home.by: "partition" does not fit a store of kind blob; write name-part or line'),
        (category("things", "find: {home: {by: partition}}", store=OWN, status="planned"), 'categories[0].find.home.by: "partition" does not fit a store of kind own; remove it'),
        (category("things", "find: {home: {by: name-part, field: house}}", store=BLOB), 'categories[0].find.home.field: the layout has no such placeholder "house"; it has home_id, name'),
        (category("things", "find: {home: {by: name-part, field: day}}", store=BLOB), 'categories[0].find.home.field: the layout has no such placeholder "day"; it has home_id, name'),
        (category(store=BLOB, rules="{from: name, field: home_id}"), 'categories[0].rules[0].start.field: the layout has no such placeholder "home_id"; it has day'),
        (category(store=UNDATED, rules="{from: name-or-stored, field: day}"), 'categories[0].rules[0].start.field: the layout has no such placeholder "day"; it has none of this kind'),
        (category(store=BLOB, rules="{from: touched}"), 'categories[0].rules[0].start.from: "touched" does not fit a store of kind blob; write name or stored or name-or-stored or follows'),
        (category(rules="{from: stored}"), 'categories[0].rules[0].start.from: "stored" does not fit a store of kind cosmos; write field or year-end or touched or empty or follows'),
        (category(rules="{from: empty, field: members}"), 'categories[0].rules[0].start.field: nobody ever leaves "members"; add find.person: {by: member, field: members}'),
        (category(store=BLOB, rules="{from: name, field: day}, where: {field: a, absent: true}"), "categories[0].rules[0].where: only items have properties; remove it, or write kind: cosmos"),
        (category(rules="{from: field, field: at}, action: erase-subject"), "categories[0].rules[0].action: there is no subject to erase; write belongs_to: person or home in the category"),
        (category("things", "belongs_to: person", "find: {person: {by: partition}}", rules="{from: field, field: at}, where: {field: plan, equals: trial}, action: erase-subject"), "categories[0].rules[0].where: an erasure that waited could not tell a record that is gone from one that it is no more about; remove it"),
        (category(rules="{from: follows, category: thing}"), 'categories[0].rules[0].start.category: there is no category "thing"; did you mean "things"?'),
        (category(rules="{from: follows, category: qqq}"), 'categories[0].rules[0].start.category: there is no category "qqq"; write the id of one'),
        (category(rules="{from: follows, category: things}"), "categories[0].rules[0].start.category: the categories follow each other in a ring; give one its own start"),
        (category("things", "belongs_to: home", "find: {home: {by: partition}, person: {by: field, field: userId}}"), "categories[0].find.person: no category tells which homes a person has; add one of homes with find.person: {by: member, ...}"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_named_with_its_place_and_remedy(text: str, finding: str) -> None:
    assert findings(text) == [finding]


def test_people_are_members_of_one_enforced_category_alone_for_an_erasure_leaves_no_other() -> None:
    cabins = HOMES.replace("homes", "cabins").replace("row: 2", "row: 1")
    assert findings(cabins, HOMES) == [
        'categories[1].find: an erasure leaves the homes of one category, "cabins"; remove by: member here'
    ]
    assert findings(cabins.replace("enforced", "planned"), HOMES) == []


def test_homes_are_not_erased_by_a_rule_where_nothing_tells_who_lives_there() -> None:
    gateways = category(
        "things", "belongs_to: home", "find: {home: {by: partition}}", rules="{from: touched}, action: erase-subject"
    )
    said = (
        "categories[0].rules[0].action: nothing tells who lives in a home: none is erased; "
        "add a category with find.person: {by: member}"
    )
    assert findings(gateways) == [said]
    assert findings(gateways, HOMES.replace("enforced", "planned")) == [said]
    assert findings(gateways, HOMES) == []


def test_categories_that_follow_each_other_in_a_ring_are_refused() -> None:
    one = category("one", rules="{from: follows, category: two}")
    two = category("two", rules="{from: follows, category: one}", store=COSMOS.replace("things", "others"), row=2)
    assert [finding.split(":")[0] for finding in findings(one, two)] == [
        "categories[0].rules[0].start.category",
        "categories[1].rules[0].start.category",
    ]


def test_an_enforced_category_cannot_follow_a_planned_one() -> None:
    planned = HOMES.replace("enforced", "planned")
    follower = category(
        "devices", "belongs_to: home", "find: {home: {by: partition}}", rules="{from: follows, category: homes}"
    )
    assert findings(follower, planned) == [
        'categories[0].rules[0].start.category: "homes" is only planned: nothing can follow it; write planned here'
    ]


def test_a_category_cannot_follow_one_of_another_scope() -> None:
    follower = category("devices", rules="{from: follows, category: homes}")
    assert findings(follower, HOMES) == [
        'categories[0].rules[0].start.category: "homes" belongs to another kind of scope; follow one with the same'
    ]


def test_a_reference_to_a_malformed_category_is_not_called_unknown() -> None:
    follower = category(
        "devices", "belongs_to: home", "find: {home: {by: partition}}", rules="{from: follows, category: homes}"
    )
    assert findings(follower, HOMES.replace("row: 2", "row: two")) == [
        "categories[1].row: must be a whole number, without quotes and leading zeros"
    ]


def test_a_law_on_records_that_follow_others_cannot_say_until_when() -> None:
    follower = category(
        "devices",
        "belongs_to: home",
        "find: {home: {by: partition}}",
        rules="{from: follows, category: homes}",
        law="An Act",
    )
    assert findings(follower, HOMES) == [
        "categories[0].law: an answer says until when a law keeps a record; give each rule a start that the record tells"
    ]


def test_ids_of_categories_promises_and_rules_are_unique() -> None:
    other = category("things", store=COSMOS.replace("things", "others"), row=2)
    promise = "promises:\n  - {id: things, row: 3, clause: '1', says: x, role: controller, legal_basis: consent, status: planned}\n"
    assert findings(category(), other, tail=promise) == [
        'categories[1].id: "things" is given twice; the name must be the only one of its kind',
        'categories[1].rules[0].id: "things-0" is given twice; the name must be the only one of its kind',
        'promises[0].id: "things" is given twice; the name must be the only one of its kind',
    ]


def test_a_promise_has_a_row_of_its_own_and_categories_may_share_one() -> None:
    other = category("others", store=COSMOS.replace("things", "others"))
    promise = "promises:\n  - {id: p, row: 1, clause: '1', says: x, role: controller, legal_basis: consent, status: planned}\n"
    assert findings(category(), other) == []
    assert findings(category(), other, tail=promise) == [
        "promises[0].row: row 1 is another promise already; give each promise its own row"
    ]


def test_categories_in_one_container_must_tell_their_records_apart() -> None:
    guests = category("guests", rules="{from: touched}, where: {field: userId, absent: true}")
    assert findings(guests, category("users", row=2)) == [
        "categories[1].store.container: another category uses this container too; say with where, in each rule, which records are whose"
    ]
    assert (
        findings(guests, category("users", row=2, rules="{from: touched}, where: {field: userId, absent: false}")) == []
    )


def test_only_one_category_tells_persons_by_email() -> None:
    more = ("belongs_to: person", "find: {person: {by: partition}}", "identifies: {email: email}")
    other = category("others", *more, store=COSMOS.replace("things", "others"), row=2)
    assert findings(category("things", *more), other) == [
        'categories[1].identifies: "email" is given twice; the name must be the only one of its kind'
    ]


def test_a_layout_without_a_date_is_a_warning() -> None:
    assert warnings(category(store=UNDATED, rules="{from: stored}")) == [
        "categories[0].store.layout: no date in the layout: a sweep lists the whole container; put a date first in the name"
    ]


def test_a_start_that_no_name_tells_is_a_warning() -> None:
    assert warnings(category(store=BLOB, rules="{from: stored}")) == [
        "categories[0].rules[0].start: a start that no name tells: a sweep lists the whole container; write from: name-or-stored"
    ]


@pytest.mark.parametrize(("cadence", "warned"), [("P1D", True), ("P2D", True), ("PT23H", False)])
def test_a_cadence_as_long_as_the_period_is_a_warning(cadence: str, warned: bool) -> None:
    text = f"categories[0].rules[0].period: a record can stay P1D + {cadence}: the cadence is as long as the period"
    assert warnings(category(cadence=cadence)) == ([text] if warned else [])


def test_a_period_of_nothing_and_calendar_periods_are_not_compared_with_the_cadence() -> None:
    for period in ("P0D", "P1M"):
        assert warnings(category(cadence="P30D").replace("P1D", period)) == []


def test_a_row_left_out_is_a_warning() -> None:
    assert warnings(category(row=3)) == [
        "categories: no category and no promise has row 1; add it or renumber",
        "categories: no category and no promise has row 2; add it or renumber",
    ]
