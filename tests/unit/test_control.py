"""Caps, approval, pause: what finds too much waits, exactly that run goes on; a pause stops at the next unit."""

from collections import Counter

import pytest
from orders import LOG, approve, order, pause, resume, rows, told
from promises import assert_whole
from world import LINES, World

from shared import messages
from shared.audit import EventType
from shared.messages import MessageError
from shared.plan import Caps, Paused, Queue, Start, Unapproved, Wait

FEW = Caps(absolute=3, factor=2, floor=1)


@pytest.fixture
def world() -> World:
    """Five rows are due, and three are allowed."""
    world = World(caps=FEW)
    rows(world, 5)
    return world


async def tick(world: World, category: str = LOG, *, forced: bool = False):
    return (await world.planner.tick(only=[category], forced=forced))[category]


async def current(world: World, category: str = LOG):
    return (await world.runs.current(category)).value


def sent(world: World) -> list[str]:
    return [each.message_id for each in world.queues["sweeps"].messages]


# ---------------------------------------------------------------- caps


async def test_a_run_that_finds_more_than_its_cap_queues_nothing_and_asks(world: World):
    assert await tick(world) == Start()
    run = await current(world)
    assert (run.found, run.cap, run.approval, run.queued) == (4, 3, "waiting", None)
    for _ in range(3):
        world.later(hours=2)
        assert await tick(world) == Unapproved()
    assert not sent(world)
    assert len(world.keys(LOG)) == 5
    assert (await current(world)).run == run.run, "no later run overtakes it"
    [alarm] = [line for line in LINES.texts if line.startswith("ALARM")]
    assert alarm.startswith(f"ALARM run {run.run} found more than its cap of 3")


async def test_an_order_to_sweep_a_run_that_nobody_approved_deletes_nothing(world: World):
    await tick(world)
    run = (await current(world)).run
    body = messages.slice_order(category=LOG, run=run, number=0, attempt=1, hop=0)
    await world.queues["sweeps"].send(body, message_id="forged")
    await world.deliver("sweeps")
    assert len(world.keys(LOG)) == 5
    assert [line for line in LINES.texts if line.startswith("ALARM an order to sweep")]
    await approve(world, run)
    await world.rest()
    assert world.keys(LOG) == []


async def test_the_event_of_a_run_that_asks_is_posted_before_anybody_approves(world: World):
    await tick(world)
    run = await current(world)
    assert run.outbox == ()
    await approve(world, run.run)
    await world.rest()
    [asked] = told(await assert_whole(world), EventType.RUN_NEEDS_APPROVAL)
    assert asked == {"category": LOG, "run": run.run, "more_than": 3, "policy": world.policy.digest}


# ---------------------------------------------------------------- approval


async def test_the_approved_run_goes_on_exactly_as_it_was_planned(world: World):
    await tick(world)
    run = await current(world)
    planned = await world.runs.document(LOG, run.run)
    world.later(minutes=5)
    at = world.now.replace(day=30, month=1)  # due since the planning
    world.put(LOG, {"id": "later", "homeId": "birkeveien", "at": f"{at:%Y-%m-%dT12:04:00Z}"})
    await approve(world, run.run)
    assert await tick(world) == Queue(slices=(0, 1), attempt=1)
    assert await world.runs.document(LOG, run.run) == planned
    await world.deliver("sweeps")
    await tick(world)
    assert world.keys(LOG) == ["later"]
    assert (await current(world)).finished is not None


async def test_who_approved_is_kept_and_is_in_no_event(world: World):
    await tick(world)
    run = await current(world)
    await approve(world, run.run)
    assert (await current(world)).approved_by == "dora of operations"
    await world.rest()
    events = await assert_whole(world)
    assert told(events, EventType.RUN_APPROVED) == [
        {"category": LOG, "run": run.run, "more_than": 3, "policy": world.policy.digest}
    ]


async def test_approving_twice_or_being_delivered_twice_is_approving_once(world: World):
    await tick(world)
    run = (await current(world)).run
    first = order(world, "approve", run=run)
    await world.control.approve(first, world.now)
    await approve(world, run)
    await world.control.approve(first, world.now)
    await world.rest()
    await world.control.approve(first, world.now)
    world.later(hours=2)
    await world.rest()
    assert (await current(world)).run != run
    await world.control.approve(first, world.now)  # also after the next run has begun
    assert len(told(await assert_whole(world), EventType.RUN_APPROVED)) == 1


async def test_a_run_that_does_not_wait_cannot_be_approved(world: World):
    await tick(world, "users")
    await tick(world)
    waiting = (await current(world)).run
    for run in ("x", "nowhere-20260301T120000Z-00000000", f"{LOG}-20260301T120000Z-00000000", waiting[:-1]):
        with pytest.raises(MessageError, match=r"retention\.run: no such run waits for approval"):
            await approve(world, run)
    with pytest.raises(MessageError, match=r"retention\.run: no such run waits"):
        await approve(world, (await current(world, "users")).run)
    await approve(world, waiting)
    await world.rest()
    with pytest.raises(MessageError, match=r"retention\.run: the run was approved, and is finished"):
        await approve(world, waiting)


async def test_an_order_to_run_now_says_what_keeps_a_category_from_it(world: World):
    await tick(world)
    await pause(world, "users")
    message = order(world, "run", categories=[LOG, "users", "backups"])
    steps = await world.planner.run_now(message)
    assert steps == {LOG: Unapproved(), "users": Paused(), "backups": Start()}
    said = [line for line in LINES.texts if line.startswith(f"run message {message.id}")]
    assert [line.split(" of ")[1] for line in said] == [f"{LOG}: a run waits for approval", "users: it is paused"]


# ---------------------------------------------------------------- pause and resume


@pytest.fixture
def free() -> World:
    """Five rows are due, and nothing keeps them."""
    world = World()
    rows(world, 5)
    return world


async def test_while_a_category_is_paused_no_run_starts_and_the_next_one_covers_all(free: World):
    await pause(free)
    for _ in range(3):
        assert await tick(free) == Paused()
        assert await tick(free, forced=True) == Paused()
        assert await tick(free, "users") in (Start(), Wait())
        free.later(hours=2)
    assert await free.runs.current(LOG) is None
    rows(free, 3, first=5)
    await resume(free)
    assert await tick(free) == Start()
    await free.rest()
    assert free.keys(LOG) == []
    [run] = [each for each in told(await assert_whole(free), EventType.RUN_COMPLETED) if each["category"] == LOG]
    assert run["expired"] == 8


async def test_a_worker_stops_at_the_next_unit_and_the_slice_goes_on_after_the_pause(free: World):
    await tick(free)
    run = (await current(free)).run
    paused = []

    def at_the_gate(_) -> None:
        free.records.before_delete = None
        paused.append(order(free, "pause", category=LOG))

    free.records.before_delete = at_the_gate
    inner = free.gate.journals.objects._inner
    replace = inner.replace

    async def settled(*args, **options):  # the pause comes while the first unit is at the gate
        if paused:
            await free.control.pause(paused.pop(), free.now)
        return await replace(*args, **options)

    inner.replace = settled
    await free.deliver("sweeps")
    inner.replace = replace
    assert len(free.records.asked) == 2, "the unit in flight, and no other"
    assert not sent(free)
    progress = [(await free.runs.progress(LOG, run, number)).value for number in range(2)]
    assert sum(each.expired for each in progress) == 2
    assert not all(each.done for each in progress)

    free.later(hours=5)
    assert await tick(free) == Paused()
    await free.planner.tick(only=[LOG], forced=True)
    assert not sent(free)
    await resume(free)
    assert await tick(free) == Queue(slices=tuple(n for n in range(2) if not progress[n].done), attempt=2)
    await free.rest()
    assert free.keys(LOG) == []
    assert told(await assert_whole(free), EventType.RUN_COMPLETED)[0]["expired"] == 5


async def test_a_message_that_waits_in_the_queue_does_nothing_while_the_category_is_paused(free: World):
    await tick(free)
    await pause(free)
    await free.deliver("sweeps")
    assert free.records.asked == []
    assert not sent(free)
    await resume(free)
    await free.rest()
    assert free.keys(LOG) == []


async def test_pausing_twice_is_pausing_once_and_so_is_resuming(free: World):
    await resume(free)
    for change in (pause, pause, resume, resume, pause, resume):
        await change(free)
    await free.rest()
    kinds = Counter(e["type"] for e in await assert_whole(free) if e["type"].startswith("retention.category."))
    assert kinds == {EventType.CATEGORY_PAUSED: 2, EventType.CATEGORY_RESUMED: 2}


async def test_a_pause_that_is_delivered_again_after_the_resumption_does_not_pause_again(free: World):
    first = order(free, "pause", category=LOG)
    await free.control.pause(first, free.now)
    await resume(free)
    await free.control.pause(first, free.now)
    assert not await free.control.paused(LOG)


async def test_an_order_that_changed_nothing_is_remembered_as_well(free: World):
    first = order(free, "resume", category=LOG)
    await free.control.resume(first, free.now)
    await pause(free)
    await free.control.resume(first, free.now)
    assert await free.control.paused(LOG)


async def test_an_order_is_remembered_for_thirty_days_however_many_come_after_it(free: World):
    first = order(free, "pause", category=LOG)
    await free.control.pause(first, free.now)
    for _ in range(40):
        await resume(free)
        await pause(free)
    await resume(free)
    free.later(days=29)
    await free.control.pause(first, free.now)
    assert not await free.control.paused(LOG)
    free.later(days=2)
    await resume(free)
    assert len((await free.runs.pause(LOG)).value.orders) == 1, "older ones are forgotten"


async def test_an_approval_that_came_second_is_the_same_order_when_it_comes_again(world: World):
    await tick(world)
    run = (await current(world)).run
    await approve(world, run)
    second = order(world, "approve", run=run)
    await world.control.approve(second, world.now)
    world.later(hours=2)
    await world.rest()
    assert (await current(world)).run != run
    await world.control.approve(second, world.now)


async def test_who_paused_and_why_is_kept_and_is_in_no_event(free: World):
    await pause(free)
    held = (await free.runs.pause(LOG)).value
    assert (held.by, held.reason, held.since, held.outbox) == ("dora of operations", "dora wants to look", free.now, ())
    await resume(free)
    held = (await free.runs.pause(LOG)).value
    assert (held.paused, held.resumed_by, held.resumed_at) == (False, "dora of operations", free.now)
    await free.rest()
    events = await assert_whole(free)
    digest = {"category": LOG, "policy": free.policy.digest}
    assert told(events, EventType.CATEGORY_PAUSED, EventType.CATEGORY_RESUMED) == [digest, digest]


@pytest.mark.parametrize("category", ["nowhere", "devices", "journals", "web-statistics"])
@pytest.mark.parametrize("change", [pause, resume])
async def test_what_is_not_swept_cannot_be_paused(free: World, category: str, change):
    with pytest.raises(MessageError, match=r"retention\.category: give the id of a category that is swept"):
        await change(free, category)


async def test_the_work_on_requests_is_paused_by_its_own_name(free: World):
    assert not await free.control.paused("erasures")
    await pause(free, "erasures")
    assert await free.control.paused("erasures")
    assert not await free.control.paused(LOG)
    await resume(free, "erasures")
    assert not await free.control.paused("erasures")


async def test_a_run_that_is_approved_while_its_category_is_paused_waits_for_the_resumption(world: World):
    await tick(world)
    await pause(world)
    await approve(world, (await current(world)).run)
    assert await tick(world) == Paused()
    await resume(world)
    assert await tick(world) == Queue(slices=(0, 1), attempt=1)


async def test_orders_come_by_the_queue_of_requests(world: World):
    await tick(world)
    bodies = [
        ("approve", {"run": (await current(world)).run}),
        ("pause", {"category": LOG}),
        ("resume", {"category": LOG}),
    ]
    for kind, fields in bodies:
        message = order(world, kind, **fields)
        body = message.model_dump_json(exclude_none=True)
        await world.queues["requests"].send(b'{"retention":' + body.encode() + b"}", message_id=str(message.id))
        await world.deliver("requests")
    assert (await current(world)).approval == "given"
    assert len((await world.runs.pause(LOG)).value.orders) == 2
    await world.rest()
    assert world.keys(LOG) == []
    assert not [each async for each in world.own["parking"].list()]
