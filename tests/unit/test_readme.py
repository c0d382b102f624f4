"""The README says what the code says: its tables of settings and own containers, its links, its commands' files."""

import re
from pathlib import Path

from shared.config import SETTINGS
from shared.containers import OWN_CONTAINERS
from shared.policy_file import load
from shared.policy_terms import Follows, OwnStore, Rule, YearEnd

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_settings_table_is_the_code_s_table() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.+) \|$", README.split("<!-- settings:")[1].split("\n\n")[0], re.MULTILINE
    )
    expected = [
        (s.name, "required" if s.default is None else f"`{s.default}`" if s.default else "none", s.meaning)
        for s in SETTINGS
    ]
    assert rows == expected


def kept(rule: Rule) -> str:
    start = rule.start
    if isinstance(start, Follows):
        return f"as `{start.category}`"
    if isinstance(start, YearEnd):
        return f"{rule.period} from the end of `{start.field}`{' (assumed)' if rule.assumed else ''}"
    return f"{rule.period} from `{getattr(start, 'field', start.from_)}`{' (assumed)' if rule.assumed else ''}"


def test_own_containers_table_is_the_code_s_table_with_the_policy_s_periods() -> None:
    policy = load(ROOT / "policy.yaml")
    rows = {c.store.container: c for c in policy.categories if isinstance(c.store, OwnStore)}
    expected = ["| Account | Container | Written by role | Holds | Kept |", "|---|---|---|---|---|"]
    for own in OWN_CONTAINERS:
        periods = ", ".join(kept(rule) for rule in rows[own.name].rules)
        expected.append(f"| `{own.account}` | `{own.name}` | {own.writer} | {own.holds} | {periods} |")
        assert rows[own.name].status == "enforced"
    table = README.split("<!-- own containers:")[1].split("\n\n")[0].splitlines()[1:]
    assert table == expected, "\n".join(expected)


def test_every_link_to_a_file_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert missing == []


def test_enforced_categories_named_are_those_of_the_policy() -> None:
    section = README.split("## What is enforced today")[1].split("##")[0].split("Every other row")[0]
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", section))
    enforced = load(ROOT / "policy.yaml").enforced()
    assert named == {category.id for category in enforced if not isinstance(category.store, OwnStore)}
