"""AMQP 1.0 values to bytes, exactly: what ``decoding.decode`` gives back has the same value and the same type.

Specification: OASIS AMQP 1.0 part 1, http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html
"""

import struct
from collections.abc import Callable
from uuid import UUID

from local.servicebus.constructors import FIXED, SIZE, SIZE_COUNT
from local.servicebus.values import Array, Described, Opaque, Symbol, UInt, ULong

_SMALL = 255


def encode(value: object) -> bytes:
    """One value as AMQP bytes, in its most compact form.

    Raises TypeError for a Python type without an AMQP type, ValueError for a number out of its type's range: both are
    mistakes of the caller, never of the peer.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise TypeError(f"no AMQP type for {type(value).__name__}")
    try:
        return encoder(value)
    except struct.error as error:
        raise ValueError(f"{value!r} does not fit {type(value).__name__}") from error


def described(code: int, value: object) -> bytes:
    """``value`` with the numeric descriptor ``code``, as bytes."""
    return b"\x00" + encode(ULong(code)) + encode(value)


def _wide(value: object) -> tuple[int, bytes]:
    """The widest constructor of a value, and the bytes that follow it: what arrays are made of."""
    if isinstance(value, bool):
        return 0x56, bytes([value])
    if isinstance(value, UUID):
        return 0x98, value.bytes
    if isinstance(value, Opaque):
        return value.code, value.data
    if isinstance(value, bytes | str):
        code = {bytes: 0xB0, str: 0xB1, Symbol: 0xB3}[type(value)]
        data = value if isinstance(value, bytes) else value.encode()
        return code, SIZE.pack(len(data)) + data
    if isinstance(value, list | dict):
        code, count, data = _compound(value)
        return code, SIZE_COUNT.pack(len(data) + 4, count) + data
    if isinstance(value, Array):
        return 0xF0, _array_body(value)
    if type(value) not in _FIXED_BY_TYPE:
        raise TypeError(f"a {type(value).__name__} cannot stand in an array")
    code, packer = _FIXED_BY_TYPE[type(value)]
    return code, packer.pack(value)


def _encode_wide(value: object) -> bytes:
    code, data = _wide(value)
    return bytes([code]) + data


def _compound(value: object) -> tuple[int, int, bytes]:
    """Constructor, count of items and their bytes, of a list or a map."""
    if isinstance(value, list):
        return 0xD0, len(value), b"".join(map(encode, value))
    assert isinstance(value, dict)  # noqa: S101 (the only two callers pass lists and dicts)
    return 0xD1, 2 * len(value), b"".join(encode(key) + encode(item) for key, item in value.items())


def _encode_compound(value: object) -> bytes:
    code, count, data = _compound(value)
    if not count and code == 0xD0:  # noqa: PLR2004 (the constructor of a long list)
        return b"\x45"
    if len(data) < _SMALL and count <= _SMALL:
        return bytes([code - 0x10, len(data) + 1, count]) + data
    return bytes([code]) + SIZE_COUNT.pack(len(data) + 4, count) + data


def _array_body(value: Array) -> bytes:
    data = b""
    for item in value.items:
        code, item_data = _wide(item)
        if code != value.code:
            raise TypeError(f"an array of constructor {value.code:#x} holds a {type(item).__name__}")
        data += item_data
    return SIZE_COUNT.pack(len(data) + 5, len(value.items)) + bytes([value.code]) + data


def _encode_variable(small: int, large: int) -> Callable[[bytes], bytes]:
    def encoder(data: bytes) -> bytes:
        if len(data) <= _SMALL:
            return bytes([small, len(data)]) + data
        return bytes([large]) + SIZE.pack(len(data)) + data

    return encoder


def _encode_unsigned(zero: int, small: int, large: int, packer: struct.Struct) -> Callable[[int], bytes]:
    def encoder(number: int) -> bytes:
        if number == 0:
            return bytes([zero])
        return bytes([small, number]) if 0 < number <= _SMALL else bytes([large]) + packer.pack(number)

    return encoder


_binary = _encode_variable(0xA0, 0xB0)
_string = _encode_variable(0xA1, 0xB1)
_symbol = _encode_variable(0xA3, 0xB3)
_FIXED_BY_TYPE = {kind: (code, packer) for kind, code, packer in FIXED}
_ENCODERS: dict[type, Callable[..., bytes]] = {
    **{kind: _encode_wide for kind, _, _ in FIXED},
    type(None): lambda _: b"\x40",
    bool: lambda value: b"\x41" if value else b"\x42",
    UInt: _encode_unsigned(0x43, 0x52, 0x70, struct.Struct(">I")),
    ULong: _encode_unsigned(0x44, 0x53, 0x80, struct.Struct(">Q")),
    UUID: _encode_wide,
    Opaque: _encode_wide,
    bytes: _binary,
    str: lambda value: _string(value.encode()),
    Symbol: lambda value: _symbol(value.encode("ascii")),
    list: _encode_compound,
    dict: _encode_compound,
    Array: _encode_wide,
    Described: lambda value: b"\x00" + encode(value.descriptor) + encode(value.value),
}
