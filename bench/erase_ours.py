"""Erase a person as a request does: taken in before the clock starts, worked on until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bench.measure import BenchError, Meter, compete
from bench.pipeline import Measured
from shared import messages
from shared.clock import utc_now
from shared.config import Config
from shared.message_forms import Erase
from shared.requests.documents import State


async def ours(job: Mapping[str, Any], meter: Meter) -> int:
    """Take the request in, work on it; returns how many records were erased. Raises BenchError if it is not done."""
    async with Measured(Config(values=job["settings"])) as product:
        who = {"requested_by": "the bench", "identity_verified_by": "the bench"}
        body = {"version": 1, "type": "erase", "id": job["request"], "subject": {"user_id": job["person"]}, **who}
        await product.intake.take(Erase.model_validate(body))
        [body_of_work] = product.caught["requests-work"].bodies
        order = messages.parse(body_of_work, now=utc_now())
        if not isinstance(order, messages.Work):
            raise BenchError("intake sent no work")
        with meter.running():
            await product.eraser.carry_out(order, hurry=lambda: False)
        held = await product.requests.load(job["request"])
    if held is None or held.value.state is not State.DONE:
        raise BenchError(f"the request is not done: {held.value.reason if held else 'none'}")
    return sum(number for of in held.value.outcomes().values() for name, number in of.items() if name == "erased")


if __name__ == "__main__":
    asyncio.run(compete({"ours": ours}))
