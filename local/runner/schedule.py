"""NCRONTAB schedules as Azure Functions reads them: six fields, in UTC, day AND weekday.

Fields: second (0-59), minute (0-59), hour (0-23), day (1-31), month (1-12), weekday (0-6, Sunday is 0). Each is a list
of `*`, a value or a range, each with an optional `/step`; months and weekdays may be given by name or its beginning.
Refused, as by the platform: `?`, `L`, `W`, `#`, weekday 7, values out of range. Refused here although the platform
takes them on some plans: five fields, and a time span in place of an expression.
See https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from croniter import croniter
from croniter.croniter import CroniterBadDateError

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_NAME_LETTERS = 3
_PART = re.compile(
    r"(?P<body>\*|(?P<first>[0-9]+|[a-z]+)(?:-(?P<last>[0-9]+|[a-z]+))?)(?:/(?P<step>[0-9]+))?", re.IGNORECASE
)


class ScheduleError(ValueError):
    """The text is not a schedule that the platform runs. The message names the field."""


@dataclass(frozen=True, kw_only=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> frozenset[int]:
        """Return the values that one field of an expression allows."""
        found: set[int] = set()
        for part in text.split(","):
            match = _PART.fullmatch(part)
            if match is None:
                message = f"{self.name}: {part!r} is not a value, a range, `*` or one of them with a step"
                raise ScheduleError(message)
            step = int(match["step"] or 1)
            if step < 1:
                message = f"{self.name}: the step of {part!r} is not positive"
                raise ScheduleError(message)
            if match["body"] == "*":
                first, last = self.low, self.high
            else:
                first = self._number(match["first"])
                # `5/10` counts from 5 to the end of the field; a range written backwards is read forwards.
                last = self._number(match["last"]) if match["last"] else (self.high if match["step"] else first)
                first, last = min(first, last), max(first, last)
            found.update(range(first, last + 1, step))
        return frozenset(found)

    def _number(self, text: str) -> int:
        if text.isdigit():
            number = int(text)
        else:
            hits = [i for i, name in enumerate(self.names) if name.startswith(text.lower())]
            if len(text) < _NAME_LETTERS or len(hits) != 1:
                message = f"{self.name}: {text!r} is not one of its names"
                raise ScheduleError(message)
            number = hits[0] + self.low
        if not self.low <= number <= self.high:
            message = f"{self.name}: {text} is outside {self.low}-{self.high}"
            raise ScheduleError(message)
        return number


_FIELDS = (
    _Field(name="second", low=0, high=59),
    _Field(name="minute", low=0, high=59),
    _Field(name="hour", low=0, high=23),
    _Field(name="day", low=1, high=31),
    _Field(name="month", low=1, high=12, names=_MONTHS),
    _Field(name="weekday", low=0, high=6, names=_WEEKDAYS),
)


class Schedule:
    """A checked NCRONTAB expression."""

    def __init__(self, text: str) -> None:
        """Read the expression.

        Raises:
            ScheduleError: the platform refuses it, or it never fires.
        """
        fields = text.split()
        if len(fields) != len(_FIELDS):
            message = f"{text!r} has {len(fields)} fields; a schedule has six: sec min hour day month weekday"
            raise ScheduleError(message)
        values = [sorted(field.values(part)) for field, part in zip(_FIELDS, fields, strict=True)]
        self.text = text
        # croniter takes more than NCRONTAB does: it gets plain numbers that were checked, never the text itself.
        self._numbers = " ".join(
            "*" if len(allowed) == field.high - field.low + 1 else ",".join(map(str, allowed))
            for field, allowed in zip(_FIELDS, values, strict=True)
        )
        seconds = values[0]
        self.shortest_interval_seconds = min((b - a for a, b in pairwise([*seconds, seconds[0] + 60])), default=60)
        self.next_after(datetime(2000, 1, 1, tzinfo=UTC))

    def next_after(self, now: datetime) -> datetime:
        """Return the first time after `now` (aware) at which the schedule fires, in UTC.

        Raises:
            ScheduleError: there is none in the coming decades, as for 30 February.
        """
        search = croniter(self._numbers, now.astimezone(UTC), day_or=False, second_at_beginning=True)
        try:
            found: datetime = search.get_next(datetime)
        except CroniterBadDateError as error:
            message = f"{self.text!r} never fires"
            raise ScheduleError(message) from error
        return found
