"""The domain's values: what they refuse, how they print, and the one form of time."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import model
from shared.model import Locator, Outcome, Record, RequestCause, Scope, ScopeKind, parse_utc, utc_text

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - refused is what it is for
LOCATOR = Locator(store="cosmos", account="main", container="users", key="kari-1", partition="kari-2")
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=OFFSETS)  # noqa: DTZ001 - bounds


@given(MOMENTS)
def test_a_time_is_read_back_as_the_same_moment_in_utc(moment: datetime) -> None:
    text = utc_text(moment)
    assert text.endswith("Z")
    assert parse_utc(text) == moment
    assert parse_utc(text).tzinfo is UTC


@given(MOMENTS)
def test_any_offset_is_read_and_becomes_utc(moment: datetime) -> None:
    assert parse_utc(moment.isoformat()) == moment


@given(st.lists(MOMENTS.map(lambda moment: moment.replace(microsecond=0)), min_size=2))
def test_text_order_is_time_order_to_the_second(moments: list[datetime]) -> None:
    assert sorted(moments) == [parse_utc(text) for text in sorted(map(utc_text, moments))]


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)  # fmt: skip
def test_what_is_no_moment_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_utc(text)


@given(st.text())
def test_any_text_is_a_moment_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_utc(text).tzinfo is UTC


def test_a_naive_time_is_refused_wherever_a_value_holds_one() -> None:
    with pytest.raises(ValueError, match="moment"):
        utc_text(NAIVE)
    for name in ("starting_point", "due"):
        with pytest.raises(ValueError, match=name):
            Record(locator=LOCATOR, etag="1", category="users", rule="r", **{name: NAIVE})


def test_a_scope_needs_an_id() -> None:
    with pytest.raises(ValueError, match="empty"):
        Scope(kind=ScopeKind.PERSON, id="")


def test_printing_names_no_person_and_no_record() -> None:
    scope = Scope(kind=ScopeKind.PERSON, id="kari-3")
    record = Record(locator=LOCATOR, etag="1", category="users", rule="r", scope=scope)
    for value in (scope, LOCATOR, record, RequestCause(request="1", scope=scope)):
        for text in (repr(value), str(value), f"{value}"):
            assert "kari" not in text


def test_locators_of_different_places_have_different_texts() -> None:
    places = [
        Locator(store="cosmos", account="main", container="users", key="a", partition="b"),
        Locator(store="cosmos", account="main", container="users", key="b", partition="a"),
        Locator(store="cosmos", account="main", container="users", key="ab"),
        Locator(store="blob", account="main", container="users", key="ab"),
        Locator(store="blob", account="main", container="usersa", key="b"),
    ]
    assert len({place.text() for place in places}) == len(places)


def test_the_outcomes_are_these_and_no_others() -> None:
    names = {each.__name__ for each in get_args(Outcome)}
    gone, there = {"Erased", "ErasedRecoverable", "Left", "AlreadyGone"}, {"Held", "Blocked", "Retained"}
    assert names == gone | there | {"Renewed", "Replaced"}
    assert set(get_args(model.Cause)) == {model.SweepCause, model.RequestCause}
