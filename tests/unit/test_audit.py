"""Audit events: their form, their limits, and what must never be in them."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import audit
from shared.audit import (
    MAX_BYTES,
    EventError,
    EventType,
    canonical,
    outcome_name,
    parse_event,
    plain_event,
    pseudonym,
    record_event,
)
from shared.model import (
    AlreadyGone,
    Blocked,
    Erased,
    ErasedRecoverable,
    Held,
    Left,
    Locator,
    Outcome,
    Record,
    Renewed,
    Replaced,
    RequestCause,
    Retained,
    Scope,
    ScopeKind,
    SweepCause,
)

NOW = datetime(2026, 3, 1, 13, 0, tzinfo=timezone(timedelta(hours=1)))
SCOPE = Scope(kind=ScopeKind.PERSON, id="kari-nordmann")
RECORD = Record(
    locator=Locator(store="cosmos", account="COSMOS_MAIN", container="users", key="kari-item", partition="kari-part"),
    etag='"etag-secret"',
    category="users",
    rule="contract-ended",
    scope=SCOPE,
    starting_point=datetime(2026, 2, 1, tzinfo=UTC),
    due=datetime(2026, 2, 8, tzinfo=UTC),
)
OUTCOMES = [
    (Erased(), {"name": "erased"}),
    (ErasedRecoverable(until=NOW), {"name": "erased_recoverable", "until": "2026-03-01T12:00:00Z"}),
    (ErasedRecoverable(until=None), {"name": "erased_recoverable", "until": None}),
    (Left(), {"name": "left"}),
    (AlreadyGone(), {"name": "already_gone"}),
    (Renewed(), {"name": "renewed"}),
    (Replaced(), {"name": "replaced"}),
    (Held(hold="h-1"), {"name": "held", "hold": "h-1"}),
    (Blocked(reason="lease"), {"name": "blocked", "reason": "lease"}),
    (
        Retained(law="bookkeeping", until=NOW),
        {"name": "retained", "law": "bookkeeping", "until": "2026-03-01T12:00:00Z"},
    ),
]


SWEPT = SweepCause(run="run-1", slice=3)


def made(outcome=OUTCOMES[0][0], *, record=RECORD, cause=SWEPT, **changed):
    given_ = {
        "event_id": "intent/0",
        "source": "/retention/test",
        "time": NOW,
        "cause": cause,
        "clause": "4.5.1",
        "policy_digest": "sha256:abc",
        "subject_pseudonym": "subject:11",
        "record_pseudonym": "record:22",
    }
    return record_event(record, outcome, **{**given_, **changed})


def test_a_record_event_is_a_cloudevent_that_says_what_promise_was_kept_on_what_and_why():
    assert json.loads(made()) == {
        "specversion": "1.0",
        "id": "intent/0",
        "source": "/retention/test",
        "type": "retention.record.erased",
        "time": "2026-03-01T12:00:00Z",
        "datacontenttype": "application/json",
        "subject": "subject:11",
        "data": {
            "category": "users",
            "rule": "contract-ended",
            "clause": "4.5.1",
            "policy": "sha256:abc",
            "cause": {"run": "run-1", "slice": 3},
            "record": "record:22",
            "outcome": {"name": "erased"},
            "starting_point": "2026-02-01T00:00:00Z",
            "due": "2026-02-08T00:00:00Z",
        },
    }


@pytest.mark.parametrize(("outcome", "said"), OUTCOMES, ids=lambda value: type(value).__name__)
def test_each_outcome_has_its_own_type_and_says_its_particulars(outcome, said):
    event = json.loads(made(outcome))
    assert event["data"]["outcome"] == said
    assert event["type"] == f"retention.record.{said['name']}"
    assert outcome_name(outcome) == said["name"]


def test_the_outcomes_tested_here_are_all_there_are():
    assert {type(outcome) for outcome, _ in OUTCOMES} == set(get_args(Outcome))


def test_event_types_are_pinned_because_the_list_may_only_grow():
    assert [each.value for each in EventType] == [
        "retention.record.erased",
        "retention.record.erased_recoverable",
        "retention.record.left",
        "retention.record.already_gone",
        "retention.record.renewed",
        "retention.record.held",
        "retention.record.blocked",
        "retention.record.retained",
        "retention.request.received",
        "retention.request.completed",
        "retention.request.rejected",
        "retention.request.needs_attention",
        "retention.message.parked",
        "retention.run.completed",
        "retention.run.needs_approval",
        "retention.run.approved",
        "retention.category.paused",
        "retention.category.resumed",
        "retention.request.taken_up",
        "retention.request.closed",
        "retention.message.dismissed",
        "retention.hold.added",
        "retention.hold.released",
        "retention.log.dropped",
        "retention.hold.in_force",
        "retention.record.replaced",
    ]
    assert not any("deleted" in each.value for each in EventType)


@pytest.mark.parametrize("outcome", [outcome for outcome, _ in OUTCOMES], ids=lambda value: type(value).__name__)
def test_no_event_holds_a_person_a_locator_or_an_etag(outcome):
    text = made(outcome, cause=RequestCause(request="0f0e", scope=SCOPE)).decode()
    for personal in ("kari", "COSMOS_MAIN", "etag-secret"):
        assert personal not in text
    assert json.loads(text)["data"]["cause"] == {"request": "0f0e"}


def test_what_a_record_has_not_is_left_out():
    bare = Record(locator=RECORD.locator, etag="e", category="c", rule="r")
    event = json.loads(made(record=bare, subject_pseudonym=None))
    assert "subject" not in event
    assert not {"starting_point", "due"} & set(event["data"])


def test_a_plain_event_carries_its_data():
    event = plain_event(
        EventType.REQUEST_RECEIVED,
        event_id="i/0",
        source="/t",
        time=NOW,
        policy_digest="sha256:0",
        subject="subject:1",
        data={"request": "x"},
    )
    assert parse_event(event)["data"] == {"request": "x", "policy": "sha256:0"}


def test_only_record_event_states_what_became_of_a_record():
    with pytest.raises(ValueError):
        plain_event(
            EventType.RECORD_ERASED,
            event_id="i/0",
            source="/t",
            time=NOW,
            policy_digest="sha256:0",
            subject=None,
            data={},
        )


def plain_of(size: int) -> bytes:
    def make(fill: int) -> bytes:
        return plain_event(
            EventType.RUN_COMPLETED,
            event_id="i/0",
            source="/t",
            time=NOW,
            policy_digest="sha256:0",
            subject=None,
            data={"n": "x" * fill},
        )

    return make(size - len(make(0)))


def test_an_event_of_8192_bytes_is_made_and_one_byte_more_is_refused():
    assert len(plain_of(MAX_BYTES)) == 8_192
    with pytest.raises(EventError):
        plain_of(MAX_BYTES + 1)


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError):
        made(time=datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


def test_bytes_are_canonical_and_the_same_each_time():
    assert made() == made()
    assert made().isascii()
    assert canonical({"b": 1, "a": "ø"}) == b'{"a":"\\u00f8","b":1}'


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,01eE.-tfn \\ud8', max_size=60).map(str.encode))
def test_any_bytes_parse_or_raise_the_event_error_alone(data):
    with pytest.raises(EventError):
        parse_event(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 8000,
        b'{"a":' * 1500,
        b"9" * 8000,
        b"NaN",
        b'{"id":NaN}',
        b"[]",
        b"\xff\xfe",
        made() + b"\n",
        made().replace(b'"id":"intent/0"', b'"id":"x","id":"intent/0"'),
        made().replace(b'"id":"intent/0"', b'"id":""'),
        made().replace(b'"id":"intent/0"', b'"id":7'),
        made().replace(b'"specversion":"1.0"', b'"specversion":"0.3"'),
        made().replace(b'"time":"2026-03-01T12:00:00Z"', b'"time":"2026-03-01T12:00:00"'),
        made().replace(b'"time":"2026-03-01T12:00:00Z"', b'"time":"0001-01-01T00:00:00+23:59"'),
        made().replace(b'"subject":"subject:11"', b'"subject":["subject:11"]'),
        made().replace(b'"type":"retention.record.erased"', b'"type":null'),
    ],
    ids=range(16),
)
def test_what_is_not_an_event_in_canonical_form_is_refused(data):
    with pytest.raises(EventError):
        parse_event(data)


def test_an_event_of_a_type_that_a_newer_version_writes_is_still_read():
    assert parse_event(made().replace(b"record.erased", b"record.frozen"))["type"] == "retention.record.frozen"


def test_a_pseudonym_is_the_hmac_over_kind_zero_and_text():
    expected = hmac.new(b"k" * 32, b"record\x00text", hashlib.sha256).hexdigest()
    assert pseudonym(b"k" * 32, "record", "text") == f"record:{expected}"


def test_pseudonyms_of_a_person_and_a_record_never_meet_and_another_key_gives_others():
    key = b"k" * 32
    said = {pseudonym(key, "subject", "x"), pseudonym(key, "record", "x"), pseudonym(b"l" * 32, "record", "x")}
    assert len({each.split(":")[1] for each in said}) == 3


def test_an_event_of_too_many_levels_is_refused_alike_on_every_python() -> None:
    def nested(levels: int) -> bytes:
        data: dict[str, Any] = {}
        for _ in range(levels - 2):
            data = {"a": data}
        event = {"specversion": "1.0", "id": "x/0", "source": "/x", "type": "x", "time": "2026-03-01T12:00:00Z"}
        return audit.canonical({**event, "data": data})

    assert audit.parse_event(nested(audit.MAX_DEPTH))
    for levels in (audit.MAX_DEPTH + 1, 300):
        with pytest.raises(audit.EventError):
            audit.parse_event(nested(levels))
