"""No setting that makes "deleted" untrue, opens a way round the roles, or lets a secret out: in no deployment there is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from bicep import BicepError, loose, read
from stages import (
    CHOICES,
    CONTAINER,
    MAIN,
    MODULES,
    STORAGE,
    Deployment,
    Rule,
    account_of,
    changed,
    deployed,
    made,
)

COSMOS = "Microsoft.DocumentDB/databaseAccounts"
BUS = "Microsoft.ServiceBus/namespaces"
VAULT = "Microsoft.KeyVault/vaults"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
TYPES = {
    "Microsoft.Authorization/locks",
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Authorization/roleDefinitions",
    "Microsoft.Consumption/budgets",
    COSMOS,
    f"{COSMOS}/sqlDatabases",
    f"{COSMOS}/sqlDatabases/containers",
    f"{COSMOS}/sqlRoleAssignments",
    f"{COSMOS}/sqlRoleDefinitions",
    "Microsoft.Insights/actionGroups",
    "Microsoft.Insights/activityLogAlerts",
    "Microsoft.Insights/components",
    DIAGNOSTICS,
    "Microsoft.Insights/metricAlerts",
    "Microsoft.Insights/privateLinkScopes",
    "Microsoft.Insights/privateLinkScopes/scopedResources",
    "Microsoft.Insights/scheduledQueryRules",
    "Microsoft.Insights/workbooks",
    VAULT,
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    "Microsoft.Network/privateEndpoints",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Resources/resourceGroups",
    BUS,
    f"{BUS}/queues",
    f"{BUS}/topics",
    f"{BUS}/topics/subscriptions",
    STORAGE,
    f"{STORAGE}/blobServices",
    CONTAINER,
    f"{CONTAINER}/immutabilityPolicies",
    "Microsoft.Web/serverfarms",
    "Microsoft.Web/sites",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies",
    "Microsoft.Web/sites/config",
}
"""All that is deployed. Lifecycle rules, object replication, backup vaults, secrets and scripts are not among it."""
BLOB_SETTINGS = {
    "deleteRetentionPolicy": {"enabled": False, "allowPermanentDelete": False},
    "containerDeleteRetentionPolicy": {"enabled": False},
    "isVersioningEnabled": False,
    "restorePolicy": {"enabled": False},
    "changeFeed": {"enabled": False},
    "lastAccessTimeTrackingPolicy": {"enable": False},
}
ACCOUNT_SETTINGS = {
    "allowSharedKeyAccess": False,
    "allowBlobPublicAccess": False,
    "allowCrossTenantReplication": False,
    "isLocalUserEnabled": False,
    "isSftpEnabled": False,
    "isHnsEnabled": False,
    "supportsHttpsTrafficOnly": True,
    "minimumTlsVersion": "TLS1_2",
}
KEY_FUNCTIONS = re.compile(r"^(list|get)\w*(key|secret|connection|sas|token|credential)", re.IGNORECASE)
SECRET = re.compile(r"(AccountKey|SharedAccessKey(Name)?|SharedAccessSignature|AuthKey|InstrumentationKey)\s*=|\bsig=")


def only_known_kinds_of_resource(deployment: Deployment) -> Iterator[object]:
    return (each.type for each in deployment.resources if each.type not in TYPES)


def storage_keeps_nothing_that_was_deleted(deployment: Deployment) -> Iterator[object]:
    services = {each.id.partition("/blobServices/")[0]: each for each in deployment.of(f"{STORAGE}/blobServices")}
    for account in deployment.of(STORAGE):
        if account.id not in services:
            yield account, "its blob service is as the portal makes it: soft delete is on"
            continue
        for name, value in BLOB_SETTINGS.items():
            if services[account.id].properties.get(name) != value:
                yield account.name, name


def storage_takes_no_keys_and_shows_nothing(deployment: Deployment) -> Iterator[object]:
    for account in deployment.of(STORAGE):
        for name, value in ACCOUNT_SETTINGS.items():
            if account.properties.get(name) != value:
                yield account.name, name
        if account.body["sku"]["name"] not in {"Standard_LRS", "Standard_ZRS"}:
            yield account.name, "a copy in another region"
    for container in deployment.of(CONTAINER):
        if container.properties.get("publicAccess") != "None":
            yield container.name


def nothing_takes_keys(deployment: Deployment) -> Iterator[object]:
    for kind, name in (
        (COSMOS, "disableLocalAuth"),
        (BUS, "disableLocalAuth"),
        ("Microsoft.Insights/components", "DisableLocalAuth"),
    ):
        yield from (each.name for each in deployment.of(kind) if each.properties.get(name) is not True)
    for workspace in deployment.of("Microsoft.OperationalInsights/workspaces"):
        if workspace.properties["features"].get("disableLocalAuth") is not True:
            yield workspace.name


def cosmos_is_in_one_region_and_by_tls(deployment: Deployment) -> Iterator[object]:
    for account in deployment.of(COSMOS):
        if account.properties.get("disableKeyBasedMetadataWriteAccess") is not True:
            yield account.name
        if account.properties.get("minimalTlsVersion") != "Tls12":
            yield account.name
        if [each["failoverPriority"] for each in account.properties["locations"]] != [0]:
            yield account.name, "a second region"


def the_vault_goes_by_roles_alone(deployment: Deployment) -> Iterator[object]:
    for vault in deployment.of(VAULT):
        if vault.properties.get("enableRbacAuthorization") is not True or vault.properties.get("accessPolicies"):
            yield vault.name
        if vault.properties.get("enabledForTemplateDeployment") is not False:
            yield vault.name


def no_output_is_a_secret(deployment: Deployment) -> Iterator[object]:
    for name, value in deployment.outputs.items():
        if re.search(r"seed|secret|password|connectionstring|(?<!vault_)key(?!_vault|s?_name)", name, re.IGNORECASE):
            yield name
        if SECRET.search(str(value)) or str(value).endswith((".ConnectionString", "Key", "InstrumentationKey")):
            yield name, "its value"


def no_key_is_asked_for(deployment: Deployment) -> Iterator[object]:
    for source in deployment.read.values():
        for expression in source.expressions():
            if expression[0] in {"call", "method"}:
                name = expression[1] if expression[0] == "call" else expression[2]
                if KEY_FUNCTIONS.match(name) or name in {"reference", "listAccountSas", "newGuid"}:
                    yield source.path.name, name
        if SECRET.search(source.text):
            yield source.path.name, "a connection string with a key"


RULES: tuple[Rule, ...] = (
    only_known_kinds_of_resource,
    storage_keeps_nothing_that_was_deleted,
    storage_takes_no_keys_and_shows_nothing,
    nothing_takes_keys,
    cosmos_is_in_one_region_and_by_tls,
    the_vault_goes_by_roles_alone,
    no_output_is_a_secret,
    no_key_is_asked_for,
)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule, choice: str) -> None:
    assert list(rule(deployed(choice))) == []


def test_every_kind_of_resource_that_is_allowed_is_deployed_by_some_choice() -> None:
    assert {each.type for choice in CHOICES for each in deployed(choice).resources} == TYPES


def test_no_governed_store_is_made_beside_one_s_own() -> None:
    brought = deployed("brought")
    assert brought.of(COSMOS) == []
    assert account_of(brought, "BLOB_DATA") == account_of(brought, "BLOB_BACKUP") == ""


def test_a_deployment_without_governed_stores_is_refused() -> None:
    with pytest.raises(BicepError, match="minLength"):
        made("brought", dataAccountId="")


def test_every_file_is_used_and_reads_the_same_to_another_parser() -> None:
    files = {each.name: each for each in (MAIN, *MODULES.glob("*.bicep"))}
    assert {name for choice in CHOICES for name in deployed(choice).read} == files.keys()
    assert [name for name, each in files.items() if loose(each.read_text())] == []


@pytest.mark.parametrize("name", [MAIN.name, *sorted(each.name for each in MODULES.glob("*.bicep"))])
def test_every_parameter_and_variable_is_used(name: str) -> None:
    source = read(MAIN if name == MAIN.name else MODULES / name)
    used = {expression[1] for expression in source.expressions() if expression[0] == "name"}
    assert {each.name for each in (*source.of("param"), *source.of("var"))} - used == set()


LIFECYCLE = """resource rules 'Microsoft.Storage/storageAccounts/managementPolicies@2025-01-01' = {
  parent: account
  name: 'default'
}
"""
MISTAKES = [
    (only_known_kinds_of_resource, r"(?=resource service .* = \{\n +parent: account\n +name: 'default'\n +properties)", LIFECYCLE),
    *(
        (storage_keeps_nothing_that_was_deleted, old, new)
        for old, new in (
            (r"(deleteRetentionPolicy: \{\n +enabled): false", r"\1: true"),
            (r"(containerDeleteRetentionPolicy: \{\n +enabled): false", r"\1: true"),
            (r"isVersioningEnabled: false", "isVersioningEnabled: true"),
            (r"(restorePolicy: \{\n +enabled): false", r"\1: true"),
            (r"\n +changeFeed: \{\n +enabled: false\n +\}", ""),
        )
    ),
    (storage_takes_no_keys_and_shows_nothing, r"allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
    (storage_takes_no_keys_and_shows_nothing, r"\n +allowBlobPublicAccess: false", ""),
    (storage_takes_no_keys_and_shows_nothing, r"'TLS1_2'", "'TLS1_0'"),
    (storage_takes_no_keys_and_shows_nothing, r"publicAccess: 'None'", "publicAccess: 'Blob'"),
    (storage_takes_no_keys_and_shows_nothing, r"Standard_ZRS", "Standard_GZRS"),
    (nothing_takes_keys, r"\n +disableLocalAuth: true", ""),
    (nothing_takes_keys, r"\n +DisableLocalAuth: true", ""),
    (cosmos_is_in_one_region_and_by_tls, r"failoverPriority: 0", "failoverPriority: 1"),
    (cosmos_is_in_one_region_and_by_tls, r"'Tls12'", "'Tls11'"),
    (the_vault_goes_by_roles_alone, r"enableRbacAuthorization: true", "enableRbacAuthorization: false"),
    (no_output_is_a_secret, r"output AZURE_LOCATION string = .*", "output SEED string = location"),
    (no_output_is_a_secret, r"output AZURE_LOCATION string = .*", "output X string = monitor.outputs.insightsConnectionString"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "old", "new"), MISTAKES)
def test_the_rule_sees_a_mistake(rule: Rule, old: str, new: str) -> None:
    assert list(rule(changed("private", old, new))) or list(rule(changed("prod", old, new)))


@pytest.mark.parametrize(
    "asked",
    ["listKeys(account.id, '2025-01-01')", "account.listKeys().keys[0].value", "'AccountKey=${name}'"],
)
def test_a_key_that_is_asked_for_is_seen(asked: str) -> None:
    text = MODULES / "storage.bicep"
    source = read(text, f"{text.read_text()}\nvar key = {asked}\n")
    deployment = type("One", (), {"read": {"storage.bicep": source}})
    assert list(no_key_is_asked_for(deployment))  # type: ignore[arg-type]
