"""Messages: the forms that are read, the refusal of everything else, and that a refusal repeats no value."""

from __future__ import annotations

import copy
import json
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import messages
from shared.messages import CLOCK_SKEW, MAX_BYTES, MessageError, request_id_of

ID = UUID("6f1c0b1e-0000-4000-8000-0123456789ab")
THEN = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
NOW = THEN + timedelta(days=1)
ERASE = messages.erase(
    request=ID, subject={"user_id": "kari"}, requested_by="kari", identity_verified_by="bank id", received_at=THEN
)
OURS = [
    ERASE,
    messages.run(request=ID, categories=("users", "homes")),
    messages.work(request=str(ID), hop=2),
    messages.slice_order(category="users", run="users-1", number=3, attempt=1, hop=0),
    messages.doorbell("0" * 32),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def parse(body: bytes) -> Any:
    """Read a message now."""
    return messages.parse(body, now=NOW)


def edited(**changes: Any) -> bytes:
    """The erase message with other fields; None takes one away."""
    value = json.loads(ERASE)
    for name, change in changes.items():
        value["retention"].pop(name, None)
        if change is not None:
            value["retention"][name] = change
    return json.dumps(value).encode()


def test_each_message_we_write_is_read_as_what_was_written() -> None:
    erase, run, work, order, ring = [parse(body) for body in OURS]
    assert isinstance(erase, messages.Erase)
    assert (erase.id, erase.subject.user_id, erase.received_at) == (ID, "kari", THEN)
    assert isinstance(run, messages.Run)
    assert run.categories == ("users", "homes")
    assert work == messages.Work(version=1, type="work", request=str(ID), hop=2)
    assert order == messages.SliceOrder(
        version=1, type="slice", category="users", run="users-1", slice=3, attempt=1, hop=0
    )
    assert ring == messages.Doorbell(version=1, type="doorbell", journal="0" * 32)


@pytest.mark.parametrize("body", OURS)
def test_a_body_has_one_top_level_key_that_shadows_no_property(body: bytes) -> None:
    assert list(json.loads(body)) == ["retention"]


def test_what_may_be_left_out_may_be_left_out() -> None:
    erase = parse(edited(received_at=None))
    assert isinstance(erase, messages.Erase)
    assert erase.received_at is None
    run = parse(b'{"retention": {"version": 1, "type": "run", "id": "6f1c0b1e-0000-4000-8000-0123456789ab"}}')
    assert isinstance(run, messages.Run)
    assert run.categories == ()


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_message_error_and_nothing_else(body: bytes) -> None:
    with pytest.raises(MessageError):
        parse(body)


@given(JSON)
def test_any_json_under_our_key_is_a_message_error(value: Any) -> None:
    with pytest.raises(MessageError):
        parse(json.dumps({"retention": value}).encode())


def refusal(body: bytes) -> str:
    """What a refusal says; "" for a message that is read."""
    try:
        parse(body)
    except MessageError as error:
        return str(error)
    return ""


def _places(value: Any) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, each in inside for rest in _places(each))]


@given(st.sampled_from(OURS), st.data())
def test_a_message_changed_anywhere_is_read_or_refused_and_a_refusal_repeats_no_value(
    body: bytes, data: st.DataObject
) -> None:
    marked = st.text().map(lambda text: f"kari-{text}")
    value = json.loads(body)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(_places(value)[1:]))
        holder = value
        for step in place[:-1]:
            holder = holder[step]
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        new = data.draw(JSON | marked | st.lists(marked) | st.dictionaries(marked, marked))
        if change == "replace":
            holder[place[-1]] = new
        elif change == "remove":
            del holder[place[-1]]
        elif isinstance(holder, dict):
            holder[data.draw(marked)] = new
        if len(_places(value)) == 1:
            break
    text = refusal(json.dumps(value).encode())
    assert "kari" not in text
    assert "6f1c0b1e" not in text


@given(st.binary(max_size=300) | st.sampled_from(OURS), st.integers(0, 300), st.integers(0, 255))
def test_a_message_with_a_flipped_byte_is_read_or_refused(body: bytes, at: int, byte: int) -> None:
    flipped = body[:at] + bytes([byte]) + body[at + 1 :]
    assert "bank id" not in refusal(flipped)
    assert request_id_of(flipped) is None or UUID(request_id_of(flipped))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "retention.version: write the number 1"),
        ({"version": "1"}, "retention.version: write the number 1"),
        ({"version": None}, "retention.version: write the number 1"),
        ({"type": "erasure"}, "retention.type: write erase, restrict, run, "),
        ({"type": None}, "retention.type: write erase, restrict, run, "),
        ({"id": "7"}, "retention.id: give a random UUID"),
        ({"id": None}, "retention.id: give a random UUID"),
        ({"subject": {}}, "retention.subject: give exactly one"),
        ({"subject": {"user_id": "a", "home_id": "b"}}, "retention.subject: give exactly one"),
        ({"subject": "kari"}, "retention.subject: give exactly one"),
        ({"subject": {"user_id": ""}}, "retention.subject.user_id: give the user's internal id"),
        ({"subject": {"user_id": 7}}, "retention.subject.user_id: give the user's internal id"),
        ({"subject": {"user_id": "k" * 256}}, "retention.subject.user_id: give the user's internal id"),
        ({"subject": {"email": "kari"}}, "retention.subject.email: give one e-mail address"),
        ({"subject": {"email": "kari@a.no ola@b.no"}}, "retention.subject.email: give one e-mail address"),
        ({"subject": {"e-mail": "kari@a.no"}}, "has a field that is unknown here"),
        ({"requested_by": None}, "retention.requested_by: say who asked"),
        ({"requested_by": ""}, "retention.requested_by: say who asked"),
        ({"identity_verified_by": "x" * 201}, "retention.identity_verified_by: say who verified"),
        ({"received_at": "2026-01-31T09:30:00"}, "retention.received_at: give RFC 3339"),
        ({"received_at": "2026-01-31"}, "retention.received_at: give RFC 3339"),
        ({"received_at": "yesterday"}, "retention.received_at: give RFC 3339"),
        ({"received_at": 1769851800}, "retention.received_at: give RFC 3339"),
        ({"received_at": "1769851800"}, "retention.received_at: give RFC 3339"),
        ({"received_at": "0001-01-01T00:00:00+14:00"}, "retention.received_at: give RFC 3339"),
        ({"received_at": "9999-12-31T23:59:59-14:00"}, "retention.received_at: give RFC 3339"),
        ({"priority": "high"}, "retention: has a field that is unknown here; remove it"),
    ],
)
def test_a_refusal_names_the_field_and_the_remedy(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse(edited(**changes))
    assert words in str(caught.value)


def test_a_time_in_the_future_is_refused_if_it_is_more_than_a_clock_gone_wrong_a_little() -> None:
    soon = NOW + CLOCK_SKEW
    with pytest.raises(MessageError, match="not in the future"):
        parse(edited(received_at=(soon + timedelta(minutes=1)).isoformat()))
    parse(edited(received_at=(soon - timedelta(minutes=1)).isoformat()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"retention"',
        b"{}",
        b'{"retention": {}, "State": 1}',
        b"[" * 60_000,
        b'{"retention":' * 9_000,
        b'{"retention": ' + b"1" * 10_000 + b"}",
        b'{"retention": {"version": NaN}}',
        b'{"retention": {"type": "\\ud800"}}',
        b"\xff\xfe{\x00}\x00",
        ERASE + b" " * MAX_BYTES,
        ERASE + b"}",
    ],
)
def test_odd_bodies_are_refused_without_being_repeated(body: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        parse(body)
    assert len(str(caught.value)) < 200


def test_spaces_around_and_a_byte_order_of_utf_16_do_not_matter() -> None:
    assert parse(b" \n" + ERASE + b"\n") == parse(ERASE)
    assert parse(ERASE.decode().encode("utf-16")) == parse(ERASE)


def test_the_id_of_a_refused_message_is_found_when_it_holds_one() -> None:
    assert request_id_of(edited(version=7)) == str(ID)
    for body in (b"", b"[]", b"{}", b'{"retention": 7}', b'{"retention": {"id": 7}}', b"[" * 60_000, edited(id="x")):
        assert request_id_of(body) is None


def test_messages_are_values_that_cannot_be_changed() -> None:
    first = parse(ERASE)
    assert copy.deepcopy(first) == first
    with pytest.raises(ValueError, match="frozen"):
        first.version = 1


def test_a_key_that_comes_twice_is_refused_at_any_depth() -> None:
    for twice in (
        ERASE.replace(b'"user_id":"kari"', b'"user_id":"kari","user_id":"ola"'),
        ERASE[:-1] + b"," + ERASE[1:],
    ):
        with pytest.raises(MessageError, match="has a key twice"):
            parse(twice)


def test_writing_a_visit_down_warns_of_nothing_because_a_warning_would_quote_it() -> None:
    visit = {"ip": "203.0.113.7", "since": "2026-01-31T09:30:00Z", "until": "2026-01-31T09:40:00+00:00"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subject = parse(edited(subject={"visit": visit})).subject
        assert json.loads(subject.model_dump_json())["visit"] == visit | {"until": "2026-01-31T09:40:00Z"}
