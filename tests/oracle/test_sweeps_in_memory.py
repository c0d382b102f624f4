"""The oracle against the planner, the workers and the gate over stores in memory: many small companies at random."""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

import made_up
import naive
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pipeline import sweep

from shared.policy import Category
from shared.policy_file import parse
from shared.stores.memory_records import MemoryRecords

EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "200"))
RECORDS = 40


def key(record: Mapping[str, Any]) -> tuple[str, str]:
    """What tells two records of a container apart."""
    return ("", record["name"]) if "name" in record else (record["item"]["homeId"], record["item"]["id"])


def blobs(chance: Random, category: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    return [
        {"name": made_up.blob_name(chance, category, now), "stored": made_up.stored(chance, now, category["rules"])}
        for _ in range(chance.randrange(1, RECORDS))
    ]


def items(chance: Random, category: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    return [
        {"item": made_up.item(chance, category, now, n), "touched": made_up.stored(chance, now, category["rules"])}
        for n in range(chance.randrange(1, RECORDS))
    ]


def snapshot(store: MemoryRecords, category: Category) -> dict[Any, tuple[Any, ...]]:
    """Everything that a container holds, with versions."""
    return {k: (v.etag, v.stored, v.fields, v.data) for k, v in store._table(category).items()}


def company(chance: Random, now: datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A container: the categories that share it, and its records."""
    if chance.random() < 0.4:
        blob = made_up.blob_category(chance, "pictures", "pictures")
        return [blob], blobs(chance, blob, now)
    if chance.random() < 0.7:
        rows = made_up.item_category(chance, "rows", "rows")
        return [rows], items(chance, rows, now)
    guests, users = (
        made_up.item_category(chance, name, "carts", where={"field": "userId", "absent": absent}, shared=not absent)
        for name, absent in (("guests", True), ("users", False))
    )
    return [guests, users], items(chance, chance.choice((guests, users)), now)


@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate]
)
@given(seed=st.integers(0, 2**64))
def test_a_run_of_any_policy_takes_exactly_what_the_oracle_says(seed: int) -> None:
    chance = Random(seed)
    now = made_up.now(chance)
    categories, records = company(chance, now)
    policy = parse(made_up.policy(categories))
    first = policy.category(categories[0]["id"])
    store = MemoryRecords(now)
    for each in records:
        if "name" in each:
            store.put(first, each["name"], stored=each["stored"], data=each["name"].encode())
        else:
            store.put(first, each["item"], stored=each["touched"])
    before = snapshot(store, first)
    totals = asyncio.run(sweep(policy, dict.fromkeys(("blob/data", "cosmos/main"), store), lambda: now, chance))
    after = snapshot(store, first)
    there = {key(each): each for each in records}  # a later one of the same name was written over it
    going = {k for k, each in there.items() if any(naive.goes(c, each, now) for c in categories)}
    gone = before.keys() - after.keys()
    assert not [there[k] for k in gone ^ going], (now, categories)
    assert after == {k: v for k, v in before.items() if k not in going}
    assert sum((Counter(t.outcomes) for t in totals.values()), Counter()) == +Counter(erased=len(going))
    for category in categories:
        compare_strange(category, list(there.values()), totals[category["id"]].strange, now)


def compare_strange(
    category: Mapping[str, Any], records: Sequence[Mapping[str, Any]], said: Mapping[str, int], now: datetime
) -> None:
    """Each rule counts what it meets that is strange.

    What another rule, or another worker, has taken before is not met; what stays is: it is counted for certain where
    one rule has something due. The fake counts nothing but names outside the layout where it has not.
    """
    verdicts = [naive.verdict(category, rule, each, now) for rule in category["rules"] for each in records]
    most = Counter(each.strange for each in verdicts if each.strange)
    assert set(said) <= set(most)
    assert all(said[reason] <= most[reason] for reason in said)
    assert said.get(naive.OUTSIDE, 0) == most[naive.OUTSIDE], "names outside the layout were passed over in silence"
    if len(category["rules"]) == 1 and any(each.goes for each in verdicts):
        assert said.get(naive.NO_TIME, 0) == most[naive.NO_TIME]
