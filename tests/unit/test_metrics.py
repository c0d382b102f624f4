"""What monitoring is told: every metric has a value, each made of what was read, and no attribute is about a person."""

import json
from datetime import timedelta
from typing import Any

import pytest
from ledger_world import START
from office import AFTER, ID, POLICY, WHO, Office

from shared.attention import late_run
from shared.audit import EventType
from shared.gauges import of_status
from shared.metrics import METRICS, Point, of_events
from shared.overdue import Look, Overdue
from shared.posture.watch import NAME, Broken, PostureLook
from shared.requests.documents import State
from shared.runs import Current, Pause

GAUGES = {each.name for each in METRICS if each.kind == "gauge"}
HOUR = timedelta(hours=1)


@pytest.fixture
def office() -> Office:
    return Office()


async def told(office: Office, **more: Any) -> dict[tuple[str, ...], float]:
    """Each value by its metric's name, less "retention.", and its attributes."""
    points = of_status(await office.gather(**more), after=AFTER)
    found = {(each.metric.removeprefix("retention."), *each.attributes.values()): each.value for each in points}
    assert len(found) == len(points), "two values of one name and the same attributes"
    return found


def test_a_metric_is_named_once_and_says_what_it_means() -> None:
    assert len({each.name for each in METRICS}) == len(METRICS)
    assert all(each.name.startswith("retention.") and each.meaning and each.unit for each in METRICS)


async def test_every_gauge_has_a_value_and_its_own_attributes_and_no_other_has(office: Office) -> None:
    await office.beat()
    kept = PostureLook(at=START).model_dump_json().encode()
    await office.heartbeats.objects.create(NAME, kept)
    points = of_status(await office.gather(look=Look(at=START, categories=(Overdue(category="users"),))), after=AFTER)
    assert {each.metric for each in points} == GAUGES
    known = {each.name: set(each.attributes) for each in METRICS}
    assert all(set(each.attributes) == known[each.metric] for each in points)


async def test_before_the_first_look_its_age_is_not_told_and_all_else_is_nothing(office: Office) -> None:
    found = await told(office)
    assert not [name for name, *_ in found if name in {"look.age", "overdue", "posture.age", "heartbeat.age"}]
    assert set(found.values()) == {0.0}


async def test_overdue_records_are_told_by_category_with_the_age_of_the_oldest(office: Office) -> None:
    late = Overdue(category="users", count=3, oldest=START - HOUR)
    office.later(HOUR)
    found = await told(office, look=Look(at=START, categories=(late, Overdue(category="homes"))))
    assert (found["overdue", "users"], found["overdue.age", "users"]) == (3.0, 7200.0)
    assert (found["overdue", "homes"], found["overdue.age", "homes"]) == (0.0, 0.0)
    assert found["look.age",] == 3600.0


async def test_requests_are_told_by_what_they_need(office: Office) -> None:
    soon = START + timedelta(days=3)
    await office.put(State.NEEDS_ATTENTION)
    await office.put(State.ACCEPTED, request=ID.replace("1", "2"), due_at=soon)
    done = {"request": ID.replace("1", "3"), "closes_at": START - timedelta(days=2)}
    await office.put(State.DONE, **done)
    found = await told(office)
    names = ("requests.undecided", "requests.due_soon", "requests.not_closed", "backlog.requests")
    assert [found[name,] for name in names] == [1.0, 1.0, 1.0, 1.0]


async def test_a_late_run_is_told_as_attention_tells_it_and_not_while_it_is_paused_or_waits(office: Office) -> None:
    await office.beat()
    await office.heartbeats.category("users", START)
    cadence = POLICY.category("users").cadence.time
    current = Current(run="r", started=START, slices=0, queued=START, finished=START)
    await office.runs.set_current("users", current, None)
    office.later(3 * cadence + HOUR)
    found = await office.gather()
    users = next(each for each in found.categories if each.category == "users")
    assert late_run(users, found, AFTER)
    assert (await told(office))["run.late", "users"] == 1.0
    await office.runs.set_pause("users", Pause(paused=True, since=START, by=WHO, reason=WHO), None)
    values = await told(office)
    assert (values["run.late", "users"], values["paused",]) == (0.0, 1.0)


async def test_a_run_over_its_cap_and_erasures_that_are_paused_are_counted(office: Office) -> None:
    current = Current(run="users-1", started=START, slices=1, found=101, cap=100, approval="waiting")
    await office.runs.set_current("users", current, None)
    await office.runs.set_pause("requests", Pause(paused=True, since=START, by=WHO, reason=WHO), None)
    found = await told(office)
    assert (found["caps",], found["paused",]) == (1.0, 1.0)


async def test_a_timer_that_is_late_is_told_apart_from_its_age(office: Office) -> None:
    await office.beat()
    office.later(timedelta(minutes=6))
    found = await told(office)
    assert (found["heartbeat.age", "planner"], found["heartbeat.late", "planner"]) == (360.0, 1.0)
    assert (found["heartbeat.age", "watch_overdue"], found["heartbeat.late", "watch_overdue"]) == (360.0, 0.0)


async def test_the_log_and_its_journals_are_told_in_entries_and_in_seconds(office: Office) -> None:
    await office.world.settle("x", 3)
    office.later(HOUR)
    found = await told(office)
    assert (found["journals.settled.age",], found["journals.open",], found["journals.open.age",]) == (3600.0, 0.0, 0.0)
    await office.world.work()
    await office.world.settle("y", 2)
    await office.world.ledger.state.create("2025/head", b"no head")
    assert (await told(office))["log.wrong",] == 1.0


async def test_posture_is_told_by_kind_with_its_age(office: Office) -> None:
    broken = Broken(rule="r", promised="P7D", really="14 d")
    look = PostureLook(at=START, broken=(broken, broken), unknown=3)
    await office.heartbeats.objects.create(NAME, look.model_dump_json().encode())
    office.later(HOUR)
    found = await told(office)
    assert (found["posture", "breaks"], found["posture", "unknown"], found["posture.age",]) == (2.0, 3.0, 3600.0)


async def test_nobody_is_named_in_a_metric(office: Office) -> None:
    await office.put(State.NEEDS_ATTENTION)
    await office.park()
    points = of_status(await office.gather(), after=AFTER)
    text = json.dumps([(each.metric, each.value, dict(each.attributes)) for each in points])
    assert WHO not in text
    assert ID not in text


# ---------------------------------------------------------------- what became of records


def erased(category: str = "users", kind: str = EventType.RECORD_ERASED, **data: Any) -> dict[str, Any]:
    return {"type": kind, "time": "2026-03-01T12:00:00Z", "data": {"category": category, **data}}


def test_published_events_are_counted_by_category_and_outcome_and_erasures_told_by_their_lateness() -> None:
    due = {"due": "2026-03-01T11:50:00Z"}
    events = [erased(**due), erased(), erased("homes"), erased(kind=EventType.RECORD_HELD, **due)]
    assert of_events(events) == [
        Point(metric="retention.records", value=2, attributes={"category": "users", "outcome": "erased"}),
        Point(metric="retention.records", value=1, attributes={"category": "homes", "outcome": "erased"}),
        Point(metric="retention.records", value=1, attributes={"category": "users", "outcome": "held"}),
        Point(metric="retention.lateness", value=600.0, attributes={"category": "users"}),
    ]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": EventType.RUN_COMPLETED, "data": {"category": "users"}},
        {"type": EventType.RECORD_ERASED, "data": {}},
        {"type": EventType.RECORD_ERASED, "data": {"category": 7}},
    ],
)
def test_an_event_about_no_record_counts_nothing(event: dict[str, Any]) -> None:
    assert of_events([event]) == []


@pytest.mark.parametrize("due", ["", "soon", 7, None, "9999-99-99T00:00:00Z"])
def test_a_due_time_that_is_none_is_passed_over_and_the_record_still_counts(due: object) -> None:
    assert [each.metric for each in of_events([erased(due=due)])] == ["retention.records"]
