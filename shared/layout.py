"""The name layout of a blob container: what each part of a name means, and which prefixes a listing may leave out.

A layout is written as a name with placeholders:

    {captured:%Y-%m-%d}/{captured:%H}/{home_id}/{camera_id}/{name}

`{home_id}` stands for one or more characters other than a slash; `{captured:...}` for a UTC time, or a part of one, by
the directives %Y %m %d %H %M %S. A time may be spread over several placeholders of one name. Everything else stands
for itself: percent signs, spaces and letters of any script are plain characters.

Refused: two plain placeholders in one level (nothing says where the first ends), a plain one used twice, a time that
leaves out a larger unit, other directives. So a name can be read in one way only. Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKENS = re.compile(r"\{(?P<name>[^{}:]*)(?::(?P<format>[^{}]*))?\}|(?P<literal>[^{}]+)|(?P<stray>[{}])")
_DIRECTIVES = re.compile(r"%(?P<directive>.?)|(?P<literal>[^%]+)", re.DOTALL)

UNITS = ("Y", "m", "d", "H", "M", "S")
"""The parts of a time, largest first."""

_RANGE = {"Y": (1, 9999), "m": (1, 12), "d": (1, 31), "H": (0, 23), "M": (0, 59), "S": (0, 59)}
_WIDTH = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)

_Times = dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a full name says: the plain placeholders' values, and each time at the start of its smallest unit."""

    fields: Mapping[str, str]
    times: Mapping[str, datetime]


@dataclass(frozen=True, kw_only=True)
class Below:
    """What a prefix says of every name below it: the values it fixes, and each time's (earliest, latest)."""

    fields: Mapping[str, str]
    times: Mapping[str, tuple[datetime, datetime]]


@dataclass(frozen=True, kw_only=True)
class Token:
    """A piece of a level: a literal (`text`), a plain placeholder (`field`), or one unit of a time (both set)."""

    text: str = ""
    field: str = ""
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Level:
    """The part of a layout between two slashes."""

    tokens: tuple[Token, ...]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("".join(map(_piece, self.tokens)))

    def read(self, segment: str, fields: dict[str, str], times: _Times) -> bool:
        """Add what the segment says to `fields` and `times`. False when it does not fit the level, or contradicts."""
        found = self._pattern.fullmatch(segment)
        if found is None:
            return False
        for token, value in zip((t for t in self.tokens if t.field), found.groups(), strict=True):
            if not token.unit:
                fields[token.field] = value
                continue
            number = int(value)
            least, most = _RANGE[token.unit]
            if not least <= number <= most or times[token.field].setdefault(token.unit, number) != number:
                return False
        return True


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How a full name is read, all levels at once: by the thousand, so prepared once.

    `plain` has each plain placeholder's group, `times` each time's groups, largest unit first, and `repeated` the
    groups that must say the same.
    """

    pattern: re.Pattern[str]
    plain: tuple[tuple[str, int], ...]
    times: tuple[tuple[str, tuple[int, ...]], ...]
    repeated: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A parsed layout. `match` reads a full name, `below` a prefix of whole levels."""

    text: str
    levels: tuple[Level, ...]

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Read a layout. Raises ValueError that says what is wrong with it and what to write."""
        if text.startswith("/") or text.endswith("/") or "//" in text or not text:
            message = f'layout "{text}" has an empty level; write names without a leading, trailing or double slash'
            raise ValueError(message)
        tokens = _tokens(text)
        _refuse_unreadable(tokens)
        levels: list[list[Token]] = [[]]
        for token in tokens:
            if token.field:
                levels[-1].append(token)
                continue
            first, *more = token.text.split("/")
            levels[-1].extend([Token(text=first)] if first else [])
            levels.extend([Token(text=piece)] if piece else [] for piece in more)
        if any(sum(bool(t.field) and not t.unit for t in level) > 1 for level in levels):
            message = "two plain placeholders in one level cannot be told apart; put a slash between them"
            raise ValueError(message)
        return cls(text=text, levels=tuple(Level(tokens=tuple(level)) for level in levels))

    def __str__(self) -> str:
        return self.text

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The plain placeholders, in order."""
        return tuple(t.field for level in self.levels for t in level.tokens if t.field and not t.unit)

    @cached_property
    def times(self) -> Mapping[str, str]:
        """Each time placeholder's smallest unit: its start is what `match` gives."""
        units: dict[str, str] = {}
        for token in (t for level in self.levels for t in level.tokens if t.unit):
            units[token.field] = max(units.get(token.field, "Y"), token.unit, key=UNITS.index)
        return MappingProxyType(units)

    @cached_property
    def _form(self) -> _Form:
        placed = [(t.field, t.unit) for level in self.levels for t in level.tokens if t.field]
        first = {each: placed.index(each) for each in placed}
        return _Form(
            pattern=re.compile("/".join("".join(map(_piece, level.tokens)) for level in self.levels)),
            plain=tuple((field, place) for (field, unit), place in first.items() if not unit),
            times=tuple((f, tuple(first[f, u] for u in UNITS if (f, u) in first)) for f in self.times),
            repeated=tuple((first[each], n) for n, each in enumerate(placed) if first[each] != n),
        )

    def match(self, name: str) -> Parts | None:
        """Read a full name; None when it is not of this layout. Never raises."""
        form = self._form
        found = form.pattern.fullmatch(name)
        if found is None:
            return None
        said = found.groups()
        if any(said[first] != said[again] for first, again in form.repeated):
            return None
        try:
            times = {field: _start([int(said[n]) for n in places]) for field, places in form.times}
        except ValueError:  # a month, day or hour that there is not
            return None
        fields = {field: said[place] for field, place in form.plain}
        return Parts(fields=MappingProxyType(fields), times=MappingProxyType(times))

    def below(self, segments: Sequence[str]) -> Below | None:
        """What the first levels of a name fix for all names below them. None when no name of the layout is there.

        The times are bounds: a time of the names below is never outside them, and may not reach them.
        """
        if len(segments) > len(self.levels):
            return None
        fields: dict[str, str] = {}
        times: _Times = {name: {} for name in self.times}
        if not all(level.read(part, fields, times) for level, part in zip(self.levels, segments, strict=False)):
            return None
        intervals = {name: _interval(units) for name, units in times.items()}
        known = {name: interval for name, interval in intervals.items() if interval is not None}
        if len(known) < len(intervals):
            return None
        return Below(fields=MappingProxyType(fields), times=MappingProxyType(known))

    def interval(self, segments: Sequence[str], field: str) -> tuple[datetime, datetime] | None:
        """The (earliest, latest) that the time `field` can have below a prefix; None as for `below`."""
        below = self.below(segments)
        return None if below is None else below.times[field]


def _tokens(text: str) -> list[Token]:
    """Cut a layout into literals, plain placeholders and the units of times."""
    tokens: list[Token] = []
    for piece in _TOKENS.finditer(text):
        if piece["literal"] is not None:
            tokens.append(Token(text=piece["literal"]))
            continue
        name = piece["name"]
        if piece["stray"] is not None or not _NAME.fullmatch(name):
            message = (
                f'layout "{text}": braces hold a placeholder\'s name of letters, digits and _, such as {{home_id}}'
            )
            raise ValueError(message)
        if piece["format"] is None:
            tokens.append(Token(field=name))
        else:
            tokens.extend(_time(name, piece["format"]))
    return tokens


def _time(name: str, pattern: str) -> list[Token]:
    """Cut a time placeholder into its units and the literals between them."""
    if "/" in pattern:
        message = f"time {{{name}:{pattern}}} crosses a level; close it before the slash: {{{name}:%Y}}/{{{name}:%m}}"
        raise ValueError(message)
    tokens: list[Token] = []
    for piece in _DIRECTIVES.finditer(pattern):
        if piece["literal"] is not None:
            tokens.append(Token(text=piece["literal"]))
        elif piece["directive"] in UNITS:
            tokens.append(Token(field=name, unit=piece["directive"]))
        else:
            message = f"time {{{name}:{pattern}}} uses %{piece['directive']}; write %Y %m %d %H %M %S only"
            raise ValueError(message)
    if not any(token.unit for token in tokens):
        message = f"time {{{name}:{pattern}}} has no directive; write for example {{{name}:%Y-%m-%d}}"
        raise ValueError(message)
    return tokens


def _refuse_unreadable(tokens: Sequence[Token]) -> None:
    """Refuse plain placeholders used twice, and times that leave out a larger unit."""
    plain = [token.field for token in tokens if token.field and not token.unit]
    units: dict[str, set[str]] = {}
    for token in tokens:
        if token.unit:
            units.setdefault(token.field, set()).add(token.unit)
    for name in plain:
        if plain.count(name) > 1 or name in units:
            message = f"placeholder {{{name}}} is used twice; give each its own name"
            raise ValueError(message)
    for name, present in units.items():
        for larger, unit in pairwise(UNITS):
            if unit in present and larger not in present:
                message = f"time {{{name}}} has %{unit} without %{larger}; add %{larger} so that it is a time"
                raise ValueError(message)


def _piece(token: Token) -> str:
    """The pattern of a token within its level."""
    if not token.field:
        return re.escape(token.text)
    return f"([0-9]{{{_WIDTH[token.unit]}}})" if token.unit else "([^/]+)"


def _start(units: Sequence[int]) -> datetime:
    """When the smallest known unit begins. Raises ValueError for a month, day or hour that there is not."""
    year, month, day, *rest = (*units, 1, 1)[: max(3, len(units))]
    return datetime(year, month, day, *rest, tzinfo=UTC)  # type: ignore[misc, arg-type]


def _interval(units: Mapping[str, int]) -> tuple[datetime, datetime] | None:
    """The bounds of a time of which some units are known; None for a day that the month does not have."""
    known: list[int] = []
    for unit in UNITS:
        if unit not in units:
            break
        known.append(units[unit])
    if not known:
        return _FIRST, _LAST
    least = [_RANGE[unit][0] for unit in UNITS]
    try:
        earliest = datetime(*(known + least[len(known) :]), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return earliest, _end(earliest, UNITS[len(known) - 1])


def _end(start: datetime, unit: str) -> datetime:
    """The last instant of the year, month, ... that begins at `start`."""
    try:
        match unit:
            case "Y":
                following = start.replace(year=start.year + 1)
            case "m":
                following = (start + timedelta(days=31)).replace(day=1)
            case "d":
                following = start + timedelta(days=1)
            case "H":
                following = start + timedelta(hours=1)
            case "M":
                following = start + timedelta(minutes=1)
            case _:
                following = start + timedelta(seconds=1)
    except (OverflowError, ValueError):
        return _LAST
    return following - _INSTANT
