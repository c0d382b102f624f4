"""The ledger: append on the doorbell, seal and publish by timer. The only functions that hold the signing key."""

from __future__ import annotations

from typing import List  # noqa: UP035 - the host accepts this spelling of a batch only

import azure.functions as func

from functions.host import product
from shared.ledger.log import append, years
from shared.ledger.publish import publish
from shared.ledger.seal import seal

bp = func.Blueprint()


@bp.service_bus_queue_trigger(
    arg_name="rings",
    connection="ServiceBus",
    queue_name="ledger",
    cardinality=func.Cardinality.MANY,
    data_type=func.DataType.BINARY,
)
async def ledger_append(rings: List[func.ServiceBusMessage]) -> None:  # noqa: UP006 - as above
    """Append every settled journal. What the ring says does not matter: the journals themselves are read."""
    del rings
    app = await product()
    for year in await years(app.ledger):
        await append(app.ledger, year)


@bp.timer_trigger(arg_name="timer", schedule="15 * * * * *")
async def ledger_seal(timer: func.TimerRequest) -> None:
    """Every minute: sign the log if it grew."""
    del timer
    app = await product()
    for year in await years(app.ledger):
        await seal(app.ledger, year, app.signer(year))


@bp.timer_trigger(arg_name="timer", schedule="20 * * * * *")
async def ledger_publish(timer: func.TimerRequest) -> None:
    """Every minute: send what was sealed to topic `audit`."""
    del timer
    app = await product()
    for year in await years(app.ledger):
        await publish(app.ledger, year, app.topic())
