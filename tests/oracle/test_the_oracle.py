"""The oracle itself: worked examples by hand, and that it has nothing of the product's in it.

What it once found in the product is here too, as the smallest example.
"""

import ast
import asyncio
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import made_up
import naive
import pytest
from over_servers import item_container, set_clock
from pipeline import sweep

from local.processes import Process
from shared.policy_file import parse
from shared.stores.memory_records import MemoryRecords

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("file", ["naive.py", "naive_erasure.py"])
def test_the_oracle_imports_the_standard_library_alone(file):
    tree = ast.parse((Path(__file__).parent / file).read_text())
    found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    found |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    assert {"shared", "dateutil", "pydantic", "world"}.isdisjoint(each.partition(".")[0] for each in found)


@pytest.mark.parametrize(
    ("start", "period", "end"),
    [
        ("2024-01-31T10:00:00", "P1M", "2024-02-29T10:00:00"),
        ("2024-02-29T00:00:00", "P1Y", "2025-02-28T00:00:00"),
        ("2024-02-29T00:00:00", "P4Y", "2028-02-29T00:00:00"),
        ("2023-12-31T23:59:59", "P2M", "2024-02-29T23:59:59"),
        ("2024-01-31T00:00:00", "P1M1D", "2024-03-01T00:00:00"),
        ("2024-03-30T23:30:00", "PT36H", "2024-04-01T11:30:00"),
        ("2026-01-01T00:00:00", "P2W", "2026-01-15T00:00:00"),
    ],
)
def test_a_period_is_over_when_a_calendar_says_so(start, period, end):
    assert naive.over(at(start), period) == at(end)


def test_a_period_past_the_last_year_is_never_over():
    assert naive.over(at("9999-06-01T00:00:00"), "P1Y") is None


@pytest.mark.parametrize(
    ("text", "zone", "end"),
    [
        ("2025-12-31T22:59:59Z", "Europe/Oslo", "2025-12-31T23:00:00"),
        ("2025-12-31T23:00:00Z", "Europe/Oslo", "2026-12-31T23:00:00"),
        ("2025-12-31", "Pacific/Pago_Pago", "2026-01-01T11:00:00"),
        ("2026-01-01T01:00:00+14:00", "UTC", "2026-01-01T00:00:00"),
        ("2025-06-01T00:00:00Z", "Pacific/Kiritimati", "2025-12-31T10:00:00"),
    ],
)
def test_a_year_ends_when_the_clocks_of_its_zone_say_so(text, zone, end):
    assert naive.end_of_year(text, zone) == at(end)


@pytest.mark.parametrize("text", made_up.NO_TIMES)
def test_what_is_no_time_is_none(text):
    assert naive.read_time(text) is None


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("2024-02-29/h 1/070000-a.jpg", at("2024-02-29T07:00:00")),
        ("2023-02-29/h1/070000-a.jpg", None),
        ("2024-02-29/h1/070000-a/b.jpg", None),
        ("2024-02-29/h1/7000-a.jpg", None),
        ("2024-02-29//070000-a.jpg", None),
        ("2024-02-2٩/h1/070000-a.jpg", None),
    ],
)
def test_a_name_is_read_by_its_layout_or_not_at_all(name, read):
    said = naive.read_name("{t:%Y-%m-%d}/{home_id}/{t:%H%M%S}-{name}", name)
    assert (said and said["t"]) == read


def test_a_name_that_is_later_than_its_blob_was_stored_falls_back():
    store = {"kind": "blob", "layout": "{t:%Y-%m-%d}/{name}"}
    rule = {"start": {"from": "name", "field": "t"}, "period": "P7D"}
    found = naive.verdict({"store": store}, rule, {"name": "2030-01-01/a", "stored": at("2026-02-01T00:00:00")}, NOW)
    assert found == naive.Verdict(goes=True, strange=naive.LATE_NAME)


# ---------------------------------------------------------------- what it found


def rows(container: str) -> dict:
    store = {"kind": "cosmos", "account": "main", "container": container, "partition_key": "/homeId"}
    return {
        "id": "rows",
        "store": store,
        "rules": [{"id": "rows-1", "start": {"from": "field", "field": "at"}, "period": "P7D"}],
    }


def test_a_time_may_be_written_with_small_letters():
    # RFC 3339, section 5.6, allows it. The small z was refused once, and the item stayed for ever.
    policy = parse(made_up.policy([rows("rows")]))
    store = MemoryRecords(NOW)
    for number, text in enumerate(("2026-01-01T00:00:00Z", "2026-01-01t00:00:00z", "2026-01-01T00:00:00z")):
        assert naive.read_time(text) == at("2026-01-01T00:00:00")
        store.put(policy.category("rows"), {"id": str(number), "homeId": "h1", "at": text})
    asyncio.run(sweep(policy, {"cosmos/main": store}, lambda: NOW, Random(1)))
    assert store.keys(policy.category("rows")) == []


def test_a_text_that_is_no_time_is_counted_whatever_digit_it_begins_with(cosmos: Process):
    # 25.12.2019 sorts after every cutoff of this century: no listing meets it, and once nothing else counted it.
    asyncio.run(_counted(cosmos, ("yesterday", "01.12.2019", "25.12.2019", "31.12.2019")))


async def _counted(cosmos: Process, texts: tuple[str, ...]) -> None:
    async with item_container(cosmos) as (store, container, url):
        set_clock(url, NOW)
        for number, text in enumerate(texts):
            await container.create_item({"id": str(number), "homeId": "h1", "at": text})
        policy = parse(made_up.policy([rows(container.id)]))
        totals = await sweep(policy, {"cosmos/main": store}, lambda: NOW, Random(1))
        assert dict(totals["rows"].strange) == {naive.NO_TIME: len(texts)}
