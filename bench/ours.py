"""Ours: the planner and the sweeps with journal, holds, keys, events and doorbell, measured in a process of its own.

`ours-planned` measures the sweeps alone; `ours-unlogged` keeps the documents in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bench.measure import BenchError, Meter, compete
from bench.pipeline import Measured, Unlogged
from shared.config import Config


async def ours(job: Mapping[str, Any], meter: Meter, *, plan: bool = True, kind: type[Measured] = Measured) -> int:
    """Plan and sweep, as the functions do; every record must be erased by us."""
    async with kind(Config(values=job["settings"])) as product:
        await product.warm(job["category"])
        if not plan:
            await product.plan(job["category"])
        with meter.running():
            if plan:
                await product.plan(job["category"])
            outcomes = await product.sweep()
        await product.plan(job["category"])  # closes the run
    if set(outcomes) - {"erased"}:
        raise BenchError(f"outcomes: {dict(outcomes)}")
    return outcomes["erased"]


async def ours_planned(job: Mapping[str, Any], meter: Meter) -> int:
    """The sweeps alone."""
    return await ours(job, meter, plan=False)


async def ours_unlogged(job: Mapping[str, Any], meter: Meter) -> int:
    """Without durable documents."""
    return await ours(job, meter, kind=Unlogged)


if __name__ == "__main__":
    asyncio.run(compete({"ours": ours, "ours-planned": ours_planned, "ours-unlogged": ours_unlogged}))
