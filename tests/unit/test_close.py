"""The end of a request: when it closes, what the receipt holds, and that nothing leads to the person afterwards."""

import json
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from disturbances import Countdown, CrashError, die
from promises import assert_whole
from world import LINES, START, World, home_of, locator, person

from shared import audit, messages
from shared.errors import TransientError
from shared.model import Scope, ScopeKind
from shared.receipt import Receipt
from shared.requests.documents import State
from shared.stores.memory import Fault

BACKUPS_GONE = timedelta(days=30, hours=1)
ADDRESS = Scope(kind=ScopeKind.ADDRESS, id="anna@anna.example")


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    world.put("newsletter", {"id": "s1", "subscriberId": "s1", "email": ADDRESS.id})
    return world


async def send(world: World, kind: str, **fields) -> str:
    body = messages.compose(kind, id=(number := str(uuid4())), **fields)
    await world.queues["requests"].send(body, message_id=number)
    return number


async def done(world: World, **subject: str) -> str:
    request = await world.ask(**subject)
    await world.rest()
    return request


async def receipt(world: World, request: str) -> Receipt | None:
    stored = await world.own["receipts"].read(f"{request}.json")
    return Receipt.model_validate_json(stored.data) if stored else None


async def test_a_request_stays_done_until_the_last_older_backup_is_due_to_be_gone(world: World):
    request = await done(world, user_id="anna")
    world.now = START + BACKUPS_GONE - timedelta(minutes=2)
    world.later(minutes=1)
    assert await world.closer.close_due() == 0
    assert (await world.document(request)).state is State.DONE
    world.later(minutes=1)
    assert await world.closer.close_due() == 1
    assert (await world.document(request)).state is State.CLOSED
    assert await world.closer.close_due() == 0


async def test_while_nothing_is_due_to_close_no_document_is_read(world: World, monkeypatch: pytest.MonkeyPatch):
    await done(world, user_id="anna")
    world.later(days=29)

    async def never(_: str) -> None:
        raise AssertionError("a document was read")

    monkeypatch.setattr(world.own["requests"], "read", never)
    assert await world.closer.close_due() == 0


async def test_a_backup_that_is_still_there_keeps_it_open_whatever_the_calendar_says(world: World):
    world.put("backups", f"{START - timedelta(hours=1):%Y-%m-%dT%H%M%SZ}/all.bak", age=timedelta(hours=1))
    request = await done(world, user_id="anna")
    world.later(days=40)
    assert await world.closer.close_due() == 0
    assert (await world.document(request)).state is State.DONE
    assert [line for line in LINES.texts if f"ALARM request {request} cannot close" in line]
    world.sweeping = True
    await world.rest()
    assert await world.closer.close_due() == 1


async def test_a_backup_that_began_after_the_erasure_does_not_hinder_closing(world: World):
    await done(world, user_id="anna")
    world.later(hours=1)
    world.put("backups", f"{world.now:%Y-%m-%dT%H%M%SZ}/all.bak")
    world.later(days=30)
    assert await world.closer.close_due() == 1


async def test_the_receipt_holds_every_event_with_its_place_and_the_keys_that_prove_whose_it_is(world: World):
    request = await done(world, user_id="anna")
    world.later(days=31)
    await world.closer.close_due()
    held = await receipt(world, request)
    assert (held.request, held.state, held.organisation) == (request, "done", "Sensio AS")
    assert (held.finished_at, held.backups_gone_at) == (START, world.now)
    events = await world.events()
    mine = [e for e in events if request in json.dumps(e) and e["type"] != "retention.request.closed"]
    assert [each.event for each in held.events] == mine
    assert [each.index for each in held.events] == sorted(each.index for each in held.events)
    assert held.outcomes == (await world.document(request)).outcomes()
    [subject] = held.subjects
    name = audit.subject_pseudonym(bytes.fromhex(subject.key), Scope(kind=subject.kind, id=subject.id))
    assert (subject.kind, subject.id, subject.pseudonym) == (ScopeKind.PERSON, "anna", name)
    assert held.requested_by == "the person"
    without = {e["type"] for e in mine if e.get("subject") != name}
    assert without == {"retention.request.received"}, "with the key, every event but the first is provably the person's"


async def test_after_closing_nothing_of_ours_leads_to_the_person(world: World):
    request = await done(world, user_id="anna")
    await assert_whole(world)
    world.later(days=31)
    await world.closer.close_due()
    world.sweeping = True
    await world.rest()  # the policy's own rows take the marked keys and the register's entry
    for scope in (person("anna"), ADDRESS, home_of("birkeveien")):
        assert await world.gate.keys.find(scope) is None
    assert [each async for each in world.register.entries()] == []
    document = await world.own["requests"].read(f"{request}.json")
    assert b"anna" not in document.data
    assert b"birkeveien" not in document.data
    assert b"the person" not in document.data
    assert await world.gate.keys.find(person("bob")) is None  # never needed


async def test_a_home_that_stays_keeps_its_key(world: World):
    world.picture("skogveien", days=8)
    world.sweeping = True
    await world.rest()
    world.sweeping = False
    await done(world, user_id="bob")
    world.later(days=31)
    await world.closer.close_due()
    world.sweeping = True
    await world.rest()
    assert await world.gate.keys.find(home_of("skogveien")) is not None
    assert await world.gate.keys.find(person("bob")) is None


async def test_a_restriction_that_closes_takes_no_key_along(world: World):
    world.picture("birkeveien", days=8)
    world.sweeping = True
    await world.rest()
    world.sweeping = False
    subject = {"home_id": "birkeveien"}
    restriction = await send(
        world, "restrict", subject=subject, requested_by="the person", identity_verified_by="the office"
    )
    await world.rest()
    world.later(days=2)
    assert await world.closer.close_due() == 1
    assert (await world.document(restriction)).state is State.CLOSED
    assert await receipt(world, restriction) is None, "which would hold the key"
    world.sweeping = True
    await world.rest()
    assert await world.gate.keys.find(home_of("birkeveien")) is not None


async def test_a_key_that_another_open_request_needs_is_kept_until_that_one_closes(world: World):
    first = await done(world, user_id="anna")
    world.later(days=10)
    world.user("anna")
    second = await done(world, user_id="anna")
    world.later(days=22)
    assert await world.closer.close_due() == 1
    assert (await world.document(first)).state is State.CLOSED
    world.sweeping = True
    await world.rest()
    assert await world.gate.keys.find(person("anna")) is not None
    world.later(days=10)
    await world.closer.close_due()
    await world.rest()
    assert (await world.document(second)).state is State.CLOSED
    assert await world.gate.keys.find(person("anna")) is None
    assert {each.kind for each in (await receipt(world, second)).subjects} >= {ScopeKind.PERSON}


async def test_a_request_whose_last_event_is_not_in_the_log_yet_waits(world: World):
    request = await world.ask(user_id="anna")
    await world.drain()  # carried out, and nothing sealed
    world.later(days=31)
    assert await world.closer.close_due() == 0
    assert await receipt(world, request) is None
    await world.rest()
    assert await world.closer.close_due() == 1


async def test_a_request_of_which_all_but_the_last_event_is_in_the_log_waits(world: World):
    request = await carried_out_by_a_worker_that_dies_at_the_end(world)
    await world.seal()
    world.later(days=31)
    assert await world.closer.close_due() == 0
    assert await receipt(world, request) is None
    await world.rest()
    assert await world.closer.close_due() == 1


async def test_a_request_whose_last_event_is_in_the_log_before_one_of_its_outcomes_waits(world: World):
    request = await world.ask(user_id="anna")
    await world.drain("requests", "work")
    journals = world.own["journals"]
    unit = f"{(await world.document(request)).work[0].intent}.json"
    late = await journals.read(unit)
    await journals.delete(unit)
    await world.seal()
    world.later(days=31)
    assert await world.closer.close_due() == 0
    assert await receipt(world, request) is None
    await journals.create(unit, late.data, metadata=late.metadata)
    await world.rest()
    assert await world.closer.close_due() == 1


async def test_a_request_that_needs_attention_never_closes_by_itself(world: World):
    await world.hold("h1", "person", "anna")
    request = await done(world, user_id="anna")
    world.later(days=60)
    assert await world.closer.close_due() == 0
    assert (await world.document(request)).state is State.NEEDS_ATTENTION
    assert await world.gate.keys.find(person("anna")) is not None


async def test_a_request_that_never_closes_hinders_no_other(world: World):
    request = await done(world, user_id="anna")
    held = await world.requests.load(request)
    endless = held.value.model_copy(update={"recoverable": {"users": None}})  # a store keeps copies without end
    await world.requests.save(endless, held.etag)
    other = await done(world, user_id="bob")
    world.later(days=31)
    assert await world.closer.close_due() == 1
    assert [(await world.document(each)).state for each in (request, other)] == [State.DONE, State.CLOSED]


async def test_one_that_was_rejected_halfway_closes_with_a_receipt_and_without_the_key(world: World):
    await world.hold("h1", "record", locator(world.policy.category("users"), "anna", "anna").text())
    request = await done(world, user_id="anna")
    await send(world, "resolve", request=request, by="the office", reason="a dispute")
    await world.rest()
    assert (await world.document(request)).state is State.REJECTED
    world.later(days=31)
    assert await world.closer.close_due() == 1
    document = await world.document(request)
    assert (document.state, document.scope) == (State.REJECTED, None)
    assert (await receipt(world, request)).state == "rejected"
    world.sweeping = True
    await world.rest()
    assert await world.gate.keys.find(person("anna")) is None


@pytest.mark.parametrize("call", range(1, 45))
async def test_a_crash_before_any_call_of_closing_is_finished_by_the_next_run(world: World, call: int):
    request = await done(world, user_id="anna")
    world.later(days=31)
    world.steps.turn = countdown = Countdown(call, die)
    with suppress(CrashError):
        await world.closer.close_due()
    world.steps.turn = None
    assert countdown.taken <= 44, "closing makes more calls than are tried here"
    await world.closer.close_due()
    await world.rest()
    assert (await world.document(request)).state is State.CLOSED
    assert len((await receipt(world, request)).subjects) == 1
    closed = [e for e in await world.events() if e["type"] == "retention.request.closed"]
    assert len(closed) == 1
    assert "subject" not in closed[0]
    await assert_whole(world)


async def test_two_requests_about_one_person_that_close_together_leave_no_key(world: World):
    await done(world, user_id="anna")
    world.user("anna")
    await done(world, user_id="anna")
    world.later(days=31)
    assert await world.closer.close_due() == 2
    world.sweeping = True
    await world.rest()
    assert await world.gate.keys.find(person("anna")) is None


async def carried_out_by_a_worker_that_dies_at_the_end(world: World) -> str:
    """A request of which all is done, and whose last event waits in its document."""
    request = await world.ask(user_id="anna")
    await world.deliver("requests")

    async def dies_when_all_is_done(name: str) -> None:
        if name == "before create" and b'"state":"done"' in world.own["requests"]._objects[f"{request}.json"].data:
            await die()

    world.steps.turn = dies_when_all_is_done
    await world.deliver("work")
    world.steps.turn = None
    world.queues["work"].messages.clear()
    assert (await world.document(request)).outbox
    return request


@pytest.mark.parametrize("rejected", [False, True])
async def test_of_two_runs_at_once_one_closes_a_request_and_the_other_finds_it_closed(world: World, rejected: bool):
    if rejected:
        await world.hold("h1", "record", locator(world.policy.category("users"), "anna", "anna").text())
    request = await done(world, user_id="anna")
    if rejected:
        await send(world, "resolve", request=request, by="the office", reason="a dispute")
        await world.rest()
    world.later(days=31)
    found = []

    async def rival(name: str) -> None:
        if name == "before read":  # the other has listed the request by then
            world.steps.turn = None
            found.append(await world.closer.close_due())

    world.steps.turn = rival
    found.append(await world.closer.close_due())
    assert found == [1, 0]
    await world.rest()
    closed = [e for e in await world.events() if e["type"] == "retention.request.closed"]
    assert [each["data"]["request"] for each in closed] == [request]


async def test_an_event_that_reached_the_log_hours_late_is_found_all_the_same(world: World):
    await carried_out_by_a_worker_that_dies_at_the_end(world)
    world.later(hours=2)
    await world.ask(user_id="bob")
    await world.drain()
    await world.rest()  # the watch posts what waits
    world.later(days=31)
    assert await world.closer.close_due() == 2


async def test_what_was_told_about_the_request_soon_after_its_end_stands_in_the_receipt_too(world: World):
    """As a worker's correction would, that slept in the middle of its call."""
    request = await done(world, user_id="anna")
    told = next(event for event in await world.events() if event["type"] == "retention.record.erased")
    await done(world, user_id="bob")  # the log goes on before it comes
    correction = {**told, "id": f"{'c' * 32}/0", "data": {**told["data"], "corrects": told["id"]}}
    await world.gate.journals.post("c" * 32, [audit.canonical(correction)], log=str(world.now.year))
    await world.rest()
    world.later(days=31)
    assert await world.closer.close_due() == 2
    held = [each.event for each in (await receipt(world, request)).events]
    assert held[-1] == correction
    assert all(request in json.dumps(event) for event in held), "and nothing of what was told of anybody else"


async def test_a_request_that_was_carried_out_when_a_new_log_had_begun_has_its_events_of_both(world: World):
    world.now = START.replace(month=12, day=31, hour=23)
    world.later(minutes=50)
    await done(world, user_id="bob")  # the log of the old year has more than the new one will have
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    world.later(hours=1)
    await world.rest()
    world.later(days=31)
    assert await world.closer.close_due() == 2
    assert {each.log for each in (await receipt(world, request)).events} == {"2026", "2027"}


async def test_a_request_whose_key_is_gone_before_it_could_be_written_down_as_closed_closes_all_the_same(world: World):
    request = await done(world, user_id="anna")
    world.later(days=31)
    world.own["requests"].arm(Fault(write="replace", applied=False))
    with pytest.raises(TransientError):
        await world.closer.close_due()
    world.sweeping = True
    await world.rest()
    assert await world.gate.keys.find(person("anna")) is None
    assert await world.closer.close_due() == 1
    assert (await world.document(request)).state is State.CLOSED
    assert len((await receipt(world, request)).subjects) == 1
