"""What one contestant cost, measured in a process of its own: time, CPU, memory; requests in a run apart.

A job is a line of JSON on a contestant's standard input, its cost a line on its output. What happens before the clock
starts (imports, connecting) is not in it. Requests are counted by the clients' own log of them, which costs CPU: so a
run that counts is not a run that is timed.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.result import Result

ROOT = Path(__file__).parents[1]


class BenchError(Exception):
    """A contestant failed, or did not do what it is measured for. No figure is made of it."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some work cost: wall clock and CPU seconds, the process's peak memory in MB, requests to stores."""

    seconds: float
    cpu: float
    peak: float
    requests: int
    deleted: int


@dataclass(kw_only=True)
class Meter:
    """What is measured so far. `counting`: requests are counted, and the times mean nothing."""

    counting: bool
    seconds: float = 0.0
    cpu: float = 0.0
    requests: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure what is done in here; several times add up."""
        if self.counting:
            from docs.counting import QUEUES, Seen, listening  # noqa: PLC0415 - it imports the product, which costs memory

            seen = Seen()
            with listening(seen):
                yield
            self.requests += sum(number for kind, number in seen.counts.items() if kind not in {"line", *QUEUES})
            return
        began, began_cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - began
        self.cpu += time.process_time() - began_cpu

    def cost(self, deleted: int) -> Cost:
        """All of it."""
        return Cost(seconds=self.seconds, cpu=self.cpu, peak=peak(), requests=self.requests, deleted=deleted)


def peak() -> float:
    """The most memory that this process ever had resident, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


def contestant(module: str, job: Mapping[str, Any]) -> Cost:
    """Let a contestant do a job in a process of its own. Raises BenchError."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", module], input=json.dumps(job), capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise BenchError(f"{module} failed:\n{done.stderr[-2000:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


Works = Mapping[str, Callable[[Mapping[str, Any], Meter], Coroutine[Any, Any, int]]]
"""By name: do the job, measured by the meter; returns how many records were deleted."""


async def compete(works: Works) -> None:
    """A contestant's main: read the job, do it, print its cost."""
    job = json.load(sys.stdin)
    meter = Meter(counting=job["count"])
    cost = meter.cost(await works[job["name"]](job, meter))
    sys.stdout.write(json.dumps(asdict(cost)) + "\n")


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def results(prefix: str, costs: Mapping[str, list[Cost]], *, suffix: str = "") -> list[Result]:
    """The figures of each contestant: records/s, CPU ms for each record, peak memory; a sample each repetition."""
    found = []
    for name, each in costs.items():
        path = f"{prefix}/{name}{suffix}"
        rates = tuple(cost.deleted / cost.seconds for cost in each)
        found.append(Result(name=path, unit="records/s", samples=rates))
        if any(cost.cpu for cost in each):
            cpu = tuple(1000 * cost.cpu / cost.deleted for cost in each)
            found.append(Result(name=f"{path}/cpu", unit="ms CPU/record", samples=cpu))
        if any(cost.peak for cost in each):
            found.append(Result(name=f"{path}/memory", unit="MB", samples=tuple(cost.peak for cost in each)))
    return found
