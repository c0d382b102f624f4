"""The queries of the Cosmos DB adapter, and what is read from an item. Pure.

A listing selects the few fields that identity, version, scope and starting point are read from, ordered by the starting
point alone: an order by several would need a composite index. Field names come from the policy, which lets nothing but
names pass (FIELD_PATTERN); every value is a parameter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.errors import PermanentError
from shared.model import Scope, ScopeKind, parse_utc, utc_text
from shared.policy import Category, CosmosStore, Empty, Field, FieldIs, Follows, Member, Partition, Rule, Touched

Query = tuple[str, list[dict[str, Any]]]


def expiring(category: Category, rule: Rule, now: datetime, last: str) -> Query:
    """The query for what may be due under a rule, in the order of starting points, from `last` on.

    Selects the order as `at`. The cutoff is late by what calendar months and fractions of a second can hide: the
    caller compares each due time.
    """
    cutoff = rule.period.latest_start(now)
    conditions = _where(rule)
    low: str | int
    high: str | int
    match rule.start:
        case Field(field=name):
            order, low, high = (
                f"c.{name}",
                last or "0",
                utc_text((cutoff + timedelta(seconds=1)).replace(microsecond=0)),
            )
        case Touched():
            order, low, high = "c._ts", int(last or 0), int(cutoff.timestamp())
        case Empty(field=name):
            order, low, high = "c._ts", int(last or 0), int(cutoff.timestamp())
            conditions.append(f"ARRAY_LENGTH(c.{name}) = 0")
        case _:
            raise PermanentError(f"rule {rule.id} of {category.id}: its starting point cannot be read in Cosmos DB")
    parameters = [{"name": "@low", "value": low}, {"name": "@high", "value": high}, *_parameters(rule)]
    where = " AND ".join([f"{order} >= @low", f"{order} <= @high", *conditions])
    return f"SELECT {fields(category)} FROM c WHERE {where} ORDER BY {order}", parameters


def of_scope(category: Category, scope: Scope, selected: str) -> tuple[Query, dict[str, Any]]:
    """The query for the scope's items by the category's finder, and the partition it is sent to, if to one.

    Raises PermanentError where the policy has no finder for such a scope.
    """
    select = f"SELECT {selected} FROM c"
    by_id = [{"name": "@id", "value": scope.id}]
    match category.find.get(scope.kind):
        case Partition():
            return (select, []), {"partition_key": scope.id}
        case FieldIs(field=name) if scope.kind is ScopeKind.ADDRESS:
            return (f"{select} WHERE STRINGEQUALS(c.{name}, @id, true)", by_id), {}
        case FieldIs(field=name):
            return (f"{select} WHERE c.{name} = @id", by_id), {}
        case Member(field=name):
            return (f"{select} WHERE ARRAY_CONTAINS(c.{name}, @id)", by_id), {}
        case _:
            raise PermanentError(f"category {category.id} says not how the records of a {scope.kind} are found")


def timeless(rule: Rule) -> Query | None:
    """The query that counts items whose starting point is there and cannot be a time: no listing ever meets them.

    A time begins with a digit, so a text that does not is none. None where a rule reads no property.
    """
    if not isinstance(rule.start, Field):
        return None
    name = f"c.{rule.start.field}"
    odd = f"(NOT IS_STRING({name}) OR {name} < '0' OR {name} >= ':')"
    where = " AND ".join([f"IS_DEFINED({name})", f"NOT IS_NULL({name})", odd, *_where(rule)])
    return f"SELECT VALUE COUNT(1) FROM c WHERE {where}", _parameters(rule)


def _where(rule: Rule) -> list[str]:
    if rule.where is None:
        return []
    name = f"c.{rule.where.field}"
    if rule.where.equals is not None:
        return [f"{name} = @equals"]
    there = f"(IS_DEFINED({name}) AND NOT IS_NULL({name}))"
    return [f"NOT {there}" if rule.where.absent else there]


def _parameters(rule: Rule) -> list[dict[str, Any]]:
    if rule.where is None or rule.where.equals is None:
        return []
    return [{"name": "@equals", "value": rule.where.equals}]


def store_of(category: Category) -> CosmosStore:
    """The category's place in Cosmos DB. Raises PermanentError when it is elsewhere."""
    if not isinstance(category.store, CosmosStore):
        raise PermanentError(f"category {category.id} is not in Cosmos DB")
    return category.store


def fields(category: Category) -> str:
    """What a listing selects: identity, version, partition, and all that starting points and scopes are read from."""
    names = {"id", "_etag", "_ts", store_of(category).partition_field}
    names |= {rule.start.field for rule in category.rules if isinstance(rule.start, Field)}
    if category.scope is not None and isinstance(category.scope.by, FieldIs):
        names.add(category.scope.by.field)
    return ", ".join(f"c.{name}" for name in sorted(names))


def order_of(item: Mapping[str, Any], rule: Rule) -> str:
    """What a listing is ordered by, as text."""
    return str(item[rule.start.field] if isinstance(rule.start, Field) else item["_ts"])


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
    if isinstance(rule.start, Follows):
        return None
    if isinstance(rule.start, Field):
        try:
            return parse_utc(item[rule.start.field])
        except (KeyError, TypeError, ValueError):
            return None
    return datetime.fromtimestamp(item["_ts"], UTC)
