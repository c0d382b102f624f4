"""Erasures that the policy asks for: what a person does, or asks for, between the asking and the work."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from promises import assert_whole
from world import LINES, World, locator, person
from world import POLICY as HERE

from shared import messages
from shared.model import ScopeKind
from shared.policy import Category
from shared.requests.by_policy import POLICY, RULE, start_erasure
from shared.requests.documents import RequestDocument, State
from shared.requests.erase import NO_HOMES, NOT_DUE

OFFICE = "the office"


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.neighbourhood()
    return world


async def send(world: World, kind: str, **fields) -> None:
    await world.queues["requests"].send(messages.compose(kind, id=str(uuid4()), **fields), message_id=str(uuid4()))
    await world.rest()


async def asked_for(world: World, category: str) -> None:
    """A sweep met what is due, and sent its orders; nobody has taken them."""
    await world.planner.tick(only=[category], forced=True)
    await world.drain("sweeps")
    await world.planner.tick(only=[category])  # the run has ended
    assert len(world.queues["requests"].messages) == 1


def under(world: World, row: str, change: Callable[[Category], Mapping[str, Any]]) -> None:
    """Deploy the policy with a row changed."""
    rows = [c.model_copy(update=change(c)) if c.id == row else c for c in world.policy.categories]
    world.policy = replace(world.policy, categories=tuple(rows))
    for part in (world.tools, world.intake):
        object.__setattr__(part, "policy", world.policy)


async def the_policys(world: World) -> RequestDocument:
    """The request that the policy made, at the end."""
    await world.rest()
    [found] = [each for each in await world.documents() if each.received_at.hour == 0]  # the others are of noon
    return found


async def test_a_user_who_comes_back_while_the_policys_request_waits_is_not_erased(world: World):
    world.user("dora", active_days_ago=800)
    await send(world, "pause", category="erasures", reason="a doubt", by=OFFICE)
    await asked_for(world, "users")
    await world.drain()
    assert [each.state for each in await world.documents()] == [State.ACCEPTED]
    world.user("dora")  # back, and active
    await send(world, "resume", category="erasures", by=OFFICE)
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert "dora" in world.keys("users")
    await assert_whole(world)


async def test_what_a_rule_asked_for_that_the_policy_has_no_more_is_not_carried_out(world: World):
    """A rule that was wrong is taken out, while its orders wait."""
    world.user("dora", active_days_ago=800)
    rule = world.policy.category("users").rules[-1].model_copy(update={"id": "users-of-yesterday"})
    await start_erasure(person("dora"), rule, world.now, keys=world.gate.keys, queue=world.queues["requests"])
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert "dora" in world.keys("users")
    await assert_whole(world)


async def test_a_home_that_somebody_joins_before_the_policys_request_is_taken_stays_and_nobody_is_asked(world: World):
    world.home("tomtveien")
    await asked_for(world, "homes")
    world.put("homes", {"id": "tomtveien", "homeId": "tomtveien", "members": ["bob"]})
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert {"tomtveien-hub"} <= set(world.keys("devices"))
    await assert_whole(world)


async def test_a_home_that_somebody_joins_while_the_policys_request_waits_stays_and_nobody_is_asked(world: World):
    world.home("tomtveien")
    await send(world, "pause", category="erasures", reason="a doubt", by=OFFICE)
    await asked_for(world, "homes")
    await world.drain()
    world.put("homes", {"id": "tomtveien", "homeId": "tomtveien", "members": ["bob"]})
    await send(world, "resume", category="erasures", by=OFFICE)
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    await assert_whole(world)


async def test_a_home_that_somebody_joins_during_the_work_stays_and_nobody_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.home("tomtveien")
    await asked_for(world, "homes")
    empty, answers = world.records.empty, []

    async def joined_afterwards(*which) -> bool:
        answers.append(await empty(*which))
        world.put("homes", {"id": "tomtveien", "homeId": "tomtveien", "members": ["bob"]})
        return answers[-1]

    monkeypatch.setattr(world.records, "empty", joined_afterwards)
    document = await the_policys(world)
    assert answers == [True, False]
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    await assert_whole(world)


async def test_a_home_that_its_last_members_own_request_took_along_needs_nobodys_attention(world: World):
    """The sweep met it in the moment between the leaving and the erasure: each of the two may come first."""
    world.put("homes", {"id": "birkeveien", "homeId": "birkeveien", "members": []})
    await asked_for(world, "homes")
    orders, world.queues["requests"].messages = world.queues["requests"].messages, []
    world.put("homes", {"id": "birkeveien", "homeId": "birkeveien", "members": ["anna"]})
    await world.ask(user_id="anna")
    await world.rest()
    assert "birkeveien" not in world.keys("homes")
    world.queues["requests"].messages += orders
    document = await the_policys(world)
    assert (document.state, document.reason, document.outcomes()) == (State.DONE, "", {})
    assert not [line for line in LINES.texts if "needs attention" in line]
    await assert_whole(world)


async def test_somebody_whose_own_request_came_first_needs_nobodys_attention(world: World):
    world.user("dora", active_days_ago=800)
    await asked_for(world, "users")
    orders, world.queues["requests"].messages = world.queues["requests"].messages, []
    await world.ask(user_id="dora")
    await world.rest()
    world.queues["requests"].messages += orders
    document = await the_policys(world)
    assert (document.state, document.reason, document.outcomes()) == (State.DONE, "", {})
    await assert_whole(world)


# ---------------------------------------------------------------- the record says otherwise by now


@pytest.mark.parametrize("said", [{}, {"contractEndedAt": None}, {"contractEndedAt": ""}, {"contractEndedAt": "never"}])
async def test_whose_contract_goes_on_is_not_erased(world: World, said: dict[str, str]):
    world.user("dora", contractEndedAt="2026-02-27T00:00:00Z")
    await asked_for(world, "users")
    world.user("dora", **said)
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert "dora" in world.keys("users")


@pytest.mark.parametrize("members", [None, "bob", ["bob"]])
async def test_a_home_whose_members_are_no_empty_list_is_none_that_a_sweep_would_meet(world: World, members):
    world.home("tomtveien")
    await asked_for(world, "homes")
    world.put("homes", {"id": "tomtveien", "homeId": "tomtveien", "members": members})
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert "tomtveien" in world.keys("homes")


async def test_a_user_who_came_back_is_not_erased_although_the_listing_ends_with_an_empty_page(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.user("dora", active_days_ago=800)
    await asked_for(world, "users")
    world.user("dora")
    of_scope = world.records.of_scope

    async def one_page_more(*which, **options):
        async for page in of_scope(*which, **options):
            yield page
        yield replace(page, records=())

    monkeypatch.setattr(world.records, "of_scope", one_page_more)
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)


async def test_a_home_that_somebody_joins_between_the_last_look_and_its_deletion_stays_and_nobody_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.home("tomtveien")
    await asked_for(world, "homes")
    delete = world.records.delete

    async def joined_first(*which, **options):
        world.put("homes", {"id": "tomtveien", "homeId": "tomtveien", "members": ["bob"]})
        return await delete(*which, **options)

    monkeypatch.setattr(world.records, "delete", joined_first)
    document = await the_policys(world)
    assert [dict(unit.outcomes or {}) for unit in document.work] == [{"renewed": 1}]
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)


async def test_who_comes_back_while_all_is_held_is_not_erased_when_the_hold_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.user("dora", active_days_ago=800)
    await asked_for(world, "users")
    values = world.records.values

    async def held_meanwhile(*which):
        await world.hold("h", "category", "users")  # the work has begun, and taken nothing yet
        return await values(*which)

    monkeypatch.setattr(world.records, "values", held_meanwhile)
    document = await the_policys(world)
    assert document.state is State.NEEDS_ATTENTION
    world.user("dora")
    await world.release("h")
    await send(world, "retry", request=document.id, by=OFFICE)
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert "dora" in world.keys("users")


DORA = locator(HERE.category("users"), "dora", "dora").text()


@pytest.mark.parametrize(("kind", "target"), [("category", "users"), ("record", DORA), ("person", "dora")])
async def test_who_is_held_when_the_work_begins_keeps_everything_and_is_asked_for_again_when_the_hold_is_gone(
    world: World, kind: str, target: str
):
    """As where the hold had come before the sweep: that forwards nobody whose record is held."""
    world.user("dora", active_days_ago=800)
    world.home("tomtveien", "dora")
    await asked_for(world, "users")
    await world.hold("h", kind, target)
    before = world.everything()
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert world.everything() == before
    await world.release("h")
    world.later(days=1)
    await asked_for(world, "users")
    await world.rest()
    assert sorted(each.state for each in await world.documents()) == [State.DONE, State.REJECTED]
    assert "tomtveien" not in world.keys("homes")
    assert "dora" not in world.keys("users")
    await assert_whole(world)


async def test_a_home_that_is_made_anew_while_its_erasure_is_at_work_stays_and_nobody_is_asked(world: World):
    world.home("tomtveien")
    await asked_for(world, "homes")
    world.hurry = lambda: True
    await world.deliver("requests")
    await world.deliver("work")
    world.hurry = lambda: False
    assert "tomtveien" not in world.keys("homes")
    world.put("homes", {"id": "tomtveien", "homeId": "tomtveien", "members": ["bob"]})
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert document.outcomes() == {"homes": {"erased": 1}}
    assert {"tomtveien", "tomtveien-hub"} <= {*world.keys("homes"), *world.keys("devices")}
    assert [entry async for entry in world.register.entries()] == [], "nobody may erase it again after a restore"
    await assert_whole(world)


# ---------------------------------------------------------------- the policy says otherwise by now


async def test_a_rule_that_erases_nobody_any_more_is_not_carried_out_as_if_it_did(world: World):
    world.user("dora", active_days_ago=800)
    await asked_for(world, "users")
    under(
        world, "users", lambda users: {"rules": [rule.model_copy(update={"action": "delete"}) for rule in users.rules]}
    )
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)


async def test_a_row_that_is_about_homes_by_now_erases_no_person(world: World):
    world.user("dora", active_days_ago=800)
    await asked_for(world, "users")
    under(world, "users", lambda _: {"belongs_to": ScopeKind.HOME})
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)
    assert "dora" in world.keys("users")


async def test_a_row_that_is_only_planned_by_now_asks_for_nothing(world: World):
    world.home("tomtveien")
    await asked_for(world, "homes")
    under(world, "homes", lambda _: {"status": "planned"})
    document = await the_policys(world)
    assert (document.state, document.reason) == (State.REJECTED, NOT_DUE)


async def test_an_erasure_of_a_home_that_has_begun_when_its_row_becomes_planned_needs_attention(world: World):
    world.home("tomtveien", "dora")
    world.user("dora")
    world.hurry = lambda: True
    request = await world.ask(user_id="dora")
    await world.deliver("requests")
    await world.deliver("work")
    world.hurry = lambda: False
    under(world, "homes", lambda _: {"status": "planned"})
    await world.rest()
    document = await world.document(request)
    assert (document.state, document.reason) == (State.NEEDS_ATTENTION, NO_HOMES)


# ---------------------------------------------------------------- the order itself


async def test_an_order_that_comes_again_when_its_request_is_closed_is_no_message_that_somebody_must_look_at(
    world: World,
):
    world.home("tomtveien")
    await asked_for(world, "homes")
    [order] = world.queues["requests"].messages
    await the_policys(world)
    world.later(days=400)
    assert await world.closer.close_due() == 1
    world.queues["requests"].messages.append(order)
    await world.drain("requests")
    assert not [each async for each in world.own["parking"].list()]
    [document] = await world.documents()
    assert document.state is State.CLOSED


@pytest.mark.parametrize(("asked", "verified"), [(POLICY, OFFICE), (OFFICE, f"{RULE}users-inactive")])
async def test_a_persons_request_is_carried_out_whoever_it_says_asked(world: World, asked: str, verified: str):
    await world.queues["requests"].send(
        messages.compose(
            "erase", id=str(uuid4()), subject={"user_id": "anna"}, requested_by=asked, identity_verified_by=verified
        ),
        message_id="it",
    )
    await world.rest()
    assert [each.state for each in await world.documents()] == [State.DONE]
    assert "anna" not in world.keys("users")
