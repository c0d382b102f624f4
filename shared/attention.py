"""What needs attention, judged from how everything stands: each line says what to do, and where to read on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from shared.metrics import SOON
from shared.overdue import said
from shared.posture.watch import said as said_of_posture
from shared.standing import SHOWN, Attention, CategoryStatus, Status


def attention(found: Status, *, after: timedelta) -> list[Attention]:
    """What an operator must look at, the most pressing first; `after` is how old a journal, how late a run may be."""
    return [
        *_overdue(found),
        *_requests(found),
        *_closing(found),
        *_parked(found),
        *_categories(found, after),
        *_holds(found, after),
        *_timers(found),
        *_journals(found, after),
        *_posture(found),
    ]


def _overdue(found: Status) -> Iterator[Attention]:
    for each in found.look.categories if found.look else ():
        if told := said(each):
            yield Attention(text=f"{each.category}: {told}", see="overdue", category=each.category)


def _requests(found: Status) -> Iterator[Attention]:
    requests = found.requests
    for request in requests.undecided[:SHOWN]:
        text = f"request {request} needs a person: `retention request show {request}` says why"
        yield Attention(text=text, see="requests")
    if requests.undecided[SHOWN:]:
        left = len(requests.undecided) - SHOWN
        yield Attention(text=f"more requests that need a person: {left} (`retention request list`)", see="requests")
    due = [each for each in requests.unfinished if each.due_at <= found.at + SOON]
    for each in due[:SHOWN]:
        how = "was due" if each.due_at <= found.at else "is due"
        text = f"request {each.request} {how} on {each.due_at:%Y-%m-%d}, and is not finished"
        yield Attention(text=text, see="due-soon")
    if due[SHOWN:]:
        yield Attention(text=f"more requests that are due within {SOON.days} days: {len(due) - SHOWN}", see="due-soon")
    if requests.pause is not None:
        text = f"erasures are paused since {requests.pause.since:%Y-%m-%d %H:%M}Z: `retention resume erasures --by WHO`"
        yield Attention(text=text, see="paused")


def _closing(found: Status) -> Iterator[Attention]:
    late = found.requests.not_closed
    for each in late[:SHOWN]:
        if each.closes_at is None:
            text = f"request {each.request} is done and cannot close by itself: copies or backups of it have no end"
        else:
            text = (
                f"request {each.request} should have closed on {each.closes_at:%Y-%m-%d}: is an older backup left, one "
                "outside the layout, or is the log not sealed?"
            )
        yield Attention(text=text, see="not-closed")
    if late[SHOWN:]:
        yield Attention(text=f"more requests that are done and not closed: {len(late) - SHOWN}", see="not-closed")


def _parked(found: Status) -> Iterator[Attention]:
    for each in found.latest_parked:
        whose = f" of request {each.request}" if each.request else ""
        text = f"message {each.id}{whose} is parked, from queue {each.queue}: {each.reason}"
        yield Attention(text=text, see="parked")
    if found.parked > len(found.latest_parked):
        left = found.parked - len(found.latest_parked)
        yield Attention(text=f"more messages that are parked: {left} (`retention parking list`)", see="parked")
    for queue, count in (found.dead or {}).items():
        if count is None:
            yield Attention(text=f"the dead letters of queue {queue} are not known: no answer", see="dead-letters")
        elif isinstance(count, int) and count:  # who may not look is told so, and asked for nothing
            text = f"queue {queue} has {count} dead letters: does the function for them run?"
            yield Attention(text=text, see="dead-letters")


def _categories(found: Status, after: timedelta) -> Iterator[Attention]:
    for each in found.categories:
        if each.approval == "waiting":
            more = f"more than its cap of {each.cap}"
            text = f"{each.category}: run {each.run} found {more}: look, then `retention approve {each.run} --by WHO`"
            yield Attention(text=text, see="approval", category=each.category)
        if each.pause is not None:
            since = f"{each.pause.since:%Y-%m-%d %H:%M}Z"
            text = f"{each.category}: paused since {since}: `retention resume {each.category} --by WHO`"
            yield Attention(text=text, see="paused", category=each.category)
        if late := late_run(each, found, after):
            yield Attention(text=f"{each.category}: {late}", see="late-run", category=each.category)


def late_run(each: CategoryStatus, found: Status, after: timedelta) -> str:
    """How a category's run is late, "" where it is not: what waits for approval, or is paused, is not late."""
    if each.approval == "waiting" or each.pause is not None:
        return ""
    if each.next_due is not None and each.next_due + after <= found.at:
        return "the next run is overdue: does the planner run, do its slices end?"
    waited = [beat.age for beat in found.runs if beat.name == each.category and beat.late]
    return f"no run has finished for {_span(waited[0])}: do its slices end?" if waited else ""


def _holds(found: Status, after: timedelta) -> Iterator[Attention]:
    if found.holds.unreadable:
        text = (
            f"{found.holds.unreadable} holds cannot be read, and nothing is deleted: `retention hold list` names them"
        )
        yield Attention(text=text, see="holds")
    for hold in found.holds.astray[:SHOWN]:
        text = (
            f"hold {hold} is on a category that the policy does not have, and nothing is deleted: name it or release it"
        )
        yield Attention(text=text, see="holds")
    if left := found.holds.astray[SHOWN:]:
        text = f"more holds on categories that the policy does not have: {len(left)} (`retention hold list`)"
        yield Attention(text=text, see="holds")
    longest = 2 * after  # what a crash left open is taken up after that time, and then the watch looks at the hold
    late = [each for each in found.holds.pending if each.since is None or each.since + longest <= found.at]
    for each in late[:SHOWN]:
        since = f"since {each.since:%Y-%m-%d %H:%M}Z" if each.since else "for an unknown time"
        text = f"hold {each.hold} is pending {since}, and work from before it may still delete: does the watch run?"
        yield Attention(text=text, see="holds")
    if late[SHOWN:]:
        yield Attention(text=f"more holds that are pending: {len(late) - SHOWN} (`retention hold list`)", see="holds")


def _timers(found: Status) -> Iterator[Attention]:
    for beat in found.timers:
        if beat.late:
            when = f"for {_span(beat.age)}" if beat.last else "yet"
            text = f"timer {beat.name} has not succeeded {when}: does its app run, what does its log say?"
            yield Attention(text=text, see="timers")


def _journals(found: Status, after: timedelta) -> Iterator[Attention]:
    if found.open.older_than(found.at - after):
        text = "journals are open for longer than they should be: does the watch run?"
        yield Attention(text=text, see="journals")
    if found.settled.older_than(found.at - after):
        text = "journals wait for the ledger for longer than they should: does role ledger run?"
        yield Attention(text=text, see="ledger")
    for log in found.logs:
        if log.wrong:
            yield Attention(text=f"log {log.year}: {log.wrong}", see="ledger")


def _posture(found: Status) -> Iterator[Attention]:
    if found.posture is None:
        return
    broken = found.posture.broken
    for each in broken[:SHOWN]:
        yield Attention(text=said_of_posture(each), see="posture")
    if broken[SHOWN:]:
        text = f"more rules whose promise the stores' settings break: {len(broken) - SHOWN} (`retention posture`)"
        yield Attention(text=text, see="posture")
    if found.posture.unknown:
        text = f"settings of the stores are unknown ({found.posture.unknown} findings): `retention posture` names them"
        yield Attention(text=text, see="posture")


def _span(age: timedelta) -> str:
    """A span of time, roughly: 3 d, 5 h, 12 min."""
    minutes = int(age.total_seconds() // 60)
    if minutes >= 2 * 24 * 60:
        return f"{minutes // (24 * 60)} d"
    return f"{minutes // 60} h" if minutes >= 2 * 60 else f"{minutes} min"
