"""What monitoring is told: the names of the metrics, what each means, and their values, made of what was read. Pure.

Two places send them. `watch_metrics` (role pipeline) sends gauges, made of `Status`; `ledger_publish` (role ledger)
sends what became of records, made of the events that it published. These are for watching alone: the log is the truth.
An event is counted once the publisher's cursor stands behind it. A crash between the two loses its count, and an export
that is repeated can count twice.

Refused: personal data. An attribute is a category, an outcome, a timer's name or a kind, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.attention import SOON, late_run
from shared.audit import EventType
from shared.model import parse_utc
from shared.posture.watch import PostureLook
from shared.requests.documents import OPEN
from shared.standing import Status, Waiting

_RECORD = "retention.record."
_GONE = (EventType.RECORD_ERASED, EventType.RECORD_ERASED_RECOVERABLE, EventType.RECORD_LEFT)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: its unit (as UCUM spells it), what it means, and the attributes that tell its values apart."""

    name: str
    unit: str
    meaning: str
    attributes: tuple[str, ...] = ()
    kind: Literal["gauge", "counter", "histogram"] = "gauge"


METRICS = (
    Metric(
        name="retention.records",
        kind="counter",
        unit="{record}",
        attributes=("category", "outcome"),
        meaning="records by what became of them, as the log says it",
    ),
    Metric(
        name="retention.lateness",
        kind="histogram",
        unit="s",
        attributes=("category",),
        meaning="how long after its due time a record was erased",
    ),
    Metric(
        name="retention.overdue",
        unit="{record}",
        attributes=("category",),
        meaning="records that should be gone, by the last look; counted up to 1,000",
    ),
    Metric(
        name="retention.overdue.age",
        unit="s",
        attributes=("category",),
        meaning="how long the oldest of them has been due",
    ),
    Metric(name="retention.look.age", unit="s", meaning="how old the last look is"),
    Metric(name="retention.backlog.slices", unit="{slice}", meaning="slices of runs that are not done"),
    Metric(name="retention.backlog.requests", unit="{request}", meaning="requests at work, or waiting for it"),
    Metric(name="retention.requests.undecided", unit="{request}", meaning="requests that need a person"),
    Metric(
        name="retention.requests.due_soon",
        unit="{request}",
        meaning=f"requests that are not finished, and are due within {SOON.days} days or were",
    ),
    Metric(name="retention.requests.not_closed", unit="{request}", meaning="requests that are late to close"),
    Metric(name="retention.journals.open", unit="{journal}", meaning="journals that are open"),
    Metric(name="retention.journals.open.age", unit="s", meaning="for how long the oldest of them is"),
    Metric(
        name="retention.journals.settled.age",
        unit="s",
        meaning="for how long the oldest settled journal has waited for the ledger",
    ),
    Metric(name="retention.log.unsealed", unit="{entry}", meaning="entries of the log without a checkpoint"),
    Metric(name="retention.log.unpublished", unit="{entry}", meaning="sealed entries that the topic was not sent"),
    Metric(name="retention.log.wrong", unit="{log}", meaning="logs that contradict themselves, or cannot be read"),
    Metric(name="retention.parked", unit="{message}", meaning="parked messages that nobody has dismissed"),
    Metric(
        name="retention.heartbeat.age",
        unit="s",
        attributes=("timer",),
        meaning="how long ago a timer last succeeded",
    ),
    Metric(
        name="retention.heartbeat.late",
        unit="1",
        attributes=("timer",),
        meaning="1 when that is longer ago than three intervals and two minutes",
    ),
    Metric(
        name="retention.run.late",
        unit="1",
        attributes=("category",),
        meaning="1 when a category's run is late, and neither paused nor waiting for approval",
    ),
    Metric(name="retention.caps", unit="{run}", meaning="runs over their cap, which wait for approval"),
    Metric(name="retention.paused", unit="1", meaning="categories that are paused, and the erasures if they are"),
    Metric(
        name="retention.holds.stopping",
        unit="{hold}",
        meaning="holds that stop every deletion: unreadable, or on a category that the policy does not have",
    ),
    Metric(
        name="retention.posture",
        unit="1",
        attributes=("kind",),
        meaning="breaks: promises that the stores' settings break; unknown: findings that a setting is unknown",
    ),
    Metric(name="retention.posture.age", unit="s", meaning="how old the last look at the settings is"),
)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of the metric of this name."""

    metric: str
    value: float
    attributes: Mapping[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------- gauges


def of_status(found: Status, *, after: timedelta) -> list[Point]:
    """Every gauge, as of `found.at`; `after` as for `attention`. What was never looked at has no value."""
    return [
        *_overdue(found),
        *_runs(found, after),
        *_requests(found),
        *_journals(found),
        *_timers(found),
        _gauge("parked", found.parked),
        _gauge("holds.stopping", found.holds.unreadable + len(found.holds.astray)),
        *(_posture(found.posture, found.at) if found.posture else ()),
    ]


def _overdue(found: Status) -> Iterator[Point]:
    if found.look is None:
        return
    yield _gauge("look.age", _age(found.look.at, found.at))
    for each in found.look.categories:
        yield _gauge("overdue", each.count, category=each.category)
        yield _gauge("overdue.age", _age(each.oldest, found.at), category=each.category)


def _runs(found: Status, after: timedelta) -> Iterator[Point]:
    yield _gauge("backlog.slices", sum(each.open_slices for each in found.categories))
    yield _gauge("caps", sum(each.approval == "waiting" for each in found.categories))
    paused = sum(each.pause is not None for each in found.categories)
    yield _gauge("paused", paused + (found.requests.pause is not None))
    swept = {beat.name for beat in found.runs}
    for each in found.categories:
        if each.category in swept:
            yield _gauge("run.late", bool(late_run(each, found, after)), category=each.category)


def _requests(found: Status) -> Iterator[Point]:
    requests = found.requests
    yield _gauge("backlog.requests", sum(requests.states.get(state, 0) for state in OPEN))
    yield _gauge("requests.undecided", len(requests.undecided))
    yield _gauge("requests.due_soon", sum(each.due_at <= found.at + SOON for each in requests.unfinished))
    yield _gauge("requests.not_closed", len(requests.not_closed))


def _journals(found: Status) -> Iterator[Point]:
    yield _gauge("journals.open", found.open.count)
    yield _gauge("journals.open.age", _waited(found.open, found.at))
    yield _gauge("journals.settled.age", _waited(found.settled, found.at))
    yield _gauge("log.unsealed", sum(log.size - log.sealed for log in found.logs))
    yield _gauge("log.unpublished", sum(log.sealed - log.published for log in found.logs))
    yield _gauge("log.wrong", sum(bool(log.wrong) for log in found.logs))


def _timers(found: Status) -> Iterator[Point]:
    for beat in found.timers:
        yield _gauge("heartbeat.age", beat.age.total_seconds(), timer=beat.name)
        yield _gauge("heartbeat.late", beat.late, timer=beat.name)


def _posture(look: PostureLook, at: datetime) -> Iterator[Point]:
    yield _gauge("posture", len(look.broken), kind="breaks")
    yield _gauge("posture", look.unknown, kind="unknown")
    yield _gauge("posture.age", _age(look.at, at))


def _gauge(name: str, value: float, **attributes: str) -> Point:
    return Point(metric=f"retention.{name}", value=float(value), attributes=attributes)


def _age(since: datetime | None, at: datetime) -> float:
    """Seconds, 0 for what is not there; two clocks may differ by some."""
    return 0.0 if since is None else max(0.0, (at - since).total_seconds())


def _waited(waiting: Waiting, at: datetime) -> float:
    return _age(waiting.since, at)


# ---------------------------------------------------------------- what became of records


def of_events(events: Iterable[Mapping[str, Any]]) -> list[Point]:
    """Count published events about records, by category and outcome, and tell how late each erasure was.

    An event of another kind, or of a form that this version does not know, is passed over.
    """
    counts: Counter[tuple[str, str]] = Counter()
    late: list[Point] = []
    for event in events:
        kind, category = str(event.get("type", "")), event.get("data", {}).get("category")
        if not kind.startswith(_RECORD) or not isinstance(category, str):
            continue
        counts[category, kind.removeprefix(_RECORD)] += 1
        if kind in _GONE and (seconds := _lateness(event)) is not None:
            late.append(Point(metric="retention.lateness", value=seconds, attributes={"category": category}))
    records = [
        Point(metric="retention.records", value=number, attributes={"category": category, "outcome": outcome})
        for (category, outcome), number in counts.items()
    ]
    return records + late


def _lateness(event: Mapping[str, Any]) -> float | None:
    """Seconds from due to done; None where nothing was due, as on request."""
    try:
        return max(0.0, (parse_utc(event["time"]) - parse_utc(event["data"]["due"])).total_seconds())
    except (KeyError, ValueError, TypeError, OverflowError, AttributeError):
        return None
