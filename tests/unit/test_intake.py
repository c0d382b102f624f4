"""Intake: every message becomes one durable request, a forced run, or a parked message; none is lost in silence."""

import json
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from disturbances import Broken, Scene
from promises import assert_whole
from world import LINES, START, World, person

from shared import messages
from shared.errors import IntegrityError, PermanentError, TransientError
from shared.requests.documents import State

ID = UUID("5f0c6f9e-4f3b-4c65-9a55-0d8c8c2b7a10")


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def taken(world: World, request: UUID = ID, **subject: str):
    """The document that intake made of an erase message, after one delivery."""
    await world.ask(request, **subject)
    await world.deliver("requests")
    return await world.document(str(request))


@pytest.mark.parametrize(
    ("subject", "scope"),
    [
        ({"user_id": "anna"}, ("person", "anna")),
        ({"email": "anna@anna.example"}, ("person", "anna")),
        ({"email": "ANNA@Anna.Example"}, ("person", "anna")),
    ],
)
async def test_a_person_is_found_by_id_or_address_and_the_work_is_sent_to_their_session(world: World, subject, scope):
    document = await taken(world, **subject)
    assert document.state is State.ACCEPTED
    assert document.scope == scope
    assert document.subject is None, "what was given is not kept once it is known who is meant"
    assert document.due_at == START.replace(month=4)
    [work] = world.queues["work"].messages
    assert work.session_id == await world.requests.session(person("anna"))
    assert "anna" not in work.session_id
    assert messages.parse(work.body, now=world.now) == messages.Work(version=1, type="work", request=str(ID), hop=0)


async def test_a_home_without_users_is_accepted(world: World):
    world.home("tomtveien")
    document = await taken(world, home_id="tomtveien")
    assert (document.state, document.scope) == (State.ACCEPTED, ("home", "tomtveien"))


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ({"user_id": "dora"}, "no such user"),
        ({"home_id": "tomtveien"}, "no such home"),
        ({"home_id": "skogveien"}, "the home has users: decide about each of them"),
        ({"email": "dora@dora.example"}, "the e-mail address matches nobody"),
        ({"email": "same@both.example"}, "the e-mail address matches several people"),
    ],
)
async def test_what_a_person_must_decide_needs_attention_and_is_alarmed(world: World, subject, reason):
    for who in ("bob", "cleo"):
        world.put("users", {"id": f"{who}2", "userId": f"{who}2", "email": "same@both.example"})
    document = await taken(world, **subject)
    assert (document.state, document.reason, document.subject) == (State.NEEDS_ATTENTION, reason, subject)
    assert not world.queues["work"].messages
    assert [line for line in LINES.texts if line.startswith("ALARM") and str(ID) in line and reason in line]
    await world.rest()
    received, event = sorted(await assert_whole(world), key=lambda each: each["type"], reverse=True)
    assert (received["type"], event["type"]) == ("retention.request.received", "retention.request.needs_attention")
    assert event["data"]["reason"] == reason


async def test_a_request_is_written_down_before_anybody_is_looked_for_and_the_watch_goes_on_with_it(world: World):
    with away(world):
        await world.ask(ID, email="anna@anna.example")
        for _ in range(10):
            await world.deliver("requests")
        assert not world.queues["requests"].messages, "the broker has given it up"
        document = await world.document(str(ID))
        assert document.state is State.RECEIVED
        assert document.subject == {"email": "anna@anna.example"}
        assert not document.outbox, "its event is posted"
        world.queues["requests"].dead.clear()
        world.later(minutes=11)
        with pytest.raises(TransientError):
            await world.watch.idle_requests()
    assert await world.watch.idle_requests() == 1
    document = await world.document(str(ID))
    assert (document.state, document.scope, document.subject) == (State.ACCEPTED, ("person", "anna"), None)
    await world.rest()
    [received] = [each for each in await assert_whole(world) if each["type"] == "retention.request.received"]
    assert received.get("subject") is None, "nobody is resolved yet"
    assert received["data"]["due_at"] == "2026-04-01T12:00:00Z"
    assert (await world.document(str(ID))).state is State.DONE


async def test_a_request_that_could_not_even_be_written_down_is_a_dead_letter_that_is_taken_in_again(world: World):
    create = world.own["requests"].create

    async def no_answer(*_, **__):
        raise TransientError("no answer")

    world.own["requests"].create = no_answer
    await world.ask(ID, user_id="anna")
    for _ in range(10):
        await world.deliver("requests")
    assert not world.queues["requests"].messages
    for _ in range(20):
        await world.deliver_dead()
    assert await world.documents() == []
    world.own["requests"].create = create
    await world.rest()
    await assert_whole(world)
    assert (await world.document(str(ID))).state is State.DONE


async def test_a_request_that_the_policy_has_no_place_to_look_for_needs_a_person(world: World):
    async def nowhere(*_, **__):
        raise PermanentError("field email cannot be searched there")

    world.records.find = nowhere
    document = await taken(world, email="anna@anna.example")
    assert (document.state, document.reason) == (State.NEEDS_ATTENTION, "field email cannot be searched there")
    await world.rest()
    await assert_whole(world)


@contextmanager
def away(world: World):
    """Cosmos DB does not answer a question."""

    async def no_answer(*_, **__):
        raise TransientError("no answer")

    world.records.find = no_answer
    yield
    del world.records.find


async def test_two_records_of_one_person_are_one_person(world: World):
    world.put("users", {"id": "anna-profile", "userId": "anna", "email": "anna@anna.example"})
    assert (await taken(world, email="anna@anna.example")).scope == ("person", "anna")


async def test_the_same_message_again_is_the_same_request(world: World):
    await taken(world, user_id="anna")
    later = await world.own["requests"].read(f"{ID}.json")
    world.later(minutes=30)
    world.queues["work"].messages.clear()
    body = messages.erase(
        request=ID,
        subject={"user_id": "anna"},
        requested_by="the person",
        identity_verified_by="the office",
        received_at=START,
    )
    await world.door.receive(body)
    assert await world.own["requests"].read(f"{ID}.json") == later
    assert len(world.queues["work"].messages) == 1, "it is sent to its session again: the first may be lost"


async def test_the_same_message_after_the_end_does_nothing(world: World):
    await taken(world, user_id="anna")
    await world.rest()
    await world.ask(ID, user_id="anna")
    world.queues["requests"].messages.clear()
    events = await assert_whole(world)
    body = messages.erase(
        request=ID,
        subject={"user_id": "anna"},
        requested_by="the person",
        identity_verified_by="the office",
        received_at=START,
    )
    await world.door.receive(body)
    assert not world.queues["work"].messages
    await world.rest()
    assert len(await assert_whole(world)) == len(events)


async def test_another_message_with_the_same_id_is_parked_and_changes_nothing(world: World):
    await taken(world, user_id="anna")
    world.later(minutes=30)
    await world.ask(ID, user_id="bob")
    await world.deliver("requests")
    assert (await world.document(str(ID))).scope == ("person", "anna")
    await world.rest()
    assert world.keys("users") == ["bob", "cleo"]
    parked = [each for each in await assert_whole(world) if each["type"] == "retention.message.parked"]
    assert [each["data"]["request"] for each in parked] == [str(ID)]
    assert parked[0]["data"]["reason"].startswith("retention.id: another request")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"retention": {"version": 1, "type": "work", "request": "x", "hop": 0}}',
        b'{"retention": {"version": 1, "type": "erase", "id": "anna", "subject": {"user_id": "anna"}}}',
        b'{"retention": {"version": 1, "type": "run", "id": "5f0c6f9e-4f3b-4c65-9a55-0d8c8c2b7a10", "categories": ["anna"]}}',
    ],
)
async def test_a_message_that_can_never_succeed_is_parked_whole_and_once(world: World, body):
    for _ in range(2):  # the host delivers it again: it could not complete the first
        await world.queues["requests"].send(body, message_id=str(uuid4()))
        world.queues["requests"].messages[0].message_id = "m1"
        await world.deliver("requests")
    assert not world.queues["requests"].messages
    await world.rest()
    [event] = await assert_whole(world)
    assert event["type"] == "retention.message.parked"
    assert len([each async for each in world.own["parking"].list()]) == 1


async def test_intake_itself_refuses_with_the_error_that_parks(world: World):
    with pytest.raises(PermanentError):
        await world.door.receive(b"{}")


async def test_a_run_message_starts_runs_before_their_cadence(world: World):
    for _ in range(2):
        await world.door.receive(messages.run(request=uuid4(), categories=("users", "homes")))
        assert not [line for line in LINES.texts if "starts nothing" in line]
        world.later(minutes=1)
    runs = {each: await world.runs.current(each) for each in ("users", "homes", "backups")}
    assert runs["backups"] is None
    assert {runs[each].value.started for each in ("users", "homes")} == {START + timedelta(minutes=1)}


async def test_a_run_message_that_meets_an_unfinished_run_says_so(world: World):
    world.home("skogveien", old_rows=3)
    for _ in range(2):
        await world.door.receive(messages.run(request=ID, categories=("operation-log",)))
    assert [line for line in LINES.texts if f"run message {ID} starts nothing" in line]


async def test_a_request_document_that_is_not_ours_halts_and_tells_no_contents(world: World):
    await world.own["requests"].create(f"{ID}.json", json.dumps({"name": "anna"}).encode())
    await world.ask(ID, user_id="anna")
    await world.deliver("requests")
    assert [type(each) for each in world.errors] == [IntegrityError]
    assert "anna" not in str(world.errors)
    assert world.queues["requests"].messages, "the message waits"


@pytest.mark.parametrize("how", ["repeated", "applied"])
async def test_a_document_that_is_there_already_is_gone_on_with_and_its_event_is_told(world: World, how):
    """Repeated: the vendor's client wrote it twice. Applied: no answer came, and the host delivers the message again."""
    Scene.arm(world, Broken(where="requests", kind="create", nth=1, name="", how=how))
    await world.ask(ID, user_id="anna")
    await world.deliver("requests")
    await world.deliver("requests")
    assert [type(each) for each in world.errors] == ([] if how == "repeated" else [TransientError])
    assert len(world.queues["work"].messages) == 1
    assert not (await world.document(str(ID))).outbox
    assert len([each async for each in world.own["journals"].list()]) == 1


async def test_a_restriction_whose_id_another_hold_has_needs_attention_and_can_be_closed(world: World):
    hold = messages.compose("hold", id=str(ID), user_id="bob", owner="legal", reason="a case", by="ops")
    who = {"requested_by": "the person", "identity_verified_by": "the office"}
    restrict = messages.compose("restrict", id=str(ID), subject={"user_id": "anna"}, **who)
    for number, body in enumerate((hold, restrict)):
        await world.queues["requests"].send(body, message_id=str(number))
    await world.rest()
    document = await world.document(str(ID))
    assert (document.state, document.subject) == (State.NEEDS_ATTENTION, {"user_id": "anna"})
    assert "another hold has this id" in document.reason
    resolve = messages.compose("resolve", id=str(uuid4()), request=str(ID), reason="sent again", by="ops")
    await world.queues["requests"].send(resolve, message_id="resolve")
    await world.rest()
    document = await world.document(str(ID))
    assert (document.state, document.subject) == (State.REJECTED, None)
    await assert_whole(world)
