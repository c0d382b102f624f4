"""Random queries on the local Cosmos DB server find what a naive evaluation finds, or are refused: never silently other.

Each is asked in one partition, in each range and over everything, in pages, with the comparisons that SQLite makes for it and
those that it does not. Where `=` between values of different types decides, the two readings of the documentation differ:
then, and only then, it must be refused.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import naive_query as naive
import pytest
from cosmos_at_hand import DATABASE, DOCS, EVERYWHERE, HOME, QUERY, CosmosAtHand
from effort import effort

from local.cosmos.errors import RefusedError
from local.cosmos.parser import parse_query

if TYPE_CHECKING:
    from collections.abc import Iterator

QUERIES = 20
"""Queries for one set of items."""
WORDS = (
    "SELECT", "*", "FROM", "c", "WHERE", "AND", "OR", "NOT", "IN", "(", ")", "=", "!=", "<", "'a'", '"', "'", "1", "01", "1e5", "@p",
    "@q", ".", "[", "]", ",", "ORDER", "BY", "DESC", "VALUE", "COUNT", "LOWER", "true", "undefined", "-", "AS", "r", "\\", "\\u12",
    "\x00", "é", "\u2028", "\ud800", ";", "--", "/*", "{", "}", "?", "\n", "c.a = 1", "LOWER(c.a)", "c['a']",
)  # fmt: skip


@pytest.fixture(scope="module")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosAtHand]:
    server = CosmosAtHand(tmp_path_factory.mktemp("cosmos"))
    yield server
    server.close()


def store(cosmos: CosmosAtHand, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items in an empty container, as they are stored."""
    cosmos.ask("DELETE", f"{DATABASE}/colls/c")
    cosmos.new_container("c")
    stored = []
    for number, item in enumerate(items):
        said = cosmos.ask("POST", DOCS, {**item, "id": f"i{number}", "h": "h"}, HOME)
        assert said.status == 201
        stored.append(said.body)
    return stored


def pages(cosmos: CosmosAtHand, text: str, values: dict[str, Any], headers: dict[str, str]) -> list[Any] | int:
    """All that a query finds, two at a time; or the status of its refusal."""
    body = {"query": text, "parameters": [{"name": name, "value": value} for name, value in values.items()]}
    found: list[Any] = []
    more: dict[str, str] = {}
    while True:
        said = cosmos.ask("POST", DOCS, body, {**QUERY, "x-ms-max-item-count": "2", **headers, **more})
        if said.status != 200:
            return said.status
        found += said.body["Documents"]
        if "x-ms-continuation" not in said.headers:
            return found
        more = {"x-ms-continuation": said.headers["x-ms-continuation"]}


def test_queries_find_what_a_naive_evaluation_finds_or_are_refused(cosmos: CosmosAtHand) -> None:
    outcomes: Counter[str] = Counter()
    for number in range(effort(400, 4_000)):
        chance = random.Random(number)
        if number % QUERIES == 0:
            stored = store(cosmos, [naive.Maker(chance).item() for _ in range(chance.randint(4, 12))])
        asked = naive.Maker(chance).query()
        outcomes[compare(cosmos, stored, asked, *naive.written(asked, chance))] += 1
    assert outcomes["found"] > outcomes.total() // 8, outcomes
    assert outcomes["refused"] > outcomes.total() // 20, outcomes


def compare(
    cosmos: CosmosAtHand, stored: list[dict[str, Any]], asked: naive.Asked, text: str, values: dict[str, Any]
) -> str:
    """Whether it was found, was refused, or nothing was there to find."""
    readings: list[list[Any]] = []
    may_refuse = False
    for mixed in (False, naive.UNDEFINED):
        doubt = naive.Doubt(mixed)
        try:
            readings.append(naive.answered(asked, stored, doubt))
        except naive.RefusalError:
            may_refuse = True
        may_refuse = may_refuse or doubt.met
    found = pages(cosmos, text, values, HOME)
    if isinstance(found, int):
        assert found == 501, text
        assert may_refuse, text
        return "refused"
    assert [_exactly(each) for each in readings] == [_exactly(found)] * len(readings), text
    ranges = [pages(cosmos, text, values, {"x-ms-documentdb-partitionkeyrangeid": each}) for each in ("0", "1")]
    assert sorted(map(_exactly, ranges)) == sorted([_exactly([]), _exactly(found)]), text
    if asked.order is None:
        assert pages(cosmos, text, values, EVERYWHERE) == found, text
    return "found" if found else "nothing"


def _exactly(found: Any) -> str:
    """What tells 0 from false and 1 from 1.0 apart no more than the stored text does."""
    return json.dumps(found, sort_keys=True)


def test_any_words_are_a_query_or_are_refused() -> None:
    for number in range(effort(3_000, 50_000)):
        chance = random.Random(number)
        text = chance.choice(("", " ")).join(chance.choice(WORDS) for _ in range(chance.randrange(30)))
        with contextlib.suppress(RefusedError):  # anything else is a failure
            parse_query(f"SELECT * FROM c WHERE {text}" if number % 2 else text, {"@p": 1})
