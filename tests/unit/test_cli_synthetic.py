"""The smoke test's synthetic person: made by the policy's own words, whatever the policy is, and gone by its own sweep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.synthetic import GRACE, invent, name
from shared.errors import ConfigError
from shared.layout import Layout
from shared.model import parse_utc
from shared.policy import Policy
from shared.policy_file import load
from shared.policy_terms import BlobStore

NOW = datetime(2026, 3, 1, 0, 2, 30, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
COMMON = """
    row: 1
    clause: "1"
    says: Records go.
    role: controller
    legal_basis: consent
    on_request: erase
    cadence: PT1H
    status: enforced"""
CUSTOMERS = f"""
  - id: customers{COMMON}
    store: {{kind: cosmos, account: main, container: crm, partition_key: /region}}
    belongs_to: person
    rules: [{{id: customers-gone, start: {{from: field, field: leftAt}}, period: P6M, action: erase-subject}}]
    find: {{person: {{by: field, field: customerNumber}}}}
    identifies: {{email: mail}}
"""
SCANS = f"""
  - id: scans{COMMON}
    store: {{kind: blob, account: data, container: scans, layout: "{{person}}/{{taken:%Y%m}}/{{page}}.png"}}
    belongs_to: person
    rules: [{{id: scans-1-year, start: {{from: name, field: taken}}, period: P1Y}}]
    find: {{person: {{by: name-part, field: person}}}}
"""


def policy(tmp_path: Path, *categories: str) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(f"version: 1\norganisation: A shop\ncategories:{''.join(categories)}")
    return load(file)


def test_the_companys_policy_gets_a_user_a_home_of_theirs_and_a_picture_of_it() -> None:
    ours = load(ROOT / "policy.yaml")
    person = invent(ours, NOW)
    user, home, picture = person.records
    assert [each.category for each in person.records] == ["users", "homes", "camera-snapshots"]
    assert user.body["userId"] == user.body["id"] == user.key == person.user_id
    assert user.body["email"].endswith("@example.invalid")
    assert (home.body["homeId"], home.body["members"]) == (home.key, [person.user_id])
    assert isinstance(picture.store, BlobStore)
    parts = picture.store.layout.match(picture.key)
    assert parts is not None
    assert parts.fields["home_id"] == home.key
    assert NOW - timedelta(minutes=10) < parts.times["captured"] < NOW


def test_no_two_people_have_an_id_in_common() -> None:
    ours = load(ROOT / "policy.yaml")
    ids = [each.key for _ in range(5) for each in invent(ours, NOW).records]
    assert len(set(ids)) == len(ids)


def test_the_policys_own_sweep_takes_the_person_after_a_day_and_not_before() -> None:
    ours = load(ROOT / "policy.yaml")
    person = invent(ours, NOW)
    ended = parse_utc(person.records[0].body["contractEndedAt"])
    rule = next(rule for rule in ours.category("users").rules if rule.id == "users-contract-ended")
    assert person.due == rule.period.after(ended) == NOW + GRACE


def test_another_policys_words_are_taken_and_a_home_is_not_asked_for(tmp_path: Path) -> None:
    person = invent(policy(tmp_path, CUSTOMERS, SCANS), NOW)
    customer, scan = person.records
    assert customer.body.keys() == {"id", "region", "customerNumber", "mail", "leftAt"}
    assert customer.body["customerNumber"] == person.user_id
    left = parse_utc(customer.body["leftAt"])
    assert timedelta() <= left - datetime(2025, 9, 2, 0, 2, 30, tzinfo=UTC) <= timedelta(days=4)
    assert scan.key == f"{person.user_id}/202602/smoke.png"


def test_a_policy_that_knows_no_people_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--no-person"):
        invent(policy(tmp_path, SCANS), NOW)


def test_people_whom_a_law_keeps_are_refused_they_would_stay(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--no-person"):
        invent(policy(tmp_path, CUSTOMERS.replace(", action: erase-subject", "") + "    law: The Act\n"), NOW)


@pytest.mark.parametrize(
    "text",
    [
        "{at:%Y-%m-%dT%H%M%SZ}/{home}/{name}",
        "homes/{home}/{at:%Y}/{at:%m}/{at:%d}/{at:%H}.jpg",
        "x-{home}.bin",
    ],
)
def test_a_name_is_read_back_as_what_it_was_made_of(text: str) -> None:
    layout = Layout.parse(text)
    parts = layout.match(name(layout, "home", "home-1", NOW))
    assert parts is not None
    assert parts.fields["home"] == "home-1"
    assert all(each <= NOW < each + timedelta(hours=1) for each in parts.times.values())
