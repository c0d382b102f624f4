"""Clients of the local Service Bus that mean harm: recorded streams spoilt, and frames of their own making.

Their own frames are well-formed, most of them, and what they say is not: links to anything, credit and ranges without
measure, messages whose sections and times are made up, management requests with fields of any type.
"""

import random
import struct
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from bus_at_hand import attach, sections

from local.servicebus.envelope import BATCH_FORMAT
from local.servicebus.frames import AMQP_HEADER, SASL_HEADER, frame
from local.servicebus.performatives import (
    ACCEPTED,
    MODIFIED,
    REJECTED,
    RELEASED,
    SOURCE,
    TARGET,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Performative,
    SaslInit,
    Transfer,
    error,
)
from local.servicebus.values import (
    Array,
    Byte,
    Described,
    Float,
    Int,
    Long,
    Opaque,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)

_EDGES = (0, 1, 2, 127, 128, 255, 256, 65_535, 65_536, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_TEXTS = (
    "", "plain", "\x00", "å" * 300, "\U0001f600", "'; DROP TABLE message; --", "/$management", "sessions", "x" * 5_000,
    "SharedAccessSignature x", "put-token", "completed", "suspended", "\u202e", "\ud7ff",
)  # fmt: skip
_ADDRESSES = (
    "$cbs", "requests", "REQUESTS", "requests/$management", "requests/$DeadLetterQueue", "requests-work",
    "requests-work/$management", "audit", "audit/Subscriptions/siem", "audit/$management", "missing", "missing/$management",
    "amqps://host:1/requests", "://", "/", "", "a" * 9_000, "requests/$DeadLetterQueue/$management", "$management", None, b"requests",
)  # fmt: skip
_PLACES = (
    ("requests", "audit", "audit/Subscriptions/siem"), ("requests", "requests", "requests/$DeadLetterQueue"),
    ("requests-work", "requests-work", "requests-work"), ("ledger", "requests-work", "requests-work"),
)  # fmt: skip
_OPERATIONS = (
    "renew-lock", "peek-message", "schedule-message", "cancel-scheduled-message", "receive-by-sequence-number",
    "update-disposition", "renew-session-lock", "get-session-state", "set-session-state", "get-message-sessions", "add-rule",
)  # fmt: skip
_FIELDS = (
    "lock-tokens", "from-sequence-number", "message-count", "session-id", "messages", "sequence-numbers",
    "receiver-settle-mode", "disposition-status", "deadletter-reason", "deadletter-description", "session-state",
)  # fmt: skip
_ANNOTATIONS = ("x-opt-scheduled-enqueue-time", "x-opt-partition-key", "x-opt-sequence-number", "other")


class Hostile:
    """All of it by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    # ------------------------------------------------------------ recorded streams, spoilt

    def spoilt(self, streams: Sequence[bytes]) -> bytes:
        """One recorded stream with a few things wrong."""
        parts = _cut(self.chance.choice(streams))
        for _ in range(self.chance.randint(1, 3)):
            at = self.chance.randrange(len(parts))
            match self.chance.randrange(8):
                case 0:
                    parts[at] = self._flipped(parts[at])
                case 1:
                    parts[at] = _resized(self._flipped(parts[at]))
                case 2:
                    parts[at] = parts[at][: self.chance.randrange(len(parts[at]) + 1)]
                case 3:
                    parts.insert(at, self.chance.choice(parts))
                case 4:
                    parts[at], parts[0] = parts[0], parts[at]
                case 5:
                    other = _cut(self.chance.choice(streams))
                    parts[at:] = other[self.chance.randrange(len(other)) :]
                case 6:
                    size = self.chance.choice((0, 1, 7, 8, 65_536, 65_537, 2**31, 2**32 - 1))
                    parts[at] = struct.pack(">I", size) + parts[at][4:]
                case _:
                    parts.insert(at, self.chance.randbytes(self.chance.randrange(1, 400)))
            parts = parts or [b""]
        return b"".join(parts)

    def _flipped(self, data: bytes) -> bytes:
        raw = bytearray(data)
        for _ in range(self.chance.randint(1, 6)):
            if raw:
                edge = self.chance.choice((0x00, 0x40, 0x45, 0x7F, 0x80, 0xFF, 0xC0, 0xD0, 0xF0, 0xB1))
                raw[self.chance.randrange(len(raw))] = self.chance.choice((edge, self.chance.randrange(256)))
        return bytes(raw)

    # ------------------------------------------------------------ frames of their own

    def stream(self) -> bytes:
        """What a client of one's own sends: a greeting, most often a good one, then anything."""
        chance = self.chance
        window = UInt(5_000)
        begin = Begin(next_outgoing_id=UInt(0), incoming_window=window, outgoing_window=window)
        parts = [SASL_HEADER + frame(SaslInit(mechanism=Symbol("ANONYMOUS"))) if chance.random() < 0.3 else b""]
        parts += [AMQP_HEADER, frame(Open(container_id="c", max_frame_size=self._maybe(UInt))), frame(begin)]
        if chance.random() < 0.1:
            chance.shuffle(parts)
        queue, to, come_from = chance.choice(_PLACES)
        links = [(queue, False), (queue, True), (f"{queue}/$management", False), (f"{queue}/$management", True)]
        links += [(to, False), (come_from, True), ("$cbs", False), ("$cbs", True)]
        for number, (address, role) in enumerate(links):
            wanted = "s" if role and "work" in address and "$" not in address else None
            parts.append(frame(attach(number, address, role=role, session=wanted)))
            parts.append(frame(self._flow(number, good=chance.random() < 0.9)) if role else b"")
        parts += [self._any() for _ in range(chance.randint(1, 25))]
        return b"".join(parts)

    def _any(self) -> bytes:
        chance = self.chance
        lost = chance.random() < 0.02
        handle = UInt(chance.choice((0, 0, 2, 2, 2, 4, 6)) if not lost else chance.choice((1, 3, 8, 9, 2**32 - 1)))
        channel = 0 if not lost else chance.choice((0, 1, 255, 65_535))
        made: Performative
        match chance.randrange(18):
            case 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8:
                many = chance.random() < 0.1
                message_format = UInt(chance.choice((0, 0, 0, BATCH_FORMAT, 1, 2**32 - 1)))
                made = Transfer(
                    handle=handle, delivery_id=UInt(3) if not lost else self._maybe(UInt), delivery_tag=self._maybe_bytes(), more=many,
                    message_format=message_format, settled=chance.random() < 0.1, aborted=chance.random() < 0.05,
                )  # fmt: skip
                return frame(made, channel, self._request() if handle in (2, 6) else self._sent(message_format))
            case 9 | 10:
                made = self._flow(chance.choice((1, 1, 3, 5, 7)), good=chance.random() < 0.5)
            case 11 | 12 | 13:
                first = chance.choice((2**30, *[2**30 + chance.randrange(20)] * 6, 0, 2**32 - 5))
                made = Disposition(
                    role=chance.random() < 0.9, first=UInt(first), last=self._last(first), settled=self._flag(), state=self._state()
                )  # fmt: skip
            case 14 | 15:
                made = self._attach(20 + chance.randrange(10), chance.choice(_ADDRESSES), role=chance.random() < 0.6)
            case 16 if not lost:
                return b""
            case 16:
                made = Detach(handle=handle, closed=self._flag())
            case _ if not lost:
                made = self._flow(1, good=True)
            case _:
                windows = Begin(
                    next_outgoing_id=self._of(UInt), incoming_window=self._of(UInt), outgoing_window=self._of(UInt)
                )
                opened = Open(container_id="x", idle_time_out=self._maybe(UInt), channel_max=self._maybe(UShort))
                made = chance.choice((End(), windows, opened, Close(), SaslInit(mechanism=Symbol("PLAIN"))))
        return frame(made, channel)

    def _attach(self, handle: int, address: object, *, role: bool) -> Attach:
        end, other = [address], []
        if role and self.chance.random() < 0.4:
            wanted = self.chance.choice((None, "s", "", 5, Described(Symbol("f"), "s")))
            wanted = UInt(wanted) if isinstance(wanted, int) else wanted
            end += [*[None] * 6, {Symbol("com.microsoft:session-filter"): wanted}]
        made, opposite = (
            Described(ULong(SOURCE if role else TARGET), end),
            Described(ULong(TARGET if role else SOURCE), other),
        )
        properties: dict[object, object] = (
            {Symbol("com.microsoft:timeout"): self.value(1)} if self.chance.random() < 0.2 else {}
        )
        if self.chance.random() < 0.02:
            made = Described(self.value(1), [address])
        return Attach(
            name=self.chance.choice(("link", "link 1", "")), handle=UInt(handle), role=role, properties=properties,
            snd_settle_mode=UByte(self.chance.choice((0, 0, 0, 1, 2, 255))), source=made if role else opposite,
            target=opposite if role else made, initial_delivery_count=self._maybe(UInt),
        )  # fmt: skip

    def _flow(self, handle: int, *, good: bool) -> Flow:
        return Flow(
            next_incoming_id=UInt(2**30) if good else self._maybe(UInt),
            incoming_window=UInt(5_000) if good else self._of(UInt),
            next_outgoing_id=UInt(0),
            outgoing_window=UInt(5_000),
            handle=UInt(handle),
            delivery_count=UInt(0) if good else self._maybe(UInt),
            link_credit=UInt(50) if good else self._of(UInt),
            drain=self.chance.random() < 0.1,
            echo=self._flag(),
        )

    def _state(self) -> Described | None:
        chance = self.chance
        info = {Symbol("DeadLetterReason"): self.value(1), Symbol("DeadLetterErrorDescription"): "d"}
        states = (
            Described(ULong(ACCEPTED), []), Described(ULong(RELEASED), []), Described(ULong(MODIFIED), [True, chance.random() < 0.5]),
            Described(ULong(REJECTED), [error("com.microsoft:dead-letter", "d")]), Described(ULong(REJECTED), []), None,
            Described(ULong(REJECTED), [Described(ULong(0x1D), [Symbol("com.microsoft:dead-letter"), "d", info])]),
            Described(ULong(MODIFIED), [self.value(1), self.value(1), self.value(1)]), Described(self.value(1), self.value(1)),
        )  # fmt: skip
        return chance.choice(states)

    def _message(self) -> bytes:
        chance = self.chance
        parts: list[tuple[int, object]] = []
        if chance.random() < 0.5:
            durable = self.value(1) if chance.random() < 0.2 else None
            parts.append((0x70, [durable, None, self._maybe(UInt), None, self._maybe(UInt)]))
        if chance.random() < 0.5:
            marks = {Symbol(chance.choice(_ANNOTATIONS)): self.value(2) for _ in range(2)}
            if chance.random() < 0.5:
                marks[Symbol(_ANNOTATIONS[0])] = self._of(Timestamp)
            parts.append((0x72, marks))
        if chance.random() < 0.7:
            fields: list[object] = [None] * 13
            for _ in range(3):
                fields[chance.randrange(13)] = self.value(1)
            fields[0] = chance.choice((None, "id", UUID(int=chance.getrandbits(128)), self.value(0)))
            fields[10] = chance.choice((None, "s", "s", "t", self.value(0)))
            if chance.random() < 0.3:
                fields[8], fields[9] = self._of(Timestamp), self._of(Timestamp)
            parts.append((0x73, fields))
        if chance.random() < 0.5:
            parts.append((0x74, {"DeadLetterReason": "mine", chance.choice(_TEXTS): self.value(2)}))
        parts.append((chance.choice((0x75, 0x75, 0x75, 0x76, 0x77, 0x78, 0x79)), self.value(3)))
        if chance.random() < 0.05:
            chance.shuffle(parts)
        return sections(*parts)

    def _sent(self, message_format: int) -> bytes:
        return self._batch() if message_format == BATCH_FORMAT else self._message()

    def _request(self) -> bytes:
        chance = self.chance
        operation = "com.microsoft:" + chance.choice(_OPERATIONS) if chance.random() < 0.8 else chance.choice(_TEXTS)
        properties = {
            "operation": operation,
            "associated-link-name": chance.choice(("link 1", "link 5", self.value(0))),
        }
        body: Any = {name: self._field(name) for name in _FIELDS if chance.random() < 0.7}
        if chance.random() < 0.1:
            body = chance.choice((self.value(2), "SharedAccessSignature x"))
        return sections(
            (0x73, [chance.choice((UUID(int=1), "id", ULong(5), self.value(1)))]), (0x74, properties), (0x77, body)
        )

    def _field(self, name: str) -> object:
        chance = self.chance
        if chance.random() < 0.2:
            return self.value(2)
        match name:
            case "lock-tokens":
                return Array(0x98, tuple(UUID(int=chance.getrandbits(128)) for _ in range(chance.randrange(3))))
            case "sequence-numbers":
                return Array(
                    0x81, tuple(Long(chance.choice((0, 1, 2, 3, -1, 2**63 - 1))) for _ in range(chance.randrange(4)))
                )
            case "messages":
                raw = b"x" * 300_000 if chance.random() < 0.02 else self._message()
                return [{"message": raw, "message-id": self.value(0)} for _ in range(chance.randrange(3))]
            case "from-sequence-number":
                return Long(chance.choice((0, 1, 2**63 - 1, -(2**63))))
            case "message-count" | "receiver-settle-mode":
                return Int(chance.choice((0, 1, 5, 2**31 - 1, -1, -(2**31))))
            case "session-state":
                return chance.choice((None, b"state"))
        return chance.choice((*_TEXTS, "s", "s", None))

    def _batch(self) -> bytes:
        raws = [self._message() for _ in range(self.chance.randrange(4))]
        return sections(*((0x75, raw) for raw in raws))

    # ------------------------------------------------------------ values

    def value(self, depth: int) -> object:
        """A value of any type."""
        chance = self.chance
        if depth and chance.random() < 0.3:
            inner = [self.value(depth - 1) for _ in range(chance.randrange(4))]
            texts = {chance.choice(_TEXTS): each for each in inner}
            return chance.choice(
                (inner, texts, Described(ULong(5), inner), Described(Symbol("x"), texts), Array(0xB1, ("a", "b")))
            )
        kinds = (UByte, UShort, UInt, ULong, Byte, Short, Int, Long, Timestamp)
        plain: tuple[object, ...] = (
            None, True, False, 1.5, float("nan"), float("inf"), Float(1e30), UUID(int=7), b"", b"\x00\xff", Symbol("s"),
            chance.choice(_TEXTS), Opaque(0x73, b"\x00\x00\x00\x41"), self._of(chance.choice(kinds)), self._of(Timestamp),
        )  # fmt: skip
        return chance.choice(plain)

    def _of(self, kind: type[Any]) -> Any:
        bits = {UByte: 8, UShort: 16, UInt: 32, ULong: 64, Byte: 8, Short: 16, Int: 32, Long: 64, Timestamp: 64}[kind]
        signed = kind in (Byte, Short, Int, Long, Timestamp)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        edge = self.chance.choice((*_EDGES, low, high, *(-each for each in _EDGES)))
        return kind(edge if low <= edge <= high else high)

    def _maybe(self, kind: type[Any]) -> Any:
        return None if self.chance.random() < 0.3 else self._of(kind)

    def _maybe_bytes(self) -> bytes | None:
        return self.chance.choice((None, b"", b"tag", b"t" * 33))

    def _flag(self) -> bool | None:
        return self.chance.choice((None, True, False))

    def _last(self, first: int) -> UInt | None:
        far = 70_000 if self.chance.random() < 0.05 else 60_000
        return self.chance.choice(
            (None, *[UInt(first)] * 3, UInt(min(first + far, 2**32 - 1)), UInt(0), UInt(min(first + 3, 2**32 - 1)))
        )


def _cut(stream: bytes) -> list[bytes]:
    """A good stream's protocol headers and frames."""
    parts, at = [], 0
    while at < len(stream):
        size = 8 if stream[at : at + 4] == b"AMQP" else int.from_bytes(stream[at : at + 4], "big")
        parts.append(stream[at : at + size])
        at += size
    return parts


def _resized(part: bytes) -> bytes:
    """The frame with its size put right."""
    return part if part[:4] == b"AMQP" else struct.pack(">I", len(part)) + part[4:]
