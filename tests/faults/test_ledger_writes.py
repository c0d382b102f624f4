"""Each write of append, seal and publish fails, unapplied and applied; the next run makes the log whole.

The writes are counted in an undisturbed run, so that a write added to the code is tested without anybody adding it.
"""

import asyncio
from itertools import count

import pytest
from ledger_world import STORES, YEAR, World, assert_whole
from writes import Site, traced

from shared.errors import TransientError
from shared.ledger import log
from shared.ledger.seal import seal
from shared.stores.memory import Fault


async def fresh() -> World:
    """A log that does not exist yet: every first write."""
    world = World()
    for n, size in enumerate((3, 300, 4)):
        await world.settle(f"j{n}", size)
    return world


async def grown() -> World:
    """A log that has been sealed and published, and grows over a bundle's boundary onto another one."""
    world = World()
    await world.settle("before", 250)
    await world.work()
    for n, size in enumerate((3, 256, 3)):
        await world.settle(f"j{n}", size)
    return world


async def orphaned() -> World:
    """A crash before a head's change has left a staging object that no head names."""
    world = await grown()
    await world.stores["state"].create(f"{YEAR}/staging/orphan", b"", metadata={})
    world.later(minutes=11)
    return world


async def overtaken() -> World:
    """An appender that another overtakes before its first change of the head: it deletes what it had staged."""
    world = await grown()
    world.stores["state"].replace = Overtaken(world, world.stores["state"].replace)
    return world


class Overtaken:
    """The state's `replace`, before whose first change of the head another appender runs to its end."""

    def __init__(self, world: World, replace) -> None:
        self.world = world
        self.replace = replace
        self.lost = False

    async def __call__(self, name, data, **options):
        if not name.endswith("/head") or self.lost:
            return await self.replace(name, data, **options)
        self.lost = True
        await self.world.settle("rival", 5)
        await log.append(self.world.ledger, YEAR)
        return await self.replace(name, data, **options)  # raises ChangedError


SCENES = {"fresh": fresh, "grown": grown, "orphaned": orphaned, "overtaken": overtaken}


Written = tuple[str, str, str, str, str]
"""Scene, store, kind of write, which of its kind, readable name."""


def writes() -> tuple[list[Written], frozenset[Site]]:
    """Each write of one undisturbed run of each scene, and the calls in the product's source that they come from."""
    found, sites = [], set()
    for scene, build in SCENES.items():

        async def run(build=build):
            world = await build()
            before = {name: len(store.writes) for name, store in world.stores.items()}
            with traced():
                await world.work()
            return world, before

        world, before = asyncio.run(run())
        sites |= world.topic.sites
        for store, objects in world.stores.items():
            counts = {kind: count(1) for kind in ("create", "replace", "delete")}
            done = zip(objects.writes[before[store] :], objects.writes.sites[before[store] :], strict=True)
            for (kind, name), from_there in done:
                nth = str(next(counts[kind]))
                if scene in ("fresh", "grown") or (store, kind) == ("state", "delete"):  # the others are the same again
                    found.append((scene, store, kind, nth, named(name)))
                    sites |= from_there
    return found, frozenset(sites)


def named(name: str) -> str:
    return f"{YEAR}/staging" if "/staging/" in name else name


WRITES, SITES = writes()


def test_the_run_makes_every_kind_of_write_there_is():
    made = {(store, kind, name) for scene, store, kind, _, name in WRITES if scene == "grown"}
    assert made == {
        ("state", "create", "2026/staging"),
        ("state", "replace", "2026/head"),
        ("state", "delete", "2026/staging"),
        ("tiles", "create", "2026/tile/entries/000"),
        ("tiles", "create", "2026/tile/entries/001"),
        ("tiles", "create", "2026/tile/0/000"),
        ("tiles", "create", "2026/tile/0/001"),
        ("journals", "delete", "j0.json"),
        ("journals", "delete", "j1.json"),
        ("journals", "delete", "j2.json"),
        ("tiles", "create", "2026/tile/1/000.p/2"),
        ("state", "replace", "2026/checkpoint"),
        ("state", "replace", "2026/published"),
        ("tiles", "create", "2026/checkpoints/00000000000000000512"),
        ("tiles", "create", "2026/newest/99999999999999999487"),
    }
    assert {store for _, store, *_ in WRITES} == set(STORES)


@pytest.mark.parametrize("applied", [False, True], ids=["unapplied", "applied"])
@pytest.mark.parametrize("write", WRITES, ids="-".join)
async def test_after_a_failed_write_the_next_run_makes_the_log_whole(write, applied):
    world = await failed(write, applied=applied)
    await world.work()
    await assert_whole(world)
    staging, referenced = await world.staging()
    if write[0] in ("fresh", "grown") and not write[-1].endswith(("/staging", "/head")):  # else a crash may leave one
        assert staging == referenced
    await world.settle("later", 1)
    world.later(hours=1)
    await world.work()
    staging, referenced = await world.staging()
    assert staging == referenced


@pytest.mark.parametrize("applied", [False, True], ids=["unapplied", "applied"])
@pytest.mark.parametrize("write", [each for each in WRITES if each[1] == "state"], ids="-".join)
async def test_after_a_failed_write_new_journals_and_another_year_are_appended_all_the_same(write, applied):
    world = await failed(write, applied=applied)
    await world.settle("new", 7)
    await world.settle("other-year", 2, year="2027")
    await world.work("2027")
    await world.work()
    await assert_whole(world)
    await assert_whole(world, "2027")


async def failed(write: Written, *, applied: bool) -> World:
    """A world in which one write has failed."""
    scene, store, kind, nth, _ = write
    world = await SCENES[scene]()
    world.stores[store].arm(Fault(write=kind, applied=applied, nth=int(nth)))
    with pytest.raises(TransientError):
        await world.work()
    return world


@pytest.mark.parametrize("applied", ["unapplied", "applied"])
async def test_a_topic_that_does_not_answer_loses_nothing(applied):
    world = await grown()
    world.topic.fail = applied
    with pytest.raises(TransientError):
        await world.work()
    await world.work()
    await assert_whole(world)
    repeats = len(world.topic.events()) - len(world.expected[YEAR])
    assert repeats == (262 if applied == "applied" else 0)


@pytest.mark.parametrize("scene", SCENES)
async def test_a_head_change_that_the_client_repeated_by_itself_keeps_its_staging(scene):
    """A client that repeats a lost write by itself is told that the head has changed: by the client's first attempt."""
    world = await SCENES[scene]()
    state = world.stores["state"]

    def repeating(method):
        async def repeats(name, data, **options):
            etag = await method(name, data, **options)
            if name.endswith("/head"):
                return await method(name, data, **options)  # raises ExistsError or ChangedError
            return etag

        return repeats

    state.create, state.replace = repeating(state.create), repeating(state.replace)
    await world.work()
    await assert_whole(world)
    world.later(hours=1)
    await world.settle("later", 1)
    await world.work()
    await assert_whole(world)
    staging, referenced = await world.staging()
    assert staging == referenced


async def test_a_crash_between_commit_and_every_later_step_is_finished_by_the_sealer_too():
    world = await grown()
    world.stores["tiles"].arm(Fault(write="create", applied=False))
    with pytest.raises(TransientError):
        await log.append(world.ledger, YEAR)
    assert len(await world.names("journals")) == 3
    await seal(world.ledger, YEAR, world.signer())
    assert await world.names("journals") == []
    assert (await world.report()).sound


async def test_a_loser_deletes_its_own_staging_and_rebases():
    world = await overtaken()
    await world.work()
    assert world.stores["state"].replace.lost
    await assert_whole(world)
    staging, referenced = await world.staging()
    assert staging == referenced
