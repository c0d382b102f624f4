"""Hostile messages: each is recorded, none crashes a function, none ends in silence, and nothing of any gets out.

RETENTION_MESSAGES=N tries N of them (default 10,000).
"""

import json
import os
import re
import warnings
from collections import Counter

import pytest
from hostile import ADDRESSES, BY_PEOPLE, KANARI, POISON, SCHEMAS, Maker
from promises import assert_whole
from world import LINES, POLICY, Message, World

from shared import messages
from shared.audit import EventType
from shared.plan import swept_rules
from shared.runs import ERASURES

BATCH = 500
NUMBER = int(os.environ.get("RETENTION_MESSAGES", "10000"))
KINDS = {"work": ("work",), "sweeps": ("slice",), "ledger": ("doorbell",)}
QUEUES = ("requests",) * 15 + ("work", "work", "sweeps", "sweeps", "ledger")
SECRET = re.compile("|".join(map(re.escape, (KANARI, *ADDRESSES))), re.IGNORECASE)
SWEPT = [category.id for category in POLICY.enforced() if swept_rules(category)]
NO_OPS = {
    messages.Run: "a run is unfinished: the log's line says so",
    messages.Pause: "it is paused",
    messages.Resume: "it is not paused",
    messages.Release: "the hold is over",
    messages.Replay: "nothing was erased since",
    messages.Retry: "the same order again",
    messages.Resolve: "the same order again",
    messages.Dismiss: "it is dismissed",
    messages.Work: "the request is not at work",
    messages.SliceOrder: "the slice is done",
}
"""The orders that may change nothing, and why: docs/requests.md tells people."""


class Office:
    """A world that gets messages, and the account of what each of them left behind."""

    def __init__(self, seed: int) -> None:
        self.known = {
            "user_id": ["anna", "bob", *POISON[:12]], "home_id": ["birkeveien", "skogveien"], "request": [], "id": [],
            "email": ["anna@anna.example", "ANNA@anna.example"], "category": [*SWEPT, ERASURES, "journals"],
            "run": [], "hold": [], "parked": [], "session_id": ["cleo-session"],
        }  # fmt: skip
        self.maker = Maker(seed, self.known)
        self.world = World()
        self.world.neighbourhood()
        for name in POISON[:12]:
            self.world.user(f"{name}{KANARI}")
        self.told = Counter()
        self.number = 0

    def _marks(self) -> tuple[dict[str, int], dict[str, set[str]], int]:
        own = self.world.own
        names = {name: set(own[name]._objects) for name in ("parking", "requests", "journals", "holds")}
        return {name: len(store.writes) for name, store in own.items()}, names, len(LINES.texts)

    async def take(self, queue: str, body: bytes) -> None:
        """Give one message to the function of its queue, and look at what became of it."""
        self.number += 1
        marks, names, lines = self._marks()
        message = Message(body=body, message_id=f"m{self.number}", session_id=None)
        await self.world.handle(queue, message)  # whatever it raises is a failure
        wrote = {name for name, store in self.world.own.items() if len(store.writes) > marks[name]}
        new = {name: set(self.world.own[name]._objects) - before for name, before in names.items()}
        events = [event for journal in new["journals"] for event in self._events(journal)]
        for text in [json.dumps(event) for event in events] + LINES.texts[lines:]:
            assert not SECRET.search(text), f"something of the message got out: {text}"
        if queue != "ledger":
            kind = self._account(body, new, [event["type"] for event in events], wrote, LINES.texts[lines:])
            self.told[kind] += 1
            self._learn(new)

    def _events(self, journal: str) -> list[dict]:
        held = json.loads(self.world.own["journals"]._objects[journal].data)
        return [json.loads(event) for event in held.get("events", ())]

    def _account(
        self, body: bytes, new: dict[str, set[str]], events: list[str], wrote: set[str], lines: list[str]
    ) -> str:
        """What the message became; AssertionError for nothing, or for two things."""
        if new["parking"]:
            assert len(new["parking"]) == 1
            assert events == [EventType.MESSAGE_PARKED]
            assert wrote <= {"parking", "journals"}, f"a refused message changed {wrote}"
            return "parked"
        order = messages.parse(body, now=self.world.now)  # whatever is not parked is valid
        if new["requests"]:
            assert new["requests"] == {f"{order.id}.json"} or isinstance(order, messages.Replay)
            assert events.count(EventType.REQUEST_RECEIVED) == len(new["requests"])
            return "request"
        if events:
            return f"order: {type(order).__name__}"
        if isinstance(order, messages.Run):
            assert lines or "runs" in wrote
            return "order: Run"
        if isinstance(order, messages.Erase | messages.Restrict):
            assert self.world.own["requests"]._objects[f"{order.id}.json"], "a repeat of a request that nobody made"
            return "no-op: the same request again"
        if isinstance(order, messages.Hold):
            assert f"{order.id}.json" in self.world.own["holds"]._objects
            return "no-op: the same hold again"
        return f"no-op: {NO_OPS[type(order)]}"

    def _learn(self, new: dict[str, set[str]]) -> None:
        """Later messages name what earlier ones made."""
        parked = sorted(name.rpartition("/")[2][:16] for name in new["parking"])
        for field, found in (
            ("request", new["requests"]),
            ("hold", new["holds"]),
            ("id", new["requests"] | new["holds"]),
        ):
            self.known[field] = [*self.known[field], *sorted(n.removesuffix(".json") for n in found if "/" not in n)][
                -5:
            ]
        self.known["parked"] = [*self.known["parked"], *parked][-5:]
        runs = {name.split("/")[1] for name in self.world.own["runs"]._objects if name.endswith("/run")}
        self.known["run"] = sorted(runs)[-5:]

    async def close(self) -> None:
        """Let all of it come to rest, and look everywhere."""
        for name in (*SWEPT, ERASURES):
            body = messages.compose("resume", id=self.maker.uuid(), by="ops", category=name)
            await self.world.handle("requests", Message(body=body, message_id=f"resume {name}", session_id=None))
        await self.world.rest()
        events = await assert_whole(self.world)
        seen = [json.dumps(event) for event in events] + LINES.texts + [str(error) for error in self.world.errors]
        for store in self.world.own.values():
            seen += [f"{name} {dict(held.metadata)}" for name, held in store._objects.items()]
        for queue in self.world.queues.values():
            seen += [f"{message_id}" for message_id in queue._seen]
            seen += [f"{message.session_id}" for message in queue.messages]
        assert not [text for text in seen if SECRET.search(text)]


@pytest.mark.parametrize("seed", range((NUMBER + BATCH - 1) // BATCH))
async def test_each_hostile_message_is_recorded_and_nothing_of_it_gets_out(seed: int):
    office = Office(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning goes to standard error, and may quote a value
        for _ in range(BATCH):
            queue = office.maker.chance.choice(QUEUES)
            kinds = BY_PEOPLE if queue == "requests" else KINDS[queue]
            if office.maker.chance.random() < 0.1:
                kinds = (*SCHEMAS,)
            body = office.maker.body(office.maker.chance.choice(kinds))
            try:
                await office.take(queue, body)
            except Exception as error:
                raise AssertionError(f"{queue}: {body[:1500]!r}: {error!r}") from error
        await office.close()
    assert office.told["parked"] > BATCH / 4
    assert office.told["request"] >= BATCH / 50, office.told
    assert len(office.told) > 10, office.told
