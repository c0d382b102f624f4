"""The import direction: functions, cli -> wiring -> use cases -> pure modules; use cases see the stores' ports only.

Read from the source, imports inside functions included. The lists below name the layers: a new module must be put into
one of them.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("function_app", "functions", "cli", "shared", "local")

PURE = {
    "shared", "shared.audit", "shared.clock", "shared.config", "shared.each", "shared.errors", "shared.layout", "shared.message_forms", "shared.messages", "shared.model",
    "shared.period", "shared.policy", "shared.policy_checks", "shared.policy_fields", "shared.policy_terms", "shared.policy_file",
    "shared.policy_finders", "shared.year_end",
    "shared.strict_yaml", "shared.containers",
    "shared.posture", "shared.posture.effects", "shared.posture.findings", "shared.posture.plain",
    "shared.posture.settings", "shared.posture.worst_case",
}  # fmt: skip
"""No store, not even its port, and no other layer."""

PORTS = {"shared.stores", "shared.stores.interface", "shared.stores.concurrency"}
ADAPTERS = {
    "shared.posture.management", "shared.posture.read_blob", "shared.posture.read_cosmos",
    "shared.stores.blob", "shared.stores.blob_batch", "shared.stores.blob_deletes", "shared.stores.blob_list", "shared.stores.blob_pipeline",
    "shared.stores.blob_records", "shared.stores.blob_versions", "shared.stores.cosmos_deletes", "shared.stores.cosmos_queries",
    "shared.stores.cosmos_transport",
    "shared.stores.cosmos_records", "shared.stores.line_logs", "shared.stores.lines", "shared.stores.memory_rows",
    "shared.stores.reading",
    "shared.stores.memory", "shared.stores.memory_own", "shared.stores.memory_records", "shared.stores.own_records",
    "shared.stores.servicebus", "shared.stores.walker",
}  # fmt: skip
WIRING = {
    "shared.connections", "shared.governed", "shared.ledger.wiring", "shared.wiring", "shared.posture.wiring",
}  # fmt: skip

AUDITORS = {
    "shared.audit", "shared.ledger.checkpoint", "shared.ledger.merkle", "shared.ledger.proofs", "shared.ledger.prove",
    "shared.ledger.signing", "shared.ledger.source", "shared.ledger.tiles", "shared.ledger.verify",
}  # fmt: skip
"""What an auditor runs on a laptop: no Azure SDK, whatever it imports in turn."""


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    _name(path): path
    for top in OURS
    for path in ([ROOT / f"{top}.py"] if top == "function_app" else sorted((ROOT / top).rglob("*.py")))
    if "node_modules" not in path.parts
}


def _imports(path: Path) -> set[str]:
    """Everything that a file imports, by full name; `from package import module` names the module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if name in FILES}
            found |= modules | ({node.module} if len(modules) < len(inner) or node.module not in FILES else set())
    return found


IMPORTS = {name: _imports(path) for name, path in FILES.items()}
SHARED = {name for name in FILES if name == "shared" or name.startswith("shared.")}
USE_CASES = SHARED - PURE - PORTS - ADAPTERS - WIRING


def _of(imports: set[str], *tops: str) -> set[str]:
    """Those imports that are one of these packages, or inside one."""
    return {name for name in imports if any(name == top or name.startswith(f"{top}.") for top in tops)}


def _reached(module: str) -> set[str]:
    """Every module that importing this one imports in the end, the packages around each included."""
    seen: set[str] = set()
    left = {module}
    while left:
        name = left.pop()
        seen.add(name)
        package = name.rpartition(".")[0]
        left |= (IMPORTS.get(name, set()) | ({package} if package in FILES else set())) - seen
    return seen


def test_the_layers_name_modules_that_exist() -> None:
    assert set(FILES) >= PURE | PORTS | ADAPTERS | WIRING | AUDITORS
    assert {"shared.deletion", "shared.sweep", "shared.ledger.log", "shared.requests.erase"} <= USE_CASES


def test_the_app_imports_the_functions_alone() -> None:
    own = {"azure.functions", "gc", "importlib"}  # what it imports by name is of `functions` too
    assert all(name in own or _of({name}, "functions") for name in IMPORTS["function_app"])


@pytest.mark.parametrize("module", sorted(SHARED))
def test_nothing_shared_imports_a_door_or_the_local_servers(module: str) -> None:
    assert _of(IMPORTS[module], "functions", "function_app", "cli", "local", "tests") == set()


@pytest.mark.parametrize("door", ["functions", "cli"])
def test_doors_do_not_import_each_other_or_the_local_servers(door: str) -> None:
    others = {"functions", "function_app", "cli", "local", "tests"} - {door}
    for module in _of(set(FILES), door):
        assert _of(IMPORTS[module], *others) == set(), module


@pytest.mark.parametrize("door", ["functions", "cli"])
def test_doors_reach_the_stores_by_the_wiring_alone(door: str) -> None:
    for module in _of(set(FILES), door):
        assert IMPORTS[module] & ADAPTERS == set(), module


def test_functions_import_the_hosts_sdk_and_telemetry_its_own_and_no_other_of_azure() -> None:
    sends = {"functions.telemetry": {"azure.identity", "azure.monitor.opentelemetry"}}
    for module in _of(set(FILES), "functions"):
        assert _of(IMPORTS[module], "azure") <= {"azure.functions", *sends.get(module, ())}, module


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_import_pure_modules_alone(module: str) -> None:
    assert _of(IMPORTS[module], "shared") <= PURE
    assert _of(IMPORTS[module], "azure", "aiohttp") == set()


@pytest.mark.parametrize("module", sorted(USE_CASES | PORTS))
def test_use_cases_see_the_ports_of_the_stores_alone(module: str) -> None:
    assert _of(IMPORTS[module], "shared.stores") <= PORTS
    assert _of(IMPORTS[module], "azure", "aiohttp") == set()
    assert not IMPORTS[module] & WIRING


@pytest.mark.parametrize("module", sorted(ADAPTERS))
def test_adapters_know_the_domain_and_their_ports_and_no_use_case(module: str) -> None:
    assert _of(IMPORTS[module], "shared") <= PURE | PORTS | ADAPTERS


def test_only_the_wiring_and_the_adapters_import_azure() -> None:
    users = {name for name in SHARED if _of(IMPORTS[name], "azure")}
    assert users <= ADAPTERS | WIRING


def test_the_wiring_is_imported_by_the_doors_alone() -> None:
    assert {name for name in SHARED - WIRING if IMPORTS[name] & WIRING} == set()


def test_role_ledger_loads_nothing_that_only_the_pipeline_needs() -> None:
    pipelines = (
        "azure.cosmos", "azure.mgmt", "functions.pipeline", "shared.governed", "shared.wiring", "shared.planner", "shared.sweep",
        "shared.requests", "shared.posture",
    )  # fmt: skip
    assert _of(_reached("functions.ledger"), *pipelines) == set()
    assert _of(_reached("functions.watch"), *pipelines)  # such are found


@pytest.mark.parametrize("module", sorted(AUDITORS))
def test_what_an_auditor_runs_needs_no_azure_sdk(module: str) -> None:
    assert _of(_reached(module), "azure", "aiohttp") == set()


def test_shared_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {name: _of(IMPORTS[name], "shared") & set(FILES) - {name} for name in SHARED}
    assert set(graphlib.TopologicalSorter(graph).static_order()) >= SHARED


def test_the_gate_alone_calls_a_record_stores_delete() -> None:
    """Who can hold a RecordStore and calls a `delete` calls the gate's, except the gate."""
    callers = set()
    for module in USE_CASES | _of(set(FILES), "functions", "cli"):
        tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
        if not any(
            isinstance(node, ast.Name) and node.id in {"RecordStore", "record_store"} for node in ast.walk(tree)
        ):
            continue
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            deletes = isinstance(called, ast.Attribute) and called.attr == "delete"
            if deletes and not ast.unparse(called.value).endswith("gate"):
                callers.add(module)
    assert callers == {"shared.deletion"}
