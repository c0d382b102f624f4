"""The AMQP 1.0 performatives that this server speaks: the bodies of frames as typed values.

Always encoded with every field, because azure-servicebus 7.14 and older fail on omitted trailing fields. A field of the
wrong type, or a required field left out, is a ``MalformedError``.

Specification: OASIS AMQP 1.0 part 2 (transport), 2.7; part 5 (security), 5.3.
"""

import types
import typing
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar, Self

from local.servicebus.encoding import described
from local.servicebus.values import Array, Described, MalformedError, Symbol, UByte, UInt, ULong, UShort

# Descriptors of the values inside performatives.
ERROR, RECEIVED, ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x1D, 0x23, 0x24, 0x25, 0x26, 0x27
SOURCE, TARGET, COORDINATOR = 0x28, 0x29, 0x30


@dataclass(frozen=True, kw_only=True, slots=True)
class Performative:
    """A frame body: a described list, field by field."""

    CODE: ClassVar[int]
    KIND: ClassVar[int] = 0

    def encode(self) -> bytes:
        """The body as bytes, with every field."""
        return described(self.CODE, [getattr(self, field.name) for field in fields(self)])

    @classmethod
    def of(cls, values: list[object]) -> Self:
        """The performative of these decoded fields. Raises MalformedError."""
        shape = _SHAPES[cls.CODE]
        if len(values) > len(shape):
            raise MalformedError(f"{cls.__name__} with {len(values)} fields")
        found: dict[str, object] = {}
        for index, (name, allowed, required) in enumerate(shape):
            value = values[index] if index < len(values) else None
            if value is None:
                if required:
                    raise MalformedError(f"{cls.__name__} without {name}")
            elif not isinstance(value, allowed):
                raise MalformedError(f"{cls.__name__} with a {name} of type {type(value).__name__}")
            found[name] = value
        return cls(**found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Open(Performative):
    """2.7.1: a connection begins."""

    CODE: ClassVar[int] = 0x10
    container_id: str
    hostname: str | None = None
    max_frame_size: UInt | None = None
    channel_max: UShort | None = None
    idle_time_out: UInt | None = None
    outgoing_locales: Array | Symbol | None = None
    incoming_locales: Array | Symbol | None = None
    offered_capabilities: Array | Symbol | None = None
    desired_capabilities: Array | Symbol | None = None
    properties: dict[object, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin(Performative):
    """2.7.2: a session begins."""

    CODE: ClassVar[int] = 0x11
    remote_channel: UShort | None = None
    next_outgoing_id: UInt
    incoming_window: UInt
    outgoing_window: UInt
    handle_max: UInt | None = None
    offered_capabilities: Array | Symbol | None = None
    desired_capabilities: Array | Symbol | None = None
    properties: dict[object, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attach(Performative):
    """2.7.3: a link begins."""

    CODE: ClassVar[int] = 0x12
    name: str
    handle: UInt
    role: bool
    snd_settle_mode: UByte | None = None
    rcv_settle_mode: UByte | None = None
    source: Described | None = None
    target: Described | None = None
    unsettled: dict[object, object] | None = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: UInt | None = None
    max_message_size: ULong | None = None
    offered_capabilities: Array | Symbol | None = None
    desired_capabilities: Array | Symbol | None = None
    properties: dict[object, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow(Performative):
    """2.7.4: windows of a session, credit of a link."""

    CODE: ClassVar[int] = 0x13
    next_incoming_id: UInt | None = None
    incoming_window: UInt
    next_outgoing_id: UInt
    outgoing_window: UInt
    handle: UInt | None = None
    delivery_count: UInt | None = None
    link_credit: UInt | None = None
    available: UInt | None = None
    drain: bool | None = None
    echo: bool | None = None
    properties: dict[object, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer(Performative):
    """2.7.5: a message, or a part of it."""

    CODE: ClassVar[int] = 0x14
    handle: UInt
    delivery_id: UInt | None = None
    delivery_tag: bytes | None = None
    message_format: UInt | None = None
    settled: bool | None = None
    more: bool | None = None
    rcv_settle_mode: UByte | None = None
    state: Described | None = None
    resume: bool | None = None
    aborted: bool | None = None
    batchable: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Disposition(Performative):
    """2.7.6: what became of deliveries."""

    CODE: ClassVar[int] = 0x15
    role: bool
    first: UInt
    last: UInt | None = None
    settled: bool | None = None
    state: Described | None = None
    batchable: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Detach(Performative):
    """2.7.7: a link ends."""

    CODE: ClassVar[int] = 0x16
    handle: UInt
    closed: bool | None = None
    error: Described | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class End(Performative):
    """2.7.8: a session ends."""

    CODE: ClassVar[int] = 0x17
    error: Described | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Close(Performative):
    """2.7.9: a connection ends."""

    CODE: ClassVar[int] = 0x18
    error: Described | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SaslMechanisms(Performative):
    """5.3.3.1: what the server accepts."""

    CODE: ClassVar[int] = 0x40
    KIND: ClassVar[int] = 1
    mechanisms: Array | Symbol


@dataclass(frozen=True, kw_only=True, slots=True)
class SaslInit(Performative):
    """5.3.3.2: what the client chose."""

    CODE: ClassVar[int] = 0x41
    KIND: ClassVar[int] = 1
    mechanism: Symbol
    initial_response: bytes | None = None
    hostname: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SaslOutcome(Performative):
    """5.3.3.6: the result."""

    CODE: ClassVar[int] = 0x44
    KIND: ClassVar[int] = 1
    outcome: UByte
    additional_data: bytes | None = None


_ALL: tuple[type[Performative], ...] = (
    Open, Begin, Attach, Flow, Transfer, Disposition, Detach, End, Close, SaslMechanisms, SaslInit, SaslOutcome,
)  # fmt: skip
BY_CODE = {kind.CODE: kind for kind in _ALL}


def _shape(kind: type[Performative]) -> tuple[tuple[str, tuple[type, ...], bool], ...]:
    """Per field of a performative: its name, the Python types it may have, and whether it must be there."""
    hints = typing.get_type_hints(kind)
    shape = []
    for field in fields(kind):
        hint = hints[field.name]
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        allowed = tuple(typing.get_origin(option) or option for option in options)
        shape.append((field.name, allowed, field.default is MISSING))
    return tuple(shape)


_SHAPES = {kind.CODE: _shape(kind) for kind in _ALL}


def error(condition: str, description: str) -> Described:
    """An AMQP error. Its info is encoded too, as null: without it azure-servicebus hangs on a rejection."""
    return Described(ULong(ERROR), [Symbol(condition), description, None])


def outcome(code: int, *values: object) -> Described:
    """A delivery state."""
    return Described(ULong(code), list(values))


def described_list(value: Described | None) -> tuple[int, list[object]]:
    """Descriptor and fields of a described list. Raises MalformedError for anything else."""
    if value is None or not isinstance(value.descriptor, ULong) or not isinstance(value.value, list):
        raise MalformedError("a described list with a numeric descriptor was expected")
    return value.descriptor, value.value


def item(values: list[object], index: int) -> object:
    """Field ``index`` of a list whose trailing fields may be left out."""
    return values[index] if index < len(values) else None
