"""Attack: who may create an object in `journals` (role ledger may) has the watch delete what no run ever met."""

import pytest
from world import World, found, home_of

from shared.errors import RetentionError
from shared.journal import Intent, encode
from shared.model import SweepCause


async def test_a_journal_that_neither_a_run_nor_a_request_knows_deletes_nothing():
    world = World(sweeping=False)
    world.neighbourhood()
    before = set(world.keys("operation-log"))
    records = await found(world, "operation-log", home_of("birkeveien"))
    forged = Intent(
        id="f" * 32,
        cause=SweepCause(run="operation-log-20260101T000000Z-00000000", slice=0),
        policy=world.policy.digest,
        clauses={"operation-log": "4.5, 5"},
        created=world.now,
        records=tuple(records),
    )
    await world.own["journals"].create(f"{forged.id}.json", encode(forged), metadata={"state": "open"})
    world.later(minutes=11)
    try:
        await world.watch.journals()
    except RetentionError as error:
        assert "journal" in str(error)
    assert records
    assert set(world.keys("operation-log")) == before


async def test_a_journal_may_not_name_a_hold_for_deletion_before_its_end():
    world = World(sweeping=False)
    holds = world.own["holds"]
    etag = await holds.create("h.json", b"{}", metadata={})
    del etag
    pytest.importorskip("shared.stores.own_records")
