"""The product's own planner, workers and gate under any policy, over any stores: one whole run of each category.

Its documents are in memory, messages go by hand. Nothing here judges a record.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random

from shared import messages
from shared.deletion import Gate
from shared.holds import Holds
from shared.journal import Journals
from shared.keys import ScopeKeys
from shared.liveness import Heartbeats
from shared.plan import Caps
from shared.planner import Planner
from shared.policy import Policy
from shared.runs import Runs, SliceProgress
from shared.stores.interface import RecordStore
from shared.stores.memory import MemoryObjects
from shared.sweep import Sweeps

PLENTY = Caps(absolute=1_000_000)


class Waiting:
    """Messages that wait in a list."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        self.bodies.append(body)


async def _at_once(_: float) -> None:
    """Wait for nobody."""


async def sweep(
    policy: Policy, stores: Mapping[str, RecordStore], clock: Callable[[], datetime], chance: Random
) -> dict[str, SliceProgress]:
    """One run of every category, from the timer's tick to its end; the totals by category.

    Units are small and workers are often in a hurry, so that listings resume in every way.
    """
    orders, requests = Waiting(), Waiting()
    runs = Runs(objects=MemoryObjects(clock=clock()))
    gate = Gate(
        stores=stores,
        journals=Journals(objects=MemoryObjects(clock=clock())),
        holds=Holds(objects=MemoryObjects(clock=clock())),
        keys=ScopeKeys(objects=MemoryObjects(clock=clock())),
        doorbell=Waiting(),
        policy=policy,
        source="//test.example",
        clock=clock,
        sleep=_at_once,
    )
    workers = Sweeps(
        policy=policy,
        stores=stores,
        gate=gate,
        runs=runs,
        sweeps=orders,
        requests=requests,
        clock=clock,
        unit=chance.choice((1, 2, 3, 7, 20, 1000)),
    )
    planner = Planner(
        policy=policy,
        stores=stores,
        gate=gate,
        runs=runs,
        sweeps=orders,
        heartbeats=Heartbeats(objects=MemoryObjects(clock=clock())),
        clock=clock,
        resend_after=timedelta(minutes=10),
        most_slices=chance.choice((1, 2, 5)),
        caps=PLENTY,
    )
    await planner.tick()
    while orders.bodies:
        order = messages.parse(orders.bodies.pop(chance.randrange(len(orders.bodies))), now=clock())
        assert isinstance(order, messages.SliceOrder)
        await workers.sweep(order, hurry=lambda: chance.random() < 0.5)
    await planner.tick()
    assert not requests.bodies
    totals = {}
    for category in policy.enforced():
        held = await runs.current(category.id)
        assert held is not None
        assert held.value.totals is not None, f"the run of {category.id} never ended"
        totals[category.id] = held.value.totals
    return totals
