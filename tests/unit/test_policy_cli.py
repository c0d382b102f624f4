"""`retention policy check | show | schema`: results on stdout, exit codes, JSON, planned rows marked in every view."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from cli.policy import schema_text
from shared import policy_file

ROOT = Path(__file__).parents[2]
FILE = ROOT / "policy.yaml"


@dataclass(frozen=True, kw_only=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str


RetentionPolicy = Callable[..., Result]


@pytest.fixture
def retention_policy(retention: Callable[..., tuple[int, str, str]]) -> RetentionPolicy:
    """`retention policy` as the console script runs it, without settings."""

    def run(*arguments: str) -> Result:
        code, out, err = retention("policy", *arguments)
        return Result(exit_code=code, stdout=out, stderr=err)

    return run


def test_check_of_a_good_file_exits_0_and_tells_warnings_digest_and_worst_cases(
    retention_policy: RetentionPolicy,
) -> None:
    result = retention_policy("check", str(FILE))
    assert result.exit_code == 0
    assert result.stderr == ""
    assert f"warning: {FILE}:" in result.stdout
    assert policy_file.load(FILE).digest in result.stdout
    assert re.search(r"camera-snapshots-7-days +P7D \+ PT10M\n", result.stdout)
    assert re.search(r"camera-credentials-7-days +P7D \+ PT1H, assumed\n", result.stdout)
    assert re.search(r"exports-7-days +P7D \+ PT1H  PLANNED\n", result.stdout)


def test_check_of_a_bad_file_exits_2_and_lists_all_findings_on_stdout(
    tmp_path: Path, retention_policy: RetentionPolicy
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(FILE.read_text().replace("P7D", "7 days", 1).replace("PT10M", "often", 1))
    result = retention_policy("check", str(bad))
    assert result.exit_code == 2
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert [line.split(": ")[1] for line in lines[:2]] == ["categories[0].rules[0].period", "categories[0].cadence"]
    assert lines[-1] == f"{bad}: refused, 2 to correct"
    as_json = retention_policy("check", str(bad), "--json")
    assert as_json.exit_code == 2
    found = json.loads(as_json.stdout)
    assert found["valid"] is False
    assert found["findings"][0]["path"] == "categories[0].rules[0].period"
    assert found["findings"][0]["line"] == int(lines[0].removeprefix(f"{bad}:").split(":")[0])


def test_check_json_gives_digest_warnings_and_each_rules_status(retention_policy: RetentionPolicy) -> None:
    result = retention_policy("check", str(FILE), "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["digest"] == policy_file.load(FILE).digest
    assert len(found["warnings"]) == 1
    assert {rule["id"]: rule["status"] for rule in found["rules"]}["exports"] == "planned"


@pytest.mark.parametrize("command", [("check",), ("show", "--file"), ("show", "homes", "--file")])
def test_a_file_that_cannot_be_read_exits_2_with_a_word_on_stderr(
    command: tuple[str, ...], tmp_path: Path, retention_policy: RetentionPolicy
) -> None:
    result = retention_policy(*command, str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "none.yaml: cannot be read" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("content", [b"\xff\xfe", b'version: "\\ud800\\n"', b"[" * 5000, b""])
def test_no_content_of_a_file_gives_a_traceback(
    content: bytes, tmp_path: Path, retention_policy: RetentionPolicy
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(content)
    for arguments in (["check", str(bad)], ["check", str(bad), "--json"], ["show", "--file", str(bad)]):
        result = retention_policy(*arguments)
        assert result.exit_code == 2
        assert "Traceback" not in result.stderr


def test_show_lists_every_row_and_marks_planned_and_assumed(retention_policy: RetentionPolicy) -> None:
    result = retention_policy("show")
    assert result.exit_code == 0
    policy = policy_file.load(FILE)
    title, header, *lines, legend = result.stdout.splitlines()
    assert title == f"Policy of {policy.organisation}, version {policy.version}"
    starts = [match.start() for match in re.finditer(r"(?<=  )\w|^ *\w", header)]
    assert len(starts) == 9
    table = [[line[a:b].strip() for a, b in pairwise([*starts, None])] for line in lines]
    rows = {(cells[1], cells[3]): cells for cells in table}
    for category in policy.categories:
        for rule in category.rules:
            cells = rows[category.id, rule.id]
            assert cells[0] == str(category.row)
            assert cells[4:7] == [str(rule.period), "assumed" if rule.assumed else "", category.worst_case(rule)]
            assert cells[7] == ("PLANNED" if category.status == "planned" else category.status)
            assert cells[8] == category.role
    for promise in policy.promises:
        assert rows[promise.id, "-"][7] == ("PLANNED" if promise.status == "planned" else promise.status)
    planned = [row.id for row in (*policy.categories, *policy.promises) if row.status == "planned"]
    assert f"{len(planned)} rows are PLANNED" in legend


def test_show_json_has_the_same_rows(retention_policy: RetentionPolicy) -> None:
    found = json.loads(retention_policy("show", "--json").stdout)
    policy = policy_file.load(FILE)
    assert found["digest"] == policy.digest
    assert {row["id"] for row in found["rows"]} == {row.id for row in (*policy.categories, *policy.promises)}
    assert {row["status"] for row in found["rows"]} == {"enforced", "planned", "documented"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("users", ["enforced", "lastActiveAt + P24M (assumed): erase-subject", "P24M + PT1H", "GDPR 6(1)(c)"]),
        ("cart-guest", ["touched + PT60S, where userId is absent: delete"]),
        ("devices", ["follows homes + P0D: delete", "as homes + P0D + PT15M"]),
        ("newsletter", ["enforced", "name Mailchimp, status planned"]),
        (
            "invoices",
            ["year-end issuedAt (Europe/Oslo) + P5Y (assumed): delete", "Norwegian Bookkeeping Act, section 13"],
        ),
        ("web-access-log", ["visit by line, ip ip, at at"]),
        ("exports", ["PLANNED"]),
        ("right-to-erase", ["enforced", "GDPR 17"]),
        ("right-of-access", ["PLANNED"]),
    ],
)
def test_show_of_one_row_says_everything_about_it(
    name: str, words: list[str], retention_policy: RetentionPolicy
) -> None:
    result = retention_policy("show", name)
    assert result.exit_code == 0
    assert [word for word in words if word not in result.stdout] == []
    assert json.loads(retention_policy("show", name, "--json").stdout)["id"] == name


def test_show_of_an_unknown_row_exits_2(retention_policy: RetentionPolicy) -> None:
    result = retention_policy("show", "nothing")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "no category or promise nothing" in result.stderr


def test_text_in_brackets_is_shown_as_it_is(tmp_path: Path, retention_policy: RetentionPolicy) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        FILE.read_text()
        .replace("Sensio AS", "A [red]B[/] Ltd", 1)
        .replace("says: Pictures of", "says: The [b]pictures of", 1)
    )
    assert "A [red]B[/] Ltd" in retention_policy("show", "--file", str(file)).stdout
    assert "The [b]pictures" in retention_policy("show", "camera-snapshots", "--file", str(file)).stdout


def test_the_committed_schema_is_what_the_code_says() -> None:
    # Out of step? `retention policy schema > policy.schema.json`
    assert (ROOT / "policy.schema.json").read_text() == schema_text()


def test_schema_prints_the_schema(retention_policy: RetentionPolicy) -> None:
    for arguments in (["schema"], ["schema", "--json"]):
        result = retention_policy(*arguments)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["required"] == ["version", "organisation", "categories"]


def test_wrong_usage_exits_2(retention_policy: RetentionPolicy) -> None:
    assert retention_policy("check", "a", "b").exit_code == 2
    assert retention_policy("frobnicate").exit_code == 2
