"""A listing is one page ahead of the unit at the gate: one, never more, and nobody is told of it before its turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from orders import LOG, pause, resume, rows
from promises import assert_whole
from world import World

from shared import messages
from shared.errors import PermanentError, TransientError
from shared.runs import SliceProgress
from shared.stores.concurrency import one_ahead
from shared.stores.interface import Page


class Listing:
    """Pages 0 to 4, each after a turn of the loop: which were begun, and whether the listing was closed."""

    def __init__(self, *, fails_at: int | None = None, stuck_at: int | None = None) -> None:
        self.begun: list[int] = []
        self.closed = False
        self.fails_at = fails_at
        self.stuck_at = stuck_at

    async def pages(self) -> AsyncIterator[int]:
        try:
            for page in range(5):
                self.begun.append(page)
                await asyncio.sleep(3600 if page == self.stuck_at else 0)
                if page == self.fails_at:
                    raise TransientError("no answer")
                yield page
        finally:
            self.closed = True


async def a_while() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_next_page_comes_while_one_is_worked_on_and_never_one_more():
    listing = Listing()
    seen = []
    async for page in one_ahead(listing.pages()):
        await a_while()
        seen.append((page, len(listing.begun)))
    assert seen == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 5)]
    assert listing.closed


async def test_the_error_of_a_page_is_raised_when_it_is_its_turn():
    seen = []

    async def work() -> None:
        async for page in one_ahead(Listing(fails_at=2).pages()):
            await a_while()
            seen.append(page)

    with pytest.raises(TransientError):
        await work()
    assert seen == [0, 1]


@pytest.mark.parametrize("listing", [Listing(), Listing(fails_at=1), Listing(stuck_at=1)])
async def test_who_stops_drops_the_page_ahead_whatever_becomes_of_it(listing: Listing):
    async with asyncio.timeout(5), aclosing(one_ahead(listing.pages())) as pages:
        async for _ in pages:
            await a_while()
            break
    assert listing.begun == [0, 1]
    assert listing.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


# ---------------------------------------------------------------- in a sweep

PAGES = 5


class Swept:
    """Ten rows that are due, in one slice and units of two; `meanwhile` happens at the gate, the next page listed."""

    def __init__(self, *, fails_at: int = 0) -> None:
        self.world = World()
        rows(self.world, 2 * PAGES)
        stores = dict.fromkeys(self.world.sweeps.stores, self)
        self.sweeps = replace(self.world.sweeps, stores=stores, gate=replace(self.world.gate, stores=stores))
        self.fails_at = fails_at
        self.listed = self.units = 0
        self.ahead: list[int] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def expired(self, *given: Any, **more: Any) -> AsyncIterator[Page]:
        async for page in self.world.records.expired(*given, **more):
            self.listed += 1
            if self.listed == self.fails_at:
                raise TransientError("no answer")
            yield page

    async def delete(self, *given: Any, **more: Any) -> Any:
        self.units += 1
        await a_while()
        self.ahead.append(self.listed - self.units)
        if self.meanwhile:
            await self.meanwhile()
        return await self.world.records.delete(*given, **more)

    async def sweep(self, *, hurry: bool = False) -> SliceProgress:
        await replace(self.world.planner, most_slices=1).tick(only=(LOG,))
        [sent] = self.world.queues["sweeps"].messages
        order = messages.parse(sent.body, now=self.world.now)
        self.world.queues["sweeps"].messages.clear()
        return await self.sweeps.sweep(order, hurry=lambda: hurry)

    async def progress(self) -> SliceProgress:
        run = (await self.world.runs.current(LOG)).value.run
        return (await self.world.runs.progress(LOG, run, 0)).value


async def test_while_a_unit_is_at_the_gate_one_page_is_listed_and_no_second():
    swept = Swept()
    progress = await swept.sweep()
    assert swept.ahead == [1, 1, 1, 1, 0]
    assert (progress.done, progress.outcomes) == (True, {"erased": 2 * PAGES})


async def test_a_pause_at_the_gate_drops_the_page_that_is_listed():
    swept = Swept()
    swept.meanwhile = lambda: pause(swept.world)
    progress = await swept.sweep()
    assert (swept.units, swept.listed) == (1, 2)
    assert (progress.done, progress.expired, progress.begun) == (False, 2, 2)
    swept.meanwhile = None
    await resume(swept.world)
    await swept.world.rest()
    assert swept.world.keys(LOG) == []
    await assert_whole(swept.world)


async def test_a_worker_without_time_drops_the_page_that_is_listed_and_the_next_lists_it_again():
    swept = Swept()
    progress = await swept.sweep(hurry=True)
    assert (swept.units, swept.listed, progress.expired) == (1, 2, 2)
    await swept.world.rest()
    assert swept.world.keys(LOG) == []
    await assert_whole(swept.world)


async def test_a_page_ahead_that_cannot_be_listed_takes_nothing_from_the_unit_before():
    swept = Swept(fails_at=3)
    with pytest.raises(TransientError):
        await swept.sweep()
    progress = await swept.progress()
    assert (progress.expired, progress.intent, progress.done) == (4, "", False)
    assert len(swept.world.keys(LOG)) == 2 * PAGES - 4


async def test_an_error_at_the_gate_drops_the_page_that_is_listed():
    swept = Swept()

    async def fail() -> None:
        raise PermanentError("no connection")

    swept.meanwhile = fail
    progress = await swept.sweep()
    assert (swept.listed, progress.done, progress.strange) == (2, True, {"cannot be swept": 1})
    assert len(swept.world.keys(LOG)) == 2 * PAGES
    assert asyncio.all_tasks() == {asyncio.current_task()}
