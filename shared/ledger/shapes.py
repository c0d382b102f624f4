"""The check of `shared.audit.parse_event` at the cost of one pattern, for the many events that look alike. Pure.

Events of one kind have the same keys in the same places, and differ in their texts and numbers. So the first event of a
shape is parsed and checked in full, and leaves a pattern: its keys as they stand, and in place of each value the
spellings that the canonical form has for a value of that type. What matches it, and is of plain characters alone, is an
event in canonical form. Whatever matches no pattern known is parsed: nothing is refused, nor taken, here that would not
be there. A test compares the two on any bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from shared.audit import MAX_BYTES, EventError, parse_event
from shared.model import parse_utc

_Match = Callable[[bytes], re.Match[bytes] | None]

MOST_SHAPES = 32  # ours have fewer; a log whose events are all of different shapes must not be compiled one by one
_PLAIN = bytes(set(range(0x20, 0x7F)) - set(b"\\"))
"""Characters that a text in canonical form holds as they are; the quotation mark, which ends it, is for the pattern."""


class Shapes:
    """Remembers the shapes of the events it has seen, the latest first."""

    def __init__(self) -> None:
        self._known: list[_Match] = [re.compile(b"(?!)").fullmatch]  # there is always a first: this one takes nothing
        self._time = b""  # the last one that was read: neighbours mostly share it

    def event_id(self, data: bytes) -> str:
        """The id of the event that the bytes are. Raises EventError as parse_event does, and where it does."""
        plain = len(data) <= MAX_BYTES and not data.translate(None, _PLAIN)
        found = (self._known[0](data) or self._among_the_others(data)) if plain else None
        if found is None:
            return self._parse(data, learn=plain)
        event_id, time = found.group("id", "time")
        if time != self._time:
            self._check_time(time)
        return event_id.decode()

    def event_ids(self, entries: Sequence[bytes]) -> list[str | EventError]:
        """What `event_id` says of each: the id, or the error that it raises."""
        said = list[str | EventError]()
        plain = max(map(len, entries), default=0) <= MAX_BYTES and not b"".join(entries).translate(None, _PLAIN)
        match, time = self._known[0], self._time
        for data in entries:
            found = match(data) if plain else None
            if found is not None:
                event_id, its_time = found.groups()  # id and time, in the order of their names
                if its_time == time:
                    said.append(event_id.decode())
                    continue
            try:
                said.append(self.event_id(data))
            except EventError as error:
                said.append(error)
            match, time = self._known[0], self._time
        return said

    def _among_the_others(self, data: bytes) -> re.Match[bytes] | None:
        for at, match in enumerate(self._known[1:], start=1):
            found = match(data)
            if found is not None:
                self._known.insert(0, self._known.pop(at))
                return found
        return None

    def _check_time(self, time: bytes) -> None:
        if time != self._time:
            try:
                parse_utc(time.decode())
            except (ValueError, OverflowError) as error:
                raise EventError("the event's time is not RFC 3339 with an offset") from error
            self._time = time

    def _parse(self, data: bytes, *, learn: bool) -> str:
        event = parse_event(data)
        if learn and len(self._known) < MOST_SHAPES and (pattern := _pattern(event, top=True)) is not None:
            self._known.insert(0, re.compile(pattern.encode()).fullmatch)
        event_id: str = event["id"]
        return event_id


_TOP = {"id": '"(?P<id>[^"]++)"', "source": '"[^"]++"', "type": '"[^"]++"', "time": '"(?P<time>[^"]++)"'}
"""The attributes of which parse_event asks more than their type; `specversion` stands for itself, as a key does."""


def _pattern(value: Any, *, top: bool = False) -> str | None:
    """What matches all values of this shape; None where it has a value that is none of the below, such as a list."""
    match value:
        case dict():
            parts = list[str]()
            for key in sorted(value):
                special = (_TOP | {"specversion": '"1\\.0"'}).get(key) if top else None
                inner = special or _pattern(value[key])
                if inner is None:
                    return None
                parts.append(f"{re.escape(json.dumps(key))}:{inner}")
            return f"\\{{{','.join(parts)}\\}}"
        case str():
            return '"[^"]*+"'
        case bool() | None:
            return json.dumps(value)
        case int():
            return "(?:0|-?[1-9][0-9]{0,17})"
        case _:
            return None
