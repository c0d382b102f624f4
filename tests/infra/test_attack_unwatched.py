"""Attacks that no alert sees, and rights that say less than they give: each is a row that is missing or too wide."""

import json
from pathlib import Path
from typing import Any

import pytest
from granted import granted, load

ROOT = Path(__file__).parents[2]
ALERTS: dict[str, Any] = json.loads((ROOT / "infra" / "data" / "alerts.json").read_text(encoding="utf-8"))
ROLES = load()


def operations(name: str) -> set[str]:
    row = next(each for each in ALERTS["activities"] if each["name"] == name)
    return {each["equals"].lower() for each in row["operations"]}


@pytest.mark.parametrize("queue", ["requests", "requests-work", "sweeps"])
def test_messages_that_no_function_takes_are_seen_however_few_they_are(queue: str) -> None:
    rows = [
        each for each in ALERTS["metrics"] if each["metric"] == "ActiveMessages" and each["aggregation"] == "Minimum"
    ]
    seen = [
        each
        for each in rows
        if each["threshold"] == 0 and any(queue in dimension["values"] for dimension in each["dimensions"])
    ]
    assert seen, "a trigger that is disabled, or lacks its right, leaves a person's request in the queue for ever"


@pytest.mark.parametrize(
    "operation",
    [
        "Microsoft.Insights/scheduledQueryRules/write",
        "Microsoft.Insights/metricAlerts/write",
        "Microsoft.Insights/activityLogAlerts/write",
        "Microsoft.Insights/actionGroups/write",
        "Microsoft.AlertsManagement/actionRules/write",
    ],
)
def test_an_alert_that_is_switched_off_and_not_deleted_is_seen(operation: str) -> None:
    assert operation.lower() in operations("watch-changed")


@pytest.mark.parametrize(
    "operation",
    [
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    ],
)
def test_who_takes_an_identity_over_without_a_role_assignment_is_seen(operation: str) -> None:
    assert operation.lower() in set.union(*(operations(each["name"]) for each in ALERTS["activities"]))


def test_nobody_who_reads_settings_may_read_the_keys_of_cosmos_db() -> None:
    readers = [row for row in ROLES["settings"] if row["account"] == "cosmos"]
    assert readers
    wide = {row["who"] for row in readers if ROLES["definitions"][row["role"]].get("name") == "Reader"}
    assert not wide, "Reader is */read, and with it databaseAccounts/readonlykeys/read: all items, where keys are on"


def test_who_runs_the_smoke_test_writes_over_no_picture() -> None:
    writes = [g for g in granted(ROLES) if g.who == "smoke" and g.action.endswith("/blobs/write")]
    assert not writes, "to create takes blobs/add/action: with blobs/write any home's picture can be replaced"
