"""Each app gets exactly the settings that its role reads, and they lead to what is deployed beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stages import (
    CHOICES,
    CONTAINER,
    SITE,
    STORAGE,
    Deployment,
    Rule,
    account_of,
    changed,
    deployed,
    made,
    settings_of,
    site,
)

from shared.config import SETTINGS

IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
PLATFORM = {
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsDisableHomepage",
    "ServiceBus__credential",
    "ServiceBus__clientId",
    "AZURE_CLIENT_ID",
    "PYTHON_ENABLE_OPENTELEMETRY",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}
"""What the platform reads itself: the host's storage, its sign-in, telemetry."""
BY_IDENTITY = {
    "ServiceBus": "ServiceBus__fullyQualifiedNamespace",
    "COSMOS_MAIN": "COSMOS_MAIN__accountEndpoint",
    **{name: f"{name}__serviceUri" for name in ("BLOB_DATA", "BLOB_BACKUP", "BLOB_STATE", "BLOB_LEDGER")},
}
ROLES = ("pipeline", "ledger")
PORTAL = {"APP_ROLE", "BLOB_LEDGER__serviceUri", "LEDGER_ORIGIN"}  # shared/config.py has no such role yet


def of_role(role: str) -> set[str]:
    """The settings that a role reads, as an app is given them: RETENTION_* only where somebody asks for another value."""
    read = {s.name for s in SETTINGS if role in s.roles and not s.name.startswith("RETENTION_")}
    return {BY_IDENTITY.get(name, name) for name in read}


def services(deployment: Deployment) -> list[str]:
    return sorted(each.body["tags"]["azd-service-name"] for each in deployment.of(SITE))


def each_app_has_the_settings_of_its_role(deployment: Deployment) -> Iterator[object]:
    for service in services(deployment):
        wanted = PORTAL if service == "portal" else of_role(service)
        if found := (settings_of(deployment, service).keys() - PLATFORM) ^ wanted:
            yield service, found
        if missing := PLATFORM - settings_of(deployment, service).keys():
            yield service, missing


def each_app_is_its_role(deployment: Deployment) -> Iterator[object]:
    for service in services(deployment):
        if settings_of(deployment, service)["APP_ROLE"] != service:
            yield service


def both_roles_reach_the_same_log_and_bus(deployment: Deployment) -> Iterator[object]:
    pipeline, ledger = (settings_of(deployment, role) for role in ROLES)
    for name in ("LEDGER_ORIGIN", "BLOB_LEDGER__serviceUri", "BLOB_STATE__serviceUri", BY_IDENTITY["ServiceBus"]):
        if pipeline[name] != ledger[name]:
            yield name
    (bus,) = deployment.of("Microsoft.ServiceBus/namespaces")
    if bus.id not in pipeline[BY_IDENTITY["ServiceBus"]]:
        yield pipeline[BY_IDENTITY["ServiceBus"]]


def the_seed_is_a_reference_and_the_ledger_s_alone(deployment: Deployment) -> Iterator[object]:
    (vault,) = deployment.of("Microsoft.KeyVault/vaults")
    wanted = f"@Microsoft.KeyVault(VaultName={vault.name};SecretName=ledger-signing-seed)"
    for service in services(deployment):
        for name, value in settings_of(deployment, service).items():
            if (name == "LEDGER_SIGNING_SEED") != (value == wanted) or ("KeyVault" in value and service != "ledger"):
                yield service, name


def each_app_signs_in_as_itself(deployment: Deployment) -> Iterator[object]:
    seen = set()
    for service in services(deployment):
        app = site(deployment, service)
        (identity,) = app.body["identity"]["userAssignedIdentities"]
        seen.add(identity)
        if app.body["identity"]["type"] != "UserAssigned" or service not in identity.rpartition("/")[2]:
            yield service, identity
        if identity not in {each.id for each in deployment.of(IDENTITY)}:
            yield service, "an identity that is not made here"
        settings = settings_of(deployment, service)
        for name in ("AZURE_CLIENT_ID", "AzureWebJobsStorage__clientId", "ServiceBus__clientId"):
            if settings[name] != f"{identity}.properties.clientId":
                yield service, name
        package = app.properties["functionAppConfig"]["deployment"]["storage"]["authentication"]
        if {app.properties["keyVaultReferenceIdentity"], package["userAssignedIdentityResourceId"]} != {identity}:
            yield service, "another identity reads the vault or the package"
        if identity not in settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]:
            yield service, "telemetry"
    if len(seen) != len(services(deployment)):
        yield "one identity for two apps"


def each_host_has_its_own_storage(deployment: Deployment) -> Iterator[object]:
    own = {account_of(deployment, f"BLOB_{name}") for name in ("STATE", "LEDGER")}
    seen = set()
    for service in services(deployment):
        name = settings_of(deployment, service)["AzureWebJobsStorage__accountName"]
        account = next((each for each in deployment.of(STORAGE) if each.name == name), None)
        if account is None or account.id in own | seen:
            yield service, name
            continue
        seen.add(account.id)
        package = site(deployment, service).properties["functionAppConfig"]["deployment"]["storage"]["value"]
        container = f"{account.id}/blobServices/default/containers/{package.rpartition('/')[2]}"
        if not package.startswith(f"https://{name}.blob.") or container not in {c.id for c in deployment.of(CONTAINER)}:
            yield service, package


def each_app_runs_python_on_flex_by_https(deployment: Deployment) -> Iterator[object]:
    plans = {each.id: each for each in deployment.of("Microsoft.Web/serverfarms")}
    used = [each.properties["serverFarmId"] for each in deployment.of(SITE)]
    if sorted(used) != sorted(plans):  # on Flex Consumption a plan has one app
        yield used
    for plan in plans.values():
        if plan.body["sku"] != {"name": "FC1", "tier": "FlexConsumption"}:
            yield plan.body["sku"]
    for app in deployment.of(SITE):
        properties = app.properties
        if properties["functionAppConfig"]["runtime"] != {"name": "python", "version": "3.13"}:
            yield app.name, "runtime"
        config = properties["siteConfig"]
        if not properties["httpsOnly"] or config["remoteDebuggingEnabled"]:
            yield app.name, "a way in"
        # What Flex Consumption is known to refuse, in some regions (error 51021): the runtime is said elsewhere, FTP it has not.
        if refused := config.keys() & {
            "alwaysOn",
            "ftpsState",
            "linuxFxVersion",
            "pythonVersion",
            "functionAppScaleLimit",
        }:
            yield app.name, refused
        if config["minTlsVersion"] < "1.2" or config["scmMinTlsVersion"] < "1.2":
            yield app.name, "TLS"
        passwords = deployment.children(app, f"{SITE}/basicPublishingCredentialsPolicies")
        if {(each.name, each.properties["allow"]) for each in passwords} != {("ftp", False), ("scm", False)}:
            yield app.name, "a password of the site"


RULES: tuple[Rule, ...] = (
    each_app_has_the_settings_of_its_role,
    each_app_is_its_role,
    both_roles_reach_the_same_log_and_bus,
    the_seed_is_a_reference_and_the_ledger_s_alone,
    each_app_signs_in_as_itself,
    each_host_has_its_own_storage,
    each_app_runs_python_on_flex_by_https,
)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule, choice: str) -> None:
    assert list(rule(deployed(choice))) == []


def test_there_is_one_app_for_each_role_and_the_portal_s_when_asked_for() -> None:
    assert services(deployed("dev")) == ["ledger", "pipeline"]
    assert services(deployed("portal")) == ["ledger", "pipeline", "portal"]


def test_retention_settings_reach_the_pipeline_alone_and_override_nothing_else() -> None:
    deployment = made("dev", retentionSettings={"RETENTION_UNIT": "500", "APP_ROLE": "all"})
    assert settings_of(deployment, "pipeline")["RETENTION_UNIT"] == "500"
    assert settings_of(deployment, "pipeline")["APP_ROLE"] == "pipeline"
    assert "RETENTION_UNIT" not in settings_of(deployment, "ledger")


ROLE = r"(APP_ROLE: 'ledger'\n)"
SEED = "'@Microsoft.KeyVault(VaultName=kv;SecretName=ledger-signing-seed)'"
MISTAKES = [
    (each_app_has_the_settings_of_its_role, r"\n +COSMOS_MAIN_DATABASE: \w+\n", "\n"),
    (each_app_has_the_settings_of_its_role, ROLE, r"\1 BLOB_DATA__serviceUri: 'https://data'\n"),
    (each_app_has_the_settings_of_its_role, r"\bBLOB_BACKUP__serviceUri: (?!\n)", "BLOB_BACKUP: "),
    (each_app_has_the_settings_of_its_role, r"\n +AZURE_CLIENT_ID: \w+\n", "\n"),
    (each_app_has_the_settings_of_its_role, r"(\n +)(AZURE_CLIENT_ID:)", r"\1FUNCTIONS_EXTENSION_VERSION: '~4'\1\2"),
    (each_app_is_its_role, ROLE, "APP_ROLE: 'all'\n"),
    (both_roles_reach_the_same_log_and_bus, ROLE + r"((?:.*\n)*?.*BLOB_STATE__serviceUri: ).*", r"\1\2'https://other'"),
    (the_seed_is_a_reference_and_the_ledger_s_alone, r"SecretName=ledger-signing-seed", "SecretName=seed"),
    (the_seed_is_a_reference_and_the_ledger_s_alone, r"(?<=\n)( +AZURE_SUBSCRIPTION_ID: ).*", rf"\1{SEED}"),
    (each_app_signs_in_as_itself, r"identityId: ledgerIdentity\.", "identityId: pipelineIdentity."),
    (each_app_signs_in_as_itself, r"identityClientId: ledgerIdentity\.", "identityClientId: pipelineIdentity."),
    (
        each_app_signs_in_as_itself,
        r"keyVaultReferenceIdentity: identityId",
        "keyVaultReferenceIdentity: 'SystemAssigned'",
    ),
    (each_host_has_its_own_storage, r"'hledger\$\{token\}'", "'hpipeline${token}'"),
    (each_host_has_its_own_storage, r"'hledger\$\{token\}'", "'state${token}'"),
    (each_host_has_its_own_storage, r"'app-package'", "'package'"),
    (each_app_runs_python_on_flex_by_https, r"version: '3\.13'", "version: '3.9'"),
    (each_app_runs_python_on_flex_by_https, r"httpsOnly: true", "httpsOnly: false"),
    (each_app_runs_python_on_flex_by_https, r"\ballow: false\n", "allow: true\n"),
    (each_app_runs_python_on_flex_by_https, r"scmMinTlsVersion: '1\.2'", "scmMinTlsVersion: '1.0'"),
]


@pytest.mark.parametrize(("rule", "old", "new"), MISTAKES)
def test_the_rule_sees_a_mistake(rule: Rule, old: str, new: str) -> None:
    assert list(rule(changed("dev", old, new)))
