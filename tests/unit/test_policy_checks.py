"""The sense of a policy: what types cannot say is found, and what is merely costly is a warning."""

from __future__ import annotations

import pytest

from shared import policy_file

HEAD = "version: 1\norganisation: Example Ltd\ncategories:\n"
COSMOS = "{kind: cosmos, account: main, container: things, partition_key: /homeId}"
BLOB = '{kind: blob, account: data, container: things, layout: "{day:%Y-%m-%d}/{home_id}/{name}"}'
UNDATED = BLOB.replace("{day:%Y-%m-%d}/", "")
OWN = "{kind: own, container: things}"


def category(name: str = "things", *more: str, store: str = COSMOS, row: int = 1, rules: str = "", **keys: str) -> str:
    """One category as YAML; `rules` are flow mappings without their ids, `more` further lines."""
    values = {"status": "enforced", "cadence": "PT1H", "legal_basis": "consent", **keys}
    rules = rules or ("{from: name, field: day}" if store == BLOB else "{from: field, field: at}")
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


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (category(rules="none"), "categories[0].rules: an enforced category needs a rule; add one, or write planned"),
        (category(store=OWN), "categories[0].status: the pipeline's own containers are not swept yet; write planned"),
        (category("things", "law: Bookkeeping Act"), "categories[0].law: keeping by law against a request is not carried out yet; write planned"),
        (category("things", "suppliers: [Mailchimp]"), "categories[0].suppliers: deleting at suppliers is not carried out yet; write planned"),
        (category(legal_basis="none"), 'categories[0].legal_basis: "none" needs its reason; add legal_note'),
        (category("things", "identifies: {email: email}"), "categories[0].identifies: only items that belong to a person can name one; remove it, or write belongs_to: person"),
        (category("things", "belongs_to: home"), "categories[0].find: says not how a home's records are found; add home here"),
        (category("things", "find: {home: {by: name-part, field: x}}"), 'categories[0].find.home.by: "name-part" does not fit a store of kind cosmos; write partition or field or member'),
        (category("things", "find: {home: {by: partition}}", store=BLOB), 'categories[0].find.home.by: "partition" does not fit a store of kind blob; write name-part'),
        (category("things", "find: {home: {by: partition}}", store=OWN, status="planned"), 'categories[0].find.home.by: "partition" does not fit a store of kind own; remove it'),
        (category("things", "find: {home: {by: name-part, field: house}}", store=BLOB), 'categories[0].find.home.field: the layout has no such placeholder "house"; it has home_id, name'),
        (category("things", "find: {home: {by: name-part, field: day}}", store=BLOB), 'categories[0].find.home.field: the layout has no such placeholder "day"; it has home_id, name'),
        (category(store=BLOB, rules="{from: name, field: home_id}"), 'categories[0].rules[0].start.field: the layout has no such placeholder "home_id"; it has day'),
        (category(store=UNDATED, rules="{from: name-or-stored, field: day}"), 'categories[0].rules[0].start.field: the layout has no such placeholder "day"; it has none of this kind'),
        (category(store=BLOB, rules="{from: touched}"), 'categories[0].rules[0].start.from: "touched" does not fit a store of kind blob; write name or stored or name-or-stored or follows'),
        (category(rules="{from: stored}"), 'categories[0].rules[0].start.from: "stored" does not fit a store of kind cosmos; write field or touched or empty or follows'),
        (category(rules="{from: empty, field: members}"), 'categories[0].rules[0].start.field: nobody ever leaves "members"; add find.person: {by: member, field: members}'),
        (category(store=BLOB, rules="{from: name, field: day}, where: {field: a, absent: true}"), "categories[0].rules[0].where: only items have properties; remove it, or write kind: cosmos"),
        (category(rules="{from: touched}, action: erase-subject"), "categories[0].rules[0].action: there is no subject to erase; add belongs_to to the category"),
        (category(rules="{from: follows, category: thing}"), 'categories[0].rules[0].start.category: there is no category "thing"; did you mean "things"?'),
        (category(rules="{from: follows, category: qqq}"), 'categories[0].rules[0].start.category: there is no category "qqq"; write the id of one'),
        (category(rules="{from: follows, category: things}"), "categories[0].rules[0].start.category: the categories follow each other in a ring; give one its own start"),
        (category("things", "belongs_to: home", "find: {home: {by: partition}, person: {by: field, field: userId}}"), "categories[0].find.person: no category tells which homes a person has; add one of homes with find.person: {by: member, ...}"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_named_with_its_place_and_remedy(text: str, finding: str) -> None:
    assert findings(text) == [finding]


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
