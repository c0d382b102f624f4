"""The product on the stub of the Blob service: its settings, its containers, one sweep in a process of its own.

The stub answers at once and holds the pictures and the product's own documents; the doorbell is in memory. What Azurite
is too slow for is measured here: to put 200,000 pictures there takes longer than everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bench.measure import BenchError, Cost, contestant
from bench.servers import own_containers
from bench.stub_process import StubProcess
from local.servers import Ports, settings

CATEGORY = "camera-snapshots"
NOT_ASKED = ("deletes in batches",)
"""What the stub counts that is no request: the parts of batches."""


def stubbed(server: StubProcess, **more: str) -> Mapping[str, str]:
    """The settings that reach the stub, with nothing but Blob storage; `more` of the product's own."""
    values = settings(Ports(blob=server.port))
    for name in ("COSMOS_MAIN", "ServiceBus"):
        del values[name]
    return {**values, "RETENTION_CAP": "1000000", "RETENTION_CAP_FLOOR": "1000000", **more}


def prepare(server: StubProcess) -> None:
    """Make the product's own containers."""
    asyncio.run(own_containers(settings(Ports(blob=server.port))))


def asked(server: StubProcess) -> int:
    """How many requests came since they were last forgotten. Raises BenchError where one was not modelled."""
    counts = server.counts()
    if strange := [kind for kind in counts if "NotModelled" in kind or "NotImplemented" in kind]:
        raise BenchError(f"the stub does not model what was asked: {strange}")
    return sum(number for kind, number in counts.items() if kind not in NOT_ASKED)


def swept(server: StubProcess, expired: int, kept: int, **shape: int) -> tuple[Cost, int]:
    """Plan and sweep on a container filled anew: the cost, and the requests that came."""
    server.fill(expired=expired, kept=kept, **shape)
    server.forget()
    job = {"name": "ours", "settings": dict(stubbed(server)), "category": CATEGORY, "count": False}
    cost = contestant("bench.ours", job)
    if cost.deleted != expired:
        raise BenchError(f"{cost.deleted} of {expired} were deleted")
    return cost, asked(server)
