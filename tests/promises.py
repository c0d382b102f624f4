"""What must hold of the tests' world when it has come to rest, whatever happened in it before."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable

from world import FINAL, HOMES, LINES, PERSONS, POLICY, World

from shared import audit
from shared.ledger.log import years
from shared.ledger.reader import Live
from shared.ledger.verify import verify
from shared.model import Record

OWN = {each.id for each in POLICY.categories if each.store.kind == "own"}
"""The pipeline's own containers: tests/unit/test_own_sweeps.py is about them."""

ACCOUNTS = {"erased", "erased_recoverable", "left", "already_gone", "replaced"}
"""What may be said of a record whose listed version was deleted. Not that it is held, blocked, retained or renewed."""

Accounted = Callable[[World, list[dict]], Awaitable[None]]
TOLD = {audit.EventType.REQUEST_COMPLETED, audit.EventType.REQUEST_NEEDS_ATTENTION, audit.EventType.REQUEST_REJECTED}


async def assert_whole(world: World, *, accounted: Accounted | None = None) -> list[dict]:
    """The promises, after everything came to rest; returns the events. `accounted` is another account of the records."""
    assert await world.at_rest()
    for year in await years(world.ledger):
        report = await verify(Live(ledger=world.ledger, year=year), world.signer(year).verifier)
        assert report.sound, [str(each) for each in report.findings]
        assert report.events <= report.leaves
    events = await world.events()
    await (accounted or _assert_records_are_accounted_for)(world, events)
    assert_each_deletion_is_told(world, events)
    await _assert_requests_ended_once(world, events)
    await _assert_runs_ended_once(world, events)
    _assert_no_personal_data(world, events)
    return events


async def _assert_records_are_accounted_for(world: World, events: list[dict]) -> None:
    said: dict[str, Counter[str]] = {}
    for event in events:
        if event["type"].startswith("retention.record.") and event["data"]["category"] not in OWN:
            kinds = said.setdefault(event["data"]["record"], Counter())
            kinds[event["type"].removeprefix("retention.record.")] += 1
    truth: dict[str, tuple[Record, Counter[str]]] = {}
    for record, answer in world.records.done:
        truth.setdefault(record.locator.text(), (record, Counter()))[1][answer] += 1
    names = {name for record, _ in truth.values() for name in await world.names_in_log(record)}
    assert {name for name, kinds in said.items() if kinds["erased"] or kinds["left"]} <= names, "an invented erasure"
    for record, did in truth.values():
        kinds = sum((said.get(name, Counter()) for name in await world.names_in_log(record)), Counter())
        what = (record.category, dict(did), dict(kinds))
        gone = did["deleted"] + did["left"]
        assert kinds["erased"] <= did["deleted"], f"an erasure that did not happen: {what}"
        assert kinds["left"] <= did["left"], f"a leaving that did not happen: {what}"
        told = kinds["erased"] + kinds["left"] + kinds["already_gone"] + kinds["replaced"]
        assert told >= gone, f"gone without an event: {what}"
        assert bool(kinds["already_gone"]) <= bool(did["missing"] or gone), f"called gone, and never was: {what}"
        assert bool(kinds["renewed"]) <= bool(did["changed"]), f"called renewed, and never was: {what}"


def assert_each_deletion_is_told(world: World, events: list[dict]) -> None:
    """What the unit of work that deleted a record said of it is true, or corrected by another event."""
    types = {each["id"]: each["type"].removeprefix("retention.record.") for each in events}
    corrected = {each["data"]["corrects"] for each in events if "corrects" in each["data"]}
    for event in set(world.records.took) - corrected:
        assert types.get(event) in ACCOUNTS, f"deleted, and called {types.get(event)}"


async def _assert_requests_ended_once(world: World, events: list[dict]) -> None:
    told = Counter(each["data"]["request"] for each in events if each["type"] in TOLD)
    for document in await world.documents():
        assert document.state in FINAL
        ends = 1 + len(document.decisions)  # each decision follows one end, and leads to another
        assert told.pop(document.id, 0) == ends, f"request in state {document.state} ended otherwise than {ends} times"
    assert not told


async def _assert_runs_ended_once(world: World, events: list[dict]) -> None:
    ended = Counter(each["data"]["run"] for each in events if each["type"] == audit.EventType.RUN_COMPLETED)
    assert set(ended.values()) <= {1}
    causes = {e["data"]["cause"].get("run") for e in events if e["type"].startswith("retention.record.")}
    assert causes - {None} <= set(ended), "a run deleted and never said that it ended"


def _assert_no_personal_data(world: World, events: list[dict]) -> None:
    texts = [json.dumps(each) for each in events] + LINES.texts + [str(each) for each in world.errors]
    for secret in (*PERSONS, *HOMES):
        assert not [text for text in texts if secret in text.lower()], f"personal data outside: {secret}"
