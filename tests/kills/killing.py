"""Kills, by a seed: whom, at what moment, and where each of them landed; then recovery by timers and queues alone.

Some kills come at any time. Others wait for a moment: a journal that has just been opened, a picture that has just
gone, a journal that is settled, a head of the log that names journals which are still there. Whoever was killed is started again at once.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from company import SNAPSHOTS, Company
from victims import KINDS, SECONDS, Site

from local.processes import PortBusyError, Process
from shared.ledger.head import decode_head
from shared.ledger.log import head_name, logs
from shared.ledger.reader import Live, sealed
from shared.requests.documents import OPEN
from shared.wiring import Product

Aim = Literal["any time", "open", "gone", "settled", "committed"]
WEIGHTS = {"worker-1": 28, "worker-2": 28, "ledger": 20, "servicebus": 14, "cosmos": 10}
AIMS: dict[str, tuple[Aim, ...]] = {
    "worker": ("any time", "open", "gone", "gone", "settled"),
    "ledger": ("any time", "settled", "committed", "committed"),
    "broker": ("any time", "open", "settled"),
    "cosmos": ("any time", "open", "open"),
}
AIM_SECONDS = 4.0  # that a moment is waited for
READY_SECONDS = 90.0
REST_SECONDS = 15.0  # for the ledger, once the workers are stopped
TRIES = 10


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One kill as the seed chose it. `delay` is waited after the moment, or instead of it."""

    victim: str
    aim: Aim
    delay: float


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What the stores said: how many journals were open and settled, and how the head stood."""

    open: int
    settled: int
    committed: bool
    staged: bool

    def words(self, kind: str) -> str:
        """Where a kill of a process of this kind landed, as far as the stores tell."""
        if kind == "ledger":
            if self.committed:
                return "batch committed, its journals not cleared"
            if self.staged:
                return "batch staged, not committed"
            return "journals settled, none taken" if self.settled else "idle"
        return "journal open" if self.open else "journal settled, not in the log" if self.settled else "idle"


@dataclass(kw_only=True)
class Tally:
    """What was killed where. `waited` is how long recovery took in the end."""

    kills: Counter[str] = field(default_factory=Counter)
    landed: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: int = 0
    seconds: float = 0.0
    waited: float = 0.0


def plans(seed: int, kills: int) -> list[Plan]:
    """The choices of a seed."""
    chance = Random(f"{seed}/kills")
    found = []
    for _ in range(kills):
        victim = chance.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
        aim = chance.choice(AIMS[KINDS[victim]])
        delay = chance.uniform(0.05, 1.5) if aim == "any time" else chance.choice((0.0, chance.uniform(0.0, 0.05)))
        found.append(Plan(victim=victim, aim=aim, delay=delay))
    return found


async def look(product: Product) -> Moment:
    """The moment as the stores tell it."""
    states = Counter[str]()
    async for _, state, _ in product.gate.journals.entries():
        states[state] += 1
    committed = staged = False
    for year in await logs(product.ledger):
        stored = await product.ledger.state.read(head_name(year))
        head = decode_head(stored.data, product.ledger.origin_of(year)) if stored else None
        named = head.staged.name if head and head.staged else None
        committed = committed or bool(head and head.appended)
        staging = [each.name async for each in product.ledger.state.list(f"{year}/staging/")]
        staged = staged or any(name != named for name in staging)
    return Moment(open=states["open"], settled=states["settled"], committed=committed, staged=staged)


async def kill_all(site: Site, company: Company, choices: list[Plan], *, backlog: int) -> Tally:
    """Carry out the kills, with new work all the while."""
    tally, begun = Tally(), time.monotonic()
    for number, plan in enumerate(choices):
        await _feed(company, backlog)
        if number % 4 == 0:
            await company.add_person()
        await _ready(site, plan.victim)
        known = {intent async for intent, _, _ in company.product.gate.journals.entries()}
        tally.missed += not await _reached(plan.aim, company.product, known)
        await asyncio.sleep(plan.delay)
        process = site.victims[plan.victim]
        kind = KINDS[plan.victim]
        async with company.steady if kind == "cosmos" else nullcontext():
            await asyncio.to_thread(process.kill)
            tally.kills[kind] += 1
            tally.landed[kind, (await look(company.product)).words(kind)] += 1
            await _started(process)
            if kind == "cosmos":
                await _ready(site, plan.victim)
    tally.seconds = time.monotonic() - begun
    return tally


async def _feed(company: Company, backlog: int) -> None:
    due = sum(thing.fate == "due" for thing in await company.left_to_do())
    if due < backlog:
        missing = backlog - due
        await company.add_due(missing * 3 // 4, missing - missing * 3 // 4)
    await company.renew(4)


async def _reached(aim: Aim, product: Product, known: set[str]) -> bool:
    """Wait for the moment; whether it came."""
    end = time.monotonic() + AIM_SECONDS
    pictures = await _pictures(product) if aim == "gone" else 0
    while aim != "any time":
        if time.monotonic() > end:
            return False
        if aim == "gone":
            if await _pictures(product) < pictures:
                return True
        elif aim == "committed":
            if (await look(product)).committed:
                return True
        else:
            async for intent, state, _ in product.gate.journals.entries():
                if state == aim and intent not in known:
                    return True
        await asyncio.sleep(0.01)
    return True


async def _pictures(product: Product) -> int:
    container = product.blobs("BLOB_DATA").get_container_client(SNAPSHOTS)
    return len([name async for name in container.list_blob_names()])


async def _started(process: Process) -> None:
    """Start it again: what it listened on may be free a moment after its end only, when its last thread has ended."""
    for _ in range(100):
        try:
            process.start()
        except PortBusyError:
            await asyncio.sleep(0.1)
        else:
            return
    process.start()


async def _ready(site: Site, victim: str) -> None:
    process = site.victims[victim]
    await until(lambda: asyncio.to_thread(process.answers), READY_SECONDS, f"{victim} does not answer", site.tails)


async def until(
    true: Callable[[], Awaitable[object]], seconds: float, what: str, more: Callable[[], str], *, step: float = 0.1
) -> None:
    """Wait until it is true. Raises AssertionError when it is not within so many seconds."""
    end = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < end, f"{what} after {seconds:.0f} s\n{more()}"
        await asyncio.sleep(step)


# ---------------------------------------------------------------- recovery


async def recovered(site: Site, company: Company, *, seconds: float) -> float:
    """Wait until nothing is left to do, with timers and queues alone; how long that took."""
    begun = time.monotonic()
    what = ["nothing was looked at"]

    async def at_rest() -> bool:
        what[0] = await _unfinished(company)
        return not what[0]

    async with site.firing(SECONDS, 1):
        for name in site.victims:
            await _ready(site, name)
        await until(at_rest, seconds, "recovery is not over", lambda: f"{what[0]}\n{site.tails()}", step=0.7)
    await site.each_timer_once()
    for _ in range(TRIES):
        if await _brought_to_rest(site, company.product, seconds):
            return time.monotonic() - begun
    raise AssertionError(f"it never comes to rest\n{site.tails()}")


async def _brought_to_rest(site: Site, product: Product, seconds: float) -> bool:
    """Wait until what is under way has ended, and stop the workers; whether they began nothing more meanwhile."""
    what = ["nothing was looked at"]

    async def quiet() -> bool:
        what[0] = await _unpublished(product)
        return not what[0]

    rest = {**SECONDS, "planner": 15.0}  # runs are further apart, so that all have ended at one moment
    async with site.firing(rest, 2):
        await until(quiet, seconds, "the log is not quiet", lambda: f"{what[0]}\n{site.tails()}", step=0.7)
    workers = [site.apps["worker-1"], site.apps["worker-2"]]
    await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in workers))
    try:
        async with site.firing({"ledger_seal": 0.5, "ledger_publish": 0.5}, 3):
            await until(quiet, REST_SECONDS, "", str, step=0.3)
    except AssertionError:
        for worker in workers:
            await _started(worker)
        return False
    await asyncio.to_thread(site.apps["ledger"].stop)
    return True


async def _unfinished(company: Company) -> str:
    """What is left to do in the stores and for people; "" for nothing."""
    product = company.product
    if left := await company.left_to_do():
        return f"{len(left)} records are still there: {Counter(f'{t.locator.container}, {t.fate}' for t in left)}"
    entries = [entry async for entry in product.own("requests").list()]
    waiting = [e for e in entries if e.metadata.get("state") in OPEN or e.metadata.get("outbox")]
    if waiting or len(entries) < len(company.asked) + len(company.by_policy):
        return f"{len(waiting)} of {len(entries)} requests are unfinished, {len(company.asked)} were sent"
    still_open = [i async for i, state, _ in product.gate.journals.entries() if state == "open"]
    return f"{len(still_open)} journals are open" if still_open else ""


async def _unpublished(product: Product) -> str:
    """What is left of the log's way; "" for nothing."""
    if waiting := [state async for _, state, _ in product.gate.journals.entries()]:
        return f"journals: {Counter(waiting)}"
    for category in product.policy.enforced():
        held = await product.runs.current(category.id)
        if held is None or held.value.finished is not None:
            continue
        run = held.value
        done = [(await product.runs.progress(category.id, run.run, n)).value.done for n in range(run.slices)]
        if not all(done):
            return f"a run of {category.id} is unfinished"
    for year in await logs(product.ledger):
        stored = await product.ledger.state.read(head_name(year))
        assert stored is not None
        size = decode_head(stored.data, product.ledger.origin_of(year)).size
        if await sealed(Live(ledger=product.ledger, year=year)) != size:
            return "the log is not sealed"
        cursor = await product.ledger.state.read(f"{year}/published")
        if cursor is None or json.loads(cursor.data)["next"] != size:
            return "the log is not published"
    return ""
