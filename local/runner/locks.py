"""Keeps the lock of a message or of a session while it is worked on."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

from local.runner.invocation import describe

_log = logging.getLogger("runner")
_SHORTEST_WAIT_SECONDS = 0.5


@contextlib.asynccontextmanager
async def lock_kept(
    renew: Callable[[], Awaitable[object]], locked_until: Callable[[], datetime], allowed: Callable[[], bool]
) -> AsyncIterator[None]:
    """Renew the lock each time that half of it has passed, while inside and as long as `allowed()`."""
    done = asyncio.Event()
    renewal = asyncio.create_task(_renew(done, renew, locked_until, allowed))
    try:
        yield
    finally:
        # Not cancelled: a request cut off on the wire would leave the link in an unknown state.
        done.set()
        await renewal


async def _renew(
    done: asyncio.Event,
    renew: Callable[[], Awaitable[object]],
    locked_until: Callable[[], datetime],
    allowed: Callable[[], bool],
) -> None:
    while True:
        left = (locked_until() - datetime.now(UTC)).total_seconds()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), max(left / 2, _SHORTEST_WAIT_SECONDS))
            return
        if not allowed():
            return
        try:
            await renew()
        except Exception as error:  # noqa: BLE001 - the SDK raises many kinds; a lost lock shows when we settle
            _log.warning("a lock was not renewed: %s", describe(error))
            return
