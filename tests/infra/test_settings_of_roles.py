"""`Setting.roles` in shared/config.py is true: each role's functions read exactly those settings.

What a function reaches of the Product is found in its source; the Product is then built so far, over settings that
note who reads them. Nothing is connected: clients are made, not used. A role is given its own settings and no others,
as when deployed, so that one setting too few raises ConfigError here.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from functions import host
from local.servers import Ports, settings
from shared.config import SETTINGS, Config
from shared.errors import ConfigError
from shared.wiring import Product

ROOT = Path(__file__).parents[2]
ROLES = ("pipeline", "ledger")
BY_THE_HOST = {"APP_ROLE", "ServiceBus"}  # which functions there are, and what their triggers listen to
CALLS: dict[str, Callable[[Any], Any]] = {
    "hurry": lambda found: found(),
    "hurry(...)": lambda found: found(1.0),
    "queue": lambda found: found("ledger"),
    "topic": lambda found: found(),
    "signer": lambda found: found("2026"),
}
"""How the methods of the Product that functions call are called here."""


@dataclass(frozen=True, kw_only=True)
class Noting(Config):
    """Settings that note which of them are read, in whatever way."""

    noted: set[str] = field(default_factory=set)

    def text(self, name: str) -> str:
        self.noted.add(name)
        return super().text(name)

    def connection(self, name: str, identity_property: str) -> Any:
        self.noted.add(name)
        return super().connection(name, identity_property)


def modules(role: str) -> list[ModuleType]:
    """The modules of a role's functions, as function_app.py registers them."""
    tree = ast.parse((ROOT / "function_app.py").read_text())
    listed = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
    }
    return [importlib.import_module(f"functions.{name}") for name in listed[role.upper()]]


def reached(module: ModuleType) -> Iterator[str]:
    """What a module's functions ask of `app`; "hurry(...)" where they give the time themselves."""
    tree = ast.parse(inspect.getsource(module))
    given = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "app":
            yield f"{node.attr}(...)" if node.attr == "hurry" and id(node) in given else node.attr


async def read_by(role: str, values: dict[str, str]) -> set[str]:
    """The settings that the functions of a role read."""
    config = Noting(values={**values, "APP_ROLE": role})
    app = Product(config)
    if config.has("COSMOS_MAIN"):
        app._cosmos = app._cosmos_client()
    mine = modules(role)
    names = {name for module in mine for name in reached(module)}
    if any(hasattr(module, "heartbeat") for module in mine):
        names |= {name for name in reached(host) if name != "parking"}
    if any(hasattr(module, "park") for module in mine):
        names.add("parking")
    try:
        for name in sorted(names - {"register_functions"}):
            found = getattr(app, name.removesuffix("(...)"))
            if inspect.ismethod(found):
                CALLS[name](found)
    finally:
        await app.close()
        if app._cosmos is not None:
            await app._cosmos.close()
    return config.noted | BY_THE_HOST


def of_role(role: str) -> set[str]:
    return {setting.name for setting in SETTINGS if role in setting.roles}


LOCAL = settings(Ports())


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_s_functions_read_exactly_the_settings_that_the_table_gives_it(role: str) -> None:
    values = {name: text for name, text in LOCAL.items() if name in of_role(role)}
    assert await read_by(role, values) == of_role(role)


async def test_a_setting_that_is_taken_from_a_role_is_missed() -> None:
    values = {name: text for name, text in LOCAL.items() if name in of_role("ledger") - {"BLOB_LEDGER"}}
    with pytest.raises(ConfigError, match="BLOB_LEDGER"):
        await read_by("ledger", values)


async def test_the_seed_is_read_by_the_ledger_alone_and_refused_to_the_pipeline() -> None:
    assert [s.roles for s in SETTINGS if s.secret] == [("ledger",)]
    app = Product(Config(values={**LOCAL, "APP_ROLE": "pipeline"}))
    with pytest.raises(ConfigError, match="signs nothing"):
        app.signer("2026")
    await app.close()
