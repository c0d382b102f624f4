"""What each setting makes of a promise: every trap, what it adds, what breaks, and what is unknown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.policy import Category, Policy
from shared.policy_file import load
from shared.posture.effects import END, Effect, span, total
from shared.posture.settings import (
    Account,
    BlobAccount,
    BlobContainer,
    ChangeFeed,
    Continuous,
    CosmosAccount,
    CosmosContainer,
    Immutability,
    LifecycleRule,
    Periodic,
    Seen,
    StorageSettings,
    Unknown,
)
from shared.posture.worst_case import PLANNED, Posture, Verdict, backup_allowance, judge

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WHY = Unknown(why="nobody knows", remedy="ask somebody")
CLEAN = StorageSettings.emulator()
CONTAINER = BlobContainer(immutability=None, legal_hold=False, version_level=False, seen=Seen(entries=0))


def category(store: Mapping[str, Any], *, period: str, start: Any, name: str = "governed", **more: Any) -> Category:
    rest = {"row": 1, "clause": "1", "says": "Records go.", "role": "controller", "legal_basis": "consent"}
    rule = {"id": f"{name}-rule", "start": start, "period": period}
    common = {"id": name, **rest, "status": "enforced", "cadence": "PT10M", "on_request": "erase"}
    return Category.model_validate({**common, "store": dict(store), "rules": (rule,), **more})


def pictures(*, period: str = "P7D", **more: Any) -> Category:
    store = {"kind": "blob", "account": "data", "container": "pictures", "layout": "{taken:%Y-%m-%d}/{home}/{name}"}
    return category(store, period=period, start={"from": "name", "field": "taken"}, name="pictures", **more)


def items(*, period: str = "P30D", **more: Any) -> Category:
    store = {"kind": "cosmos", "account": "main", "container": "items", "partition_key": "/homeId"}
    return category(store, period=period, start={"from": "field", "field": "at"}, name="items", **more)


def backups(period: str = "P30D") -> Category:
    store = {"kind": "blob", "account": "backup", "container": "backups", "layout": "{taken:%Y-%m-%d}/{name}"}
    return category(store, period=period, start={"from": "name", "field": "taken"}, name="backups", status="planned")


def policy(*categories: Category) -> Policy:
    return Policy(version=1, organisation="A", categories=categories, promises=(), digest="sha256:0")


def blob(settings: StorageSettings = CLEAN, **container: Any) -> dict[str, Account]:
    inside = {"pictures": replace(CONTAINER, **container)}
    return {"BLOB_DATA": BlobAccount(name="data", settings=settings, containers=inside)}


def cosmos(backup: Any = Continuous(days=7), ttl: int | None = None, own: Any = False) -> dict[str, Account]:  # noqa: B008 - frozen
    inside = {"items": CosmosContainer(default_ttl=ttl, own_ttl=own)}
    return {"COSMOS_MAIN": CosmosAccount(name="main", backup=backup, containers=inside)}


def said(found: Posture) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.kind, finding.settings) for finding in found.findings]


def only(found: Posture) -> Verdict:
    [verdict] = [verdict for verdict in found.verdicts if verdict.really != PLANNED]
    return verdict


# ---------------------------------------------------------------- blobs


def test_a_clean_account_keeps_the_promise_by_period_and_cadence_alone() -> None:
    found = judge(policy(pictures()), blob(), now=NOW)
    verdict = only(found)
    assert (verdict.promised, verdict.own, verdict.really) == ("P7D", "P7D + PT10M", "7 d 10 min")
    assert (verdict.adds, verdict.kind, verdict.why, verdict.sure) == (timedelta(), None, (), True)
    assert (found.findings, found.fine) == ((), True)


def test_soft_delete_makes_a_7_day_promise_14() -> None:
    found = judge(policy(pictures()), blob(replace(CLEAN, soft_delete=7)), now=NOW)
    assert (only(found).really, only(found).kind, only(found).why) == ("14 d 10 min", "breaks", ("soft delete 7 d",))
    assert said(found) == [("breaks", ("soft delete",))]
    assert "7 days more" in found.findings[0].text
    assert found.findings[0].rules == ("pictures-rule",)
    assert not found.fine


def test_versions_stay_without_end_whatever_soft_delete_says() -> None:
    found = judge(policy(pictures()), blob(replace(CLEAN, soft_delete=7, versioning=True)), now=NOW)
    assert (only(found).adds, only(found).really) == (END, "no end")
    assert said(found) == [("breaks", ("soft delete",)), ("breaks", ("versioning",))]


def test_point_in_time_restore_runs_beside_soft_delete_and_adds_the_longer_of_the_two() -> None:
    found = judge(policy(pictures()), blob(replace(CLEAN, soft_delete=30, restore=20)), now=NOW)
    assert only(found).really == "37 d 10 min"
    assert judge(policy(pictures()), blob(replace(CLEAN, restore=20)), now=NOW).verdicts[0].really == "27 d 10 min"


@pytest.mark.parametrize(
    ("prefixes", "covered"),
    [((), True), (("pictures/2026",), True), (("pict",), True), (("pictures-2/",), False), (("other/",), False)],
)
def test_a_lifecycle_rule_that_deletes_governed_blobs_breaks_the_promise(
    prefixes: tuple[str, ...], covered: bool
) -> None:
    rule = LifecycleRule(name="old", prefixes=prefixes, deletes=frozenset({"base"}))
    found = judge(policy(pictures()), blob(replace(CLEAN, lifecycle=(rule,))), now=NOW)
    assert said(found) == ([("breaks", ("lifecycle rule",))] if covered else [])
    assert only(found).really == "7 d 10 min"


def test_a_lifecycle_rule_on_versions_alone_is_no_finding() -> None:
    rule = LifecycleRule(name="old", prefixes=(), deletes=frozenset({"version", "snapshot"}))
    assert judge(policy(pictures()), blob(replace(CLEAN, lifecycle=(rule,))), now=NOW).findings == ()


def test_immutability_longer_than_the_period_delays_the_deletion_and_soft_delete_comes_on_top() -> None:
    accounts = blob(replace(CLEAN, soft_delete=7), immutability=Immutability(days=30))
    found = judge(policy(pictures()), accounts, now=NOW)
    assert only(found).really == "37 d 10 min"
    assert ("breaks", ("immutability",)) in said(found)


def test_immutability_no_longer_than_the_period_is_only_noted() -> None:
    found = judge(policy(pictures()), blob(immutability=Immutability(days=7)), now=NOW)
    assert said(found) == [("note", ("immutability",))]
    assert (only(found).really, only(found).why, found.fine) == ("7 d 10 min", (), True)


@pytest.mark.parametrize(("days", "kind"), [(28, None), (29, "breaks")])
@pytest.mark.parametrize("now", [NOW, datetime(2026, 1, 31, tzinfo=UTC)])
def test_a_month_is_measured_by_its_shortest_on_whatever_day_it_is_asked(
    now: datetime, days: int, kind: str | None
) -> None:
    found = judge(policy(pictures(period="P1M")), blob(immutability=Immutability(days=days)), now=now)
    assert only(found).kind == kind
    assert only(found).really == ("P1M + PT10M" if kind is None else "P1M + PT10M + 1 d")


def test_immutability_that_suits_one_rule_and_not_another_breaks() -> None:
    month = pictures(period="P30D").model_copy(update={"id": "month"})
    found = judge(policy(month, pictures()), blob(immutability=Immutability(days=20)), now=NOW)
    assert said(found) == [("breaks", ("immutability",))]
    assert [verdict.kind for verdict in found.verdicts] == [None, "breaks"]


def test_immutability_of_unknown_length_is_unknown() -> None:
    found = judge(policy(pictures()), blob(immutability=Immutability(days=None)), now=NOW)
    assert said(found) == [("unknown", ("immutability",))]
    assert not only(found).sure


def test_the_store_s_own_legal_hold_has_no_end() -> None:
    found = judge(policy(pictures()), blob(legal_hold=True), now=NOW)
    assert (only(found).really, said(found)) == ("no end", [("breaks", ("legal hold",))])


def test_immutability_of_single_versions_cannot_be_told_and_is_unknown() -> None:
    assert said(judge(policy(pictures()), blob(version_level=True), now=NOW)) == [
        ("unknown", ("immutability of versions",))
    ]


def test_versions_that_a_listing_shows_have_no_end_though_versioning_is_off() -> None:
    seen = Seen(entries=5_000, versions=1_234, orphans=3, complete=False)
    found = judge(policy(pictures()), blob(seen=seen), now=NOW)
    assert only(found).really == "no end"
    assert "1,234 previous versions were seen among the first 5,000 entries, 3 of blobs" in found.findings[0].text


def test_what_soft_delete_kept_before_it_was_switched_off_is_noted() -> None:
    found = judge(policy(pictures()), blob(seen=Seen(entries=9, deleted=4)), now=NOW)
    assert (said(found), found.fine) == ([("note", ("soft delete",))], True)


def test_a_change_feed_breaks_the_promise_where_names_hold_an_id_and_is_noted_where_not() -> None:
    feed = replace(CLEAN, change_feed=ChangeFeed(days=None))
    named = pictures(belongs_to="home", find={"home": {"by": "name-part", "field": "home"}})
    assert said(judge(policy(named), blob(feed), now=NOW)) == [("breaks", ("change feed",))]
    assert said(judge(policy(pictures()), blob(feed), now=NOW)) == [("note", ("change feed",))]
    assert "for ever" in judge(policy(named), blob(feed), now=NOW).findings[0].text


def test_soft_delete_of_containers_is_noted() -> None:
    found = judge(policy(pictures()), blob(replace(CLEAN, container_soft_delete=7)), now=NOW)
    assert (said(found), found.fine) == ([("note", ("soft delete of containers",))], True)


# ---------------------------------------------------------------- Cosmos DB


@pytest.mark.parametrize(
    ("backup", "really"),
    [
        (Continuous(days=7), "37 d 10 min"),
        (Continuous(days=30), "60 d 10 min"),
        (Periodic(interval=timedelta(hours=4), retention=timedelta(hours=8)), "30 d 8 h 10 min"),
    ],
)
def test_a_backup_that_no_row_of_the_policy_allows_adds_its_days(backup: Any, really: str) -> None:
    found = judge(policy(items()), cosmos(backup), now=NOW)
    assert (only(found).really, said(found)) == (really, [("breaks", ("backup",))])


@pytest.mark.parametrize(("allowed", "kind"), [("P30D", "note"), ("P29D", "breaks")])
def test_a_backup_that_the_policy_s_row_allows_is_noted(allowed: str, kind: str) -> None:
    found = judge(policy(items(), backups(allowed)), cosmos(Continuous(days=30)), now=NOW)
    assert said(found) == [(kind, ("backup",))]
    assert only(found).really == ("30 d 10 min" if kind == "note" else "60 d 10 min")


def test_the_allowance_is_the_longest_rule_about_backups_and_none_without() -> None:
    assert backup_allowance(policy(items(), backups("P10D"), backups("P2M")), NOW) == timedelta(days=59)
    assert backup_allowance(policy(items()), NOW) == timedelta()


@pytest.mark.parametrize(("ttl", "own"), [(3600, False), (3600, True), (-1, True)])
def test_time_to_live_that_deletes_breaks_the_promise(ttl: int, own: bool) -> None:
    found = judge(policy(items(), backups()), cosmos(ttl=ttl, own=own), now=NOW)
    assert said(found)[0] == ("breaks", ("time to live",))
    assert "without an event" in found.findings[0].text


def test_time_to_live_that_is_on_and_deletes_nothing_yet_is_noted() -> None:
    found = judge(policy(items(), backups()), cosmos(ttl=-1), now=NOW)
    assert ("note", ("time to live",)) in said(found)
    assert found.fine


def test_time_to_live_of_items_that_could_not_be_read_is_unknown() -> None:
    assert ("unknown", ("time to live of items",)) in said(judge(policy(items()), cosmos(ttl=-1, own=WHY), now=NOW))


# ---------------------------------------------------------------- what is not known


@pytest.mark.parametrize(
    "name", ["soft_delete", "versioning", "restore", "change_feed", "container_soft_delete", "lifecycle"]
)
def test_a_setting_that_could_not_be_read_is_never_fine(name: str) -> None:
    settings = replace(CLEAN, **{name: WHY})
    found = judge(policy(pictures()), blob(settings), now=NOW)
    assert [finding.kind for finding in found.findings] == ["unknown"]
    assert (only(found).kind, only(found).sure, found.fine) == ("unknown", False, False)
    assert (found.findings[0].text, found.findings[0].remedy) == (WHY.why, WHY.remedy)


@pytest.mark.parametrize("name", ["immutability", "legal_hold", "seen"])
def test_a_container_s_setting_that_could_not_be_read_is_never_fine(name: str) -> None:
    assert not judge(policy(pictures()), blob(**{name: WHY}), now=NOW).fine


def test_settings_unknown_for_one_reason_are_one_finding() -> None:
    found = judge(policy(pictures()), blob(StorageSettings.unknown(WHY)), now=NOW)
    [finding] = found.findings
    assert finding.settings[:2] == ("soft delete", "versioning")
    assert len(finding.settings) == 6


def test_a_container_that_is_not_there_and_an_account_that_is_not_connected_are_unknown() -> None:
    account = BlobAccount(name="data", settings=CLEAN, containers={"pictures": WHY})
    assert said(judge(policy(pictures()), {"BLOB_DATA": account}, now=NOW)) == [("unknown", ("container",))]
    assert said(judge(policy(pictures()), {}, now=NOW)) == [("unknown", ("account",))]
    assert not judge(policy(items()), cosmos(WHY), now=NOW).fine


def test_an_unknown_setting_beside_a_broken_promise_leaves_both_findings_and_the_worse_verdict() -> None:
    found = judge(policy(pictures()), blob(replace(CLEAN, soft_delete=7, lifecycle=WHY)), now=NOW)
    assert [kind for kind, _ in said(found)] == ["breaks", "unknown"]
    assert (only(found).kind, only(found).sure) == ("breaks", False)


# ---------------------------------------------------------------- rules and text


def test_a_planned_category_is_listed_and_not_judged() -> None:
    found = judge(policy(pictures(status="planned")), {}, now=NOW)
    assert ([verdict.really for verdict in found.verdicts], found.findings) == ([PLANNED], ())


def test_calendar_months_stay_months_and_the_settings_days_come_on_top() -> None:
    found = judge(policy(pictures(period="P24M")), blob(replace(CLEAN, soft_delete=7)), now=NOW)
    assert only(found).really == "P24M + PT10M + 7 d"
    assert only(judge(policy(pictures(period="P24M")), blob(), now=NOW)).really == "P24M + PT10M"


def test_one_setting_that_several_rules_meet_is_one_finding_with_all_of_them() -> None:
    [rule] = pictures().rules
    other = pictures().model_copy(update={"id": "other", "rules": (rule.model_copy(update={"id": "other-rule"}),)})
    found = judge(policy(pictures(), other), blob(replace(CLEAN, soft_delete=7)), now=NOW)
    assert [finding.rules for finding in found.findings] == [("pictures-rule", "other-rule")]


def test_every_rule_of_the_shipped_policy_has_a_verdict_and_is_unknown_without_accounts() -> None:
    shipped = load(Path(__file__).parents[2] / "policy.yaml")
    found = judge(shipped, {}, now=NOW)
    assert [v.rule for v in found.verdicts] == [rule.id for category in shipped.categories for rule in category.rules]
    enforced = {rule.id for category in shipped.enforced() for rule in category.rules}
    assert {v.rule for v in found.verdicts if v.kind == "unknown"} == enforced


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=14, minutes=10), "14 d 10 min"),
        (timedelta(hours=25, seconds=1), "1 d 1 h 1 s"),
        (timedelta(), "0 s"),
        (END, "no end"),
    ],
)
def test_a_span_is_said_in_all_its_units(length: timedelta, text: str) -> None:
    assert span(length) == text


def test_nothing_adds_nothing_and_one_without_end_has_none() -> None:
    week = Effect(kind="breaks", setting="s", short="", text="", remedy="", adds=timedelta(days=7))
    assert total([]) == timedelta()
    assert total([week, week]) == timedelta(days=7)
    assert total([week, replace(week, delays=True)]) == timedelta(days=14)
    assert total([week, replace(week, adds=END)]) == END
