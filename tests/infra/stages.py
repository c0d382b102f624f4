"""The deployments that the tests ask about: each stage's parameter file with what azd fills in, and other choices."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from on_paper import MAIN, Deployment, Resource

from infra.parameters import NAMED_BY

INFRA = Path(__file__).parents[2] / "infra"
MODULES = INFRA / "modules"
ELSEWHERE = "/subscriptions/99999999-9999-9999-9999-999999999999/resourceGroups/rg-company/providers"
BY_AZD = {
    "environmentName": "test",
    "location": "norwayeast",
    "deployerId": "d0000000-0000-0000-0000-000000000001",
    "deployerType": "User",
}
PEOPLE = {
    "operatorsId": "a0000000-0000-0000-0000-000000000001",
    "auditorsId": "a0000000-0000-0000-0000-000000000002",
    "siemId": "a0000000-0000-0000-0000-000000000003",
    "smokeId": "a0000000-0000-0000-0000-000000000004",
}
BROUGHT = {
    "trial": False,
    "dataAccountId": f"{ELSEWHERE}/Microsoft.Storage/storageAccounts/companydata",
    "backupAccountId": f"{ELSEWHERE}/Microsoft.Storage/storageAccounts/companybackup",
    "cosmosAccountId": f"{ELSEWHERE.replace('rg-company', 'rg-items')}/Microsoft.DocumentDB/databaseAccounts/companycosmos",
}
GIVEN = {**BY_AZD, "ledgerOrigin": "log.example.test/retention"}
CHOICES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "dev": ("dev", {"trial": True}),
    "with people": (
        "dev",
        {"trial": True, **PEOPLE, "alertEmail": "ops@example.test", "monthlyBudget": 100, "budgetStart": "2026-12-01"},
    ),
    "one person in all parts": ("dev", {"trial": True, **dict.fromkeys(PEOPLE, PEOPLE["operatorsId"])}),
    "private": ("dev", {"trial": True, **PEOPLE, "privateNetworking": True, "zoneRedundant": True}),
    "autoscale": ("dev", {"trial": True, "cosmosServerless": False}),
    "portal": ("dev", {"trial": True, **PEOPLE, "deployPortal": True}),
    "brought": ("dev", {**BROUGHT, **PEOPLE}),
    "prod": ("prod", {**BROUGHT, **PEOPLE}),
    "prod, locked": ("prod", {**BROUGHT, "ledgerPolicyLocked": True}),
}
TRIALS = tuple(name for name, (_, over) in CHOICES.items() if over.get("trial"))

Rule = Callable[[Deployment], Iterator[object]]


def parameters_of(stage: str) -> dict[str, Any]:
    """What a stage's parameter file gives."""
    file = json.loads((INFRA / f"{stage}.parameters.json").read_text())
    return {name: each["value"] for name, each in file["parameters"].items() if name not in NAMED_BY}


@cache
def deployed(choice: str) -> Deployment:
    """One of CHOICES, on paper."""
    return made(choice)


def made(choice: str, overlay: Mapping[str, str] | None = None, **over: Any) -> Deployment:
    """One of CHOICES with other texts or parameters."""
    stage, mine = CHOICES[choice]
    return Deployment({**parameters_of(stage), **GIVEN, **mine, **over}, overlay=overlay)


def changed(choice: str, old: str, new: str) -> Deployment:
    """One of CHOICES with other texts: `old` is a pattern, sought in every file. Fails when it is found in none."""
    overlay = {}
    for path in (MAIN, *sorted(MODULES.glob("*.bicep"))):
        text, times = re.subn(old, new, path.read_text(encoding="utf-8"))
        if times:
            overlay[path.name] = text
    assert overlay, f"no file has {old!r} any more: change the test's mistake"
    return made(choice, overlay)


# ---------------------------------------------------------------- what is asked of many deployments


STORAGE = "Microsoft.Storage/storageAccounts"
CONTAINER = f"{STORAGE}/blobServices/containers"
SITE = "Microsoft.Web/sites"


def site(deployment: Deployment, service: str) -> Resource:
    """The app of a role."""
    return next(each for each in deployment.of(SITE) if each.body["tags"]["azd-service-name"] == service)


def settings_of(deployment: Deployment, service: str) -> dict[str, str]:
    """An app's settings."""
    app = site(deployment, service)
    (settings,) = [each for each in deployment.children(app, f"{SITE}/config") if each.name == "appsettings"]
    return settings.properties


def account_of(deployment: Deployment, setting: str) -> str:
    """The id of the storage account that the pipeline reaches by a setting; "" when it is none of this deployment."""
    host = settings_of(deployment, "pipeline")[f"{setting}__serviceUri"].removeprefix("https://")
    name, _, rest = host.rstrip("/").partition(".")
    assert rest == "blob.core.windows.net", host
    return next((each.id for each in deployment.of(STORAGE) if each.name == name), "")


def containers_of(deployment: Deployment, account: str) -> list[str]:
    """The names of an account's containers."""
    return sorted(each.name for each in deployment.of(CONTAINER) if each.id.startswith(f"{account}/"))
