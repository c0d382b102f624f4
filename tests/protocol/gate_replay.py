"""Drives the gate's own code through a walk of its model: each call of a store waits until the walk says that it is its turn.

Before each step the worker must wait for exactly the call that the model says, about the same records; at the end the
records, journals, events and corrections must be those of the model. Refused with DivergedError, which says where the two
part: one of them is wrong.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from explore import Edge, told
from gate_state import Bounds, State, Worker
from replaying import DivergedError

from shared.deletion import Gate
from shared.errors import TransientError
from shared.holds import Holds
from shared.journal import Journals
from shared.keys import ScopeKeys
from shared.model import Record, Scope, ScopeKind, SweepCause
from shared.policy_file import load
from shared.stores.interface import NoAnswer
from shared.stores.memory import MemoryObjects
from shared.stores.memory_records import MemoryRecords

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = load(Path(__file__).parents[2] / "policy.yaml")
HELD, FREE = POLICY.category("operation-log"), POLICY.category("devices")
HOME = "tomtveien"
HOLD = {"id": "hold-1", "kind": "category", "target": HELD.id, "owner": "legal", "reason": "a dispute"}
CALLS = {
    "holds first": "holds.list",
    "holds": "holds.list",
    "holds late": "holds.list",
    "create": "journals.create",
    "correct": "journals.create",
    "now": "journals.now",
    "look": "records.there",
    "look back": "records.there",
    "delete": "records.delete",
} | dict.fromkeys(("touch", "settle", "give up"), "journals.replace")
READS = ("read", "touch read", "settle read", "settle said", "give up read", "give up said")
CALLS |= dict.fromkeys(READS, "journals.read")
WORDS = {"already_gone": "gone"}


class Actor:
    """One worker: its task, the call that it waits for, and what it asks about."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.call = ""
        self.records: Sequence[Record] = ()
        self.answers: dict[Record, Any] = {}
        self._turn: asyncio.Future[Any] | None = None

    async def waits(self, call: str) -> Any:
        """Wait for the turn of a call; what comes back is the answer, where the walk gives one."""
        self.call = call
        self._turn = asyncio.get_running_loop().create_future()
        try:
            return await self._turn
        finally:
            self.call = ""

    async def goes_on(self, answer: Any = None) -> None:
        """Let the call be carried out, and wait until it has come to the next one, or to its end."""
        self._turn.set_result(answer)
        self.call = ""
        await self.comes_to_rest()

    async def comes_to_rest(self) -> None:
        """Wait until it waits for a call, or has ended."""
        while not self.call and not self.task.done():
            await asyncio.sleep(0)
        if self.task.done() and (error := self.task.exception()) and not isinstance(error, TransientError):
            raise error

    async def dies(self) -> None:
        """At the call that it waits for, which is not carried out."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


class Waiting:
    """A container whose calls wait for their turn: those named here; the others belong to the one before."""

    def __init__(self, inner: MemoryObjects, name: str, calls: Sequence[str], actor: Actor) -> None:
        self._inner, self._name, self._calls, self._actor = inner, name, calls, actor

    def __getattr__(self, method: str) -> Any:
        if method not in self._calls:
            return getattr(self._inner, method)

        async def one(*args: Any, **options: Any) -> Any:
            await self._actor.waits(f"{self._name}.{method}")
            return await getattr(self._inner, method)(*args, **options)

        async def many(*args: Any, **options: Any) -> Any:
            await self._actor.waits(f"{self._name}.{method}")
            async for each in self._inner.list(*args, **options):
                yield each

        return many if method == "list" else one


class Asked:
    """The records, asked by one worker: the walk carries out what it asks for, and gives the answers."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Any:
        self._actor.records, self._actor.answers = records, {}
        return await self._actor.waits("records.delete")

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Any:
        self._actor.records = records
        return await self._actor.waits("records.there")


class Doorbell:
    """Takes every ring."""

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        return


class Replay:
    """The stores, a clock for each unit, and the workers."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.journals, self.holds, self.keys = (MemoryObjects(clock=START) for _ in range(3))
        self.records = MemoryRecords(START)
        self.clocks = [START] * len(bounds.units)
        self.actors: list[Actor] = []
        self.listed: list[Record] = []

    async def begin(self) -> None:
        """Records listed, the lease on, the first workers at their first call."""
        for r in range(self.bounds.records):
            self._write(r)
            if r in self.bounds.leases:
                self.records.block(self._category(r), f"row-{r}", partition=HOME)
            home = Scope(kind=ScopeKind.HOME, id=HOME)
            pages = [page async for page in self.records.of_scope(self._category(r), home, size=10)]
            self.listed += [each for page in pages for each in page.records if each.locator.key == f"row-{r}"]
        for unit in self.bounds.workers:
            actor = self._actor()
            records = [self.listed[r] for r in self.bounds.units[unit]]
            await self._starts(actor, self._gate(actor, unit).delete(records, CAUSE, intent_id=name(unit)))
        for _ in range(self.bounds.recoveries):
            self._actor()

    async def walk(self, walk: Sequence[Edge]) -> None:
        """Take the steps; compare after each what the workers wait for, at the end all there is."""
        at = self.bounds.start()
        done = []
        await self.begin()
        try:
            for label, after in walk:
                done.append(label)
                await self._step(label, at)
                at = after
                self._same_calls(at)
            await self._same(at)
        except Exception as error:
            raise DivergedError(f"{error!r}\nafter\n  " + "\n  ".join(map(told, done))) from error
        finally:
            for actor in self.actors:
                if actor.task is not None and not actor.task.done():
                    await actor.dies()

    # ------------------------------------------------------------ steps

    async def _step(self, label: tuple[Any, ...], at: State) -> None:
        match label:
            case ("app", _, r):
                self._write(r)
            case ("stranger", _, r):
                self.records.remove(self._category(r), f"row-{r}", partition=HOME)
            case ("lease", _, r):
                if self.records.item(self._category(r), f"row-{r}", partition=HOME) is not None:
                    self.records.block(self._category(r), f"row-{r}", None, partition=HOME)
            case ("late", _, _, r):
                await self.records.delete([self.listed[r]])
            case ("ledger", _, unit):
                await self.journals.delete(f"{name(unit)}.json")
            case ("minutes", _, unit):
                self.clocks[unit] += timedelta(minutes=6)
            case ("hold", "is placed"):
                await self.holds.create("hold-1.json", json.dumps(HOLD).encode())
            case ("hold", *_):
                return  # it looks and counts: that is `shared.holding`, and changes nothing here
            case _:
                await self._moves(label, at)

    async def _moves(self, label: tuple[Any, ...], at: State) -> None:
        match label:
            case (number, "dies"):
                await self.actors[number].dies()
            case (number, "recovers", unit):
                actor = self.actors[number]
                await self._starts(actor, self._gate(actor, unit).recover(name(unit)))
            case (number, what, *rest):
                await self._works(number, at.workers[number], what, rest)

    async def _works(self, number: int, worker: Worker, what: str, rest: Sequence[int]) -> None:
        actor = self.actors[number]
        ours = self.bounds.units[worker.unit]
        self.journals.clock = self.clocks[worker.unit]
        if worker.at in ("look", "look back"):
            assert list(actor.records) == [self.listed[ours[n]] for n in sorted(worker.kept)]
            silent = [NoAnswer()] * len(actor.records)
            return await actor.goes_on(silent if "no answer" in what else await self.records.there(actor.records))
        if worker.at != "delete":
            return await actor.goes_on()
        assert list(actor.records) == [self.listed[ours[n]] for n in sorted(worker.left - worker.kept)]
        if what == "delete reaches":
            record = self.listed[ours[rest[0]]]
            [actor.answers[record]] = await self.records.delete([record])
            return None
        long = 60.0 if "a long wait" in what else None
        silent_ones = {self.listed[ours[n]] for n in rest}
        answers = [NoAnswer(retry_after=long) if r in silent_ones else actor.answers[r] for r in actor.records]
        return await actor.goes_on(answers)

    # ------------------------------------------------------------ comparing

    def _same_calls(self, state: State) -> None:
        for number, (actor, worker) in enumerate(zip(self.actors, state.workers, strict=True)):
            ended = actor.task is None or actor.task.done()
            call = "" if ended else actor.call
            assert call == CALLS.get(worker.at, ""), f"worker {number} waits for {call!r}, its model for {worker.at!r}"

    async def _same(self, state: State) -> None:
        for r, version in enumerate(state.records):
            [there] = await self.records.there([self.listed[r]])
            assert there == {"old": "same", "new": "another", "gone": "missing"}[version], f"record {r} is {there}"
        for number, unit in enumerate(state.units):
            stored = await self.journals.read(f"{name(number)}.json")
            found = stored.metadata["state"] if stored else "absent"
            assert found == unit.state.replace("cleared", "absent"), f"journal {number} is {found}"
            if found == "settled":
                said = tuple(word(each) for each in events(stored.data))
                assert said == unit.said, f"journal {number} says {said}"
        assert tuple(sorted(await self._corrections())) == state.corrections
        notes = [each async for each in self.holds.list() if each.metadata]
        late = {(int(text[0]), text) for note in notes for text in json.loads(note.data)}
        told_late = {(unit, self.bounds.units[unit][int(text.rpartition("/")[2])]) for unit, text in late}
        assert told_late == state.hold.told

    async def _corrections(self) -> list[tuple[int, int, str]]:
        found = []
        ours = {name(unit) for unit in range(len(self.bounds.units))}
        async for entry in self.journals.list():
            if entry.name.removesuffix(".json") not in ours:
                for event in events((await self.journals.read(entry.name)).data):
                    intent, _, ordinal = event["data"]["corrects"].rpartition("/")
                    unit = int(intent[0])
                    found.append((unit, self.bounds.units[unit][int(ordinal)], word(event)))
        return found

    # ------------------------------------------------------------ parts

    def _category(self, r: int) -> Any:
        return HELD if r in self.bounds.covered else FREE

    def _write(self, r: int) -> None:
        self.records.put(self._category(r), {"id": f"row-{r}", "homeId": HOME, "at": "2026-01-01T00:00:00Z"})

    def _actor(self) -> Actor:
        self.actors.append(Actor())
        return self.actors[-1]

    async def _starts(self, actor: Actor, work: Any) -> None:
        actor.task = asyncio.ensure_future(work)
        await actor.comes_to_rest()

    def _gate(self, actor: Actor, unit: int) -> Gate:
        journals = Waiting(self.journals, "journals", ("create", "replace", "read", "now"), actor)
        return Gate(
            stores={"cosmos/main": Asked(actor)},
            journals=Journals(objects=journals),
            holds=Holds(objects=Waiting(self.holds, "holds", ("list",), actor)),
            keys=ScopeKeys(objects=self.keys),
            doorbell=Doorbell(),
            policy=POLICY,
            source="//test.example",
            clock=lambda: self.clocks[unit],
            sleep=_at_once,
        )


CAUSE = SweepCause(run="a-run", slice=0)


async def _at_once(_: float) -> None:
    return


def name(unit: int) -> str:
    """The intent of a unit."""
    return str(unit) * 32


def events(journal: bytes) -> list[dict[str, Any]]:
    """Of a settled journal."""
    return [json.loads(text) for text in json.loads(journal)["events"]]


def word(event: dict[str, Any]) -> str:
    """The model's word for what an event says."""
    said = event["type"].rpartition(".")[2]
    return WORDS.get(said, said)
