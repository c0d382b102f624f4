"""The planner's decision: one step from the latest run and the time, and an unfinished run is never overtaken."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.plan import JITTER, Finish, Post, Queue, Start, Step, Wait, decide, total
from shared.policy_file import load
from shared.runs import Current, SliceProgress

HOURLY = load(Path(__file__).parents[2] / "policy.yaml").category("operation-log")
STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
RESEND = timedelta(minutes=10)
DONE, OPEN = SliceProgress(done=True), SliceProgress(cursor="half", expired=3)

SECONDS = st.integers(-90_000, 90_000).map(lambda seconds: STARTED + timedelta(seconds=seconds))
PROGRESS = st.lists(st.sampled_from([DONE, OPEN, SliceProgress()]), max_size=5)


def run(**changes: object) -> Current:
    return Current.model_validate({"run": "r", "started": STARTED, "slices": 0, **changes})


def step(current: Current | None, *progress: SliceProgress, minutes: float = 0, forced: bool = False) -> Step:
    now = STARTED + timedelta(minutes=minutes)
    return decide(HOURLY, current, progress, now=now, resend_after=RESEND, forced=forced)


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
    current = run(finished=STARTED, outbox="{}")
    assert step(current) == Post()
    assert step(current, minutes=600, forced=True) == Post()


@given(SECONDS, st.booleans(), st.none() | SECONDS, st.integers(1, 9), PROGRESS)
def test_an_unfinished_run_is_never_overtaken(
    now: datetime, forced: bool, queued: datetime | None, attempt: int, progress: list[SliceProgress]
) -> None:
    current = run(slices=len(progress), queued=queued, attempt=attempt)
    taken = decide(HOURLY, current, progress, now=now, resend_after=RESEND, forced=forced)
    left = tuple(number for number, each in enumerate(progress) if not each.done)
    match taken:
        case Start() | Post():
            pytest.fail("a run was overtaken")
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
    taken = decide(HOURLY, run(finished=finished), [], now=now, resend_after=RESEND, forced=forced)
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
