"""How expired pictures go without us: a script's loop, and the SDK at its best. Nothing of the product is imported.

- `loop`: list with the SDK, delete one after the other.
- `raw`: names only, batches of 256, many at once, no condition, no evidence.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from azure.storage.blob import BlobServiceClient as SyncService
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from bench.measure import Meter, compete

BATCH = 256
PAGE = 5_000
ACCEPTED = 202


async def loop(job: Mapping[str, Any], meter: Meter) -> int:
    """List, and delete each."""
    deleted = 0
    with SyncService.from_connection_string(job["settings"]["BLOB_DATA"]) as service:
        container = service.get_container_client(job["container"])
        container.get_container_properties()
        with meter.running():
            for blob in container.list_blobs():
                container.delete_blob(blob.name, delete_snapshots="include")
                deleted += 1
    return deleted


async def raw(job: Mapping[str, Any], meter: Meter) -> int:
    """Batches, as many at once as the job says, while the listing goes on."""
    async with BlobServiceClient.from_connection_string(job["settings"]["BLOB_DATA"]) as service:
        container = service.get_container_client(job["container"])
        await container.get_container_properties()
        with meter.running():
            return await raw_deletes(container, job["prefixes"], job["concurrency"])


async def raw_deletes(container: ContainerClient, prefixes: list[str], most: int) -> int:
    """Delete all below the prefixes in batches, at most so many at once; returns how many the service deleted."""
    gate, deleted = asyncio.Semaphore(most), 0
    waiting: list[asyncio.Task[None]] = []

    async def batch(names: list[str]) -> None:
        nonlocal deleted
        async with gate:
            parts = await container.delete_blobs(
                *names, delete_snapshots="include", raise_on_any_failure=False, raw_request_hook=plain_boundary
            )
            gone = len([part async for part in parts if part.status_code == ACCEPTED])
        deleted += gone

    names: list[str] = []

    async def listed(prefix: str) -> None:
        async for page in container.list_blob_names(name_starts_with=prefix, results_per_page=PAGE).by_page():
            names.extend([name async for name in page])
            while len(names) >= BATCH:
                waiting.append(asyncio.create_task(batch(names[:BATCH])))
                del names[:BATCH]

    for start in range(0, len(prefixes), most):
        await asyncio.gather(*map(listed, prefixes[start : start + most]))
    if names:
        waiting.append(asyncio.create_task(batch(names)))
    await asyncio.gather(*waiting)
    return deleted


def plain_boundary(request: Any) -> None:
    """Give the SDK's batch a boundary without `=`, which it leaves unquoted: Azurite and the stub refuse that."""
    http = request.http_request
    found = re.search(r"boundary=(\S+)", http.headers.get("Content-Type", ""))
    if found and "=" in found[1]:
        plain = "batch_" + found[1].strip("=")
        http.headers["Content-Type"] = f"multipart/mixed; boundary={plain}"
        http.data = http.data.replace(found[1].encode(), plain.encode())
        http.headers["Content-Length"] = str(len(http.data))


if __name__ == "__main__":
    asyncio.run(compete({"loop": loop, "raw": raw}))
