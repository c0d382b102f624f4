"""Random histories of rows, ticks, deaths, orders and deliveries: no slice is queued of a run that finds too much.

The count is the test's own: whatever is in the container is due. Rows that come after the count take no run beyond its
cap. Whatever happened, in the end all of it is gone, and every run said once that it ended.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial

from disturbances import Countdown, CrashError, die
from hypothesis import given, settings
from hypothesis import strategies as st
from orders import LOG, approve, pause, resume, rows
from promises import assert_whole
from world import World

from shared.audit import EventType
from shared.errors import RetentionError
from shared.messages import parse
from shared.plan import Caps

CAP = 4
STEPS = st.one_of(
    st.tuples(st.just("rows"), st.integers(1, 7)),
    st.tuples(st.just("later"), st.sampled_from([1, 11, 61])),
    st.tuples(st.sampled_from(["tick", "force", "sweep", "watch"]), st.integers(0, 25)),  # dies there; 0: it lives
    st.tuples(st.sampled_from(["approve", "pause", "resume"]), st.integers(0, 6)),
)


class History:
    """A world, and what the test knows of it: how many rows each run could find, and which runs are approved."""

    def __init__(self) -> None:
        self.world = World(caps=Caps(absolute=CAP, factor=2, floor=2))
        self.put = 0
        self.could_find: dict[str, int] = {}
        self.approved: set[str] = set()
        self._listen()

    def _listen(self) -> None:
        queue, runs = self.world.queues["sweeps"], self.world.own["runs"]
        send, create = queue.send, runs.create

        async def sending(body: bytes, *, message_id: str, session_id: str | None = None) -> None:
            order = parse(body, now=self.world.now)
            most, stored = self.could_find[order.run], await runs.read(f"{LOG}/current")
            approved = order.run in self.approved and b'"approval":"given"' in stored.data
            assert most <= CAP or approved, f"a run of {most} was queued, and nobody approved it"
            await send(body, message_id=message_id, session_id=session_id)

        async def creating(name: str, data: bytes, **options) -> str:
            if name.endswith("/run"):
                self.could_find[name.split("/")[1]] = len(self.world.keys(LOG))
            return await create(name, data, **options)

        queue.send, runs.create = sending, creating

    async def take(self, what: str, number: int) -> None:
        world = self.world
        match what:
            case "rows":
                rows(world, number, first=self.put)
                self.put += number
            case "later":
                world.later(minutes=number)
            case "tick" | "force":
                await self.dying(number, partial(world.planner.tick, only=[LOG], forced=what == "force"))
            case "sweep":
                await self.dying(number, partial(world.deliver, "sweeps"))
            case "watch":
                await self.dying(number, world.watch.journals)
            case "approve":
                await self.approve(number)
            case "pause" | "resume":
                await self.dying(number, partial(pause if what == "pause" else resume, world))

    async def approve(self, number: int = 0) -> None:
        held = await self.world.runs.current(LOG)
        if held is not None and held.value.approval == "waiting":
            self.approved.add(held.value.run)
            await self.dying(number, partial(approve, self.world, held.value.run))

    async def dying(self, at: int, work) -> None:
        self.world.steps.turn = Countdown(at, die) if at else None
        with suppress(RetentionError, CrashError):
            await work()
        self.world.steps.turn = None

    async def end(self) -> list[dict]:
        """Resume, and approve whatever asks, until everything has come to rest."""
        await resume(self.world)
        for _ in range(12):
            self.world.later(minutes=61)
            await self.world.planner.tick(only=[LOG])
            await self.approve()
            await self.world.planner.tick(only=[LOG])
            await self.world.deliver("sweeps")
        await self.world.rest()
        return await assert_whole(self.world)


async def live(history: list[tuple[str, int]]) -> None:
    test = History()
    for what, number in history:
        await test.take(what, number)
    events = await test.end()
    assert test.world.keys(LOG) == []
    approvals = [e["data"]["run"] for e in events if e["type"] == EventType.RUN_APPROVED]
    asked = [e["data"]["run"] for e in events if e["type"] == EventType.RUN_NEEDS_APPROVAL]
    assert len(set(asked)) == len(asked)
    assert sorted(approvals) == sorted(asked)
    assert set(approvals) <= test.approved
    went = Counter(e["data"]["cause"]["run"] for e in events if e["type"] == EventType.RECORD_ERASED)
    assert all(number <= CAP for run, number in went.items() if run not in test.approved), "more than the cap went"


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_nothing_is_queued_beyond_the_cap_without_approval_and_nothing_is_lost(history) -> None:
    asyncio.run(live(history))
