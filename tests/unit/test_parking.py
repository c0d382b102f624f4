"""Parking: kept whole, told once, dismissed by message and emptied; a failed write or a repeat changes nothing of it."""

import base64
import json
from uuid import uuid4

import pytest
from world import World

from shared import messages
from shared.errors import ChangedError, TransientError
from shared.messages import MessageError
from shared.parking import ParkedEntry, ParkedMessage, entries, find, id_of
from shared.stores.memory import Fault

BODY = b'{"erase": "kari.nordmann@example.test"}'
WHO = "kari.nordmann"
REQUEST = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def world() -> World:
    return World(sweeping=False)


async def park(world: World, *, message_id: str = "m1", about: str = "", request: str | None = None) -> str:
    return await world.parking.park(
        BODY,
        queue="requests",
        message_id=message_id,
        reason="the body must be a JSON object with the one key retention",
        request=request,
        now=world.now,
        about=about,
    )


async def only(world: World) -> tuple[ParkedEntry, ParkedMessage]:
    [entry] = [each async for each in entries(world.own["parking"])]
    held = await world.own["parking"].read(entry.name)
    return entry, ParkedMessage.model_validate_json(held.data)


def order(parked: str, **more: str) -> messages.Dismiss:
    fields = {"by": "Ola in operations", "reason": "asked again by letter", **more}
    return messages.parse(
        messages.compose("dismiss", id=str(uuid4()), parked=parked, **fields), now=World(sweeping=False).now
    )


async def raw(world: World) -> str:
    """The one parked message as it is stored, its metadata too."""
    [entry] = [each async for each in world.own["parking"].list()]
    held = await world.own["parking"].read(entry.name)
    return held.data.decode() + json.dumps(dict(held.metadata))


def assert_emptied(stored: str) -> None:
    """Nothing of the body, its message id or its request is left."""
    assert [each for each in (base64.b64encode(BODY).decode(), WHO, "m1", REQUEST) if each in stored] == []


async def told(world: World) -> list[str]:
    """The types of the events in the log."""
    await world.rest()
    return [event["type"] for event in await world.events()]


async def test_a_parked_message_is_kept_whole_and_found_by_its_short_id(world: World) -> None:
    parked = await park(world)
    entry, message = await only(world)
    assert (len(parked), entry.id, id_of(entry.name)) == (16, parked, parked)
    assert (message.content, message.parked_at, entry.at) == (BODY, world.now, world.now)
    assert await find(world.own["parking"], parked) == entry
    assert await find(world.own["parking"], "0" * 16) is None
    assert await told(world) == ["retention.message.parked"]


async def test_the_same_message_again_is_parked_once_and_another_beside_it(world: World) -> None:
    first = await park(world)
    world.later(minutes=1)
    assert await park(world) == first
    assert await park(world, message_id="m2") != first
    assert len([each async for each in entries(world.own["parking"])]) == 2
    assert await told(world) == ["retention.message.parked"] * 2


async def test_a_dismissal_is_kept_with_the_message_and_told_without_who_and_why(world: World) -> None:
    parked = await park(world)
    world.later(minutes=1)
    await world.parking.dismiss(order(parked), world.now)
    entry, message = await only(world)
    assert (entry.dismissed, entry.waiting, message.dismissed_at) == (True, False, world.now)
    assert (message.dismissed_by, message.dismissed_because) == ("Ola in operations", "asked again by letter")
    await world.rest()
    [event] = [each for each in await world.events() if each["type"] == "retention.message.dismissed"]
    data = event["data"]
    assert data == {
        "parked": message.told_as,
        "queue": "requests",
        "request": None,
        "policy": data["policy"],
    }


async def test_a_second_dismissal_changes_nothing(world: World) -> None:
    parked = await park(world)
    await world.parking.dismiss(order(parked), world.now)
    world.later(minutes=1)
    await world.parking.dismiss(order(parked, by="somebody else"), world.now)
    assert (await only(world))[1].dismissed_by == "Ola in operations"
    assert (await told(world)).count("retention.message.dismissed") == 1


async def test_the_same_message_after_its_dismissal_waits_again(world: World) -> None:
    parked = await park(world)
    world.later(minutes=1)
    await world.parking.dismiss(order(parked), world.now)
    world.later(minutes=1)
    assert await park(world) == f"{parked}-2"
    entry, message = await only(world)
    assert (entry.id, entry.dismissed, message.content) == (f"{parked}-2", False, BODY)
    assert (message.parked_at, message.dismissed_by) == (world.now, "")
    assert await park(world) == f"{parked}-2", "a repeat is the same arrival"
    assert await told(world) == [
        "retention.message.parked",
        "retention.message.dismissed",
        "retention.message.parked",
    ]


async def test_an_order_that_comes_again_does_not_dismiss_the_next_arrival(world: World) -> None:
    parked = await park(world)
    orders = [order(parked), order(parked, by="somebody else")]
    for each in orders:
        await world.parking.dismiss(each, world.now)
    for arrival in ("2", "3"):
        assert await park(world) == f"{parked}-{arrival}"
        for each in orders:
            await world.parking.dismiss(each, world.now)
        assert not (await only(world))[0].dismissed
        orders.append(order(f"{parked}-{arrival}"))
        await world.parking.dismiss(orders[-1], world.now)
        assert (await only(world))[0].dismissed
    assert sorted(await told(world)) == ["retention.message.dismissed"] * 3 + ["retention.message.parked"] * 3


async def test_the_id_of_an_arrival_that_never_was_is_refused(world: World) -> None:
    parked = await park(world)
    for wrong in (f"{parked}-1", f"{parked}-2", f"{parked}-x"):
        with pytest.raises(MessageError):
            await world.parking.dismiss(order(wrong), world.now)


async def test_what_came_again_after_it_was_listed_is_not_closed_unseen(world: World) -> None:
    parked = await park(world)
    entry, _ = await only(world)
    await world.parking.dismiss(order(parked), world.now)
    await park(world)
    await world.parking.close(entry, by="the pipeline", because="its work is done", now=world.now)
    assert not (await only(world))[0].dismissed


# ---------------------------------------------------------------- emptied


async def test_a_dismissed_message_is_emptied_and_says_still_what_it_was(world: World) -> None:
    parked = await park(world, about=REQUEST, request=REQUEST)
    _, before = await only(world)
    await world.parking.dismiss(order(parked), world.now)
    entry, message = await only(world)
    assert_emptied(await raw(world))
    assert (message.body, message.content, entry.request, entry.about) == (None, b"", None, "")
    kept = ("queue", "parked_at", "reason", "told_as")
    assert [getattr(message, each) for each in kept] == [getattr(before, each) for each in kept]


async def test_what_is_parked_under_a_request_is_emptied_when_it_closes_and_still_waits(world: World) -> None:
    parked = await park(world, request=REQUEST)
    await world.parking.forget(str(uuid4()))
    assert (await only(world))[1].content == BODY, "another request's"
    for _ in range(2):
        await world.parking.forget(REQUEST)
        assert_emptied(await raw(world))
        entry, message = await only(world)
        assert (entry.id, entry.dismissed, message.reason[:8]) == (parked, False, "the body")
    assert await told(world) == ["retention.message.parked"]
    await world.parking.dismiss(order(parked), world.now)
    assert (await only(world))[0].dismissed


async def test_a_dead_letter_of_a_request_is_dismissed_when_it_closes(world: World) -> None:
    await park(world, about=REQUEST, request=REQUEST)
    for _ in range(2):
        await world.parking.forget(REQUEST)
    entry, message = await only(world)
    assert_emptied(await raw(world))
    assert (entry.dismissed, message.dismissed_because) == (True, "its request has closed")
    assert sorted(await told(world)) == ["retention.message.dismissed", "retention.message.parked"]


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("about", ["", REQUEST])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_forgetting_whose_write_fails_is_whole_after_a_repeat_and_the_watch(
    world: World, about: str, nth: int, *, applied: bool
) -> None:
    world.own["journals"].arm(Fault(write="create", applied=False))
    with pytest.raises(TransientError):  # so that the event of the parking still waits in the document
        await park(world, about=about, request=REQUEST)
    world.own["parking"].arm(Fault(write="replace", applied=applied, nth=nth))
    with pytest.raises(TransientError):
        await world.parking.forget(REQUEST)
    world.later(minutes=1)
    await world.parking.forget(REQUEST)
    await world.dead_letters.look_again()
    assert_emptied(await raw(world))
    assert sorted(await told(world)) == [*["retention.message.dismissed"] * bool(about), "retention.message.parked"]


async def test_a_forgetting_that_a_rival_overtakes_is_an_error_to_repeat(world: World) -> None:
    parked = await park(world, request=REQUEST)

    async def rival(name: str) -> None:
        if name == "before replace":
            world.steps.turn = None
            await world.parking.dismiss(order(parked), world.now)

    world.steps.turn = rival
    with pytest.raises(ChangedError):
        await world.parking.forget(REQUEST)
    await world.parking.forget(REQUEST)
    assert_emptied(await raw(world))


# ---------------------------------------------------------------- orders, failures, what is told


async def test_a_parked_message_stays_until_it_is_dismissed_and_ninety_days_longer(world: World) -> None:
    world.sweeping = True
    parked = await park(world)
    world.later(days=200)
    await world.rest()
    await world.parking.dismiss(order(parked), world.now)
    world.later(days=89)
    await world.rest()
    assert (await only(world))[0].dismissed
    world.later(days=2)
    await world.rest()
    assert [each async for each in entries(world.own["parking"])] == []


async def test_an_id_that_nothing_has_is_refused_and_names_the_command(world: World) -> None:
    with pytest.raises(MessageError, match="retention parking list"):
        await world.parking.dismiss(order("0" * 16), world.now)


async def test_a_dismissal_comes_by_the_queue_of_requests(world: World) -> None:
    parked = await park(world)
    body = messages.compose("dismiss", id=str(uuid4()), by="Ola", parked=parked, reason="settled")
    await world.queues["requests"].send(body, message_id="d")
    await world.drain("requests")
    assert (await only(world))[0].dismissed


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_dismissal_whose_write_fails_is_whole_after_a_repeat(world: World, nth: int, *, applied: bool) -> None:
    parked = await park(world)
    dismissal = order(parked)
    world.own["parking"].arm(Fault(write="replace", applied=applied, nth=nth))
    with pytest.raises(TransientError):
        await world.parking.dismiss(dismissal, world.now)
    world.later(minutes=1)
    await world.parking.dismiss(dismissal, world.now)
    assert (await only(world))[0].dismissed
    assert (await told(world)).count("retention.message.dismissed") == 1


@pytest.mark.parametrize("applied", [False, True])
async def test_a_dismissal_whose_event_is_not_posted_keeps_it_for_the_next_look(world: World, *, applied: bool) -> None:
    parked = await park(world)
    world.own["journals"].arm(Fault(write="create", applied=applied))
    with pytest.raises(TransientError):
        await world.parking.dismiss(order(parked), world.now)
    assert (await only(world))[0].waiting
    world.later(minutes=5)
    assert await world.dead_letters.look_again() == 0
    assert not (await only(world))[0].waiting
    assert (await told(world)).count("retention.message.dismissed") == 1


async def test_a_parking_whose_event_is_not_posted_is_told_by_the_watch(world: World) -> None:
    world.own["journals"].arm(Fault(write="create", applied=False))
    with pytest.raises(TransientError):
        await park(world)
    assert (await only(world))[0].waiting
    await world.dead_letters.look_again()
    assert not (await only(world))[0].waiting
    assert await told(world) == ["retention.message.parked"]


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("store", ["parking", "journals"])
async def test_a_parking_whose_write_fails_is_whole_after_a_repeat(world: World, store: str, *, applied: bool) -> None:
    world.own[store].arm(Fault(write="create", applied=applied))
    with pytest.raises(TransientError):
        await park(world)
    await park(world)
    assert await told(world) == ["retention.message.parked"]


async def test_nothing_of_the_body_is_in_an_event_or_in_the_metadata(world: World) -> None:
    parked = await park(world, about="run-1/0")
    await world.parking.dismiss(order(parked), world.now)
    entry = await anext(world.own["parking"].list())
    assert WHO not in json.dumps(dict(entry.metadata))
    await world.rest()
    events = json.dumps(await world.events())
    assert WHO not in events
    assert parked not in events, "the id is made of the message: with it a guess could be checked"
