"""Holds in Blob storage: what a hold's metadata, its note and its versions are there."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from azure.storage.blob.aio import BlobServiceClient
from world import World, found

from local import servers
from shared import messages
from shared.errors import TransientError
from shared.holding import Holding
from shared.holds import Holds, InForce
from shared.model import SweepCause, utc_text
from shared.stores.blob import BlobObjects, retry_policy

SWEEP = SweepCause(run="a-run", slice=0)


@pytest.fixture
async def world(azurite) -> AsyncIterator[World]:
    """A world whose holds are in a container of Azurite."""
    world = World(sweeping=False)
    world.home("birkeveien", "anna", rows=0, old_rows=2)
    connection = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_STATE"]
    async with BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy()) as service:
        holds = BlobObjects(await service.create_container(f"holds-{uuid4()}"))
        world.gate = replace(world.gate, holds=Holds(objects=holds))
        world.holding = Holding(gate=world.gate, patience=1, sleep=world._sleep)
        yield world


def message(hold: str, **fields: str) -> messages.Hold:
    body = messages.compose("hold", id=hold, by="ops", owner="legal", reason="a case", **fields)
    return messages.parse(body, now=World().now)


async def test_a_hold_comes_ends_by_the_services_clock_and_is_released(world: World):
    holds = world.gate.holds
    now = await holds.objects.now()
    lasting, short = str(uuid4()), str(uuid4())
    await world.holding.add(message(lasting, category="operation-log"))
    await world.holding.add(message(short, user_id="anna", until=utc_text(now + timedelta(days=1))))
    assert {each.id for each in await holds.read()} == {lasting, short}
    kept = {entry.name: dict(entry.metadata) async for entry in holds.objects.list()}
    assert kept[f"{lasting}.json"] == {"in_force": "yes"}
    assert kept[f"{short}.json"] == {"in_force": "yes", "ended_at": utc_text(now + timedelta(days=1))}
    for hold in (lasting, short):
        body = messages.compose("release", id=str(uuid4()), hold=hold, by="ops", reason="over")
        await world.holding.release(messages.parse(body, now=world.now))
    assert not await holds.read()


async def test_a_hold_notes_an_open_journal_and_is_in_force_when_that_is_settled(world: World):
    due = await found(world, "operation-log")
    for nth in range(1, 9):
        world.records.fail(nth=nth, applied=False)
    with pytest.raises(TransientError):
        await world.gate.delete(due, SWEEP)
    hold = str(uuid4())
    await world.holding.add(message(hold, category="operation-log"))
    assert [each.in_force for each in await world.gate.holds.read()] == [InForce.PENDING]
    assert len([entry async for entry in world.gate.holds.objects.list()]) == 2
    world.later(minutes=11)
    await world.gate.recover((await world.gate.holds.read())[0].journals[0])
    for _ in range(2):
        await world.holding.watch()
    (settled,) = await world.gate.holds.read()
    assert (settled.in_force, settled.too_late) == (InForce.YES, 0)
    assert len([entry async for entry in world.gate.holds.objects.list()]) == 1
    assert len(world.keys("operation-log")) == 2
