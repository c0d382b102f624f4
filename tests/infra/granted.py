"""What the assignments of infra/data/roles.json amount to: each as actions at a place.

The data actions of the built-in roles are written out here from Azure's published list, and no other built-in role is
known: one that is assigned and not listed here is refused, Owner and Contributor among them.
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
SECRETS = "Microsoft.KeyVault/vaults/secrets"
BUILT_IN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": ("Reader", ()),  # control plane only
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": ("Storage Blob Data Reader", (f"{BLOBS}/read",)),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": (
        "Storage Blob Data Contributor",
        tuple(f"{BLOBS}/{each}" for each in ("delete", "read", "write", "move/action", "add/action")),
    ),
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": ("Storage Blob Data Owner", (f"{BLOBS}/*",)),
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": (
        "Azure Service Bus Data Receiver",
        ("Microsoft.ServiceBus/*/receive/action",),
    ),
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": ("Azure Service Bus Data Sender", ("Microsoft.ServiceBus/*/send/action",)),
    "4633458b-17de-408a-b874-0445c86b69e6": (
        "Key Vault Secrets User",
        (f"{SECRETS}/getSecret/action", f"{SECRETS}/readMetadata/action"),
    ),
    "3913510d-42f4-4e42-8a64-420c390055eb": (
        "Monitoring Metrics Publisher",
        ("Microsoft.Insights/Metrics/Write", "Microsoft.Insights/Telemetry/Write"),
    ),
}
KINDS = ("blob", "host", "settings", "bus", "cosmos", "vault", "telemetry")
IDENTITIES = ("pipeline", "ledger", "portal")
PEOPLE = ("operators", "auditors")
OUTSIDE = ("siem", "smoke", "deployer")


@dataclass(frozen=True, kw_only=True)
class Granted:
    """One action that somebody has at one place: `<kind>:<account>/<container>`, a queue's name, and so on."""

    who: str
    action: str
    place: str

    @property
    def reads(self) -> bool:
        """Whether it changes nothing. What is not known to change nothing counts as a change."""
        return self.action.endswith(
            ("/read", "/executeQuery", "/readChangeFeed", "/readMetadata", "/readMetadata/action")
        )

    @property
    def deletes(self) -> bool:
        """Whether it may delete: by name, or because it may do everything."""
        return "delete" in self.action.lower() or self.action.endswith("/*")


def load() -> dict[str, Any]:
    return json.loads((ROOT / "infra" / "data" / "roles.json").read_text())


def rows(roles: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Every assignment, with its kind."""
    assigned = {key: value for key, value in roles.items() if isinstance(value, list)}
    if unknown := assigned.keys() - set(KINDS):
        raise AssertionError(f"assignments of a kind that is not known here: {unknown}")
    return ((kind, row) for kind in KINDS for row in assigned[kind])


def place_of(kind: str, row: Mapping[str, str]) -> str:
    """Where an assignment is, as one text."""
    where = [row[key] for key in ("account", "container", "queue", "topic", "subscription") if row.get(key)]
    return f"{kind}:{'/'.join(where)}"


def actions_of(roles: Mapping[str, Any], kind: str, role: str) -> tuple[str, ...]:
    """What a role may do: data actions, and of roles of ours their few others. Raises KeyError for one that is not defined, or not known here."""
    if kind == "cosmos":
        return tuple(roles["cosmosDefinitions"][role]["dataActions"])
    definition = roles["definitions"][role]
    if "builtIn" in definition:
        name, actions = BUILT_IN[definition["builtIn"]]
        if name != definition["name"]:
            raise KeyError(f"{role}: {definition['builtIn']} is {name}")
        return actions
    return (*definition["dataActions"], *definition["actions"])


def granted(roles: Mapping[str, Any]) -> set[Granted]:
    """All that anybody may do to data."""
    return {
        Granted(who=row["who"], action=action, place=place_of(kind, row))
        for kind, row in rows(roles)
        for action in actions_of(roles, kind, row["role"])
    }
