"""infra/data/roles.json grants what the issue's rules allow and no more: rules over data actions, not over names.

Each rule is a function from the file's content to what breaks it, and each is seen to fail on a changed copy.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from granted import IDENTITIES, KINDS, OUTSIDE, PEOPLE, ROOT, granted, load, place_of, rows

from infra.build import outputs

ROLES = load()
ACCOUNTS = json.loads((ROOT / "infra" / "data" / "accounts.json").read_text())
COSMOS = json.loads((ROOT / "infra" / "data" / "cosmos.json").read_text())
ENTITIES = json.loads((ROOT / "local" / "entities.json").read_text())["UserConfig"]["Namespaces"][0]
LOG = ("blob:ledger/audit-log", "blob:ledger/audit-state")
GOVERNED = ("blob:data/", "blob:backup/", "cosmos:")

CONTAINERS = tuple(f"Microsoft.Storage/storageAccounts/blobServices/containers/{verb}" for verb in ("read", "write"))
"""What definitions of ours may do beside data: look at containers, and what Azure asks of who sends a batch of deletes."""

Rule = Callable[[dict[str, Any]], Iterator[object]]


def pipeline_writes_no_log(roles: dict[str, Any]) -> Iterator[object]:
    return (g for g in granted(roles) if g.who == "pipeline" and g.place in LOG and not g.reads)


def only_the_ledger_reads_the_seed(roles: dict[str, Any]) -> Iterator[object]:
    reads = ("getSecret", "backup", "/*")
    return (
        g
        for g in granted(roles)
        if g.place.startswith("vault:") and g.who != "ledger" and any(each in g.action for each in reads)
    )


def ledger_deletes_journals_and_its_own_log_only(roles: dict[str, Any]) -> Iterator[object]:
    own = {"blob:state/journals", "blob:ledger/ledger-journals", *LOG, "host:host-ledger"}
    return (g for g in granted(roles) if g.who == "ledger" and g.deletes and g.place not in own)


def ledger_changes_no_journal(roles: dict[str, Any]) -> Iterator[object]:
    """Nor makes one: the watch would carry out an open journal that the ledger forged."""
    return (
        g
        for g in granted(roles)
        if g.who == "ledger" and g.place == "blob:state/journals" and not (g.reads or g.deletes)
    )


def ledger_writes_over_no_tile(roles: dict[str, Any]) -> Iterator[object]:
    return (
        g for g in granted(roles) if g.who == "ledger" and g.place == LOG[0] and g.action.endswith(("/write", "/*"))
    )


def ledger_sees_no_governed_data_and_no_keys(roles: dict[str, Any]) -> Iterator[object]:
    private = (*GOVERNED, "blob:state/scope-keys", "blob:state/requests", "blob:state/receipts", "blob:state/parking")
    return (g for g in granted(roles) if g.who == "ledger" and g.place.startswith(private))


def portal_writes_nothing(roles: dict[str, Any]) -> Iterator[object]:
    own = ("host:host-portal", "telemetry:")
    return (g for g in granted(roles) if g.who == "portal" and not g.reads and g.place not in own)


def people_change_nothing_and_send_requests_only(roles: dict[str, Any]) -> Iterator[object]:
    return (
        g
        for g in granted(roles)
        if g.who in PEOPLE
        and not g.reads
        and (g.who, g.place, g.action.split("/")[-2]) != ("operators", "bus:requests", "send")
    )


def people_read_no_governed_data_and_no_keys(roles: dict[str, Any]) -> Iterator[object]:
    private = (*GOVERNED, "blob:state/scope-keys", "blob:exports/")
    names_of_containers = "/databaseAccounts/readMetadata"  # posture asks for it
    return (
        g
        for g in granted(roles)
        if g.who in PEOPLE and g.place.startswith(private) and not g.action.endswith(names_of_containers)
    )


def auditors_see_the_log_only(roles: dict[str, Any]) -> Iterator[object]:
    return ((kind, row) for kind, row in rows(roles) if row["who"] == "auditors" and place_of(kind, row) not in LOG)


def outsiders_do_one_thing(roles: dict[str, Any]) -> Iterator[object]:
    allowed = {
        "siem": ("bus:siem",),
        "deployer": ("vault:",),
        "smoke": (
            "blob:data/",
            "blob:ledger/",
            "blob:state/",
            "bus:requests",
            "cosmos:",
        ),
    }
    for each in granted(roles):
        if each.who in OUTSIDE and (not each.place.startswith(allowed[each.who]) or each.deletes):
            yield each
        if each.who == "smoke" and each.place.startswith(("blob:ledger/", "blob:state/")) and not each.reads:
            yield each


def only_the_pipeline_deletes_governed_data(roles: dict[str, Any]) -> Iterator[object]:
    return (g for g in granted(roles) if g.deletes and g.place.startswith(GOVERNED) and g.who != "pipeline")


def nobody_creates_or_changes_items_but_who_must(roles: dict[str, Any]) -> Iterator[object]:
    verbs = ("create", "replace", "upsert", "*")
    allowed = {("pipeline", "replace"), ("smoke", "create")}
    for each in granted(roles):
        verb = each.action.rsplit("/", 1)[-1]
        if each.place.startswith("cosmos:") and verb in verbs and (each.who, verb) not in allowed:
            yield each


def each_host_has_its_own_storage_alone(roles: dict[str, Any]) -> Iterator[object]:
    return (row for row in roles["host"] if row["account"] != f"host-{row['who']}")


def own_definitions_name_each_action(roles: dict[str, Any]) -> Iterator[object]:
    for kind in ("definitions", "cosmosDefinitions"):
        for key, each in roles[kind].items():
            for action in (*each.get("actions", ()), *each.get("dataActions", ())):
                if "*" in action:
                    yield key, action
            for action in each.get("actions", ()):
                if action not in (*CONTAINERS, "Microsoft.DocumentDB/databaseAccounts/read"):
                    yield key, action


def every_definition_is_assigned(roles: dict[str, Any]) -> Iterator[object]:
    used = {row["role"] for _, row in rows(roles)}
    return (key for kind in ("definitions", "cosmosDefinitions") for key in roles[kind] if key not in used)


def everybody_is_known(roles: dict[str, Any]) -> Iterator[object]:
    return (row for _, row in rows(roles) if row["who"] not in (*IDENTITIES, *PEOPLE, *OUTSIDE))


def nothing_is_assigned_twice(roles: dict[str, Any]) -> Iterator[object]:
    seen = set()
    for kind, row in rows(roles):
        key = (row["who"], row["role"], place_of(kind, row))
        if key in seen:
            yield key
        seen.add(key)


def every_place_is_made_or_given(roles: dict[str, Any]) -> Iterator[object]:
    blobs = {f"{account}/{each}" for account, made in ACCOUNTS.items() for each in made["containers"]}
    places = {
        "blob": {f"blob:{each}" for each in blobs},
        "host": {f"host:host-{each}" for each in IDENTITIES},
        "settings": {f"settings:{each}" for each in (*ACCOUNTS, "cosmos")},
        "bus": {f"bus:{each['Name']}" for each in ENTITIES["Queues"]}
        | {f"bus:{t['Name']}" for t in ENTITIES["Topics"]}
        | {f"bus:{s['Name']}" for t in ENTITIES["Topics"] for s in t["Subscriptions"]},
        "cosmos": {"cosmos:"} | {f"cosmos:{each['name']}" for each in COSMOS},
        "vault": {"vault:"},
        "telemetry": {"telemetry:"},
    }
    return ((kind, row) for kind, row in rows(roles) if place_of(kind, row) not in places[kind])


RULES: tuple[Rule, ...] = (
    pipeline_writes_no_log,
    only_the_ledger_reads_the_seed,
    ledger_deletes_journals_and_its_own_log_only,
    ledger_changes_no_journal,
    ledger_writes_over_no_tile,
    ledger_sees_no_governed_data_and_no_keys,
    portal_writes_nothing,
    people_change_nothing_and_send_requests_only,
    people_read_no_governed_data_and_no_keys,
    auditors_see_the_log_only,
    outsiders_do_one_thing,
    only_the_pipeline_deletes_governed_data,
    nobody_creates_or_changes_items_but_who_must,
    each_host_has_its_own_storage_alone,
    own_definitions_name_each_action,
    every_definition_is_assigned,
    everybody_is_known,
    nothing_is_assigned_twice,
    every_place_is_made_or_given,
)


def test_the_file_is_what_the_policy_and_the_code_make() -> None:
    stale = [path.name for path, text in outputs().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs`"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule) -> None:
    assert list(rule(ROLES)) == []


TILES = {"account": "ledger", "container": "audit-log"}
EXTRA: dict[str, list[tuple[str, dict[str, str]]]] = {
    "pipeline_writes_no_log": [("blob", {"who": "pipeline", "role": "blob-writer", **TILES})],
    "only_the_ledger_reads_the_seed": [
        ("vault", {"who": "pipeline", "role": "secret-reader"}),
        ("vault", {"who": "deployer", "role": "secret-reader"}),
    ],
    "ledger_deletes_journals_and_its_own_log_only": [
        ("blob", {"who": "ledger", "role": "blob-keeper", "account": "state", "container": "requests"}),
        ("blob", {"who": "ledger", "role": "blob-eraser", "account": "data", "container": "camera-snapshots"}),
    ],
    "ledger_writes_over_no_tile": [("blob", {"who": "ledger", "role": "blob-contributor", **TILES})],
    "ledger_sees_no_governed_data_and_no_keys": [
        ("blob", {"who": "ledger", "role": "blob-reader", "account": "state", "container": "scope-keys"})
    ],
    "portal_writes_nothing": [
        ("blob", {"who": "portal", "role": "blob-writer", "account": "state", "container": "requests"}),
        ("bus", {"who": "portal", "role": "bus-sender", "queue": "requests"}),
    ],
    "people_change_nothing_and_send_requests_only": [
        ("blob", {"who": "operators", "role": "blob-contributor", "account": "state", "container": "holds"}),
        ("bus", {"who": "operators", "role": "bus-sender", "queue": "sweeps"}),
        ("bus", {"who": "auditors", "role": "bus-sender", "queue": "requests"}),
    ],
    "people_read_no_governed_data_and_no_keys": [
        ("blob", {"who": "operators", "role": "blob-reader", "account": "data", "container": "camera-snapshots"}),
        ("cosmos", {"who": "operators", "role": "cosmos-eraser", "container": "users"}),
        ("blob", {"who": "operators", "role": "blob-reader", "account": "state", "container": "scope-keys"}),
    ],
    "auditors_see_the_log_only": [
        ("blob", {"who": "auditors", "role": "blob-reader", "account": "state", "container": "requests"})
    ],
    "outsiders_do_one_thing": [
        ("bus", {"who": "siem", "role": "bus-receiver", "queue": "requests"}),
        ("blob", {"who": "smoke", "role": "blob-eraser", "account": "data", "container": "camera-snapshots"}),
        ("blob", {"who": "deployer", "role": "blob-reader", **TILES}),
    ],
    "only_the_pipeline_deletes_governed_data": [
        ("cosmos", {"who": "smoke", "role": "cosmos-eraser", "container": "users"})
    ],
    "nobody_creates_or_changes_items_but_who_must": [
        ("cosmos", {"who": "pipeline", "role": "cosmos-seeder", "container": "users"})
    ],
    "each_host_has_its_own_storage_alone": [
        ("host", {"who": "pipeline", "role": "blob-owner", "account": "host-ledger"})
    ],
    "everybody_is_known": [("telemetry", {"who": "somebody", "role": "metrics-publisher"})],
    "nothing_is_assigned_twice": [("blob", {"who": "auditors", "role": "blob-reader", **TILES})],
    "every_place_is_made_or_given": [
        ("blob", {"who": "pipeline", "role": "blob-reader", "account": "data", "container": "pictures"}),
        ("blob", {"who": "pipeline", "role": "blob-reader", "account": "data", "container": ""}),
        ("bus", {"who": "pipeline", "role": "bus-sender", "queue": ""}),
    ],
}


@pytest.mark.parametrize(
    ("name", "kind", "row"), [(name, kind, row) for name, added in EXTRA.items() for kind, row in added]
)
def test_the_rule_refuses_an_assignment_too_many(name: str, kind: str, row: dict[str, str]) -> None:
    changed = copy.deepcopy(ROLES)
    changed[kind].append({**row, "why": "a mistake"})
    rule = next(each for each in RULES if each.__name__ == name)
    assert list(rule(changed))


def test_the_rule_refuses_an_action_too_many_in_a_definition_of_ours() -> None:
    changed = copy.deepcopy(ROLES)
    for role in ("blob-keeper", "blob-clearer"):
        changed["definitions"][role]["dataActions"].append(
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
        )
    changed["definitions"]["blob-writer"]["actions"] = ["Microsoft.Storage/storageAccounts/listKeys/action"]
    changed["cosmosDefinitions"]["cosmos-eraser"]["dataActions"].append("Microsoft.DocumentDB/databaseAccounts/*")
    assert list(ledger_changes_no_journal(changed))
    assert list(ledger_writes_over_no_tile(changed))
    assert len(list(own_definitions_name_each_action(changed))) == 2
    changed["definitions"]["spare"] = changed["definitions"]["reader"]
    assert list(every_definition_is_assigned(changed)) == ["spare"]


@pytest.mark.parametrize(
    "built_in",
    [
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",  # Owner
        "b24988ac-6180-42a0-ab88-20f7382dd24c",  # Contributor
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",  # User Access Administrator
        "17d1049b-9a84-46fb-8f53-869881c3d3ab",  # Storage Account Contributor, which lists keys
    ],
)
def test_a_built_in_role_that_is_not_known_here_is_refused(built_in: str) -> None:
    changed = copy.deepcopy(ROLES)
    changed["definitions"]["reader"]["builtIn"] = built_in
    with pytest.raises(KeyError):
        granted(changed)


def test_every_kind_of_assignment_is_there() -> None:
    assert {kind for kind, _ in rows(ROLES)} == set(KINDS)
