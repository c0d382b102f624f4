"""The check after the kills can fail, and does not where it should not: what one request may say of one record."""

import pytest
from afterwards import pairs


def _event(unit: str, outcome: str, **data: str) -> dict[str, object]:
    return {
        "id": f"{unit}/0",
        "type": f"retention.record.{outcome}",
        "data": {"record": "record:1", "cause": {"request": "r"}, **data},
    }


def test_a_home_that_was_found_left_after_a_crash_and_is_erased_when_empty_is_told_gone_once():
    assert not pairs([_event("a", "already_gone", action="leave"), _event("b", "erased")], "request")


def test_a_correction_is_of_the_unit_that_it_corrects():
    assert not pairs([_event("a", "already_gone"), _event("late", "erased", corrects="a/0")], "request")


@pytest.mark.parametrize("first", ["erased", "already_gone"])
def test_two_units_of_one_request_that_tell_of_the_same_record_are_met(first: str):
    found = pairs([_event("a", first), _event("b", "already_gone"), _event("a", first)], "request")
    assert found == {"r": [{"a", "b"}]}
