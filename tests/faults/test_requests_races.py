"""A worker dies at any step, or somebody else acts at any step: a rival, a member who leaves too, a person who joins."""

import asyncio
from collections import Counter
from functools import partial

import pytest
from disturbances import Countdown, CrashError, die, dies, wander
from promises import assert_whole
from world import World

from shared import messages
from shared.errors import RetentionError
from shared.requests.documents import State


async def alone() -> World:
    world = World(sweeping=False)
    world.user("anna")
    world.home("birkeveien", "anna", pictures=0)
    world.request = await world.ask(user_id="anna")
    await world.deliver("requests")
    return world


async def couple() -> World:
    """Bob and Cleo share a home, and both have asked; Cleo's message has its turn later."""
    world = World(sweeping=False)
    world.user("bob")
    world.user("cleo")
    world.home("skogveien", "bob", "cleo", pictures=0)
    world.bob, world.cleo = [await world.ask(user_id=each) for each in ("bob", "cleo")]
    await world.deliver("requests")
    return world


def work_of(world: World, request: str) -> messages.Work:
    return messages.Work(version=1, type="work", request=request, hop=0)


async def erase(world: World, request: str) -> None:
    await world.eraser.carry_out(work_of(world, request), hurry=world.hurry)


async def disturbed(build, request: str, at: int, then) -> tuple[World, Countdown]:
    """The world after the work on a request at whose `at`-th step `then` happened."""
    world = await build()
    world.steps.turn = turn = Countdown(at, partial(then, world))
    try:
        await erase(world, getattr(world, request))
    except (RetentionError, CrashError) as error:
        world.errors.append(error)
    world.steps.turn = None
    return world, turn


def steps(build, request: str) -> range:
    _, turn = asyncio.run(disturbed(build, request, 0, dies))
    return range(1, turn.taken + 1)


ALONE = steps(alone, "request")
COUPLE = steps(couple, "bob")


@pytest.mark.parametrize("at", ALONE)
async def test_a_worker_that_dies_at_a_step_is_followed_by_one_that_ends_the_request(at):
    world, _ = await disturbed(alone, "request", at, dies)
    await world.rest()
    await assert_whole(world)
    assert world.everything() == {}
    assert (await world.document(world.request)).state is State.DONE


async def rival(world: World) -> None:
    """The broker gave the same message to another worker, who goes to the end."""
    await erase(world, world.request)


@pytest.mark.parametrize("at", ALONE)
async def test_two_workers_on_one_request_end_it_once(at):
    world, _ = await disturbed(alone, "request", at, rival)
    await world.rest()
    await assert_whole(world)
    assert world.everything() == {}
    assert (await world.document(world.request)).state is State.DONE
    went = [e for e in await world.events() if e["type"].endswith((".erased", ".left", ".already_gone"))]
    told = Counter((e["data"]["record"], e["data"].get("action")) for e in went)
    assert set(told.values()) == {1}, "one event for each record that was left, and each that is gone"


async def other_member(world: World) -> None:
    await erase(world, world.cleo)


async def other_member_dies(world: World) -> None:
    """The other one's worker dies when it has left the home, before it could look whether that is empty."""
    turn = Countdown(0, die)

    async def until_left(name: str) -> None:
        await turn(name)
        homes = world.policy.category("homes")
        if "cleo" not in (world.records.item(homes, "skogveien", partition="skogveien") or {"members": []})["members"]:
            raise CrashError

    world.steps.turn = until_left
    try:
        await erase(world, world.cleo)
    except CrashError as error:
        world.errors.append(error)
    world.steps.turn = None


@pytest.mark.parametrize("then", [other_member, other_member_dies])
@pytest.mark.parametrize("at", COUPLE)
async def test_both_members_leaving_at_the_same_moment_leave_nothing_behind(at, then):
    world, _ = await disturbed(couple, "bob", at, then)
    await world.rest()
    await assert_whole(world)
    assert world.everything() == {}
    assert {each.state for each in await world.documents()} == {State.DONE}


async def dora_joins(world: World) -> None:
    """What the company's application does: adds a member to a home that is there."""
    item = world.records.item(world.policy.category("homes"), "birkeveien", partition="birkeveien")
    world.joined = item is not None
    if item is not None:
        world.put("homes", {**item, "members": [*item["members"], "dora"]})


@pytest.mark.parametrize("at", ALONE)
async def test_somebody_who_joins_before_the_home_is_erased_keeps_it_whole(at):
    world = await alone()
    world.user("dora")
    world.steps.turn = Countdown(at, partial(dora_joins, world))
    await erase(world, world.request)
    world.steps.turn = None
    await world.rest()
    await assert_whole(world)
    left = world.everything()
    assert left.pop("users") == ["dora"]
    assert left == ({"homes": ["birkeveien"], "devices": ["birkeveien-hub"]} if world.joined else {})
    if world.joined:
        item = world.records.item(world.policy.category("homes"), "birkeveien", partition="birkeveien")
        assert item["members"] == ["dora"]


async def test_somebody_could_join_and_somebody_could_not():
    joined = set()
    for at in ALONE:
        world, _ = await disturbed(alone, "request", at, dora_joins)
        joined.add(world.joined)
    assert joined == {True, False}


async def empty_home() -> World:
    world = World(sweeping=False)
    world.home("birkeveien", pictures=0)
    world.request = await world.ask(home_id="birkeveien")
    await world.deliver("requests")
    return world


@pytest.mark.parametrize("at", steps(empty_home, "request"))
async def test_a_home_that_somebody_joined_after_its_erasure_was_asked_for_is_never_called_erased(at):
    world, _ = await disturbed(empty_home, "request", at, dora_joins)
    await world.rest()
    await assert_whole(world)
    document = await world.document(world.request)
    registered = [each async for each in world.own["register"].list()]
    if world.joined:
        assert sorted(world.everything()) == ["devices", "homes", "operation-log"]
        assert document.state is State.NEEDS_ATTENTION
        assert document.reason == "the home has users: decide about each of them"
        assert not registered
    else:
        assert world.everything() == {}
        assert document.state is State.DONE
        assert len(registered) == 1


@pytest.mark.parametrize("seed", range(30))
async def test_members_who_leave_at_once_in_any_order_of_steps_leave_nothing_behind(seed):
    world = await couple()
    world.steps.turn = wander(seed, (0, 0, 1, 2, 7))
    ends = await asyncio.gather(*(erase(world, each) for each in (world.bob, world.cleo)), return_exceptions=True)
    assert not [end for end in ends if isinstance(end, Exception) and not isinstance(end, RetentionError)]
    world.steps.turn = None
    await world.rest()
    await assert_whole(world)
    assert world.everything() == {}
    assert {each.state for each in await world.documents()} == {State.DONE}
