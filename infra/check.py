"""`make infra`: what can be known of the Bicep files before Azure sees them, without the network.

1. Syntax, by tree-sitter's grammar: no error and nothing missing in any file.
2. checkov's rules: each failure is fixed, or stands in infra/checkov.json with its reason. An exception that no failure
   needs any more is an error, and so is a file that checkov cannot parse: of such a file it says nothing, and exits 0.
3. The Bicep compiler, where it is at hand (`bicep`, or `az` with it); else the last line says that it was not.

Runs in a virtual environment of its own, with infra/requirements.txt: checkov pins a hundred packages. What the files
would deploy is held to the code by tests/infra.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

INFRA = Path(__file__).parent
EXCEPTIONS = INFRA / "checkov.json"
_CHECKOV = ("--framework", "bicep", "--compact", "--skip-download", "--output", "json")


def main() -> int:
    """Run the three; print what is wrong. The exit code is 1 when anything is."""
    files = sorted(INFRA.rglob("*.bicep"))
    wrong = [] if INFRA / "main.bicep" in files else ["infra/main.bicep is missing"]
    wrong += [each for file in files for each in syntax(file)]
    wrong += checkov(files)
    found, how = compiler()
    if found:
        wrong += compiled(found)
    for each in (*wrong, f"{len(files)} Bicep files, {len(wrong)} findings; {how}"):
        print(each)  # noqa: T201 - what it is called for
    return 1 if wrong else 0


def syntax(file: Path) -> Iterator[str]:
    """Yield where the grammar found an error, or missed something."""
    nodes: list[Node] = [Parser(Language(tree_sitter_bicep.language())).parse(file.read_bytes()).root_node]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if node.type == "ERROR" or node.is_missing:
            yield f"{file.relative_to(INFRA)}:{node.start_point[0] + 1}: no Bicep"


def checkov(files: Sequence[Path]) -> list[str]:
    """What checkov refuses without an exception, what it could not parse, and which exceptions nothing needs."""
    command = [str(Path(sys.executable).with_name("checkov")), "--directory", str(INFRA), *_CHECKOV]
    offline = {**os.environ, "CHECKOV_RUN_SCA_PACKAGE_SCAN": "false", "LOG_LEVEL": "ERROR"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=offline)  # noqa: S603 - our own tool
    try:
        report = json.loads(ran.stdout)
    except ValueError:
        return [f"checkov gave no report (exit code {ran.returncode}): {ran.stderr.strip()[-500:]}"]
    summary = report.get("summary", report)  # without any finding the report is its summary alone
    if summary["parsing_errors"]:
        unread = ", ".join(str(Path(each).name) for each in report.get("results", {}).get("parsing_errors", []))
        return [f"checkov could not parse {summary['parsing_errors']} of {len(files)} files: {unread}"]
    if not summary["resource_count"]:
        return ["checkov looked at no resource"]
    excepted = {(each["check"], each["resource"]): each["why"] for each in json.loads(EXCEPTIONS.read_text())}
    failed = {_key(each): each["check_name"] for each in report["results"]["failed_checks"]}
    wrong = [f"{check} {where}: {name}" for (check, where), name in failed.items() if (check, where) not in excepted]
    for (check, where), why in excepted.items():
        if (check, where) not in failed:
            wrong.append(f"{check} {where}: an exception that nothing needs")
        if not why:
            wrong.append(f"{check} {where}: an exception without a reason")
    return sorted(wrong)


def _key(failed: dict[str, Any]) -> tuple[str, str]:
    """The check's id, and `<file>:<symbolic name>`."""
    return failed["check_id"], f"{Path(failed['file_path']).name}:{failed['resource'].rpartition('.')[2]}"


def compiler() -> tuple[tuple[str, ...], str]:
    """The command of the Bicep compiler, if it is at hand, and what to say of it."""
    if shutil.which("bicep"):
        return ("bicep", "build", "--stdout"), "built by the Bicep compiler"
    if shutil.which("az"):  # without the compiler `az bicep build` would fetch it
        version = subprocess.run(("az", "bicep", "version"), capture_output=True, check=False)  # noqa: S607 - on the path
        if version.returncode == 0:
            return ("az", "bicep", "build", "--stdout", "--file"), "built by the Bicep compiler"
    return (), "not built: no Bicep compiler here"


def compiled(command: Sequence[str]) -> list[str]:
    """What the compiler says: its warnings count too."""
    build = (*command, str(INFRA / "main.bicep"))
    ran = subprocess.run(build, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
    said = ran.stderr.strip().splitlines()
    return said if ran.returncode == 0 else [*said, f"the compiler's exit code is {ran.returncode}"]


if __name__ == "__main__":
    sys.exit(main())
