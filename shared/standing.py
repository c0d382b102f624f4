"""The values that say how everything stands: what `retention status` shows, and `shared.attention` judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shared.liveness import Beat
from shared.overdue import Look
from shared.posture.watch import PostureLook

SHOWN = 5
"""Requests and messages that need a person are named up to this number, and counted beyond it."""
CLOSES_WITHIN = timedelta(days=1)
"""A request that is done closes within this time of the one at which its last copies are to be gone."""
ENDLESS_AFTER = timedelta(days=60)
"""A request that is done and has no such time needs a person once its answer was due this long ago."""

DeadLetters = int | Literal["no right to receive"] | None
"""How many dead letters a queue has: None without an answer, the text where the identity may not look."""


@dataclass(frozen=True, kw_only=True)
class Paused:
    """Since when something is paused, who said so and why: free text."""

    since: datetime
    by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CategoryStatus:
    """The latest run of an enforced category; `run` is None before the first.

    It found `found` records before anything was queued; more than `cap` wait for approval. `open_slices` of its
    `slices` are not done; `uncounted` units have outcomes that the log alone knows. `follows` names the categories that
    this one's records go with, `by_ledger` says that role ledger deletes there: such have no runs. `own` says that the
    container is one of the pipeline's own.
    """

    category: str
    own: bool = False
    follows: Sequence[str] = ()
    by_ledger: bool = False
    run: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    next_due: datetime | None = None
    found: int = 0
    cap: int | None = None
    approval: str | None = None
    pause: Paused | None = None
    slices: int = 0
    open_slices: int = 0
    expired: int = 0
    forwarded: int = 0
    uncounted: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    strange: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How many journals wait in one state, and since when the oldest does."""

    count: int = 0
    since: datetime | None = None

    def and_one(self, since: datetime) -> Waiting:
        """One more."""
        return Waiting(count=self.count + 1, since=min(since, self.since or since))

    def older_than(self, moment: datetime) -> bool:
        """Whether the oldest waits since the moment or longer."""
        return self.since is not None and self.since <= moment


@dataclass(frozen=True, kw_only=True)
class Due:
    """A request that is not finished, and when its answer is due (GDPR Art. 12(3))."""

    request: str
    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class Closing:
    """A request that is done, and when it is to close; `closes_at` is None where nothing ends its copies by itself."""

    request: str
    due_at: datetime
    closes_at: datetime | None

    def late(self, at: datetime) -> bool:
        """Whether it should be closed by now, or somebody should know that it never will by itself."""
        if self.closes_at is None:
            return self.due_at + ENDLESS_AFTER <= at
        return self.closes_at + CLOSES_WITHIN <= at


@dataclass(frozen=True, kw_only=True)
class RequestsStatus:
    """Requests: counts by state, the ids of those that need a person, and the unfinished ones, the oldest due first.

    `not_closed` are those that are done and late to close, the oldest due first.
    """

    states: Mapping[str, int]
    undecided: Sequence[str]
    unfinished: Sequence[Due]
    not_closed: Sequence[Closing] = ()
    pause: Paused | None = None


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A parked message: its id, from which queue, when, why, the request id where it held one. Nothing of its body."""

    id: str
    queue: str
    at: datetime
    reason: str
    request: str | None


@dataclass(frozen=True, kw_only=True)
class PendingHold:
    """A hold, by its id, that is not in force yet: work that was open when it came, `since` then, may still delete."""

    hold: str
    since: datetime | None


@dataclass(frozen=True, kw_only=True)
class HoldStatus:
    """How many holds stand, which of these are not in force yet, how many ended.

    Of those that stand, `unknown` counts what nobody has looked at (it was placed by hand), `too_late` those that came
    too late for some records, and `astray` has the ids of those on a category that the policy does not have. These, and
    the unreadable ones, stop every deletion.
    """

    standing: int = 0
    pending: Sequence[PendingHold] = ()
    unknown: int = 0
    too_late: int = 0
    astray: Sequence[str] = ()
    ended: int = 0
    unreadable: int = 0


@dataclass(frozen=True, kw_only=True)
class LogStatus:
    """One year's log, in entries: committed, sealed by the latest checkpoint, published to the topic.

    `wrong` says what of it cannot be read, "" when all can.
    """

    year: str
    size: int = 0
    sealed: int = 0
    published: int = 0
    wrong: str = ""


@dataclass(frozen=True, kw_only=True)
class Attention:
    """One thing that somebody must look at, and the heading of docs/operate.md that says what to do.

    `category` is the one that it is about, if it is about one.
    """

    text: str
    see: str
    category: str | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """Everything, as of the store's clock.

    `look` is the last look at what is overdue, `posture` the last at the stores' settings, None before the first;
    `timers` and `runs` are the heartbeats of timers and of categories' runs, none before the first of all. `parked`
    messages wait, `dismissed` ones do not; `dead` counts dead letters by queue, where they were counted.
    """

    at: datetime
    categories: Sequence[CategoryStatus]
    planned: Sequence[str]
    look: Look | None
    timers: Sequence[Beat]
    runs: Sequence[Beat]
    holds: HoldStatus
    open: Waiting
    settled: Waiting
    requests: RequestsStatus
    parked: int
    dismissed: int
    latest_parked: Sequence[Parked]
    dead: Mapping[str, DeadLetters] | None
    logs: Sequence[LogStatus]
    posture: PostureLook | None = None
    attention: Sequence[Attention] = ()
