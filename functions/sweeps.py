"""The planner's timer, and the worker of queue `sweeps` and of its dead letters."""

from __future__ import annotations

import azure.functions as func

from functions.host import told, unhurried
from functions.pipeline import heartbeat, park, product
from shared import messages
from shared.clock import utc_now
from shared.dead_letters import SWEEPS
from shared.errors import PermanentError

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="0 * * * * *")
async def planner(timer: func.TimerRequest) -> None:
    """Every minute: start the runs that are due, send unfinished slices again, close finished runs."""
    del timer
    async with heartbeat("planner") as app:
        await app.planner.tick()


@bp.service_bus_queue_trigger(
    arg_name="msg", connection="ServiceBus", queue_name="sweeps", data_type=func.DataType.BINARY
)
@told("sweep")
async def sweep(msg: func.ServiceBusMessage) -> None:
    """Sweep one slice, or as much of it as the time budget allows. An exception has the message redelivered."""
    app = await product()
    try:
        order = messages.parse(msg.get_body(), now=utc_now())
        if not isinstance(order, messages.SliceOrder):
            raise messages.MessageError("retention.type: this queue takes slice messages only")
        await app.sweeps.sweep(order, hurry=app.hurry())
    except PermanentError as error:
        await park(app, msg, queue="sweeps", error=error)


@bp.service_bus_queue_trigger(
    arg_name="msg", connection="ServiceBus", queue_name="sweeps/$deadletterqueue", data_type=func.DataType.BINARY
)
@told("sweeps_dead")
async def sweeps_dead(msg: func.ServiceBusMessage) -> None:
    """Park the message of a slice whose worker failed ten times, unless the slice is done meanwhile."""
    async with unhurried():
        app = await product()
        await app.dead_letters.take(msg.get_body(), queue=SWEEPS, message_id=msg.message_id or "")
