"""Requests: the intake of queue `requests`, and the worker of session queue `requests-work`."""

from __future__ import annotations

import azure.functions as func

from functions.host import park, product
from shared import messages
from shared.errors import PermanentError

bp = func.Blueprint()


@bp.service_bus_queue_trigger(
    arg_name="msg", connection="ServiceBus", queue_name="requests", data_type=func.DataType.BINARY
)
async def requests_intake(msg: func.ServiceBusMessage) -> None:
    """Take one request in: recorded and forwarded, or recorded and parked."""
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
        order = messages.parse(msg.get_body())
        if not isinstance(order, messages.Work):
            raise messages.MessageError("retention.type: this queue takes work messages only")
        await app.eraser.carry_out(order, hurry=app.hurry())
    except PermanentError as error:
        await park(app, msg, queue="requests-work", error=error)
