"""Each write of an approval, a pause and a resumption fails, or the process dies at a step of them: nothing is lost.

Never is a slice queued of a run that waits for approval, and a pause that is durable lets no further unit begin.
"""

from collections import Counter
from contextlib import suppress

import pytest
from disturbances import Broken, Scene, dies, disturbed, steps
from orders import LOG, order, pause, rows
from promises import assert_whole
from world import World

from shared.audit import EventType
from shared.errors import RetentionError
from shared.plan import Caps

APPROVAL, REQUEST = "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-33333333333"


async def send(world: World, kind: str, message_id: str, **fields: str) -> None:
    body = order(world, kind, again=message_id, **fields).model_dump_json(exclude_none=True)
    await world.queues["requests"].send(b'{"retention":' + body.encode() + b"}", message_id=message_id)


def guard(world: World) -> None:
    """Let no slice be queued of a run that waits for approval."""
    queue = world.queues["sweeps"]
    inner = queue.send

    async def guarded(body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        stored = await world.own["runs"].read(f"{LOG}/current")
        assert b'"approval":"waiting"' not in stored.data
        await inner(body, message_id=message_id, session_id=session_id)

    queue.send = guarded


async def too_many() -> World:
    """Five rows are due, and three are allowed."""
    world = World(caps=Caps(absolute=3))
    rows(world, 5)
    guard(world)
    return world


async def approve(world: World) -> None:
    """The planner asks, somebody approves, the run goes."""
    for _ in range(4):
        with suppress(RetentionError):
            await world.planner.tick(only=[LOG])
        held = await world.runs.current(LOG)
        if held is not None and held.value.approval == "waiting":
            with suppress(RetentionError):
                await send(world, "approve", APPROVAL, run=held.value.run)
        await world.deliver("requests", "sweeps")


async def some() -> World:
    """Five rows are due, and a run of them is queued."""
    world = World()
    rows(world, 5)
    await world.planner.tick(only=[LOG])
    return world


async def pause_and_resume(world: World) -> None:
    """Paused before the first unit, resumed after a while; then paused and resumed again."""
    for number, kind in enumerate(("pause", "resume", "pause", "resume")):
        with suppress(RetentionError):
            await send(world, kind, f"{REQUEST}{number}", category=LOG)
        while world.queues["requests"].messages:
            await world.deliver("requests")
        await world.deliver("sweeps")
        with suppress(RetentionError):
            await world.planner.tick(only=[LOG])


SCENES = {"approve": Scene(build=too_many, work=approve), "pause": Scene(build=some, work=pause_and_resume)}
CASES = [
    (name, broken)
    for name, scene in SCENES.items()
    for broken in scene.all_broken()
    if broken.where in ("runs", "sweeps", "ledger") or (broken.where, broken.kind) == ("journals", "create")
]


async def finish(world: World) -> Counter[str]:
    """Let everything come to rest, approving what waits; what the log says of runs and pauses."""
    for _ in range(3):
        await world.deliver("requests")
        await approve(world)
    await world.rest()
    return Counter(event["type"] for event in await assert_whole(world))


def assert_said(scene: str, said: Counter[str]) -> None:
    assert said[EventType.RUN_COMPLETED] >= 1
    if scene == "approve":
        assert (said[EventType.RUN_NEEDS_APPROVAL], said[EventType.RUN_APPROVED]) == (1, 1)
    else:
        assert (said[EventType.CATEGORY_PAUSED], said[EventType.CATEGORY_RESUMED]) == (2, 2)


def test_every_kind_of_write_is_among_those_that_fail() -> None:
    made = {(scene, each.where, each.kind, each.name) for scene, each in CASES}
    assert made >= {
        ("approve", "runs", "create", f"{LOG}/current"),
        ("approve", "runs", "replace", f"{LOG}/current"),
        ("approve", "runs", "replace", f"{LOG}/…/run"),
        ("pause", "runs", "create", f"{LOG}/paused"),
        ("pause", "runs", "replace", f"{LOG}/paused"),
        ("pause", "ledger", "send", ""),
    }


@pytest.mark.parametrize(("scene", "broken"), CASES, ids=str)
async def test_after_a_failed_write_the_order_is_carried_out_and_told_once(scene: str, broken: Broken) -> None:
    world = await SCENES[scene].broken_world(broken)
    assert_said(scene, await finish(world))
    assert world.keys(LOG) == []


# ---------------------------------------------------------------- at any step


@pytest.mark.parametrize(
    ("scene", "at"),
    [(name, at) for name, scene in SCENES.items() for at in steps(scene.build, scene.work)],
)
async def test_whoever_dies_at_a_step_leaves_nothing_undone_or_told_twice(scene: str, at: int) -> None:
    world, _ = await disturbed(SCENES[scene].build, SCENES[scene].work, at, dies)
    if scene == "pause":  # what was not sent because the operator's process died is sent by the next one
        await pause_and_resume(world)
    said = await finish(world)
    if scene == "approve":
        assert_said(scene, said)
    else:
        assert said[EventType.CATEGORY_PAUSED] == said[EventType.CATEGORY_RESUMED] == 2
    assert world.keys(LOG) == []


async def unswept() -> World:
    world = World()
    rows(world, 5)
    return world


async def sweep(world: World) -> None:
    """One run, from the planning to the end."""
    await world.planner.tick(only=[LOG])
    await world.deliver("sweeps")
    await world.planner.tick(only=[LOG])


@pytest.mark.parametrize("at", steps(unswept, sweep))
async def test_a_pause_at_any_step_lets_no_unit_begin_and_loses_nothing(at: int) -> None:
    gone = None

    async def pauses(world: World) -> None:
        nonlocal gone
        world.steps.turn = None
        with suppress(RetentionError):
            await pause(world)
        gone = len(world.records.done)

    world, _ = await disturbed(unswept, sweep, at, pauses)
    unit = world.sweeps.unit
    assert len(world.records.done) <= gone + unit, "more than the unit in flight"
    left = len(world.records.done)
    for _ in range(3):
        world.later(hours=1)
        await world.planner.tick(only=[LOG], forced=True)
        await world.deliver("sweeps")
        await world.watch.journals()
    assert len(world.records.done) == left, "something was deleted during the pause"
    await send(world, "resume", f"{REQUEST}9", category=LOG)
    await world.deliver("requests")
    await world.rest()
    await assert_whole(world)
    assert world.keys(LOG) == []
