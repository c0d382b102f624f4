"""What every trigger needs: settings, the one Product of this process, heartbeats, the parking of a bad message.

Nothing is connected at import. A setting that is missing fails the invocation, which the host repeats: no message is
parked for a fault of ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import azure.functions as func

from shared import messages
from shared.config import Config, load
from shared.errors import PermanentError, TransientError, named
from shared.wiring import Product, shared_product, utc_now

log = logging.getLogger("retention.functions")
PAUSE_SECONDS = 30  # before a dead letter comes again: its queue has no delivery limit, and no pause of its own
PLACES = 8  # of a traceback, the last ones
logging.getLogger("azure").setLevel(logging.WARNING)  # at INFO the SDKs log each URL, and with it records' names


def config() -> Config:
    """The settings, from the environment."""
    return load(os.environ)


async def product() -> Product:
    """The one Product of this process."""
    return await shared_product(config())


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


@asynccontextmanager
async def heartbeat(timer: str) -> AsyncIterator[Product]:
    """The Product for one firing of a timer, of which a heartbeat tells when it ends well, by the store's clock."""
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


async def park(app: Product, msg: func.ServiceBusMessage, *, queue: str, error: PermanentError) -> None:
    """Record a message that can never succeed, with its event, and raise the alarm; the host then completes it."""
    body = msg.get_body()
    log.error("ALARM a message on %s was parked: %s", queue, error)
    await app.parking.park(
        body,
        queue=queue,
        message_id=msg.message_id or "",
        reason=str(error),
        request=messages.request_id_of(body),
        now=utc_now(),
    )
