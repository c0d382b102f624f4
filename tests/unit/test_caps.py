"""What bounds a run: what was counted before it, its cap, and its quotas; an approved one sweeps all that is due."""

from dataclasses import replace

from disturbances import CrashError
from orders import LOG, approve, pause, resume, rows, told
from promises import assert_whole
from world import LINES, World

from shared.audit import EventType
from shared.errors import TransientError
from shared.plan import Caps
from shared.runs import REMEMBERED
from shared.stores.memory_records import MemoryRecords

FEW = Caps(absolute=3, factor=2, floor=1)


async def tick(world: World, category: str = LOG, *, forced: bool = False):
    return (await world.planner.tick(only=[category], forced=forced))[category]


async def current(world: World, category: str = LOG):
    return (await world.runs.current(category)).value


async def a_run(world: World, category: str = LOG) -> None:
    """One run before its time, to its end."""
    await tick(world, category, forced=True)
    await world.deliver("sweeps")
    await tick(world, category)
    world.later(seconds=1)


# ---------------------------------------------------------------- counting


async def test_a_run_that_finds_exactly_its_cap_goes():
    world = World(caps=FEW)
    rows(world, 3)
    await tick(world)
    run = await current(world)
    assert (run.found, run.cap, run.approval) == (3, 3, None)
    await world.rest()
    assert world.keys(LOG) == []


async def test_counting_ends_one_beyond_the_cap():
    world = World(caps=FEW)
    rows(world, 500)
    listed: list[int] = []

    class Counting(MemoryRecords):
        async def expired(self, *args, **options):
            async for page in super().expired(*args, **options):
                listed.append(len(page.records))
                yield page

    world.records.__class__ = Counting
    planner = replace(world.planner, stores=dict.fromkeys(world.planner.stores, world.records))
    await planner.tick(only=[LOG])
    assert (await current(world)).slices == 2
    assert (await current(world)).found == 4
    assert listed == [4]


async def test_where_subjects_are_erased_the_cap_counts_each_record_that_asks_for_it():
    world = World(caps=Caps(absolute=2))
    for who in ("anna", "bob"):
        world.user(who, contractEndedAt="2026-02-20T00:00:00Z")
    world.put("users", {"id": "odd", "userId": "", "contractEndedAt": "2026-02-20T00:00:00Z"})
    await tick(world, "users")
    assert ((await current(world, "users")).found, (await current(world, "users")).approval) == (2, None)
    assert world.queues["sweeps"].messages


async def test_the_cap_follows_the_median_of_earlier_runs_which_the_category_remembers():
    world = World(caps=Caps(absolute=1000, factor=2, floor=1))
    for number in range(REMEMBERED + 5):
        rows(world, 2, first=2 * number)
        await a_run(world)
    assert (await current(world)).history == (2,) * REMEMBERED
    rows(world, 4, first=100)
    await a_run(world)
    assert world.keys(LOG) == []
    rows(world, 5, first=200)
    await tick(world, forced=True)
    run = await current(world)
    assert (run.found, run.cap, run.approval) == (5, 4, "waiting")
    assert run.history == (*(2,) * (REMEMBERED - 1), 4)


# ---------------------------------------------------------------- what comes after the count


async def test_what_appears_after_the_count_never_takes_a_run_beyond_its_cap():
    world = World(caps=FEW, unit=1)
    rows(world, 2)
    await tick(world)
    run = (await current(world)).run
    rows(world, 200, first=2)
    await world.drain("sweeps")
    assert len(world.keys(LOG)) >= 202 - 3
    assert [line for line in LINES.texts if line.startswith("ALARM slice") and "more than was counted" in line]
    await tick(world)
    again = await current(world)
    assert (again.run, again.finished) == (run, world.now)
    world.later(hours=1)
    await tick(world)
    assert (await current(world)).approval == "waiting", "the next run counts anew"


async def test_a_pause_and_a_bad_import_do_not_go_round_the_cap():
    world = World(caps=FEW)
    rows(world, 2)
    await tick(world)
    await pause(world)
    await world.drain("sweeps")
    rows(world, 50, first=2)
    world.later(days=3)
    await resume(world)
    await tick(world)
    await world.drain("sweeps")
    assert len(world.keys(LOG)) >= 52 - 3


async def test_what_was_counted_goes_although_as_much_again_is_not_allowed():
    world = World(caps=FEW, unit=1)
    rows(world, 3)
    await a_run(world)
    assert world.keys(LOG) == []
    assert (await current(world)).finished is not None


async def test_who_appears_after_the_count_is_not_asked_to_go_beyond_the_cap():
    world = World(caps=FEW, unit=1)
    world.user("anna", contractEndedAt="2026-02-20T00:00:00Z")
    await tick(world, "users")
    for number in range(30):
        world.user(f"u{number}", contractEndedAt="2026-02-20T00:00:00Z")
    await world.drain("sweeps")
    assert 1 <= len(world.queues["requests"].messages) <= 3


async def test_an_approved_run_sweeps_all_that_was_due_when_it_was_planned():
    world = World(caps=FEW)
    rows(world, 50)
    await tick(world)
    await approve(world, (await current(world)).run)
    await world.rest()
    assert world.keys(LOG) == []


async def test_a_unit_counts_before_it_is_at_the_gate_so_that_a_crash_there_is_in_the_sum():
    world = World(caps=FEW, unit=1)
    rows(world, 2)
    await tick(world)

    async def dies(name: str) -> None:  # the unit is settled, and the worker has not counted it
        nonlocal units
        if name == "after send" and len(world.records.done) > units:
            units = len(world.records.done)
            raise CrashError

    units = 0
    world.steps.turn = dies
    for number in range(20):
        rows(world, 4, first=10 + 4 * number)
        await world.deliver("sweeps")
    world.steps.turn = None
    await world.drain("sweeps")
    assert 1 <= len(world.records.done) <= 3


async def test_an_unreadable_hold_uses_up_nothing_of_what_a_slice_may_sweep():
    world = World(caps=FEW)
    rows(world, 3)
    await tick(world)
    await world.own["holds"].create("broken.json", b"{")
    for _ in range(9):
        await world.deliver("sweeps")
    assert isinstance(world.errors[-1], TransientError)
    await world.own["holds"].delete("broken.json")
    await world.rest()
    assert world.keys(LOG) == []
    [run] = told(await assert_whole(world), EventType.RUN_COMPLETED)
    assert (run["outcomes"], run["strange"]) == ({"erased": 3}, {})
