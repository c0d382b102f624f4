"""Erasing a person with 10 and with 20,000 pictures: the request's whole way, against the raw deletes of the same.

The person lives alone in a home, with a device, a camera's login and some rows of the operation log; erasing the
person erases the home. Ours begins with the worker's message and ends when the request is done. The raw deletes know
what they look for: they find the pictures below each day and hour, and delete them in batches of 256, 8 at once; then
the items, a query and a batch a container. Pictures and our own documents are on the stub, items on the local Cosmos
DB server.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from bench.measure import ROOT, BenchError, Cost, contestant, say
from bench.on_stub import CATEGORY, asked, prepare, stubbed
from bench.result import Result
from bench.scenario import main
from bench.stub_process import StubProcess, stub
from local.processes import free_port
from local.servers import Ports, cosmos, running, settings
from shared.model import utc_text
from shared.policy_file import load
from shared.policy_terms import CosmosStore

HOME, PERSON = "home-0000", "user-1"
"""The home as the stub names it when it is the only one."""

OF_HOME = ("homes", "devices", "camera-credentials", "operation-log")
KEYS = {"users": "userId", **dict.fromkeys(OF_HOME, "homeId")}
ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Size:
    """So many pictures, of which each camera takes so many in an hour; so many repetitions."""

    pictures: int
    an_hour: int
    times: int


FULL = (Size(pictures=10, an_hour=1, times=5), Size(pictures=20_000, an_hour=60, times=3))
QUICK = (Size(pictures=10, an_hour=1, times=1), Size(pictures=500, an_hour=60, times=1))


def household() -> dict[str, list[dict[str, object]]]:
    """The items of the person and of the home, by container."""
    now = datetime.now(UTC).replace(microsecond=0)
    recent = utc_text(now - timedelta(hours=1))
    log: list[dict[str, object]] = [
        {"id": f"row-{n}", "homeId": HOME, "at": recent, "text": "front door unlocked"} for n in range(ROWS)
    ]
    return {
        "users": [{"id": PERSON, "userId": PERSON, "email": "ada@example.test", "lastActiveAt": recent}],
        "homes": [{"id": HOME, "homeId": HOME, "members": [PERSON]}],
        "devices": [{"id": "gateway", "homeId": HOME}],
        "camera-credentials": [{"id": "camera", "homeId": HOME, "lastUsedAt": recent}],
        "operation-log": log,
    }


async def containers(values: Mapping[str, str]) -> None:
    """Make the containers of the policy's items."""
    async with CosmosClient.from_connection_string(values["COSMOS_MAIN"], enable_endpoint_discovery=False) as client:
        database = await client.create_database_if_not_exists(values["COSMOS_MAIN_DATABASE"])
        for category in load(ROOT / "policy.yaml").categories:
            if isinstance(category.store, CosmosStore):
                path = PartitionKey(category.store.partition_key)
                await database.create_container_if_not_exists(category.store.container, path)


async def seed(values: Mapping[str, str]) -> None:
    """Put the household's items, or those of them that are gone."""
    async with CosmosClient.from_connection_string(values["COSMOS_MAIN"], enable_endpoint_discovery=False) as client:
        database = client.get_database_client(values["COSMOS_MAIN_DATABASE"])
        for name, items in household().items():
            for item in items:
                await database.get_container_client(name).upsert_item(item)


def once(server: StubProcess, values: Mapping[str, str], name: str, size: Size) -> Cost:
    """Seed, and let one contestant erase all of it."""
    server.fill(expired=size.pictures, kept=0, homes=1, an_hour=size.an_hour)
    asyncio.run(seed(values))
    server.forget()
    module = "bench.erase_ours" if name == "ours" else "bench.erase_raw"
    job = {"name": name, "settings": dict(values), "count": False, "request": str(uuid4())}
    job |= {"person": PERSON, "home": HOME, "container": CATEGORY, "keys": KEYS}
    cost = contestant(module, job)
    items = sum(map(len, household().values()))
    if cost.deleted != size.pictures + items:
        raise BenchError(f"{name} erased {cost.deleted} of {size.pictures + items}: {json.dumps(server.counts())}")
    asked(server)
    return cost


def run(*, quick: bool) -> list[Result]:
    """All figures; ours and the raw deletes take turns to be first."""
    found: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, stub() as server:
        program = cosmos(Path(folder), free_port())
        with running(program, Path(folder)):
            values = {**stubbed(server), "COSMOS_MAIN": settings(Ports(cosmos=program.port))["COSMOS_MAIN"]}
            prepare(server)
            asyncio.run(containers(values))
            for size in QUICK if quick else FULL:
                costs: dict[str, list[Cost]] = {"ours": [], "raw": []}
                for repetition in range(size.times):
                    for name in list(costs)[:: 1 if repetition % 2 else -1]:
                        costs[name].append(once(server, values, name, size))
                say(f"{size.pictures:,} pictures: " + ", ".join(f"{n} {c[-1].seconds:.2f} s" for n, c in costs.items()))
                found += _results(size, costs)
    return found


def _results(size: Size, costs: Mapping[str, list[Cost]]) -> list[Result]:
    found = []
    for name, each in costs.items():
        path = f"erasure/{size.pictures}/{name}"
        found.append(Result(name=path, unit="s", samples=tuple(cost.seconds for cost in each)))
        found.append(Result(name=f"{path}/cpu", unit="s CPU", samples=tuple(cost.cpu for cost in each)))
        found.append(Result(name=f"{path}/memory", unit="MB", samples=tuple(cost.peak for cost in each)))
    return found


if __name__ == "__main__":
    main(run)
