"""What the triggers of role pipeline need besides: its one Product in this process, and the parking of a bad message.

No message is parked for a fault of ours: a setting that is missing fails the invocation, which the host repeats.
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager

import azure.functions as func

from functions.host import beating, config
from shared import messages
from shared.clock import utc_now
from shared.connections import shared
from shared.errors import PermanentError
from shared.wiring import Product

log = logging.getLogger("retention.functions")


async def product() -> Product:
    """The one Product of this process."""
    return await shared(Product, config())


def heartbeat(timer: str) -> AbstractAsyncContextManager[Product]:
    """It, for one firing of a timer."""
    return beating(timer, product)


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
