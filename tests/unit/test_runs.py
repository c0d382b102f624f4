"""What is kept of runs: written once or over the version read, and refused when it is not of its form."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from shared.documents import read, write
from shared.errors import ChangedError, ExistsError, IntegrityError
from shared.runs import Current, Pause, PlannedSlice, RunDocument, Runs, SliceProgress
from shared.stores.memory import MemoryObjects

STARTED = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
CURRENT = Current(run="users-1", started=STARTED, slices=2)
DOCUMENT = RunDocument(
    run="users-1",
    category="users",
    policy="sha256:00",
    started=STARTED,
    slices=(PlannedSlice(rule="users-inactive", now=STARTED, bounds='["2026-01-01/"]'),),
    strange={"outside the layout": 2},
)


@pytest.fixture
def runs() -> Runs:
    return Runs(objects=MemoryObjects())


async def test_a_category_has_no_current_run_before_its_first(runs: Runs) -> None:
    assert await runs.current("users") is None


async def test_the_current_run_is_read_as_written_and_replaced_by_who_read_it(runs: Runs) -> None:
    await runs.set_current("users", CURRENT, None)
    held = await runs.current("users")
    assert held is not None
    assert held.value == CURRENT
    queued = CURRENT.model_copy(update={"queued": STARTED, "attempt": 2})
    etag = await runs.set_current("users", queued, held.etag)
    again = await runs.current("users")
    assert again is not None
    assert (again.value, again.etag) == (queued, etag)
    assert await runs.current("homes") is None


async def test_of_two_planners_one_is_told_that_the_other_was_faster(runs: Runs) -> None:
    etag = await runs.set_current("users", CURRENT, None)
    with pytest.raises(ExistsError):
        await runs.set_current("users", CURRENT, None)
    await runs.set_current("users", CURRENT, etag)
    with pytest.raises(ChangedError):
        await runs.set_current("users", CURRENT, etag)


async def test_a_run_document_is_written_once_and_a_rivals_stands(runs: Runs) -> None:
    assert await runs.add(DOCUMENT) == DOCUMENT
    rival = DOCUMENT.model_copy(update={"slices": ()})
    assert await runs.add(rival) == DOCUMENT
    assert await runs.document("users", "users-1") == DOCUMENT
    assert await runs.document("users", "users-2") is None


async def test_a_slice_nobody_began_has_fresh_progress_that_is_created(runs: Runs) -> None:
    fresh = await runs.progress("users", "users-1", 0)
    assert (fresh.value, fresh.etag) == (SliceProgress(), None)
    half = SliceProgress(cursor="c", expired=3, outcomes={"erased": 3}, strange={"odd": 1})
    etag = await runs.set_progress("users", "users-1", 0, half, fresh.etag, at=STARTED)
    held = await runs.progress("users", "users-1", 0)
    assert (held.value, held.etag) == (half, etag)
    assert (await runs.progress("users", "users-1", 1)).etag is None


async def test_what_is_over_carries_its_end_and_what_is_in_progress_carries_none(runs: Runs) -> None:
    objects = runs.objects
    await runs.set_current("users", CURRENT, None)
    await runs.set_pause("users", Pause(paused=True, since=STARTED, by="ops", reason="a test"), None)
    await runs.add(DOCUMENT)
    etag = await runs.set_progress("users", "users-1", 0, SliceProgress(), None, at=STARTED)
    abandoned = {"ended_at": "2026-05-30T12:00:00.123456Z"}
    metadata = {entry.name: entry.metadata async for entry in objects.list()}
    assert {name: each for name, each in metadata.items() if each} == {"users/users-1/run": abandoned}
    await runs.set_progress("users", "users-1", 0, SliceProgress(done=True), etag, at=STARTED)
    for _ in range(2):
        await runs.end("users", "users-1", STARTED)
    await runs.end("users", "users-2", STARTED)
    ended = {entry.name: entry.metadata async for entry in objects.list() if entry.metadata}
    at = {"ended_at": "2026-03-01T12:00:00.123456Z"}
    assert ended == {"users/users-1/run": at, "users/users-1/slice/0000": at}


async def test_a_run_that_is_over_keeps_its_plan_without_the_places_in_the_listing(runs: Runs) -> None:
    await runs.add(DOCUMENT)
    await runs.end("users", "users-1", STARTED)
    [planned] = DOCUMENT.slices
    places_out = DOCUMENT.model_copy(update={"slices": (planned.model_copy(update={"bounds": ""}),)})
    assert await runs.document("users", "users-1") == places_out


async def test_a_category_is_paused_when_its_document_says_so(runs: Runs) -> None:
    assert not await runs.paused("users")
    pause = Pause(paused=True, since=STARTED, by="ops", reason="a test")
    etag = await runs.set_pause("users", pause, None)
    assert await runs.paused("users")
    assert not await runs.paused("homes")
    with pytest.raises(ExistsError):
        await runs.set_pause("users", pause, None)
    await runs.set_pause("users", pause.model_copy(update={"paused": False}), etag)
    assert not await runs.paused("users")
    with pytest.raises(ChangedError):
        await runs.set_pause("users", pause, etag)


async def test_of_two_workers_on_one_slice_one_is_told(runs: Runs) -> None:
    etag = await runs.set_progress("users", "users-1", 0, SliceProgress(), None, at=STARTED)
    with pytest.raises(ExistsError):
        await runs.set_progress("users", "users-1", 0, SliceProgress(done=True), None, at=STARTED)
    await runs.set_progress("users", "users-1", 0, SliceProgress(expired=1), etag, at=STARTED)
    with pytest.raises(ChangedError):
        await runs.set_progress("users", "users-1", 0, SliceProgress(done=True), etag, at=STARTED)
    assert (await runs.progress("users", "users-1", 0)).value.expired == 1


async def test_a_runs_names_are_apart_for_every_category_run_and_slice() -> None:
    objects = MemoryObjects()
    runs = Runs(objects=objects)
    await runs.set_current("users", CURRENT, None)
    await runs.add(DOCUMENT)
    for number in (0, 10, 1):
        await runs.set_progress("users", "users-1", number, SliceProgress(), None, at=STARTED)
    assert [entry.name async for entry in objects.list()] == [
        "users/current",
        "users/users-1/run",
        "users/users-1/slice/0000",
        "users/users-1/slice/0001",
        "users/users-1/slice/0010",
    ]


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"{}", "run; started; slices"),
        (b'{"run": "kari", "started": "2026-03-01T12:00:00", "slices": 1}', "started"),
        (b'{"run": "kari", "started": "2026-03-01T12:00:00Z", "slices": 1, "kari": 2}', "kari"),
        (b"kari", ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
async def test_a_document_of_another_form_is_an_integrity_error_that_names_the_fields(data: bytes, where: str) -> None:
    objects = MemoryObjects()
    await objects.create("users/current", data)
    with pytest.raises(IntegrityError) as caught:
        await Runs(objects=objects).current("users")
    assert str(caught.value) == f"a Current cannot be read: {where}"


async def test_metadata_goes_with_each_write() -> None:
    class Note(BaseModel):
        text: str

    objects = MemoryObjects()
    etag = await write(objects, "n", Note(text="a"), None, metadata={"state": "open"})
    assert [entry.metadata async for entry in objects.list()] == [{"state": "open"}]
    await write(objects, "n", Note(text="b"), etag, metadata={"state": "done"})
    assert [entry.metadata async for entry in objects.list()] == [{"state": "done"}]
    held = await read(objects, "n", Note)
    assert held is not None
    assert held.value == Note(text="b")
