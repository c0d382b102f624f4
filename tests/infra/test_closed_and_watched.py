"""Stores are closed where asked for, what is watched tells of nobody, and the ledger is locked, in every deployment."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
from stages import CHOICES, CONTAINER, STORAGE, Deployment, Resource, Rule, account_of, changed, deployed

COSMOS = "Microsoft.DocumentDB/databaseAccounts"
BUS = "Microsoft.ServiceBus/namespaces"
VAULT = "Microsoft.KeyVault/vaults"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
LOCKS = "Microsoft.Authorization/locks"


def private_networking_closes_every_store(deployment: Deployment) -> Iterator[object]:
    private = deployment.main.named("privateNetworking")
    for each in stores(deployment):
        if each.properties.get("publicNetworkAccess") != ("Disabled" if private else "Enabled"):
            yield each.name, "public access"
        if private and each.type in {STORAGE, VAULT} and each.properties["networkAcls"]["defaultAction"] != "Deny":
            yield each.name, "the default action"
    for site in deployment.of("Microsoft.Web/sites"):
        if private != bool(site.properties.get("virtualNetworkSubnetId")):
            yield site.name


def stores(deployment: Deployment) -> list[Resource]:
    return [*chain.from_iterable(deployment.of(kind) for kind in (STORAGE, COSMOS, BUS, VAULT))]


def private_endpoints_lead_to_every_store_by_name(deployment: Deployment) -> Iterator[object]:
    endpoints = deployment.of("Microsoft.Network/privateEndpoints")
    targets = {
        link["properties"]["privateLinkServiceId"]
        for each in endpoints
        for link in each.properties["privateLinkServiceConnections"]
    }
    private = deployment.main.named("privateNetworking")
    if missing := {each.id for each in stores(deployment)} - targets if private else targets:
        yield missing
    zones = deployment.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    if len(zones) != len(endpoints):
        yield "an endpoint without its names"
    made_zones = {each.id for each in deployment.of("Microsoft.Network/privateDnsZones")}
    for group in zones:
        for config in group.properties["privateDnsZoneConfigs"]:
            if config["properties"]["privateDnsZoneId"] not in made_zones:
                yield config


def logs_keep_no_names_of_blobs_and_items(deployment: Deployment) -> Iterator[object]:
    log = account_of(deployment, "BLOB_LEDGER")
    by_scope = {each.scope: each for each in deployment.of(DIAGNOSTICS)}
    for account in deployment.of(STORAGE):
        kept = logged(by_scope.get(f"{account.id}/blobServices/default"))
        if kept != ({"StorageRead", "StorageWrite", "StorageDelete"} if account.id == log else set()):
            yield account.name, kept
    for account in deployment.of(COSMOS):
        if logged(by_scope.get(account.id)) != {"ControlPlaneRequests"}:
            yield account.name
    for each in by_scope.values():
        if any("categoryGroup" in one for one in each.properties["logs"]) or not each.properties["metrics"]:
            yield each.scope


def who_read_the_seed_and_changed_the_bus_is_logged(deployment: Deployment) -> Iterator[object]:
    by_scope = {each.scope: each for each in deployment.of(DIAGNOSTICS)}
    yield from (each.name for each in deployment.of(VAULT) if logged(by_scope.get(each.id)) != {"AuditEvent"})
    yield from (each.name for each in deployment.of(BUS) if "OperationalLogs" not in logged(by_scope.get(each.id)))


def logged(setting: Resource | None) -> set[str]:
    """The categories of a diagnostic setting; a mark where there is none."""
    if setting is None:
        return {"no diagnostic setting"}
    return {each.get("category", "") for each in setting.properties["logs"] if each["enabled"]}


def the_ledger_is_locked_where_asked_for(deployment: Deployment) -> Iterator[object]:
    wanted = [account_of(deployment, "BLOB_LEDGER")] if deployment.main.named("lockLedger") else []
    if [each.scope for each in deployment.of(LOCKS)] != wanted:
        yield [each.scope for each in deployment.of(LOCKS)]
    yield from (each.properties for each in deployment.of(LOCKS) if each.properties["level"] != "CanNotDelete")
    for vault in deployment.of(VAULT):
        if (vault.properties.get("enablePurgeProtection") is True) != bool(wanted):
            yield vault.name


def everything_is_tagged(deployment: Deployment) -> Iterator[object]:
    tagged = (
        STORAGE,
        COSMOS,
        BUS,
        VAULT,
        "Microsoft.Web/sites",
        "Microsoft.Web/serverfarms",
        "Microsoft.Resources/resourceGroups",
    )
    for each in chain.from_iterable(deployment.of(kind) for kind in tagged):
        if each.body["tags"].get("azd-env-name") != "test":
            yield each.name


RULES: tuple[Rule, ...] = (
    private_networking_closes_every_store,
    private_endpoints_lead_to_every_store_by_name,
    logs_keep_no_names_of_blobs_and_items,
    who_read_the_seed_and_changed_the_bus_is_logged,
    the_ledger_is_locked_where_asked_for,
    everything_is_tagged,
)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule, choice: str) -> None:
    assert list(rule(deployed(choice))) == []


def test_a_locked_policy_is_left_alone() -> None:
    assert len(deployed("prod").of(f"{CONTAINER}/immutabilityPolicies")) == 1
    assert deployed("prod, locked").of(f"{CONTAINER}/immutabilityPolicies") == []


MISTAKES = [
    (private_networking_closes_every_store, r"(publicNetworkAccess: )privateNetworking \? 'Disabled' : ", r"\1"),
    (private_networking_closes_every_store, r"defaultAction: privateNetworking \? 'Deny' : 'Allow'", "defaultAction: 'Allow'"),
    (private_endpoints_lead_to_every_store_by_name, r"targetId: vaultId", "targetId: serviceBusId"),
    (private_networking_closes_every_store, r"virtualNetworkSubnetId: .*", "virtualNetworkSubnetId: null"),
    (logs_keep_no_names_of_blobs_and_items, r"resourceLogs: \w+\.key == 'ledger'", "resourceLogs: true"),
    (logs_keep_no_names_of_blobs_and_items, r"'ControlPlaneRequests'", "'DataPlaneRequests'"),
    (who_read_the_seed_and_changed_the_bus_is_logged, r"category: 'AuditEvent'", "categoryGroup: 'allLogs'"),
    (the_ledger_is_locked_where_asked_for, r"'CanNotDelete'", "'ReadOnly'"),
    (the_ledger_is_locked_where_asked_for, r"\block: lockLedger\b", "lock: false"),
    (everything_is_tagged, r"var tags = .*", "var tags = { product: 'retention-pipeline' }"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "old", "new"), MISTAKES)
def test_the_rule_sees_a_mistake(rule: Rule, old: str, new: str) -> None:
    assert list(rule(changed("private", old, new))) or list(rule(changed("prod", old, new)))
