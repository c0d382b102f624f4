"""YAML reduced to what a policy needs, read with line numbers: mappings, lists, text, whole numbers, true/false, null.

Refused, each with its line: bytes that are no UTF-8, several documents, directives, tags, anchors and aliases, keys
that are no text, a key given twice, nesting without end. Nothing is guessed: a date, `yes`, `1.5` or `007` is text as
written. The syntax is YAML 1.2, by ruamel.yaml's event parser. Pure: bytes in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

LARGEST = 1_048_576
"""Bytes of the largest file read."""

_DEEPEST = 20
_NODES = (ScalarEvent, SequenceStartEvent, MappingStartEvent)
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_PLAIN = {"": None, "~": None, "null": None, "true": True, "false": False}

Place = tuple[str | int, ...]
"""Where in the document: keys and list positions from the root."""


@dataclass(frozen=True, kw_only=True)
class Remark:
    """Something wrong at a place, and what to do. Line 0: the line of the place, where that is known."""

    place: Place
    text: str
    line: int = 0


@dataclass(kw_only=True)
class Tree:
    """A document: dicts, tuples and scalars; the line on which each place begins; what was refused on the way."""

    data: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """The line of the place, or of the nearest place around it. Lines count from 1."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def remark(self, place: Place, line: int, text: str) -> None:
        """Note something refused."""
        self.remarks.append(Remark(place=place, line=line, text=text))


def read(content: bytes) -> Tree:
    """Read a document. Never raises: what is wrong stands in the remarks, and `data` holds what could be read."""
    tree = Tree()
    if len(content) > LARGEST:
        tree.remark((), 1, f"the file is larger than {LARGEST} bytes; shorten it")
        return tree
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        tree.remark((), line, f"byte {error.start} is no UTF-8; save the file as UTF-8")
        return tree
    try:
        _document(YAML(typ="safe", pure=True).parse(text), tree)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        tree.remark((), mark.line + 1 if mark else 1, f"no YAML: {error.problem or error.context}; correct the syntax")
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        tree.remark((), line, "no YAML: a control character; remove it")
    except (YAMLError, ValueError, OverflowError):  # an escape such as "\\UFFFFFFFF", from inside the parser
        tree.remark((), 1, "no YAML: an escape that is no character; correct the syntax")
    return tree


def _document(events: Iterator[Event], tree: Tree) -> None:
    """Read the one document. Raises YAMLError."""
    documents = 0
    for event in events:
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if event.version or event.tags:
                tree.remark((), _line(event), "directives are refused; remove the line that begins with %")
        elif isinstance(event, (AliasEvent, *_NODES)):
            value = _value(event, events, (), tree)
            if documents == 1:
                tree.data = value
            else:
                tree.remark((), _line(event), "a second document; keep one")


def _value(event: Event, events: Iterator[Event], place: Place, tree: Tree) -> Any:
    """Read the node that begins with `event`. Raises YAMLError."""
    line = _line(event)
    tree.lines.setdefault(place, line)
    if isinstance(event, AliasEvent):
        tree.remark(place, line, "aliases are refused; write the value out")
        return None
    if not isinstance(event, _NODES):
        message = "a value is missing"
        raise MarkedYAMLError(problem=message, problem_mark=event.start_mark)
    if event.anchor:
        tree.remark(place, line, "anchors are refused; remove the &name")
    if event.tag:
        tree.remark(place, line, "tags are refused; remove the !tag")
    if len(place) > _DEEPEST:
        message = f"nested deeper than {_DEEPEST} levels"
        raise MarkedYAMLError(problem=message, problem_mark=event.start_mark)
    if isinstance(event, SequenceStartEvent):
        return _sequence(events, place, tree)
    if isinstance(event, MappingStartEvent):
        return _mapping(events, place, tree)
    return _scalar(event)


def _sequence(events: Iterator[Event], place: Place, tree: Tree) -> tuple[Any, ...]:
    items: list[Any] = []
    while not isinstance(event := next(events), SequenceEndEvent):
        items.append(_value(event, events, (*place, len(items)), tree))
    return tuple(items)


def _mapping(events: Iterator[Event], place: Place, tree: Tree) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(event := next(events), MappingEndEvent):
        line = _line(event)
        if not isinstance(event, ScalarEvent) or event.anchor or event.tag:
            tree.remark(place, line, "a key that is no plain text; write a plain word")
            _value(event, events, (*place, "?"), Tree())
            _value(next(events), events, (*place, "?"), Tree())
            continue
        key = str(event.value)
        here = (*place, key)
        if key in found:
            tree.remark(here, line, f"given twice, first on line {tree.line(here)}; keep one")
            _value(next(events), events, here, Tree())
            continue
        tree.lines[here] = line
        found[key] = _value(next(events), events, here, tree)
    return found


def _scalar(event: ScalarEvent) -> str | int | bool | None:
    """A quoted scalar is text; of plain ones only null, true, false and whole numbers are anything else."""
    text = str(event.value)
    if event.style is not None:
        return text
    if text in _PLAIN:
        return _PLAIN[text]
    return int(text) if _WHOLE.fullmatch(text) else text


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1
