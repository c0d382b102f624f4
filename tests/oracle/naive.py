"""The oracle of sweeps: what must be gone and what must stay, said a second time and in another way.

It shares no code with the product and imports nothing but the standard library: a policy is plain data as policy.yaml
spells it, a record a plain dictionary, and every record is looked at alone. It is slow and simple on purpose. Where the
two differ, one of them is wrong.

A blob is {"name": text, "stored": time}, an item {"item": its properties, "touched": time}; all times are aware.
"""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

OUTSIDE = "outside the layout"
LATE_NAME = "named later than stored"
NO_TIME = "starting point is no time"
FAR = datetime.max.replace(tzinfo=UTC)

_PERIOD = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(_DATE.pattern + r"[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_UNITS = "YmdHMS"
_SMALLEST = (1, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What must become of one record, and what a sweep finds strange about it, if it meets it."""

    goes: bool
    strange: str = ""


def over(start: datetime, period: str) -> datetime | None:
    """When a period is over: months first, the day no later than the month's last, then the rest. None: never."""
    found = _PERIOD.fullmatch(period)
    assert found
    years, months, weeks, days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    utc = start.astimezone(UTC)
    year, month = divmod(utc.year * 12 + utc.month - 1 + years * 12 + months, 12)
    if year > 9999:
        return None
    day = min(utc.day, calendar.monthrange(year, month + 1)[1])
    try:
        moved = utc.replace(year=year, month=month + 1, day=day)
        return moved + timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return None


def read_time(text: object) -> datetime | None:
    """A time as RFC 3339 spells it, with its offset; None for anything else."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    *numbers, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if offset >= timedelta(days=1) or int(minutes or 0) > 59:
        return None
    try:
        local = datetime(*(int(number) for number in numbers), int(f"{fraction or '':0<6}"[:6]), tzinfo=UTC)
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError):
        return None


def end_of_year(text: object, zone: str) -> datetime | None:
    """The first instant at which the clocks of a zone show a later year than the date or time lies in."""
    year = _year(text, ZoneInfo(zone))
    if year is None or year >= 9999:
        return None
    return _turn(year, zone)


def _year(text: object, zone: ZoneInfo) -> int | None:
    found = _DATE.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        try:
            return date(*map(int, found.groups())).year
        except ValueError:
            return None
    moment = read_time(text)
    try:
        return moment.astimezone(zone).year if moment else None
    except OverflowError:
        return None


@cache
def _turn(year: int, zone: str) -> datetime:
    """Look for the instant itself, second by second halved, in place of asking what midnight is."""
    early, late = datetime(year, 12, 29, tzinfo=UTC), datetime(year + 1, 1, 3, tzinfo=UTC)
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        early, late = (early, middle) if middle.astimezone(ZoneInfo(zone)).year > year else (middle, late)
    return late


# ---------------------------------------------------------------- names


@cache
def _pattern(layout: str) -> tuple[re.Pattern[str], tuple[tuple[str, str], ...]]:
    """One regular expression for the whole name, and which part of which placeholder each group is."""
    text, groups = "", []
    for number, piece in enumerate(re.split(r"\{([^{}]*)\}", layout)):
        if number % 2 == 0:
            text += re.escape(piece)
            continue
        name, _, form = piece.partition(":")
        if not form:
            text += "([^/]+)"
            groups.append((name, ""))
            continue
        for place, part in enumerate(re.split(r"%([YmdHMS])", form)):
            if place % 2 == 0:
                text += re.escape(part)
            else:
                text += "([0-9]{4})" if part == "Y" else "([0-9]{2})"
                groups.append((name, part))
    return re.compile(text), tuple(groups)


def read_name(layout: str, name: str) -> dict[str, Any] | None:
    """What each placeholder says: a text, or the start of a time's smallest unit. None: not of this layout."""
    pattern, groups = _pattern(layout)
    found = pattern.fullmatch(name)
    if found is None:
        return None
    said: dict[str, Any] = {}
    units: dict[str, dict[str, int]] = {}
    for (placeholder, unit), value in zip(groups, found.groups(), strict=True):
        if not unit:
            said[placeholder] = value
        elif units.setdefault(placeholder, {}).setdefault(unit, int(value)) != int(value):
            return None
    for placeholder, known in units.items():
        try:
            said[placeholder] = datetime(*(known.get(u, s) for u, s in zip(_UNITS, _SMALLEST, strict=True)), tzinfo=UTC)
        except ValueError:
            return None
    return said


# ---------------------------------------------------------------- records


def selects(rule: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether a rule's `where` is about the item."""
    where = rule.get("where")
    if where is None:
        return True
    value = item.get(where["field"])
    return value == where["equals"] if "equals" in where else (value is None) is where["absent"]


def _begin_blob(start: Mapping[str, Any], blob: Mapping[str, Any], said: Mapping[str, Any]) -> datetime:
    """A name that is later than the blob was stored cannot be right."""
    return blob["stored"] if start["from"] == "stored" else min(said[start["field"]], blob["stored"])


def begin_item(start: Mapping[str, Any], record: Mapping[str, Any]) -> datetime | None:
    """When an item's period began; None when it has not, or nobody can tell."""
    value = record["item"].get(start.get("field"))
    match start["from"]:
        case "field":
            return read_time(value)
        case "year-end":
            return end_of_year(value, start.get("zone", "UTC"))
        case "touched":
            return record["touched"]
        case "empty":
            return record["touched"] if value == [] else None
    raise AssertionError(start)


def verdict(category: Mapping[str, Any], rule: Mapping[str, Any], record: Mapping[str, Any], now: datetime) -> Verdict:
    """What one rule does to one record."""
    store, start = category["store"], rule["start"]
    if store["kind"] == "blob":
        said = read_name(store["layout"], record["name"])
        if said is None:
            return Verdict(goes=False, strange=OUTSIDE)
        late = start["from"] != "stored" and said[start["field"]] > record["stored"]
        end = over(_begin_blob(start, record, said), rule["period"])
        return Verdict(goes=end is not None and end <= now, strange=LATE_NAME if late else "")
    if not isinstance(record["item"].get(store["partition_key"].removeprefix("/")), str):
        return Verdict(goes=False)  # it cannot be addressed as the policy says
    if not selects(rule, record["item"]):
        return Verdict(goes=False)
    began = begin_item(start, record)
    if began is None:
        odd = start["from"] in ("field", "year-end") and record["item"].get(start["field"]) is not None
        return Verdict(goes=False, strange=NO_TIME if odd else "")
    end = over(began, rule["period"])
    return Verdict(goes=end is not None and end <= now)


def goes(category: Mapping[str, Any], record: Mapping[str, Any], now: datetime) -> bool:
    """Whether a sweep must delete the record: by the rule whose period is over first."""
    return any(verdict(category, rule, record, now).goes for rule in category["rules"])
