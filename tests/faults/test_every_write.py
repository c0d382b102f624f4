"""Every write of the product is among those that fail, unapplied and applied, and ADR 10 says what a crash after it leaves.

Each file `test_*_writes.py` beside this one has its writes in CASES (each with the calls in the source that it comes from,
and how it fails) or, where each of them fails both ways, their calls in SITES.
"""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest
from disturbances import Broken
from writes import ROOT, Site, all_sites

FILES = sorted(path.stem for path in Path(__file__).parent.glob("test_*_writes.py"))
PAGE = ROOT / "docs" / "adr" / "0010-every-write-and-the-crash-after-it.md"
HANDS_ON = "## What only hands a write on"
BOTH = ("unapplied", "applied")


@cache
def failed(file: str) -> dict[str, frozenset[Site]]:
    """The calls whose writes fail in a file of tests, by how."""
    module = importlib.import_module(file)
    if hasattr(module, "SITES"):
        return dict.fromkeys(BOTH, module.SITES)
    cases: list[Broken] = [case[-1] if isinstance(case, tuple) else case for case in module.CASES]
    return {how: frozenset().union(*(case.sites for case in cases if case.how == how)) for how in BOTH}


def functions(sites: frozenset[Site] | set[Site]) -> set[str]:
    return {site.function for site in sites}


TEXT = PAGE.read_text(encoding="utf-8")
TESTS = dict(re.findall(r"^- ([A-Z]\d): `([^`]+)`$", TEXT, re.MULTILINE))
ROWS = [
    (re.findall(r"`([^`]+)`", cells[1]), cells[-1].split(", "))
    for line in TEXT.partition(HANDS_ON)[0].splitlines()
    if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("| ").split(" | ")]) == 5
    if "`" in cells[1]
]


@pytest.mark.parametrize("how", BOTH)
def test_every_call_that_writes_is_made_by_a_write_that_fails(how: str) -> None:
    never = all_sites() - frozenset().union(*(failed(file)[how] for file in FILES))
    assert not never, f"no scene fails these writes {how}: {sorted(map(str, never))}"


def test_every_function_that_writes_is_in_the_table_and_none_that_does_not() -> None:
    named = [name for names, _ in ROWS for name in names]
    handing_on = re.findall(r"`([\w.]+)`", TEXT.partition(HANDS_ON)[2].partition("**Not in the table.**")[0])
    assert functions(all_sites()) == {*named, *handing_on}
    assert not {*named} & {*handing_on}


@pytest.mark.parametrize("test", TESTS.values())
def test_every_test_that_the_table_names_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_names_tests_that_the_page_lists() -> None:
    used = re.findall(r"\b[A-Z]\d\b", "".join(line for line in TEXT.splitlines() if line.startswith("| ")))
    assert {*used} == {*TESTS}
    assert len(ROWS) > 60


@pytest.mark.parametrize(("names", "tests"), ROWS, ids="-".join)
def test_the_tests_of_a_row_fail_writes_of_its_functions(names: list[str], tests: list[str]) -> None:
    files = {Path(TESTS[test].partition("::")[0]).stem for test in tests}
    reached = set().union(*(functions(failed(file)[how]) for file in files if file in FILES for how in BOTH))
    assert {*names} <= reached
