"""The README says what the code says: its settings table, its links, its commands' files."""

import re
from pathlib import Path

from shared.config import SETTINGS
from shared.policy_file import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_settings_table_is_the_code_s_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", README.split("<!-- settings:")[1], re.MULTILINE)
    expected = [
        (s.name, "required" if s.default is None else f"`{s.default}`" if s.default else "none", s.meaning)
        for s in SETTINGS
    ]
    assert rows == expected


def test_every_link_to_a_file_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert missing == []


def test_enforced_categories_named_are_those_of_the_policy() -> None:
    section = README.split("## What is enforced today")[1].split("##")[0].split("Every other row")[0]
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", section))
    assert named == {category.id for category in load(ROOT / "policy.yaml").enforced()}
