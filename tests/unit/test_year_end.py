"""The end of a calendar year in a time zone: dates count there, times are converted, listings cost what has expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.period import Period
from shared.year_end import end_of_year, first_year_kept

FIVE_YEARS = Period.parse("P5Y")
ZONES = st.sampled_from(["UTC", "Europe/Oslo", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"])


@pytest.mark.parametrize(
    ("text", "zone", "end"),
    [
        ("2025-06-30", "UTC", "2026-01-01T00:00:00+00:00"),
        ("2025-06-30", "Europe/Oslo", "2025-12-31T23:00:00+00:00"),
        ("2025-12-31", "Pacific/Kiritimati", "2025-12-31T10:00:00+00:00"),
        ("2025-01-01", "Pacific/Pago_Pago", "2026-01-01T11:00:00+00:00"),
        ("2024-02-29", "Europe/Oslo", "2024-12-31T23:00:00+00:00"),
        ("2025-12-31T22:59:59Z", "Europe/Oslo", "2025-12-31T23:00:00+00:00"),
        ("2025-12-31T23:00:00Z", "Europe/Oslo", "2026-12-31T23:00:00+00:00"),
        ("2025-12-31T23:59:59.999Z", "UTC", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T00:30:00+01:00", "UTC", "2026-01-01T00:00:00+00:00"),
        ("2025-12-31T20:00:00-05:00", "UTC", "2027-01-01T00:00:00+00:00"),
        ("9999-12-31", "UTC", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_the_year_is_the_one_that_the_zones_clocks_show(text: str, zone: str, end: str) -> None:
    assert end_of_year(text, zone).isoformat() == end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025",
        "2025-13-01",
        "2025-02-29",
        "2025-06-30T10:00:00",
        "20250630",
        "yesterday",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_no_date_and_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        end_of_year(text, "UTC")


def test_a_time_that_the_zone_has_not_is_refused() -> None:
    with pytest.raises(ValueError):
        end_of_year("0001-01-01T00:00:00Z", "America/New_York")


@given(st.integers(0, 100 * 365 * 86_400), ZONES, st.integers(0, 3))
def test_a_year_is_kept_exactly_as_long_as_the_period_of_its_last_record(since: int, zone: str, years: int) -> None:
    now = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(seconds=since)
    period = Period.parse(f"P{years}Y")
    first = first_year_kept(period, now, zone)
    assert (
        period.after(end_of_year(f"{first - 1}-07-01", zone)) <= now < period.after(end_of_year(f"{first}-07-01", zone))
    )


def test_on_the_last_days_of_the_last_year_nothing_more_is_listed() -> None:
    end = datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Oslo"))
    assert first_year_kept(FIVE_YEARS, end - timedelta(seconds=1), "Europe/Oslo") == 2020
    assert first_year_kept(FIVE_YEARS, end, "Europe/Oslo") == 2021
