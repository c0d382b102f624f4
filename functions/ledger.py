"""The ledger: append on the doorbell; seal, publish, retire by timer. The only functions that hold the signing key."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from secrets import token_hex
from typing import List  # noqa: UP035 - the host accepts this spelling of a batch only

import azure.functions as func

from functions import telemetry
from functions.host import beating, config, told
from shared.clock import utc_now
from shared.connections import shared
from shared.each import each
from shared.ledger.log import append, logs, years
from shared.ledger.publish import publish
from shared.ledger.seal import seal
from shared.ledger.wiring import LedgerProduct
from shared.messages import doorbell

bp = func.Blueprint()
log = logging.getLogger("retention.ledger")
RING_SECONDS = 30  # half the lock of queue `ledger`


async def product() -> LedgerProduct:
    """The one of this process."""
    return await shared(LedgerProduct, config())


def heartbeat(timer: str) -> AbstractAsyncContextManager[LedgerProduct]:
    """It, for one firing of a timer."""
    return beating(timer, product)


@bp.service_bus_queue_trigger(
    arg_name="rings",
    connection="ServiceBus",
    queue_name="ledger",
    cardinality=func.Cardinality.MANY,
    data_type=func.DataType.BINARY,
)
@told("ledger_append")
async def ledger_append(rings: List[func.ServiceBusMessage]) -> None:  # noqa: UP006 - as above
    """Append every settled journal. What the ring says does not matter: the journals themselves are read.

    The batch's lock is not renewed, so what does not fit half of it is left to another ring.
    """
    del rings
    app = await product()
    hurry = app.hurry(RING_SECONDS)

    async def step(year: str) -> None:
        await app.retirement.refuse_anew(year, utc_now())
        while (await append(app.ledger, year, commits=1)).more:
            if hurry():
                await app.queue("ledger").send(doorbell("more"), message_id=token_hex(16))
                return

    await each(await years(app.ledger), step, log=log, say=_name)


@bp.service_bus_queue_trigger(
    arg_name="rings",
    connection="ServiceBus",
    queue_name="ledger/$deadletterqueue",
    cardinality=func.Cardinality.MANY,
    data_type=func.DataType.BINARY,
)
@told("ledger_dead")
async def ledger_dead(rings: List[func.ServiceBusMessage]) -> None:  # noqa: UP006 - as above
    """Drop rings that failed ten times: the journals wait all the same, the watch rings again, and status tells it."""
    log.warning("%d rings of the doorbell were dead letters", len(rings))


@bp.timer_trigger(arg_name="timer", schedule="15 * * * * *")
async def ledger_seal(timer: func.TimerRequest) -> None:
    """Every minute: sign each log that grew."""
    del timer
    async with heartbeat("ledger_seal") as app:
        await each(await logs(app.ledger), lambda year: seal(app.ledger, year, app.signer(year)), log=log, say=_name)


@bp.timer_trigger(arg_name="timer", schedule="20 * * * * *")
async def ledger_publish(timer: func.TimerRequest) -> None:
    """Every minute: send what was sealed to topic `audit`, and count it for monitoring."""
    del timer
    async with heartbeat("ledger_publish") as app, telemetry.flushed():
        await each(
            await logs(app.ledger),
            lambda year: publish(app.ledger, year, app.topic(), tell=telemetry.published),
            log=log,
            say=_name,
        )


@bp.timer_trigger(arg_name="timer", schedule="0 10 3 * * *")
async def ledger_retire(timer: func.TimerRequest) -> None:
    """Every night: drop the logs of years whose period is over."""
    del timer
    async with heartbeat("ledger_retire") as app:
        await app.retirement.retire_all()


def _name(year: str) -> str:
    return f"log {year}"
