"""Requests where life is untidy: used ids, shared homes and who can read what of them, restores, copies, spellings."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from promises import assert_whole
from world import LINES, POLICY, START, World, home_of, locator, person

from shared import messages
from shared.documents import read
from shared.keys import name_of
from shared.model import Scope, ScopeKind, utc_text
from shared.parking import ParkedMessage
from shared.receipt import Receipt
from shared.requests.documents import State
from shared.requests.erase import RESTORED_HOME
from shared.requests.intake import USED
from shared.requests.scopes import HAS_USERS, spellings
from shared.requests.work import OTHERS

WHO = {"requested_by": "the person", "identity_verified_by": "the office"}
OFFICE = "the office"


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def send(world: World, kind: str, number: str | None = None, **fields) -> str:
    number = number or str(uuid4())
    await world.queues["requests"].send(messages.compose(kind, id=number, **fields), message_id=str(uuid4()))
    await world.rest()
    return number


async def erase(world: World, number: str | None = None, **subject: str) -> str:
    return await send(world, "erase", number, subject=subject, **WHO)


async def parked(world: World) -> list[str]:
    held = [await read(world.own["parking"], e.name, ParkedMessage) async for e in world.own["parking"].list()]
    return [each.value.reason for each in held]


async def closed(world: World, request: str) -> Receipt:
    world.later(days=31)
    await world.closer.close_due()
    stored = await world.own["receipts"].read(f"{request}.json")
    return Receipt.model_validate_json(stored.data)


# ---------------------------------------------------------------- used ids


async def test_an_order_about_somebody_else_under_the_id_of_a_closed_request_is_refused(world: World):
    request = await erase(world, user_id="anna")
    await closed(world, request)
    await erase(world, request, user_id="bob")
    assert "bob" in world.keys("users")
    assert await parked(world) == [USED]


@pytest.mark.parametrize("more", [{"decision_on_members": "both agreed"}, {}])
async def test_the_same_id_with_another_decision_is_another_order(world: World, more: dict[str, str]):
    request = await send(world, "erase", subject={"home_id": "skogveien"}, **WHO)
    assert (await world.document(request)).reason == HAS_USERS
    await send(world, "erase", request, subject={"home_id": "skogveien"}, **WHO, **more)
    assert await parked(world) == ([USED] if more else [])


# ---------------------------------------------------------------- whose key tells what


async def test_what_a_request_did_in_a_home_that_stays_is_told_under_the_persons_key_alone(world: World):
    first = await erase(world, user_id="bob")
    second = await erase(world, user_id="cleo")
    mine, theirs = await closed(world, first), await closed(world, second)
    assert [each.kind for each in (*mine.subjects, *theirs.subjects)] == [ScopeKind.PERSON, ScopeKind.PERSON]
    assert {e.event["subject"] for e in mine.events if "subject" in e.event} == {mine.subjects[0].pseudonym}
    assert not {e.event.get("subject") for e in mine.events} & {e.event.get("subject") for e in theirs.events} - {None}


async def test_no_key_of_an_address_or_home_outlives_the_request_that_made_it(world: World):
    world.put("newsletter", {"id": "s1", "subscriberId": "s1", "email": "old@anna.example", "userId": "anna"})
    request = await erase(world, user_id="anna")
    await closed(world, request)
    world.sweeping = True
    await world.rest()
    left = {entry.name async for entry in world.own["keys"].list() if not entry.name.startswith("category/")}
    assert left == {name_of(home_of("skogveien"))}, "the home of others, which was swept meanwhile"


async def test_a_second_request_before_the_keys_sweep_takes_the_key_up_again(world: World):
    first = await erase(world, user_id="anna")
    world.later(days=31)
    await world.closer.close_due()
    assert (await world.document(first)).state is State.CLOSED
    world.user("anna")
    second = await erase(world, user_id="anna")
    world.sweeping = True
    await world.rest()
    held = await closed(world, second)
    assert [each.id for each in held.subjects] == ["anna"]
    await world.rest()
    assert await world.gate.keys.find(person("anna")) is None


async def test_a_key_lives_as_long_as_a_request_needs_it_whatever_year_it_was_made_in(world: World):
    await world.gate.keys.of(person("anna"))
    world.later(days=1380)  # the middle of December 2029
    request = await erase(world, user_id="anna")
    world.later(days=25)  # 2030: what was made in 2026 goes with its log
    world.sweeping = True
    await world.rest()
    assert await world.gate.keys.find(person("anna")) is not None
    assert (await closed(world, request)).subjects


async def test_a_message_refused_under_the_id_of_a_request_is_emptied_when_that_closes(world: World):
    request = str(uuid4())
    body = json.dumps({"retention": {"version": 1, "type": "erase", "id": request, "subject": {"email": "anna"}}})
    await world.queues["requests"].send(body.encode(), message_id="m1")
    await world.rest()
    await erase(world, request, user_id="anna")
    await closed(world, request)
    [entry] = [each async for each in world.own["parking"].list()]
    held = await read(world.own["parking"], entry.name, ParkedMessage)
    assert held.value.content == b""
    assert held.value.dismissed_at is None, "it still waits for somebody to look"


# ---------------------------------------------------------------- pauses


async def test_pausing_erasures_stops_a_request_at_the_end_of_its_unit(world: World):
    for number in range(6):
        world.picture("birkeveien", days=1, number=number + 1)
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    units = 0
    inner = world.gate.journals.open

    async def opening(intent):
        nonlocal units
        units += 1
        if units == 2:
            await world.door.receive(
                messages.compose("pause", id=str(uuid4()), category="erasures", reason="?", by=OFFICE)
            )
        return await inner(intent)

    object.__setattr__(world.gate.journals, "open", opening)
    await world.deliver("work")
    assert units == 2
    assert (await world.document(request)).state is State.WORKING
    object.__setattr__(world.gate.journals, "open", inner)
    await send(world, "resume", category="erasures", by=OFFICE)
    assert (await world.document(request)).state is State.DONE
    await assert_whole(world)


# ---------------------------------------------------------------- restores


async def test_a_restored_home_that_others_live_in_now_needs_a_person(world: World):
    await erase(world, user_id="bob")
    await erase(world, user_id="cleo")  # took the home along
    assert "skogveien" not in world.keys("homes")
    world.later(days=1)
    world.user("cleo")
    world.home("skogveien", "dora", "cleo")  # in the backup Dora lived there too
    await send(world, "replay", by=OFFICE, backup_began=utc_text(START - timedelta(days=1)))
    states = {(each.state, each.reason) for each in await world.documents() if each.accepted_at > START}
    assert (State.NEEDS_ATTENTION, RESTORED_HOME) in states
    assert "skogveien" in world.keys("homes")


async def test_a_restored_person_is_searched_under_the_address_that_the_backup_has(world: World):
    await erase(world, user_id="anna")
    world.later(days=1)
    world.user("anna", email="earlier@anna.example")
    world.put("newsletter", {"id": "s1", "subscriberId": "s1", "email": "earlier@anna.example"})
    await send(world, "replay", by=OFFICE, backup_began=utc_text(START - timedelta(days=1)))
    assert (world.keys("users"), world.keys("newsletter")) == (["bob", "cleo"], [])


# ---------------------------------------------------------------- when it is over


async def test_a_backup_whose_name_tells_no_time_keeps_a_request_from_closing(world: World):
    world.put("backups", "full-copy.bak")
    request = await erase(world, user_id="anna")
    world.later(days=40)
    assert await world.closer.close_due() == 0
    assert (await world.document(request)).state is State.DONE
    world.remove("backups", "full-copy.bak")
    assert await world.closer.close_due() == 1


async def test_copies_that_a_store_keeps_longer_than_the_backups_delay_the_closing(world: World):
    world.records.recoverable_until = START + timedelta(days=100)
    request = await erase(world, user_id="anna")
    assert dict((await world.document(request)).recoverable) == {"camera-snapshots": START + timedelta(days=100)}
    world.later(days=99)
    assert await world.closer.close_due() == 0
    world.later(days=2)
    assert await world.closer.close_due() == 1


async def test_a_home_that_is_joined_while_the_request_works_is_erased_with_the_rest(world: World):
    request = await world.ask(user_id="anna")
    await world.deliver("requests")
    world.hurry = lambda: True
    await world.deliver("work")
    world.home("tomtveien", "anna")
    world.hurry = lambda: False
    await world.rest()
    assert (await world.document(request)).state is State.DONE
    assert "tomtveien" not in world.keys("homes")
    assert "tomtveien-hub" not in world.keys("devices")


@pytest.mark.parametrize(
    ("subject", "left"), [({"email": "ANNA@anna.example"}, []), (None, ["s1"])], ids=["theirs", "not"]
)
async def test_somebody_decides_whose_the_records_of_a_shared_address_are(world: World, subject, left: list[str]):
    world.user("dora", email="anna@anna.example")
    world.put("newsletter", {"id": "s1", "subscriberId": "s1", "email": "anna@anna.example"})
    request = await erase(world, user_id="anna")
    assert (await world.document(request)).state is State.NEEDS_ATTENTION
    more = {"subject": subject} if subject else {}
    await send(world, "resolve", request=request, by=OFFICE, reason="asked by phone", **more)
    document = await world.document(request)
    assert (document.state, world.keys("newsletter")) == (State.DONE, left)
    assert "dora" in world.keys("users")


async def test_after_a_retry_the_answer_counts_what_stays_now_and_not_what_stayed_then(world: World):
    world.put("invoices", {"id": "i1", "userId": "anna", "issuedAt": "2026-01-15"})
    await world.hold("h1", "home", "birkeveien")
    request = await erase(world, user_id="anna")
    document = await world.document(request)
    assert document.outcomes()["homes"] == {"held": 1}
    assert len(document.stayed_records) == 2
    await world.release("h1")
    await send(world, "retry", request=request, by=OFFICE)
    document = await world.document(request)
    assert document.outcomes()["homes"] == {"left": 1, "erased": 1}
    assert document.outcomes()["invoices"] == {"retained": 1}
    assert document.stayed_records == ()
    [completed] = [e for e in await assert_whole(world) if e["type"] == "retention.request.completed"]
    assert completed["data"]["outcomes"] == document.outcomes()


# ---------------------------------------------------------------- people and addresses


async def test_what_is_left_of_somebody_without_a_user_record_is_erased_by_user_id(world: World):
    world.remove("users", "anna", "anna")
    request = await erase(world, user_id="anna")
    assert (await world.document(request)).state is State.DONE
    assert "birkeveien" not in world.keys("homes")


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("jos\u00e9@x.example", "jose\u0301@x.example"),
        ("jose\u0301@x.example", "jos\u00e9@x.example"),
        ("ada@b\u00fccher.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ADA@B\u00dcCHER.example"),
    ],
    ids=["composed", "decomposed", "punycode", "own letters"],
)
async def test_an_address_is_found_however_it_is_spelled(world: World, stored: str, asked: str):
    world.user("dora", email=stored)
    world.put("newsletter", {"id": "s1", "subscriberId": "s1", "email": stored})
    request = await erase(world, email=asked)
    document = await world.document(request)
    assert (document.state, document.scope) == (State.DONE, (ScopeKind.PERSON, "dora"))
    assert world.keys("newsletter") == []


def test_spellings_are_few_and_the_plain_one_comes_first():
    assert [each.id for each in spellings(" Ada@X.example")] == ["ada@x.example", " ada@x.example"]
    assert spellings("ada@x.example") == (Scope(kind=ScopeKind.ADDRESS, id="ada@x.example"),)


async def test_a_row_that_names_another_user_too_is_that_users(world: World):
    world.put("course-registrations", {"id": "r1", "courseId": "c1", "email": "anna@anna.example", "userId": "bob"})
    request = await erase(world, user_id="anna")
    document = await world.document(request)
    assert (document.state, dict(document.strange)) == (State.DONE, {OTHERS: 1})
    assert world.keys("course-registrations") == ["r1"]


async def test_nothing_said_in_logs_or_events_names_anybody_in_all_of_this(world: World):
    await erase(world, email="anna@anna.example")
    texts = [json.dumps(each) for each in await world.events()] + LINES.texts
    assert not [text for text in texts if "anna" in text.lower()]
    assert locator(POLICY.category("users"), "anna", "anna").text() not in str(texts)
    assert await world.gate.keys.find(home_of("nowhere")) is None
