"""Shapes says of any bytes what parse_event says: it is quicker, and neither kinder nor stricter."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import audit
from shared.audit import MAX_BYTES, EventError, EventType, parse_event, plain_event
from shared.ledger import shapes
from shared.ledger.shapes import MOST_SHAPES, Shapes


def made(**data) -> bytes:
    return plain_event(
        EventType.RUN_COMPLETED,
        event_id="intent/7",
        source="//local.example/retention",
        time=datetime(2026, 3, 1, 12, tzinfo=UTC),
        policy_digest="sha256:00",
        subject="subject:5c",
        data=data,
    )


EXAMPLE = made(run="r", found=12, lost=-3, none=0, why=None, whole=True, broken=False, each={"home": "h", "n": 1})


def said_by(check, data: bytes) -> tuple[str, str]:
    try:
        return "id", check(data)
    except EventError as error:
        return "refused", str(error)


def in_full(data: bytes) -> str:
    return parse_event(data)["id"]


def agree(known: Shapes, data: bytes) -> None:
    wanted = said_by(in_full, data)
    assert said_by(known.event_id, data) == wanted
    neighbour = EXAMPLE.replace(b"intent/7", b"intent/8")
    said = known.event_ids([neighbour, data, neighbour])
    assert [said[0], said[2]] == ["intent/8"] * 2
    assert ("id", said[1]) == wanted if isinstance(said[1], str) else ("refused", str(said[1])) == wanted


def warm() -> Shapes:
    known = Shapes()
    for example in (EXAMPLE, made(), made(found=1), made(text="x")):
        known.event_id(example)
    return known


PIECES = [
    b"", b'"', b"\\", b'\\"', b"\\u00e9", b"\\u007f", b"\\ud83d\\ude00", b"\\ud800", b"\\n", b"\x00", b"\n", b"\x1f",
    b" ", b"\x7f", b"\x80", b"\xc3\xa9", b"0", b"1", b"00", b"-", b"-0", b"-1", b"007", b"1.0", b"1e3", b"NaN", b"Infinity",
    b"9" * 18, b"9" * 19, b"9" * 5000, b"true", b"false", b"null", b"{}", b"[]", b"[1]", b",", b":", b"}", b"{",
    b'"a":1,', b'"id":"z",', b',"type":"y"', b'""', b'"x"', b"x" * MAX_BYTES, b"2026-03-01", b"T12:00:00Z",
    b"2026-02-30T12:00:00Z", b"2026-03-01t12:00:00+14:00", b"0001-01-01T00:00:00+01:00", b"9999-12-31T23:59:59-01:00",
]  # fmt: skip
PLACES = sorted({at for token in (b'"', b":", b",", b"{", b"}", b"12", b"-3", b"Z") for at in range(len(EXAMPLE))
                 if EXAMPLE.startswith(token, at)})  # fmt: skip


@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
def test_whatever_is_put_in_anywhere_the_two_checks_say_the_same(piece):
    known = warm()
    for at in PLACES:
        for after in (at, at + 1):
            agree(known, EXAMPLE[:after] + piece + EXAMPLE[after:])
            agree(known, EXAMPLE[:at] + piece + EXAMPLE[after + 1 :])


def test_every_single_byte_changed_to_anything_the_two_checks_say_the_same():
    known = warm()
    for at in range(len(EXAMPLE)):
        for byte in (0, 9, 10, 31, 32, 34, 44, 45, 48, 57, 58, 92, 101, 123, 125, 126, 127, 128, 255):
            agree(known, EXAMPLE[:at] + bytes([byte]) + EXAMPLE[at + 1 :])


def test_every_beginning_and_every_end_of_an_event_is_refused_alike():
    known = warm()
    for at in range(len(EXAMPLE)):
        agree(known, EXAMPLE[:at])
        agree(known, EXAMPLE[at:])
        agree(known, EXAMPLE[:at] + EXAMPLE)


@pytest.mark.parametrize("name", ["id", "source", "type", "time", "specversion", "subject", "datacontenttype"])
def test_an_attribute_without_text_is_judged_alike(name):
    known = warm()
    agree(known, audit.canonical({**json.loads(EXAMPLE), name: ""}))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=6,
)
TOPS = st.sampled_from(
    ["id", "source", "type", "time", "specversion", "data", "subject", "datacontenttype", "other", "a.b*", "k\\"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(TOPS, VALUES, max_size=6), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_events_of_any_keys_and_values_are_judged_alike_again_and_again(changes, random):
    known = Shapes()
    events = [{**json.loads(EXAMPLE), **change} for change in changes]
    for event in events:
        for key in list(event):
            if random.random() < 0.05:
                del event[key]
    texts = [audit.canonical(event) for event in events]
    texts += [json.dumps(event).encode() for event in events]  # not in canonical form
    for text in texts * 2:  # the second time by what the first has left
        agree(known, text)
        at = random.randrange(len(text))
        agree(known, text[:at] + random.choice(PIECES) + text[at + 1 :])


def test_events_of_one_shape_are_parsed_once(monkeypatch):
    parsed = []
    monkeypatch.setattr(shapes, "parse_event", lambda data: parsed.append(data) or parse_event(data))
    known = Shapes()
    for ordinal in range(50):
        assert known.event_id(EXAMPLE.replace(b"intent/7", b"intent/%d" % ordinal)) == f"intent/{ordinal}"
        assert known.event_id(made(other=ordinal)) == "intent/7"
    assert len(parsed) == 2


def test_a_log_of_nothing_but_different_shapes_is_checked_and_not_remembered():
    known = Shapes()
    for n in range(3 * MOST_SHAPES):
        agree(known, made(**{f"key{n}": 1}))
        agree(known, made(**{f"key{n}": 1}).replace(b'"1.0"', b'"1.1"'))
    assert len(known._known) <= MOST_SHAPES


def test_a_key_that_a_pattern_could_mean_otherwise_stands_for_itself():
    known = Shapes()
    known.event_id(made(**{"a.b*": 1, "(c)+": "x", "[d]": None}))
    for other in ({"aXb*": 1, "(c)+": "x", "[d]": None}, {"a.bbb": 1, "c": "x", "d": None}):
        agree(known, made(**other))
    agree(known, made(**{"a.b*": 1, "(c)+": "x", "[d]": None}).replace(b"a.b*", b"aXb*"))
