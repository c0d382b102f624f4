"""Drives the ledger's own code through a walk of its model: each call of a store waits until the walk says it is its turn.

A worker may wait for several calls at once (it reads and deletes journals so); it must wait for the one that the model says
comes next. At the end head, log, journals, checkpoints, cursor and what was sent must be those of the model.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from explore import Edge, told
from ledger_state import Bounds, State, Worker
from ledger_world import START, YEAR, RememberingTopic, event, journal
from replaying import DivergedError

from shared.audit import parse_event
from shared.errors import ChangedError, ExistsError
from shared.ledger.checkpoint import Signer
from shared.ledger.head import Head, Ledger, decode_head
from shared.ledger.log import append
from shared.ledger.publish import publish
from shared.ledger.seal import seal
from shared.ledger.tiles import split_bundle
from shared.stores.memory import MemoryObjects

CALLS = {
    "state.read head": ("head", "head again", "names", "sweep"),
    "state.read staging": ("staging",),
    "state.write head": ("swap", "finish"),
    "state.create staging": ("stage",),
    "state.delete staging": ("drop", "sweep one"),
    "journals.list": ("list",),
    "journals.read": ("read",),
    "journals.delete": ("clear",),
    "state.read checkpoint": ("latest",),
    "tiles.list newest": ("newest",),
    "tiles.list checkpoints": ("numbered",),
    "tiles.create newest": ("note",),
    "tiles.create checkpoints": ("sign",),
    "state.write checkpoint": ("make latest",),
    "state.read published": ("cursor",),
    "topic.send": ("send",),
    "state.write published": ("move",),
}
CALL_AT = {at: call for call, ats in CALLS.items() for at in ats}
IDLE_TURNS = 12  # of the loop without a new call: the worker has come to rest


class Actor:
    """One worker: its task, and the calls that it waits for, with what they are about."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.task: asyncio.Task[Any] | None = None
        self.calls: dict[tuple[str, str], asyncio.Future[bool]] = {}

    async def waits(self, call: str, name: str) -> bool:
        """Wait for the turn of a call; say whether it is to be repeated."""
        turn = self.calls[call, name] = asyncio.get_running_loop().create_future()
        try:
            return await turn
        finally:
            if self.calls.get((call, name)) is turn:
                del self.calls[call, name]

    async def goes_on(self, call: str, name: str = "", *, repeated: bool = False) -> None:
        """Let a call be carried out, and wait until no new one comes."""
        found = [each for each in self.calls if each[0] == call and name in each[1]]
        assert found, f"waits for {sorted(self.calls)}, not for {call} {name}"
        self.calls.pop(found[0]).set_result(repeated)
        await self.comes_to_rest()

    async def comes_to_rest(self) -> None:
        """Wait until it waits for all that it will, or has ended."""
        quiet, seen = 0, -1
        while not self.task.done() and quiet < IDLE_TURNS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.calls and len(self.calls) == seen else 0
            seen = len(self.calls)
        if self.task.done():
            self.task.result()

    async def dies(self) -> None:
        """At the calls that it waits for, none of which is carried out."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        self.calls.clear()


class Waiting:
    """A container whose calls wait for their turn, where the model has a step for them."""

    def __init__(self, inner: MemoryObjects, where: str, actor: Actor) -> None:
        self._inner, self._where, self._actor = inner, where, actor

    def __getattr__(self, method: str) -> Any:
        inner = getattr(self._inner, method)

        async def one(name: str = "", *args: Any, **options: Any) -> Any:
            call = self._call(method, name)
            repeated = call in CALLS and await self._actor.waits(call, name)
            if call == "state.write head":  # a staging object that is older than the head is old enough to be swept
                self._inner.clock += timedelta(minutes=11)
            answer = await inner(name, *args, **options) if name else await inner()
            if repeated:
                raise ChangedError("the vendor's client repeated it") if method == "replace" else ExistsError("taken")
            return answer

        async def many(prefix: str = "") -> Any:
            call = self._call(method, prefix)
            if call in CALLS:
                await self._actor.waits(call, prefix)
            async for each in inner(prefix):
                yield each

        return many if method == "list" else one

    def _call(self, method: str, name: str) -> str:
        if self._where == "journals":
            return f"journals.{method}"
        what = name.split("/")[1] if "/" in name else ""
        write = method in ("create", "replace") and what != "staging" and self._where == "state"
        return f"{self._where}.{'write' if write else method} {what}"


class Topic(RememberingTopic):
    """Waits for its turn too."""

    def __init__(self, actor: Actor, sent: list[tuple[str, bytes]]) -> None:
        super().__init__(sent=sent)
        self._actor = actor

    async def send(self, batch: bytes, *, message_id: str) -> None:
        await self._actor.waits("topic.send", "")
        await super().send(batch, message_id=message_id)


class Replay:
    """The containers and the workers."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.stores = {name: MemoryObjects(clock=START) for name in ("tiles", "state", "journals")}
        self.actors = [Actor(worker.kind) for worker in bounds.start().workers]
        self.names: dict[int, str] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.ledger = Ledger(origin="local.example/retention", **self.stores)
        self.signer = Signer(name=self.ledger.origin_of(YEAR), seed=bytes(range(32)))

    async def walk(self, walk: Sequence[Edge]) -> None:
        """Take the steps; compare after each what the workers wait for, at the end all there is."""
        at = self.bounds.start()
        done = []
        try:
            for label, after in walk:
                done.append(label)
                await self._step(label, at, after)
                at = after
                await self._same_calls(at)
            await self._same(at)
        except Exception as error:
            raise DivergedError(f"{error!r}\nafter\n  " + "\n  ".join(map(told, done))) from error
        finally:
            for actor in self.actors:
                if actor.task is not None and not actor.task.done():
                    await actor.dies()

    async def _step(self, label: tuple[Any, ...], at: State, after: State) -> None:
        match label:
            case ("gate", _, j):
                data = journal(name(j), [event(name(j), 0)])
                await self.stores["journals"].create(
                    f"{name(j)}.json", data, metadata={"state": "settled", "log": YEAR}
                )
            case ("somebody", _, 0):
                head, state = await self.stores["state"].read(f"{YEAR}/head"), self.stores["state"]
                await state.replace(head.name, Head().encode(self.ledger.origin_of(YEAR)), etag=head.etag)
                for gone in [
                    e.name async for e in state.list() if "/staging/" in e.name or e.name.endswith("/checkpoint")
                ]:
                    await state.delete(gone)
            case ("somebody", *_):
                raise NotImplementedError("only what was there at first can be set back")
            case (number, "dies"):
                await self.actors[number].dies()
            case (number, "begins"):
                self.actors[number].task = asyncio.ensure_future(self._work(self.actors[number]))
                await self.actors[number].comes_to_rest()
            case (number, "clear", j):
                await self.actors[number].goes_on("journals.delete", name(j))
            case (number, what, *rest):
                await self._works(self.actors[number], at.workers[number], what, repeated=bool(rest))
                if what == "stage":
                    known = set(self.names.values())
                    staged = [
                        e.name async for e in self.stores["state"].list(f"{YEAR}/staging/") if e.name not in known
                    ]
                    [self.names[after.workers[number].name]] = staged

    async def _works(self, actor: Actor, worker: Worker, what: str, *, repeated: bool) -> None:
        about = ""
        match what:
            case "read":
                about = name(worker.listed[0])
            case "drop":
                about = self.names[worker.name]
            case "sweep one":
                about = self.names[worker.orphans[0]]
            case "staging":
                about = self.names[worker.head.staged]
        await actor.goes_on(CALL_AT[what], about, repeated=repeated)

    async def _work(self, actor: Actor) -> None:
        containers = {where: Waiting(store, where, actor) for where, store in self.stores.items()}
        ledger = Ledger(origin=self.ledger.origin, **containers)
        match actor.kind:
            case "append":
                await append(ledger, YEAR)
            case "seal":
                await seal(ledger, YEAR, self.signer)
            case "publish":
                await publish(ledger, YEAR, Topic(actor, self.sent))

    # ------------------------------------------------------------ comparing

    async def _same_calls(self, state: State) -> None:
        for number, (actor, worker) in enumerate(zip(self.actors, state.workers, strict=True)):
            if worker.at != "newest" and any(call == "tiles.list newest" for call, _ in actor.calls):
                await actor.goes_on("tiles.list newest")  # a log without a head is asked whether it ever had one
            calls = sorted({call for call, _ in actor.calls})
            want = [] if worker.at == "rests" else [CALL_AT[worker.at]]
            assert calls == want, f"worker {number} waits for {calls}, its model for {worker.at!r}"

    async def _same(self, state: State) -> None:
        stored = await self.stores["state"].read(f"{YEAR}/head")
        assert (stored is None) == (state.head is None)
        if stored is not None:
            head = decode_head(stored.data, self.ledger.origin_of(YEAR))
            staging = await self.stores["state"].read(head.staged.name)
            texts = split_bundle(staging.data, head.size) if staging else []
            assert tuple(int(parse_event(text)["id"][0]) for text in texts) == state.head.log
            assert tuple(int(each[0]) for each in head.appended) == state.head.appended
        staged = {e.name async for e in self.stores["state"].list(f"{YEAR}/staging/")}
        assert staged == {self.names[each] for each, _, _ in state.staging}
        left = {int(e.name[0]) async for e in self.stores["journals"].list()}
        assert left == {j for j, each in enumerate(state.journals) if each == "settled"}
        signed = {int(e.name.rpartition("/")[2]) async for e in self.stores["tiles"].list(f"{YEAR}/checkpoints/")}
        assert signed == {len(each) for each in state.signed}
        cursor = await self.stores["state"].read(f"{YEAR}/published")
        assert (json.loads(cursor.data)["next"] if cursor else 0) == state.cursor
        sent = [each for _, batch in self.sent for each in json.loads(batch)]
        assert {(each["logindex"], int(each["id"][0])) for each in sent} == state.published


def name(j: int) -> str:
    """The intent of a journal."""
    return str(j) * 32
