"""The AMQP codec of the local Service Bus: every value comes back as it was, and no bytes break it."""

from __future__ import annotations

import contextlib
import struct
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.servicebus.decoding import MAX_DEPTH, decode
from local.servicebus.encoding import encode
from local.servicebus.envelope import BATCH_FORMAT, open_batch, open_envelope
from local.servicebus.faults import RefusedError
from local.servicebus.frames import AMQP_HEADER, EMPTY_FRAME, MAX_FRAME_SIZE, FrameReader, Incoming, frame
from local.servicebus.performatives import ACCEPTED, Disposition, Flow, Transfer, outcome
from local.servicebus.values import (
    ARRAY_OF,
    Array,
    Byte,
    Described,
    Float,
    Int,
    Long,
    MalformedError,
    Opaque,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)


def whole(kind: type, bits: int, *, signed: bool) -> st.SearchStrategy[Any]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high).map(kind)


numbers = st.one_of(
    *[whole(kind, bits, signed=False) for kind, bits in ((UByte, 8), (UShort, 16), (UInt, 32), (ULong, 64))],
    *[
        whole(kind, bits, signed=True)
        for kind, bits in ((Byte, 8), (Short, 16), (Int, 32), (Long, 64), (Timestamp, 64))
    ],
    st.floats(allow_nan=False),
    st.floats(allow_nan=False, width=32).map(Float),
)
texts = st.text() | st.text(st.characters(codec="ascii")).map(Symbol) | st.binary()
simple = (
    st.none()
    | st.booleans()
    | st.uuids()
    | numbers
    | texts
    | st.binary(min_size=4, max_size=4).map(lambda raw: Opaque(0x73, raw))
)
arrays = st.one_of(
    st.lists(st.uuids()).map(lambda items: Array(ARRAY_OF[uuid.UUID], tuple(items))),
    st.lists(whole(Long, 64, signed=True)).map(lambda items: Array(ARRAY_OF[Long], tuple(items))),
    st.lists(st.text().filter(lambda text: type(text) is str)).map(lambda items: Array(0xB1, tuple(items))),
    st.lists(st.lists(st.booleans(), max_size=3), max_size=3).map(lambda items: Array(0xD0, tuple(items))),
)
values = st.recursive(
    simple | arrays,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        | st.builds(Described, whole(ULong, 64, signed=False), inner)
    ),
    max_leaves=20,
)


def kinds(value: object) -> object:
    """A value with the type of each part, so that equal numbers of different types differ."""
    match value:
        case list():
            return [kinds(item) for item in value]
        case dict():
            return {(type(key), key): kinds(item) for key, item in value.items()}
        case Array():
            return value.code, [kinds(item) for item in value.items]
        case Described():
            return kinds(value.descriptor), kinds(value.value)
        case _:
            return type(value), value


@given(values)
def test_every_value_comes_back_with_its_type(value: object) -> None:
    raw = encode(value)
    assert kinds(decode(raw)[0]) == kinds(value)
    assert decode(raw)[1] == len(raw)


@given(values, st.binary(min_size=1, max_size=3))
def test_bytes_after_a_value_are_left_alone(value: object, rest: bytes) -> None:
    raw = encode(value)
    assert decode(b"\x40" + raw + rest, 1)[1] == len(raw) + 1


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_the_parse_error_or_nothing(raw: bytes) -> None:
    for parse in (decode, open_envelope, open_batch, lambda raw: list(FrameReader().feed(raw))):
        with contextlib.suppress(MalformedError, RefusedError):
            parse(raw)


@given(values, st.data())
def test_damaged_values_raise_the_parse_error_or_nothing(value: object, data: st.DataObject) -> None:
    raw = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedError):
        decode(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (None, "40"),
        (True, "41"),
        (UInt(0), "43"),
        (UInt(1), "52 01"),
        (UInt(256), "70 00000100"),
        (ULong(0), "44"),
        (ULong(0x24), "53 24"),
        (Int(1), "71 00000001"),
        (Timestamp(1), "83 0000000000000001"),
        ("é", "a1 02 c3a9"),
        (Symbol("a"), "a3 01 61"),
        (b"\x01", "a0 01 01"),
        ([], "45"),
        ([None], "c0 02 01 40"),
        ({"a": True}, "c1 05 02 a1 01 61 41"),
        (Described(ULong(0x24), []), "00 53 24 45"),
    ],
)
def test_encoding_is_the_specification_s(value: object, raw: str) -> None:
    assert encode(value) == bytes.fromhex(raw)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "not an AMQP value"),
        ("3f", "not an AMQP value"),
        ("56 02", "a boolean is 0 or 1"),
        ("a1 05 61", "past the end"),
        ("a1 01 ff", "not an AMQP value"),
        ("c0 05 01 40", "size or count"),
        ("c0 03 01 40 40", "do not fill"),
        ("c1 02 01 40", "no value"),
        ("c1 09 04 a10161 40 a10161 40", "a key twice"),
        ("d0 00000004 ffffffff", "size or count"),
        ("c1 03 02 45 40", "neither texts nor whole numbers"),
        ("e0 04 01 00 53 24", "arrays of described"),
        ("e0 02 09 40", "without bytes"),
        ("f0 00000005 ffffffff 40", "size or count"),
    ],
)
def test_malformed_bytes_are_refused_with_the_reason(raw: str, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        decode(bytes.fromhex(raw))


def test_values_nested_too_deep_are_refused() -> None:
    assert decode(b"\x00\x53\x01" * MAX_DEPTH + b"\x40")
    with pytest.raises(MalformedError, match="nested"):
        decode(b"\x00\x53\x01" * 100_000 + b"\x40")


def test_a_plain_number_and_one_out_of_range_are_refused_when_encoding() -> None:
    with pytest.raises(TypeError):
        encode(1)
    with pytest.raises(ValueError, match="UInt"):
        encode(UInt(2**32))


FRAME = Disposition(role=False, first=UInt(5), last=UInt(5), settled=True, state=outcome(ACCEPTED))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_frames_are_found_however_the_bytes_arrive(sizes: list[int]) -> None:
    stream = AMQP_HEADER + frame(FRAME, 1) + EMPTY_FRAME + frame(Transfer(handle=UInt(0)), 2, b"payload")
    reader, found = FrameReader(), []
    for size in sizes:
        found += reader.feed(stream[:size])
        stream = stream[size:]
    found += reader.feed(stream)
    assert found == [
        AMQP_HEADER,
        Incoming(channel=1, performative=FRAME, payload=b""),
        Incoming(channel=2, performative=Transfer(handle=UInt(0)), payload=b"payload"),
    ]


def test_performative_encodes_every_field() -> None:
    flow = Flow(incoming_window=UInt(1), next_outgoing_id=UInt(2), outgoing_window=UInt(3))
    value = decode(flow.encode())[0]
    assert isinstance(value, Described)
    assert value.value == [None, 1, 2, 3, *[None] * 7]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (Described(ULong(0x13), [None, UInt(1)]), "without next_outgoing_id"),
        (Described(ULong(0x13), [None, "x", UInt(1), UInt(1)]), "incoming_window of type str"),
        (Described(ULong(0x13), [None] * 12), "with 12 fields"),
        (Described(ULong(0x99), []), "not one that this server speaks"),
        (Described(ULong(0x41), [Symbol("ANONYMOUS")]), "not one that this server speaks"),
        (Described(Symbol("amqp:flow:list"), []), "numeric descriptor"),
        ([], "described list"),
    ],
)
def test_wrong_performatives_are_refused(body: object, why: str) -> None:
    raw = encode(body)
    with pytest.raises(MalformedError, match=why):
        list(FrameReader().feed(struct.pack(">IBBH", 8 + len(raw), 2, 0, 0) + raw))


def test_frame_over_the_agreed_size_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedError, match="a frame of"):
        list(FrameReader().feed(struct.pack(">IBBH", MAX_FRAME_SIZE + 1, 2, 0, 0)))


def section(code: int, value: object) -> bytes:
    return encode(Described(ULong(code), value))


def test_batch_holds_the_messages_of_its_data_sections() -> None:
    raw = section(0x73, ["outer"]) + section(0x75, b"one") + section(0x75, b"two")
    assert open_batch(raw) == [b"one", b"two"]
    assert BATCH_FORMAT == 0x80013700
    for wrong in (b"", section(0x77, "value"), section(0x75, "text")):
        with pytest.raises(MalformedError):
            open_batch(wrong)


@pytest.mark.parametrize(
    "raw",
    [
        section(0x75, b"") + section(0x73, []),
        section(0x73, []) + section(0x73, []),
        section(0x79, []),
        section(0x73, {}),
        section(0x74, []),
    ],
)
def test_messages_with_wrong_sections_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        open_envelope(raw)


def test_message_with_an_annotation_of_the_broker_s_own_is_refused() -> None:
    with pytest.raises(RefusedError, match="x-opt-sequence-number is not modelled"):
        open_envelope(section(0x72, {Symbol("x-opt-sequence-number"): Long(1)}) + section(0x75, b""))
