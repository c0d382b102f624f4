"""Holds: what each kind keeps, until when, and that one nobody can read stops everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import TransientError
from shared.holds import ENDS, LATE, NOTE, Hold, HoldKind, Holds
from shared.model import Cause, Locator, Record, RequestCause, Scope, ScopeKind, SweepCause, utc_text
from shared.stores.interface import Entry, Stored
from shared.stores.memory import MemoryObjects

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KARI = Scope(kind=ScopeKind.PERSON, id="kari")
HOME = Scope(kind=ScopeKind.HOME, id="h1")
ADDRESS = Scope(kind=ScopeKind.ADDRESS, id="kari@example.test")
SWEEP = SweepCause(run="r", slice=0)
LOCATOR = Locator(store="cosmos", account="main", container="users", key="1", partition="kari")


def record(scope: Scope | None = KARI, category: str = "users") -> Record:
    return Record(locator=LOCATOR, etag="1", category=category, rule="r", scope=scope)


def hold(kind: HoldKind, target: str, until: datetime | None = None) -> Hold:
    return Hold(id="hold-1", kind=kind, target=target, owner="legal", reason="a case", until=until)


def for_request(scope: Scope) -> Cause:
    return RequestCause(request="1", scope=scope)


@pytest.mark.parametrize(
    ("made", "held", "cause", "covered"),
    [
        (hold(HoldKind.PERSON, "kari"), record(KARI), SWEEP, True),
        (hold(HoldKind.PERSON, "ola"), record(KARI), SWEEP, False),
        (hold(HoldKind.PERSON, "kari"), record(None), SWEEP, False),
        (hold(HoldKind.PERSON, "h1"), record(HOME), SWEEP, False),
        (hold(HoldKind.HOME, "h1"), record(HOME), SWEEP, True),
        (hold(HoldKind.HOME, "kari"), record(KARI), SWEEP, False),
        # a record of a home that would go because a held person is erased
        (hold(HoldKind.PERSON, "kari"), record(HOME), for_request(KARI), True),
        (hold(HoldKind.PERSON, "kari"), record(None), for_request(KARI), True),
        (hold(HoldKind.HOME, "h1"), record(KARI), for_request(HOME), True),
        (hold(HoldKind.PERSON, "ola"), record(HOME), for_request(KARI), False),
        # a record that names a held person, and one that would go for the sake of their address
        (hold(HoldKind.PERSON, "kari"), replace(record(HOME), names=(KARI,)), SWEEP, True),
        (hold(HoldKind.PERSON, "kari"), record(ADDRESS), RequestCause(request="1", scope=ADDRESS, asker=KARI), True),
        (hold(HoldKind.ADDRESS, ADDRESS.id), record(ADDRESS), SWEEP, True),
        (hold(HoldKind.CATEGORY, "users"), record(), SWEEP, True),
        (hold(HoldKind.CATEGORY, "users"), record(category="homes"), SWEEP, False),
        (hold(HoldKind.RECORD, LOCATOR.text()), record(), SWEEP, True),
        (hold(HoldKind.RECORD, "1"), record(), SWEEP, False),
    ],
)
def test_a_hold_covers_what_it_names_and_nothing_else(made: Hold, held: Record, cause: Cause, covered: bool) -> None:
    assert made.covers(held, cause) is covered


@pytest.mark.parametrize(
    ("until", "read"), [(None, True), (NOW + timedelta(seconds=1), True), (NOW, False), (NOW - timedelta(1), False)]
)
async def test_a_hold_ends_at_its_end_by_the_clock_of_the_store(until: datetime | None, read: bool) -> None:
    objects = MemoryObjects(clock=NOW)  # the machine's clock is elsewhere
    made = hold(HoldKind.PERSON, "kari", until)
    await objects.create("1.json", made.model_dump_json().encode())
    assert await Holds(objects=objects).read() == ([made] if read else [])


async def test_every_hold_is_read_and_a_note_beside_a_hold_is_none() -> None:
    objects = MemoryObjects()
    made = [hold(kind, "kari") for kind in HoldKind]
    for number, each in enumerate(made):
        await objects.create(f"{number}.json", each.model_dump_json().encode())
    await objects.create("0/journal", b"no hold", metadata={NOTE: "open"})
    assert await Holds(objects=objects).read() == made
    assert await Holds(objects=objects).all() == (made, [])
    assert await Holds(objects=MemoryObjects()).read() == []


async def test_word_of_records_that_went_all_the_same_is_left_once_however_often_it_is_told() -> None:
    objects = MemoryObjects()
    for _ in range(2):
        await Holds(objects=objects).tell_late("1", "c" * 32, ["a/0"])
    [(name, metadata)] = [(entry.name, entry.metadata) async for entry in objects.list()]
    assert (name, metadata) == (f"1/{'c' * 32}", {NOTE: LATE})


async def test_a_hold_that_ended_by_its_metadata_is_not_read_at_all() -> None:
    class Counting(MemoryObjects):
        asked: list[str]

        async def read(self, name: str) -> Stored | None:
            self.asked.append(name)
            return await super().read(name)

    objects = Counting(clock=NOW)
    objects.asked = []
    for name, ended in (("1.json", NOW), ("2.json", NOW + timedelta(seconds=1))):
        metadata = {ENDS: utc_text(ended)}
        await objects.create(name, hold(HoldKind.CATEGORY, name).model_dump_json().encode(), metadata=metadata)
    assert [each.target for each in await Holds(objects=objects).read()] == ["2.json"]
    assert objects.asked == ["2.json"]


async def test_an_end_in_the_metadata_that_is_no_time_stops_every_deletion() -> None:
    objects = MemoryObjects()
    data = hold(HoldKind.PERSON, "kari").model_dump_json().encode()
    await objects.create("1.json", data, metadata={ENDS: "yesterday"})
    with pytest.raises(TransientError, match="mended: ended_at"):
        await Holds(objects=objects).read()


async def test_a_list_of_all_has_the_ended_ones_too_and_names_what_cannot_be_read() -> None:
    objects = MemoryObjects(clock=NOW)
    ended = hold(HoldKind.PERSON, "kari", NOW)
    await objects.create("1.json", ended.model_dump_json().encode(), metadata={ENDS: utc_text(NOW)})
    await objects.create("2.json", b"{")
    assert await Holds(objects=objects).all() == ([ended], ["2.json"])


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b'{"id": "1", "kind": "person", "target": "kari", "owner": "legal"}', "reason"),
        (b'{"id": "1", "kind": "kari", "target": "t", "owner": "legal", "reason": "r"}', "kind"),
        (
            b'{"id": "1", "kind": "person", "target": "kari", "owner": "l", "reason": "r", "until": "2026-03-01"}',
            "until",
        ),
        (b'{"id": "1", "kind": "person", "target": "kari", "owner": "l", "reason": "r", "untl": null}', "untl"),
        (b"kari", ""),
        (b"", ""),
        (b"\xff", ""),
    ],
)
async def test_a_hold_that_cannot_be_read_stops_every_deletion_and_names_the_field_alone(
    data: bytes, where: str
) -> None:
    objects = MemoryObjects()
    await objects.create("1.json", hold(HoldKind.PERSON, "kari").model_dump_json().encode())
    await objects.create("2.json", data)
    with pytest.raises(TransientError) as caught:
        await Holds(objects=objects).read()
    assert str(caught.value) == f"a hold cannot be read, nothing is deleted until it is mended: {where}"


async def test_a_hold_released_while_holds_are_read_is_no_hold() -> None:
    class Releasing(MemoryObjects):
        async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
            entries = [entry async for entry in super().list(prefix)]
            await self.delete("1.json")
            for entry in entries:
                yield entry

    for read_them in (Holds.read, Holds.all):
        objects = Releasing()
        left = hold(HoldKind.CATEGORY, "2.json")
        for each in (hold(HoldKind.CATEGORY, "1.json"), left):
            await objects.create(each.target, each.model_dump_json().encode())
        assert await read_them(Holds(objects=objects)) in ([left], ([left], []))
