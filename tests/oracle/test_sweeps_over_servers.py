"""The oracle against the real adapters' listings, over Azurite and the local Cosmos server: a hundred records at a time.

Blob storage gives creation times by the machine's clock, so there it is the time of the sweep that moves; the Cosmos
server's clock moves as a whole.
"""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import made_up
import naive
import pytest
from over_servers import BlobsAt, all_blobs, all_items, blob_container, item_container, set_clock
from pipeline import sweep

from local.processes import Process
from shared.model import Locator
from shared.policy import Category, Rule
from shared.policy_file import parse
from shared.stores.interface import RecordStore

RECORDS = 100
LOOKS = {"blobs": 6, "items": 20}  # listings compared, besides the sweep
NO_KEY = "partition key is no text"
IN_ORDER = re.compile(r"[^T]{10}T[^+-]*Z")  # times whose order is that of their texts
DATE_LIKE = re.compile(r"[0-9]{4}-")
EXAMPLES = range(max(7, int(os.environ.get("ORACLE_EXAMPLES", "0")) // 40))


async def listed(store: RecordStore, category: Category, rule: Rule, now: datetime, chance: Random) -> list[Locator]:
    """What the store finds due by a rule."""
    found = []
    for part in (await store.divide(category, rule, now=now, most=3)).parts:
        async for page in store.expired(category, rule, part, now=now, cursor="", size=chance.choice((3, 20, 1000))):
            found += [record.locator for record in page.records]
    assert len(found) == len(set(found)), "listed twice"
    return found


def another(chance: Random, category: Mapping[str, Any], begun: datetime | None) -> tuple[dict[str, Any], datetime]:
    """The category under another period, and a moment at which that is over for what began then."""
    text, now = made_up.just_over(chance, begun or datetime(2025, 1, 1, tzinfo=UTC))
    return {**category, "rules": [{**chance.choice(category["rules"]), "period": text}]}, now


# ---------------------------------------------------------------- Blob storage


def must_go(category: Mapping[str, Any], rule: Mapping[str, Any], record: Mapping[str, Any], now: datetime) -> bool:
    """Whether a listing by date cannot miss a blob that is due.

    It may miss one whose name is more than an hour later than it was stored: a date that is neither past its period nor
    in the future is not looked under. Such a blob goes at the latest when its name is due. A later year is in the
    future at every level of a layout.
    """
    said = naive.read_name(category["store"]["layout"], record["name"])
    if said is None or rule["start"]["from"] == "stored":
        return naive.verdict(category, rule, record, now).goes
    late = said["t"] > record["stored"] + made_up.HOUR and said["t"].year <= now.year
    return naive.verdict(category, rule, {**record, "stored": naive.FAR} if late else record, now).goes


@pytest.mark.parametrize("seed", EXAMPLES)
def test_a_run_over_blob_storage_takes_exactly_what_the_oracle_says(azurite: Process, seed: int) -> None:
    asyncio.run(_over_blobs(azurite, Random(f"blobs {seed}")))


async def _over_blobs(azurite: Process, chance: Random) -> None:
    async with blob_container(azurite) as (service, client):
        category = made_up.blob_category(chance, "pictures", client.container_name)
        now = made_up.now(chance)
        if chance.random() < 0.5:  # years from now, where the period is long: after the blobs were stored
            now = naive.over(now, chance.choice(category["rules"])["period"]) or now
        words = chance.sample(made_up.NAMES, 4)
        names = {made_up.blob_name(chance, category, now, words) for _ in range(RECORDS - 10)}
        for _ in range(10):  # about the moment at which they are stored
            moment = made_up.near(chance, datetime.now(UTC))
            names.add(made_up.named(category["store"]["layout"], moment, dict.fromkeys(made_up.FIELDS, words[0])))
        await asyncio.gather(*(client.upload_blob(name, name.encode()) for name in names))
        before = await all_blobs(client)
        assert before.keys() == names
        records = {name: {"name": name, "stored": stored} for name, (_, stored, _) in before.items()}
        store = BlobsAt(service=service, account="data", at=now)
        for _ in range(LOOKS["blobs"]):
            await _look_at_blobs(chance, store, category, records)
        policy = parse(made_up.policy([category]))
        totals = await sweep(policy, {"blob/data": store}, lambda: now, chance)
        after = await all_blobs(client)
    may = {name for name, each in records.items() if naive.goes(category, each, now)}
    must = {name for name, each in records.items() if any(must_go(category, r, each, now) for r in category["rules"])}
    gone = before.keys() - after.keys()
    assert must <= gone <= may, (sorted(must - gone), sorted(gone - may), now, category)
    assert after == {name: what for name, what in before.items() if name not in gone}
    assert Counter(totals["pictures"].outcomes) == +Counter(erased=len(gone))
    outside = [name for name in names if naive.read_name(category["store"]["layout"], name) is None]
    said = totals["pictures"].strange.get(naive.OUTSIDE, 0)
    assert said <= len(outside) * len(category["rules"])
    assert said or not outside, "what is outside the layout was passed over in silence"


async def _look_at_blobs(
    chance: Random, store: RecordStore, like: Mapping[str, Any], records: Mapping[str, dict[str, Any]]
) -> None:
    """Compare a listing alone, at a moment that is about one of the blobs."""
    blob = records[chance.choice(sorted(records))]
    said = naive.read_name(like["store"]["layout"], blob["name"]) or {}
    category, now = another(chance, like, chance.choice((said.get("t"), said.get("t"), blob["stored"])))
    [rule] = category["rules"]
    found = parse(made_up.policy([category])).category("pictures")
    there = {each.key for each in await listed(store, found, found.rules[0], now, chance)}
    may = {name for name, each in records.items() if naive.verdict(category, rule, each, now).goes}
    must = {name for name, each in records.items() if must_go(category, rule, each, now)}
    assert must <= there <= may, (sorted(must - there), sorted(there - may), now, category)


# ---------------------------------------------------------------- Cosmos DB


def surely(category: Mapping[str, Any], rule: Mapping[str, Any], record: Mapping[str, Any], now: datetime) -> bool:
    """Whether a listing by text order cannot miss an item that is due.

    The adapter asks for times in UTC with a final Z. One with an offset can read like the next day: it goes a day late
    at most, and never early.
    """
    value = record["item"].get(rule["start"].get("field"))
    plain = rule["start"]["from"] != "field" or IN_ORDER.fullmatch(str(value))
    return naive.verdict(category, rule, record, now if plain else now - made_up.DAY).goes


def homeless(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record, had it a partition key that is text."""
    return {**record, "item": {**record["item"], "homeId": "h1"}}


@pytest.mark.parametrize("seed", EXAMPLES)
def test_a_run_over_cosmos_db_takes_exactly_what_the_oracle_says(cosmos: Process, seed: int) -> None:
    asyncio.run(_over_items(cosmos, Random(f"items {seed}")))


async def _over_items(cosmos: Process, chance: Random) -> None:
    async with item_container(cosmos) as (store, container, url):
        category = made_up.item_category(chance, "rows", container.id)
        now = made_up.now(chance)
        for moment in [made_up.stored(chance, now, category["rules"]) for _ in range(10)]:
            items = [made_up.item(chance, category, now, chance.getrandbits(32)) for _ in range(RECORDS // 10)]
            for each in chance.sample(items, 3):
                each["homeId"] = chance.choice(made_up.ODD_KEYS)
            set_clock(url, moment)
            await asyncio.gather(*(container.create_item({k: v for k, v in i.items() if v is not ...}) for i in items))
        set_clock(url, now)
        before = await all_items(container)
        records = {k: {"item": i, "touched": datetime.fromtimestamp(i["_ts"], UTC)} for k, i in before.items()}
        for _ in range(LOOKS["items"]):
            await _look_at_items(chance, store, category, records)
        policy = parse(made_up.policy([category]))
        at = await store.now(policy.category("rows"))
        totals = await sweep(policy, {"cosmos/main": store}, lambda: at, chance)
        after = await all_items(container)
    may = {k for k, each in records.items() if naive.goes(category, each, at)}
    must = {k for k in may if any(surely(category, rule, records[k], at) for rule in category["rules"])}
    gone = before.keys() - after.keys()
    assert must <= gone <= may, ([before[k] for k in must - gone], [before[k] for k in gone - may], at, category)
    assert after == {k: each for k, each in before.items() if k not in gone}
    assert Counter(totals["rows"].outcomes) == +Counter(erased=len(gone))
    compare_strange(category, list(records.values()), totals["rows"].strange, at)


async def _look_at_items(
    chance: Random, store: RecordStore, like: Mapping[str, Any], records: Mapping[Any, dict[str, Any]]
) -> None:
    """Compare a listing alone, at a moment that is about one of the items."""
    begun = naive.begin_item(chance.choice(like["rules"])["start"], chance.choice([*records.values()]))
    category, now = another(chance, like, begun)
    [rule] = category["rules"]
    found = parse(made_up.policy([category])).category("rows")
    there = {(each.partition, each.key) for each in await listed(store, found, found.rules[0], now, chance)}
    may = {k for k, each in records.items() if naive.verdict(category, rule, each, now).goes}
    must = {k for k in may if surely(category, rule, records[k], now)}
    assert must <= there <= may, ([records[k] for k in must - there], [records[k] for k in there - may], now, category)


def compare_strange(
    category: Mapping[str, Any], records: Sequence[Mapping[str, Any]], said: Mapping[str, int], now: datetime
) -> None:
    """What is no time is counted when it would be met: at once, or when a text that begins like a date is past."""
    judged = [(rule, homeless(each)) for rule in category["rules"] for each in records]
    timeless = [(rule, each) for rule, each in judged if naive.verdict(category, rule, each, now).strange]
    met = [each for rule, each in timeless if not DATE_LIKE.match(str(each["item"][rule["start"]["field"]]))]
    assert said.get(naive.NO_TIME, 0) <= len(timeless)
    if len(category["rules"]) == 1:  # else another rule may have taken it before
        assert said.get(naive.NO_TIME, 0) >= len(met)
    homes = [each for each in records if not isinstance(each["item"].get("homeId"), str)]
    due = [each for rule in category["rules"] for each in homes if surely(category, rule, homeless(each), now)]
    assert len(due) <= said.get(NO_KEY, 0) <= len(homes) * len(category["rules"])
