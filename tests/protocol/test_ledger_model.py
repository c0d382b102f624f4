"""The ledger's protocol, explored to its end within small bounds; and each weaker one, which a counterexample refutes.

`RETENTION_FAULTS=long` explores larger bounds as well (`make faults`). Each test prints how many states there are.
"""

from dataclasses import replace

import pytest
from effort import LONG
from explore import explore, graph, shown, stuck
from ledger_model import Ledger
from ledger_state import Bounds, Rules

SMALL = {
    "two appenders": Bounds(),
    "three journals": Bounds(journals=3, deaths=0),
    "a sealer beside an appender": Bounds(appenders=1, sealers=1),
    "two sealers": Bounds(appenders=1, sealers=2, journals=1),
    "a publisher": Bounds(appenders=1, sealers=1, publishers=1),
    "head and checkpoint are set back": Bounds(appenders=1, sealers=1, journals=3, deaths=0, repeats=0, set_back=True),
}
LARGE = {
    "two appenders and a sealer": Bounds(sealers=1, journals=1),
    "two publishers": Bounds(appenders=1, sealers=1, publishers=2, journals=1),
}
MOST = 2_500_000


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("bounds", [pytest.param(b, id=n) for n, b in (SMALL | (LARGE if LONG else {})).items()])
def test_whatever_happens_each_journal_is_in_the_log_once_and_one_history_is_signed(bounds, record_property):
    found = explore(Ledger(bounds), most=MOST)
    shown(found)
    record_property("states", found.states)
    assert not found.why, str(found)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bounds", [Bounds(journals=1), Bounds(appenders=1, sealers=1, publishers=1, journals=1)])
def test_from_wherever_it_stands_all_that_settled_can_still_be_appended_sealed_and_published(bounds):
    ledger = Ledger(bounds)
    assert not stuck(graph(ledger), ledger.whole)


SET_BACK = Bounds(appenders=1, sealers=1, journals=3, deaths=0, repeats=0, set_back=True)
WEAKER = {
    "journals_before_head": Bounds(repeats=0),
    "swaps_whatever_is_there": Bounds(repeats=0),
    "clears_before_the_swap": Bounds(),
    "believes_a_refusal": Bounds(),
    "stages_under_one_name": Bounds(),
    "sweeps_what_is_young": Bounds(appenders=1, sealers=1),
    "never_compares": SET_BACK,
    "never_notes": SET_BACK,
    "moves_before_sending": Bounds(appenders=1, sealers=1, publishers=1),
}


def weaker(rule: str) -> Bounds:
    """The bounds within which a rule that is taken away shows."""
    return replace(WEAKER[rule], rules=Rules(**{rule: True}))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", WEAKER)
def test_a_weaker_protocol_is_refuted(rule):
    found = explore(Ledger(weaker(rule)))
    shown(found)
    assert found.why
    assert found.trace


def test_every_rule_has_a_test():
    assert set(vars(Rules())) == set(WEAKER)
    assert not any(vars(Rules()).values())
