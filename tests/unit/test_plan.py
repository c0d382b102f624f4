"""The planner's decision: one step from the latest run and the time; an unfinished run is never overtaken; the caps."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.outbox import Outgoing
from shared.plan import (
    FEWEST_RUNS,
    JITTER,
    POLICY_CHANGED,
    Caps,
    Finish,
    Paused,
    Post,
    Queue,
    Start,
    Step,
    Unapproved,
    Wait,
    decide,
    quotas,
    swept_rules,
    total,
)
from shared.policy_file import load
from shared.runs import Current, Pause, SliceProgress

POLICY = load(Path(__file__).parents[2] / "policy.yaml")
HOURLY = POLICY.category("operation-log")
STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
RESEND = timedelta(minutes=10)
DIGEST = "sha256:00"
EVENT = (Outgoing(intent="r", log="2026", event="{}"),)
DONE, OPEN = SliceProgress(done=True), SliceProgress(cursor="half", expired=3)

SECONDS = st.integers(-90_000, 90_000).map(lambda seconds: STARTED + timedelta(seconds=seconds))
PROGRESS = st.lists(st.sampled_from([DONE, OPEN, SliceProgress()]), max_size=5)


def run(**changes: object) -> Current:
    return Current.model_validate({"run": "r", "policy": DIGEST, "started": STARTED, "slices": 0, **changes})


def step(
    current: Current | None,
    *progress: SliceProgress,
    minutes: float = 0,
    forced: bool = False,
    pause: Pause | None = None,
) -> Step:
    now = STARTED + timedelta(minutes=minutes)
    return decide(HOURLY, current, progress, policy=DIGEST, pause=pause, now=now, resend_after=RESEND, forced=forced)


def pausing(*, paused: bool, resumed: float | None = None) -> Pause:
    """Paused when the run started; resumed so many minutes later."""
    resumed_at = None if resumed is None else STARTED + timedelta(minutes=resumed)
    return Pause(paused=paused, since=STARTED, by="ops", reason="a test", resumed_at=resumed_at)


def test_the_first_run_starts_at_once() -> None:
    assert step(None) == Start()


def test_the_next_run_starts_when_the_cadence_has_passed_since_the_last_one_started() -> None:
    finished = run(finished=STARTED + timedelta(minutes=50))
    assert step(finished, minutes=59) == Wait()
    assert step(finished, minutes=60) == Start()


def test_a_tick_a_little_early_is_not_a_tick_missed() -> None:
    finished = run(finished=STARTED)
    early = JITTER.total_seconds() / 60
    assert step(finished, minutes=60 - early) == Start()
    assert step(finished, minutes=60 - early - 0.01) == Wait()


def test_a_missed_run_is_caught_up_by_one() -> None:
    assert step(run(finished=STARTED), minutes=60 * 24 * 30) == Start()


def test_forcing_starts_a_run_before_its_time_but_not_beside_another() -> None:
    assert step(run(finished=STARTED), minutes=1, forced=True) == Start()
    assert step(run(slices=1, queued=STARTED), OPEN, minutes=1, forced=True) == Wait()


def test_a_new_run_has_its_slices_queued() -> None:
    assert step(run(slices=2), OPEN, OPEN) == Queue(slices=(0, 1), attempt=1)


def test_a_crash_while_queueing_queues_the_same_attempt_again() -> None:
    assert step(run(slices=3, attempt=2), DONE, OPEN, OPEN) == Queue(slices=(1, 2), attempt=2)


def test_unfinished_slices_are_sent_again_as_a_new_attempt_after_a_while() -> None:
    current = run(slices=3, attempt=1, queued=STARTED)
    assert step(current, DONE, OPEN, DONE, minutes=9.9) == Wait()
    assert step(current, DONE, OPEN, DONE, minutes=10) == Queue(slices=(1,), attempt=2)


def test_a_run_finishes_when_every_slice_is_done_also_when_it_has_none() -> None:
    assert isinstance(step(run(slices=2, queued=STARTED), DONE, DONE), Finish)
    assert isinstance(step(run()), Finish)


def test_a_finished_runs_event_is_posted_before_anything_else() -> None:
    current = run(finished=STARTED, outbox=EVENT)
    assert step(current) == Post()
    assert step(current, minutes=600, forced=True) == Post()


# ---------------------------------------------------------------- pause and approval

PAUSED = pausing(paused=True)


def test_while_paused_nothing_is_started_also_not_by_force() -> None:
    assert step(None, pause=PAUSED) == Paused()
    assert step(run(finished=STARTED), minutes=60, pause=PAUSED) == Paused()
    assert step(run(finished=STARTED), minutes=1, forced=True, pause=PAUSED) == Paused()


def test_while_paused_nothing_is_queued_for_the_first_time_or_again() -> None:
    assert step(run(slices=1), OPEN, pause=PAUSED) == Paused()
    assert step(run(slices=1, queued=STARTED), OPEN, minutes=600, pause=PAUSED) == Paused()


def test_a_pause_keeps_back_no_event_and_no_end_of_a_run_whose_slices_are_done() -> None:
    assert step(run(finished=STARTED, outbox=EVENT), pause=PAUSED) == Post()
    assert isinstance(step(run(slices=1, queued=STARTED), DONE, pause=PAUSED), Finish)


def test_where_nothing_would_be_done_a_pause_changes_nothing() -> None:
    assert step(run(finished=STARTED), minutes=1, pause=PAUSED) == Wait()


def test_what_was_queued_before_the_pause_ended_is_sent_again_at_once_and_only_once() -> None:
    resumed = pausing(paused=False, resumed=3)
    assert step(run(slices=1, queued=STARTED), OPEN, minutes=3, pause=resumed) == Queue(slices=(0,), attempt=2)
    again = run(slices=1, attempt=2, queued=STARTED, resumed_at=resumed.resumed_at)
    assert step(again, OPEN, minutes=4, pause=resumed) == Wait()
    assert step(again, OPEN, minutes=10, pause=resumed) == Queue(slices=(0,), attempt=3)


def test_a_run_that_waits_for_approval_has_nothing_queued_and_is_not_overtaken() -> None:
    waiting = run(slices=2, approval="waiting")
    assert step(waiting, OPEN, OPEN, minutes=6000) == Unapproved()
    assert step(waiting, OPEN, OPEN, forced=True) == Unapproved()
    assert step(waiting, OPEN, OPEN, pause=PAUSED) == Unapproved()
    assert step(waiting.model_copy(update={"outbox": EVENT}), OPEN, OPEN) == Post()


def test_a_run_that_waits_ends_when_the_policy_has_changed_once_its_event_is_posted() -> None:
    waiting = run(slices=2, approval="waiting", policy="sha256:01")
    ended = Finish(totals=SliceProgress(done=True, strange={POLICY_CHANGED: 2}))
    assert step(waiting, OPEN, OPEN) == ended
    assert step(waiting, OPEN, OPEN, pause=PAUSED) == ended
    assert step(waiting.model_copy(update={"outbox": EVENT}), OPEN, OPEN) == Post()
    approved = waiting.model_copy(update={"approval": "given"})
    assert step(approved, OPEN, OPEN) == Queue(slices=(0, 1), attempt=1), "its workers end it"


def test_an_approved_run_is_queued_as_planned() -> None:
    assert step(run(slices=2, approval="given"), OPEN, OPEN, minutes=6000) == Queue(slices=(0, 1), attempt=1)


# ---------------------------------------------------------------- caps

CAPS = Caps(absolute=500, factor=10, floor=20)


def test_without_enough_earlier_runs_the_cap_is_the_absolute_one() -> None:
    assert CAPS.of(HOURLY, [1] * (FEWEST_RUNS - 1)) == 500


def test_a_category_s_own_cap_goes_before_the_one_for_all() -> None:
    own = HOURLY.model_copy(update={"cap": 7})
    assert CAPS.of(own, ()) == 7
    assert CAPS.of(own, [100] * FEWEST_RUNS) == 7


def test_with_enough_earlier_runs_the_cap_is_a_multiple_of_their_median_between_floor_and_absolute() -> None:
    assert CAPS.of(HOURLY, [3, 3, 3, 9000, 9000]) == 30
    assert CAPS.of(HOURLY, [3, 3, 3, 4, 4, 4]) == 35
    assert CAPS.of(HOURLY, [0, 0, 0, 0, 9000]) == 20
    assert CAPS.of(HOURLY, [51, 51, 51, 51, 51]) == 500


@given(
    st.lists(st.integers(0, 10**6), max_size=20),
    st.integers(1, 10**6),
    st.integers(1, 100),
    st.integers(1, 10**6),
    st.none() | st.integers(1, 10**6),
)
def test_no_history_lifts_the_cap_beyond_the_absolute_one_or_presses_it_below_the_floor(
    history: list[int], absolute: int, factor: int, floor: int, own: int | None
) -> None:
    cap = Caps(absolute=absolute, factor=factor, floor=floor).of(HOURLY.model_copy(update={"cap": own}), history)
    most = absolute if own is None else own
    assert min(most, floor) <= cap <= most


def test_runs_carry_out_no_rule_that_goes_with_another_category_or_that_role_ledger_keeps() -> None:
    assert [rule.id for rule in swept_rules(HOURLY)] == ["operation-log-30-days"]
    assert swept_rules(POLICY.category("devices")) == []
    assert swept_rules(POLICY.category("journals")) == []


@given(st.lists(st.integers(0, 500), max_size=20), st.integers(1, 1000))
def test_quotas_are_at_least_what_was_counted_and_together_never_more_than_the_cap(counts: list[int], cap: int) -> None:
    given = quotas(counts, cap)
    assert sum(given) <= cap
    if sum(counts) <= cap:
        assert all(most >= counted for most, counted in zip(given, counts, strict=True))
        assert not counts or cap - sum(given) < len(counts), "nothing of the cap is lost but the remainder"
    else:
        assert given == [0] * len(counts)


# ---------------------------------------------------------------- any history


@given(SECONDS, st.booleans(), st.none() | SECONDS, st.integers(1, 9), PROGRESS)
def test_an_unfinished_run_is_never_overtaken(
    now: datetime, forced: bool, queued: datetime | None, attempt: int, progress: list[SliceProgress]
) -> None:
    current = run(slices=len(progress), queued=queued, attempt=attempt)
    taken = decide(HOURLY, current, progress, policy=DIGEST, pause=None, now=now, resend_after=RESEND, forced=forced)
    left = tuple(number for number, each in enumerate(progress) if not each.done)
    match taken:
        case Start() | Post() | Paused() | Unapproved():
            pytest.fail("a run was overtaken, or kept back")
        case Finish(totals=totals):
            assert not left
            assert totals.done
        case Queue(slices=slices, attempt=new):
            assert slices == left
            assert new == (attempt if queued is None else attempt + 1)
        case Wait():
            assert left
            assert queued is not None
            assert now < queued + RESEND


@given(SECONDS, st.booleans(), SECONDS)
def test_a_finished_run_is_followed_by_nothing_but_the_next(now: datetime, forced: bool, finished: datetime) -> None:
    taken = decide(
        HOURLY, run(finished=finished), [], policy=DIGEST, pause=None, now=now, resend_after=RESEND, forced=forced
    )
    assert (taken == Start()) == (forced or now + JITTER >= STARTED + timedelta(hours=1))


COUNTS = st.dictionaries(st.sampled_from(["erased", "held", "renewed"]), st.integers(0, 9))


@given(
    st.lists(
        st.builds(
            SliceProgress, expired=st.integers(0, 9), forwarded=st.integers(0, 9), outcomes=COUNTS, strange=COUNTS
        )
    )
)
def test_the_totals_are_the_sums_of_the_slices(progress: list[SliceProgress]) -> None:
    totals = total(progress)
    assert (totals.done, totals.cursor) == (True, "")
    assert totals.expired == sum(each.expired for each in progress)
    assert totals.forwarded == sum(each.forwarded for each in progress)
    for name in ("erased", "held", "renewed"):
        assert Counter(totals.outcomes)[name] == sum(each.outcomes.get(name, 0) for each in progress)
        assert Counter(totals.strange)[name] == sum(each.strange.get(name, 0) for each in progress)
