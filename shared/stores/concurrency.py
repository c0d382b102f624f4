"""Bounded concurrency: run coroutines with at most N of them at once, answers in the order asked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
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
