"""Periods of time as the policy writes them: ISO 8601 durations, exact for calendar months and years.

Refused: fractions, signs, weeks mixed with other units, and anything over a thousand years. The grammar is ISO 8601
(RFC 3339, appendix A); units that are zero or left out are the same. Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

from shared.model import aware

PATTERN = (
    r"^P(?:[0-9]{1,10}W"
    r"|(?=[0-9T])(?:[0-9]{1,10}Y)?(?:[0-9]{1,10}M)?(?:[0-9]{1,10}D)?"
    r"(?:T(?=[0-9])(?:[0-9]{1,10}H)?(?:[0-9]{1,10}M)?(?:[0-9]{1,10}S)?)?)$"
)
"""The grammar as a regular expression that JSON Schema understands too."""

_NUMBERS = re.compile(
    r"P(?:(?P<weeks>[0-9]+)W)?(?:(?P<years>[0-9]+)Y)?(?:(?P<months>[0-9]+)M)?(?:(?P<days>[0-9]+)D)?"
    r"(?:T(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?(?:(?P<seconds>[0-9]+)S)?)?",
)
_WORDS = re.compile(r"([0-9]{1,10})[ _-]*([a-z]+)")
_UNITS = {
    "Y": ("y", "yr", "year", "years"),
    "M": ("mo", "month", "months"),
    "W": ("w", "week", "weeks"),
    "D": ("d", "day", "days"),
    "H": ("h", "hr", "hour", "hours"),
    "TM": ("min", "mins", "minute", "minutes"),
    "S": ("s", "sec", "secs", "second", "seconds"),
}
_LONGEST = timedelta(days=366_000)
_YEAR = timedelta(days=366)
_MONTH = timedelta(days=31)

# Adding months moves a start of the 29th to 31st back by up to three days in a shorter month, and the time of day
# adds less than one: counted back from `now`, a start can lie this much later than the plain subtraction says.
_MONTH_END = timedelta(days=4)

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Period:
    """A retention period: so many calendar months, then so much exact time. `text` is what the policy says."""

    text: str
    months: int
    time: timedelta

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read an ISO 8601 duration such as P7D, P24M or PT60S. Raises ValueError that says what to write."""
        numbers = _NUMBERS.fullmatch(text) if re.fullmatch(PATTERN, text) else None
        if numbers is None:
            message = f'"{text}" is no ISO 8601 duration; write {_proposal(text)}'
            raise ValueError(message)
        count = {unit: int(number or 0) for unit, number in numbers.groupdict().items()}
        months = 12 * count.pop("years") + count.pop("months")
        try:
            time = timedelta(**count)
            longest = months // 12 * _YEAR + months % 12 * _MONTH + time
        except OverflowError:
            longest = timedelta.max
        if longest > _LONGEST:
            message = f'"{text}" is longer than a thousand years; write a shorter period'
            raise ValueError(message)
        return cls(text=text, months=months, time=time)

    def __str__(self) -> str:
        return self.text

    def after(self, start: datetime) -> datetime:
        """When the period is over that began at `start` (aware): UTC, months first, then days and time.

        A day that the reached month does not have becomes that month's last day. Past the year 9999 it is the last
        moment of that year.
        """
        aware("start", start)
        try:
            begun = start.astimezone(UTC)
            return (begun + relativedelta(months=self.months) if self.months else begun) + self.time
        except (OverflowError, ValueError):
            return _LAST

    def latest_start(self, now: datetime) -> datetime:
        """The cutoff for a listing: every start with after(start) <= now is at or before it.

        Exact without months; with months it is up to four days late, so the caller still compares `after` with `now`.
        """
        aware("now", now)
        slack = _MONTH_END if self.months else timedelta()
        try:
            return now.astimezone(UTC) - self.time - relativedelta(months=self.months) + slack
        except (OverflowError, ValueError):
            return _FIRST + slack


def _proposal(text: str) -> str:
    """What the writer probably meant, for the error's remedy."""
    if re.fullmatch(PATTERN, text.strip().upper()):
        return text.strip().upper()
    words = _WORDS.fullmatch(text.strip().lower())
    unit = next((unit for unit, names in _UNITS.items() if words and words[2] in names), None)
    if words is None or unit is None:
        return "for example P7D (days), P24M (months) or PT60S (seconds)"
    return f"P{'T' if unit in {'H', 'TM', 'S'} else ''}{words[1]}{unit[-1]}"
