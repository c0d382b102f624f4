"""Requests: the intake of queue `requests` and of its dead letters, and the worker of session queue `requests-work`."""

from __future__ import annotations

import asyncio

import azure.functions as func

from functions.host import park, product
from shared import messages
from shared.errors import PermanentError
from shared.wiring import utc_now

bp = func.Blueprint()
PAUSE_SECONDS = 30  # before a dead letter comes again: its queue has no delivery limit, and no pause of its own


@bp.service_bus_queue_trigger(
    arg_name="msg", connection="ServiceBus", queue_name="requests", data_type=func.DataType.BINARY
)
async def requests_intake(msg: func.ServiceBusMessage) -> None:
    """Take one request in: recorded and forwarded, or recorded and parked."""
    await _take_in(msg)


@bp.service_bus_queue_trigger(
    arg_name="msg", connection="ServiceBus", queue_name="requests/$deadletterqueue", data_type=func.DataType.BINARY
)
async def requests_again(msg: func.ServiceBusMessage) -> None:
    """Take a request in that `requests_intake` failed to take in ten times, again and again until it is recorded."""
    try:
        await _take_in(msg)
    except Exception:
        await asyncio.sleep(PAUSE_SECONDS)
        raise


async def _take_in(msg: func.ServiceBusMessage) -> None:
    app = await product()
    try:
        await app.intake.receive(msg.get_body())
    except PermanentError as error:
        await park(app, msg, queue="requests", error=error)


@bp.service_bus_queue_trigger(
    arg_name="msg",
    connection="ServiceBus",
    queue_name="requests-work",
    is_sessions_enabled=True,
    data_type=func.DataType.BINARY,
)
async def requests_work(msg: func.ServiceBusMessage) -> None:
    """Work on one request, one worker per person or home; what does not fit the time budget goes on in another."""
    app = await product()
    try:
        order = messages.parse(msg.get_body(), now=utc_now())
        if not isinstance(order, messages.Work):
            raise messages.MessageError("retention.type: this queue takes work messages only")
        await app.eraser.carry_out(order, hurry=app.hurry())
    except PermanentError as error:
        await park(app, msg, queue="requests-work", error=error)
