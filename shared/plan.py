"""What the planner does next for one category, and how much a run may find: pure, from the latest run and the time.

A run is due when the cadence has passed since the last one started; a missed one is caught up by the next, whose cutoff
covers it. An unfinished run is never overtaken: its unfinished slices are sent again instead. While a category is
paused nothing is started or queued, and a run that found more than its cap has nothing queued until it is approved;
when the policy changes before that, the run ends and the next one counts anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from shared.policy import Category
from shared.policy_terms import Follows, OwnStore, Rule
from shared.runs import Current, Pause, SliceProgress

# ---------------------------------------------------------------- how much a run may find

FEWEST_RUNS = 5
"""With fewer finished runs than this there is nothing to compare a run with."""


@dataclass(frozen=True, kw_only=True)
class Caps:
    """How much a run may find without anybody's approval, in records; so never more persons or homes than that.

    `absolute` holds for every category that has no cap of its own. `factor` times the median of the earlier runs is
    the other bound, but never less than `floor`.
    """

    absolute: int = 100_000
    factor: int = 10
    floor: int = 1_000

    def of(self, category: Category, history: Sequence[int]) -> int:
        """The cap of the category's next run; `history` is what the latest finished ones found expired."""
        absolute = self.absolute if category.cap is None else category.cap
        if len(history) < FEWEST_RUNS:
            return absolute
        return min(absolute, max(self.floor, int(self.factor * median(history))))


def quotas(counted: Sequence[int], cap: int) -> list[int]:
    """How many records each slice may hand over: what was `counted` in it, and an equal share of what the cap leaves.

    Together never more than the cap. Beyond the cap no slice may hand over any: such a run needs approval.
    """
    left = cap - sum(counted)
    return [number + left // len(counted) if left >= 0 else 0 for number in counted]


# ---------------------------------------------------------------- what comes next

POLICY_CHANGED = "the policy has changed since"
"""Why slices ended that were planned under another policy: one is counted for each."""


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
    """Every slice is done, or none may be any more: close the run."""

    totals: SliceProgress


@dataclass(frozen=True, kw_only=True)
class Post:
    """An event of the run is still in the outbox."""


@dataclass(frozen=True, kw_only=True)
class Paused:
    """There would be something to start or to queue, and the category is paused."""


@dataclass(frozen=True, kw_only=True)
class Unapproved:
    """The run found more than its cap, and waits for approval."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Nothing to do."""


JITTER = timedelta(seconds=30)  # half a tick: ticks come a little early or late, and none may be missed for that
Step = Start | Queue | Finish | Post | Paused | Unapproved | Wait


def decide(
    category: Category,
    current: Current | None,
    progress: Sequence[SliceProgress],
    *,
    policy: str,
    pause: Pause | None,
    now: datetime,
    resend_after: timedelta,
    forced: bool,
) -> Step:
    """The next step. `progress` has one entry per slice of the current run; `forced` starts before the cadence.

    `policy` is the digest of the policy now.
    """
    paused = pause is not None and pause.paused
    if current is not None and current.outbox:
        return Post()
    if current is None or current.finished is not None:
        due = current is None or category.cadence.after(current.started) <= now + JITTER
        if not due and not forced:
            return Wait()
        return Paused() if paused else Start()
    if current.approval == "waiting":
        if current.policy == policy:
            return Unapproved()
        return Finish(totals=SliceProgress(done=True, strange={POLICY_CHANGED: current.slices}))
    unfinished = tuple(number for number, each in enumerate(progress) if not each.done)
    if not unfinished:
        return Finish(totals=total(progress))
    if paused:
        return Paused()
    if current.queued is None:
        return Queue(slices=unfinished, attempt=current.attempt)
    # What was queued before a pause may have met it, and was left alone: it is sent again, once for each resumption.
    resumed = pause is not None and pause.resumed_at != current.resumed_at
    if resumed or current.queued + resend_after <= now:
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


def swept_rules(category: Category) -> list[Rule]:
    """The rules that runs carry out: none where another category takes the records along, or role ledger deletes."""
    if isinstance(category.store, OwnStore) and category.store.swept_by == "ledger":
        return []
    return [rule for rule in category.rules if not isinstance(rule.start, Follows)]
