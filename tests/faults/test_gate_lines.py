"""The gate and a web log on an account that keeps what is overwritten: no line is left behind, no event is untrue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from blob_stand_in import served
from web_log import ME, OTHER, VISIT, at, lines, named
from world import World, outcomes

from local.azure.account import Account, Settings
from local.azure.blob_server import BlobServer
from shared.errors import TransientError
from shared.model import Record, RequestCause, ScopeKind
from shared.stores.blob_records import BlobRecords

CAUSE = RequestCause(request="7b0ecf63-3a62-4c7d-9d65-6f9e8f0f1c11", scope=VISIT)
LOG = "web-access-log"
REST = lines((at(10, 6), OTHER))


@dataclass(kw_only=True)
class Logged:
    """A world whose web log is in an account of its own: one hour, written twice."""

    world: World
    account: Account
    todo: list[Record]

    def kept(self) -> list[bytes]:
        """Every content that the account still holds of the log."""
        [blob] = self.account.containers[LOG].blobs.values()
        return [copy.data for copy in blob.copies()]

    async def events(self) -> list[dict[str, Any]]:
        """What the log says of the web log once the watch has done its work."""
        await self.world.rest()
        return [event["data"] for event in await self.world.events() if event["data"].get("category") == LOG]

    async def said(self) -> dict[str, int]:
        await self.world.rest()
        return dict(outcomes(await self.world.events()))


@pytest.fixture
async def logged() -> AsyncIterator[Logged]:
    account = Account(settings=Settings(versioning=True, soft_delete_days=7, permanent_delete=True))
    async with served(BlobServer(account), retry_total=0) as service:
        container = await service.create_container(LOG)
        for minute in (30, 59):
            content = lines((at(10, 5), ME), (at(10, minute), ME)) + REST
            await container.upload_blob(named(at(10)), content, overwrite=True)
        world = World(sweeping=False)
        category = world.policy.category(LOG)
        finder = category.find[ScopeKind.VISIT]
        records = BlobRecords(service=service, account="data", lines={LOG: finder})
        todo = [r async for page in records.of_scope(category, VISIT, size=10) for r in page.records]
        assert len(todo) == 1
        world.gate.stores["blob/data"] = records
        yield Logged(world=world, account=account, todo=todo)


async def test_lines_that_left_an_undisturbed_log_are_nowhere_any_more(logged: Logged) -> None:
    await logged.world.gate.delete(logged.todo, CAUSE)
    assert logged.kept() == [REST]
    assert await logged.said() == {"left": 1}


@pytest.mark.parametrize("versioning", [True, False])
async def test_lines_that_the_account_keeps_are_said_to_be_recoverable_and_until_when(
    logged: Logged, versioning: bool
) -> None:
    logged.account.settings.permanent_delete = False
    logged.account.settings.versioning = versioning
    await logged.world.gate.delete(logged.todo, CAUSE)
    [event] = await logged.events()
    assert (event["action"], event["outcome"]["name"]) == ("leave", "erased_recoverable")
    assert len(logged.kept()) == 3
    logged.account.advance(datetime.fromisoformat(event["outcome"]["until"]) - logged.account.now())
    assert logged.kept() == [REST]


async def test_lines_in_a_version_that_may_not_go_are_said_to_be_recoverable_without_end(logged: Logged) -> None:
    logged.account.settings.refused["delete-version"] = 403
    await logged.world.gate.delete(logged.todo, CAUSE)
    [event] = await logged.events()
    assert event["outcome"] == {"name": "erased_recoverable", "until": None}
    logged.account.advance(timedelta(days=5_000))
    assert len(logged.kept()) == 3


@pytest.mark.parametrize("operation", ["list-versions", "delete-version", "permanent-delete"])
async def test_copies_that_did_not_go_are_erased_by_recovery(logged: Logged, operation: str) -> None:
    logged.account.settings.refused[operation] = 503
    with pytest.raises(TransientError):
        await logged.world.gate.delete(logged.todo, CAUSE)
    assert len(logged.kept()) == 3
    logged.account.settings.refused.clear()
    assert await logged.said() == {"already_gone": 1}
    assert logged.kept() == [REST]


async def test_a_hold_keeps_the_lines_and_every_copy(logged: Logged) -> None:
    before = logged.kept()
    await logged.world.hold("hold-1", "record", logged.todo[0].locator.text())
    await logged.world.gate.delete(logged.todo, CAUSE)
    assert logged.kept() == before
    assert await logged.said() == {"held": 1}


async def test_a_hold_that_comes_between_the_rewrite_and_the_copies_keeps_the_copies(logged: Logged) -> None:
    logged.account.settings.refused["list-versions"] = 503
    with pytest.raises(TransientError):
        await logged.world.gate.delete(logged.todo, CAUSE)
    logged.account.settings.refused.clear()
    await logged.world.hold("hold-1", "record", logged.todo[0].locator.text())
    assert await logged.said() == {"already_gone": 1}  # the log itself has no line any more
    assert len(logged.kept()) == 3
