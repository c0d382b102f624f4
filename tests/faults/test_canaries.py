"""A canary in every personal field, and in every free text of every message: it gets out nowhere, whatever goes wrong.

Sweeps, erasures, holds, refusals, faults, recovery and closing, until nothing is left to do. Everything that the product
writes, sends, logs and raises on the way is searched as it happens; what may hold personal data while it is open is
searched again at the end.
"""

import base64
import hashlib
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from canaries import Planted, Search, planted, put, searched_fields
from hostile import BY_PEOPLE, KANARI, Maker
from world import OWN, QUEUES, Message, World

from functions.host import told
from shared import messages
from shared.errors import RetentionError
from shared.gauges import of_status
from shared.holds import Holds
from shared.journal import Journals
from shared.ledger.log import years
from shared.ledger.reader import Live
from shared.ledger.reader import entries as log_entries
from shared.parking import entries
from shared.requests.documents import State
from shared.status import Gathering
from shared.stores.memory import Fault

NEVER = ("tiles", "state", "heartbeats", "keys")
"""Containers in which no object may ever hold a canary. The names of all objects and their metadata may nowhere."""

OPERATORS = {
    "runs": {"approved_by", "by", "reason", "resumed_by"},
    "holds": {"owner", "by", "ended_by"},
    "parking": {"dismissed_by", "dismissed_because"},
    "requests": {"decisions"},
}
"""What somebody in operations wrote by hand: it stays in our own documents for their period, as docs/requests.md says."""

EXPECTED = (
    "logs", "errors", "events", "status", "metrics", "receipts, events",
    *(f"{container}, names" for container in OWN), *(f"{container}, metadata" for container in OWN),
    *(f"{container}, content" for container in (*NEVER, "journals")),
    *(f"{container}, at the end" for container in ("requests", "parking", "holds", "runs")),
    *(f"queue {queue}, properties" for queue in QUEUES), *(f"queue {queue}, bodies" for queue in QUEUES if queue != "requests"),
)  # fmt: skip
"""What must have been searched."""

PAUSED = re.compile(r"by='[^']*', reason='[^']*'")
"""Of a pause, what its operator wrote: status shows it to other operators."""

FOREIGN = "item {0} of partition {0}: GET https://account.example/{0}?x={0}"
"""How the text of an SDK's error reads."""


class Watched:
    """A world of which everything that gets out is searched as it happens; `seen` counts how much that was."""

    def __init__(self) -> None:
        self.world = World(unit=20)
        self.found: Planted = planted(self.world.now)
        put(self.world, self.found)
        self.search = Search(self.found.secrets)
        self.seen: dict[str, int] = {}
        self.out: list[str] = []
        for name, store in self.world.own.items():
            self._watch_store(name, store)
        for name, queue in self.world.queues.items():
            self._watch_queue(name, queue)

    def look(self, where: str, *texts: Any, digests: bool = True) -> None:
        self.seen[where] = self.seen.get(where, 0) + 1
        if found := self.search(*texts, digests=digests):
            self.out.append(f"{where}: {found}")

    def _watch_store(self, container: str, store: Any) -> None:
        inner = store._put

        async def putting(name: str, data: bytes, metadata: Any) -> str:
            self.look(f"{container}, names", name, digests=container != "keys")  # a key lies under its scope's digest
            self.look(f"{container}, metadata", metadata or {})
            if container in NEVER or ((metadata or {}).get("state") == "settled" and container == "journals"):
                self.look(f"{container}, content", data)
            if container == "receipts":
                self.look("receipts, events", json.dumps(json.loads(data)["events"]))
            return await inner(name, data, metadata)

        store._put = putting

    def _watch_queue(self, name: str, queue: Any) -> None:
        inner = queue.send

        async def sending(body: bytes, *, message_id: str, session_id: str | None = None) -> None:
            self.look(f"queue {name}, properties", message_id, session_id or "")
            if name != "requests":  # what the sweeps order there names whom it is about
                self.look(f"queue {name}, bodies", body)
            await inner(body, message_id=message_id, session_id=session_id)

        queue.send = sending

    # ------------------------------------------------------------ what people and the host do

    def give(self, body: bytes) -> None:
        """A message of somebody's, under an id of their own making."""
        message = Message(body=body, message_id=f"{KANARI}-{uuid4()}", session_id=None)
        self.world.queues["requests"].messages.append(message)

    def order(self, kind: str, **fields: Any) -> None:
        self.give(messages.compose(kind, id=str(uuid4()), **fields))

    async def host(self) -> None:
        """Every queue delivers once, as the functions take it: what they raise is searched if it is ours."""
        for name, queue in self.world.queues.items():
            waiting, queue.messages = queue.messages, []
            for message in waiting:
                if not await self.fire(name, self.world.handle, name, message):
                    queue.messages.append(message)

    def raised(self, error: BaseException) -> None:
        self.look("errors", "".join(traceback.format_exception(error)))

    async def tick(self, **by: float) -> None:
        """Time passes, every timer fires, every message is delivered."""
        world = self.world
        world.later(**by)
        watch = (world.watch.journals, world.holding.watch, world.watch.idle_requests, world.dead_letters.look_again)
        for timer in (world.planner.tick, *watch, world.closer.close_due):
            await self.fire(timer.__name__, timer)
        await self.host()

    async def fire(self, name: str, function: Any, *given: Any) -> bool:
        """Call as a function of the app is called; whether it went well. What it raises is searched if it is ours."""
        try:
            await told(name)(function)(*given)
        except OSError:  # the store's own, which its adapters let nobody see: here it is raised on purpose
            return False
        except RetentionError as error:
            self.raised(error)
            return False
        return True

    # ------------------------------------------------------------ what somebody looks at

    async def looked_at(self) -> None:
        """How everything stands, as status and metrics tell it."""
        own = self.world.own
        gathering = Gathering(
            policy=self.world.policy,
            runs=self.world.runs,
            journals=Journals(objects=own["journals"]),
            requests=own["requests"],
            parking=own["parking"],
            holds=Holds(objects=own["holds"]),
            heartbeats=self.world.heartbeats,
            ledger=self.world.ledger,
            after=timedelta(minutes=10),
        )
        await self.world.overseer.watch(self.world.now)
        status = await gathering.gather()
        self.look("status", PAUSED.sub("", repr(status)))
        self.look("metrics", *(repr(point) for point in of_status(status, after=gathering.after)))


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def in_hexadecimal(text: str) -> str:
    return text.encode().hex()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def searched_logs(watched: Watched) -> Iterator[None]:
    """Every record of every logger there is, with its arguments and its traceback."""

    class Searching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            foreign = record.exc_info and isinstance(record.exc_info[1], OSError)
            watched.look("logs", record.getMessage(), repr(record.args), "" if foreign else self.format(record))

    handler, root = Searching(level=logging.DEBUG), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


# ---------------------------------------------------------------- the story


async def everybody_writes(watched: Watched, seed: int) -> None:
    """Every message that people send, with a canary in each field that has free text; and one of each, spoilt."""
    people = [item.body for item in watched.found.items if item.container == "users"]
    known = {
        "user_id": [each["userId"] for each in people],
        "email": [each["email"] for each in people],
        "home_id": [each["homeId"] for each in (i.body for i in watched.found.items) if "homeId" in each],
        "session_id": [i.body["sessionId"] for i in watched.found.items if i.container == "cart-sessions"],
        "ip": sorted(watched.found.addresses),
        "request": [each.id for each in await watched.world.documents()],
        "hold": [entry.name.removesuffix(".json") async for entry in watched.world.own["holds"].list()],
        "parked": [entry.id async for entry in entries(watched.world.own["parking"])],
        "category": ["operation-log", "camera-snapshots"],
    }
    maker = Maker(seed, known)
    for kind in dict.fromkeys(BY_PEOPLE):
        for _ in range(3):
            watched.give(json.dumps({"retention": maker.valid(kind)}).encode())
        watched.give(maker.body(kind))


async def the_story(watched: Watched) -> None:
    world = watched.world
    await watched.tick()
    for number in range(3):
        await everybody_writes(watched, number)
        world.records.fail(nth=3 + number, applied=bool(number % 2))
        world.own["journals"].arm(Fault(write="replace", applied=bool(number % 2), nth=2))
        world.own["requests"].arm(Fault(write="replace", applied=False, nth=5))
        with quoting(world, watched.found):
            await watched.tick(minutes=3)
        await watched.tick(minutes=11)
        await watched.looked_at()
    for name in ("erasures", *world.control._names()):
        watched.order("resume", category=name, by=KANARI)


@contextmanager
def quoting(world: World, found: Planted) -> Iterator[None]:
    """The next listings fail with an error that is not ours, and whose text quotes records' names."""
    names = iter([blob.name for blob in found.blobs[:2]] + [item.body["id"] for item in found.items[:2]])
    before = world.records.expired, world.records.of_scope

    def failing(listing: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            name = next(names, None)
            if name is not None:
                raise OSError(FOREIGN.format(name))
            return listing(*args, **options)

        return call

    world.records.expired, world.records.of_scope = map(failing, before)
    try:
        yield
    finally:
        world.records.expired, world.records.of_scope = before


async def the_end(watched: Watched) -> None:
    """Somebody decides about everything that waits; then a year passes."""
    world = watched.world
    for _ in range(4):
        async for entry in world.own["holds"].list():
            if entry.name.endswith(".json"):
                watched.order("release", hold=entry.name.removesuffix(".json"), by=KANARI, reason=KANARI)
        async for each in entries(world.own["parking"]):
            if not each.dismissed:
                watched.order("dismiss", parked=each.id, by=KANARI, reason=KANARI)
        for document in await world.documents():
            if document.state is State.NEEDS_ATTENTION:
                watched.order("resolve", request=document.id, by=KANARI, reason=KANARI)
        await watched.host()
        await world.rest()
        await of(watched, "parking")
        world.later(days=40)
        await world.closer.close_due()
    await world.rest()


async def at_the_end(watched: Watched) -> None:
    """What might hold a canary while it was open holds none."""
    own, look = watched.world.own, watched.look
    for year in await years(watched.world.ledger):
        async for _, event in log_entries(Live(ledger=watched.world.ledger, year=year)):
            look("events", json.dumps(event))
    assert [entry.name async for entry in own["journals"].list()] == []
    for container in ("requests", "holds", "register", "runs"):
        await of(watched, container)


async def of(watched: Watched, container: str) -> None:
    """Search a container of which everything is over, but for what operators wrote."""
    objects = watched.world.own[container]
    for entry in [each async for each in objects.list()]:
        data = json.loads((await objects.read(entry.name)).data)
        words = OPERATORS.get(container, set()) | ({"reason"} if data.get("state") == "rejected" else set())
        rest = {name: each for name, each in data.items() if name not in words}
        watched.look(f"{container}, at the end", json.dumps(rest))


async def a_year_later(watched: Watched) -> None:
    """The periods of our own documents are over: those about people are gone, operators' words with them."""
    own = watched.world.own
    watched.world.later(days=400)
    await watched.world.rest()
    for container in ("requests", "receipts", "register", "parking", "holds"):
        assert [entry.name async for entry in own[container].list()] == [], container


@pytest.mark.timeout(240)
async def test_no_personal_data_gets_out_whatever_goes_wrong() -> None:
    watched = Watched()
    with searched_logs(watched):
        await the_story(watched)
        await the_end(watched)
    for error in watched.world.errors:
        if not isinstance(error, OSError):
            watched.raised(error)
    await at_the_end(watched)
    await a_year_later(watched)
    assert watched.out == []
    assert {*EXPECTED} <= {*watched.seen}, "what was not searched proves nothing"


def test_every_field_by_which_somebody_is_found_has_a_canary() -> None:
    fields = planted(World().now).fields
    assert {container: wanted - fields[container] for container, wanted in searched_fields().items()} == {
        container: set() for container in searched_fields()
    }


@pytest.mark.parametrize("spelt", [str, str.upper, quote, json.dumps, in_base64, in_hexadecimal, digest])
def test_the_search_finds_a_canary_however_it_is_spelt(spelt: Callable[[str], str]) -> None:
    found = planted(World().now)
    search = Search(found.secrets)
    assert not search("a plain line of 42 records, 203.0.114.9 and 5f4dcc3b5aa765d61d8327deb882cf99")
    for secret in found.secrets:
        for before in ("", "x", "xy"):
            assert search(f"before {spelt(before * (spelt is in_base64) + secret)}"), secret
