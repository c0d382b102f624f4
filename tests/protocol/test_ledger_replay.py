"""The ledger's code takes the steps of its model: the same calls in the same order, and the same end.

One set of walks takes every kind of step that the model has within its bounds (with RETENTION_FAULTS=long every single step of
the graph); the others are by chance, in larger bounds.
"""

import pytest
from effort import LONG, effort
from explore import covering, explore, graph, shown, taken, wandering
from ledger_model import Ledger
from ledger_replay import DivergedError, Replay
from ledger_state import Bounds, kind
from test_ledger_model import WEAKER, weaker

COVERED = {
    "appenders": Bounds(journals=1),
    "sealer and publisher": Bounds(appenders=1, sealers=1, publishers=1, journals=1),
}
RICH = {
    "two appenders": Bounds(journals=3, deaths=2, repeats=2),
    "all of them": Bounds(appenders=2, sealers=2, publishers=1, journals=3, deaths=2, repeats=2),
}
WALKS = effort(60, 1_000)
LONGEST = 100


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("bounds", COVERED.values(), ids=COVERED)
async def test_the_code_takes_every_kind_of_step_of_the_model(bounds):
    ledger = Ledger(bounds)
    walks = steps = 0
    for walk in covering(graph(bounds.start(), ledger.successors), None if LONG else kind):
        await Replay(bounds).walk(walk)
        walks, steps = walks + 1, steps + len(walk)
    shown(f"{walks} walks, {steps} steps")
    assert steps > 500


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("bounds", RICH.values(), ids=RICH)
async def test_the_code_takes_walks_by_chance(bounds):
    ledger = Ledger(bounds)
    steps = 0
    for seed in range(WALKS):
        walk = wandering(bounds.start(), ledger.successors, seed=seed, longest=LONGEST)
        await Replay(bounds).walk(walk)
        steps += len(walk)
    shown(f"{WALKS} walks, {steps} steps")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", WEAKER)
async def test_the_code_does_not_take_the_walk_that_refutes_a_weaker_protocol(rule):
    bounds = weaker(rule)
    ledger = Ledger(bounds)
    found = explore(bounds.start(), ledger.successors, ledger.broken)
    with pytest.raises(DivergedError):
        await Replay(bounds).walk(taken(bounds.start(), ledger.successors, found.trace))
