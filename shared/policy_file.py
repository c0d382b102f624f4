"""policy.yaml from bytes to a Policy: syntax, types and sense, with every finding at once.

`inspect` never raises; `parse` and `load` raise PolicyError, and nothing else, on any bytes. A finding names file,
line, field path and remedy. The digest is over the exact bytes, so `sha256sum policy.yaml` reproduces it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pydantic
from pydantic_core import ErrorDetails

from shared import policy_checks, strict_yaml
from shared.policy import Category, Document, Finding, Policy, PolicyError, Promise, Row
from shared.policy_fields import PATTERNS
from shared.strict_yaml import Place, Remark, Tree

_QUOTE = "'"  # pydantic puts the allowed words in it
_TAGS = ("kind", "from", "by")
_Row = TypeVar("_Row", bound=Row)

_REMEDIES = {
    "string_type": "must be text; put it in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number, without quotes and leading zeros",
    "tuple_type": "must be a list; begin each line of it with a hyphen",
    "dict_type": "must be keys with values; write key: value below it",
    "mapping_type": "must be keys with values; write key: value below it",
    "model_type": "must be keys with values; write key: value below it",
    "model_attributes_type": "must be keys with values; write key: value below it",
    "string_too_short": "is too short; {min_length} or more characters",
    "string_too_long": "is too long; {max_length} characters at most",
    "greater_than_equal": "is too small; write {ge} or more",
    "less_than_equal": "is too large; write {le} or less",
    "missing": "is missing; add it",
}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file says. `policy` is None when there are findings; warnings refuse nothing."""

    policy: Policy | None
    findings: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def load(path: Path) -> Policy:
    """Read and check a policy file. Raises PolicyError that names every finding, also when it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); name the policy's file"
        raise PolicyError(message) from error
    return parse(content, file=str(path))


def parse(content: bytes, *, file: str = "policy.yaml") -> Policy:
    """Check a policy's bytes. Raises PolicyError, with one line per finding; `file` is what they call the file."""
    inspection = inspect(content, file=file)
    if inspection.policy is None:
        raise PolicyError("\n".join(map(str, inspection.findings)), findings=inspection.findings)
    return inspection.policy


def inspect(content: bytes, *, file: str = "policy.yaml") -> Inspection:
    """Look at a policy's bytes and tell everything: the policy or its findings, and warnings. Never raises."""
    # 1. The syntax: values with their lines.
    tree = strict_yaml.read(content)
    remarks = list(tree.remarks)

    # 2. The types: what is well-formed is looked at further even when something else is not.
    document: Document | None = None
    try:
        document = Document.model_validate(tree.data)
        categories = dict(enumerate(document.categories))
        promises = dict(enumerate(document.promises))
    except pydantic.ValidationError as error:
        if tree.data is not None or not remarks:
            refused = {remark.place for remark in remarks}
            found = [_remark(detail, tree.data) for detail in error.errors()]
            remarks.extend(remark for remark in found if remark.place not in refused)
        categories = _well_formed(Category, tree.data, "categories")
        promises = _well_formed(Promise, tree.data, "promises")

    # 3. The sense.
    ids = {row["id"] for row in _rows(tree.data, "categories") if isinstance(row.get("id"), str)}
    remarks.extend(policy_checks.mistakes(categories, promises, ids=ids))
    warnings = _findings(policy_checks.warnings(categories, promises), tree, file)
    findings = _findings(remarks, tree, file)
    if document is None or findings:
        return Inspection(policy=None, findings=findings, warnings=warnings)
    policy = Policy(
        version=document.version,
        organisation=document.organisation,
        categories=document.categories,
        promises=document.promises,
        digest="sha256:" + hashlib.sha256(content).hexdigest(),
    )
    return Inspection(policy=policy, findings=(), warnings=warnings)


def _findings(remarks: Iterable[Remark], tree: Tree, file: str) -> tuple[Finding, ...]:
    """Give each remark its line, and put them in the order of the file."""
    found = [
        Finding(file=file, line=remark.line or tree.line(remark.place), path=_path(remark.place), text=remark.text)
        for remark in remarks
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.line))


def _path(place: Place) -> str:
    """`categories[2].rules[0].period`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".")


# ---------------------------------------------------------------- rows that are well-formed on their own


def _rows(data: Any, key: str) -> tuple[Any, ...]:
    rows = data.get(key) if isinstance(data, dict) else ()
    return tuple(row if isinstance(row, dict) else {} for row in rows) if isinstance(rows, tuple) else ()


def _well_formed(model: type[_Row], data: Any, key: str) -> dict[int, _Row]:
    found: dict[int, _Row] = {}
    for number, row in enumerate(_rows(data, key)):
        try:
            found[number] = model.model_validate(row)
        except pydantic.ValidationError:
            continue  # the whole document's validation has named it
    return found


# ---------------------------------------------------------------- pydantic's errors, in the policy's words


def _remark(detail: ErrorDetails, data: Any) -> Remark:
    place = _place(detail["loc"], data)
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:  # 'kind', or with its alias: 'from_' | 'from'
        place = (*place, detail["ctx"]["discriminator"].split("'")[-2])
    return Remark(place=place, text=_words(detail, place))


def _place(location: tuple[int | str, ...], data: Any) -> Place:
    """Pydantic's location without the union tags that it puts in, so that each step is one in the file."""
    place: list[int | str] = []
    tagged = False
    for number, step in enumerate(location):
        last = number == len(location) - 1
        if step == "[key]":
            continue
        if isinstance(data, dict) and not last and not tagged and step in [data.get(tag) for tag in _TAGS]:
            tagged = True
            continue
        place.append(step)
        tagged = False
        if isinstance(data, dict):
            data = data.get(str(step))
        elif isinstance(data, tuple) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            data = None
    return tuple(place)


def _words(detail: ErrorDetails, place: Place) -> str:
    kind, given = detail["type"], _shown(detail["input"])
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        near = get_close_matches(str(place[-1]), _every_key(), n=1)
        known = not near or near[0] == place[-1]
        return "does not belong here; remove it" if known else f'is no key of the policy; did you mean "{near[0]}"?'
    if kind in {"literal_error", "enum"}:
        return f"{given} is not allowed; write {context['expected'].replace(_QUOTE, '')}"
    if kind == "union_tag_invalid":
        return f'"{context["tag"]}" is not allowed; write one of {context["expected_tags"].replace(_QUOTE, "")}'
    if kind == "union_tag_not_found":
        return _REMEDIES["missing"]
    if kind == "string_pattern_mismatch":
        return f"{given} is not allowed; write {PATTERNS[context['pattern']]}"
    if kind == "value_error":
        return str(context["error"])
    return _REMEDIES[kind].format(**context) if kind in _REMEDIES else f"{detail['msg'].lower()}; correct it"


def _shown(value: object) -> str:
    """A value of the file, short enough for one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, tuple)):
        return "this"
    return f'"{value}"' if isinstance(value, str) else "an empty value" if value is None else str(value)


def _keys(schema: Mapping[str, Any]) -> set[str]:
    return {key for model in (schema, *schema["$defs"].values()) for key in model.get("properties", ())}


def schema() -> dict[str, Any]:
    """The JSON Schema of policy.yaml, for editors: what the types say. `check` says more."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Document.model_json_schema()}


@cache
def _every_key() -> list[str]:
    return sorted(_keys(schema()))
