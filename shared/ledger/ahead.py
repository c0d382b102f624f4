"""Some store calls at once, their answers in order: how the log reads and writes many small objects."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

AT_ONCE = 16


async def _each(work: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(work, AsyncIterable):
        async for item in work:
            yield item
    else:
        for item in work:
            yield item


async def ahead(
    work: Iterable[Coroutine[Any, Any, T]] | AsyncIterable[Coroutine[Any, Any, T]], *, at_once: int = AT_ONCE
) -> AsyncGenerator[T, None]:
    """Yield the results of the calls in their order, with at most `at_once` under way.

    `work` is consumed lazily. The first error is raised where its result would stand; calls under way are then
    cancelled, which leaves them unknown: callers repeat them. Close it (`contextlib.aclosing`) when leaving early.
    """
    under_way: deque[asyncio.Task[T]] = deque()
    try:
        async for call in _each(work):
            under_way.append(asyncio.create_task(call))
            if len(under_way) >= at_once:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def do_all(
    work: Iterable[Coroutine[Any, Any, object]] | AsyncIterable[Coroutine[Any, Any, object]],
) -> None:
    """Do all, some at once; raise the first error."""
    async for _ in ahead(work):
        pass
