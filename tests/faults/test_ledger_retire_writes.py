"""Each write of dropping a log fails, unapplied and applied, or the process dies there; the next run finishes it.

The writes are counted in an undisturbed run, so that a write added to the code is tested without anybody adding it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from ledger_world import YEAR, assert_whole
from retire_world import OLD, OVER, RetireWorld, old_and_new
from writes import Site, traced

from shared.errors import TransientError
from shared.ledger.log import dropped_name, logs
from shared.stores.memory import Fault

Written = tuple[str, str, int, str]
"""Store, kind of write, which of its kind in that store, name."""


async def write_once() -> RetireWorld:
    """A log whose store does not let it go yet: the marker is taken back."""
    world = await old_and_new()
    world.stores["tiles"].days = 1461
    return world


def writes(build: Callable[[], Awaitable[RetireWorld]]) -> tuple[list[Written], frozenset[Site]]:
    """Each write of one undisturbed run, and the calls in the product's source that they come from."""

    async def run() -> tuple[RetireWorld, dict[str, int]]:
        world = await build()
        before = {name: len(store.writes) for name, store in world.stores.items()}
        with traced():
            await world.retire()
        return world, before

    world, before = asyncio.run(run())
    found, sites = [], set(world.rings.sites)
    for store, objects in world.stores.items():
        counts = {kind: count(1) for kind in ("create", "replace", "delete")}
        found += [(store, kind, next(counts[kind]), name) for kind, name in objects.writes[before[store] :]]
        sites = sites.union(*objects.writes.sites[before[store] :])
    return found, frozenset(sites)


WRITES, SITES = writes(old_and_new)
TAKEN_BACK, MORE_SITES = writes(write_once)
SITES |= MORE_SITES


def named(write: object) -> str:
    store, kind, nth, name = write
    return f"{store}-{kind}-{nth}-{plain(name)}"


def plain(name: str) -> str:
    """A name without what is random in it."""
    return f"{OLD}/staging" if "/staging/" in name else name if name.startswith(OLD) else "event"


def test_dropping_writes_the_marker_first_and_deletes_it_last_and_everything_between():
    state = [(kind, name) for store, kind, _, name in WRITES if store == "state"]
    assert state[0] == ("create", dropped_name(OLD))
    assert state[1] == ("delete", f"{OLD}/head")
    assert state[-1] == ("delete", dropped_name(OLD))
    names = {f"{OLD}/{each}" for each in ("head", "staging", "checkpoint", "published", "dropped")}
    assert {plain(name) for _, name in state} == names
    tiles = [name for store, kind, _, name in WRITES if store == "tiles"]
    assert tiles[0] == f"{OLD}/checkpoints/{300:020d}"
    assert [kind for store, kind, *_ in WRITES if store == "journals"] == ["create"]


async def failed(build: Callable[[], Awaitable[RetireWorld]], write: Written, *, applied: bool) -> RetireWorld:
    """A world in which one write of the dropping has failed."""
    store, kind, nth, _ = write
    world = await build()
    world.stores[store].arm(Fault(write=kind, applied=applied, nth=nth))
    with pytest.raises(TransientError):
        await world.retire()
    return world


async def assert_dropped(world: RetireWorld, *, most: int = 1) -> None:
    """All of the old log is gone, the current ones are sound, and one event says so."""
    assert await world.of_old() == {}
    await world.work("2027")
    [event] = await world.dropped()
    assert (event["data"]["year"], event["data"]["size"]) == (OLD, 300)
    report = await world.report("2027")
    assert report.sound
    assert report.events == 1
    assert report.leaves <= most
    await assert_whole(world, YEAR)


@pytest.mark.parametrize("applied", [False, True], ids=["unapplied", "applied"])
@pytest.mark.parametrize("write", WRITES, ids=named)
async def test_after_a_failed_write_the_next_run_finishes(write: Written, applied: bool):
    world = await failed(old_and_new, write, applied=applied)
    await world.retire(OVER.replace(day=2))
    await assert_dropped(world)


@pytest.mark.parametrize("applied", [False, True], ids=["unapplied", "applied"])
@pytest.mark.parametrize("write", WRITES, ids=named)
async def test_between_a_failed_write_and_the_next_run_the_log_is_whole_or_offered_to_nobody(
    write: Written, applied: bool
):
    """The ledger's other functions have their turns in between, and the events of the current log go on."""
    world = await failed(old_and_new, write, applied=applied)
    offered = await logs(world.ledger)
    if OLD in offered:
        assert (await world.report(OLD)).leaves == 300
    await world.settle("meanwhile", 2)
    for year in (OLD, YEAR, "2027"):
        await world.work(year)
    assert await logs(world.ledger) == sorted({*offered, *(["2027"] if await world.names("state", "2027/") else [])})
    await world.retire(OVER.replace(day=3))
    await assert_dropped(world, most=2)  # one that was appended before it is posted again stands there twice


@pytest.mark.parametrize("applied", [False, True], ids=["unapplied", "applied"])
@pytest.mark.parametrize("write", TAKEN_BACK, ids=named)
async def test_a_dropping_that_the_store_refused_and_that_fails_as_well_is_carried_out_when_it_may(
    write: Written, applied: bool
):
    world = await failed(write_once, write, applied=applied)
    await world.retire(OVER.replace(day=2))
    assert (await world.report(OLD)).leaves == 300, "nothing of it was deleted, and it is a log again"
    world.stores["tiles"].days = 0
    await world.retire(OVER.replace(day=4))
    await assert_dropped(world)


@pytest.mark.parametrize("how", ["unapplied", "applied"])
async def test_a_doorbell_without_an_answer_keeps_no_event_from_the_log(how: str):
    world = await old_and_new()
    world.rings.fail = how
    await world.retire()
    assert len(world.rings.rung) == (how == "applied")
    await assert_dropped(world)


async def test_two_runs_at_once_drop_it_once():
    for _ in range(5):
        world = await old_and_new()
        world.at(OVER)
        await asyncio.gather(*(world.retirement.retire_all() for _ in range(2)), return_exceptions=True)
        await world.retire(OVER.replace(day=2))
        await assert_dropped(world)
