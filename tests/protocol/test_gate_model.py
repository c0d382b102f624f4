"""The gate's protocol, explored to its end within small bounds; and each weaker one, which a counterexample refutes.

`RETENTION_FAULTS=long` explores larger bounds as well (`make faults`). Each test prints how many states there are.
"""

from dataclasses import replace

import pytest
from effort import LONG
from explore import explore, graph, shown, stuck
from gate_model import Gate
from gate_state import Bounds, Rules

ONE = frozenset({0})
BOTH = ((0,), (0,))  # two journals name the same record: its slice was delivered again

SMALL = {
    "a hold": Bounds(covered=ONE),
    "a hold that looks and says when it is in force": Bounds(covered=ONE, waits=True),
    "a lease, the app writes": Bounds(leases=ONE, app=ONE, lost=False),
    "two records": Bounds(units=((0, 1),), covered=ONE, lost=False),
    "two journals": Bounds(units=BOTH, workers=(0, 1), recoveries=0, covered=ONE, app=ONE, strangers=ONE),
}
LARGE = {
    "the app writes, answers are lost": Bounds(app=ONE),
    "a lease, answers are lost": Bounds(leases=ONE),
    "a hold, the app writes": Bounds(covered=ONE, app=ONE),
    "a hold and a lease": Bounds(covered=ONE, leases=ONE),
}
MOST = 2_500_000


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("bounds", [pytest.param(b, id=n) for n, b in (SMALL | (LARGE if LONG else {})).items()])
def test_whatever_happens_each_deletion_has_its_event_and_no_event_is_untrue(bounds, record_property):
    found = explore(Gate(bounds), most=MOST)
    shown(found)
    record_property("states", found.states)
    assert not found.why, str(found)


@pytest.mark.timeout(600)
def test_from_wherever_it_stands_every_unit_can_still_be_settled_with_an_event_for_each_record():
    bounds = Bounds(covered=ONE, lost=False)
    gate = Gate(bounds)
    assert not stuck(graph(gate), gate.whole)


HOLD = Bounds(covered=ONE)
WEAKER = {
    "settles_whatever_is_there": HOLD,
    "recovers_by_a_look": Bounds(),
    "keeps_without_waiting": HOLD,
    "keeps_without_a_look": HOLD,
    "holds_before_intent": Bounds(covered=ONE, waits=True),
    "never_touches": HOLD,
    "settles_before_deleting": Bounds(),
    "sends_at_any_age": HOLD,
    "renewed_whatever_was_tried": Bounds(app=ONE),
    "never_corrects": HOLD,
    "corrects_no_silence": HOLD,
    "gives_up_in_silence": HOLD,
    "trusts_what_stayed": HOLD,
    "blocked_at_once": Bounds(leases=ONE),
}


def weaker(rule: str) -> Bounds:
    """The bounds within which a rule that is taken away shows."""
    return replace(WEAKER[rule], rules=Rules(**{rule: True}))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", WEAKER)
def test_a_weaker_protocol_is_refuted(rule):
    found = explore(Gate(weaker(rule)))
    shown(found)
    assert found.why
    assert found.trace


def test_every_rule_has_a_test():
    assert set(vars(Rules())) == set(WEAKER)
    assert not any(vars(Rules()).values())
