"""Every role assignment that Bicep makes is a row of infra/data/roles.json, and every row is made; docs/trust.md has each.

Who holds what follows from the rows: `test_roles.py`.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from granted import ROOT, load, rows
from stages import (
    CHOICES,
    STORAGE,
    Deployment,
    Resource,
    Rule,
    account_of,
    changed,
    deployed,
    made,
    settings_of,
)

ROLES = load()
ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
DEFINITION = "Microsoft.Authorization/roleDefinitions"
COSMOS = "Microsoft.DocumentDB/databaseAccounts"
BUS = "Microsoft.ServiceBus/namespaces"
Assigned = tuple[str, str, str]
"""Principal, role, id of what it is on."""


def principals(deployment: Deployment) -> dict[str, str]:
    """The principal's id by who it is; of those that there are."""
    given = {who: deployment.main.named(f"{who}Id") for who in ("operators", "auditors", "siem", "smoke", "deployer")}
    for each in deployment.of("Microsoft.Web/sites"):
        (identity,) = each.body["identity"]["userAssignedIdentities"]
        given[each.body["tags"]["azd-service-name"]] = f"{identity}.properties.principalId"
    return {who: principal for who, principal in given.items() if principal}


def accounts(deployment: Deployment) -> dict[str, str]:
    """The ids of the storage accounts by their keys in roles.json, and of the Cosmos DB account."""
    named = {}
    for key in ("data", "backup", "state", "ledger"):
        given = deployment.main.named(f"{key}AccountId") if key in {"data", "backup"} else ""
        named[key] = given or account_of(deployment, f"BLOB_{key.upper()}")
    for each in deployment.of("Microsoft.Web/sites"):
        service = each.body["tags"]["azd-service-name"]
        host = settings_of(deployment, service)["AzureWebJobsStorage__accountName"]
        named[f"host-{service}"] = next(a.id for a in deployment.of(STORAGE) if a.name == host)
    named["cosmos"] = deployment.main.named("cosmosAccountId") or deployment.of(COSMOS)[0].id
    return named


def place(deployment: Deployment, kind: str, row: dict[str, str]) -> str:
    """The id of what a row is on."""
    if kind in {"blob", "host", "settings"}:
        account = accounts(deployment)[row["account"]]
        return f"{account}/blobServices/default/containers/{row['container']}" if kind == "blob" else account
    if kind == "bus":
        (namespace,) = deployment.of(BUS)
        if "subscription" in row:
            return next(s.id for s in deployment.of(f"{BUS}/topics/subscriptions") if s.name == row["subscription"])
        return f"{namespace.id}/queues/{row['queue']}" if "queue" in row else f"{namespace.id}/topics/{row['topic']}"
    if kind == "cosmos":
        database = settings_of(deployment, "pipeline")["COSMOS_MAIN_DATABASE"]
        below = f"/dbs/{database}/colls/{row['container']}" if row["container"] else ""
        return accounts(deployment)["cosmos"] + below
    (resource,) = deployment.of(
        {"vault": "Microsoft.KeyVault/vaults", "telemetry": "Microsoft.Insights/components"}[kind]
    )
    return resource.id


def wanted(deployment: Deployment) -> Counter[Assigned]:
    """What the rows ask for, once each, of those that there are."""
    there = principals(deployment)
    found = {
        (there[row["who"]], row["role"], place(deployment, kind, row))
        for kind, row in rows(ROLES)
        if row["who"] in there
    }
    return Counter(found)


def role_names(deployment: Deployment) -> dict[str, str]:
    """Ids of definitions to the names of roles.json: built-in ones by their id, ours by what they allow."""
    known = {each["builtIn"]: role for role, each in ROLES["definitions"].items() if "builtIn" in each}
    for each in deployment.of(DEFINITION):
        (permission,) = each.properties["permissions"]
        assert permission["notActions"] == permission["notDataActions"] == []
        same = [
            role
            for role, ours in ROLES["definitions"].items()
            if "builtIn" not in ours
            and (ours["actions"], ours["dataActions"]) == (permission["actions"], permission["dataActions"])
            and each.properties["roleName"].startswith(ours["name"])
        ]
        assert len(same) == 1, each.properties
        known[each.name] = same[0]
    for each in deployment.of(f"{COSMOS}/sqlRoleDefinitions"):
        (permission,) = each.properties["permissions"]
        ours = ROLES["cosmosDefinitions"].items()
        (role,) = [
            role
            for role, one in ours
            if one["dataActions"] == permission["dataActions"] and each.properties["roleName"].startswith(one["name"])
        ]
        known[each.name] = role
    return known


def role_of(deployment: Deployment, each: Resource) -> str:
    """The role of an assignment, by the last part of the definition's id; the id where it is none of ours."""
    identity = each.properties["roleDefinitionId"]
    before, _, name = identity.rpartition("/")
    home = f"{each.id.split('/providers/')[0]}".partition("/resourceGroups/")[0] + f"/providers/{DEFINITION}"
    if each.type != ASSIGNMENT:
        home = f"{each.id.rpartition('/sqlRoleAssignments/')[0]}/sqlRoleDefinitions"
    return role_names(deployment).get(name, identity) if before == home else identity


def assigned(deployment: Deployment) -> Counter[Assigned]:
    """What would be deployed."""
    found: Counter[Assigned] = Counter()
    for each in deployment.of(ASSIGNMENT):
        found[each.properties["principalId"], role_of(deployment, each), each.scope] += 1
    for each in deployment.of(f"{COSMOS}/sqlRoleAssignments"):
        found[each.properties["principalId"], role_of(deployment, each), each.properties["scope"]] += 1
    return found


def assignments_are_the_rows(deployment: Deployment) -> Iterator[object]:
    yield from (("too few", each) for each in wanted(deployment) - assigned(deployment))
    yield from (("too many", each) for each in assigned(deployment) - wanted(deployment))


def identities_are_told_apart(deployment: Deployment) -> Iterator[object]:
    """An identity is said to be a service principal: Entra may not know it yet when it gets its role."""
    own = {principals(deployment)[each] for each in ("pipeline", "ledger")}
    for each in deployment.of(ASSIGNMENT):
        if each.properties["principalId"] in own and each.properties["principalType"] != "ServicePrincipal":
            yield each
        if str(uuid.UUID(each.name)) != each.name:
            yield each.name


def definitions_are_ours_and_assignable_where_they_are_assigned(deployment: Deployment) -> Iterator[object]:
    own = {role for role, each in ROLES["definitions"].items() if "builtIn" not in each}
    if len(deployment.of(DEFINITION)) != len(own):
        yield len(deployment.of(DEFINITION))
    if len(deployment.of(f"{COSMOS}/sqlRoleDefinitions")) != len(ROLES["cosmosDefinitions"]):
        yield "cosmos"
    for each in deployment.of(ASSIGNMENT):
        if role_of(deployment, each) in own:
            (definition,) = [d for d in deployment.of(DEFINITION) if d.name in each.properties["roleDefinitionId"]]
            if not any(each.scope.startswith(f"{scope}/") for scope in definition.properties["assignableScopes"]):
                yield each.scope
    for each in deployment.of(DEFINITION):
        for scope in each.properties["assignableScopes"]:
            if not re.fullmatch(r"/subscriptions/[^/]+/resourceGroups/[^/]+", scope):
                yield scope


def assignments_are_on_what_is_made_or_given(deployment: Deployment) -> Iterator[object]:
    made_here = {each.id for each in deployment.resources}
    given = [deployment.main.named(f"{key}AccountId") for key in ("data", "backup", "cosmos")]
    for each in deployment.of(ASSIGNMENT):
        if each.scope not in made_here and not any(one and each.scope.startswith(one) for one in given):
            yield each.scope


RULES: tuple[Rule, ...] = (
    assignments_are_the_rows,
    identities_are_told_apart,
    definitions_are_ours_and_assignable_where_they_are_assigned,
    assignments_are_on_what_is_made_or_given,
)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule, choice: str) -> None:
    assert list(rule(deployed(choice))) == []


def test_every_row_is_made_where_everybody_is_named() -> None:
    everybody = deployed("portal")
    assert set(principals(everybody)) == {row["who"] for _, row in rows(ROLES)}
    assert wanted(everybody).total() == sum(1 for _ in rows(ROLES))


def test_nobody_is_assigned_what_an_empty_id_stands_for() -> None:
    nobody = made("dev", deployerId="")
    assert set(principals(nobody)) == {"pipeline", "ledger"}
    assert list(assignments_are_the_rows(nobody)) == []
    assert not any(each.properties["principalId"] == "" for each in nobody.of(ASSIGNMENT))


MORE = f"""resource more '{ASSIGNMENT}@2022-04-01' = {{
  scope: vault
  name: guid('more')
  properties: {{
    principalId: principals.pipeline.id
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('{DEFINITION}', '8e3af657-a8ff-443c-a75c-2fe8c4bcb635')
  }}
}}
"""
MISTAKES = [
    (assignments_are_the_rows, r"(?=resource onVault )", MORE),
    (assignments_are_the_rows, r"scope: containers\[i\]", "scope: store"),
    (assignments_are_the_rows, r"scope: queues\[i\]", "scope: namespace"),
    (assignments_are_the_rows, r"scope: empty\(row\.container\) \? account\.id : ", "scope: true ? account.id : "),
    (assignments_are_the_rows, r"rows: roles\.vault\b", "rows: skip(roles.vault, 1)"),
    (assignments_are_the_rows, r"principalId: principals\[row\.who\]\.id", "principalId: principals.pipeline.id"),
    (assignments_are_the_rows, r"contains\(row, 'topic'\)", "false"),
    (identities_are_told_apart, r"principalType: principals\[row\.who\]\.\?type", "principalType: null"),
    (definitions_are_ours_and_assignable_where_they_are_assigned, r"assignableScopes: assignableScopes", "assignableScopes: [subscription().id]"),
    (definitions_are_ours_and_assignable_where_they_are_assigned, r"= \[for item in items\(cosmosDefinitions\):", "= [for item in skip(items(cosmosDefinitions), 4):"),
    (assignments_are_on_what_is_made_or_given, r"\bname: row\.container\n", "name: '${row.container}-x'\n"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "old", "new"), MISTAKES)
def test_the_rule_sees_a_mistake(rule: Rule, old: str, new: str) -> None:
    assert list(rule(changed("with people", old, new)))


def test_trust_md_has_a_row_for_every_assignment_and_none_more() -> None:
    text = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    names = {role: each["name"] for kind in ("definitions", "cosmosDefinitions") for role, each in ROLES[kind].items()}
    told = Counter((who, role, frozenset(re.findall(r"`(.+?)`", where)), why) for who, role, where, why in table)
    asked = Counter((row["who"], names[row["role"]], frozenset(named(row)), row["why"]) for _, row in rows(ROLES))
    assert told == asked, "run `make docs`"


def named(row: dict[str, str]) -> Iterator[str]:
    """The names by which the table says where a row is; what there is one of has none."""
    yield from (row[key] for key in ("container", "queue", "topic", "subscription") if row.get(key))
    if row.get("account", "cosmos") != "cosmos":
        yield row["account"]
    if "subscription" in row:
        yield "audit"
