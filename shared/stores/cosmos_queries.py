"""The queries of the Cosmos DB adapter, and what is read from an item. Pure.

A listing selects the few fields that identity, version, scope and starting point are read from, ordered by the starting
point alone: an order by several would need a composite index. Field names come from the policy, which lets nothing but
names pass (FIELD_PATTERN); every value is a parameter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import PermanentError
from shared.model import Scope, ScopeKind, parse_utc, utc_text
from shared.policy import Category
from shared.policy_terms import CosmosStore, Empty, Field, FieldIs, Member, Partition, Rule, Touched, Where, YearEnd
from shared.stores.reading import FAR_AHEAD, NO_TIME, first_far_ahead
from shared.year_end import end_of_year, first_year_kept

Query = tuple[str, list[dict[str, Any]]]


def expiring(category: Category, rule: Rule, now: datetime, last: str) -> Query:
    """The query for what may be due under a rule, in the order of starting points, from `last` on.

    The cutoff is late by what calendar months, fractions of a second and offsets can hide: the caller compares each due
    time.
    """
    cutoff = rule.period.latest_start(now)
    conditions, parameters = _where([rule])
    low: str | int
    high: str | int
    match rule.start:
        case Field(field=name):
            order, low, high = (
                f"c.{name}",
                last or "0",
                utc_text((cutoff + timedelta(seconds=1)).replace(microsecond=0)),
            )
        case YearEnd(field=name, zone=zone):
            # Two days late: a text is a date of the zone, or a time by any offset, which can read like the next day.
            order, low, high = f"c.{name}", last or "0", f"{first_year_kept(rule.period, now, zone):04}-01-03"
        case Touched():
            order, low, high = "c._ts", int(last or 0), int(cutoff.timestamp())
        case Empty(field=name):
            order, low, high = "c._ts", int(last or 0), int(cutoff.timestamp())
            conditions.append(f"ARRAY_LENGTH(c.{name}) = 0")
        case _:
            raise PermanentError(f"rule {rule.id} of {category.id}: its starting point cannot be read in Cosmos DB")
    parameters += [{"name": "@low", "value": low}, {"name": "@high", "value": high}]
    where = " AND ".join([f"{order} >= @low", f"{order} <= @high", *conditions])
    return f"SELECT {fields(category)} FROM c WHERE {where} ORDER BY {order}", parameters


def of_scope(category: Category, scope: Scope, selected: str) -> tuple[Query, dict[str, Any]]:
    """The query for the scope's items by the category's finder, and the partition it is sent to, if to one.

    Raises PermanentError where the policy has no finder for such a scope.
    """
    conditions, parameters = of_category(category)
    target: dict[str, Any] = {}
    match category.find.get(scope.kind):
        case Partition():
            target = {"partition_key": scope.id}
        case FieldIs(field=name) if scope.kind is ScopeKind.ADDRESS:
            conditions.append(f"STRINGEQUALS(c.{name}, @id, true)")
        case FieldIs(field=name):
            conditions.append(f"c.{name} = @id")
        case Member(field=name):
            conditions.append(f"ARRAY_CONTAINS(c.{name}, @id)")
        case _:
            raise PermanentError(f"category {category.id} says not how the records of a {scope.kind} are found")
    if not target:
        parameters.append({"name": "@id", "value": scope.id})
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return (f"SELECT {selected} FROM c{where}", parameters), target


def of_category(category: Category) -> tuple[list[str], list[dict[str, Any]]]:
    """What an item must meet to be the category's, where each rule says which it is about: that one of them is."""
    if not category.rules or not all(rule.where for rule in category.rules):
        return [], []
    conditions, parameters = _where(category.rules)
    return [f"({' OR '.join(conditions)})"], parameters


def never_met(rule: Rule, now: datetime) -> dict[str, Query]:
    """The queries that count items whose starting point is there and which no listing will meet, by what is strange.

    A time is a text that begins with a year and a hyphen: what sorts beyond the years to come is none, or a mistake.
    All other texts a listing meets, as soon as its cutoff is past them. None where a rule reads no property.
    """
    if not isinstance(rule.start, Field | YearEnd):
        return {}
    name = f"c.{rule.start.field}"
    conditions, parameters = _where([rule])
    parameters.append({"name": "@far", "value": first_far_ahead(now)})
    far, hyphen = f"{name} >= @far AND {name} < ':'", f"SUBSTRING({name}, 4, 1)"
    no_time = f"(NOT IS_STRING({name}) OR {name} < '0' OR {name} >= ':' OR ({far} AND {hyphen} != '-'))"
    odd = {
        NO_TIME: [f"IS_DEFINED({name})", f"NOT IS_NULL({name})", no_time],
        FAR_AHEAD: [far, f"{hyphen} = '-'"],
    }
    count = "SELECT VALUE COUNT(1) FROM c WHERE"
    return {reason: (f"{count} {' AND '.join([*each, *conditions])}", parameters) for reason, each in odd.items()}


def _where(rules: Sequence[Rule]) -> tuple[list[str], list[dict[str, Any]]]:
    """Each rule's condition, and the values they compare with."""
    conditions: list[str] = []
    parameters: list[dict[str, Any]] = []
    for number, rule in enumerate(rules):
        match rule.where:
            case Where(field=name, equals=str() as text):
                conditions.append(f"c.{name} = @equals{number}")
                parameters.append({"name": f"@equals{number}", "value": text})
            case Where(field=name, absent=absent):
                there = f"(IS_DEFINED(c.{name}) AND NOT IS_NULL(c.{name}))"
                conditions.append(f"NOT {there}" if absent else there)
            case None:
                pass
    return conditions, parameters


def store_of(category: Category) -> CosmosStore:
    """The category's place in Cosmos DB. Raises PermanentError when it is elsewhere."""
    if not isinstance(category.store, CosmosStore):
        raise PermanentError(f"category {category.id} is not in Cosmos DB")
    return category.store


def fields(category: Category) -> str:
    """What a listing selects: identity, version, partition, and all that starting points and scopes are read from."""
    names = {"id", "_etag", "_ts", store_of(category).partition_field}
    names |= {rule.start.field for rule in category.rules if isinstance(rule.start, Field | YearEnd | Empty)}
    names |= {rule.where.field for rule in category.rules if rule.where}
    names |= {finder.field for finder in category.find.values() if isinstance(finder, FieldIs)}
    return ", ".join(f"c.{name}" for name in sorted(names))


def order_of(item: Mapping[str, Any], rule: Rule) -> str:
    """What a listing is ordered by, as text."""
    return str(item[rule.start.field] if isinstance(rule.start, Field | YearEnd) else item["_ts"])


def identity(item: Mapping[str, Any], category: Category) -> str:
    """What tells two items of a container apart: partition key and id."""
    return json.dumps([item.get(store_of(category).partition_field), item["id"]])


def read_cursor(cursor: str) -> tuple[str, set[str]]:
    """The last starting point of a listing, and the items at it that were seen; ("", none) at the beginning."""
    if not cursor:
        return "", set()
    last, seen = json.loads(cursor)
    return str(last), set(seen)


def start_of(item: Mapping[str, Any], rule: Rule) -> datetime | None:
    """The item's starting point under a rule; None where it has none, or what is no time."""
    try:
        match rule.start:
            case Field(field=name):
                return parse_utc(item[name])
            case YearEnd(field=name, zone=zone):
                return end_of_year(item[name], zone)
            case Empty(field=name) if item.get(name) != []:
                return None
            case Touched() | Empty():
                return datetime.fromtimestamp(item["_ts"], UTC)
            case _:
                return None
    except (KeyError, TypeError, ValueError):
        return None


def about(rule: Rule, item: Mapping[str, Any]) -> bool:
    """Whether a rule's condition selects the item."""
    match rule.where:
        case Where(field=name, equals=str() as text):
            return bool(item.get(name) == text)
        case Where(field=name, absent=absent):
            return (item.get(name) is None) == absent
        case None:
            return True
