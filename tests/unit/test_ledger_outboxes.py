"""The ledger's own events wait in a container of their own: nothing that it writes is among the pipeline's journals."""

from datetime import timedelta

import pytest
from ledger_world import START, World, event, journal
from retire_world import OLD, OVER, old_and_new

from shared.errors import IntegrityError
from shared.ledger.head import Ledger
from shared.ledger.log import append, dropped_name
from shared.ledger.outbox import settled
from shared.ledger.outboxes import Outboxes
from shared.stores.memory import MemoryObjects

SETTLED = {"state": "settled", "log": "2026"}


@pytest.mark.promise(23, "ledger-journals")
async def test_what_the_ledger_has_to_say_waits_in_its_own_container_until_the_log_has_it() -> None:
    world, ours = await old_and_new(), MemoryObjects(clock=OVER)
    journals = world.stores["journals"]
    both = Outboxes(journals=journals, ours=ours)
    world.ledger = Ledger(
        origin=world.ledger.origin, tiles=world.stores["tiles"], state=world.stores["state"], journals=both
    )
    world.retirement = type(world.retirement)(
        ledger=world.ledger, policy=world.retirement.policy, doorbell=world.rings, source="//test.example"
    )
    await world.retire()
    assert [entry.name async for entry in journals.list()] == []
    assert [entry.name.startswith("ledger-") async for entry in ours.list()] == [True]
    await world.work("2027")
    assert [each["data"]["year"] for each in await world.dropped()] == [OLD]
    assert [entry.name async for entry in ours.list()] == []


async def test_both_are_appended_and_what_lies_under_a_name_of_the_other_is_left() -> None:
    world, ours = World(), MemoryObjects(clock=START)
    journals = world.stores["journals"]
    world.ledger = Ledger(
        origin=world.ledger.origin,
        tiles=world.stores["tiles"],
        state=world.stores["state"],
        journals=Outboxes(journals=journals, ours=ours),
    )
    await world.settle("theirs", 2)
    for store, intent in ((ours, "ledger-1"), (ours, "forged"), (journals, "ledger-2")):
        await store.create(f"{intent}.json", journal(intent, [event(intent, 0)]), metadata=SETTLED)
    assert [entry.name for entry in (await settled(world.ledger.journals))["2026"]] == ["ledger-1.json", "theirs.json"]
    assert (await append(world.ledger, "2026")).size == 3
    assert [entry.name async for entry in journals.list()] == ["ledger-2.json"]
    assert [entry.name async for entry in ours.list()] == ["forged.json"]


async def test_a_marker_that_somebody_put_beside_a_log_whose_period_is_not_over_deletes_nothing() -> None:
    world = await old_and_new()
    before = await world.of_old()
    await world.stores["state"].create(dropped_name(OLD), b"{}")
    with pytest.raises(IntegrityError, match="period is not over"):
        await world.retire(OVER - timedelta(seconds=1))
    assert {name: found for name, found in (await world.of_old()).items() if name == "tiles"} == {
        "tiles": before["tiles"]
    }
