"""The docs say what the code says: generated parts are current, examples are taken, each enforced row shows its proof."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from shared import messages
from shared.audit import EventType
from shared.policy import Category, Promise
from shared.policy_file import load

ROOT = Path(__file__).parents[2]


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = _build()
OUTPUTS = BUILD.outputs()
PROOFS = BUILD.proofs(ROOT / "tests")
POLICY = load(ROOT / "policy.yaml")
ENFORCED = [row for row in (*POLICY.categories, *POLICY.promises) if row.status == "enforced"]


@pytest.mark.parametrize("path", OUTPUTS, ids=lambda path: path.name)
def test_generated_docs_are_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == OUTPUTS[path], "run `make docs`"


def test_no_schema_is_left_of_a_message_that_is_gone() -> None:
    schemas = ROOT / "docs" / "schemas"
    assert set(schemas.iterdir()) == {path for path in OUTPUTS if path.parent == schemas}


@pytest.mark.parametrize("row", ENFORCED, ids=lambda row: row.id)
def test_every_enforced_row_names_a_test_that_proves_it(row: Category | Promise) -> None:
    assert BUILD.of_row(PROOFS, row), f"mark a test with @pytest.mark.promise({row.row})"


def test_every_file_that_the_promises_name_is_there() -> None:
    links = re.findall(r"\]\(\.\./([^)#]+)\)", OUTPUTS[ROOT / "docs" / "promises.md"])
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name
)
def test_every_message_shown_is_one_that_is_taken(page: Path) -> None:
    blocks = re.findall(r"^```json\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for block in blocks:
        if "retention" in json.loads(block):
            messages.parse(block.encode(), now=BUILD.NOW)


def test_every_section_that_status_names_is_in_the_runbook() -> None:
    source = (ROOT / "shared" / "attention.py").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", (ROOT / "docs" / "operate.md").read_text(encoding="utf-8"), re.MULTILINE)
    sections = {title.lower().replace(" ", "-") for title in titles}
    named = set(re.findall(r'see="([a-z-]+)"', source))
    assert named
    assert named <= sections


def test_the_auditor_s_page_explains_each_event_once() -> None:
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    cells = [row.split("|")[1] for row in page.splitlines() if re.match(r"\| `(?!data)\w+\.", row)]
    assert sorted(f"retention.{name}" for cell in cells for name in re.findall(r"`([\w.]+)`", cell)) == sorted(
        EventType
    )
