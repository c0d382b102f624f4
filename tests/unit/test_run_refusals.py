"""What a worker refuses or ends: another policy than the planned one, orders of other runs, subjects that are held."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from disturbances import CrashError
from orders import LOG, approve, rows, told
from promises import assert_whole
from world import LINES, World

from shared import messages
from shared.audit import EventType
from shared.plan import Caps, Finish
from shared.policy import Policy
from shared.policy_file import load
from shared.runs import SliceProgress

FEW = Caps(absolute=3, factor=2, floor=1)


async def tick(world: World, category: str = LOG, *, forced: bool = False):
    return (await world.planner.tick(only=[category], forced=forced))[category]


async def current(world: World, category: str = LOG):
    return (await world.runs.current(category)).value


async def a_run(world: World, category: str) -> None:
    """One run before its time, to its end."""
    await tick(world, category, forced=True)
    await world.deliver("sweeps")
    await tick(world, category)
    world.later(seconds=1)


def alarms(text: str = "") -> list[str]:
    return [line for line in LINES.texts if line.startswith("ALARM") and text in line]


# ---------------------------------------------------------------- the policy since


def of_one_day(tmp_path: Path) -> Policy:
    """The policy with a period of a day for the log."""
    text = (Path(__file__).parents[2] / "policy.yaml").read_text(encoding="utf-8")
    start = text.index(f"- id: {LOG}")
    path = tmp_path / "policy.yaml"
    path.write_text(text[:start] + text[start:].replace("P30D", "P1D", 1), encoding="utf-8")
    return load(path)


def redeployed(world: World, policy: Policy) -> None:
    world.policy = policy
    world.sweeps = replace(world.sweeps, policy=policy)
    world.planner = replace(world.planner, policy=policy)


def young_rows(world: World, number: int) -> None:
    at = f"{world.now - timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"
    for each in range(number):
        world.put(LOG, {"id": f"young-{each}", "homeId": "birkeveien", "at": at})


async def test_a_run_that_was_counted_by_another_policy_ends_and_the_next_one_counts_anew(tmp_path: Path):
    world = World(caps=FEW)
    rows(world, 1)
    young_rows(world, 50)
    await tick(world)
    first = await current(world)
    redeployed(world, of_one_day(tmp_path))
    await world.drain("sweeps")
    assert len(world.keys(LOG)) == 51
    await tick(world)
    ended = await current(world)
    assert (ended.run, dict(ended.totals.strange)) == (first.run, {"the policy has changed since": first.slices})
    world.later(hours=1)
    await tick(world)
    assert ((await current(world)).found, (await current(world)).approval) == (4, "waiting")


async def test_a_run_that_waits_for_approval_ends_by_itself_when_the_policy_has_changed(tmp_path: Path):
    world = World(caps=FEW)
    rows(world, 9)
    await tick(world)
    run = await current(world)
    redeployed(world, of_one_day(tmp_path))
    world.later(minutes=1)
    strange = {"the policy has changed since": run.slices}
    assert await tick(world) == Finish(totals=SliceProgress(done=True, strange=strange))
    assert (await current(world)).finished == world.now
    world.later(hours=1)
    await tick(world)
    again = await current(world)
    assert (again.run != run.run, again.approval) == (True, "waiting")
    assert len(world.keys(LOG)) == 9


async def test_the_unit_that_was_open_when_the_policy_changed_is_finished_and_no_other(tmp_path: Path):
    world = World()
    rows(world, 7)
    await tick(world)

    async def dies(name: str) -> None:
        if name == "before delete":
            raise CrashError

    world.steps.turn = dies
    await world.deliver("sweeps")
    world.steps.turn = None
    redeployed(world, of_one_day(tmp_path))
    world.later(minutes=6)  # before, its worker may still be at it
    await world.drain("sweeps")
    assert 1 <= len(world.records.done) <= 4, "one unit of each slice"
    await world.rest()
    await assert_whole(world)


# ---------------------------------------------------------------- orders of other runs


async def orphaned(world: World) -> str:
    """A run whose planner died before it was the category's: its id."""

    async def dies(name: str) -> None:
        if name == "before create" and [each async for each in world.own["runs"].list(f"{LOG}/")]:
            raise CrashError

    world.steps.turn = dies
    with pytest.raises(CrashError):
        await tick(world)
    world.steps.turn = None
    [name] = [each.name async for each in world.own["runs"].list(f"{LOG}/")]
    return name.split("/")[1]


async def send(world: World, run: str, number: int = 0) -> None:
    body = messages.slice_order(category=LOG, run=run, number=number, attempt=1, hop=0)
    await world.queues["sweeps"].send(body, message_id=f"forged-{run}-{number}")


async def test_an_order_of_a_run_that_is_not_its_categorys_is_not_carried_out():
    world = World(caps=FEW)
    rows(world, 5)
    run = await orphaned(world)
    for _ in range(2):  # while the category has no run, and while it has another
        await send(world, run)
        await world.drain("sweeps")
        assert len(world.keys(LOG)) == 5
        assert alarms("is not its category's")
        await tick(world)
        world.later(hours=1)
    assert not [each async for each in world.own["parking"].list()]


async def test_a_late_order_of_a_run_that_is_over_is_no_alarm():
    world = World()
    rows(world, 2)
    await tick(world)
    late = list(world.queues["sweeps"].messages)
    await world.drain("sweeps")
    await tick(world)
    await tick(world, forced=True)
    for message in late:
        await world.handle("sweeps", message)
    assert not alarms("")


async def test_a_run_that_its_planner_left_half_made_ends_by_itself():
    world = World()
    rows(world, 5)
    run = await orphaned(world)
    [entry] = [each async for each in world.own["runs"].list(f"{LOG}/")]
    assert entry.metadata == {"ended_at": f"{world.now + timedelta(days=90):%Y-%m-%dT%H:%M:%SZ}"}
    world.later(days=180, hours=1)
    await world.rest()
    assert not [each async for each in world.own["runs"].list(f"{LOG}/{run}/")]


async def test_a_run_whose_document_is_gone_ends_when_it_goes_on():
    world = World(caps=FEW)
    rows(world, 5)
    await tick(world)
    run = (await current(world)).run
    world.later(days=180, hours=1)
    await tick(world, "runs")
    await world.drain("sweeps")
    assert await world.runs.document(LOG, run) is None
    await approve(world, run)
    await tick(world)
    await world.drain("sweeps")
    await tick(world)
    assert len(world.keys(LOG)) == 5
    await approve(world, (await current(world)).run)
    await world.rest()
    [ended] = [e for e in told(await assert_whole(world), EventType.RUN_COMPLETED) if e["run"] == run]
    assert ended["strange"] == {"the plan is gone": 2}
    assert not [each async for each in world.own["parking"].list()]


# ---------------------------------------------------------------- who is held


def asked(world: World) -> Sequence[bytes]:
    return [each.body for each in world.queues["requests"].messages]


@pytest.mark.parametrize(("kind", "target"), [("person", "anna"), ("category", "users")])
async def test_a_person_that_a_hold_covers_is_not_asked_to_go_and_the_others_are(kind: str, target: str):
    world = World()
    for who in ("anna", "bob"):
        world.user(who, contractEndedAt="2026-02-20T00:00:00Z")
    await world.hold("h", kind, target)
    await a_run(world, "users")
    totals = (await current(world, "users")).totals
    others = 1 if kind == "person" else 0
    assert (totals.expired, totals.forwarded, dict(totals.outcomes)) == (2, others, {"held": 2 - others})
    assert [b"bob" in body for body in asked(world)] == [True] * others
    await world.release("h")
    await a_run(world, "users")
    assert Counter(b"anna" in body for body in asked(world))[True] == 1


async def test_a_home_that_is_held_is_no_new_request_each_day():
    world = World()
    world.home("tomtveien")
    await world.hold("h", "home", "tomtveien")
    for _ in range(4):
        await world.rest()
        world.later(days=1)
    assert await world.documents() == []
    assert world.keys("homes") == ["tomtveien"]


# ---------------------------------------------------------------- what is kept of a run


async def test_no_place_in_a_listing_is_kept_of_a_slice_or_a_run_that_is_over(tmp_path: Path):
    world = World(unit=1)
    for number in range(5):
        world.user(f"anna{number}", contractEndedAt="2026-02-20T00:00:00Z")
    world.hurry = lambda: True
    await tick(world, "users")
    run = (await current(world, "users")).run
    await world.deliver("sweeps")
    kept = [(await world.own["runs"].read(each.name)).data async for each in world.own["runs"].list("users/")]
    assert any(b"anna" in data for data in kept), "else this test shows nothing"
    redeployed(world, of_one_day(tmp_path))
    await world.drain("sweeps")
    await tick(world, "users")
    kept = [(await world.own["runs"].read(each.name)).data async for each in world.own["runs"].list("users/")]
    assert not any(b"anna" in data for data in kept)
    document = await world.runs.document("users", run)
    assert {each.bounds for each in document.slices} == {""}
