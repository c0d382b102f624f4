"""One, two and four workers on one run, each a process of its own, on the stub with 20 ms before every answer.

What is asked is whether workers stand in each other's way, so each is made to wait rather than to reckon: units are
small, and nearly all of a worker's time is the 20 ms of its requests. With units of 1,000 a worker uses most of a core,
and four of them cannot be four times one on a machine with two.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

from bench.measure import ROOT, BenchError, say
from bench.on_stub import CATEGORY, asked, prepare, stubbed
from bench.pipeline import Measured
from bench.result import Result
from bench.scenario import main
from bench.stub_process import StubProcess, stub
from shared.config import Config

WORKERS = (1, 2, 4)
MILLISECONDS = 20
UNIT = 50
SLICES = 256
SHAPE = {"homes": 2, "an_hour": 1}
A_DAY = 96
"""Pictures of a day by SHAPE; a day that is over whole is a slice. The first day and the last are parts of one: dealt
in turn to one, two or four workers, those two go to the same."""


async def work(job: Mapping[str, Any], out: IO[str]) -> None:
    """A worker: say that it is ready, wait for the word, sweep its slices one after the other, say what it did."""
    async with Measured(Config(values=job["settings"])) as product:
        await product.warm(CATEGORY)
        product.caught["sweeps"].bodies = [body.encode() for body in job["orders"]]
        out.write("ready\n")
        out.flush()
        await asyncio.to_thread(sys.stdin.readline)
        outcomes = await product.sweep(at_once=1)
        out.write(f"{outcomes['erased']}\n")


async def planned(settings: Mapping[str, str]) -> list[str]:
    """Plan a run; its orders."""
    async with Measured(Config(values=settings)) as product:
        await product.plan(CATEGORY)
        return [body.decode() for body in product.caught["sweeps"].bodies]


async def finished(settings: Mapping[str, str]) -> None:
    """Let the planner close the run."""
    async with Measured(Config(values=settings)) as product:
        await product.planner.tick(only=[CATEGORY])


def measure(server: StubProcess, workers: int, records: int) -> float:
    """The seconds that so many workers take for a run. Raises BenchError."""
    server.wait(0)
    server.fill(expired=records, kept=0, **SHAPE)
    settings = dict(stubbed(server, RETENTION_UNIT=str(UNIT), RETENTION_SLICES=str(SLICES)))
    orders = asyncio.run(planned(settings))
    server.wait(MILLISECONDS)
    children = []
    for n in range(workers):
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.workers", "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        children.append(child)
        _tell(child, json.dumps({"settings": settings, "orders": orders[n::workers]}))
    try:
        if any(_hear(child) != "ready" for child in children):
            raise BenchError("a worker did not start")
        began = time.perf_counter()
        for child in children:
            _tell(child, "go")
        done = sum(int(_hear(child) or 0) for child in children)
        seconds = time.perf_counter() - began
    finally:
        for child in children:
            child.communicate()
    if done != records:
        raise BenchError(f"{done} of {records} were deleted")
    server.wait(0)
    asyncio.run(finished(settings))
    asked(server)
    return seconds


def _tell(child: subprocess.Popen[str], line: str) -> None:
    if child.stdin is not None:
        child.stdin.write(line + "\n")
        child.stdin.flush()


def _hear(child: subprocess.Popen[str]) -> str:
    return child.stdout.readline().strip() if child.stdout is not None else ""


def run(*, quick: bool) -> list[Result]:
    """All figures; the order of the numbers rotates."""
    records, times = (4 * A_DAY, 1) if quick else (16 * A_DAY, 3)
    seconds: dict[int, list[float]] = {n: [] for n in WORKERS}
    with stub() as server:
        prepare(server)
        measure(server, 1, 2 * UNIT)  # makes the homes' keys
        for repetition in range(times):
            turn = repetition % len(WORKERS)
            for workers in WORKERS[turn:] + WORKERS[:turn]:
                seconds[workers].append(measure(server, workers, records))
                say(f"{workers} at work: {records / seconds[workers][-1]:,.0f}/s")
    return [
        Result(name=f"workers/{n}", unit="records/s", samples=tuple(records / each for each in found))
        for n, found in seconds.items()
    ]


if __name__ == "__main__":
    if "--worker" in sys.argv:
        asyncio.run(work(json.loads(sys.stdin.readline()), sys.stdout))
    else:
        main(run)
