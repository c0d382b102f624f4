"""The shipped policy.yaml: complete, honest about what is planned, and what the code reads from it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from shared import policy_file, strict_yaml
from shared.model import ScopeKind
from shared.policy import Identifies, Owner, Policy, PolicyError
from shared.policy_terms import (
    BlobStore,
    CosmosStore,
    Empty,
    Field,
    FieldIs,
    Follows,
    Line,
    Member,
    Name,
    NameOrStored,
    NamePart,
    OwnStore,
    Partition,
    Touched,
    Where,
    YearEnd,
)

FILE = Path(__file__).parents[2] / "policy.yaml"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_file.load(FILE)


def test_every_promise_from_1_to_23_has_a_row(policy: Policy) -> None:
    assert {row.row for row in policy.categories} == {*range(1, 14), 23}
    assert [row.row for row in policy.promises] == [*range(14, 23)]


def test_every_category_but_web_statistics_and_exports_is_enforced_and_those_say_planned(policy: Policy) -> None:
    planned = {category.id for category in policy.categories if category not in policy.enforced()}
    assert planned == {"web-statistics", "exports"}
    assert {policy.category(name).status for name in planned} == {"planned"}


def test_the_digest_is_the_sha256_of_the_files_bytes(policy: Policy) -> None:
    assert policy.digest == "sha256:" + hashlib.sha256(FILE.read_bytes()).hexdigest()


def test_the_digest_changes_with_a_comment() -> None:
    assert policy_file.parse(FILE.read_bytes() + b"# \n").digest != policy_file.load(FILE).digest


def test_the_periods_are_those_of_the_promises(policy: Policy) -> None:
    periods = {
        category.id: [(str(rule.period), rule.assumed) for rule in category.rules]
        for category in policy.categories
        if not isinstance(category.store, OwnStore)
    }
    assert periods == {
        "camera-snapshots": [("P7D", False)],
        "camera-credentials": [("P7D", True), ("P7D", True)],
        "users": [("P0D", False), ("P24M", True)],
        "homes": [("P0D", False)],
        "devices": [("P0D", False)],
        "operation-log": [("P30D", True)],
        "web-access-log": [("P14D", True)],
        "cart-guest": [("PT60S", False)],
        "cart-user": [("PT10M", False)],
        "course-registrations": [("P90D", True)],
        "newsletter": [("P0D", False)],
        "web-statistics": [],
        "invoices": [("P5Y", True)],
        "backups": [("P30D", False)],
    }


def test_snapshots_start_at_the_earlier_of_name_and_store_and_belong_to_the_home_in_the_name(policy: Policy) -> None:
    category = policy.category("camera-snapshots")
    assert isinstance(category.store, BlobStore)
    assert category.rules[0].start == NameOrStored.model_validate({"from": "name-or-stored", "field": "captured"})
    assert category.scope == Owner(kind=ScopeKind.HOME, by=NamePart(by="name-part", field="home_id"))
    assert category.store.layout.match("2025-03-01/07/h/c/070102-n.jpg") is not None


def test_the_enforced_items_start_and_are_found_as_promised(policy: Policy) -> None:
    def category(name: str) -> tuple[object, ...]:
        found = policy.category(name)
        assert isinstance(found.store, CosmosStore)
        starts = tuple(rule.start for rule in found.rules)
        return found.store.partition_field, starts, dict(found.find), found.belongs_to

    person, home = ScopeKind.PERSON, ScopeKind.HOME
    partition = Partition(by="partition")
    field = [Field.model_validate({"from": "field", "field": f}) for f in ("contractEndedAt", "lastActiveAt", "at")]
    assert category("users") == ("userId", (field[0], field[1]), {person: partition}, person)
    assert category("homes") == (
        "homeId",
        (Empty.model_validate({"from": "empty", "field": "members"}),),
        {person: Member(by="member", field="members"), home: partition},
        home,
    )
    follows = Follows.model_validate({"from": "follows", "category": "homes"})
    assert category("devices") == ("homeId", (follows,), {home: partition}, home)
    assert category("operation-log") == (
        "homeId", (field[2],), {person: FieldIs(by="field", field="userId"), home: partition}, home,
    )  # fmt: skip
    touched = (Touched.model_validate({"from": "touched"}),)
    assert category("cart-guest") == ("sessionId", touched, {ScopeKind.SESSION: partition}, None)
    assert policy.category("cart-guest").rules[0].where == Where(field="userId", absent=True)
    by_user = FieldIs(by="field", field="userId")
    assert category("cart-user") == ("sessionId", touched, {person: by_user}, person)
    assert policy.category("cart-user").rules[0].where == Where(field="userId", absent=False)
    assert policy.category("users").identifies == Identifies(email="email")


def test_a_login_goes_after_its_last_use_and_one_never_used_after_its_last_change(policy: Policy) -> None:
    used, never = policy.category("camera-credentials").rules
    assert used.start == Field.model_validate({"from": "field", "field": "lastUsedAt"})
    assert (never.start.from_, never.where) == ("touched", Where(field="lastUsedAt", absent=True))


@pytest.mark.parametrize("name", ["course-registrations", "newsletter"])
def test_who_has_no_account_is_found_by_address_and_who_has_one_by_both(policy: Policy, name: str) -> None:
    category = policy.category(name)
    assert category.scope == Owner(kind=ScopeKind.ADDRESS, by=FieldIs(by="field", field="email"))
    assert category.find[ScopeKind.PERSON] == FieldIs(by="field", field="userId")


def test_the_newsletter_says_that_its_supplier_is_not_reached_yet(policy: Policy) -> None:
    assert [(each.name, each.status) for each in policy.category("newsletter").suppliers] == [("Mailchimp", "planned")]


def test_invoices_are_kept_by_law_from_the_end_of_the_norwegian_year(policy: Policy) -> None:
    invoices = policy.category("invoices")
    start = YearEnd.model_validate({"from": "year-end", "field": "issuedAt", "zone": "Europe/Oslo"})
    assert (invoices.rules[0].start, invoices.belongs_to) == (start, ScopeKind.PERSON)
    assert invoices.law == "Norwegian Bookkeeping Act, section 13"
    assert [category.id for category in policy.categories if category.law] == ["invoices"]


def test_the_web_log_is_searched_for_a_visit_alone(policy: Policy) -> None:
    line = Line(by="line", ip="ip", at="at")
    assert dict(policy.category("web-access-log").find) == {ScopeKind.VISIT: line}
    assert dict(policy.line_finders()) == {"web-access-log": line}


def test_an_expired_user_and_an_emptied_home_are_erased_as_subjects_and_nothing_else_is(policy: Policy) -> None:
    subjects = {rule.id for category in policy.categories for rule in category.rules if rule.action == "erase-subject"}
    assert subjects == {"users-contract-ended", "users-inactive", "homes-last-member-gone"}


def test_backups_start_at_the_time_in_their_name(policy: Policy) -> None:
    category = policy.category("backups")
    assert isinstance(category.store, BlobStore)
    assert category.store.account == "backup"
    assert category.rules[0].start == Name.model_validate({"from": "name", "field": "taken"})
    assert category.store.layout.match("2025-03-01T020000Z/users.jsonl") is not None


def test_the_worst_case_adds_the_cadence_to_the_period(policy: Policy) -> None:
    cart, devices = policy.category("cart-guest"), policy.category("devices")
    assert cart.worst_case(cart.rules[0]) == "PT60S + PT1M"
    assert devices.worst_case(devices.rules[0]) == "as homes + P0D + PT15M"


def test_the_only_warning_is_that_a_guests_cart_can_stay_two_minutes() -> None:
    warnings = policy_file.inspect(FILE.read_bytes()).warnings
    assert [warning.text for warning in warnings] == [
        "a record can stay PT60S + PT1M: the cadence is as long as the period"
    ]


def test_each_row_names_role_legal_basis_and_clause_and_contract_notes_the_wrong_article(policy: Policy) -> None:
    for row in (*policy.categories, *policy.promises):
        assert row.clause
        assert row.role in {"controller", "processor"}
        assert row.legal_basis != "contract" or "6(1)(b)" in row.legal_note


def test_an_unknown_category_is_a_policy_error(policy: Policy) -> None:
    with pytest.raises(PolicyError, match="no such category"):
        policy.category("nothing")


def test_nothing_in_a_policy_can_be_changed(policy: Policy) -> None:
    category = policy.category("homes")
    with pytest.raises(ValueError, match="frozen"):
        category.status = "planned"
    with pytest.raises(TypeError):
        category.find[ScopeKind.HOME] = Partition(by="partition")
    with pytest.raises(AttributeError):
        policy.digest = ""


def test_an_ordinary_yaml_reader_reads_the_same_values() -> None:
    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, tuple) else value

    assert plain(strict_yaml.read(FILE.read_bytes()).data) == YAML(typ="safe", pure=True).load(FILE)
