"""The tables of docs/cost.md: what was counted (docs/counts.json) times what is published (docs/prices.json).

`python -m docs.cost` writes them between the marks `<!-- NAME -->` and `<!-- /NAME -->`; `docs.build` does it with the
rest. Pure arithmetic: what nobody counted or published stands in ASSUMED, by name, and no price is in here.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, Final

from shared.ledger.publish import BATCH_BYTES
from shared.liveness import TIMERS
from shared.plan import swept_rules
from shared.policy import Policy
from shared.policy_file import load

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGE = DOCS / "cost.md"

MILLION: Final = 1_000_000
HOURS: Final = 730
BILLED_BYTES: Final = 64 * 1024  # of a message, for each operation
STORAGE: Final = ("write", "list", "read", "other")
ASSUMED: Final = {"memory": 2.0, "seconds": 1.0, "delete": 5.0, "query": 5.0}
"""GB of an instance (instanceMemory of infra/main.bicep); seconds of a timer that finds nothing (the least that is
billed); request units of deleting an item of 1 KB, and of a query that finds nothing (at strong consistency)."""

ENDPOINTS: Final = 11
ZONES: Final = 8
"""Of infra/modules/private.bicep, with two apps and a trial's stores."""

Uses = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Price:
    """One published price: so much for `per` units; the first `free` of a month cost nothing."""

    key: str
    what: str
    price: float
    per: float
    unit: str
    free: float
    region: str
    read: str
    page: str
    kept: str
    meter: str
    note: str = ""

    def of(self, quantity: float, *, granted: bool = True) -> float:
        """What a month's quantity costs; `granted`, that the month has nothing else to use its free part up."""
        return max(0.0, quantity - (self.free if granted else 0.0)) / self.per * self.price


@dataclass(frozen=True, kw_only=True)
class Book:
    """What was counted, what is published, and what a month has to do."""

    counts: Mapping[str, Any]
    prices: Mapping[str, Price]
    policy: Policy
    alerts: Mapping[str, Any]

    # ------------------------------------------------------------ a million deletions

    def deletions(self, kind: str) -> Uses:
        """What a million deletions use, in full units: storage, and what is billed of messages and of items."""
        counted = self.counts[kind]
        units = MILLION / self.counts["unit"]
        each = counted["each unit"]
        uses = defaultdict(float, {name: each.get(name, 0.0) * units for name in STORAGE})
        uses["other"] += each.get("batch", 0.0) * units
        uses["bus_operations"] = sum(_billed(queue, each.get(queue, 0.0)) for queue in ("ledger", "audit")) * units
        uses["stored"] = counted["bytes in the log"] * MILLION / 1e9
        if each.get("items"):
            uses["ru"] = MILLION * ASSUMED["delete"]
        return uses

    # ------------------------------------------------------------ an idle month

    @cached_property
    def firings(self) -> dict[str, float]:
        """How often each timer fires in a month."""
        return {name: HOURS * 3600 / span.total_seconds() for name, span in TIMERS.items()}

    @cached_property
    def runs(self) -> dict[str, float]:
        """How often each category's run starts in a month."""
        swept = [category for category in self.policy.enforced() if swept_rules(category)]
        return {category.id: HOURS * 3600 / category.cadence.time.total_seconds() for category in swept}

    def empty_run(self, name: str) -> Mapping[str, float]:
        """What an empty run of the category asks; one that nobody counted, as much as another in such a store."""
        counted: Mapping[str, Mapping[str, float]] = self.counts["empty runs"]
        if name in counted:
            return counted[name]
        kind = self.policy.category(name).store.kind
        alike = (each for each in counted if each in self.runs and self.policy.category(each).store.kind == kind)
        return counted[next(alike, next(iter(counted)))]

    def idle(self) -> Uses:
        """What a month asks in which nothing is due: storage, queries, executions."""
        uses: defaultdict[str, float] = defaultdict(float)
        counted = [(self.counts["timers"][name], times) for name, times in self.firings.items()]
        counted += [(self.empty_run(name), times) for name, times in self.runs.items()]
        for each, times in counted:
            for name in (*STORAGE, "query"):
                uses[name] += each.get(name, 0.0) * times
        uses["executions"] = sum(self.firings.values())
        uses["gbs"] = uses["executions"] * ASSUMED["seconds"] * ASSUMED["memory"]
        uses["ru"] = uses["query"] * ASSUMED["query"]
        return uses

    def watching(self) -> list[tuple[str, float, float]]:
        """(price, quantity, cost) of the alerts, each with one time series: those that have more cost more."""
        by_price: Counter[str] = Counter()
        for query in self.alerts["queries"]:
            by_price[f"alert_{min(_minutes(query['frequency']), 15)}"] += 1
        by_price["metric_alert"] = len(self.alerts["metrics"])
        return [(key, number, self.prices[key].of(number)) for key, number in sorted(by_price.items())]


def _billed(queue: str, messages: float) -> float:
    """Operations of messages that are sent, received with a lock, and completed; `audit` fills its messages."""
    size = ceil(BATCH_BYTES / BILLED_BYTES) if queue == "audit" else 1
    return messages * (size + size + 1)


def _minutes(frequency: str) -> int:
    number, unit = int(frequency[2:-1]), frequency[-1]
    return number * {"M": 1, "H": 60}[unit]


# ---------------------------------------------------------------- tables


def prices_table(book: Book) -> str:
    """Every price, where it is published and where it was kept."""
    rows = [
        [
            f"[{each.what}]({each.page})" + (f" ({each.note})" if each.note else ""),
            _exact(each.price) + (f" for {_count(each.per)} {each.unit}" if each.per != 1 else f" a {each.unit}"),
            _count(each.free) if each.free else "",
            each.region,
            f"[{each.read}]({each.kept})",
        ]
        for each in book.prices.values()
    ]
    return _table(["Price", "USD", "Free in a month", "Region", "Kept on"], rows)


def counts_table(book: Book) -> str:
    """What was counted of deletions."""
    names = {
        "write": "blob writes",
        "list": "blob listings",
        "read": "blob reads",
        "other": "other blob operations",
        "batch": "blob batches (charged as other)",
        "delete": "blob deletes of our own (free)",
        "query": "queries",
        "items": "transactional batches of items",
        "metadata": "requests about a container",
        "sweeps": "messages on `sweeps`",
        "ledger": "messages on `ledger`",
        "audit": "messages on `audit`, full",
    }
    columns = [(kind, part) for kind in ("blobs", "items") for part in ("each unit", "each run")]
    rows = [
        [text, *(_plain(book.counts[kind][part].get(key, 0)) for kind, part in columns)] for key, text in names.items()
    ]
    for text, key in (
        ("bytes kept in the log, each deletion", "bytes in the log"),
        ("bytes published", "bytes published"),
    ):
        rows.append([text, _plain(book.counts["blobs"][key]), "", _plain(book.counts["items"][key]), ""])
    heads = ["", "Blobs: each 1,000", "beside, each run", "Items: each 1,000", "beside, each run"]
    return _table(heads, rows)


def deletions_cost(book: Book, kind: str) -> float:
    """What a million deletions cost, without the functions' time."""
    return sum(book.prices[key].of(number, granted=False) for key, number in book.deletions(kind).items())


def deletions_table(book: Book) -> str:
    """What a million deletions cost."""
    rows = []
    used = {kind: book.deletions(kind) for kind in ("blobs", "items")}
    for key in (*STORAGE, "bus_operations", "ru", "stored"):
        row = [book.prices[key].what]
        for uses in used.values():
            cost = book.prices[key].of(uses[key], granted=False)
            row += [_quantity(uses[key]), _money(cost)] if uses[key] else ["", ""]
        rows.append(row)
    blobs, items = (f"**{_money(deletions_cost(book, kind))}**" for kind in used)
    rows.append(["**in all**", "", blobs, "", items])
    return _table(["", "A million blobs", "USD", "A million items", "USD"], rows)


def timers_table(book: Book) -> str:
    """What each timer and each category's empty run asks in a month."""
    rows = [_row(f"timer `{n}`", times, book.counts["timers"][n], book) for n, times in book.firings.items()]
    by_cadence: dict[float, list[str]] = {}
    for name, times in book.runs.items():
        by_cadence.setdefault(times, []).append(name)
    for times, names in sorted(by_cadence.items(), reverse=True):
        each = [book.empty_run(name) for name in names]
        counted = {key: sum(one.get(key, 0) for one in each) for key in (*STORAGE, "query")}
        rows.append(_row("empty runs of " + ", ".join(f"`{n}`" for n in names), times, counted, book))
    return _table(["", "Times a month", "Writes", "Listings", "Reads", "Other", "Queries", "USD (storage)"], rows)


def _row(text: str, times: float, counted: Mapping[str, float], book: Book) -> list[str]:
    cost = sum(book.prices[key].of(counted.get(key, 0) * times) for key in STORAGE)
    cells = [_plain(counted.get(key, 0)) for key in (*STORAGE, "query")]
    return [text, _quantity(times), *cells, _money(cost)]


def idle_lines(book: Book) -> list[tuple[str, float, float]]:
    """(what, quantity, cost) of an idle month."""
    uses = book.idle()
    lines: list[tuple[str, float, float]] = []
    lines.append((book.prices["bus_base"].what, HOURS, book.prices["bus_base"].of(HOURS)))
    lines += [(book.prices[key].what, uses[key], book.prices[key].of(uses[key])) for key in STORAGE]
    lines += [(book.prices[key].what, uses[key], book.prices[key].of(uses[key])) for key in ("executions", "gbs")]
    lines.append((f"{book.prices['ru'].what} (assumed)", uses["ru"], book.prices["ru"].of(uses["ru"])))
    lines += [(book.prices[key].what, number, cost) for key, number, cost in book.watching()]
    return lines


def idle_table(book: Book) -> str:
    """What an idle month costs."""
    lines = idle_lines(book)
    rows = [[what, _quantity(number), _money(cost)] for what, number, cost in lines]
    rows.append(["**in all**", "", f"**{_money(sum(cost for _, _, cost in lines))}**"])
    return _table(["", "In a month", "USD"], rows)


def figures(book: Book) -> dict[str, str]:
    """Single figures that the text names."""
    prices = book.prices
    standard, premium = prices["bus_base"].of(HOURS), prices["bus_premium"].of(HOURS)
    idle = sum(cost for _, _, cost in idle_lines(book))
    apart = ENDPOINTS * prices["endpoint"].of(HOURS) + prices["zone"].of(ZONES)
    return {
        "idle-total": _money(idle),
        "alerts-total": _money(sum(cost for _, _, cost in book.watching())),
        "private-total": _money(idle - standard + premium + apart),
        "million-blobs": _money(deletions_cost(book, "blobs")),
        "million-items": _money(deletions_cost(book, "items")),
        "premium": f"{_money(premium)} instead of {_money(standard)}",
        "endpoint": _money(prices["endpoint"].of(HOURS)),
        "unit-second": _money(MILLION / book.counts["unit"] * ASSUMED["memory"] * prices["gbs"].price),
        "autoscale": _money(1.5 * prices["ru_provisioned"].of(HOURS)),
        "small-memory": _money(prices["gbs"].of(sum(book.firings.values()) * ASSUMED["seconds"] * 0.5)),
        "read-of-a-key": _money(prices["read"].of(MILLION)),
    }


def with_tables(text: str, book: Book) -> str:
    """The page with its tables and figures as they are now. Raises KeyError for a mark that nothing makes."""
    tables = {
        "prices": prices_table,
        "counts": counts_table,
        "deletions": deletions_table,
        "timers": timers_table,
        "idle": idle_table,
    }
    single = figures(book)

    def made(found: re.Match[str]) -> str:
        name = found["name"]
        inner = f"\n{tables[name](book)}\n" if name in tables else single[name]
        return f"<!-- {name} -->{inner}<!-- /{name} -->"

    return re.sub(r"<!-- (?P<name>[a-z-]+) -->.*?<!-- /(?P=name) -->", made, text, flags=re.DOTALL)


# ---------------------------------------------------------------- text


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 0.005 or amount == 0 else f"{amount:.4f}"  # noqa: PLR2004 - a cent


def _exact(price: float) -> str:
    return f"{price:.6f}".rstrip("0").ljust(4, "0")


def _quantity(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.2f}"  # noqa: PLR2004


def _plain(number: float) -> str:
    return f"{number:g}" if number else ""


def _count(number: float) -> str:
    return f"{number:,.0f}"


def read() -> Book:
    """The book, from the files."""
    listed = json.loads((DOCS / "prices.json").read_text(encoding="utf-8"))["prices"]
    return Book(
        counts=json.loads((DOCS / "counts.json").read_text(encoding="utf-8")),
        prices={each["key"]: Price(**each) for each in listed},
        policy=load(ROOT / "policy.yaml"),
        alerts=json.loads((ROOT / "infra" / "data" / "alerts.json").read_text(encoding="utf-8")),
    )


def outputs() -> dict[Path, str]:
    """The page, as it must be now."""
    return {PAGE: with_tables(PAGE.read_text(encoding="utf-8"), read())}


def main() -> None:
    """Write the page."""
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
