"""docs/cost.md: its tables are what was counted times what is published, and everything in them has its source."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.main import get_command

from cli.main import app
from docs import cost, counting
from shared.config import SETTINGS
from shared.liveness import TIMERS
from shared.plan import swept_rules

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("cost.md", "scale.md", "migrate.md")
LIFECYCLE = ("prefixMatch", "daysAfterModificationGreaterThan")  # words of the vendor's rules


@pytest.fixture(scope="module")
def book() -> cost.Book:
    return cost.read()


def price(**changes: object) -> cost.Price:
    given = {
        "key": "k",
        "what": "w",
        "price": 2.0,
        "per": 10,
        "unit": "u",
        "free": 0,
        "region": "r",
        "read": "2026-08-14",
    }
    return cost.Price(**{**given, "page": "p", "kept": "k", "meter": "m", **changes})  # type: ignore[arg-type]


def test_the_page_is_what_the_counts_and_the_prices_make() -> None:
    for path, text in cost.outputs().items():
        assert path.read_text(encoding="utf-8") == text, "run `make docs`"


def test_every_price_names_its_page_its_date_and_its_region(book: cost.Book) -> None:
    for each in book.prices.values():
        assert each.price > 0
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", each.read), each.key
        assert each.region
        assert each.meter
        assert each.page.startswith("https://azure.microsoft.com/pricing/details/"), each.key
        assert each.kept.startswith("https://"), each.key


def test_no_price_is_there_twice() -> None:
    listed = json.loads((DOCS / "prices.json").read_text(encoding="utf-8"))["prices"]
    assert len({each["key"] for each in listed}) == len(listed)


def test_every_timer_and_every_swept_category_was_counted(book: cost.Book) -> None:
    assert set(book.counts["timers"]) == set(TIMERS), "run `python -m docs.counting`"
    swept = {category.id for category in book.policy.enforced() if swept_rules(category)}
    assert set(book.counts["empty runs"]) == swept, "run `python -m docs.counting`"


def test_no_count_is_negative(book: cost.Book) -> None:
    parts = [book.counts[kind][part] for kind in ("blobs", "items") for part in ("each unit", "each run")]
    parts += [*book.counts["timers"].values(), *book.counts["empty runs"].values()]
    assert all(number >= 0 for part in parts for number in part.values())


def test_a_month_pays_for_what_is_beyond_its_free_part() -> None:
    assert price(free=100).of(150) == pytest.approx(10.0)
    assert price(free=100).of(50) == 0
    assert price(free=100).of(150, granted=False) == pytest.approx(30.0)


def test_a_full_message_on_the_topic_is_billed_for_each_64_kb_both_ways_and_once_to_complete(book: cost.Book) -> None:
    made = cost.Book(
        counts={"unit": 1000, "blobs": {"each unit": {"ledger": 1, "audit": 2}, "bytes in the log": 800}},
        prices=book.prices,
        policy=book.policy,
        alerts={},
    )
    assert made.deletions("blobs")["bus_operations"] == 1000 * (3 + 2 * (4 + 4 + 1))


def test_a_million_deletions_are_a_thousand_full_units(book: cost.Book) -> None:
    uses = book.deletions("blobs")
    assert uses["write"] == book.counts["blobs"]["each unit"]["write"] * 1000
    assert uses["stored"] == pytest.approx(book.counts["blobs"]["bytes in the log"] / 1000)
    assert book.deletions("items")["ru"] == 5_000_000


def test_a_timer_of_each_minute_fires_43_800_times_in_a_month(book: cost.Book) -> None:
    assert book.firings["planner"] == 43_800
    assert book.firings["ledger_retire"] == pytest.approx(730 / 24)
    assert book.runs["camera-snapshots"] == 4_380


def test_the_idle_month_has_each_firing_and_each_empty_run(book: cost.Book) -> None:
    by_hand = sum(book.counts["timers"][name].get("write", 0) * times for name, times in book.firings.items())
    by_hand += sum(book.counts["empty runs"][name].get("write", 0) * times for name, times in book.runs.items())
    assert book.idle()["write"] == pytest.approx(by_hand)
    assert book.idle()["executions"] == pytest.approx(sum(book.firings.values()))


def test_a_category_that_nobody_counted_is_reckoned_as_another_in_such_a_store(book: cost.Book) -> None:
    new = book.policy.category("users").model_copy(update={"id": "doorbells"})
    policy = replace(book.policy, categories=(*book.policy.categories, new))
    more = replace(book, policy=policy)
    alike = next(each.id for each in book.policy.enforced() if each.store.kind == "cosmos" and each.id in book.runs)
    assert more.empty_run("doorbells") == book.counts["empty runs"][alike]
    assert more.idle()["write"] > book.idle()["write"]
    assert "doorbells" in cost.with_tables(cost.PAGE.read_text(encoding="utf-8"), more)


def test_every_alert_is_in_the_bill(book: cost.Book) -> None:
    rules = len(book.alerts["queries"]) + len(book.alerts["metrics"])
    assert sum(number for _, number, _ in book.watching()) == rules


def test_the_assumed_memory_is_that_of_the_deployment() -> None:
    bicep = (DOCS.parent / "infra" / "main.bicep").read_text(encoding="utf-8")
    found = re.search(r"param instanceMemory int = (\d+)", bicep)
    assert found is not None
    assert int(found[1]) / 1024 == cost.ASSUMED["memory"]


def test_endpoints_and_zones_are_those_of_the_private_network() -> None:
    private = (DOCS.parent / "infra" / "modules" / "private.bicep").read_text(encoding="utf-8")
    accounts = json.loads((DOCS.parent / "infra" / "data" / "accounts.json").read_text(encoding="utf-8"))
    alone = len(re.findall(r"^module \w+ 'endpoint.bicep' = \{", private, re.MULTILINE))
    assert alone + len(accounts) + len(("pipeline", "ledger")) == cost.ENDPOINTS
    assert len(set(re.findall(r"'privatelink\.[^']+'", private))) == cost.ZONES


def test_a_mark_that_nothing_makes_is_refused(book: cost.Book) -> None:
    with pytest.raises(KeyError):
        cost.with_tables("<!-- nothing --><!-- /nothing -->", book)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/account/box?restype=REDACTED&comp=REDACTED&prefix=REDACTED", "list"),
        ("GET", "/account/box/2026-11-22/picture.jpg", "read"),
        ("PUT", "/account/box/journal.json", "write"),
        ("DELETE", "/account/box/journal.json", "delete"),
        ("POST", "/account/box?restype=REDACTED&comp=REDACTED", "batch"),
        ("GET", "/account/box?restype=REDACTED", "other"),
        ("GET", "/account/?restype=REDACTED&comp=REDACTED", "other"),
        ("HEAD", "/account/box/picture.jpg", "other"),
    ],
)
def test_a_request_is_counted_as_it_is_charged(method: str, path: str, kind: str) -> None:
    assert counting.charged_as(method, f"http://127.0.0.1:10000{path}") == kind


@pytest.mark.parametrize("page", PAGES)
def test_every_command_on_the_page_exists(page: str) -> None:
    commands = get_command(app)
    named = re.findall(r"\bretention ((?:[a-z]+ ?)+)", (DOCS / page).read_text(encoding="utf-8"))
    shown = [words.split() for words in named if words.split()[0] in commands.commands]  # type: ignore[attr-defined]
    assert shown or page == "cost.md"
    for words in shown:
        inner = commands.commands[words[0]]  # type: ignore[attr-defined]
        if hasattr(inner, "commands"):
            assert words[1:2], f"{page}: retention {words[0]} needs a command"
            assert words[1] in inner.commands, f"{page}: retention {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_and_parameter_on_the_page_exists(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert set(re.findall(r"\bRETENTION_[A-Z_]+[A-Z]\b", text)) <= {each.name for each in SETTINGS}
    bicep = (DOCS.parent / "infra" / "main.bicep").read_text(encoding="utf-8")
    declared = set(re.findall(r"^param (\w+)", bicep, re.MULTILINE))
    for name in re.findall(r"`([a-z]+[A-Z]\w+)`", text):
        if name not in LIFECYCLE:
            assert name in declared, f"{page}: {name}"
