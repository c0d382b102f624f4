"""Dead letters of slices and work: parked once with an alarm unless moot, and dismissed by themselves when made good."""

import pytest
from world import LINES, Message, World

from shared import messages
from shared.dead_letters import SWEEPS, WORK
from shared.errors import IntegrityError, TransientError
from shared.parking import ParkedEntry, entries
from shared.requests.documents import State
from shared.stores.memory import Fault


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def parked(world: World) -> list[ParkedEntry]:
    return [each async for each in entries(world.own["parking"])]


async def slices(world: World) -> list[Message]:
    """The slice messages of a run that finds one expired picture."""
    world.picture("birkeveien", days=9)
    await world.planner.tick(only=["camera-snapshots"])
    return world.queues["sweeps"].messages


async def work(world: World) -> tuple[str, Message]:
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    return request, world.queues["work"].messages[-1]


async def take(world: World, queue: str, message: Message | bytes) -> None:
    body = message if isinstance(message, bytes) else message.body
    await world.dead_letters.take(body, queue=queue, message_id=getattr(message, "message_id", "m"))


def alarms() -> list[str]:
    return [line for line in LINES.texts if line.startswith("ALARM")]


async def test_an_unfinished_slice_is_parked_with_an_alarm_and_stays_to_be_swept(world: World) -> None:
    [message, *_] = await slices(world)
    await take(world, SWEEPS, message)
    [entry] = await parked(world)
    assert (entry.queue, entry.dismissed) == (SWEEPS, False)
    assert entry.about.endswith("/0")
    assert alarms()[0].startswith("ALARM a dead letter of queue sweeps was parked: slice 0 of run camera-snapshots-")
    await world.drain("sweeps")
    assert world.keys("camera-snapshots") != []
    world.sweeping = True
    await world.rest()
    assert [event["type"] for event in await world.events()].count("retention.message.parked") == 1


async def test_a_slice_that_is_done_is_moot(world: World) -> None:
    [message, *_] = await slices(world)
    await world.drain("sweeps")
    await take(world, SWEEPS, message)
    assert await parked(world) == []
    assert alarms() == []


async def test_a_slice_of_a_run_that_is_finished_is_moot(world: World) -> None:
    [message, *_] = await slices(world)
    await world.drain("sweeps")
    await world.planner.tick()
    await take(world, SWEEPS, message)
    assert await parked(world) == []


async def test_an_unfinished_request_is_parked_under_its_id_and_a_finished_one_is_moot(world: World) -> None:
    request, message = await work(world)
    await take(world, WORK, message)
    [entry] = await parked(world)
    assert (entry.queue, entry.request, entry.about) == (WORK, request, request)
    assert alarms()[-1].endswith(f"says why it fails ({request})")
    await world.drain("work")
    assert (await world.document(request)).state is State.DONE
    other = World(sweeping=False)
    other.neighbourhood()
    _, message = await work(other)
    await other.drain("work")
    await take(other, WORK, message)
    assert await parked(other) == []


async def test_a_dismissed_dead_letter_keeps_nothing_of_its_request(world: World) -> None:
    request, message = await work(world)
    await take(world, WORK, message)
    await world.drain("work")
    assert await world.dead_letters.look_again() == 1
    [entry] = await parked(world)
    held = await world.own["parking"].read(entry.name)
    assert entry.dismissed
    assert request not in held.data.decode() + str(held.metadata)


async def test_of_one_slice_or_request_one_message_is_parked(world: World) -> None:
    request, message = await work(world)
    await take(world, WORK, message)
    world.later(minutes=11)
    await take(world, WORK, messages.work(request=request, hop=3))
    assert len(await parked(world)) == 1
    world.sweeping = True
    await world.rest()
    assert [event["type"] for event in await world.events()].count("retention.message.parked") == 1


async def test_what_was_dismissed_and_fails_again_waits_again(world: World) -> None:
    request, message = await work(world)
    await take(world, WORK, message)
    [entry] = await parked(world)
    await world.parking.close(entry, by="Ola", because="looked", now=world.now)
    await take(world, WORK, messages.work(request=request, hop=3))
    assert [each.dismissed for each in await parked(world)] == [False]


@pytest.mark.parametrize("queue", [SWEEPS, WORK])
@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"{}",
        messages.doorbell("j"),
        messages.work(request="6f1c9f0e-5d0f-4c56-9f0a-0b6a4a1f7c11", hop=0),
        messages.slice_order(category="users", run="users-1", number=0, attempt=1, hop=0),
    ],
)
async def test_what_is_no_work_of_ours_is_parked_with_the_reason_and_waits_for_a_person(
    world: World, queue: str, body: bytes
) -> None:
    await take(world, queue, body)
    [entry] = await parked(world)
    assert entry.about == ""
    assert await world.dead_letters.look_again() == 0
    assert not (await parked(world))[0].dismissed


async def test_what_was_made_good_is_dismissed_by_itself_and_what_was_not_stays(world: World) -> None:
    [message, *_] = await slices(world)
    await take(world, SWEEPS, message)
    _, work_message = await work(world)
    await take(world, WORK, work_message)
    assert await world.dead_letters.look_again() == 0
    await world.drain("sweeps")
    assert await world.dead_letters.look_again() == 1
    assert {each.queue: each.dismissed for each in await parked(world)} == {SWEEPS: True, WORK: False}
    await world.drain("work")
    assert await world.dead_letters.look_again() == 1
    assert await world.dead_letters.look_again() == 0
    world.sweeping = True
    await world.rest()
    types = [event["type"] for event in await world.events()]
    assert types.count("retention.message.dismissed") == 2


async def test_one_that_cannot_be_read_stops_no_other(world: World) -> None:
    await world.own["parking"].create(f"{SWEEPS}/{'0' * 64}.json", b"{}", metadata={"about": "r/0"})
    [message, *_] = await slices(world)
    await take(world, SWEEPS, message)
    await world.drain("sweeps")
    with pytest.raises(IntegrityError):
        await world.dead_letters.look_again()
    assert any(each.dismissed for each in await parked(world))


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("store", ["parking", "journals"])
async def test_where_parking_fails_the_dead_letter_comes_again_and_is_parked_once(
    world: World, store: str, *, applied: bool
) -> None:
    [message, *_] = await slices(world)
    world.own[store].arm(Fault(write="create", applied=applied))
    with pytest.raises(TransientError):
        await take(world, SWEEPS, message)
    await take(world, SWEEPS, message)
    assert len(await parked(world)) == 1
    world.sweeping = True
    await world.rest()
    assert [event["type"] for event in await world.events()].count("retention.message.parked") == 1


async def test_a_slice_that_fails_ten_times_comes_right_by_itself_in_the_end(world: World) -> None:
    world.sweeping = True
    world.picture("birkeveien", days=9)
    await world.planner.tick(only=["camera-snapshots"])
    world.own["holds"].list, listing = _away, world.own["holds"].list
    for _ in range(10):
        await world.deliver("sweeps")
    await world.deliver_dead()
    assert [each.dismissed for each in await parked(world)] == [False]
    world.own["holds"].list = listing
    await world.rest()
    assert [each.dismissed for each in await parked(world)] == [True]
    assert len(world.keys("camera-snapshots")) == 2, "the young ones"


async def _away(prefix: str = ""):
    raise TransientError("no answer")
    yield prefix
