"""The gate's code takes the steps of its model: the same calls in the same order, and the same end.

Two sets of walks. One takes every kind of step that the model has within its bounds (what a worker knows, what it does, how
its journal stands, how far the hold is); with RETENTION_FAULTS=long every single step of the graph. The others are by
chance, in larger bounds. Where a walk diverges, the error tells its steps.
"""

import logging
from functools import partial

import pytest
from effort import LONG, effort
from explore import covering, explore, graph, taken, wandering
from gate_model import Gate
from gate_replay import Replay
from gate_state import Bounds, kind
from replaying import DivergedError, walked
from test_gate_model import WEAKER, weaker

ONE = frozenset({0})
COVERED = Bounds(covered=ONE, attempts=4, lost=False)
RICH = {
    "one record": Bounds(covered=ONE, app=ONE, leases=ONE, strangers=ONE, attempts=4),
    "two records, two recoveries": Bounds(
        units=((0, 1),), covered=ONE, app=ONE, strangers=ONE, leases=frozenset({1}), recoveries=2, attempts=4
    ),
    "two journals, two recoveries": Bounds(
        units=((0, 1), (1,)), workers=(0, 1), covered=ONE, app=frozenset({0, 1}), recoveries=2, attempts=4
    ),
}
WALKS = effort(150, 1_500)
LONGEST = 80


@pytest.fixture(autouse=True)
def _silence():
    """Thousands of walks say the same few lines."""
    logger = logging.getLogger("retention")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.mark.timeout(3_600)
async def test_the_code_takes_every_kind_of_step_of_the_model():
    walks = covering(graph(Gate(COVERED)), None if LONG else kind)
    assert await walked(walks, partial(Replay, COVERED)) > 1_000


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("bounds", RICH.values(), ids=RICH)
async def test_the_code_takes_walks_by_chance(bounds):
    walks = (wandering(Gate(bounds), seed=seed, longest=LONGEST) for seed in range(WALKS))
    await walked(walks, partial(Replay, bounds))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", WEAKER)
async def test_the_code_does_not_take_the_walk_that_refutes_a_weaker_protocol(rule):
    bounds = weaker(rule)
    model = Gate(bounds)
    walk = taken(model, explore(model).trace)
    with pytest.raises(DivergedError):
        await Replay(bounds).walk(walk)
