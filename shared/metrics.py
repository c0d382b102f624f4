"""What monitoring is told: the names of the metrics, what each means, and the values that the log's events give. Pure.

Two places send them. `watch_metrics` (role pipeline) sends gauges, which `shared.gauges` makes; `ledger_publish` (role
ledger) sends what became of records, made of the events that it published. These are for watching alone: the log is the
truth.
An event is counted once the publisher's cursor stands behind it. A crash between the two loses its count, and an export
that is repeated can count twice.

Refused: personal data. An attribute is a category, an outcome, a timer's name or a kind, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from shared.audit import EventType
from shared.model import parse_utc

_RECORD = "retention.record."
SOON = timedelta(days=7)
"""A request that is due within this time, and not finished, needs attention."""

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
