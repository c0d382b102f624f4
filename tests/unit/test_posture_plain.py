"""What an account does to a deleted blob, without a policy: said of the account, and apart of its containers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.period import Period
from shared.posture.effects import END
from shared.posture.plain import Plain, describe
from shared.posture.settings import (
    BlobAccount,
    BlobContainer,
    Immutability,
    LifecycleRule,
    Seen,
    StorageSettings,
    Unknown,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = Period.parse("P7D")
CLEAN = StorageSettings.emulator()
CONTAINER = BlobContainer(immutability=None, legal_hold=False, version_level=False, seen=Seen(entries=0))


def told(settings: StorageSettings = CLEAN, **containers: BlobContainer | Unknown) -> Plain:
    return describe(BlobAccount(name="shop", settings=settings, containers=containers), WEEK, now=NOW)


def test_a_clean_account_deletes_for_good() -> None:
    found = told(a=CONTAINER)
    assert (found.kept, found.promised, found.really) == (timedelta(), "7 d", "7 d")
    assert (found.apart, found.sure, found.fine, found.containers) == ({}, True, True, 1)


def test_a_7_day_promise_is_really_14() -> None:
    found = told(replace(CLEAN, soft_delete=7))
    assert (found.kept, found.really, found.fine) == (timedelta(days=7), "14 d", False)


def test_versions_have_no_end() -> None:
    found = told(replace(CLEAN, versioning=True))
    assert (found.kept, found.really) == (END, "no end")


def test_a_container_that_differs_is_said_apart() -> None:
    held = replace(CONTAINER, legal_hold=True)
    worm = replace(CONTAINER, immutability=Immutability(days=9))
    found = told(replace(CLEAN, soft_delete=7), plain=CONTAINER, held=held, worm=worm)
    assert (found.really, found.apart) == ("14 d", {"held": "no end", "worm": "16 d"})
    assert [finding.where for finding in found.findings] == ["shop", "shop/held", "shop/worm"]


def test_a_lifecycle_rule_is_noted_where_no_sweep_of_ours_deletes() -> None:
    rule = LifecycleRule(name="old", prefixes=(), deletes=frozenset({"base"}))
    found = told(replace(CLEAN, lifecycle=(rule,)), a=CONTAINER)
    assert ([finding.kind for finding in found.findings], found.fine) == (["note"], True)


def test_a_promise_in_months_stays_one() -> None:
    account = BlobAccount(name="shop", settings=replace(CLEAN, soft_delete=7), containers={})
    found = describe(account, Period.parse("P1M"), now=NOW)
    assert (found.promised, found.really) == ("P1M", "P1M + 7 d")


def test_what_could_not_be_read_makes_it_unsure() -> None:
    why = Unknown(why="refused", remedy="grant")
    assert not told(StorageSettings.unknown(why)).sure
    assert not told(a=why).fine
