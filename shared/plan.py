"""What the planner does next for one category: pure, from the latest run and the time.

A run is due when the cadence has passed since the last one started; a missed one is caught up by the next, whose cutoff
covers it. An unfinished run is never overtaken: its unfinished slices are sent again instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.policy import Category
from shared.runs import Current, SliceProgress


@dataclass(frozen=True, kw_only=True)
class Start:
    """Plan a new run."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Send these slices of the current run, as this attempt."""

    slices: tuple[int, ...]
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Finish:
    """Every slice is done: close the run."""

    totals: SliceProgress


@dataclass(frozen=True, kw_only=True)
class Post:
    """The finished run's event is still in the outbox."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Nothing to do."""


JITTER = timedelta(seconds=30)  # half a tick: ticks come a little early or late, and none may be missed for that
Step = Start | Queue | Finish | Post | Wait


def decide(
    category: Category,
    current: Current | None,
    progress: Sequence[SliceProgress],
    *,
    now: datetime,
    resend_after: timedelta,
    forced: bool,
) -> Step:
    """The next step. `progress` has one entry per slice of the current run; `forced` starts before the cadence."""
    if current is None:
        return Start()
    if current.outbox is not None:
        return Post()
    if current.finished is not None:
        due = category.cadence.after(current.started) <= now + JITTER
        return Start() if due or forced else Wait()
    unfinished = tuple(number for number, each in enumerate(progress) if not each.done)
    if not unfinished:
        return Finish(totals=total(progress))
    if current.queued is None:
        return Queue(slices=unfinished, attempt=current.attempt)
    if current.queued + resend_after <= now:
        return Queue(slices=unfinished, attempt=current.attempt + 1)
    return Wait()


def total(progress: Sequence[SliceProgress]) -> SliceProgress:
    """The sum of all slices."""
    outcomes: Counter[str] = Counter()
    strange: Counter[str] = Counter()
    for each in progress:
        outcomes.update(each.outcomes)
        strange.update(each.strange)
    return SliceProgress(
        done=True,
        expired=sum(each.expired for each in progress),
        forwarded=sum(each.forwarded for each in progress),
        uncounted=sum(each.uncounted for each in progress),
        outcomes=outcomes,
        strange=strange,
    )
