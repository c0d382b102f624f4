"""AMQP 1.0 frames on the wire: a performative and its payload to bytes, and a stream of bytes to frames.

A frame over the agreed size, with its body at an impossible place, or of a kind that this server does not speak is a
``MalformedError``, before its body is read.

Specification: OASIS AMQP 1.0 part 2 (transport), 2.2 and 2.3.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from local.servicebus.decoding import decode
from local.servicebus.performatives import BY_CODE, Performative, described_list
from local.servicebus.values import Described, MalformedError

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
MAX_FRAME_SIZE = 65_536

_FRAME_HEADER = struct.Struct(">IBBH")
_HEADER_SIZE = 8


def frame(performative: Performative, channel: int = 0, payload: bytes = b"") -> bytes:
    """One frame, ready for the wire."""
    body = performative.encode()
    return _FRAME_HEADER.pack(_HEADER_SIZE + len(body) + len(payload), 2, performative.KIND, channel) + body + payload


EMPTY_FRAME = _FRAME_HEADER.pack(_HEADER_SIZE, 2, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Incoming:
    """One frame from the peer."""

    channel: int
    performative: Performative
    payload: bytes


class FrameReader:
    """Cuts a byte stream into protocol headers (as bytes) and frames; empty frames (heartbeats) are swallowed."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes | Incoming]:
        """Everything that is complete with ``data`` added. Raises MalformedError."""
        self._buffer += data
        while len(self._buffer) >= _HEADER_SIZE:
            if self._buffer[:4] == b"AMQP":
                header = bytes(self._buffer[:_HEADER_SIZE])
                del self._buffer[:_HEADER_SIZE]
                yield header
                continue
            size, data_offset, kind, channel = _FRAME_HEADER.unpack_from(self._buffer)
            start = 4 * data_offset
            if size > MAX_FRAME_SIZE or not _HEADER_SIZE <= start <= size:
                raise MalformedError(f"a frame of {size} bytes with its body at {start}")
            if len(self._buffer) < size:
                return
            body = bytes(self._buffer[start:size])
            del self._buffer[:size]
            if body:
                yield _incoming(kind, channel, body)


def _incoming(kind: int, channel: int, body: bytes) -> Incoming:
    value, end = decode(body)
    code, values = described_list(value if isinstance(value, Described) else None)
    performative = BY_CODE.get(code)
    if performative is None or kind != performative.KIND:
        raise MalformedError(f"frame {code:#x} of kind {kind} is not one that this server speaks")
    return Incoming(channel=channel, performative=performative.of(values), payload=body[end:])
