"""What must hold after recovery, on the bytes in the stores: nothing gone without its event, and no event untrue."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.servicebus.aio import ServiceBusClient
from company import NEIGHBOUR, Company, Thing
from victims import Site

from shared import audit
from shared.keys import name_of
from shared.ledger.log import logs
from shared.ledger.reader import Live, entries
from shared.ledger.verify import verify
from shared.model import Scope
from shared.parking import entries as parked_entries
from shared.requests.by_policy import request_id
from shared.requests.documents import State
from shared.wiring import Product

RECORD = "retention.record."
GONE = ("erased", "erased_recoverable", "already_gone")
CONTRACT_ENDED, HOME_EMPTY = "users-contract-ended", "homes-last-member-gone"
QUEUES = ("sweeps", "requests", "requests-work", "ledger")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The numbers of it."""

    records: int
    gone: int
    outcomes: Mapping[str, int]
    twice: int
    events: int
    repeats: int
    runs: int
    uncounted: int
    requests: int
    dismissed: int


async def check(site: Site, company: Company) -> Found:
    """Check everything. Raises AssertionError that names what is wrong."""
    product = company.product
    leaves: list[dict[str, Any]] = []
    for year in await logs(product.ledger):
        live = Live(ledger=product.ledger, year=year)
        report = await verify(live, product.signer(year).verifier)
        assert report.sound, report.findings[:5]
        mine = [event async for _, event in entries(live)]
        assert await _published(site, year) >= {(i, e["id"]) for i, e in enumerate(mine)}, "the topic lost events"
        leaves += mine
    by_id = {event["id"]: event for event in leaves}  # verify has seen that those with one id are the same
    told = [e for e in leaves if e["type"].startswith(RECORD)]
    assert len(told) == len({e["id"] for e in told}), "the event of a record stands in the log twice"
    gone, twice = await _records(company, told)
    uncounted = await _runs(product, by_id.values())
    requests, dismissed = await _requests(company, leaves)
    assert not [each async for each in product.own("journals").list()], "a journal is left"
    assert not [each async for each in product.own("ledger-journals").list()], "a journal of the ledger is left"
    await _status(product)
    return Found(
        records=len(company.things),
        gone=gone,
        outcomes=Counter(e["type"].removeprefix(RECORD) for e in told),
        twice=twice,
        events=len(by_id),
        repeats=len(leaves) - len(by_id),
        runs=sum(e["type"] == audit.EventType.RUN_COMPLETED for e in by_id.values()),
        uncounted=uncounted,
        requests=requests,
        dismissed=dismissed,
    )


# ---------------------------------------------------------------- records


async def _records(company: Company, told: list[dict[str, Any]]) -> tuple[int, int]:
    """Hold every event of a record against what is stored. Returns how many are gone, and how many were told twice."""
    stored = await company.stored()
    scopes = {name_of(scope) for thing in company.things.values() for scope in thing.scopes}
    keys = {}
    for name in sorted(scopes):
        held = await company.product.keys.objects.read(name)
        if held is not None:
            keys[name] = held.data
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in told:
        events[event["data"]["record"]].append(event)
    gone = twice = 0
    wrong: list[str] = []
    for text, thing in company.things.items():
        names = [keys[name] for scope in thing.scopes if (name := name_of(scope)) in keys]
        mine = [e for key in names for e in events.pop(audit.pseudonym(key, "record", text), ())]
        if text not in stored:
            gone += 1
        why, again = _against(thing, stored.get(text), mine)
        twice += again
        if why:
            where = thing.locator
            wrong.append(f"{where.container}, {thing.fate}: {why}; said: {[_short(e) for e in mine]}")
    assert not wrong, (len(wrong), wrong[:5])
    assert not events, f"{len(events)} records that nobody knows have events"
    unknown = stored.keys() - company.things.keys()
    assert not unknown, f"{len(unknown)} records are stored that nobody put there"
    return gone, twice


def _against(
    thing: Thing, stored: tuple[str, Mapping[str, Any]] | None, mine: list[dict[str, Any]]
) -> tuple[str, bool]:
    """What is wrong with what became of a record, and was said of it; "" for nothing. And whether it was told twice."""
    kinds = Counter(event["type"].removeprefix(RECORD) for event in mine)
    claims = [event for event in mine if _says_gone(event)]
    if thing.fate == "left":
        return _against_left(stored, kinds, claims), False
    if untrue := kinds.keys() - _may_be_said(thing):
        return f"events that cannot be: {untrue}", False
    if stored is None:
        if thing.fate in ("kept", "held"):
            return "it is gone, and was not due", False
        if not claims:
            return "it is gone, and no event says so", False
        if kinds["erased"] > 1:
            return "two events say that they erased it", False
        units = [event["id"].partition("/")[0] for event in claims]
        return ("one unit says twice that it is gone" if len(units) > len(set(units)) else ""), len(claims) > 1
    if thing.fate in ("due", "asked"):
        return "it is still there", False
    if claims:
        return "it is there, and an event says that it is gone", False
    changed = thing.etag.strip('"') != stored[0].strip('"')
    return ("it is another version than was written" if changed else ""), False


def _may_be_said(thing: Thing) -> set[str]:
    """What can be true of a record at all."""
    if thing.fate == "held":
        return {"held"}
    gone = {"erased", "already_gone"} if thing.fate != "kept" else set[str]()
    if thing.locator.container == "homes":
        return gone | {"left", "renewed", "replaced"}  # whoever leaves a home writes it anew
    return gone | ({"renewed", "replaced"} if thing.changed else set[str]())


def _against_left(home: tuple[str, Mapping[str, Any]] | None, kinds: Counter[str], claims: list[dict[str, Any]]) -> str:
    if home is None:
        return "the home is gone, and somebody lives there"
    if home[1]["members"] != [NEIGHBOUR]:
        return "the person still lives there"
    if claims:
        return "an event says that the home is gone"
    if kinds["left"] + kinds["already_gone"] != 1:
        return "that it was left is not said once"
    return ""


def _says_gone(event: Mapping[str, Any]) -> bool:
    """Whether it says that a record is gone; where a person leaves one, `already_gone` says that it names them no more."""
    return event["type"].removeprefix(RECORD) in GONE and "action" not in event["data"]


def _short(event: Mapping[str, Any]) -> tuple[str, str]:
    return event["type"].removeprefix(RECORD), event["id"]


# ---------------------------------------------------------------- runs and requests


async def _runs(product: Product, events: Collection[Mapping[str, Any]]) -> int:
    """Each run that ended said so once, and said no more than the log does. Returns the units that it did not count."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    twice = pairs(events, "run")
    ended: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event["type"].startswith(RECORD) and "run" in event["data"]["cause"]:
            told[event["data"]["cause"]["run"]][event["type"].removeprefix(RECORD)] += 1
        if event["type"] == audit.EventType.RUN_COMPLETED:
            assert event["data"]["run"] not in ended, "a run ended twice"
            ended[event["data"]["run"]] = event["data"]
    for run, said in ended.items():
        outcomes = Counter(said["outcomes"])
        assert outcomes <= told[run], f"a run counts what the log has not: {outcomes - told[run]}"
        assert outcomes == told[run] or said["uncounted"], f"a run does not say all: {told[run] - outcomes}"
        assert run not in twice, "two units of one run say of a record that it is gone"
    current = {h.value.run for c in product.policy.enforced() if (h := await product.runs.current(c.id))}
    assert told.keys() <= ended.keys() | current, "a run that deleted never ended"
    return sum(said["uncounted"] for said in ended.values())


def pairs(events: Collection[Mapping[str, Any]], cause: str) -> dict[str, list[set[str]]]:
    """By run, or by request: the units, two or more, that say of the same record that it is gone. There should be none.

    A correction is of the unit that it corrects: a worker that woke up late says what it deleted, whoever said so before.
    """
    claims: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in events:
        if _says_gone(event) and cause in event["data"]["cause"]:
            unit = event["data"].get("corrects", event["id"]).partition("/")[0]
            claims[event["data"]["cause"][cause], event["data"]["record"]].add(unit)
    found: dict[str, list[set[str]]] = defaultdict(list)
    for (by, _), units in claims.items():
        if len(units) > 1:
            found[by].append(units)
    return dict(found)


async def _requests(company: Company, leaves: list[dict[str, Any]]) -> tuple[int, int]:
    """Each request has one result. Returns how many there are, and how many parked messages were made good."""
    documents = {}
    async for entry in company.product.own("requests").list():
        held = await company.product.requests.load(entry.name.removesuffix(".json"))
        assert held is not None
        documents[held.value.id] = held.value
    assert {str(each) for each in company.asked} <= documents.keys(), "a request was lost"
    people = [await _by_policy(company, each, CONTRACT_ENDED) for each in company.by_policy]
    assert all(ids & documents.keys() for ids in people), "the erasure of a person was never asked for"
    homes = [await _by_policy(company, each, HOME_EMPTY) for each in company.own_homes]
    unknown = documents.keys() - {str(each) for each in company.asked} - set().union(*people, *homes)
    assert not unknown, f"{len(unknown)} requests are of nobody: {[documents[each].reason for each in unknown]}"
    states = Counter(each.state for each in documents.values())
    assert states.keys() <= {State.DONE, State.CLOSED}, states  # there are no backups to wait for
    said: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for event in leaves:
        if event["type"].startswith("retention.request."):
            said[event["data"]["request"]].add((event["type"], event["id"]))
    wanted = [audit.EventType.REQUEST_COMPLETED, audit.EventType.REQUEST_RECEIVED]
    assert said.keys() == documents.keys()
    for request, each in said.items():
        closed = [audit.EventType.REQUEST_CLOSED] if documents[request].state is State.CLOSED else []
        assert sorted(kind for kind, _ in each) == sorted(wanted + closed), f"answered otherwise than once: {each}"
    twice = pairs(leaves, "request")
    assert not twice, f"units of one request say of the same record that it is gone: {twice}"
    parked = [each async for each in parked_entries(company.product.own("parking"))]
    assert all(each.dismissed for each in parked), "a parked message was not made good"
    return len(documents), len(parked)


async def _by_policy(company: Company, scope: Scope, rule: str) -> set[str]:
    """The ids that an erasure by this rule may have, one for each day.

    Between a person's leaving of their home and its erasure a sweep may meet it, and ask for the same.
    """
    key = await company.product.keys.find(scope)
    days = (datetime.now(UTC) - timedelta(days=back) for back in range(2))
    return {str(request_id(key, scope, rule, day)) for day in days} if key else set()


# ---------------------------------------------------------------- messages, and how it all stands


async def _published(site: Site, year: str) -> set[tuple[int, str]]:
    """Index and id of every event that the topic's subscription got."""
    found = set()
    async with (
        ServiceBusClient.from_connection_string(site.settings["ServiceBus"]) as client,
        client.get_subscription_receiver("audit", "siem") as receiver,
    ):
        while batch := await receiver.receive_messages(max_message_count=50, max_wait_time=2):
            for message in batch:
                found |= {
                    (event["logindex"], event["id"])
                    for event in json.loads(b"".join(message.body))
                    if event["time"].startswith(year)
                }
                await receiver.complete_message(message)
    return found


async def _status(product: Product) -> None:
    dead = dict(zip(QUEUES, await asyncio.gather(*map(product.dead_letters_of, QUEUES)), strict=True))
    assert dead == dict.fromkeys(QUEUES, 0), dead
    found = await product.gathering.gather(dead=dead)
    assert not found.attention, found.attention
