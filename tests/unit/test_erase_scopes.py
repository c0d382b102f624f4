"""What else of a person's is erased with them: addresses, carts, invoices that a law keeps, a home with a decision."""

from uuid import uuid4

import pytest
from promises import assert_whole
from world import START, World, found, home_of

from shared import messages
from shared.model import ScopeKind
from shared.requests.documents import State
from shared.requests.erase import SHARED_ADDRESS, UNDATED

ADDRESS = "anna@anna.example"


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def send(world: World, kind: str, **fields) -> str:
    """Send a message of any type; return its id."""
    body = messages.compose(kind, id=(number := str(uuid4())), **fields)
    await world.queues["requests"].send(body, message_id=number)
    return number


async def asked(world: World, subject: dict, **more):
    """The document of an erasure that was carried out, and the events."""
    who = {"requested_by": "the person", "identity_verified_by": "the office"}
    request = await send(world, "erase", subject=subject, **who, **more)
    await world.rest()
    return await world.document(request), await assert_whole(world)


def course(world: World, name: str, **fields: str) -> None:
    world.put("course-registrations", {"id": name, "courseId": "c1", "name": "Somebody", **fields})


def letter(world: World, name: str, email: str) -> None:
    world.put("newsletter", {"id": name, "subscriberId": name, "email": email})


def invoice(world: World, name: str, **fields: str) -> None:
    world.put("invoices", {"id": name, "userId": "anna", **fields})


async def test_what_names_only_the_persons_address_goes_with_the_person(world: World):
    course(world, "r1", email="Anna@ANNA.example")
    course(world, "r2", userId="anna", email="other@work.example")
    course(world, "r3", email="bob@bob.example")
    letter(world, "s1", ADDRESS)
    letter(world, "s2", "bob@bob.example")
    document, _ = await asked(world, {"user_id": "anna"})
    assert document.state is State.DONE
    assert (world.keys("course-registrations"), world.keys("newsletter")) == (["r3"], ["s2"])
    assert document.outcomes()["course-registrations"] == {"erased": 2}


async def test_somebody_without_an_account_is_erased_by_the_address_alone(world: World):
    letter(world, "s1", "Guest@Somewhere.Example")
    course(world, "r1", email="guest@somewhere.example")
    document, events = await asked(world, {"email": "guest@somewhere.example"})
    assert (document.state, document.scope) == (State.DONE, (ScopeKind.ADDRESS, "guest@somewhere.example"))
    assert (world.keys("course-registrations"), world.keys("newsletter")) == ([], [])
    assert "anna" in world.keys("users")
    assert "guest" not in str(events)


async def test_an_address_that_no_record_names_needs_a_person(world: World):
    letter(world, "s1", "guest@somewhere.example")
    document, _ = await asked(world, {"email": "nobody@somewhere.example"})
    assert (document.state, document.reason) == (
        State.NEEDS_ATTENTION,
        "the e-mail address matches nobody",
    )
    assert world.keys("newsletter") == ["s1"]


async def test_an_address_of_two_users_is_left_for_a_person_to_decide(world: World):
    world.user("dora", email=ADDRESS)
    letter(world, "s1", ADDRESS)
    document, _ = await asked(world, {"user_id": "anna"})
    assert (document.state, document.reason) == (State.NEEDS_ATTENTION, SHARED_ADDRESS)
    assert world.keys("newsletter") == ["s1"]
    assert "anna" not in world.keys("users")
    second, _ = await asked(world, {"user_id": "dora"})  # now the address is hers alone
    assert second.state is State.DONE
    assert world.keys("newsletter") == []
    await send(world, "retry", request=document.id, by="the office")
    await world.rest()
    assert (await world.document(document.id)).state is State.DONE


async def test_an_address_of_two_users_that_nothing_names_hinders_nothing(world: World):
    world.user("dora", email=ADDRESS)
    document, _ = await asked(world, {"user_id": "anna"})
    assert document.state is State.DONE


async def test_invoices_stay_until_the_law_lets_them_go_and_the_answer_says_when(world: World):
    invoice(world, "i1", issuedAt="2024-05-01T10:00:00Z")
    invoice(world, "i2", issuedAt="2025-12-31T22:59:59Z")
    document, events = await asked(world, {"user_id": "anna"})
    until = START.replace(year=2030, month=12, day=31, hour=23)  # the end of 2030 in Oslo
    assert (document.state, dict(document.retained)) == (State.DONE, {"invoices": until})
    assert world.keys("invoices") == ["i1", "i2"]
    said = sorted(e["data"]["outcome"]["until"] for e in events if e["type"] == "retention.record.retained")
    assert said == ["2029-12-31T23:00:00Z", "2030-12-31T23:00:00Z"]
    [completed] = [e for e in events if e["type"] == "retention.request.completed"]
    assert completed["data"]["retained"] == {"invoices": "2030-12-31T23:00:00Z"}


async def test_an_invoice_past_its_period_goes_with_the_person(world: World):
    invoice(world, "i1", issuedAt="2018-05-01")
    document, _ = await asked(world, {"user_id": "anna"})
    assert (document.state, dict(document.retained)) == (State.DONE, {})
    assert world.keys("invoices") == []


async def test_an_invoice_that_does_not_say_when_it_was_issued_is_kept_and_needs_a_person(world: World):
    invoice(world, "i1", issuedAt="last spring")
    document, _ = await asked(world, {"user_id": "anna"})
    assert (document.state, document.reason) == (State.NEEDS_ATTENTION, UNDATED)
    assert dict(document.retained) == {"invoices": None}
    assert world.keys("invoices") == ["i1"]


async def test_a_sweep_takes_an_invoice_whose_period_is_over(world: World):
    invoice(world, "i1", issuedAt="2020-05-01")
    invoice(world, "i2", issuedAt="2021-05-01")
    world.sweeping = True
    await world.rest()
    assert world.keys("invoices") == ["i2"]
    await assert_whole(world)


async def test_a_guests_cart_is_erased_by_its_session_and_a_users_by_the_person(world: World):
    world.put("cart-guest", {"id": "c1", "sessionId": "s1", "items": []})
    world.put("cart-user", {"id": "c2", "sessionId": "s1", "userId": "anna", "items": []})
    world.put("cart-guest", {"id": "c3", "sessionId": "s2", "items": []})
    document, _ = await asked(world, {"session_id": "s1"})
    assert (document.state, document.outcomes()) == (State.DONE, {"cart-guest": {"erased": 1}})
    assert world.keys("cart-guest") == ["c2", "c3"]
    await asked(world, {"user_id": "anna"})
    assert world.keys("cart-guest") == ["c3"]


async def test_a_session_that_left_nothing_is_done_and_no_question(world: World):
    document, _ = await asked(world, {"session_id": "long-gone"})
    assert (document.state, document.outcomes()) == (State.DONE, {})


async def test_a_home_with_members_goes_only_with_a_decision_about_them(world: World):
    document, _ = await asked(world, {"home_id": "skogveien"})
    assert (document.state, "skogveien" in world.keys("homes")) == (State.NEEDS_ATTENTION, True)
    document, _ = await asked(world, {"home_id": "skogveien"}, decision_on_members="both agreed: the office")
    assert (document.state, world.keys("homes")) == (State.DONE, ["birkeveien"])
    assert not await found(world, "operation-log", home_of("skogveien"))
    assert {"bob", "cleo"} <= set(world.keys("users"))


async def test_a_persons_hold_keeps_what_is_theirs_by_address_too(world: World):
    letter(world, "s1", ADDRESS)
    await world.hold("h1", "person", "anna")
    document, _ = await asked(world, {"user_id": "anna"})
    assert document.state is State.NEEDS_ATTENTION
    assert world.keys("newsletter") == ["s1"]
    await world.release("h1")
    await send(world, "retry", request=document.id, by="the office")
    await world.rest()
    assert (await world.document(document.id)).state is State.DONE
    assert world.keys("newsletter") == []
    assert not [u for u in world.keys("users") if u == "anna"]
