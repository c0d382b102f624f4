"""The AMQP 1.0 types as Python types: one for each, so that a value keeps its AMQP type when it is encoded again.

``None``, ``bool``, ``bytes``, ``str``, ``float`` (double), ``list``, ``dict`` and ``UUID`` stand for themselves. Plain
``int`` stands for nothing: its width would be a guess.

Specification: OASIS AMQP 1.0 part 1, http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html
"""

from dataclasses import dataclass
from uuid import UUID


class MalformedError(ValueError):
    """Bytes that are not AMQP 1.0. The peer is broken or speaks another protocol: its connection is closed."""


class UByte(int):
    """AMQP ubyte."""


class UShort(int):
    """AMQP ushort."""


class UInt(int):
    """AMQP uint."""


class ULong(int):
    """AMQP ulong."""


class Byte(int):
    """AMQP byte."""


class Short(int):
    """AMQP short."""


class Int(int):
    """AMQP int."""


class Long(int):
    """AMQP long."""


class Timestamp(int):
    """AMQP timestamp: milliseconds since the Unix epoch."""


class Float(float):
    """AMQP float (four bytes); a plain Python float is an AMQP double."""


class Symbol(str):
    """AMQP symbol: ASCII."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Opaque:
    """A char or decimal: carried as its constructor and bytes, never interpreted."""

    code: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Described:
    """A value with a descriptor, which says what the value means."""

    descriptor: object
    value: object


@dataclass(frozen=True, slots=True)
class Array:
    """An AMQP array: ``code`` is the widest constructor of its item type (``ARRAY_OF`` names those used here)."""

    code: int
    items: tuple[object, ...]


ARRAY_OF: dict[type, int] = {UUID: 0x98, Long: 0x81, Timestamp: 0x83}
