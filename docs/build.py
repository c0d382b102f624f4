"""Makes the generated parts of the docs: `make docs`. A test holds the files to what this makes.

- docs/promises.md: each row of policy.yaml with its rules, worst case, code and the tests that prove it. A test says
  which row it proves by `@pytest.mark.promise(row)`.
- docs/requests.md: the blocks between `<!-- TYPE -->` and `<!-- /TYPE -->`, one for each message of queue `requests`;
  and docs/schemas/TYPE.json, its JSON Schema.
- docs/trust.md: the tables of roles and of their assignments.
- docs/cost.md: its tables, by docs/cost.py.
- docs/performance.md, its tables, and docs/performance.svg: by bench/report.py, of bench/results.json.
- infra/data/*.json: what infra/build.py makes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

from bench import report
from docs import cost
from infra.build import ASSIGNED, roles
from infra.build import outputs as infra_data
from shared import messages
from shared.message_forms import ByPeople
from shared.policy import Category, Policy, Promise
from shared.policy_file import load
from shared.policy_terms import BlobStore, Empty, Field, Follows, Name, NameOrStored, Rule, Stored, Touched, YearEnd

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
OTHER = "0b9f2d52-3c1e-4a86-8f3e-6f2f7a1c9d20"
ASKED = {
    "requested_by": "the customer, by phone",
    "identity_verified_by": "customer service, call-back",
    "received_at": "2026-01-31T09:30:00Z",
}
BY = {"by": "privacy office, A. Berg"}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "erase": {"subject": {"email": "ada@example.test"}, **ASKED},
    "restrict": {"subject": {"user_id": "u-1042"}, **ASKED, "until": "2026-06-30T00:00:00Z"},
    "hold": {"user_id": "u-1042", "owner": "legal", "reason": "dispute 2026-17", "until": "2027-01-31T00:00:00Z", **BY},
    "release": {"hold": OTHER, "reason": "the dispute is settled", **BY},
    "retry": {"request": OTHER, **BY},
    "resolve": {"request": OTHER, "subject": {"user_id": "u-1042"}, "reason": "confirmed by phone", **BY},
    "replay": {"backup_began": "2026-01-30T02:00:00Z", **BY},
    "run": {"categories": ["camera-snapshots"]},
    "approve": {"run": "camera-snapshots-20260131T090000Z-1a2b3c4d", **BY},
    "pause": {"category": "camera-snapshots", "reason": "a camera's clock is wrong", **BY},
    "resume": {"category": "camera-snapshots", **BY},
    "dismiss": {"parked": "0123456789abcdef", "reason": "sent again as it should be", **BY},
}
RIGHTS = {"export": 15, "correct": 16}
CODE = {
    14: "shared/requests/close.py, shared/requests/replay.py",
    17: "shared/requests/intake.py, shared/requests/erase.py",
    19: "shared/holding.py, shared/holds.py",
    21: "shared/policy.py",
}
"""What keeps a promise about conduct; the categories' code follows from their store."""


def outputs() -> dict[Path, str]:
    """Every generated file, by its path, as it must be now."""
    docs = ROOT / "docs"
    found = {docs / "promises.md": promises(load(ROOT / "policy.yaml"), proofs(ROOT / "tests"))}
    for name, form in forms().items():
        found[docs / "schemas" / f"{name}.json"] = json.dumps(_schema(form), indent=2) + "\n"
    found[docs / "requests.md"] = with_blocks((docs / "requests.md").read_text(encoding="utf-8"))
    found[docs / "trust.md"] = with_roles((docs / "trust.md").read_text(encoding="utf-8"))
    return found | infra_data() | cost.outputs() | report.outputs()


# ---------------------------------------------------------------- promises


Proof = tuple[str, frozenset[str]]


def proofs(tests: Path) -> dict[int, list[Proof]]:
    """The tests marked as proof of a row, by row: `file::test`, and its categories (none: all of the row)."""
    found: dict[int, list[Proof]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for row, categories in _marked(node):
                    name = f"{path.relative_to(tests.parent)}::{node.name}"
                    found.setdefault(row, []).append((name, categories))
    return found


def of_row(proved: Mapping[int, list[Proof]], row: Category | Promise) -> list[str]:
    """The tests that prove this very row."""
    return [name for name, categories in proved.get(row.row, []) if not categories or row.id in categories]


def _marked(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, frozenset[str]]]:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.promise":
            row, *categories = [ast.literal_eval(each) for each in mark.args]
            yield row, frozenset(categories)


def promises(policy: Policy, proved: Mapping[int, list[Proof]]) -> str:
    """docs/promises.md."""
    rows = sorted([*policy.categories, *policy.promises], key=lambda row: row.row)
    intro = (
        "# Promises\n\n"
        "Generated from [policy.yaml](../policy.yaml) by `make docs`; a test holds the two together.\n\n"
        f"Policy of {policy.organisation}, version {policy.version}. *Assumed* marks what the privacy policy leaves "
        "open: a default that the company must confirm.\nThe worst case is the period and the time between two sweeps; "
        "what the settings of a store add to it is measured by `retention posture`.\n\n"
        "| Row | Clause | What | Rule | At the latest | On request | Status |\n|---|---|---|---|---|---|---|\n"
    )
    planned = {row.row for row in rows if row.status == "planned"}
    parts = [intro, *(_row(row, planned) for row in rows)]
    parts.append("\n## Code and proof\n\n| Row | What | Code | Tests that prove it |\n|---|---|---|---|\n")
    parts += [_proof(row, of_row(proved, row)) for row in rows if row.status != "planned"]
    return "".join(parts)


def _row(row: Category | Promise, planned: AbstractSet[int]) -> str:
    says = f"`{row.id}`: {row.says}"
    if isinstance(row, Promise):
        return _cells(row.row, row.clause, says, "", "", row.note, row.status)
    on_request = row.on_request
    for right, number in RIGHTS.items():
        if number in planned:
            on_request = re.sub(rf"\b{right}\b", f"{right} *(planned)*", on_request)
    rules = [f"{_start(each)} → {each.period}{' *(assumed)*' if each.assumed else ''}" for each in row.rules]
    worst = [row.worst_case(rule) for rule in row.rules]
    also = "".join(f"; {each.name}: {each.status}" for each in row.suppliers)
    return _cells(row.row, row.clause, says, "<br>".join(rules), "<br>".join(worst), on_request, f"{row.status}{also}")


def _start(rule: Rule) -> str:
    match rule.start:
        case Name():
            return "the time in the name"
        case NameOrStored():
            return "the earlier of the time in the name and the creation"
        case Stored():
            return "stored"
        case Touched():
            return "last written"
        case Field(field=name):
            return f"`{name}`"
        case YearEnd(field=name, zone=zone):
            return f"the end of the year of `{name}` ({zone})"
        case Empty(field=name):
            return f"the last of `{name}` gone"
        case Follows(category=category):
            return f"with `{category}`"


def _proof(row: Category | Promise, tests: list[str]) -> str:
    code = CODE.get(row.row, "") if isinstance(row, Promise) else _code(row)
    links = [f"[{Path(path).name}](../{path})" for path in code.split(", ") if path]
    proofs = [f"[{name.partition('::')[2]}](../{name.partition('::')[0]})" for name in tests]
    return _cells(row.row, f"`{row.id}`", ", ".join(links), "<br>".join(proofs))


def _code(category: Category) -> str:
    if category.store.kind == "own":
        by_ledger = category.store.swept_by == "ledger"
        return "shared/ledger/retire.py, shared/ledger/log.py" if by_ledger else "shared/stores/own_records.py"
    listing = "blob_records.py" if isinstance(category.store, BlobStore) else "cosmos_records.py"
    return f"shared/planner.py, shared/sweep.py, shared/stores/{listing}"


def _cells(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


# ---------------------------------------------------------------- messages


def forms() -> dict[str, type[Any]]:
    """The messages that people send, by type."""
    return {form.model_fields["type"].annotation.__args__[0]: form for form in get_args(ByPeople)}


def with_blocks(text: str) -> str:
    """The text with each message's block made anew. Raises ValueError for a message without a block."""
    for name, form in forms().items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not block.search(text):
            message = f"docs/requests.md has no block for {name}"
            raise ValueError(message)
        made = _block(name, form)
        text = block.sub(lambda found, made=made: f"{found[1]}{made}{found[2]}", text)  # type: ignore[misc]
    return text


def with_roles(text: str) -> str:
    """The text with the tables of roles and assignments made anew. Raises ValueError where it has no place for them."""
    before, begin, rest = text.partition("<!-- roles -->\n")
    _, end, after = rest.partition("<!-- /roles -->")
    if not begin or not end:
        message = "docs/trust.md has no block for the roles"
        raise ValueError(message)
    found = roles(load(ROOT / "policy.yaml"))
    definitions = found["definitions"] | found["cosmosDefinitions"]
    rows = [row for kind in ASSIGNED for row in found[kind]]
    table = "".join(
        _cells(f"`{row['who']}`", definitions[row["role"]]["name"], _where(row), row["why"]) for row in rows
    )
    said = "".join(_cells(each["name"], _kind(each), each["says"]) for each in definitions.values())
    return (
        f"{before}{begin}\n| Who | Role | On | Why |\n|---|---|---|---|\n{table}\n"
        f"| Role | | What it lets do |\n|---|---|---|\n{said}\n{end}{after}"
    )


def _where(row: Mapping[str, str]) -> str:
    """What an assignment is on, in words."""
    match row:
        case {"account": account, "container": container}:
            return f"container `{container}` of storage account `{account}`"
        case {"account": "cosmos"}:
            return "the Cosmos DB account"
        case {"account": account}:
            return f"storage account `{account}`"
        case {"container": ""}:
            return "the Cosmos DB account"
        case {"container": container}:
            return f"Cosmos DB container `{container}`"
        case {"queue": queue}:
            return f"queue `{queue}`"
        case {"topic": topic}:
            return f"topic `{topic}`"
        case {"subscription": subscription}:
            return f"subscription `{subscription}` of topic `audit`"
    return "the key vault" if row["role"].startswith("secret") else "Application Insights"


def _kind(definition: Mapping[str, Any]) -> str:
    if "builtIn" in definition:
        return "built in"
    return "; ".join(["our own", *(each.rpartition("/containers/")[2] for each in definition["dataActions"])])


def _block(name: str, form: type[Any]) -> str:
    number = UUID(bytes=hashlib.sha256(f"example {name}".encode()).digest()[:16], version=4)  # one of its own
    example = {"retention": {"version": 1, "type": name, "id": str(number), **EXAMPLES[name]}}
    body = json.dumps(example, indent=2)
    messages.parse(body.encode(), now=NOW)  # an example that would be parked is none
    fields = {field: info for field, info in form.model_fields.items() if field not in ("version", "type")}
    rows = "".join(_field(name, field, info) for field, info in fields.items())
    return (
        f"\n{' '.join((form.__doc__ or '').split())}\n\n```json\n{body}\n```\n\n"
        f"| Field | | What to write |\n|---|---|---|\n{rows}\n[JSON Schema](schemas/{name}.json)\n\n"
    )


def _field(kind: str, name: str, info: Any) -> str:
    needed = "required" if info.is_required() else "optional"
    return _cells(f"`{name}`", needed, messages.remedy(kind, name))


def _schema(form: type[Any]) -> dict[str, Any]:
    inner = form.model_json_schema(ref_template="#/$defs/{model}")
    defs = inner.pop("$defs", {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"retention message: {inner['properties']['type']['const']}",
        "type": "object",
        "additionalProperties": False,
        "required": ["retention"],
        "properties": {"retention": inner},
        "$defs": defs,
    }


def main() -> None:
    """Write what has changed."""
    for path, text in outputs().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
