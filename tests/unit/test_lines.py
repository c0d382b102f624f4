"""A visit's lines in a log: found by address and time, taken out, and every other byte stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentError
from shared.model import Scope, ScopeKind
from shared.policy_terms import Line
from shared.stores.lines import search, visit_of

FINDER = Line(by="line", ip="ip", at="at")
SINCE, UNTIL = "2026-03-01T10:00:00Z", "2026-03-01T10:30:00Z"


def a_visit(ip: str = "192.0.2.7", since: str = SINCE, until: str = UNTIL) -> Scope:
    return Scope(kind=ScopeKind.VISIT, id=json.dumps({"ip": ip, "since": since, "until": until}))


def a_line(ip: str = "192.0.2.7", at: str = "2026-03-01T10:15:00Z", **more: object) -> bytes:
    return json.dumps({"at": at, "ip": ip, "path": "/", **more}).encode()


def taken(data: bytes, scope: Scope | None = None) -> int:
    return search(data, FINDER, visit_of(scope or a_visit())).taken


@pytest.mark.parametrize(
    ("at", "found"),
    [
        ("2026-03-01T10:00:00Z", 1),
        ("2026-03-01T10:30:00Z", 1),
        ("2026-03-01T11:15:00+01:00", 1),
        ("2026-03-01T09:59:59.999Z", 0),
        ("2026-03-01T10:30:00.001Z", 0),
    ],
)
def test_both_ends_of_the_times_belong_to_the_visit(at: str, found: int) -> None:
    assert taken(a_line(at=at)) == found


@pytest.mark.parametrize(
    ("asked", "written", "found"),
    [
        ("192.0.2.7", "192.0.2.70", 0),
        ("2001:db8::1", "2001:0DB8:0:0:0:0:0:1", 1),
        ("2001:db8::1", "2001:db8::10", 0),
        ("192.0.2.7", "::ffff:192.0.2.7", 1),
        ("::ffff:192.0.2.7", "192.0.2.7", 1),
    ],
)
def test_addresses_are_compared_as_addresses(asked: str, written: str, found: int) -> None:
    assert taken(a_line(written), a_visit(asked)) == found


def test_the_rest_keeps_its_order_and_its_bytes() -> None:
    mine, other = a_line() + b"\n", a_line("198.51.100.1") + b"\r\n"
    odd = b"\xff\x00 no JSON \n"
    searched = search(mine + other + b"\n" + odd + mine + b'{"at": "x"}', FINDER, visit_of(a_visit()))
    assert searched.rest == other + b"\n" + odd + b'{"at": "x"}'
    assert (searched.taken, searched.unreadable) == (2, 2)


@pytest.mark.parametrize(
    "line",
    [
        b"[]", b"1", b"null", b'"text"', b"{", b"[" * 100_000, b'{"ip": "192.0.2.7"}', b"\xff",
        a_line(at="yesterday"), a_line(at="2026-03-01T10:15:00"), a_line("localhost"), a_line(ip=3221225991),
        a_line(at=5), b'{"at": {}, "ip": []}',
    ],
)  # fmt: skip
def test_a_line_that_tells_nothing_stays_and_is_counted(line: bytes) -> None:
    searched = search(line, FINDER, visit_of(a_visit()))
    assert (searched.rest, searched.taken, searched.unreadable) == (line, 0, 1)


@given(st.lists(st.one_of(st.binary(max_size=30), st.just(a_line()), st.just(a_line("198.51.100.1"))), max_size=12))
def test_whatever_a_log_holds_only_whole_lines_of_the_visit_go(pieces: list[bytes]) -> None:
    data = b"\n".join(pieces)
    expected = data.split(b"\n").count(a_line())
    searched = search(data, FINDER, visit_of(a_visit()))
    assert searched.taken == expected
    assert len(searched.rest) >= len(data) - expected * (len(a_line()) + 1)
    assert search(searched.rest, FINDER, visit_of(a_visit())).taken == 0


@pytest.mark.parametrize(
    "scope",
    [
        None,
        Scope(kind=ScopeKind.PERSON, id="u1"),
        Scope(kind=ScopeKind.VISIT, id="192.0.2.7"),
        Scope(kind=ScopeKind.VISIT, id="[]"),
        Scope(kind=ScopeKind.VISIT, id='{"ip": 1, "since": 2, "until": 3}'),
    ],
)
def test_nobody_but_a_visit_has_lines(scope: Scope | None) -> None:
    with pytest.raises(PermanentError) as caught:
        visit_of(scope)
    assert "192" not in str(caught.value)
