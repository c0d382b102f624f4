"""Pictures on Azurite: ours with audit on, against a loop, the vendor's command line, and the raw SDK at its best.

Same server, same pictures, at 0 and at 20 ms of added latency to every server. The order of the contestants rotates
from one repetition to the next. A loop's rate does not depend on how much it has to do: loops get fewer of the same
pictures. The command line's own start is measured by a run that finds nothing, and taken off.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from azure.storage.blob.aio import BlobServiceClient

from bench.contest import fastest, rotate
from bench.measure import ROOT, BenchError, Cost, contestant, results, say
from bench.result import Result
from bench.scenario import main
from bench.servers import servers

CATEGORY = "camera-snapshots"
AZ = ROOT / ".venv-peers" / "bin" / "az"
HOMES = 50
A_DAY = 1_000
"""Pictures of one day, of HOMES homes in turn: a unit of ours. A day that is over whole is a slice."""

LOOPS = ("loop", "az")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done: pictures for batches and for loops, repetitions, both with latency too; what raw may try."""

    many: int
    few: int
    few_delayed: int
    times: int
    times_delayed: int
    concurrency: tuple[int, ...]


FULL = Size(many=2_000, few=500, few_delayed=200, times=5, times_delayed=3, concurrency=(4, 8, 16))
QUICK = Size(many=100, few=20, few_delayed=20, times=1, times_delayed=1, concurrency=(8,))


def names(number: int) -> list[str]:
    """The names of so many pictures: all are due, those of the latest day since yesterday."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=8)
    found = []
    for n in range(number):
        at = noon + timedelta(days=-(n // A_DAY), seconds=n % A_DAY)
        found.append(f"{at:%Y-%m-%d/%H}/home-{n % HOMES:04d}/hall/{at:%H%M%S}-{n}.jpg")
    return found


async def seed(connection: str, number: int) -> None:
    """Put so many pictures into the container, which must be empty: what was measured has deleted all."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        container = service.get_container_client(CATEGORY)
        if [name async for name in container.list_blob_names()]:
            raise BenchError("a contestant left pictures behind")
        gate = asyncio.Semaphore(16)

        async def one(name: str) -> None:
            async with gate:
                await container.upload_blob(name, b"picture")

        await asyncio.gather(*map(one, names(number)))


def az(connection: str, pattern: str, folder: Path, deleted: int) -> Cost:
    """The vendor's command line: its whole run, its start included. Raises BenchError."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [str(AZ), "storage", "blob", "delete-batch", "--source", CATEGORY, "--pattern", pattern]
    command += ["--connection-string", connection, "--only-show-errors"]
    environment = {**os.environ, "AZURE_CONFIG_DIR": str(folder), "AZURE_CORE_COLLECT_TELEMETRY": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise BenchError(f"az failed:\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds=seconds, cpu=cpu, peak=0.0, requests=0, deleted=deleted)


class Contest:
    """The contestants on one set of servers."""

    def __init__(self, root: Path, near: Mapping[str, str], far: Mapping[str, str], size: Size) -> None:
        self._root, self._near, self._far, self._size = root, near, far, size
        self._concurrency = size.concurrency[0]

    def once(self, name: str, *, far: bool = False, count: bool = False, concurrency: int = 0) -> Cost:
        """Seed, and let one contestant delete all of it."""
        few = self._size.few_delayed if far else self._size.few
        number = few if name in LOOPS else self._size.many
        used = self._far if far else self._near
        asyncio.run(seed(self._near["BLOB_DATA"], number))
        if name == "az":
            folder = self._root / "az"
            start = az(used["BLOB_DATA"], "none/*", folder, 0)
            whole = az(used["BLOB_DATA"], "*", folder, number)
            if whole.seconds <= start.seconds:
                raise BenchError("the command line's start is all of its time: it has too little to do")
            return Cost(
                seconds=whole.seconds - start.seconds, cpu=whole.cpu - start.cpu, peak=0, requests=0, deleted=number
            )
        job = {"name": name, "settings": dict(used), "count": count, "category": CATEGORY, "container": CATEGORY}
        job |= {"prefixes": [""], "concurrency": concurrency or self._concurrency}
        cost = contestant("bench.ours" if name.startswith("ours") else "bench.raw_blobs", job)
        if cost.deleted != number:
            raise BenchError(f"{name} deleted {cost.deleted} of {number}")
        return cost

    def choose(self, *, far: bool) -> int:
        """Find the concurrency at which the raw SDK is fastest here: it is the raw SDK's from now on."""
        self._concurrency = fastest(self._size.concurrency, lambda n: self.once("raw", far=far, concurrency=n))
        return self._concurrency


def run(*, quick: bool) -> list[Result]:
    """All figures."""
    size = QUICK if quick else FULL
    found: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as (near, far_settings):
        contest = Contest(Path(folder), near, far_settings, size)
        contest.once("ours")  # makes the homes' keys, as the first run of a category does
        contestants = ["ours", "ours-planned", "ours-unlogged", "raw", "loop"]
        if AZ.exists() and not quick:  # what it needs to start is more than all else of a quick run
            contestants.append("az")
        elif not quick:
            say("az is not installed: run `make bench-peers`; its figure is left out")
        for latency, far, times in (("0ms", False, size.times), ("20ms", True, size.times_delayed)):
            prefix = f"blobs/{latency}"
            best = contest.choose(far=far)
            found.append(Result(name=f"{prefix}/raw/concurrency", unit="batches at once", samples=(best,)))
            if far:
                contestants = [each for each in contestants if each != "ours-planned"]
            found += results(prefix, rotate(latency, contestants, times, partial(contest.once, far=far)))
        for name in ("ours", "raw", "loop"):
            cost = contest.once(name, count=True)
            each = cost.requests / cost.deleted
            found.append(Result(name=f"blobs/{name}/requests", unit="requests/record", samples=(each,)))
    return found


if __name__ == "__main__":
    main(run)
