"""Running a query over one partition key, one range of the hash space, or everything.

SQLite narrows and sorts by the sortable keys (`storage.term`): the comparisons of a path with a constant that stand
alone or are joined by AND. What is left of the filter is evaluated in Python on the rows that remain.

A page ends with the position of its last item: its sort key, where there is sorting, and its row number. The next
page takes what lies after that position, so items that are deleted or added in between shift nothing. The token is
bound to query, parameters and scope.

Sorting returns only items that have the property (the default indexing policy's behaviour,
https://learn.microsoft.com/azure/cosmos-db/nosql/query/order-by), and refuses when it meets an array or an object.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.cosmos.catalog import Container
from local.cosmos.errors import NotModelledError, bad_request
from local.cosmos.evaluator import evaluate
from local.cosmos.parser import parse_query
from local.cosmos.partitioning import HashRange, PartitionKey
from local.cosmos.storage import Storage, term
from local.cosmos.syntax import (
    And,
    Compare,
    Expression,
    Literal,
    Path,
    Query,
    SelectAll,
    SelectCount,
    SelectFields,
    SelectValue,
)
from local.cosmos.values import (
    UNDEFINED,
    UNSORTABLE,
    Json,
    Undefined,
    Value,
    key_range,
    resolve,
    sort_key,
    stored_json,
    to_json,
)

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000
PAGE_BYTES = 4 * 1024 * 1024
MAX_PUSHED = 100
"""Comparisons that SQLite makes: its expressions have a largest depth. What is beyond is evaluated here."""
_TOKEN = re.compile(r"q:([0-9a-f]{32});n:([0-9]{1,18});k:((?:[0-9a-f]{2})*)")
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One page of a query.

    :param scope: a partition key, a range, or None for all partitions.
    :param page_size: the most items wanted; None or -1 leaves it to the server.
    :param continuation: the token of the page before, None for the first.
    :param now: the moment for time to live, seconds since 1970.
    """

    container: Container
    scope: PartitionKey | HashRange | None
    text: str
    parameters: dict[str, Json]
    page_size: int | None
    continuation: str | None
    now: int


@dataclass(frozen=True, kw_only=True)
class Page:
    """The results of one page, each as JSON, and the token of the next page, if there is more."""

    documents: list[str]
    continuation: str | None


@dataclass(frozen=True, kw_only=True)
class _Position:
    key: bytes
    number: int


def run_query(storage: Storage, request: Request) -> Page:
    """Answer one page.

    :raises RefusedError: 400 for a query or a token that is wrong, 501 for what is not modelled.
    """
    query = parse_query(request.text, request.parameters)
    if query.order is not None and not request.container.has_default_indexing:
        what = "ORDER BY under a custom indexing policy"
        raise NotModelledError(what)
    matches = _matches(storage, request, query, _position(request))
    if isinstance(query.select, SelectCount):
        return Page(documents=[str(sum(1 for _ in matches))], continuation=None)
    wanted = LARGEST_PAGE if request.page_size == -1 else request.page_size or DEFAULT_PAGE
    documents: list[str] = []
    size = 0
    last: sqlite3.Row | None = None
    for row in matches:
        if last is not None and (len(documents) >= wanted or size >= PAGE_BYTES):
            return Page(documents=documents, continuation=_token(request, last["n"], last["key"]))
        last = row
        document = _project(query.select, row["body"])
        if document is not None:
            documents.append(document)
            size += len(document)
    return Page(documents=documents, continuation=None)


def _matches(storage: Storage, request: Request, query: Query, after: _Position | None) -> Iterator[sqlite3.Row]:
    pushed, rest = _split(query.where)
    order = query.order
    conditions, values = _scope(request)
    for path, operator, constant in pushed:
        condition, bounds = _comparison(term(path.keys), operator, constant)
        conditions.append(condition)
        values += bounds
    key = term(order.path.keys) if order else "x''"
    if order:
        conditions.append(f"{key} IS NOT NULL")
    if after is not None:
        sign = "<" if order and order.descending else ">"
        conditions.append(f"{key} {sign}= ? AND ({key} {sign} ? OR n {sign} ?)" if order else "n > ?")
        values += [after.key, after.key, after.number] if order else [after.number]
    direction = "DESC" if order and order.descending else "ASC"
    sorting = f"{key} {direction}, n {direction}" if order else "n"
    # Only row numbers, operators and our own quoting of paths are put into the text; values are bound.
    source = _source(storage, request, ([order.path] if order else []) + [path for path, _, _ in pushed])
    sql = ["SELECT n, body,", key, "AS key FROM", source, "WHERE", " AND ".join(conditions), "ORDER BY", sorting]
    for row in storage.db.execute(" ".join(sql), values):
        item = stored_json(row["body"]) if rest else None
        if not all(evaluate(part, item) is True for part in rest):
            continue
        if row["key"] >= UNSORTABLE:
            what = "sorting by arrays or objects"
            raise NotModelledError(what)
        yield row


def _source(storage: Storage, request: Request, paths: list[Path]) -> str:
    """The table, with the index to use: by the path of the sorting, else of the first comparison.

    SQLite has no statistics and would rather scan the container. One partition key is small: there it is right.
    """
    if not paths or isinstance(request.scope, PartitionKey):
        return "items"
    return f"items INDEXED BY {storage.index(request.container.number, paths[0].keys)}"


def _scope(request: Request) -> tuple[list[str], list[Any]]:
    # The number stands in the text, not among the values: SQLite uses a partial index only when it sees it there.
    conditions = [f"container = {request.container.number}"]
    values: list[Any] = []
    match request.scope:
        case PartitionKey(canonical=canonical):
            conditions.append("pk = ?")
            values.append(canonical)
        case HashRange(first=first, end=end):
            conditions.append("epk >= ? AND epk < ?")
            values += [first, end]
    default_ttl = request.container.default_ttl
    if default_ttl is not None:
        conditions.append("(COALESCE(ttl, ?) = -1 OR ts + COALESCE(ttl, ?) > ?)")
        values += [default_ttl, default_ttl, request.now]
    return conditions, values


def _split(where: Expression | None) -> tuple[list[tuple[Path, str, Json]], list[Expression]]:
    """The comparisons that SQLite can make, and the rest."""
    pushed: list[tuple[Path, str, Json]] = []
    rest: list[Expression] = []
    terms = where.terms if isinstance(where, And) else (where,) if where is not None else ()
    for part in terms:
        comparison = _constant_comparison(part)
        if comparison is None or len(pushed) == MAX_PUSHED:
            rest.append(part)
        else:
            pushed.append(comparison)
    return pushed, rest


def _constant_comparison(part: Expression) -> tuple[Path, str, Json] | None:
    if not isinstance(part, Compare) or part.operator not in _MIRRORED:
        return None
    path, operator, constant = part.left, part.operator, part.right
    if isinstance(constant, Path):
        path, operator, constant = constant, _MIRRORED[operator], path
    if not isinstance(path, Path) or not path.keys or not isinstance(constant, Literal):
        return None
    value = constant.value
    return None if isinstance(value, Undefined | list | dict) else (path, operator, value)


def _comparison(key: str, operator: str, constant: Json) -> tuple[str, list[Any]]:
    """A comparison as SQL: true for values of the constant's type only."""
    wanted = sort_key(constant)
    first, end = key_range(constant)
    if operator == "=":
        return f"{key} = ?", [wanted]
    if operator in {"<", "<="}:
        return f"{key} >= ? AND {key} {operator} ?", [first, wanted]
    return f"{key} {operator} ? AND {key} < ?", [wanted, end]


def _project(select: SelectAll | SelectFields | SelectValue | SelectCount, body: str) -> str | None:
    match select:
        case SelectValue(path=path):
            value: Value = resolve(stored_json(body), path.keys)
            return None if isinstance(value, Undefined) else to_json(value)
        case SelectFields(fields=fields):
            item = stored_json(body)
            found = {name: resolve(item, path.keys) for name, path in fields}
            return to_json({name: value for name, value in found.items() if value is not UNDEFINED})
        case _:
            return body


def _token(request: Request, number: int, key: bytes) -> str:
    scope = repr(request.scope)
    text = to_json([request.container.rid, request.text, request.parameters, scope, number, key.hex()])
    return f"q:{hashlib.sha256(text.encode()).hexdigest()[:32]};n:{number};k:{key.hex()}"


def _position(request: Request) -> _Position | None:
    if request.continuation is None:
        return None
    match = _TOKEN.fullmatch(request.continuation)
    position = None if match is None else _Position(number=int(match[2]), key=bytes.fromhex(match[3]))
    if position is None or _token(request, position.number, position.key) != request.continuation:
        raise bad_request("the continuation token does not belong to this query")
    return position
