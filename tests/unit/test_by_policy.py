"""Erasures that the policy asks for: what a person does, or asks for, between the asking and the work."""

from uuid import uuid4

import pytest
from promises import assert_whole
from world import LINES, World, person

from shared import messages
from shared.requests.by_policy import start_erasure
from shared.requests.documents import RequestDocument, State
from shared.requests.erase import NOT_DUE

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
    assert answers == [True, False, False]
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
