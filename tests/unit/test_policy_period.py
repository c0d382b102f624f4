"""Periods: ISO 8601, exact in the calendar, and a listing cutoff that leaves nothing out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.period import Period

moments = st.datetimes(timezones=st.just(UTC))
counts = st.integers(0, 40)


@st.composite
def periods(draw: st.DrawFn) -> Period:
    years, months, days, hours = draw(st.integers(0, 12)), draw(counts), draw(counts), draw(counts)
    return Period.parse(f"P{years}Y{months}M{days}DT{hours}H")


@pytest.mark.parametrize(
    ("text", "start", "due"),
    [
        ("P7D", "2025-03-01T10:00:00+00:00", "2025-03-08T10:00:00+00:00"),
        ("P0D", "2025-03-01T10:00:00+00:00", "2025-03-01T10:00:00+00:00"),
        ("PT60S", "2025-03-01T23:59:30+00:00", "2025-03-02T00:00:30+00:00"),
        ("P1W", "2024-02-26T00:00:00+00:00", "2024-03-04T00:00:00+00:00"),
        ("P1M", "2025-01-31T12:00:00+00:00", "2025-02-28T12:00:00+00:00"),
        ("P1M", "2024-01-31T12:00:00+00:00", "2024-02-29T12:00:00+00:00"),
        ("P1Y", "2024-02-29T00:00:00+00:00", "2025-02-28T00:00:00+00:00"),
        ("P4Y", "2024-02-29T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
        ("P24M", "2023-11-30T00:00:00+00:00", "2025-11-30T00:00:00+00:00"),
        ("P1M1D", "2025-01-31T00:00:00+00:00", "2025-03-01T00:00:00+00:00"),
        ("P1D", "2025-03-29T23:30:00+01:00", "2025-03-30T22:30:00+00:00"),
    ],
)
def test_a_period_ends_exactly_where_the_calendar_says(text: str, start: str, due: str) -> None:
    assert Period.parse(text).after(datetime.fromisoformat(start)) == datetime.fromisoformat(due)


def test_due_times_are_in_utc_whatever_the_zone_of_the_start() -> None:
    start = datetime(2025, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-1)))
    assert Period.parse("P1M").after(start) == datetime(2025, 3, 1, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("7 days", "P7D"),
        ("7d", "P7D"),
        ("2 weeks", "P2W"),
        ("24 months", "P24M"),
        ("10 minutes", "PT10M"),
        ("60s", "PT60S"),
        ("1 year", "P1Y"),
        ("3 hours", "PT3H"),
        ("p7d", "P7D"),
        (" P7D\n", "P7D"),
        ("P7D\n", "P7D"),
        ("soon", "for example"),
        ("", "for example"),
        ("P", "for example"),
        ("PT", "for example"),
        ("P1DT", "for example"),
        ("P1.5D", "for example"),
        ("-P1D", "for example"),
        ("P1W1D", "for example"),
        ("P\u0667D", "for example"),
        ("7 lightyears", "for example"),
    ],
)
def test_what_is_no_duration_is_refused_with_what_to_write(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=f"no ISO 8601 duration; write {remedy}"):
        Period.parse(text)


@pytest.mark.parametrize("text", ["P1001Y", "P9999999999Y", "P9999999999W", "PT9999999999H", "P12001M", "P366001D"])
def test_a_period_over_a_thousand_years_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than a thousand years"):
        Period.parse(text)


@given(st.one_of(st.text(), st.text(st.sampled_from("PT0123456789YMWDHS .-\n"), max_size=14)))
def test_parsing_raises_nothing_but_value_error_and_keeps_the_text(text: str) -> None:
    try:
        period = Period.parse(text)
    except ValueError:
        return
    assert str(period) == text


@given(periods(), moments)
@example(Period.parse("P1000Y"), datetime.max.replace(tzinfo=UTC))
def test_a_period_never_ends_before_it_begins(period: Period, start: datetime) -> None:
    assert period.after(start) >= start


@given(periods(), moments, st.integers(-10 * 86_400, 10 * 86_400))
@example(Period.parse("P1M"), datetime(2025, 3, 31, 6, tzinfo=UTC), -31 * 86_400)
@example(Period.parse("P1000Y"), datetime.min.replace(tzinfo=UTC), 0)
def test_no_expired_start_lies_after_the_cutoff(period: Period, now: datetime, seconds: int) -> None:
    cutoff = period.latest_start(now)
    try:
        start = cutoff + timedelta(seconds=seconds)
    except OverflowError:
        return
    if period.after(start) <= now:
        assert start <= cutoff


@given(periods(), st.datetimes(min_value=datetime(100, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_cutoff_is_at_most_eight_days_late_and_exact_without_months(period: Period, now: datetime) -> None:
    cutoff = period.latest_start(now)
    if period.months:
        assert period.after(cutoff - timedelta(days=8)) <= now
    else:
        assert period.after(cutoff) == now


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        Period.parse("P1D").after(datetime(2025, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="aware"):
        Period.parse("P1D").latest_start(datetime(2025, 1, 1))  # noqa: DTZ001
