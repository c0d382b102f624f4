"""The constructors of AMQP 1.0 types of fixed width, and the sizes of all others: what encoding and decoding share.

Specification: OASIS AMQP 1.0 part 1, http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html
"""

import struct

from local.servicebus.values import Byte, Float, Int, Long, Short, Timestamp, UByte, UInt, ULong, UShort

FIXED: tuple[tuple[type, int, struct.Struct], ...] = (
    (UByte, 0x50, struct.Struct(">B")),
    (UShort, 0x60, struct.Struct(">H")),
    (UInt, 0x70, struct.Struct(">I")),
    (ULong, 0x80, struct.Struct(">Q")),
    (Byte, 0x51, struct.Struct(">b")),
    (Short, 0x61, struct.Struct(">h")),
    (Int, 0x71, struct.Struct(">i")),
    (Long, 0x81, struct.Struct(">q")),
    (Float, 0x72, struct.Struct(">f")),
    (float, 0x82, struct.Struct(">d")),
    (Timestamp, 0x83, struct.Struct(">q")),
)
"""Python type, constructor, struct format."""

SIZE = struct.Struct(">I")
SIZE_COUNT = struct.Struct(">II")
