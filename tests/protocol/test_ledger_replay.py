"""The ledger's code takes the steps of its model: the same calls in the same order, and the same end.

One set of walks takes every kind of step that the model has within its bounds (with RETENTION_FAULTS=long every single step of
the graph); the others are by chance, in larger bounds.
"""

from functools import partial

import pytest
from effort import LONG, effort
from explore import covering, explore, graph, taken, wandering
from ledger_model import Ledger
from ledger_replay import Replay
from ledger_state import Bounds, kind
from replaying import DivergedError, walked
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
    walks = covering(graph(Ledger(bounds)), None if LONG else kind)
    assert await walked(walks, partial(Replay, bounds)) > 50


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("bounds", RICH.values(), ids=RICH)
async def test_the_code_takes_walks_by_chance(bounds):
    walks = (wandering(Ledger(bounds), seed=seed, longest=LONGEST) for seed in range(WALKS))
    await walked(walks, partial(Replay, bounds))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", WEAKER)
async def test_the_code_does_not_take_the_walk_that_refutes_a_weaker_protocol(rule):
    bounds = weaker(rule)
    model = Ledger(bounds)
    walk = taken(model, explore(model).trace)
    with pytest.raises(DivergedError):
        await Replay(bounds).walk(walk)
