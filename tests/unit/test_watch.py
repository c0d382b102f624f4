"""The watch: old open journals are recovered, waiting events are told again, idle requests are woken; one stuck stops none."""

from uuid import UUID

import pytest
from promises import assert_whole
from world import LINES, World, found, home_of, person

from shared.errors import ConfigError, IntegrityError, RetentionError, TransientError
from shared.journal import Intent
from shared.model import SweepCause
from shared.requests.documents import State


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def left_open(world: World, intent: str, category: str, scope) -> None:
    """A journal whose worker died right after it wrote it."""
    records = await found(world, category, scope)
    await world.gate.journals.open(
        Intent(
            id=intent,
            cause=SweepCause(run="r", slice=0),
            policy=world.policy.digest,
            clauses={category: "1"},
            created=world.now,
            records=tuple(records),
        )
    )


async def states(world: World) -> dict[str, str]:
    return {name: state async for name, state, _ in world.gate.journals.entries()}


async def test_an_open_journal_is_recovered_when_it_is_old_and_not_before(world: World):
    await left_open(world, "a" * 32, "operation-log", home_of("birkeveien"))
    world.later(minutes=9, seconds=59)
    assert await world.watch.journals() == (0, 0)
    assert "birkeveien-anna-0" in world.keys("operation-log")
    world.later(seconds=1)
    assert await world.watch.journals() == (1, 0)
    assert "birkeveien-anna-0" not in world.keys("operation-log")
    assert await states(world) == {"a" * 32: "settled"}


async def test_one_ring_is_enough_for_all_that_wait(world: World):
    for intent, home in (("a" * 32, "birkeveien"), ("b" * 32, "skogveien")):
        await left_open(world, intent, "operation-log", home_of(home))
        await world.gate.recover(intent)
    world.queues["ledger"].messages.clear()
    assert await world.watch.journals() == (0, 2)
    assert len(world.queues["ledger"].messages) == 1


async def test_a_journal_that_cannot_be_read_stops_no_other(world: World):
    await world.own["journals"].create(f"{'0' * 32}.json", b"{}", metadata={"state": "open"})
    await left_open(world, "a" * 32, "operation-log", home_of("birkeveien"))
    await left_open(world, "b" * 32, "operation-log", home_of("skogveien"))
    await world.gate.recover("b" * 32)
    world.queues["ledger"].messages.clear()
    world.later(minutes=11)
    with pytest.raises(IntegrityError):
        await world.watch.journals()
    assert [
        line for line in LINES.texts if line.startswith(f"ALARM the recovery of journal {'0' * 32}: IntegrityError")
    ]
    assert await states(world) == {"0" * 32: "open", "a" * 32: "settled", "b" * 32: "settled"}
    assert world.queues["ledger"].messages, "and the settled ones are rung for"


async def test_a_journal_of_a_store_that_is_not_configured_stops_no_other(world: World):
    await left_open(world, "0" * 32, "camera-snapshots", home_of("birkeveien"))
    await left_open(world, "a" * 32, "operation-log", home_of("birkeveien"))
    world.gate.stores.pop("blob/data")
    world.later(minutes=11)
    with pytest.raises(ConfigError):
        await world.watch.journals()
    assert await states(world) == {"0" * 32: "open", "a" * 32: "settled"}


async def test_an_idle_request_is_sent_to_its_session_again(world: World):
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    world.queues["work"].messages.clear()  # lost, or dead-lettered
    assert await world.watch.idle_requests() == 0
    world.later(minutes=11)
    assert await world.watch.idle_requests() == 1
    world.later(minutes=5)
    assert await world.watch.idle_requests() == 1
    assert {each.session_id for each in world.queues["work"].messages} == {await world.requests.session(person("anna"))}
    assert len(world.queues["work"].messages) == 2, "the broker takes the second for a message of its own"
    await world.drain()
    assert (await world.document(request)).state is State.DONE
    assert await world.watch.idle_requests() == 0


async def test_of_requests_that_wait_for_the_next_hour_what_is_due_first_goes_first_whatever_its_id(world: World):
    """Else a long row of the policy's own orders, which grows each day, keeps a person waiting by the id alone."""
    object.__setattr__(world.rate, "most", 0)
    first = await world.ask(UUID("ffffffff-ffff-4fff-bfff-ffffffffffff"), user_id="anna")
    await world.deliver("requests")
    world.later(minutes=1)
    second = await world.ask(UUID("00000000-0000-4000-8000-000000000000"), user_id="bob")
    await world.deliver("requests")
    world.later(hours=1)
    object.__setattr__(world.rate, "most", 1)
    assert await world.watch.idle_requests() == 1
    await world.drain()
    assert [(await world.document(each)).state for each in (first, second)] == [State.DONE, State.ACCEPTED]


@pytest.mark.parametrize("subject", [{"user_id": "anna"}, {"user_id": "dora"}])
async def test_the_last_event_of_a_request_is_told_although_its_message_is_lost(world: World, subject):
    request = await world.ask(**subject)
    if "anna" in subject.values():
        await world.deliver("requests")
    journals = world.own["journals"]
    create = journals.create

    async def away(name, data, *, metadata=None):
        if (metadata or {}).get("state") == "settled":
            raise TransientError("no answer")
        return await create(name, data, metadata=metadata)

    journals.create = away
    await world.deliver("requests", "work")
    world.queues["requests"].messages.clear()
    world.queues["work"].messages.clear()
    journals.create = create
    document = await world.document(request)
    assert document.state in (State.DONE, State.RECEIVED)
    assert document.outbox
    world.later(minutes=11)
    await world.watch.idle_requests()
    assert not (await world.document(request)).outbox
    await world.rest()
    await assert_whole(world)


async def test_a_request_that_cannot_be_read_stops_no_other(world: World):
    await world.own["requests"].create("0.json", b"{}", metadata={"state": "accepted"})
    await world.ask(user_id="anna")
    await world.deliver("requests")
    world.queues["work"].messages.clear()
    world.later(minutes=11)
    with pytest.raises(IntegrityError):
        await world.watch.idle_requests()
    assert len(world.queues["work"].messages) == 1


async def test_a_store_that_fails_for_one_journal_is_tried_again_next_time(world: World):
    await left_open(world, "a" * 32, "users", person("anna"))
    world.later(minutes=11)
    for nth in range(1, 5):
        world.records.fail(nth=nth, applied=False)
    with pytest.raises(RetentionError):
        await world.watch.journals()
    world.later(minutes=11)
    assert await world.watch.journals() == (1, 0)
