"""A small world for the log's tests: stores in memory, journals to append, a key, a topic that remembers."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from writes import Site, here, written

from shared.audit import EventType, parse_event, plain_event
from shared.errors import TransientError
from shared.ledger.checkpoint import Signer
from shared.ledger.head import Ledger
from shared.ledger.log import append
from shared.ledger.publish import publish
from shared.ledger.reader import Live
from shared.ledger.seal import seal
from shared.ledger.verify import verify
from shared.stores.memory import MemoryObjects

YEAR = "2026"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
STORES = ("tiles", "state", "journals")


def event(intent: str, ordinal: int, note: str = "") -> bytes:
    return plain_event(
        EventType.RUN_COMPLETED,
        event_id=f"{intent}/{ordinal}",
        source="/test",
        time=START,
        policy_digest="sha256:00",
        subject=None,
        data={"note": note},
    )


def journal(intent: str, events: list[bytes]) -> bytes:
    texts = [each.decode() for each in events]
    return json.dumps({"v": 1, "state": "settled", "intent": intent, "events": texts}).encode()


@dataclass
class RememberingTopic:
    """Keeps every batch taken; `fail` = "unapplied" or "applied" makes the next send fail that way."""

    sent: list[tuple[str, bytes]] = field(default_factory=list)
    fail: str = ""
    sites: set[Site] = field(default_factory=set)

    async def send(self, batch: bytes, *, message_id: str) -> None:
        self.sites |= here()
        fail, self.fail = self.fail, ""
        if fail != "unapplied":
            self.sent.append((message_id, batch))
        if fail:
            raise TransientError("no answer")

    def events(self) -> list[dict]:
        return [each for _, batch in self.sent for each in json.loads(batch)]


class World:
    """One ledger, and the events it must hold in the end."""

    def __init__(self, wrap=lambda store: store) -> None:
        self.stores = {name: written(MemoryObjects(clock=START)) for name in STORES}
        self.ledger = Ledger(origin="local.example/retention", **{name: wrap(self.stores[name]) for name in STORES})
        self.expected: dict[str, list[bytes]] = {}
        self.topic = RememberingTopic()

    def signer(self, year: str = YEAR) -> Signer:
        return Signer(name=self.ledger.origin_of(year), seed=bytes(range(32)))

    async def settle(self, intent: str, count: int, *, year: str = YEAR) -> None:
        events = [event(intent, ordinal) for ordinal in range(count)]
        self.expected.setdefault(year, []).extend(events)
        await self.put(intent, events, year=year)

    async def put(self, intent: str, events: list[bytes], *, year: str = YEAR) -> None:
        data = journal(intent, events)
        await self.stores["journals"].create(f"{intent}.json", data, metadata={"state": "settled", "log": year})

    async def work(self, year: str = YEAR) -> None:
        """What the ledger's functions do: append, seal, publish."""
        await append(self.ledger, year)
        await seal(self.ledger, year, self.signer(year))
        await publish(self.ledger, year, self.topic)

    def live(self, year: str = YEAR) -> Live:
        return Live(ledger=self.ledger, year=year)

    async def report(self, year: str = YEAR):
        return await verify(self.live(year), self.signer(year).verifier)

    async def names(self, store: str, prefix: str = "") -> list[str]:
        return [entry.name async for entry in self.stores[store].list(prefix)]

    async def staging(self) -> tuple[list[str], list[str]]:
        """(staging objects there are, staging objects that the head names)."""
        head = await self.stores["state"].read(f"{YEAR}/head")
        staged = json.loads(head.data)["staged"] if head else None
        return await self.names("state", f"{YEAR}/staging/"), [staged["name"]] if staged else []

    def later(self, **by: int) -> None:
        for store in self.stores.values():
            store.clock += timedelta(**by)


async def entries_of(world: World, year: str = YEAR) -> list[bytes]:
    """Every sealed entry's bytes, by a route of its own: straight from the bundles that the checkpoint covers."""
    tiles, found = world.stores["tiles"], []
    size = int((await world.stores["state"].read(f"{year}/checkpoint")).data.split(b"\n")[1])
    for first in range(0, size, 256):
        width = min(256, size - first)
        number = f"{first // 256:03d}" if first < 256_000 else "unused"
        stored = await tiles.read(f"{year}/tile/entries/{number}" + ("" if width == 256 else f".p/{width}"))
        data, at = stored.data, 0
        while at < len(data):
            length = data[at] << 8 | data[at + 1]
            found.append(data[at + 2 : at + 2 + length])
            at += 2 + length
    assert len(found) == size
    return found


async def assert_whole(world: World, year: str = YEAR) -> None:
    """Every event exactly once, the log sound, the outbox empty, all of it published in order."""
    found = await entries_of(world, year)
    assert sorted(found) == sorted(world.expected[year])
    report = await world.report(year)
    assert report.sound, [str(each) for each in report.findings]
    assert report.events == report.leaves == len(found)
    assert await world.names("journals") == []
    by_index = {each["logindex"]: each["id"] for each in world.topic.events() if each["logorigin"].endswith(year)}
    assert [by_index.get(index) for index in range(len(found))] == [parse_event(each)["id"] for each in found]
