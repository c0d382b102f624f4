"""A small company in memory: the shipped policy, every store and queue as a fake, a clock to move, a log to verify.

What runs is the product's own code, wired as `shared.wiring` wires it. Messages are delivered as the host does: an
exception puts one back, a PermanentError parks it. `Witness` notes what the stores truly did, so that the log can be
compared with it; `Steps` lets a test crash, or let a rival run, at any call of any store or queue.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from disturbances import CrashError, Steps
from writes import Site, here, written

from shared import audit, messages
from shared.containers import OWN_CONTAINERS
from shared.control import Control
from shared.dead_letters import SWEEPS, WORK, DeadLetters
from shared.deletion import Gate
from shared.door import Door
from shared.errors import PermanentError, RetentionError, TransientError
from shared.holding import Holding
from shared.holds import NOTE, Hold, Holds
from shared.journal import Intent, Journals
from shared.keys import ScopeKeys, name_of, name_of_category
from shared.ledger.checkpoint import Signer
from shared.ledger.head import Ledger
from shared.ledger.log import append, years
from shared.ledger.reader import Live, entries, sealed
from shared.ledger.seal import seal
from shared.liveness import Heartbeats
from shared.model import Locator, Record, Scope, ScopeKind
from shared.overdue import Overseer
from shared.parking import Parking
from shared.parking import entries as parked_entries
from shared.plan import Caps
from shared.planner import Planner
from shared.policy import Category
from shared.policy_file import load
from shared.requests.close import Closer
from shared.requests.decide import Decisions
from shared.requests.documents import RequestDocument, Requests, State
from shared.requests.erase import Eraser
from shared.requests.intake import Intake
from shared.requests.rate import Rate
from shared.requests.register import Register
from shared.requests.replay import Replays
from shared.requests.work import Tools
from shared.runs import Runs
from shared.stores.interface import Answer, Recoverable
from shared.stores.memory import MemoryObjects
from shared.stores.memory_own import MemoryOwn
from shared.stores.memory_records import MemoryRecords
from shared.stores.own_records import PLACE, Container, OwnRecords
from shared.sweep import Sweeps
from shared.watch import Watch

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CAPS = Caps()
POLICY = load(Path(__file__).parents[1] / "policy.yaml")
SWEPT = {c.name: c.name.removeprefix("scope-") for c in OWN_CONTAINERS if c.swept_by == "pipeline"}
OWN = ("journals", *SWEPT.values(), "tiles", "state")
QUEUES = ("sweeps", "requests", "work", "ledger")
DEAD = {"sweeps": SWEEPS, "work": WORK}  # the names under which their dead letters are parked
MOST_DELIVERIES = 10
FINAL = (State.DONE, State.NEEDS_ATTENTION, State.REJECTED, State.CLOSED)
PERSONS = ("anna", "bob", "cleo", "dora")  # part of every id, name and address below: none may reach a log or an event
HOMES = ("birkeveien", "skogveien", "tomtveien")


class Lines(logging.Handler):
    """Every line that the product logged, traceback and all."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


LINES = Lines()
logging.getLogger("retention").addHandler(LINES)
logging.getLogger("retention").setLevel(logging.DEBUG)


@dataclass(kw_only=True)
class Message:
    body: bytes
    message_id: str
    session_id: str | None
    deliveries: int = 0


class MemoryQueue:
    """Messages in a list. Like the broker it drops a repeated id, and like a network it may fail one send."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._seen: dict[str, datetime] = {}
        self._faults: list[list] = []
        self.messages: list[Message] = []
        self.dead: list[Message] = []
        self.sends = 0
        self.sites: list[frozenset[Site]] = []

    def arm(self, *, nth: int = 1, applied: bool) -> None:
        self._faults.append([self.sends + nth, applied])

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        self.sends += 1
        self.sites.append(here())
        fault = next((applied for nth, applied in self._faults if nth == self.sends), None)
        if fault is not False:
            last = self._seen.get(message_id)
            if last is None or self._world.now - last > timedelta(minutes=10):
                self._seen[message_id] = self._world.now
                self.messages.append(Message(body=body, message_id=message_id, session_id=session_id))
        if fault is not None:
            raise TransientError("no answer")


ASKING: ContextVar[Intent] = ContextVar("asking")
"""For which intent the stores are asked to delete."""


class Witnessed(Gate):
    """The gate, which says for whom it asks."""

    async def _ask(self, store: str, intent: Intent, ordinals: Sequence[int]) -> Sequence[Answer]:
        token = ASKING.set(intent)
        try:
            return await super()._ask(store, intent, ordinals)
        finally:
            ASKING.reset(token)


class Witness(MemoryRecords):
    """Records that remember what was truly done to each, and that let no deletion go unseen.

    `took` has the ids of the events that must account for each deletion: `<intent>/<ordinal>`.
    """

    def __init__(self, clock: datetime) -> None:
        super().__init__(clock)
        self.done: list[tuple[Record, Answer]] = []
        self.took: list[str] = []

    def _apply(self, record: Record, leaver: Scope | None) -> Answer:
        answer = super()._apply(record, leaver)
        self.done.append((record, answer))
        intent = ASKING.get(None)
        if intent is not None and (answer in {"deleted", "left"} or isinstance(answer, Recoverable)):
            self.took.append(f"{intent.id}/{intent.records.index(record)}")
        return answer


class World:
    """The product over fakes. Without `sweeping` the planner's timer does not fire."""

    def __init__(self, *, unit: int = 2, sweeping: bool = True, caps: Caps = CAPS) -> None:
        self.now = START
        self.sweeping = sweeping
        self.steps = Steps()
        self.own = {name: written(MemoryObjects(clock=START)) for name in OWN}
        self.records = Witness(START)
        self.queues = {name: MemoryQueue(self) for name in QUEUES}
        self.slept: list[float] = []
        self.strangers: list[str] = []  # locator texts that somebody else deleted
        self.hurry: Callable[[], bool] = lambda: False
        self.errors: list[BaseException] = []
        LINES.texts.clear()
        own = {name: self.steps.around(store) for name, store in self.own.items()}
        queues = {name: self.steps.around(queue) for name, queue in self.queues.items()}
        records = self.steps.around(self.records)
        stores = dict.fromkeys(("blob/data", "blob/backup", "cosmos/main"), records)
        stores[PLACE] = self.steps.around(own_records({name: self.own[short] for name, short in SWEPT.items()}))
        self.policy = POLICY
        self.gate = Witnessed(
            stores=stores,
            journals=Journals(objects=own["journals"]),
            holds=Holds(objects=own["holds"]),
            keys=ScopeKeys(objects=own["keys"]),
            doorbell=queues["ledger"],
            policy=POLICY,
            source="//test.example",
            clock=self.clock,
            sleep=self._sleep,
        )
        self.runs = Runs(objects=own["runs"])
        self.sweeps = Sweeps(
            policy=POLICY,
            stores=stores,
            gate=self.gate,
            runs=self.runs,
            sweeps=queues["sweeps"],
            requests=queues["requests"],
            clock=self.clock,
            unit=unit,
        )
        self.heartbeats = Heartbeats(objects=own["heartbeats"])
        self.overseer = Overseer(
            policy=POLICY, stores=stores, holds=self.gate.holds, heartbeats=own["heartbeats"], concurrency=1
        )
        self.planner = Planner(
            policy=POLICY,
            stores=stores,
            gate=self.gate,
            runs=self.runs,
            sweeps=queues["sweeps"],
            heartbeats=self.heartbeats,
            clock=self.clock,
            resend_after=timedelta(minutes=10),
            most_slices=2,
            caps=caps,
        )
        self.holding = Holding(gate=self.gate, patience=3, sleep=self._sleep)
        self.control = Control(policy=POLICY, runs=self.runs, gate=self.gate)
        self.requests = Requests(objects=own["requests"], gate=self.gate)
        self.parking = Parking(objects=own["parking"], gate=self.gate)
        self.dead_letters = DeadLetters(runs=self.runs, requests=self.requests, parking=self.parking, clock=self.clock)
        self.rate = Rate(objects=own["runs"], most=1000)
        self.intake = Intake(
            policy=POLICY,
            stores=stores,
            requests=self.requests,
            work=queues["work"],
            log_size=self._log_size,
            restrict=self.holding.restrict,
            paused=self.control.paused,
            admit=self.rate.admit,
            clock=self.clock,
        )
        self.tools = Tools(
            policy=POLICY,
            stores=stores,
            gate=self.gate,
            requests=self.requests,
            paused=self.control.paused,
            clock=self.clock,
            unit=unit,
        )
        self.register = Register(objects=own["register"])
        self.eraser = Eraser(tools=self.tools, work=queues["work"], register=self.register)
        self.door = Door(
            intake=self.intake,
            decisions=Decisions(requests=self.requests, intake=self.intake, clock=self.clock),
            replays=Replays(
                register=self.register,
                marks=own["runs"],
                requests=self.requests,
                intake=self.intake,
                log_size=self._log_size,
            ),
            planner=self.planner,
            holding=self.holding,
            control=self.control,
            parking=self.parking,
            clock=self.clock,
        )
        self.watch = Watch(gate=self.gate, intake=self.intake, after=timedelta(minutes=10))
        self.ledger = Ledger(
            origin="test.example/log", tiles=self.own["tiles"], state=self.own["state"], journals=self.own["journals"]
        )
        self.closer = Closer(
            tools=self.tools,
            register=self.register,
            receipts=own["receipts"],
            parking=self.parking,
            ledger=self.ledger,
        )

    def clock(self) -> datetime:
        return self.now

    async def _log_size(self, year: str) -> int:
        return await sealed(Live(ledger=self.ledger, year=year))

    async def _sleep(self, seconds: float) -> None:
        if seconds:
            self.slept.append(seconds)
        await asyncio.sleep(0)

    def later(self, **by: float) -> None:
        """Move every clock there is."""
        self.now += timedelta(**by)
        self.records.clock = self.now
        for store in self.own.values():
            store.clock = self.now

    # ------------------------------------------------------------ what is there

    def put(self, category: str, record, *, age: timedelta = timedelta(0)) -> None:
        self.records.put(POLICY.category(category), record, stored=self.now - age)

    def keys(self, category: str) -> list[str]:
        return self.records.keys(POLICY.category(category))

    def everything(self) -> dict[str, list[str]]:
        return {each.id: found for each in POLICY.enforced() if (found := self.keys(each.id))}

    def remove(self, category: str, key: str, partition: str = "") -> None:
        """Delete a record behind the product's back."""
        self.strangers.append(locator(POLICY.category(category), key, partition).text())
        self.records.remove(POLICY.category(category), key, partition=partition)

    async def hold(self, hold_id: str, kind: str, target: str, *, until: datetime | None = None) -> None:
        hold = Hold(id=hold_id, kind=kind, target=target, owner="legal", reason="a dispute", until=until)
        await self.own["holds"].create(f"{hold_id}.json", hold.model_dump_json().encode())

    async def release(self, hold_id: str) -> None:
        await self.own["holds"].delete(f"{hold_id}.json")

    def user(self, name: str, *, active_days_ago: float = 1, **more: str) -> None:
        at = _text(self.now - timedelta(days=active_days_ago))
        self.put("users", {"id": name, "userId": name, "email": f"{name}@{name}.example", "lastActiveAt": at, **more})

    def home(self, home: str, *members: str, rows: int = 1, old_rows: int = 0, pictures: int = 1) -> None:
        """A home with a device, log rows of each member (young, and past their period), and pictures."""
        self.put("homes", {"id": home, "homeId": home, "members": list(members)})
        self.put("devices", {"id": f"{home}-hub", "homeId": home, "kind": "hub"})
        for who in members or ("",):
            for number, days in enumerate([2] * rows + [40] * old_rows):
                row = {"id": f"{home}-{who}-{number}", "homeId": home, "at": _text(self.now - timedelta(days=days))}
                self.put("operation-log", row | ({"userId": who} if who else {}))
        for number in range(pictures):
            self.picture(home, days=2, number=number)

    def picture(self, home: str, *, days: float, number: int = 0) -> str:
        at = self.now - timedelta(days=days)
        name = f"{at:%Y-%m-%d/%H}/{home}/cam{number}/{at:%H%M%S}-front.jpg"
        self.put("camera-snapshots", name, age=timedelta(days=days))
        return name

    def neighbourhood(self) -> None:
        """Anna alone at home, Bob and Cleo sharing one."""
        for who in ("anna", "bob", "cleo"):
            self.user(who)
        self.home("birkeveien", "anna")
        self.home("skogveien", "bob", "cleo")

    # ------------------------------------------------------------ what the host does

    async def ask(self, request: UUID | None = None, **subject: str) -> str:
        """Put an erase message on queue `requests`; return the request's id."""
        request = request or uuid4()
        body = messages.erase(
            request=request,
            subject=subject,
            requested_by="the person",
            identity_verified_by="the office",
            received_at=self.now,
        )
        await self.queues["requests"].send(body, message_id=str(request))
        return str(request)

    async def handle(self, queue: str, message: Message) -> None:
        """What the function of a queue does with one message."""
        try:
            match queue:
                case "requests":
                    await self.door.receive(message.body)
                case "work":
                    await self.eraser.carry_out(self._of(messages.Work, message), hurry=self.hurry)
                case "sweeps":
                    await self.sweeps.sweep(self._of(messages.SliceOrder, message), hurry=self.hurry)
                case "ledger":
                    await self.append()
        except PermanentError as error:
            await self.parking.park(
                message.body,
                queue=queue,
                message_id=message.message_id,
                reason=str(error),
                request=messages.request_id_of(message.body),
                now=self.clock(),
            )

    def _of(self, kind, message: Message):
        order = messages.parse(message.body, now=self.clock())
        if not isinstance(order, kind):
            raise messages.MessageError("retention.type: this queue takes other messages")
        return order

    async def deliver(self, *queues: str) -> int:
        """Give each waiting message to its function once; what fails comes back, ten times, then it is a dead letter.

        Returns how many went through.
        """
        went = 0
        for name in queues or QUEUES:
            waiting, self.queues[name].messages = self.queues[name].messages, []
            for message in waiting:
                try:
                    await self.handle(name, message)
                except (RetentionError, CrashError) as error:
                    self.errors.append(error)
                    message.deliveries += 1
                    queue = self.queues[name]
                    (queue.messages if message.deliveries < MOST_DELIVERIES else queue.dead).append(message)
                else:
                    went += 1
        return went

    async def deliver_dead(self) -> None:
        """Give each dead letter to its function once; what fails stays. A ring of the doorbell is dropped."""
        self.queues["ledger"].dead.clear()
        for queue in ("requests", "work", "sweeps"):
            dead = self.queues[queue].dead
            for message in list(dead):
                try:
                    if queue == "requests":
                        await self.handle("requests", message)
                    else:
                        await self.dead_letters.take(message.body, queue=DEAD[queue], message_id=message.message_id)
                except (RetentionError, CrashError) as error:
                    self.errors.append(error)
                else:
                    dead.remove(message)

    async def drain(self, *queues: str) -> None:
        """Deliver until these queues are empty."""
        for _ in range(30):
            if not any(self.queues[name].messages for name in queues or QUEUES):
                return
            await self.deliver(*queues)
        raise AssertionError("the queues never become empty")

    async def append(self) -> None:
        for year in await years(self.ledger):
            await append(self.ledger, year)

    async def timers(self) -> None:
        """One firing of every timer; the host logs what one raises, and fires it again in its time."""
        planner = [self.planner.tick] if self.sweeping else []
        watch = (self.watch.journals, self.holding.watch, self.watch.idle_requests, self.dead_letters.look_again)
        for timer in (*planner, *watch):
            try:
                await timer()
            except (RetentionError, CrashError) as error:
                self.errors.append(error)

    async def rest(self) -> None:
        """Let time pass until nothing is left to do, then seal the log."""
        for _ in range(60):
            await self.timers()
            with suppress(AssertionError):
                await self.drain()
            await self.deliver_dead()
            if await self.at_rest():
                break
            self.later(minutes=5)
        else:
            raise AssertionError(f"work is left for ever: {[str(each) for each in self.errors[-3:]]}")
        await self.seal()

    async def seal(self) -> None:
        """Append, and sign what was appended."""
        await self.append()
        for year in await years(self.ledger):
            await seal(self.ledger, year, self.signer(year))

    async def at_rest(self) -> bool:
        waiting = sum(len(queue.messages) + len(queue.dead) for queue in self.queues.values())
        open_requests = [each for each in await self.documents() if each.state not in FINAL or each.outbox]
        runs = [await self.runs.current(each.id) for each in POLICY.enforced()]
        busy = [run for run in runs if run and (run.value.finished is None or run.value.outbox)]
        journals = [each async for each in self.own["journals"].list()]
        holds = [each.metadata async for each in self.own["holds"].list()]
        unsettled = [h for h in holds if NOTE in h or "outbox" in h or h.get("in_force") == "pending"]
        parked = [each async for each in parked_entries(self.own["parking"])]
        unsettled += [each for each in parked if each.waiting or (each.about and not each.dismissed)]
        return not (waiting or open_requests or busy or journals or unsettled)

    async def documents(self) -> list[RequestDocument]:
        found = []
        async for entry in self.own["requests"].list():
            stored = await self.own["requests"].read(entry.name)
            found.append(RequestDocument.model_validate_json(stored.data))
        return found

    async def document(self, request: str) -> RequestDocument:
        return (await self.requests.load(request)).value

    # ------------------------------------------------------------ the log

    def signer(self, year: str) -> Signer:
        return Signer(name=self.ledger.origin_of(year), seed=bytes(range(32)))

    async def events(self) -> list[dict]:
        """Every distinct event of the sealed logs."""
        found: dict[str, dict] = {}
        for year in await years(self.ledger):
            async for _, event in entries(Live(ledger=self.ledger, year=year)):
                found[event["id"]] = event
        return list(found.values())

    async def names_in_log(self, record: Record) -> set[str]:
        """The pseudonyms that a record can have: one by each key."""
        stored = [await self.own["keys"].read(entry.name) async for entry in self.own["keys"].list()]
        return {audit.pseudonym(key.data, "record", record.locator.text()) for key in stored}

    async def name_in_log(self, record: Record, year: int = START.year) -> str:
        """The pseudonym of a record in what sweeps say of it."""
        name = name_of(record.scope) if record.scope else name_of_category(record.category, year)
        key = await self.own["keys"].read(name)
        return audit.pseudonym(key.data, "record", record.locator.text()) if key else ""


def own_records(containers: Mapping[str, MemoryObjects]) -> OwnRecords:
    """The product's own containers as sweeps reach them."""
    account = MemoryOwn(containers=containers)
    return OwnRecords(containers={n: Container(objects=each, account=account) for n, each in containers.items()})


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def locator(category: Category, key: str, partition: str = "") -> Locator:
    store = category.store
    return Locator(
        store=store.kind,
        account=getattr(store, "account", ""),
        container=store.container,
        key=key,
        partition=partition,
    )


def person(user: str) -> Scope:
    return Scope(kind=ScopeKind.PERSON, id=user)


def home_of(home: str) -> Scope:
    return Scope(kind=ScopeKind.HOME, id=home)


async def found(world: World, category: str, scope: Scope | None = None, *, rule: int = 0) -> list[Record]:
    """Records as a listing gives them: of a scope, or all that are due."""
    chosen = POLICY.category(category)
    if scope is not None:
        pages = world.records.of_scope(chosen, scope, size=100)
        return [record async for page in pages for record in page.records]
    division = await world.records.divide(chosen, chosen.rules[rule], now=world.now, most=1)
    records = []
    for part in division.parts:
        pages = world.records.expired(chosen, chosen.rules[rule], part, now=world.now, cursor="", size=100)
        records += [record async for page in pages for record in page.records]
    return records


def outcomes(events: Sequence[dict]) -> Counter[str]:
    """How many records' events say what."""
    texts = [each["type"] for each in events]
    return Counter(t.removeprefix("retention.record.") for t in texts if t.startswith("retention.record."))
