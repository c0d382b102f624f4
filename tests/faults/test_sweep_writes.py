"""Each write of a sweep fails: run, current, progress, messages, outbox. Redelivery or the next tick ends the run once.

The writes are counted in an undisturbed run, so that a write added to the code is tested without anybody adding it.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from disturbances import Broken, Scene, die, die_at
from orders import approve
from promises import assert_whole
from world import World

from shared import audit
from shared.errors import PermanentError, RetentionError
from shared.plan import Caps
from shared.runs import SliceProgress


async def rows() -> World:
    """Two slices of old log rows, one row leased; young rows stay."""
    world = World()
    world.only = "operation-log"
    world.home("birkeveien", "anna", rows=1, old_rows=5, pictures=0)
    category = world.policy.category("operation-log")
    world.records.block(category, "birkeveien-anna-3", partition="birkeveien")
    return world


async def one() -> World:
    """One expired record: after it nothing is left that a second look could find."""
    world = World()
    world.only = "operation-log"
    world.home("birkeveien", "anna", rows=0, old_rows=1, pictures=0)
    return world


async def pictures() -> World:
    """Old pictures, and one whose name is no picture's."""
    world = World()
    world.only = "camera-snapshots"
    for number in range(3):
        world.picture("birkeveien", days=8 + number)
    world.picture("birkeveien", days=2)
    world.put("camera-snapshots", "thumbs.db", age=timedelta(days=400))
    return world


async def people() -> World:
    """A person whose contract has ended, and a home without users: sweeps that start requests."""
    world = World()
    world.only = "users"
    world.user("anna", contractEndedAt="2026-02-20T00:00:00Z")
    world.home("birkeveien", "anna", pictures=0)
    world.user("bob")
    return world


async def in_hops() -> World:
    """A worker whose time is over after every unit."""
    world = await rows()
    world.hurry = lambda: True
    return world


async def died() -> World:
    """A worker died in the middle of a unit."""
    world = await one()
    await world.planner.tick(only=["operation-log"])

    die_at(world, "before delete")
    await world.deliver("sweeps")
    return world


async def noted() -> World:
    """A worker died when it had noted a unit, and not written it down."""
    world = await one()
    await world.planner.tick(only=["operation-log"])
    creates = []

    async def dies_before_the_journal(name: str) -> None:
        creates.extend([name] * (name == "before create"))
        if len(creates) == 2:  # the first is its progress
            world.steps.turn = None
            await die()

    world.steps.turn = dies_before_the_journal
    await world.deliver("sweeps")
    return world


async def of_yesterdays_policy() -> World:
    """A run that was planned under another policy than its workers have."""
    world = await rows()
    yesterdays = replace(world.planner, policy=replace(world.policy, digest="sha256:22"))
    await yesterdays.tick(only=["operation-log"])
    return world


async def grown() -> World:
    """More rows are due than the run has counted."""
    world = World(caps=Caps(absolute=3))
    world.only = "operation-log"
    world.home("birkeveien", "anna", rows=0, old_rows=1, pictures=0)
    await world.planner.tick(only=["operation-log"])
    at = f"{world.now - timedelta(days=40):%Y-%m-%dT%H:%M:%SZ}"
    for number in range(4):
        world.put("operation-log", {"id": f"late-{number}", "homeId": "birkeveien", "at": at})
    return world


async def unsweepable() -> World:
    """The first look at a slice says that it can never be listed."""
    world = await one()
    await world.planner.tick(only=["operation-log"])
    listing = world.records.expired

    def never(*_: object, **__: object):
        world.records.expired = listing
        raise PermanentError("no item tells when it began")

    world.records.expired = never
    return world


async def work(world: World) -> None:
    for _ in range(3):
        with suppress(RetentionError):
            await world.planner.tick(only=[world.only])
        await world.deliver("sweeps")
        await world.deliver("requests", "work")


async def and_the_watch(world: World) -> None:
    await work(world)
    world.later(minutes=11)
    with suppress(RetentionError):
        await world.watch.journals()


BUILDS = (rows, one, pictures, people, in_hops, died, noted, of_yesterdays_policy, grown, unsweepable)
SCENES = {f.__name__: Scene(build=f, work=and_the_watch if f is noted else work) for f in BUILDS}
CASES = [
    (name, broken)
    for name, scene in SCENES.items()
    for broken in scene.all_broken()
    if name in ("rows", "one", "pictures")
    or (
        name == "people"
        and (broken.where in ("runs", "sweeps") or any("start_erasure" in str(s) for s in broken.sites))
    )
    or (name == "in_hops" and broken.where == "sweeps")
    or (name == "noted" and any(s.function in ("Gate.recover_or_forestall", "Journals.let_go") for s in broken.sites))
    or (name not in ("people", "in_hops") and "/slice/" in broken.name)
]


def test_every_kind_of_write_is_among_those_that_fail():
    made = {(scene, each.where, each.kind, each.name) for scene, each in CASES}
    assert {each for each in made if each[0] == "rows" and each[1] in ("runs", "sweeps", "ledger", "keys")} >= {
        ("rows", "runs", "create", "operation-log/current"),
        ("rows", "runs", "replace", "operation-log/current"),
        ("rows", "runs", "create", "operation-log/…/run"),
        ("rows", "runs", "create", "operation-log/…/slice/0000"),
        ("rows", "runs", "replace", "operation-log/…/slice/0000"),
        ("rows", "sweeps", "send", ""),
        ("rows", "ledger", "send", ""),
        ("rows", "keys", "create", "home/…"),
    }
    assert ("people", "requests", "send", "") in made


async def ended(world: World, scene: str) -> None:
    await world.rest()
    if scene in ("of_yesterdays_policy", "grown", "unsweepable"):  # what this run left is the next one's
        world.later(days=1)
        await world.planner.tick()
        held = await world.runs.current("operation-log")
        if held.value.approval == "waiting":
            await approve(world, held.value.run)
        await world.rest()
    events = await assert_whole(world)
    left = world.everything()
    match scene:
        case "rows" | "in_hops" | "of_yesterdays_policy":
            assert left["operation-log"] == ["birkeveien-anna-0", "birkeveien-anna-3"]
        case "one" | "died" | "grown" | "unsweepable":
            assert "operation-log" not in left
        case "pictures":
            assert len(left["camera-snapshots"]) == 2
            assert "thumbs.db" in left["camera-snapshots"]
        case "people":
            assert left == {"users": ["bob"]}
    assert_runs_tell_the_truth(events)


def assert_runs_tell_the_truth(events: list[dict]) -> None:
    """A completed run counts the events that it caused, or says that it could not count them all."""
    for event in events:
        if event["type"] == audit.EventType.RUN_COMPLETED:
            mine = [each for each in events if each["data"].get("cause", {}).get("run") == event["data"]["run"]]
            counted = sum(event["data"]["outcomes"].values())
            assert counted <= len(mine)
            assert counted == len(mine) or event["data"]["uncounted"]


@pytest.mark.parametrize(("scene", "broken"), CASES, ids=str)
async def test_after_a_failed_write_the_run_ends_once(scene: str, broken: Broken):
    world = await SCENES[scene].broken_world(broken)
    await ended(world, scene)


@pytest.mark.parametrize(
    ("scene", "broken"), [(s, b) for s, b in CASES if s == "rows" and b.how != "repeated"], ids=str
)
async def test_without_redelivery_the_planner_sends_what_is_unfinished_again(scene: str, broken: Broken):
    """Every message is dead-lettered at its first failure."""
    world = await SCENES[scene].build()
    SCENES[scene].arm(world, broken)
    with suppress(RetentionError):
        await world.planner.tick(only=[world.only])
    await world.deliver("sweeps")
    world.queues["sweeps"].messages.clear()
    await ended(world, scene)


@pytest.mark.parametrize("how", ["unapplied", "applied"])
async def test_a_unit_that_has_no_answer_is_swept_again_and_recovered(how):
    world = await rows()
    for nth in (2, *range(6, 30)):
        world.records.fail(nth=nth, applied=how == "applied")
    await work(world)
    world.records._faults.clear()
    await ended(world, "rows")


async def test_an_undisturbed_run_counts_what_it_did():
    world = await rows()
    await work(world)
    await world.rest()
    [event] = [each for each in await assert_whole(world) if each["type"] == audit.EventType.RUN_COMPLETED]
    assert event["data"]["outcomes"] == {"erased": 4, "blocked": 1}
    assert event["data"]["expired"] == 5
    current = await world.runs.current("operation-log")
    assert current.value.totals == SliceProgress(done=True, expired=5, outcomes={"erased": 4, "blocked": 1})
