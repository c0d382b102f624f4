"""What the assignments of infra/data/roles.json allow, and which of them were needed by what was asked.

A request becomes needs: one of some actions, at one place. An assignment allows a need when its role has one of the
actions and its place is that of the need, or holds it. Nothing else is allowed: no owner, no key, no inheritance.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROLES = Path(__file__).parents[2] / "infra" / "data" / "roles.json"
_STORAGE = "Microsoft.Storage/storageAccounts/blobServices"
BLOBS = f"{_STORAGE}/containers/blobs"

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles: (actions, data actions) by id.
BUILT_IN: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": (("*/read",), ()),
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": (
        (f"{_STORAGE}/containers/read", f"{_STORAGE}/generateUserDelegationKey/action"),
        (f"{BLOBS}/read",),
    ),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": (
        (
            f"{_STORAGE}/containers/delete",
            f"{_STORAGE}/containers/read",
            f"{_STORAGE}/containers/write",
            f"{_STORAGE}/generateUserDelegationKey/action",
        ),
        tuple(f"{BLOBS}/{name}" for name in ("delete", "read", "write", "move/action", "add/action")),
    ),
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": ((), ("Microsoft.ServiceBus/*/receive/action",)),
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": ((), ("Microsoft.ServiceBus/*/send/action",)),
}

Place = tuple[str, ...]
"""(kind, ...): ("blob", account[, container]), ("cosmos"[, container]), ("bus", "queue" | "topic" | ..., name)."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a request asks for: any one of `actions`, at `place`. `who` is one, or several that one person is: `a+b`."""

    who: str
    actions: tuple[str, ...]
    place: Place


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One row of roles.json. A place holds all that begins with it, but an account's blobs belong to its containers."""

    who: str
    role: str
    place: Place
    kind: str

    def __str__(self) -> str:
        return f"{self.who}: {self.role} on {'/'.join(self.place)}"


class UnmappedError(Exception):
    """A request that the model does not know: what it needs is not said, so it is answered 501 and fails the test."""


class Rights:
    """The definitions and assignments of roles.json."""

    def __init__(self, roles: Mapping[str, Any] | None = None) -> None:
        self.roles = roles if roles is not None else json.loads(ROLES.read_text(encoding="utf-8"))
        self.definitions = self.roles["definitions"] | self.roles["cosmosDefinitions"]
        self.assignments = tuple(_assignments(self.roles))

    def allowing(
        self, need: Need, *, without: Assignment | None = None, lacking: tuple[str, str] | None = None
    ) -> list[Assignment]:
        """The assignments that allow it: all of them, or but for one, or if a definition lacked one of its actions."""
        return [
            each
            for each in self.assignments
            if each != without
            and each.who in need.who.split("+")
            and need.place[: len(each.place)] == each.place
            and any(self._grants(each.role, action, lacking) for action in need.actions)
        ]

    def _grants(self, role: str, action: str, lacking: tuple[str, str] | None) -> bool:
        actions, data = self.actions_of(role)
        # Reader's "*/read" is about settings: it reads no blob, no item and no message.
        patterns = data if _is_data(action) else actions
        return any(fnmatchcase(action, pattern) and lacking != (role, pattern) for pattern in patterns)

    def actions_of(self, role: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(actions, data actions) of a definition; none of a built-in role that no request here is about."""
        definition = self.definitions[role]
        if "builtIn" in definition:
            return BUILT_IN.get(definition["builtIn"], ((), ()))
        return tuple(definition.get("actions", ())), tuple(definition["dataActions"])

    def unused(self, needs: Iterable[Need], who: Iterable[str]) -> set[Assignment]:
        """Assignments of these without which every need would be met all the same."""
        asked, whose = set(needs), set(who)
        return {
            each
            for each in self.assignments
            if each.who in whose and all(self.allowing(need, without=each) for need in asked)
        }

    def unused_actions(self, needs: Iterable[Need], roles: Iterable[str]) -> set[tuple[str, str]]:
        """(definition, action) of our own definitions without which every need would be met all the same."""
        asked = set(needs)
        ours = [role for role in roles if "builtIn" not in self.definitions[role]]
        return {
            (role, action)
            for role in ours
            for action in (action for part in self.actions_of(role) for action in part)
            if all(self.allowing(need, lacking=(role, action)) for need in asked)
        }


@dataclass(kw_only=True)
class Seen:
    """What came through the doors: what was needed and allowed, what was refused, and what nobody could map."""

    needs: set[Need] = field(default_factory=set)
    refused: list[Need] = field(default_factory=list)
    unmapped: list[str] = field(default_factory=list)


def _is_data(action: str) -> bool:
    return action.startswith((f"{BLOBS}/", "Microsoft.DocumentDB/", "Microsoft.ServiceBus/"))


def _assignments(roles: Mapping[str, Any]) -> Iterator[Assignment]:
    for kind in ("blob", "host", "settings", "bus", "cosmos", "vault", "telemetry"):
        for row in roles[kind]:
            yield Assignment(who=row["who"], role=row["role"], place=_place(kind, row), kind=kind)


def _place(kind: str, row: Mapping[str, str]) -> Place:
    match kind:
        case "blob":
            return ("blob", row["account"], row["container"])
        case "settings" if row["account"] != "cosmos":
            return ("blob", row["account"])
        case "cosmos":
            return ("cosmos", row["container"]) if row["container"] else ("cosmos",)
        case "bus":
            [entity] = row.keys() & {"queue", "topic", "subscription"}
            return ("bus", entity, row[entity])
        case _:
            return (kind, row.get("account", ""))
