"""The gate on an account that keeps versions: whatever crashes where, no copy is left behind and no event is untrue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from blob_stand_in import served
from world import World, home_of, outcomes

from local.azure.account import Account, Settings
from local.azure.blob_server import BlobServer
from shared.deletion import Gate
from shared.errors import TransientError
from shared.model import Record, RequestCause
from shared.stores.blob_records import BlobRecords

CAUSE = RequestCause(request="7b0ecf63-3a62-4c7d-9d65-6f9e8f0f1c11", scope=home_of("birkeveien"))
PICTURES = "camera-snapshots"


@dataclass(kw_only=True)
class Versioned:
    """A world whose pictures are in an account that keeps versions, three of each picture."""

    world: World
    account: Account
    gate: Gate
    todo: list[Record]

    def copies(self) -> int:
        return sum(len(list(blob.copies())) for blob in self.account.containers[PICTURES].blobs.values())

    async def said(self) -> dict[str, int]:
        """What the log says once the watch has done its work."""
        await self.world.rest()
        return dict(outcomes(await self.world.events()))


@pytest.fixture
async def versioned() -> AsyncIterator[Versioned]:
    account = Account(settings=Settings(versioning=True, soft_delete_days=7, permanent_delete=True))
    async with served(BlobServer(account), retry_total=0) as service:
        container = await service.create_container(PICTURES)
        for number in range(2):
            for _ in range(3):
                name = f"2026-02-28/10/birkeveien/hall/1000{number:02}-a.jpg"
                await container.upload_blob(name, b"picture", overwrite=True)
        records = BlobRecords(service=service, account="data")
        world = World(sweeping=False)
        category = world.policy.category(PICTURES)
        pages = [page async for page in records.of_scope(category, home_of("birkeveien"), size=10)]
        gate = world.gate
        gate.stores["blob/data"] = records
        todo = [record for page in pages for record in page.records]
        assert len(todo) == 2
        yield Versioned(world=world, account=account, gate=gate, todo=todo)


async def test_an_undisturbed_deletion_leaves_no_copy_and_says_erased(versioned: Versioned) -> None:
    await versioned.gate.delete(versioned.todo, CAUSE)
    assert versioned.copies() == 0
    assert await versioned.said() == {"erased": 2}


@pytest.mark.parametrize("operation", ["list-versions", "delete-version", "permanent-delete"])
async def test_copies_that_did_not_go_are_erased_by_recovery(versioned: Versioned, operation: str) -> None:
    versioned.account.settings.refused[operation] = 503
    with pytest.raises(TransientError):
        await versioned.gate.delete(versioned.todo, CAUSE)
    assert versioned.copies() == 6
    versioned.account.settings.refused.clear()
    assert await versioned.said() == {"already_gone": 2}
    assert versioned.copies() == 0


async def test_copies_that_may_never_go_are_said_to_be_recoverable_without_end(versioned: Versioned) -> None:
    versioned.account.settings.refused["delete-version"] = 403
    await versioned.gate.delete(versioned.todo, CAUSE)
    assert await versioned.said() == {"erased_recoverable": 2}
    versioned.account.advance(timedelta(days=5_000))
    assert versioned.copies() == 6


async def test_a_hold_keeps_the_versions_of_what_it_covers(versioned: Versioned) -> None:
    await versioned.world.hold("hold-1", "record", versioned.todo[0].locator.text())
    await versioned.gate.delete(versioned.todo, CAUSE)
    assert versioned.copies() == 3
    assert await versioned.said() == {"held": 1, "erased": 1}
