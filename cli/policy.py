"""`retention policy`: check the policy file, show what it promises, print its JSON Schema.

A wrong policy ends with 2, as everywhere: `check` then has all findings on stdout, one after the other or as JSON.
Rows that are only planned say so in every view.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output, settings
from shared import policy_file
from shared.errors import ConfigError
from shared.policy import Category, Policy, Promise
from shared.policy_file import Inspection
from shared.policy_terms import Follows, Rule, YearEnd

app = typer.Typer(help="Check, show and describe the policy.", no_args_is_help=True)

_PLANNED = "PLANNED"

File = Annotated[Path | None, typer.Argument(help="The policy's file; without it, the setting POLICY_FILE.")]
FileOption = Annotated[Path | None, typer.Option("--file", help="The policy's file; else the setting POLICY_FILE.")]


@app.command()
def check(file: File = None, *, as_json: output.Json = False) -> None:
    """Check a policy file and tell all findings and warnings at once.

    With --json the findings are in the document, also where the exit code is 2 for them. Exit codes: 0 fine (also with
    warnings), 2 there are findings, or the file cannot be read.
    """
    path = _path(file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name the policy's file") from None
    inspection = policy_file.inspect(content, file=str(path))
    if as_json:
        output.document(_checked(path, inspection))
    else:
        for finding in inspection.findings:
            output.say(str(finding))
        for warning in inspection.warnings:
            output.say(f"warning: {warning}")
        output.say(_verdict(path, inspection))
    if inspection.policy is None:
        raise typer.Exit(output.Code.USE)


@app.command()
def show(
    category: Annotated[str | None, typer.Argument(help="Show one category or promise, in full.")] = None,
    *,
    file: FileOption = None,
    as_json: output.Json = False,
) -> None:
    """Show each promise with its rules, periods, worst cases and status.

    Exit codes: 0 fine, 2 no such category or promise, or the policy is refused or cannot be read.
    """
    policy = policy_file.load(_path(file))
    if category is not None:
        _show_one(policy, category, as_json=as_json)
        return
    rows = [*_lines(policy)]
    if as_json:
        output.document({**_head(policy), "rows": rows})
        return
    output.say(f"Policy of {policy.organisation}, version {policy.version}")
    output.table(
        ("row", "category", "clause", "rule", "period", "assumed", "worst case", "status", "role"),
        [
            (
                str(row["row"]),
                row["id"],
                row["clause"],
                row["rule"] or "-",
                row["period"] or "-",
                "assumed" if row["assumed"] else "",
                row["worst_case"] or "-",
                _status(row["status"]),
                row["role"],
            )
            for row in sorted(rows, key=lambda line: line["row"])
        ],
        right=("row",),
    )
    output.say(_legend(policy))


@app.command()
def schema(*, as_json: output.Json = False) -> None:  # noqa: ARG001 - the schema is JSON with and without --json
    """Print the JSON Schema of policy.yaml, for editors. Exit codes: 0 always."""
    typer.echo(schema_text(), nl=False)


def schema_text() -> str:
    """The exact text of policy.schema.json."""
    return json.dumps(policy_file.schema(), indent=2, ensure_ascii=False) + "\n"


# ---------------------------------------------------------------- what is said


def _rows(policy: Policy) -> list[Category | Promise]:
    return [*policy.categories, *policy.promises]


def _lines(policy: Policy) -> Iterator[dict[str, Any]]:
    """One line for each rule, and one for each category without rules and each promise about conduct."""
    for category in policy.categories:
        for rule in category.rules or (None,):
            yield _line(category, rule)
    for promise in policy.promises:
        yield _line(promise, None)


def _line(row: Category | Promise, rule: Rule | None) -> dict[str, Any]:
    return {
        "row": row.row,
        "id": row.id,
        "kind": "category" if isinstance(row, Category) else "promise",
        "clause": row.clause,
        "rule": rule.id if rule else None,
        "period": str(rule.period) if rule else None,
        "assumed": rule.assumed if rule else False,
        "worst_case": row.worst_case(rule) if rule and isinstance(row, Category) else None,
        "status": row.status,
        "role": row.role,
        "legal_basis": row.legal_basis,
    }


def _head(policy: Policy) -> dict[str, Any]:
    return {"organisation": policy.organisation, "version": policy.version, "digest": policy.digest}


def _checked(path: Path, inspection: Inspection) -> dict[str, Any]:
    policy = inspection.policy
    return {
        "file": str(path),
        "valid": policy is not None,
        **(_head(policy) if policy else {}),
        "findings": [dataclasses.asdict(finding) for finding in inspection.findings],
        "warnings": [dataclasses.asdict(warning) for warning in inspection.warnings],
        "rules": [line for line in _lines(policy) if line["rule"]] if policy else [],
    }


def _verdict(path: Path, inspection: Inspection) -> str:
    policy = inspection.policy
    if policy is None:
        return f"{path}: refused, {len(inspection.findings)} to correct"
    stays = [
        f"  {line['rule']:<32} {line['worst_case']}"
        + (", assumed" if line["assumed"] else "")
        + (f"  {_PLANNED}" if line["status"] == "planned" else "")
        for line in _lines(policy)
        if line["rule"]
    ]
    return "\n".join(
        [
            f"{path}: valid, version {policy.version} of {policy.organisation}, {policy.digest}",
            _legend(policy),
            "The longest that a record stays after its start (period + cadence, before what the store's settings add):",
            *stays,
        ]
    )


def _legend(policy: Policy) -> str:
    planned = sum(row.status == "planned" for row in _rows(policy))
    assumed = sum(rule.assumed for category in policy.categories for rule in category.rules)
    return (
        f"{len(policy.enforced())} categories are enforced; {planned} rows are {_PLANNED}: written down, not carried "
        f"out yet. {assumed} periods are assumed: the company must confirm them."
    )


def _status(status: str) -> str:
    return _PLANNED if status == "planned" else status


def _show_one(policy: Policy, name: str, *, as_json: bool) -> None:
    row = next((row for row in _rows(policy) if row.id == name), None)
    if row is None:
        raise ConfigError(f"the policy has no category or promise {name}; `retention policy show` lists them")
    if as_json:
        more = (
            {"worst_cases": {rule.id: row.worst_case(rule) for rule in row.rules}} if isinstance(row, Category) else {}
        )
        output.document({**row.model_dump(mode="json", by_alias=True, exclude_none=True), **more})
        return
    fields = row.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"rules"})
    lines = [
        (key.replace("_", " "), _status(value) if key == "status" else _plain(value))
        for key, value in fields.items()
        if value not in ("", [], {})
    ]
    if isinstance(row, Category):
        for rule in row.rules:
            lines += [(f"rule {rule.id}", _rule(rule)), ("  worst case", row.worst_case(rule))]
    output.table(("property", "value"), lines)


def _rule(rule: Rule) -> str:
    start = rule.start
    field = f" {start.category}" if isinstance(start, Follows) else f" {getattr(start, 'field', '')}".rstrip()
    if isinstance(start, YearEnd):
        field += f" ({start.zone})"
    condition = ""
    if rule.where is not None:
        equals = rule.where.equals
        test = f'is "{equals}"' if equals is not None else "is absent" if rule.where.absent else "is there"
        condition = f", where {rule.where.field} {test}"
    return f"{start.from_}{field} + {rule.period}{' (assumed)' if rule.assumed else ''}{condition}: {rule.action}"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        nested = any(isinstance(inner, dict) for inner in value.values())
        return ("; " if nested else ", ").join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def _path(file: Path | None) -> Path:
    return file if file is not None else settings.config().policy_file
