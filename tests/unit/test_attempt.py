"""What an answer or a look proves of a record: by what this and earlier attempts may have done to it."""

from datetime import UTC, datetime

import pytest

from shared.attempt import Attempt
from shared.journal import Intent, OpenJournal
from shared.model import (
    AlreadyGone,
    Blocked,
    Erased,
    ErasedRecoverable,
    Held,
    Left,
    Locator,
    Record,
    Renewed,
    Replaced,
    Retained,
    SweepCause,
)
from shared.stores.interface import NoAnswer, Recoverable

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RECORDS = tuple(
    Record(locator=Locator(store="cosmos", account="main", container="c", key=key), etag="1", category="c")
    for key in "ab"
)
INTENT = Intent(
    id="f" * 32, cause=SweepCause(run="r", slice=0), policy="p", clauses={"c": "1"}, created=NOW, records=RECORDS
)
JOURNAL = OpenJournal(intent=INTENT, etag="1")
HELD = Held(hold="h")


def first() -> Attempt:
    return Attempt(journal=JOURNAL, begun=NOW, since=NOW)


def again(*, quiet: bool, **known) -> Attempt:
    return Attempt.repeated(JOURNAL, NOW, known={int(n[1:]): each for n, each in known.items()}, quiet=quiet, since=NOW)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("deleted", Erased()),
        (Recoverable(until=NOW), ErasedRecoverable(until=NOW)),
        ("left", Left()),
        ("missing", AlreadyGone()),
        ("changed", Renewed()),
        ("replaced", Replaced()),
        ("lease", Blocked(reason="lease")),
        ("blob-type", Blocked(reason="blob-type")),
    ],
)
def test_the_first_answer_of_a_first_attempt_is_taken_as_it_is(answer, outcome):
    attempt = first()
    attempt.answered(0, answer)
    assert attempt.outcomes == {0: outcome}
    assert attempt.left == [1]


def silent() -> Attempt:
    """One that had no answer for the first record."""
    attempt = first()
    attempt.answered(0, NoAnswer())
    assert attempt.left == [0, 1]
    return attempt


@pytest.mark.parametrize(
    "attempt", [silent(), again(quiet=False), again(quiet=True)], ids=["silence", "again", "quiet"]
)
def test_another_version_after_a_deletion_that_may_have_gone_through_is_replaced_and_not_renewed(attempt):
    attempt.answered(0, "changed")
    assert attempt.outcomes[0] == Replaced()


def test_a_record_without_an_answer_makes_no_other_unsure():
    attempt = silent()
    attempt.answered(1, "changed")
    assert attempt.outcomes == {1: Renewed()}


@pytest.mark.parametrize("attempt", [silent(), again(quiet=False)], ids=["silence", "again"])
def test_a_refusal_is_not_final_while_a_deletion_may_be_on_its_way(attempt):
    attempt.answered(0, "lease")
    attempt.looked(0, "same", HELD)
    assert 0 not in attempt.outcomes


def test_a_refusal_that_is_followed_by_silence_says_no_more_that_the_record_stays():
    attempt = silent()
    attempt.answered(1, "deleted")
    attempt.answered(0, "lease")
    assert attempt.undecided
    attempt.answered(0, NoAnswer())
    assert not attempt.undecided


def test_a_refusal_is_final_once_nothing_can_be_on_its_way():
    attempt = again(quiet=True)
    attempt.answered(0, "lease")
    attempt.looked(1, "same", HELD)
    assert attempt.outcomes == {0: Blocked(reason="lease"), 1: HELD}


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize(("there", "outcome"), [("missing", AlreadyGone()), ("another", Replaced())])
def test_what_is_kept_and_not_there_as_it_was_listed_is_not_called_kept(quiet, there, outcome):
    attempt = again(quiet=quiet)
    attempt.looked(0, there, HELD)
    assert attempt.outcomes == {0: outcome}


@pytest.mark.parametrize("outcome", [AlreadyGone(), Replaced()])
def test_who_had_no_answer_corrects_another_worker_that_said_the_record_stays(outcome):
    attempt = silent()
    attempt.outcomes.update({0: outcome, 1: outcome})
    assert attempt.corrections({0: "held", 1: "held"}, ("held",)) == {0: outcome}, "the second was never tried"
    assert attempt.corrections({0: "replaced", 1: "held"}, ("held",)) == {}
    assert attempt.corrections(None, ("held",)) == {0: outcome}


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize(("there", "outcome"), [("missing", AlreadyGone()), ("another", Replaced())])
def test_who_came_again_and_had_no_answer_says_what_became_of_that_record_where_what_was_said_is_not_known(
    there, outcome, quiet
):
    attempt = again(quiet=quiet)
    attempt.answered(0, NoAnswer())
    attempt.answered(1, "missing")
    attempt.looked(0, there, None)
    assert attempt.outcomes == {0: outcome, 1: AlreadyGone()}
    assert attempt.corrections(None, ("held",)) == {0: outcome}, "the second may have been deleted by anybody before"


@pytest.mark.parametrize("outcome", [Erased(), ErasedRecoverable(until=None), Left()])
def test_who_deleted_corrects_what_is_untrue_or_not_known(outcome):
    attempt = again(quiet=True, n0=outcome, n1=AlreadyGone())
    assert attempt.corrections({0: "held", 1: "erased"}, ("held",)) == {0: outcome}
    assert attempt.corrections({0: "erased", 1: "erased"}, ("held",)) == {}
    assert attempt.corrections(None, ("held",)) == {0: outcome}


@pytest.mark.parametrize("outcome", [AlreadyGone(), Replaced()])
def test_who_came_again_and_found_a_record_gone_corrects_another_worker_that_said_it_stays(outcome):
    attempt = again(quiet=True, n0=outcome)
    assert attempt.corrections({0: "held", 1: "held"}, ("held",)) == {0: outcome}
    assert attempt.corrections(None, ("held",)) == {}, "what was said is not known, and it did not delete it"


@pytest.mark.parametrize("outcome", [HELD, Blocked(reason="lease"), Retained(law="l", until=None), Renewed()])
def test_who_came_again_and_found_a_record_to_stay_corrects_nobody(outcome):
    assert again(quiet=True, n0=outcome).corrections({0: "held", 1: "held"}, ("held",)) == {}


def test_a_look_without_an_answer_proves_nothing():
    attempt = again(quiet=True)
    attempt.looked(0, NoAnswer(), HELD)
    assert attempt.left == [0, 1]


@pytest.mark.parametrize("outcome", [Erased(), ErasedRecoverable(until=None), Left(), AlreadyGone(), Replaced()])
def test_what_is_gone_or_replaced_stays_so_whoever_else_was_at_work(outcome):
    assert again(quiet=False, n0=outcome).for_certain() == {0: outcome}


@pytest.mark.parametrize("outcome", [HELD, Blocked(reason="lease"), Retained(law="l", until=None), Renewed()])
def test_what_another_worker_may_have_deleted_meanwhile_is_asked_for_again(outcome):
    assert again(quiet=False, n0=outcome).for_certain() == {}
