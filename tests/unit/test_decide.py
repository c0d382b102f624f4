"""Decisions about requests that need attention: taking up again, saying whom, closing; and the replay after a restore."""

from datetime import timedelta
from uuid import uuid4

import pytest
from promises import assert_whole
from world import START, World

from shared import messages
from shared.documents import read
from shared.model import ScopeKind, utc_text
from shared.parking import ParkedMessage
from shared.requests import decide
from shared.requests.documents import State

OFFICE = "the privacy office"


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def send(world: World, kind: str, number: str | None = None, **fields) -> str:
    number = number or str(uuid4())
    body = messages.compose(kind, id=number, **fields)
    await world.queues["requests"].send(body, message_id=str(uuid4()))
    return number


async def parked(world: World) -> list[str]:
    held = [await read(world.own["parking"], e.name, ParkedMessage) async for e in world.own["parking"].list()]
    return [each.value.reason for each in held]


async def held_request(world: World) -> str:
    await world.hold("h1", "home", "birkeveien")
    request = await world.ask(user_id="anna")
    await world.rest()
    assert (await world.document(request)).state is State.NEEDS_ATTENTION
    return request


async def kinds(world: World, request: str) -> list[str]:
    mine = [event for event in await world.events() if event["data"].get("request") == request]
    return sorted(event["type"].removeprefix("retention.request.") for event in mine)


# ---------------------------------------------------------------- retry


async def test_after_a_hold_is_released_a_retry_erases_what_had_to_stay(world: World):
    request = await held_request(world)
    assert "birkeveien" in world.keys("homes")
    await world.release("h1")
    await send(world, "retry", request=request, by=OFFICE)
    await world.rest()
    document = await world.document(request)
    assert (document.state, document.reason) == (State.DONE, "")
    assert "birkeveien" not in world.keys("homes")
    assert world.keys("devices") == ["skogveien-hub"]
    assert await kinds(world, request) == ["completed", "needs_attention", "received", "taken_up"]
    assert [each.by for each in document.decisions] == [OFFICE]
    assert OFFICE not in str(await world.events())
    await assert_whole(world)


async def test_a_retry_that_meets_the_same_hold_needs_attention_again(world: World):
    request = await held_request(world)
    await send(world, "retry", request=request, by=OFFICE)
    await world.rest()
    assert (await world.document(request)).state is State.NEEDS_ATTENTION
    assert await kinds(world, request) == ["needs_attention", "needs_attention", "received", "taken_up"]


async def test_the_same_retry_twice_is_one_decision(world: World):
    request = await held_request(world)
    await world.release("h1")
    number = await send(world, "retry", request=request, by=OFFICE)
    await send(world, "retry", number, request=request, by=OFFICE)
    await world.rest()
    document = await world.document(request)
    assert (document.state, len(document.decisions)) == (State.DONE, 1)
    await send(world, "retry", number, request=request, by=OFFICE)
    await world.rest()
    assert (await world.document(request), await parked(world)) == (document, [])


async def test_a_retry_of_what_needs_none_is_parked_with_the_reason(world: World):
    request = await world.ask(user_id="bob")
    await world.rest()
    await send(world, "retry", request=request, by=OFFICE)
    await send(world, "retry", request=str(uuid4()), by=OFFICE)
    await world.rest()
    assert sorted(await parked(world)) == sorted([decide.NOT_WAITING, decide.UNKNOWN])


# ---------------------------------------------------------------- resolve


async def test_a_request_that_matched_several_people_goes_on_with_the_one_that_is_meant(world: World):
    world.user("dora", email="anna@anna.example")
    request = await world.ask(email="anna@anna.example")
    await world.rest()
    assert (await world.document(request)).state is State.NEEDS_ATTENTION
    await send(world, "resolve", request=request, by=OFFICE, reason="by phone", subject={"user_id": "dora"})
    await world.rest()
    document = await world.document(request)
    assert (document.state, document.scope) == (State.DONE, (ScopeKind.PERSON, "dora"))
    assert "anna" in world.keys("users")
    assert "dora" not in world.keys("users")


async def test_a_subject_that_matches_nobody_either_needs_attention_again(world: World):
    request = await world.ask(email="nobody@nowhere.example")
    await world.rest()
    await send(world, "resolve", request=request, by=OFFICE, reason="a guess", subject={"user_id": "nobody"})
    await world.rest()
    document = await world.document(request)
    assert (document.state, document.reason) == (State.NEEDS_ATTENTION, "no such user")


async def test_without_a_subject_a_request_that_reached_nobody_is_closed_and_forgets_the_subject(world: World):
    request = await world.ask(email="nobody@nowhere.example")
    await world.rest()
    await send(world, "resolve", request=request, by=OFFICE, reason="no customer of ours")
    await world.rest()
    document = await world.document(request)
    assert (document.state, document.reason) == (State.REJECTED, "no customer of ours")
    assert (document.subject, document.digest, document.closed_at) == (None, "", document.decisions[-1].at)
    assert await kinds(world, request) == ["needs_attention", "received", "rejected"]
    assert "no customer of ours" not in str(await world.events())


async def test_a_request_that_knows_its_person_takes_no_other(world: World):
    request = await held_request(world)
    await send(world, "resolve", request=request, by=OFFICE, reason="?", subject={"user_id": "bob"})
    await world.rest()
    assert await parked(world) == [decide.KNOWN]
    assert "bob" in world.keys("users")


# ---------------------------------------------------------------- restriction, pause, rate


async def test_a_restriction_is_a_hold_with_the_requests_id_and_keeps_nothing_of_the_person(world: World):
    who = {"requested_by": "the person", "identity_verified_by": "the office"}
    request = await send(world, "restrict", subject={"email": "anna@anna.example"}, **who)
    await world.rest()
    document = await world.document(request)
    assert (document.state, document.scope) == (State.DONE, (ScopeKind.PERSON, "anna"))
    assert await kinds(world, request) == ["completed", "received"]
    erasure = await world.ask(user_id="anna")
    await world.rest()
    assert (await world.document(erasure)).state is State.NEEDS_ATTENTION
    assert "anna" in world.keys("users")
    await send(world, "release", hold=request, by=OFFICE, reason="the person agrees")
    await send(world, "retry", request=erasure, by=OFFICE)
    await world.rest()
    assert (await world.document(erasure)).state is State.DONE
    world.later(days=2)
    assert await world.closer.close_due() == 1
    document = await world.document(request)
    assert (document.state, document.scope, document.requested_by) == (State.CLOSED, None, "")
    assert await world.own["receipts"].read(f"{request}.json") is None


async def test_while_erasures_are_paused_they_wait_and_go_on_after(world: World):
    await send(world, "pause", category="erasures", by=OFFICE, reason="a doubt")
    await world.drain()
    request = await world.ask(user_id="anna")
    for _ in range(5):
        await world.drain()
        await world.timers()
        world.later(minutes=11)
    assert (await world.document(request)).state is State.ACCEPTED
    assert "anna" in world.keys("users")
    await send(world, "resume", category="erasures", by=OFFICE)
    await world.rest()
    assert (await world.document(request)).state is State.DONE


async def test_more_requests_than_an_hour_takes_wait_for_the_next_one(world: World):
    for name in ("anna", "bob", "cleo"):
        await world.ask(user_id=name)
    object.__setattr__(world.rate, "most", 2)
    await world.drain()
    assert len(world.keys("users")) == 1
    world.later(minutes=59)
    await world.timers()
    await world.drain()
    assert len(world.keys("users")) == 1
    world.later(minutes=2)
    await world.rest()
    assert world.keys("users") == []


# ---------------------------------------------------------------- replay


async def test_what_a_restore_brought_back_is_erased_again_and_nothing_else(world: World):
    began = START - timedelta(hours=1)
    first = await world.ask(user_id="anna")
    await world.rest()
    world.later(days=1)
    world.user("anna")  # the restore
    world.home("birkeveien", "anna")
    number = await send(world, "replay", by=OFFICE, backup_began=utc_text(began))
    await world.rest()
    assert (world.keys("users"), world.keys("homes"), world.keys("devices")) == (
        ["bob", "cleo"],
        ["skogveien"],
        ["skogveien-hub"],
    )
    again = [each for each in await world.documents() if each.id != first]
    assert [(each.state, each.identity_verified_by) for each in again] == [
        (State.DONE, "the register of erased scopes")
    ]
    await send(world, "replay", number, by=OFFICE, backup_began=utc_text(began))
    await world.rest()
    assert len(await world.documents()) == 2, "the same replay again makes nothing anew"
    await assert_whole(world)


async def test_an_erasure_from_before_the_backup_began_needs_no_replay(world: World):
    await world.ask(user_id="anna")
    await world.rest()
    world.later(days=1)
    world.user("anna")  # came back by herself, and the backup has her
    await send(world, "replay", by=OFFICE, backup_began=utc_text(START + timedelta(hours=12)))
    await world.rest()
    assert "anna" in world.keys("users")


@pytest.mark.parametrize("began", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00-14:00", "1500-06-01T00:00:00+02:00"])
async def test_a_replay_since_the_first_of_all_times_erases_again_everybody_who_was_erased(world: World, began: str):
    await world.ask(user_id="anna")
    await world.rest()
    world.user("anna")
    await send(world, "replay", by=OFFICE, backup_began=began)
    await world.rest()
    assert "anna" not in world.keys("users")
    await assert_whole(world)


async def test_a_restriction_that_would_be_over_already_is_parked_with_the_reason(world: World):
    who = {"requested_by": "the person", "identity_verified_by": "the office"}
    await send(world, "restrict", subject={"user_id": "anna"}, until=utc_text(START), **who)
    await world.rest()
    assert await parked(world) == ["retention.until: it is past already; give a later time, or leave it out"]
    assert await world.documents() == []
