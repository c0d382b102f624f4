"""Appenders and sealers at once, in many orders, some killed at any step: every event stands in the log once."""

import asyncio
import random
from dataclasses import replace

import pytest
from ledger_world import YEAR, World, assert_whole

from shared.audit import parse_event
from shared.errors import TransientError
from shared.ledger.head import Ledger
from shared.ledger.log import append
from shared.ledger.publish import publish
from shared.ledger.seal import seal


class Yielding:
    """An ObjectStore whose every call lets others run before and after it, for a random number of turns."""

    def __init__(self, inner, turns: random.Random) -> None:
        self._inner = inner
        self._turns = turns

    async def _rest(self) -> None:
        for _ in range(self._turns.choice((0, 0, 1, 1, 2, 5, 12))):
            await asyncio.sleep(0)

    async def read(self, name):
        await self._rest()
        found = await self._inner.read(name)
        await self._rest()
        return found

    async def create(self, name, data, *, metadata=None):
        await self._rest()
        etag = await self._inner.create(name, data, metadata=metadata)
        await self._rest()
        return etag

    async def replace(self, name, data, *, etag, metadata=None):
        await self._rest()
        new = await self._inner.replace(name, data, etag=etag, metadata=metadata)
        await self._rest()
        return new

    async def delete(self, name, *, etag=None):
        await self._rest()
        await self._inner.delete(name, etag=etag)
        await self._rest()

    async def list(self, prefix=""):
        await self._rest()
        for entry in [each async for each in self._inner.list(prefix)]:
            yield entry
        await self._rest()


async def worker(world: World, turns: random.Random) -> None:
    """An appender that also seals and publishes, in any order, and is content to have lost."""
    for _ in range(3):
        try:
            match turns.choice(("append", "append", "seal", "publish")):
                case "append":
                    await append(world.ledger, YEAR, most_journals=turns.choice((1, 2, 64)))
                case "seal":
                    await seal(world.ledger, YEAR, world.signer())
                case "publish":
                    await publish(world.ledger, YEAR, world.topic)
        except TransientError:
            continue


async def settler(world: World, turns: random.Random) -> None:
    for n in range(8):
        await world.settle(f"j{n}", turns.choice((1, 5, 90, 256)))
        for _ in range(turns.randrange(25)):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(15))
async def test_workers_at_once_put_every_event_into_the_log_once(seed):
    turns = random.Random(seed)
    world = World(wrap=lambda store: Yielding(store, turns))
    await asyncio.gather(settler(world, turns), *(worker(world, turns) for _ in range(3)))
    await world.work()
    await assert_whole(world)
    staging, referenced = await world.staging()
    assert staging == referenced


@pytest.mark.parametrize("seed", range(15))
async def test_workers_killed_at_any_step_leave_what_the_next_run_makes_whole(seed):
    turns = random.Random(1_000 + seed)
    world = World(wrap=lambda store: Yielding(store, turns))
    settling = asyncio.create_task(settler(world, turns))
    for _ in range(12):
        workers = [asyncio.create_task(worker(world, turns)) for _ in range(2)]
        for _ in range(turns.randrange(60)):
            await asyncio.sleep(0)
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    await settling
    await world.work()
    await assert_whole(world)
    await world.settle("later", 1)
    world.later(hours=1)
    await world.work()
    await assert_whole(world)
    staging, referenced = await world.staging()
    assert staging == referenced


class Interrupted:
    """An ObjectStore before whose `at`-th call (counted over all stores of the world) something else happens."""

    def __init__(self, inner, turn) -> None:
        self._inner = inner
        self._turn = turn

    def __getattr__(self, method):
        call = getattr(self._inner, method)

        async def one(*args, **options):
            await self._turn()
            return await call(*args, **options)

        async def many(*args, **options):
            await self._turn()
            for entry in [each async for each in call(*args, **options)]:
                yield entry

        return many if method == "list" else one


async def interrupted_append(at: int, rival) -> tuple[World, int]:
    """The world after an append before whose `at`-th call `rival` ran, and the number of calls made."""
    calls = 0

    async def turn():
        nonlocal calls
        calls += 1
        if calls == at:
            await world.settle("rival", 200)
            await rival(world, plain)

    world = World(wrap=lambda store: Interrupted(store, turn))
    plain = replace(world.ledger, **world.stores)
    await world.settle("before", 250)
    await append(plain, YEAR)
    for n, count in enumerate((3, 256, 3)):
        await world.settle(f"j{n}", count)
    await append(world.ledger, YEAR)
    return world, calls


async def rival_appends(world: World, plain: Ledger) -> None:
    await append(plain, YEAR)


async def rival_does_everything(world: World, plain: Ledger) -> None:
    await append(plain, YEAR)
    await seal(plain, YEAR, world.signer())
    await publish(plain, YEAR, world.topic)


CALLS = asyncio.run(interrupted_append(0, rival_appends))[1]


@pytest.mark.parametrize("rival", [rival_appends, rival_does_everything])
@pytest.mark.parametrize("at", range(1, CALLS + 1))
async def test_a_rival_that_runs_to_its_end_before_any_one_call_makes_no_event_double_or_lost(at, rival):
    world, _ = await interrupted_append(at, rival)
    assert "rival/0" in {parse_event(each)["id"] for each in world.expected[YEAR]}
    await world.work()
    await assert_whole(world)
    staging, referenced = await world.staging()
    assert staging == referenced
