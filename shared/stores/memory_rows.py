"""What the fake RecordStore keeps of one blob or item, and what it reads from it. Naive on purpose, and pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shared.model import Scope, ScopeKind, parse_utc
from shared.policy import Category
from shared.policy_terms import (
    Empty,
    Field,
    FieldIs,
    Line,
    Member,
    Name,
    NameOrStored,
    NamePart,
    Partition,
    Rule,
    Stored,
    Touched,
    YearEnd,
)
from shared.stores.lines import Searched, search, visit_of
from shared.stores.reading import FAR_AHEAD, NO_TIME, Told, first_far_ahead
from shared.year_end import end_of_year

Key = tuple[str, str]  # partition ("" for a blob), name or id


@dataclass(kw_only=True)
class Held:
    """One blob or item; `fields` is empty for a blob, `named`, `times` and `data` for an item.

    `over` is the end of the time in a blob's name, `line` how its category finds lines.
    """

    etag: str
    stored: datetime
    fields: dict[str, Any]
    named: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, datetime] = field(default_factory=dict)
    data: bytes = b""
    line: Line | None = None
    over: datetime | None = None
    outside: bool = False
    blocked: Literal["lease", "immutability", "legal-hold", "blob-type"] | None = None


def start_of(held: Held, rule: Rule) -> datetime | None:
    """The starting point of the record's period under a rule; None where it has none."""
    match rule.start:
        case Name(field=name) | NameOrStored(field=name):
            return min(held.times[name], held.stored)
        case Field(field=name):
            return _time(held, name, parse_utc)
        case YearEnd(field=name, zone=zone):
            return _time(held, name, lambda text: end_of_year(text, zone))
        case Stored() | Touched() | Empty():
            return held.stored
        case _:
            return None


def _time(held: Held, name: str, read: Callable[[str], datetime]) -> datetime | None:
    try:
        return read(held.fields[name])
    except (KeyError, TypeError, ValueError):
        return None


def told(held: Held, partition: str, finder: Told) -> object:
    """What a record says where the finder would look."""
    match finder:
        case Partition():
            return partition
        case FieldIs(field=name):
            return held.fields.get(name)
        case NamePart(field=name):
            return held.named.get(name)


def line_of(category: Category) -> Line | None:
    """How the category finds lines, if it does."""
    return next((finder for finder in category.find.values() if isinstance(finder, Line)), None)


def searched_in(held: Held, scope: Scope) -> Searched | None:
    """The lines of a visit in a blob of lines; None for any other record or scope."""
    if held.line is None or scope.kind is not ScopeKind.VISIT:
        return None
    return search(held.data, held.line, visit_of(scope))


def oddity(held: Held, rule: Rule, now: datetime) -> str | None:
    """What a listing finds strange about a record, if anything."""
    if isinstance(rule.start, Name | NameOrStored) and not held.outside:
        return "named later than stored" if held.times[rule.start.field] > held.stored else None
    if isinstance(rule.start, Field | YearEnd) and held.fields.get(rule.start.field) is not None:
        if not about(held, rule):
            return None
        if start_of(held, rule) is None:
            return NO_TIME
        return FAR_AHEAD if held.fields[rule.start.field] >= first_far_ahead(now) else None
    return None


def about(held: Held, rule: Rule) -> bool:
    """Whether the rule is about this record at all."""
    return _selected(held, rule) and (not isinstance(rule.start, Empty) or held.fields.get(rule.start.field) == [])


def _selected(held: Held, rule: Rule) -> bool:
    if rule.where is None:
        return True
    value = held.fields.get(rule.where.field)
    return value == rule.where.equals if rule.where.equals is not None else (value is None) == rule.where.absent


def of_category(held: Held, category: Category) -> bool:
    """Whether a record of a shared container is the category's: where each rule says which it is about, one of them."""
    shared = category.rules and all(rule.where for rule in category.rules)
    return not shared or any(_selected(held, rule) for rule in category.rules)


def finds(category: Category, scope: Scope, where: Key, held: Held) -> bool:
    """Whether the category's finder finds this record for the scope."""
    match category.find.get(scope.kind):
        case Partition():
            return where[0] == scope.id
        case FieldIs(field=name):
            text = held.fields.get(name)
            if scope.kind is ScopeKind.ADDRESS and isinstance(text, str):
                return text.lower() == scope.id.lower()
            return bool(text == scope.id)
        case Member() as finder:
            return scope.id in members(held, finder)
        case NamePart(field=name):
            return held.named.get(name) == scope.id
        case Line():
            return not held.outside
        case _:
            return False


def members(held: Held, finder: Member) -> Sequence[Any]:
    """Who shares the record."""
    found = held.fields.get(finder.field)
    return found if isinstance(found, list) else ()
