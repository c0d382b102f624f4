"""The journal: its forms byte for byte, its two states, and that one nobody of us wrote is an integrity error."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ChangedError, IntegrityError
from shared.journal import Intent, Journals, decode, encode
from shared.model import Action, Locator, Record, RequestCause, Scope, ScopeKind, SweepCause
from shared.stores.memory import MemoryObjects

TIMES = st.datetimes(timezones=st.just(UTC))
SCOPES = st.builds(Scope, kind=st.sampled_from(ScopeKind), id=st.text(min_size=1))
CAUSES = st.builds(SweepCause, run=st.text(), slice=st.integers(0)) | st.builds(
    RequestCause, request=st.text(), scope=SCOPES, asker=st.none() | SCOPES
)
LOCATORS = st.builds(
    Locator, store=st.text(), account=st.text(), container=st.text(), key=st.text(), partition=st.text()
)
RECORDS = st.builds(
    Record,
    locator=LOCATORS,
    etag=st.text(),
    category=st.text(),
    rule=st.text(),
    scope=st.none() | SCOPES,
    starting_point=st.none() | TIMES,
    due=st.none() | TIMES,
    names=st.lists(SCOPES, max_size=2).map(tuple),
    action=st.sampled_from(Action),
)
INTENTS = st.builds(
    Intent,
    id=st.text(),
    cause=CAUSES,
    policy=st.text(),
    clauses=st.dictionaries(st.text(), st.text()),
    created=TIMES,
    records=st.lists(RECORDS, max_size=4).map(tuple),
    laws=st.dictionaries(st.text(), st.text(), max_size=2),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
INTENT = Intent(
    id="a" * 32,
    cause=RequestCause(request="1", scope=Scope(kind=ScopeKind.PERSON, id="kari")),
    policy="sha256:00",
    clauses={"users": "4.5"},
    created=datetime(2026, 3, 1, tzinfo=UTC),
    records=(
        Record(
            locator=Locator(store="cosmos", account="main", container="users", key="1", partition="kari"),
            etag='"1"',
            category="users",
            rule="users-inactive",
        ),
    ),
)
NAME = f"{INTENT.id}.json"
EVENTS = [
    '{"id":"a/0","time":"2026-03-01T12:00:00Z","text":"æ"}'.encode(),
    b'{ "id":  "a/1", "time": "2026-03-01T12:00:01Z" }',
]


class Cleared(MemoryObjects):
    """The client repeats a write without an answer, and the ledger takes the object before anybody reads it again."""

    async def create(self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        await super().create(name, data, metadata=metadata)
        try:
            return await super().create(name, data, metadata=metadata)
        finally:
            await self.delete(name)


@given(INTENTS)
def test_an_intent_is_read_back_as_it_was_written(intent: Intent) -> None:
    assert decode(encode(intent)) == intent
    assert encode(decode(encode(intent))) == encode(intent)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_integrity_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode(data)


@settings(max_examples=40)
@given(INTENTS, st.data())
def test_an_intent_changed_anywhere_is_read_or_an_integrity_error(intent: Intent, data: st.DataObject) -> None:
    value = json.loads(encode(intent))
    holder: Any = value
    key: Any = data.draw(st.sampled_from(sorted(holder)))
    while isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
        holder = holder[key]
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = data.draw(JSON)
    with contextlib.suppress(IntegrityError):
        assert isinstance(decode(json.dumps(value).encode()), Intent)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"state": "settled"},
        {"created": "0001-01-01T00:00:00+14:00"},
        {"created": "2026-03-01T00:00:00"},
        {"records": [{}]},
        {"cause": {"request": "1", "scope": ["person", ""]}},
        {"cause": {"request": "1", "scope": ["stranger", "kari"]}},
    ],
)
def test_an_intent_of_another_form_is_an_integrity_error(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        decode(json.dumps({**json.loads(encode(INTENT)), **change}).encode())


def test_an_intent_nested_too_deeply_is_an_integrity_error() -> None:
    with pytest.raises(IntegrityError):
        decode(b"[" * 100_000)


async def test_an_intent_is_open_until_it_is_settled_with_its_events_exactly() -> None:
    objects = MemoryObjects()
    journals = Journals(objects=objects)
    journal = await journals.open(INTENT)
    assert await journals.read_open(INTENT.id) == journal
    assert await journals.settled(INTENT.id) is None
    assert [(i, state) async for i, state, _ in journals.entries()] == [(INTENT.id, "open")]
    await journals.settle(journal, EVENTS, log="2026")
    assert await journals.read_open(INTENT.id) is None
    assert await journals.settled(INTENT.id) == EVENTS
    [(intent, state, entry)] = [each async for each in journals.entries()]
    assert (intent, state) == (INTENT.id, "settled")
    assert (entry.metadata["log"], entry.metadata["at"]) == ("2026", "2026-03-01T12:00:00Z")
    held = await objects.read(NAME)
    assert held is not None
    assert [event.encode() for event in json.loads(held.data)["events"]] == EVENTS
    assert b"kari" not in held.data


async def test_a_journal_that_is_not_there_is_not_open() -> None:
    assert await Journals(objects=MemoryObjects()).read_open(INTENT.id) is None


async def test_opening_whose_answer_was_lost_is_repeated_as_the_same_journal() -> None:
    objects = MemoryObjects()
    journals = Journals(objects=objects)
    create = objects.create

    async def twice(name: str, data: bytes, **more: Any) -> str:
        await create(name, data, **more)
        return await create(name, data, **more)

    objects.create = twice  # type: ignore[method-assign]
    journal = await journals.open(INTENT)
    await journals.settle(journal, EVENTS, log="2026")


async def test_a_journal_that_another_worker_has_begun_to_recover_is_not_taken_for_one_s_own() -> None:
    objects = MemoryObjects()
    journals = Journals(objects=objects)
    create = objects.create

    async def repeated_late(name: str, data: bytes, **more: Any) -> str:
        await create(name, data, **more)
        held = await journals.read_open(INTENT.id)
        assert held is not None
        assert held.first
        assert not (await journals.touch(held)).first
        return await create(name, data, **more)

    objects.create = repeated_late  # type: ignore[method-assign]
    with pytest.raises(ChangedError):
        await journals.open(INTENT)


async def test_a_journal_that_was_finished_and_cleared_before_its_opening_was_answered_is_taken_over() -> None:
    with pytest.raises(ChangedError):
        await Journals(objects=Cleared()).open(INTENT)


async def test_an_id_that_another_intent_has_is_an_integrity_error() -> None:
    objects = MemoryObjects()
    journals = Journals(objects=objects)
    await objects.create(NAME, b"somebody else's")
    with pytest.raises(IntegrityError):
        await journals.open(INTENT)


@pytest.mark.parametrize("cleared", [False, True])
async def test_a_journal_that_was_forestalled_is_begun_no_more_and_takes_no_other_s_name(cleared: bool) -> None:
    objects = MemoryObjects()
    journals = Journals(objects=objects)
    await journals.forestall(INTENT.id, log="2026")
    if cleared:
        [entry] = [each async for each in objects.list()]
        await journals.let_go(entry)
        assert await journals.settled(INTENT.id) is None
    with pytest.raises(ChangedError):
        await journals.open(INTENT)
    other = replace(INTENT, id="b" * 32)
    opened = await journals.open(other)
    await journals.forestall(other.id, log="2026")
    assert await journals.read_open(other.id) == opened


async def test_of_two_that_let_a_forestalled_journal_go_the_second_has_nothing_to_do() -> None:
    objects = MemoryObjects()
    journals = Journals(objects=objects)
    await journals.forestall(INTENT.id, log="2026")
    [entry] = [each async for each in objects.list()]
    await journals.let_go(entry)
    await journals.let_go(entry)
    assert [state async for _, state, _ in journals.entries()] == ["settled"]


async def test_of_two_workers_one_settles_and_the_other_is_told() -> None:
    journals = Journals(objects=MemoryObjects())
    journal = await journals.open(INTENT)
    await journals.settle(journal, EVENTS, log="2026")
    with pytest.raises(ChangedError):
        await journals.settle(journal, EVENTS, log="2026")


async def test_a_journal_that_the_ledger_has_taken_cannot_be_settled_again() -> None:
    objects = MemoryObjects()
    journals = Journals(objects=objects)
    journal = await journals.open(INTENT)
    await objects.delete(NAME)
    with pytest.raises(ChangedError):
        await journals.settle(journal, EVENTS, log="2026")
    assert await objects.read(NAME) is None


async def test_events_of_no_deletion_are_born_settled_and_posting_them_again_is_the_same() -> None:
    objects = MemoryObjects()
    journals = Journals(objects=objects)
    await journals.post("b" * 32, EVENTS, log="2026")
    await journals.post("b" * 32, EVENTS, log="2026")
    assert [(i, state) async for i, state, _ in journals.entries()] == [("b" * 32, "settled")]
    with pytest.raises(IntegrityError):
        await journals.post("b" * 32, EVENTS[:1], log="2026")


async def test_events_that_the_ledger_takes_while_they_are_posted_again_are_posted() -> None:
    objects = Cleared()
    await Journals(objects=objects).post("b" * 32, EVENTS, log="2026")
    assert [each async for each in objects.list()] == []
