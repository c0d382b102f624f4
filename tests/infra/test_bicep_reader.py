"""The reader of Bicep reads as the language says, where other parsers go wrong, and refuses what it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bicep import BicepError, loose, read
from bicep_values import SUBSCRIPTION, Names, value
from on_paper import Deployment

HERE = Path("made-up.bicep")
KNOWN: dict[str, Any] = {
    "a": {"b": True, "c": None, "list": [1, 2, 3]},
    "rows": [{"who": "x", "on": True}, {"who": "y", "on": False}, {"who": "x", "on": False}],
    "text": "one",
}


def valued(text: str) -> Any:
    source = read(HERE, f"var it = {text}\n")
    names = Names(outer=KNOWN.__getitem__, folder=HERE.parent, here="here", group=lambda: {"id": SUBSCRIPTION})
    return value(source.declared["it"].value, names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!a.b", False),
        ("!a.b || a.list[0] == 1", True),
        ("filter(rows, r => r.who == 'x' && !r.on)", [{"who": "x", "on": False}]),
        ("map(rows, (r, i) => '${r.who}-${i}')", ["x-0", "y-1", "x-2"]),
        ("[length(rows)]", [3]),
        ("[\n  length(rows) // how many\n  a.list[1]\n]", [3, 2]),
        ("[for r in rows: if (r.on) { name: r.who }]", [{"name": "x"}]),
        ("[for (r, i) in rows: i]", [0, 1, 2]),
        ("a.c ?? text == 'one' ? 1 : 2", 1),
        ("a.?missing ?? 'none'", "none"),
        ("a.list[?9] ?? 0", 0),
        ("1 + 2 * 3 - 4", 3),
        ("{ '${text}-two': 1, b: [1] }", {"one-two": 1, "b": [1]}),
        ("'it\\'s ${toUpper(text)}\\n'", "it's ONE\n"),
        ("toObject(rows, r => r.who, r => r.on)", {"x": False, "y": False}),
        ("a.b\n  ? 'yes'\n  : 'no'", "yes"),
        ("union({ a: { x: 1 } }, { a: { y: 2 } })", {"a": {"x": 1, "y": 2}}),
        ("subscription().id", SUBSCRIPTION),
    ],
)
def test_an_expression_has_the_value_that_the_language_gives_it(text: str, expected: object) -> None:
    assert valued(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "nobody(1)",
        "a.missing",
        "a.list[9]",
        "'${a}'",
        "text && true",
        "{ a: 1, a: 2 }",
        "...a",
        "'''x'''",
        "[1 2]",
        "a.list +",
    ],
)
def test_what_cannot_be_right_is_refused(text: str) -> None:
    with pytest.raises(BicepError):
        valued(text)


@pytest.mark.parametrize(
    "text", ["func f() string => 'a'\n", "type t = string\n", "import 'x'\n", "var a = 1\nvar a = 2\n"]
)
def test_declarations_that_are_not_known_or_twice_there_are_refused(text: str) -> None:
    with pytest.raises(BicepError):
        read(HERE, text)


def test_the_other_parser_names_the_line_that_is_no_bicep() -> None:
    assert loose("var a = 1\nvar b = {\n  c 1\n}\n") != []
    assert loose("var a = 1\n") == []


HEAD = "targetScope = 'subscription'\nparam on bool\n"
GROUP = "resource g 'Microsoft.Resources/resourceGroups@2025-04-01' = {\n  name: 'g'\n}\n"
STORE = """resource s 'Microsoft.Storage/storageAccounts@2025-01-01' = if (on) {
  name: 'store'
  resource blobs 'blobServices' = {
    name: 'default'
  }
}
"""


def on_paper(tmp_path: Path, main: str, module: str = "", **parameters: Any) -> Deployment:
    (tmp_path / "main.bicep").write_text(HEAD + GROUP + main)
    (tmp_path / "m.bicep").write_text(f"param on bool\n{module}")
    return Deployment({"on": True, **parameters}, main=tmp_path / "main.bicep")


MODULE = "module m 'm.bicep' = {\n  name: 'm'\n  scope: g\n  params: { on: on }\n}\n"


def test_ids_follow_scope_parent_and_nesting(tmp_path: Path) -> None:
    child = "resource c 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {\n  parent: s::blobs\n  name: 'c'\n}\n"
    deployment = on_paper(tmp_path, MODULE, STORE + child)
    store = f"{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/store"
    assert [each.id for each in deployment.resources[1:]] == [
        f"{store}/blobServices/default",
        store,
        f"{store}/blobServices/default/containers/c",
    ]


def test_what_a_condition_leaves_out_is_not_deployed_and_cannot_be_asked(tmp_path: Path) -> None:
    assert len(on_paper(tmp_path, MODULE, STORE, on=False).resources) == 1
    with pytest.raises(BicepError, match="left out"):
        on_paper(tmp_path, MODULE, STORE + "output o string = s.properties.primaryEndpoints.blob\n", on=False)


@pytest.mark.parametrize(
    ("main", "module", "says"),
    [
        (MODULE.replace("{ on: on }", "{ on: on, more: 1 }"), "", "no parameter more"),
        (MODULE.replace("{ on: on }", "{}"), "", "on is not given"),
        (MODULE.replace("m.bicep", "n.bicep"), "", "does not exist"),
        (MODULE, "targetScope = 'subscription'\n", "for a subscription"),
        (MODULE, STORE + STORE.replace("resource s ", "resource t "), "the same resource"),
        (MODULE, "output o string = nobody\n", "nobody is not declared"),
        (MODULE, "var a = b\nvar b = a\n", "needs"),
        (MODULE, STORE.replace("storageAccounts@", "storageAccounts/blobServices@"), "2 names"),
        (MODULE + "output o string = m.outputs.none\n", "", "no output none"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(tmp_path: Path, main: str, module: str, says: str) -> None:
    with pytest.raises(BicepError, match=says):
        on_paper(tmp_path, main, module)
