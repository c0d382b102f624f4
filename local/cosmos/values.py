"""JSON values as Cosmos DB sees them: undefined, equality, order, and one sortable key for all of it.

Cosmos DB orders values first by type: undefined, null, false, true, number, string, array, object. Numbers are IEEE
doubles, strings compare by code point. `sort_key` turns a value into bytes that compare the same way, so that SQLite's
plain comparison of blobs serves filters, sorting and paging. Arrays and objects have a place among the types
but no order among themselves here: whoever sorts by them refuses.

Source: https://learn.microsoft.com/azure/cosmos-db/nosql/query/equality-comparison-operators and .../order-by
"""

import enum
import json
import math
import re
import struct
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from local.cosmos.errors import NotModelledError, bad_request

MAX_EXACT_INTEGER = 2**53
MAX_NESTING = 128
"""Arrays and objects inside each other in an item: https://learn.microsoft.com/azure/cosmos-db/concepts-limits"""
_WRAPPING = 8  # what a batch, a patch or a query puts around an item or a value
_DIGITS = 17  # of the largest whole number that is exact, and its sign: no more is read
_MAY_BE_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_HALF = re.compile(r"[\ud800-\udfff]")
_SIGN = 1 << 63


class Undefined(enum.Enum):
    """The value of a property that an item does not have."""

    VALUE = "undefined"


UNDEFINED: Final = Undefined.VALUE
Json: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None
Value: TypeAlias = Json | Literal[Undefined.VALUE]
PathKeys: TypeAlias = tuple[str | int, ...]

NULL, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT = range(1, 7)
_RANKS = {NULL: b"\x01", NUMBER: b"\x04", STRING: b"\x05", ARRAY: b"\x06", OBJECT: b"\x07"}
UNSORTABLE: Final = _RANKS[ARRAY]
"""The first key that belongs to an array or an object."""


def type_of(value: Json) -> int:
    """The JSON type of a defined value: one of NULL, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT."""
    match value:
        case None:
            return NULL
        case bool():
            return BOOLEAN
        case int() | float():
            return NUMBER
        case str():
            return STRING
        case list():
            return ARRAY
        case _:
            return OBJECT


def sort_key(value: Value) -> bytes | None:
    """Bytes that compare as Cosmos DB compares the values; None for undefined."""
    match value:
        case Undefined.VALUE:
            return None
        case bool():
            return b"\x03" if value else b"\x02"
        case int() | float():
            # Adding 0.0 makes minus zero zero. Flipping the bits makes the bytes of doubles compare as the numbers do.
            bits = int.from_bytes(struct.pack(">d", float(value) + 0.0), "big")
            bits = bits ^ (2**64 - 1) if bits & _SIGN else bits | _SIGN
            return _RANKS[NUMBER] + bits.to_bytes(8, "big")
        case str():
            return _RANKS[STRING] + value.encode("utf-8", "surrogatepass")
        case _:
            return _RANKS[type_of(value)]


def key_range(value: Json) -> tuple[bytes, bytes]:
    """First key, and first key after, of all values of this value's type."""
    kind = type_of(value)
    if kind == BOOLEAN:
        return b"\x02", _RANKS[NUMBER]
    first = _RANKS[kind]
    return first, bytes([first[0] + 1])


def equal(left: Json, right: Json) -> bool:
    """Equality of two defined values: same type, same content, numbers as doubles."""
    if type_of(left) != type_of(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[name]) for name, value in left.items())
    return sort_key(left) == sort_key(right)


def resolve(item: Json, keys: Sequence[str | int]) -> Value:
    """The value at a path inside an item; undefined where there is none."""
    value: Json = item
    for key in keys:
        in_object = isinstance(value, dict) and isinstance(key, str) and key in value
        in_array = isinstance(value, list) and isinstance(key, int) and key < len(value)
        if not in_object and not in_array:
            return UNDEFINED
        value = value[key]  # type: ignore[index]  # the two lines above saw to it
    return value


def parse_json(text: bytes | str) -> Json:
    """Parse JSON from a client strictly.

    :raises RefusedError: 400 when it is not JSON in UTF-8 or nested too deep; 501 for a whole number beyond
        2^53, a number beyond the largest double, and half a character (a lone surrogate): JSON can write it, UTF-8 not.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode()
        parsed: Json = json.loads(decoded, parse_constant=_no_constant, parse_float=_double, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise bad_request("the body is not valid JSON") from error
    if decoded.count("[") + decoded.count("{") > MAX_NESTING and nesting(parsed) > MAX_NESTING + _WRAPPING:
        raise bad_request("the body is nested too deep")
    if _MAY_BE_HALF.search(decoded) and _HALF.search(json.dumps(parsed, ensure_ascii=False)):
        what = "text with half a character (a lone surrogate)"
        raise NotModelledError(what)
    return parsed


def stored_json(text: str) -> Any:
    """Parse what this server wrote itself."""
    return json.loads(text)


def nesting(value: Json) -> int:
    """How many arrays and objects stand inside each other at the deepest place."""
    depth, level = 0, [value]
    while level := [entry for entry in level if isinstance(entry, list | dict)]:
        depth += 1
        level = [below for entry in level for below in (entry.values() if isinstance(entry, dict) else entry)]
    return depth


def to_json(value: Json) -> str:
    """Compact JSON in ASCII: what is stored and sent."""
    return json.dumps(value, separators=(",", ":"))


def utf8_size(value: Json) -> int:
    """Bytes of the value as compact UTF-8 JSON: what the service's size limit counts."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _no_constant(name: str) -> Json:
    raise ValueError(name)


def _double(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        what = "a number beyond the largest double"
        raise NotModelledError(what)
    return number


def _integer(text: str) -> int:
    if len(text) > _DIGITS or abs(number := int(text)) > MAX_EXACT_INTEGER:
        what = "an integer beyond 2^53"
        raise NotModelledError(what)
    return number
