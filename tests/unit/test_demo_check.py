"""The demo's count at the end: it sees what is left over and what is wrongly gone, and trusts nothing it checks."""

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.demo import check
from local.demo.seed import Blob, make_seed

MANIFOLD = ("operation-log", "camera-credentials", "course-registrations", "newsletter")
NOW = datetime(2026, 5, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def seed():
    return make_seed(NOW)


@pytest.fixture
def asked(seed):
    return (seed.cast.alone, seed.cast.leaver, *seed.cast.pair)


def key(record):
    return record.name if isinstance(record, Blob) else check.key_of(record.partition, record.body["id"])


def everything(seed):
    stored = {"camera-snapshots": {}, "backups": {}, "web-access-log": {}}
    for record in seed.records:
        body = {} if isinstance(record, Blob) else dict(record.body)
        stored.setdefault(record.container, {})[key(record)] = body
    return stored


@pytest.fixture
def right(seed, asked):
    """What is stored when all went well, found by the counter's own verdicts, one record at a time."""
    stored = everything(seed)
    people = check.known_as(seed, check.gone_people(seed, asked))
    for home in stored["homes"].values():
        home["members"] = [member for member in home["members"] if member not in people]
    empty = {home["homeId"] for home in stored["homes"].values() if not home["members"]}
    for record in seed.records:
        if check._fate(record, seed.now, people, empty) in ("expired", "erased"):
            del stored[record.container][key(record)]
    return stored


def totals(seed, asked, stored):
    rows = check.count(seed, asked, stored)
    return sum(row.left_over for row in rows), sum(row.wrongly_gone for row in rows)


def test_what_is_right_counts_as_right(seed, asked, right):
    assert totals(seed, asked, right) == (0, 0)


def test_with_nothing_done_all_that_should_go_is_left_over(seed, asked, right):
    stored = everything(seed)
    gone = sum(len(names) for names in stored.values()) - sum(len(names) for names in right.values())
    left_homes = 2  # two people moved out of homes that stay: each is still named there
    assert totals(seed, asked, stored) == (gone + left_homes, 0)


@pytest.mark.parametrize("container", ["camera-snapshots", "backups", "users", "homes", "operation-log", "devices"])
def test_one_record_that_is_missing_is_wrongly_gone(seed, asked, right, container):
    del right[container][next(iter(right[container]))]
    assert totals(seed, asked, right) == (0, 1)


@pytest.mark.parametrize("container", ["camera-snapshots", "backups", "users", "homes", "operation-log", "devices"])
def test_one_record_that_stayed_is_left_over(seed, asked, right, container):
    gone = next(name for name in everything(seed)[container] if name not in right[container])
    right[container][gone] = everything(seed)[container][gone] | {"members": []}
    assert totals(seed, asked, right) == (1, 0)


def test_a_record_that_nobody_seeded_is_left_over(seed, asked, right):
    right["devices"]["home-x/device-x"] = {}
    assert totals(seed, asked, right) == (1, 0)


def test_a_member_that_is_still_named_is_left_over(seed, asked, right):
    home = next(h for h in everything(seed)["homes"].values() if seed.cast.leaver in h["members"])
    right["homes"][check.key_of(home["id"], home["id"])]["members"] = home["members"]
    assert totals(seed, asked, right) == (1, 0)


def test_a_member_that_was_removed_by_mistake_is_wrongly_gone(seed, asked, right):
    home = next(home for home in right["homes"].values() if len(home["members"]) == 1)
    home["members"] = []
    assert totals(seed, asked, right) == (0, 1)


def test_the_story_expects_each_fate(seed, asked):
    people = check.known_as(seed, check.gone_people(seed, asked))
    empty = {home for home, left in check.members_left(seed, people).items() if not left}
    fates = {(r.container, check._fate(r, seed.now, people, empty)) for r in seed.records}
    assert fates == {
        *(("camera-snapshots", fate) for fate in ("kept", "expired", "erased", "blocked")),
        *((container, "kept") for container in ("backups", "cart-sessions", "web-access-log", "invoices")),
        *((container, "expired") for container in ("backups", "cart-sessions", "web-access-log", "invoices")),
        *((container, fate) for container in MANIFOLD for fate in ("kept", "expired", "erased")),
        *((container, fate) for container in ("users", "homes", "devices") for fate in ("kept", "erased")),
    }


def test_accounts_that_outlived_their_reason_go_without_being_asked(seed):
    assert check.gone_people(seed, ()) == {seed.cast.contract_ended, seed.cast.inactive}


def test_who_is_known_by_an_address_alone_is_counted_as_erased(seed, asked):
    names = check.known_as(seed, check.gone_people(seed, asked))
    letters = [i for i in seed.items if i.container == "newsletter" and "userId" not in i.body]
    assert "erased" in {check._fate(letter, seed.now, names, ()) for letter in letters}


def test_the_counter_shares_no_code_with_what_it_checks():
    for name in ("check.py", "seed.py", "sales.py", "records.py"):
        tree = ast.parse(Path(check.__file__).with_name(name).read_text())
        imported = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        imported |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
        assert imported
        assert not [module for module in imported if module.split(".")[0] in ("shared", "functions", "cli")]
