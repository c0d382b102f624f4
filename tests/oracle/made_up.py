"""Policies and records at random, as plain data: crowded around the moments at which periods end.

Everything is drawn from one `random.Random`: hypothesis gives one whose choices it can shrink, a seed one for bulk.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import naive

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3_600, 86_400))
ZONES = (
    "UTC",
    "Europe/Oslo",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "America/St_Johns",
    "Africa/Casablanca",
)
MOMENTS = (
    "2024-02-28T23:59:59",
    "2024-02-29T00:00:00",
    "2025-02-28T12:00:00",
    "2025-03-01T00:00:00",
    "2025-03-31T00:59:59",
    "2024-03-31T01:00:00",  # clocks of Europe go forward
    "2024-10-27T01:00:00",  # and back
    "2024-11-03T06:00:00",  # those of America
    "2024-12-31T23:59:59",
    "2025-01-01T00:00:00",
    "2024-12-31T23:00:00",  # midnight in Oslo
    "2025-12-31T09:59:59",  # a second before midnight at Kiritimati
    "2025-04-30T18:30:00",
    "2026-03-01T12:00:00",
)
PERIODS = (
    ("P0D", "PT0S", "PT1S", "PT60S", "PT10M", "PT36H", "P1D", "P7D", "P2W", "P30D", "P90D", "P365D", "P1000D"),
    ("P1M", "P2M", "P3M", "P6M", "P11M", "P12M", "P24M", "P1Y", "P4Y", "P5Y", "P10Y"),
    ("P1M1D", "P1Y6M", "P1Y2M3DT4H5M6S", "P1MT1S", "P1MT36H", "P13M30D", "P4Y1D"),
)
NAMES = (
    "a",
    "h1",
    "h11",
    "with space",
    " ",
    "100%",
    "%2F%25",
    "%41",
    "what?",
    "a?b=1&c#d",
    "a+b",
    "+",
    "a.b.",
    ".hidden",
    "-",
    "a'b\"c",
    "øya",
    "家",
    "e\u0301",
    "\u00e9",
    "😀",
    "İ",
    "a:b;c,d",
    "{home_id}",
    "2024-02-29",
    "~",
    "a=b",
    "[x]*",
)
FIELDS = ("home_id", "camera_id", "name")
TIME_LEVELS = (
    ("{t:%Y-%m-%d}",),
    ("{t:%Y}", "{t:%m}", "{t:%d}"),
    ("{t:%d}", "{t:%m}", "{t:%Y}"),
    ("{t:%Y-%m-%d}", "{t:%H}"),
    ("{t:%Y%m%d}", "{t:%H%M}"),
    ("{t:%Y-%m}",),
    ("{t:%Y}",),
    ("{t:%Y-%m-%dT%H%M%SZ}",),
    ("day={t:%Y-%m-%d}", "hour={t:%H}"),
    ("{t:%Y}", "{t:%Y-%m-%d}"),
)
UNDATED_LASTS = ("{name}", "{name}.jpg", "cam-{name}")
DATED_LASTS = ("{t:%H%M%S}-{name}", "{name}-{t:%H}", "{t:%Y%m%d}_{name}", "{name}")
LITERALS = ("archive", "100%", "a b", "år", "v1.0+")


def near(chance: Random, moment: datetime) -> datetime:
    """A time at, just beside, or somewhere around another; whole seconds."""
    step = chance.choice((SECOND, SECOND, MINUTE, HOUR, DAY, 31 * DAY, 366 * DAY))
    return moment + step * chance.choice((-2, -1, -1, 0, 0, 1, 1, 3))


def now(chance: Random) -> datetime:
    """A moment of the calendar's making, or near one."""
    base = datetime.fromisoformat(chance.choice(MOMENTS)).replace(tzinfo=UTC)
    return base if chance.random() < 0.6 else near(chance, base)


def period(chance: Random) -> str:
    return chance.choice(chance.choice(PERIODS))


def about_a_start(chance: Random, now: datetime, rules: Sequence[Mapping[str, Any]]) -> datetime:
    """A time whose period, by one of the rules, ends about now: or not at all near."""
    if chance.random() < 0.15:
        return near(chance, now - DAY * chance.randrange(2000))
    if chance.random() < 0.1:  # the last days of a month, which months before and after do not have
        month = chance.choice((1, 3, 5, 8, 12))
        return datetime(
            now.year - chance.randrange(4), month, chance.choice((29, 30, 31)), chance.choice((0, 12)), tzinfo=UTC
        )
    text = chance.choice(rules)["period"]
    guess = now - _length(text)
    if ("M" in text.partition("T")[0] or "Y" in text) and chance.random() < 0.5:
        guess += DAY * chance.randrange(-4, 5)  # about the ends of months
    return near(chance, guess)


def just_over(chance: Random, start: datetime) -> tuple[str, datetime]:
    """A period, and a moment at which, or a second beside which, it is over for what began at `start`."""
    text = period(chance)
    late = chance.choice((-1, 0, 0, 0, 1))
    return text, (naive.over(start, text) or start) + SECOND * late


def _length(period: str) -> timedelta:
    """How long a period is, roughly."""
    units = {"Y": 365.2425, "M": 30.436875, "W": 7, "D": 1, "TH": 1 / 24, "TM": 1 / 1440, "TS": 1 / 86_400}
    days, _, time = period.removeprefix("P").partition("T")
    found = [(n, u) for n, u in re.findall(r"(\d+)([YMWD])", days)]
    found += [(n, "T" + u) for n, u in re.findall(r"(\d+)([HMS])", time)]
    return timedelta(seconds=round(sum(int(n) * units[u] for n, u in found) * 86_400))


# ---------------------------------------------------------------- policies


def policy(categories: Sequence[Mapping[str, Any]]) -> bytes:
    """The bytes of a policy file; JSON is YAML."""
    rest = {"clause": "1", "says": "Records go.", "role": "controller", "legal_basis": "consent", "status": "enforced"}
    rest |= {"cadence": "PT1M", "on_request": "erase"}
    rows = [{"row": number, **rest, **each} for number, each in enumerate(categories, 1)]
    return json.dumps({"version": 1, "organisation": "A company", "categories": rows}).encode()


def layout(chance: Random) -> str:
    """Date first, subject first, a day in the middle, or none; with other levels here and there."""
    dated = list(chance.choice(TIME_LEVELS)) if chance.random() < 0.85 else []
    others = [["{home_id}"], ["{home_id}", "{camera_id}"], []][chance.randrange(3)]
    match chance.randrange(3):
        case 0:
            levels = dated + others
        case 1:
            levels = others + dated
        case _:
            levels = others[:1] + dated + others[1:]
    if chance.random() < 0.2:
        levels.insert(chance.randrange(len(levels) + 1), chance.choice(LITERALS))
    to_the_day = any("%d" in level for level in dated)
    return "/".join([*levels, chance.choice(DATED_LASTS if to_the_day else UNDATED_LASTS)])


def blob_category(chance: Random, name: str, container: str) -> dict[str, Any]:
    text = layout(chance)
    starts = [{"from": "stored"}]
    if "{t:" in text:
        starts = [{"from": "name", "field": "t"}, {"from": "name-or-stored", "field": "t"}] * 2 + starts
    store = {"kind": "blob", "account": "data", "container": container, "layout": text}
    return {"id": name, "store": store, "rules": _rules(chance, name, starts)}


def item_category(
    chance: Random, name: str, container: str, *, where: Mapping[str, Any] | None = None, shared: bool = True
) -> dict[str, Any]:
    """One is `shared` by members, of all categories of a policy."""
    store = {"kind": "cosmos", "account": "main", "container": container, "partition_key": "/homeId"}
    starts = [
        {"from": "field", "field": "at"},
        {"from": "field", "field": "ended"},
        {"from": "year-end", "field": "at", "zone": chance.choice(ZONES)},
        {"from": "year-end", "field": "ended"},
        {"from": "touched"},
        *([{"from": "empty", "field": "members"}] if shared else ()),
    ]
    rules = _rules(chance, name, starts)
    for rule in rules:
        conditions = ({"absent": True}, {"absent": False}, {"equals": "u1"}, {"equals": "true"})
        if where is not None:
            rule["where"] = where
        elif chance.random() < 0.3:
            rule["where"] = {"field": chance.choice(("userId", "ended")), **chance.choice(conditions)}
    find = {"person": {"by": "member", "field": "members"}} if shared else {}
    return {"id": name, "store": store, "rules": rules, "find": {**find, "home": {"by": "partition"}}}


def _rules(chance: Random, name: str, starts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    number = chance.choice((1, 1, 1, 2, 2, 3))
    return [{"id": f"{name}-{n}", "start": chance.choice(starts), "period": period(chance)} for n in range(number)]


# ---------------------------------------------------------------- blobs


def named(layout: str, moment: datetime, values: Mapping[str, str]) -> str:
    """A name of the layout."""

    def fill(found: re.Match[str]) -> str:
        name, _, form = found[1].partition(":")
        return re.sub(r"%([YmdHMS])", lambda unit: _digits(moment, unit[1]), form) if form else values[name]

    return re.sub(r"\{([^{}]*)\}", fill, layout)


def _digits(moment: datetime, unit: str) -> str:
    parts = {"Y": moment.year, "m": moment.month, "d": moment.day, "H": moment.hour, "M": moment.minute}
    return f"{parts.get(unit, moment.second):0{4 if unit == 'Y' else 2}}"


def blob_name(chance: Random, category: Mapping[str, Any], now: datetime, words: Sequence[str] = NAMES) -> str:
    """A name made of these words: of the layout mostly; now and then dated in the future, or spoilt so that it is none."""
    moment = about_a_start(chance, now, category["rules"])
    if chance.random() < 0.08:
        moment = now + DAY * chance.choice((1, 2, 40, 366, 900))
    values = {"home_id": chance.choice(words), "camera_id": chance.choice(words), "name": chance.choice(NAMES)}
    name = named(category["store"]["layout"], moment, values)
    return _spoilt(chance, name) if chance.random() < 0.15 else name


def _spoilt(chance: Random, name: str) -> str:
    """A name that mostly is not of its layout any more."""
    digits = [n for n, each in enumerate(name) if each.isdigit()]
    spot = chance.choice(digits) if digits else 0
    match chance.randrange(9):
        case 0:
            return name + "/b"
        case 1:
            return name.partition("/")[2] or "stray"
        case 2:
            return name[:spot] + "x" + name[spot + 1 :]
        case 3:
            return name[:spot] + name[spot + 1 :] or "0"
        case 4:
            return name[:spot] + "9" + name[spot + 1 :]
        case 5:
            return name[:spot] + "٣" + name[spot + 1 :]
        case 6:
            return "new/" + name
        case 7:
            return name.replace("-02-28", "-02-30").replace("/", "//", 1)
        case _:
            return chance.choice(("stray.jpg", "x", "2023-02-29/a", "README", "0000-01-01/a"))


def stored(chance: Random, now: datetime, rules: Sequence[Mapping[str, Any]]) -> datetime:
    """When a blob was stored: in the past."""
    return min(about_a_start(chance, now, rules), now)


# ---------------------------------------------------------------- items


KEYS = ("h1", "h2", "h3", "a/b", "øya 1", "what?#", "", "%2F", "'", "\\", "h1 ")
ODD_KEYS = (7, 0.5, True, None, ...)  # no text, or none at all


def item(chance: Random, category: Mapping[str, Any], now: datetime, number: int) -> dict[str, Any]:
    """An item whose properties are times, no times, or not there."""
    found: dict[str, Any] = {"id": f"{chance.choice(('i', 'with space', 'ø', '100%', 'a+b'))}{number}"}
    found["homeId"] = chance.choice(KEYS)
    for field in ("at", "ended"):
        value = written(chance, about_a_start(chance, now, category["rules"]), category["rules"], now)
        if value is not Ellipsis:
            found[field] = value
    for field, values in (
        ("userId", ("u1", "u2", "true", "", None, True, 7)),
        ("members", ([], [], ["u1"], None, "", [None])),
    ):
        if chance.random() < 0.75:
            found[field] = chance.choice(values)
    return found


def written(chance: Random, moment: datetime, rules: Sequence[Mapping[str, Any]], now: datetime) -> Any:
    """A time as somebody may have written it; or what is none; Ellipsis for nothing at all."""
    if any(rule["start"]["from"] == "year-end" for rule in rules) and chance.random() < 0.5:
        year = datetime(now.year - chance.choice((0, 1, 2, 4, 5, 6, 10, 11)), 1, 1, tzinfo=UTC)
        moment = near(chance, year + HOUR * chance.choice((-14, -13, -5, -2, -1, 0, 0, 0, 1, 10, 11)))
    if not 1 < moment.year < 9999:
        moment = now
    kind = chance.random()
    if kind < 0.5:
        return _utc(moment)
    if kind < 0.85:
        return _spelled(chance, moment)
    if kind < 0.92:
        return chance.choice((Ellipsis, None))
    return chance.choice(NO_TIMES)


NO_TIMES: tuple[Any, ...] = (
    "",
    "yesterday",
    0,
    1_700_000_000,
    True,
    [],
    ["2020-01-01T00:00:00Z"],
    {"$date": "2020-01-01T00:00:00Z"},
    "2020-01-01T00:00:00",  # without an offset it is nobody's time
    "2023-02-29T12:00:00Z",
    "2023-02-29",
    "2020-13-01T00:00:00Z",
    "2020-01-01T25:00:00Z",
    "2020-01-01T00:00:00+24:00",
    "0000-00-00",
    " 2020-01-01T00:00:00Z",
    "2020-01-01T00:00:00Z ",
    "31.12.2019",
    "01/02/2020",
    "1577836800",
)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _spelled(chance: Random, moment: datetime) -> str:
    """RFC 3339 has many spellings of one moment."""
    match chance.randrange(6):
        case 0:
            minutes = chance.choice((-720, -570, -300, -30, 30, 60, 120, 330, 345, 840))
            return moment.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
        case 1:
            return f"{_utc(moment)[:-1]}.{chance.choice(('0', '5', '000001', '999999', '1234567', '9999999'))}Z"
        case 2:
            return _utc(moment).replace("T", chance.choice((" ", "t")))
        case 3:
            return _utc(moment)[:-1] + chance.choice(("+00:00", "-00:00"))
        case 4:
            return _utc(moment)[:10]
        case _:
            return _utc(moment).replace("Z", "z").replace("T", chance.choice("Tt"))
