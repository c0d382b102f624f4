"""Requests: the intake of queue `requests`, the worker of session queue `requests-work`, and their dead letters."""

from __future__ import annotations

import azure.functions as func

from functions.host import told, unhurried
from functions.pipeline import heartbeat, park, product
from shared import messages
from shared.clock import utc_now
from shared.dead_letters import WORK
from shared.errors import PermanentError

bp = func.Blueprint()


@bp.service_bus_queue_trigger(
    arg_name="msg", connection="ServiceBus", queue_name="requests", data_type=func.DataType.BINARY
)
@told("requests_intake")
async def requests_intake(msg: func.ServiceBusMessage) -> None:
    """Take one request in: recorded and forwarded, or recorded and parked."""
    await _take_in(msg)


@bp.service_bus_queue_trigger(
    arg_name="msg", connection="ServiceBus", queue_name="requests/$deadletterqueue", data_type=func.DataType.BINARY
)
@told("requests_again")
async def requests_again(msg: func.ServiceBusMessage) -> None:
    """Take a request in that `requests_intake` failed to take in ten times, again and again until it is recorded."""
    async with unhurried():
        await _take_in(msg)


async def _take_in(msg: func.ServiceBusMessage) -> None:
    app = await product()
    try:
        await app.door.receive(msg.get_body())
    except PermanentError as error:
        await park(app, msg, queue="requests", error=error)


@bp.service_bus_queue_trigger(
    arg_name="msg",
    connection="ServiceBus",
    queue_name="requests-work",
    is_sessions_enabled=True,
    data_type=func.DataType.BINARY,
)
@told("requests_work")
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


@bp.service_bus_queue_trigger(
    arg_name="msg",
    connection="ServiceBus",
    queue_name="requests-work/$deadletterqueue",  # it has no sessions
    data_type=func.DataType.BINARY,
)
@told("work_dead")
async def work_dead(msg: func.ServiceBusMessage) -> None:
    """Park the message of a request whose worker failed ten times, unless the request is finished meanwhile."""
    async with unhurried():
        app = await product()
        await app.dead_letters.take(msg.get_body(), queue=WORK, message_id=msg.message_id or "")


@bp.timer_trigger(arg_name="timer", schedule="5 */15 * * * *")
async def requests_close(timer: func.TimerRequest) -> None:
    """Every 15 minutes: close requests of which no older backup is left, with their receipts."""
    del timer
    async with heartbeat("requests_close") as app:
        await app.closer.close_due()
