"""Bounded concurrency: coroutines with at most N of them at once, and an iteration that is one step ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def bounded(jobs: Sequence[Coroutine[Any, Any, T]], most: int) -> list[T]:
    """Run all jobs, at most `most` at once. The first exception cancels the rest and is raised."""
    gate = asyncio.Semaphore(most)

    async def run(job: Coroutine[Any, Any, T]) -> T:
        async with gate:
            return await job

    tasks = [asyncio.ensure_future(run(job)) for job in jobs]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in jobs:  # those whose task was cancelled before it ever started them
            job.close()
        raise


async def one_ahead(pages: AsyncIterator[T]) -> AsyncGenerator[T]:
    """Yield what `pages` yields, and fetch the next one while one is worked on: one, never more.

    An error of the next one is raised in its turn. Whoever stops before closes this: what was fetched is dropped.
    """
    following = asyncio.ensure_future(anext(pages, None))
    try:
        while (page := await following) is not None:
            following = asyncio.ensure_future(anext(pages, None))
            yield page
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()
