"""The end of a calendar year in a time zone: what is kept by accounting year starts its period then. Pure.

A date alone counts in the zone; a time is converted to it. Refused with ValueError: a time without an offset, and what
is neither (RFC 3339).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from shared.model import parse_utc
from shared.period import Period

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LAST = datetime.max.replace(tzinfo=UTC)


def end_of_year(text: str, zone: str) -> datetime:
    """When the year is over that a date or time lies in, by the clocks of `zone` (IANA name), in UTC.

    Raises ValueError for what is no date and no time.
    """
    if _DATE.fullmatch(text):
        return _begin(date.fromisoformat(text).year + 1, zone)
    try:
        return _begin(parse_utc(text).astimezone(ZoneInfo(zone)).year + 1, zone)
    except OverflowError:
        raise ValueError("the time is before the year 1 or after the year 9999 in the zone") from None


def first_year_kept(period: Period, now: datetime, zone: str) -> int:
    """The earliest year whose records' period, which begins at the year's end, is not over at `now` (aware)."""
    year = period.latest_start(now).astimezone(ZoneInfo(zone)).year
    while period.after(_begin(year, zone)) > now:  # latest_start is a few days late where a period has months
        year -= 1
    return year


def _begin(year: int, zone: str) -> datetime:
    """The first instant of a year; past the year 9999 its last one."""
    try:
        return datetime(year, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (OverflowError, ValueError):
        return _LAST
