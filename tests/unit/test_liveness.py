"""Heartbeats: written over, told apart by name, late after three intervals and two minutes, whoever has never beaten too."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import TransientError
from shared.liveness import MISSED, SLACK, TIMERS, Heartbeats
from shared.stores.memory import Fault, MemoryObjects

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAILY = {"users": timedelta(days=1)}


@pytest.fixture
def heartbeats() -> Heartbeats:
    return Heartbeats(objects=MemoryObjects(clock=START))


async def late(heartbeats: Heartbeats, now: datetime, **categories: timedelta) -> list[str]:
    pulse = await heartbeats.read(now, categories=categories)
    return [beat.name for beat in (*pulse.timers, *pulse.categories) if beat.late]


async def test_before_anything_ran_nothing_is_late(heartbeats: Heartbeats) -> None:
    pulse = await heartbeats.read(START, categories=DAILY)
    assert (pulse.timers, pulse.categories) == ((), ())


async def test_a_timer_is_late_once_three_intervals_and_two_minutes_have_passed(heartbeats: Heartbeats) -> None:
    for name in TIMERS:
        await heartbeats.timer(name, START)
    edge = START + MISSED * TIMERS["planner"] + SLACK
    assert await late(heartbeats, edge) == []
    every_minute = [name for name, interval in TIMERS.items() if interval == timedelta(minutes=1)]
    assert await late(heartbeats, edge + timedelta(seconds=1)) == every_minute
    await heartbeats.timer("planner", edge)
    assert await late(heartbeats, edge + timedelta(seconds=1)) == [each for each in every_minute if each != "planner"]


async def test_a_timer_that_never_fired_is_late_measured_from_the_first_heartbeat_of_all(
    heartbeats: Heartbeats,
) -> None:
    await heartbeats.timer("planner", START)
    for minutes in range(1, 8):
        await heartbeats.timer("planner", START + timedelta(minutes=minutes))
    pulse = await heartbeats.read(START + timedelta(minutes=7), categories={})
    watch = next(beat for beat in pulse.timers if beat.name == "watch_journals")
    assert (watch.last, watch.age, watch.late) == (None, timedelta(minutes=7), True)
    assert "watch_requests" not in await late(heartbeats, START + timedelta(minutes=7))


async def test_a_category_is_late_by_its_own_cadence(heartbeats: Heartbeats) -> None:
    await heartbeats.category("users", START)
    for name in TIMERS:
        await heartbeats.timer(name, START + timedelta(days=3))
    assert await late(heartbeats, START + timedelta(days=3, minutes=2), **DAILY) == []
    assert await late(heartbeats, START + timedelta(days=3, minutes=2, seconds=1), **DAILY) == ["users"]
    assert await late(heartbeats, START + timedelta(days=3, minutes=2), **DAILY, homes=timedelta(minutes=1)) == [
        "homes"
    ]


async def test_one_object_per_name_is_written_over(heartbeats: Heartbeats) -> None:
    for minutes in range(3):
        await heartbeats.timer("planner", START + timedelta(minutes=minutes))
    await heartbeats.category("users", START)
    assert [entry.name async for entry in heartbeats.objects.list()] == ["category/users", "timer/planner"]


async def test_two_instances_at_the_same_moment_are_no_failure(heartbeats: Heartbeats) -> None:
    await heartbeats.timer("planner", START)
    read = heartbeats.objects.read

    async def meanwhile(name: str):
        held = await read(name)
        heartbeats.objects.read = read
        await heartbeats.timer("planner", START + timedelta(seconds=1))
        return held

    heartbeats.objects.read = meanwhile
    await heartbeats.timer("planner", START + timedelta(seconds=2))
    assert await late(heartbeats, START + timedelta(minutes=5)) == []


async def test_a_category_s_heartbeat_that_is_lost_stops_no_run_and_a_timer_s_fails_its_firing(
    heartbeats: Heartbeats,
) -> None:
    for _ in range(2):
        heartbeats.objects.arm(Fault(write="create", applied=False))
    await heartbeats.category("users", START)
    heartbeats.objects.arm(Fault(write="create", applied=False))
    with pytest.raises(TransientError):
        await heartbeats.timer("planner", START)


async def test_what_else_is_in_the_container_is_no_heartbeat(heartbeats: Heartbeats) -> None:
    await heartbeats.objects.create("overdue.json", b"{}")
    assert (await heartbeats.read(START, categories={})).timers == ()
