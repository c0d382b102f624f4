"""A small app for the runner's tests: each function reports its call to the test and does what the test answers.

A report is one JSON line to the port `REPORT_PORT`; the answer is one line: `succeed`, or `fail` with a text to raise.
"""

import asyncio
import json
import os
from typing import Any, List  # noqa: UP035 - the platform accepts typing.List for a batch, and not list

import azure.functions as func

app = func.FunctionApp()


class ToldToFailError(Exception):
    """The test said so."""


async def report(function: str, **seen: Any) -> None:
    """Tell the test about this call and do what it says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["REPORT_PORT"]))
    writer.write(json.dumps({"function": function, **seen}).encode() + b"\n")
    answer = (await reader.readline()).decode().strip()
    writer.close()
    if answer != "succeed":
        raise ToldToFailError(answer)


def seen(msg: func.ServiceBusMessage) -> dict[str, Any]:
    """Return what a function can see of a message."""
    return {
        "type": f"{type(msg).__module__}.{type(msg).__qualname__}",
        "body": msg.get_body().decode(),
        "message_id": msg.message_id,
        "session_id": msg.session_id,
        "subject": msg.subject,
        "delivery_count": msg.delivery_count,
        "application_properties": msg.application_properties,
        "enqueued_time_utc": msg.enqueued_time_utc.isoformat() if msg.enqueued_time_utc else None,
        "locked_until": msg.locked_until,
        "time_to_live": msg.time_to_live,
        "dead_letter_reason": msg.dead_letter_reason,
    }


@app.timer_trigger(arg_name="timer", schedule="%TICK%")
async def tick(timer: func.TimerRequest) -> None:
    """Fire every second."""
    await report("tick", past_due=timer.past_due)


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def yearly(timer: func.TimerRequest) -> None:
    """Fire hardly ever by itself; a synchronous handler."""
    asyncio.run(report("yearly", past_due=timer.past_due))


@app.service_bus_queue_trigger(arg_name="msg", queue_name="%SINGLE%", connection="ServiceBus", data_type="binary")
async def single(msg: func.ServiceBusMessage) -> None:
    """Take a message."""
    await report("single", **seen(msg))


@app.service_bus_queue_trigger(
    arg_name="msg", queue_name="batch", connection="ServiceBus", data_type="binary", cardinality="many"
)
async def batch(msg: List[func.ServiceBusMessage]) -> None:  # noqa: UP006 - see the import
    """Take a batch."""
    await report("batch", messages=[seen(one) for one in msg])


@app.service_bus_queue_trigger(
    arg_name="msg", queue_name="batch/$deadletterqueue", connection="ServiceBus", data_type="binary"
)
async def again(msg: func.ServiceBusMessage) -> None:
    """Take a dead letter of the batches."""
    await report("again", **seen(msg))


@app.service_bus_queue_trigger(
    arg_name="msg", queue_name="sessions", connection="ServiceBus", data_type="binary", is_sessions_enabled=True
)
async def session(msg: func.ServiceBusMessage) -> None:
    """Take a message of a session."""
    await report("session", **seen(msg))


@app.service_bus_queue_trigger(arg_name="msg", queue_name="returns", connection="ServiceBus", data_type="binary")
async def returns(msg: func.ServiceBusMessage) -> str:
    """Return a value, for which there is no binding."""
    await report("returns", **seen(msg))
    return "nobody wants this"
