"""The exact functions of each role, as the host reads them: a function more or less, or a setting, is a failure here."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from local.runner.schedule import Schedule
from shared.liveness import TIMERS

ROOT = Path(__file__).parents[2]
READ = """
import json, function_app
print(json.dumps([
    {"name": each.get_function_name(), **json.loads(each.get_function_json())} for each in function_app.app.get_functions()
]))
"""


def timer(schedule: str) -> dict[str, Any]:
    return {"type": "timerTrigger", "schedule": schedule}


def queue(name: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "serviceBusTrigger",
        "queueName": name,
        "connection": "ServiceBus",
        "dataType": "BINARY",  # else the host reads a body's keys as the message's properties
        **more,
    }


PIPELINE = {
    "planner": timer("0 * * * * *"),
    "sweep": queue("sweeps"),
    "sweeps_dead": queue("sweeps/$deadletterqueue"),
    "requests_intake": queue("requests"),
    "requests_again": queue("requests/$deadletterqueue"),
    "requests_work": queue("requests-work", isSessionsEnabled=True),
    "work_dead": queue("requests-work/$deadletterqueue"),
    "requests_close": timer("5 */15 * * * *"),
    "watch_journals": timer("30 * * * * *"),
    "watch_requests": timer("45 */5 * * * *"),
    "watch_overdue": timer("50 */15 * * * *"),
    "watch_metrics": timer("55 */5 * * * *"),
    "watch_posture": timer("40 */15 * * * *"),
}
LEDGER = {
    "ledger_append": queue("ledger", cardinality="MANY"),
    "ledger_dead": queue("ledger/$deadletterqueue", cardinality="MANY"),
    "ledger_seal": timer("15 * * * * *"),
    "ledger_publish": timer("20 * * * * *"),
    "ledger_retire": timer("0 10 3 * * *"),
}
ROLES = {"pipeline": PIPELINE, "ledger": LEDGER, "all": {**PIPELINE, **LEDGER}}


def child(code: str, role: str) -> subprocess.Popen[str]:
    """Load the app in a process of its own, with no setting but the role."""
    environment = {**os.environ, "APP_ROLE": role}
    command = [sys.executable, "-c", code]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def loaded() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """One process for each role, side by side."""
    children = {role: child(READ, role) for role in ROLES}
    yield children
    for each in children.values():
        each.kill()
        each.communicate()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_exactly_these_functions_with_these_triggers(
    role: str, loaded: dict[str, subprocess.Popen[str]]
) -> None:
    output, errors = loaded[role].communicate(timeout=60)
    assert loaded[role].returncode == 0, errors
    found = {}
    for function in json.loads(output):
        [binding] = function["bindings"]
        assert binding.pop("direction") == "IN"
        assert binding.pop("name") in {"timer", "msg", "rings"}
        found[function["name"]] = binding
    assert found == ROLES[role]


def test_no_other_role_is_accepted_and_the_error_names_the_setting() -> None:
    """In one process, since loading fails before anything is registered."""
    code = """
import os, runpy
for role in ("portal", "Pipeline", "pipeline,ledger", "", None):
    os.environ.pop("APP_ROLE") if role is None else os.environ.update(APP_ROLE=role)
    try:
        runpy.run_path("function_app.py")
        print("accepted", role)
    except Exception as error:
        print(type(error).__name__, error)
"""
    output, errors = child(code, "portal").communicate(timeout=60)
    assert errors == ""
    lines = output.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("ConfigError setting APP_ROLE") for line in lines), lines


@pytest.mark.parametrize("role", ["ledger", "portal"])
def test_the_garbage_collector_works_again_once_the_app_is_loaded_or_was_refused(role: str) -> None:
    code = "import contextlib, gc\nwith contextlib.suppress(Exception): import function_app\nprint(gc.isenabled())"
    output, _ = child(code, role).communicate(timeout=60)
    assert output == "True\n"


@pytest.mark.parametrize(("role", "functions"), [("pipeline", PIPELINE), ("ledger", LEDGER)])
def test_the_readme_lists_the_functions_of_each_role(role: str, functions: dict[str, Any]) -> None:
    [row] = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| `{role}` |")]
    assert row == f"| `{role}` | {', '.join(f'`{name}`' for name in functions)} |"


def test_each_timer_s_interval_is_that_of_its_schedule() -> None:
    schedules = {name: found["schedule"] for name, found in ROLES["all"].items() if "schedule" in found}
    longest = {}
    for name, text in schedules.items():
        times = [datetime(2026, 3, 1, tzinfo=UTC)]
        while len(times) < 12:
            times.append(Schedule(text).next_after(times[-1]))
        longest[name] = max(b - a for a, b in pairwise(times[1:]))
    assert longest == TIMERS


def test_each_timer_leaves_its_heartbeat_when_all_that_it_does_has_succeeded() -> None:
    beating = {}
    for path in (ROOT / "functions").glob("*.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.AsyncFunctionDef) and any(
                "timer_trigger" in ast.unparse(d) for d in function.decorator_list
            ):
                last = function.body[-1]
                assert isinstance(last, ast.AsyncWith), f"{function.name} does something outside of its heartbeat"
                beating[function.name] = ast.unparse(last.items[0].context_expr)
    assert beating == {name: f"heartbeat('{name}')" for name in TIMERS}


def test_what_fails_a_function_is_logged_under_the_function_s_own_name() -> None:
    """With OpenTelemetry on, the host passes on no error of the worker's: nobody would see it."""
    told = {}
    for path in (ROOT / "functions").glob("*.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.AsyncFunctionDef):
                names = [ast.unparse(each) for each in function.decorator_list]
                if any("service_bus_queue_trigger" in name for name in names):
                    told[function.name] = names[-1]
    assert told == {name: f"told('{name}')" for name, found in ROLES["all"].items() if "queueName" in found}
