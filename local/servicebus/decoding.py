"""Bytes to AMQP 1.0 values, each with its type.

Refused with ``MalformedError``: anything that is not a well-formed value, nesting deeper than 32, arrays of more than
65,536 items, arrays of described values or of items without bytes, maps with a key twice or with keys that are neither
texts nor whole numbers. No other error leaves ``decode``, on any bytes, and its work is bounded by their number.

Specification: OASIS AMQP 1.0 part 1, http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html
"""

import struct
from collections.abc import Callable
from uuid import UUID

from local.servicebus.constructors import FIXED, SIZE, SIZE_COUNT
from local.servicebus.values import Array, Described, Int, Long, MalformedError, Opaque, Symbol, UInt, ULong

MAX_DEPTH = 32
MAX_ARRAY_ITEMS = 65_536
# One-byte forms of the wider integers.
_NARROW: tuple[tuple[int, type, struct.Struct], ...] = (
    (0x52, UInt, struct.Struct(">B")),
    (0x53, ULong, struct.Struct(">B")),
    (0x54, Int, struct.Struct(">b")),
    (0x55, Long, struct.Struct(">b")),
)
_BYTELESS = frozenset({0x40, 0x41, 0x42, 0x43, 0x44, 0x45})
_OPAQUE_WIDTH = {0x73: 4, 0x74: 4, 0x84: 8, 0x94: 16}
_WIDEST = {
    0x52: 0x70, 0x53: 0x80, 0x54: 0x71, 0x55: 0x81, 0xA0: 0xB0, 0xA1: 0xB1, 0xA3: 0xB3, 0xC0: 0xD0, 0xC1: 0xD1,
    0xE0: 0xF0,
}  # fmt: skip

_Decoder = Callable[[bytes, int, int], tuple[object, int]]


def decode(data: bytes, offset: int = 0) -> tuple[object, int]:
    """The value at ``offset`` of ``data``, and the offset of the byte after it. Raises MalformedError."""
    try:
        return _decode(data, offset, 0)
    except (struct.error, IndexError, KeyError, UnicodeError) as error:
        raise MalformedError(f"not an AMQP value at byte {offset}") from error


def _decode(data: bytes, offset: int, depth: int) -> tuple[object, int]:
    return _DECODERS[data[offset]](data, offset + 1, depth)


def _take(data: bytes, offset: int, width: int) -> tuple[bytes, int]:
    end = offset + width
    if end > len(data):
        raise MalformedError("a value runs past the end of its bytes")
    return data[offset:end], end


def _constant(value: object) -> _Decoder:
    def decoder(_data: bytes, offset: int, _depth: int) -> tuple[object, int]:
        return ([] if value == [] else value), offset

    return decoder


def _fixed(kind: type, packer: struct.Struct) -> _Decoder:
    def decoder(data: bytes, offset: int, _depth: int) -> tuple[object, int]:
        return kind(packer.unpack_from(data, offset)[0]), offset + packer.size

    return decoder


def _boolean(data: bytes, offset: int, _depth: int) -> tuple[object, int]:
    if data[offset] not in (0, 1):
        raise MalformedError("a boolean is 0 or 1")
    return bool(data[offset]), offset + 1


def _uuid(data: bytes, offset: int, _depth: int) -> tuple[object, int]:
    raw, offset = _take(data, offset, 16)
    return UUID(bytes=raw), offset


def _opaque(code: int) -> _Decoder:
    def decoder(data: bytes, offset: int, _depth: int) -> tuple[object, int]:
        raw, offset = _take(data, offset, _OPAQUE_WIDTH[code])
        return Opaque(code, raw), offset

    return decoder


def _variable(convert: Callable[[bytes], object], *, large: bool) -> _Decoder:
    def decoder(data: bytes, offset: int, _depth: int) -> tuple[object, int]:
        size = SIZE.unpack_from(data, offset)[0] if large else data[offset]
        raw, offset = _take(data, offset + (4 if large else 1), size)
        return convert(raw), offset

    return decoder


def _bounds(data: bytes, offset: int, depth: int, *, large: bool) -> tuple[int, int, int]:
    """Where a compound's items start and end, and how many they are."""
    if depth > MAX_DEPTH:
        raise MalformedError(f"values nested deeper than {MAX_DEPTH}")
    if large:
        size, count = SIZE_COUNT.unpack_from(data, offset)
        start, end = offset + 8, offset + 4 + size
    else:
        size, count = data[offset], data[offset + 1]
        start, end = offset + 2, offset + 1 + size
    if end > len(data) or start > end or count > max(end - start, MAX_ARRAY_ITEMS):
        raise MalformedError("a compound value's size or count is wrong")
    return start, end, count


def _list(*, large: bool) -> _Decoder:
    def decoder(data: bytes, offset: int, depth: int) -> tuple[object, int]:
        offset, end, count = _bounds(data, offset, depth, large=large)
        items = []
        for _ in range(count):
            item, offset = _decode(data, offset, depth + 1)
            items.append(item)
        if offset != end:
            raise MalformedError("a list's items do not fill its size")
        return items, end

    return decoder


def _map(*, large: bool) -> _Decoder:
    def decoder(data: bytes, offset: int, depth: int) -> tuple[object, int]:
        items, end = _list(large=large)(data, offset, depth)
        assert isinstance(items, list)  # noqa: S101 (what _list returns)
        if len(items) % 2:
            raise MalformedError("a map's last key has no value")
        if not all(isinstance(key, str | bytes | int) for key in items[::2]):
            raise MalformedError("maps with keys that are neither texts nor whole numbers are not modelled")
        pairs = dict(zip(items[::2], items[1::2], strict=True))
        if 2 * len(pairs) != len(items):
            raise MalformedError("a map holds a key twice")
        return pairs, end

    return decoder


def _array(*, large: bool) -> _Decoder:
    def decoder(data: bytes, offset: int, depth: int) -> tuple[object, int]:
        offset, end, count = _bounds(data, offset, depth, large=large)
        code = data[offset]
        if code == 0 or count > MAX_ARRAY_ITEMS:
            raise MalformedError("arrays of described values, or of more than 65,536 items, are not modelled")
        if code in _BYTELESS:  # a few bytes could claim any number of items
            raise MalformedError("arrays of items without bytes are not modelled")
        item_decoder = _DECODERS[code]
        offset += 1
        items = []
        for _ in range(count):
            item, offset = item_decoder(data, offset, depth + 1)
            items.append(item)
        if offset != end:
            raise MalformedError("an array's items do not fill its size")
        return Array(_WIDEST.get(code, code), tuple(items)), end

    return decoder


def _described(data: bytes, offset: int, depth: int) -> tuple[object, int]:
    if depth > MAX_DEPTH:
        raise MalformedError(f"values nested deeper than {MAX_DEPTH}")
    descriptor, offset = _decode(data, offset, depth + 1)
    value, offset = _decode(data, offset, depth + 1)
    return Described(descriptor, value), offset


_DECODERS: dict[int, _Decoder] = {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(value=True),
    0x42: _constant(value=False),
    0x43: _constant(UInt(0)),
    0x44: _constant(ULong(0)),
    0x45: _constant([]),
    0x56: _boolean,
    0x98: _uuid,
    **{code: _fixed(kind, packer) for kind, code, packer in FIXED},
    **{code: _fixed(kind, packer) for code, kind, packer in _NARROW},
    **{code: _opaque(code) for code in _OPAQUE_WIDTH},
    0xA0: _variable(bytes, large=False),
    0xB0: _variable(bytes, large=True),
    0xA1: _variable(lambda raw: raw.decode(), large=False),
    0xB1: _variable(lambda raw: raw.decode(), large=True),
    0xA3: _variable(lambda raw: Symbol(raw.decode("ascii")), large=False),
    0xB3: _variable(lambda raw: Symbol(raw.decode("ascii")), large=True),
    0xC0: _list(large=False),
    0xD0: _list(large=True),
    0xC1: _map(large=False),
    0xD1: _map(large=True),
    0xE0: _array(large=False),
    0xF0: _array(large=True),
}
