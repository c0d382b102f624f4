"""NCRONTAB as the platform reads it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.runner.schedule import Schedule, ScheduleError

NOW = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * * *", "2026-03-14 15:09:27"),
        ("0 * * * * *", "2026-03-14 15:10:00"),
        ("*/20 * * * * *", "2026-03-14 15:09:40"),
        ("0 5/10 * * * *", "2026-03-14 15:15:00"),
        ("0 0 9-17 * * Mon-Fri", "2026-03-16 09:00:00"),
        ("30 15 3 * * *", "2026-03-15 03:15:30"),
        ("0 0 0 1 january *", "2027-01-01 00:00:00"),
        ("0 0 0 29 feb *", "2028-02-29 00:00:00"),
        ("0 0 0 1,15 * 0", "2026-03-15 00:00:00"),
        ("0 0 12 * * 0", "2026-03-15 12:00:00"),
    ],
)
def test_fires_next_at(text: str, expected: str) -> None:
    assert Schedule(text).next_after(NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_day_and_weekday_must_both_fit() -> None:
    assert Schedule("0 0 0 13 * Fri").next_after(NOW) == datetime(2026, 11, 13, tzinfo=UTC)


def test_a_time_that_is_due_now_is_not_the_next_one() -> None:
    on_the_minute = datetime(2026, 3, 14, 15, 10, tzinfo=UTC)
    assert Schedule("0 * * * * *").next_after(on_the_minute) == on_the_minute + timedelta(minutes=1)


def test_times_are_utc_whatever_zone_it_is_asked_in() -> None:
    asked = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert Schedule("0 0 16 * * *").next_after(asked) == datetime(2026, 3, 14, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("* * * * *", "six"),
        ("00:05:00", "six"),
        ("", "six"),
        ("60 * * * * *", "second"),
        ("0 60 * * * *", "minute"),
        ("0 0 24 * * *", "hour"),
        ("0 0 0 0 * *", "day"),
        ("0 0 0 32 * *", "day"),
        ("0 0 0 L * *", "day"),
        ("0 0 0 15W * *", "day"),
        ("0 0 0 ? * *", "day"),
        ("0 0 0 1 13 *", "month"),
        ("0 0 0 1 ja *", "month"),
        ("0 0 0 * * 7", "weekday"),
        ("0 0 0 * * fri#2", "weekday"),
        ("0 */0 * * * *", "minute"),
        ("0 1, * * * *", "minute"),
        ("0 -1 * * * *", "minute"),
        ("@daily * * * * *", "second"),
        ("0 0 0 30 2 *", "never fires"),
    ],
)
def test_what_the_platform_refuses_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(ScheduleError, match=place):
        Schedule(text)


@pytest.mark.parametrize(("text", "seconds"), [("0 * * * * *", 60), ("*/10 * * * * *", 10), ("50,5 * * * * *", 15)])
def test_the_shortest_interval_is_known_below_a_minute(text: str, seconds: int) -> None:
    assert Schedule(text).shortest_interval_seconds == seconds


@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 23), st.integers(946_684_800, 3_786_912_000))
def test_a_daily_schedule_fires_within_a_day_and_at_its_time(second: int, minute: int, hour: int, now: int) -> None:
    asked = datetime.fromtimestamp(now, UTC)
    found = Schedule(f"{second} {minute} {hour} * * *").next_after(asked)
    assert timedelta() < found - asked <= timedelta(days=1)
    assert (found.hour, found.minute, found.second, found.microsecond) == (hour, minute, second, 0)
