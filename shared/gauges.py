"""The values of the gauges, of how everything stands: see `shared.metrics`, which names them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.attention import late_run
from shared.metrics import SOON, Point
from shared.posture.watch import PostureLook
from shared.requests.documents import OPEN
from shared.standing import Status, Waiting


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
