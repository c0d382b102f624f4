"""The gate's code takes the steps of its model: the same calls in the same order, and the same end.

Two sets of walks. One takes every kind of step that the model has within its bounds (what a worker knows, what it does, how
its journal stands, how far the hold is); with RETENTION_FAULTS=long every single step of the graph. The others are by
chance, in larger bounds. A name of a walk that diverges is its seed or number; the error tells the steps.
"""

import logging

import pytest
from effort import LONG, effort
from explore import covering, explore, graph, shown, taken, wandering
from gate_model import Gate
from gate_replay import DivergedError, Replay
from gate_state import Bounds, kind
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
    logging.getLogger("retention").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("retention").setLevel(logging.DEBUG)


@pytest.mark.timeout(3_600)
async def test_the_code_takes_every_kind_of_step_of_the_model():
    gate = Gate(COVERED)
    walks = steps = 0
    for walk in covering(graph(COVERED.start(), gate.successors), None if LONG else kind):
        await Replay(COVERED).walk(walk)
        walks, steps = walks + 1, steps + len(walk)
    shown(f"{walks} walks, {steps} steps")
    assert walks > 1_000


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("bounds", RICH.values(), ids=RICH)
async def test_the_code_takes_walks_by_chance(bounds):
    gate = Gate(bounds)
    steps = 0
    for seed in range(WALKS):
        walk = wandering(bounds.start(), gate.successors, seed=seed, longest=LONGEST)
        await Replay(bounds).walk(walk)
        steps += len(walk)
    shown(f"{WALKS} walks, {steps} steps")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", WEAKER)
async def test_the_code_does_not_take_the_walk_that_refutes_a_weaker_protocol(rule):
    bounds = weaker(rule)
    gate = Gate(bounds)
    found = explore(bounds.start(), gate.successors, gate.broken)
    with pytest.raises(DivergedError):
        await Replay(bounds).walk(taken(bounds.start(), gate.successors, found.trace))
