"""The scalar values of a policy: names, texts, periods, layouts, each with its check and its JSON Schema.

Nothing is coerced: a number is no text, and a text that breaks its pattern is refused. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated
from zoneinfo import ZoneInfo

import pydantic

from shared.layout import Layout
from shared.period import PATTERN as PERIOD_PATTERN
from shared.period import Period

ID_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
CONTAINER_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
FIELD_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"  # adapters put it into queries: nothing but a name may pass
KEY_PATTERN = r"^/[A-Za-z_][A-Za-z0-9_]*$"

PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        ID_PATTERN: "small letters, digits and single hyphens, such as camera-snapshots",
        CONTAINER_PATTERN: "a container's name of small letters, digits and single hyphens",
        FIELD_PATTERN: "one property's name of letters, digits and _, such as userId",
        KEY_PATTERN: "a slash and one property's name, such as /homeId",
    }
)
"""What each pattern asks for, in words, for error texts."""

Text = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=2000)]
Id = Annotated[str, pydantic.StringConstraints(pattern=ID_PATTERN, max_length=63)]
FieldName = Annotated[str, pydantic.StringConstraints(pattern=FIELD_PATTERN, max_length=255)]
ContainerName = Annotated[str, pydantic.StringConstraints(pattern=CONTAINER_PATTERN, min_length=3, max_length=63)]
PartitionKey = Annotated[str, pydantic.StringConstraints(pattern=KEY_PATTERN, max_length=255)]


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = f"{value!r} is no text; put it in quotes"
        raise ValueError(message)  # noqa: TRY004 - pydantic collects ValueError, and lets TypeError through
    return value


def _period(value: object) -> Period:
    return value if isinstance(value, Period) else Period.parse(_text(value))


def _cadence(value: object) -> Period:
    cadence = _period(value)
    if cadence.months or cadence.time < timedelta(minutes=1):
        message = f'"{cadence}" is no cadence; write PT1M or more, in weeks, days, hours, minutes or seconds'
        raise ValueError(message)
    return cadence


def _layout(value: object) -> Layout:
    return value if isinstance(value, Layout) else Layout.parse(_text(value))


def _json(description: str, **more: str) -> pydantic.WithJsonSchema:
    return pydantic.WithJsonSchema({"type": "string", "description": description, **more})


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):  # not found is a KeyError, a folder an OSError
        raise ValueError(f'"{value}" is no time zone; write an IANA name such as Europe/Oslo') from None
    return value


Zone = Annotated[str, pydantic.AfterValidator(_zone)]
RetentionPeriod = Annotated[
    Period,
    pydantic.PlainValidator(_period),
    pydantic.PlainSerializer(str, return_type=str),
    _json("ISO 8601 duration, such as P7D, P24M or PT60S", pattern=PERIOD_PATTERN),
]
Cadence = Annotated[
    Period,
    pydantic.PlainValidator(_cadence),
    pydantic.PlainSerializer(str, return_type=str),
    _json("ISO 8601 duration of PT1M or more, without months and years", pattern=PERIOD_PATTERN),
]
NameLayout = Annotated[
    Layout,
    pydantic.PlainValidator(_layout),
    pydantic.PlainSerializer(str, return_type=str),
    _json("A blob's name with placeholders, such as {captured:%Y-%m-%d}/{home_id}/{name}"),
]
