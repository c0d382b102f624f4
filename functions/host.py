"""What every trigger needs, in either role: settings, a log line for what fails, heartbeats, a pause.

Nothing is connected at import. A setting that is missing fails the invocation, which the host repeats.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from shared.config import Config, load
from shared.errors import TransientError, named
from shared.liveness import Heartbeats

log = logging.getLogger("retention.functions")
PAUSE_SECONDS = 30  # before a dead letter comes again: its queue has no delivery limit, and no pause of its own
PLACES = 8  # of a traceback, the last ones
logging.getLogger("azure").setLevel(logging.WARNING)  # at INFO the SDKs log each URL, and with it records' names


def config() -> Config:
    """The settings, from the environment."""
    return load(os.environ)


@asynccontextmanager
async def told(function: str) -> AsyncIterator[None]:
    """Log what fails a function, and where: a host that sends OpenTelemetry passes on no error of a worker's.

    Where a store asked for a wait, that is kept first: the host brings the message again at once.
    Not the traceback itself: its last line is the error's text, which may quote anything where the error is not ours.
    """
    try:
        yield
    except Exception as error:
        places = [f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)]
        log.error("function %s failed: %s, at %s", function, named(error), " < ".join(reversed(places[-PLACES:])))  # noqa: TRY400 - as above
        if isinstance(error, TransientError) and error.retry_after:
            await asyncio.sleep(min(error.retry_after, PAUSE_SECONDS))
        raise


class Beating(Protocol):
    """A product whose timers leave heartbeats."""

    @property
    def heartbeats(self) -> Heartbeats:
        """The heartbeats."""


App = TypeVar("App", bound=Beating)


@asynccontextmanager
async def beating(timer: str, product: Callable[[], Awaitable[App]]) -> AsyncIterator[App]:
    """The role's product for one firing of a timer; a heartbeat tells that it ended well, by the store's clock."""
    async with told(timer):
        app = await product()
        yield app
        await app.heartbeats.timer(timer, await app.heartbeats.objects.now())


@asynccontextmanager
async def unhurried() -> AsyncIterator[None]:
    """Let what fails come again after a pause: for dead letters, which nothing else slows down."""
    try:
        yield
    except Exception:
        await asyncio.sleep(PAUSE_SECONDS)
        raise
