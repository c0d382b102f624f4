"""The gate dies at any step, or a rival runs to its end at any step: no record is gone without an event, none is untrue."""

import asyncio
from contextlib import suppress
from functools import partial

import pytest
from disturbances import Countdown, CrashError, die, dies, wander
from promises import assert_whole
from test_gate_writes import ALL, CAUSE, build
from world import LINES, World, outcomes

from shared.deletion import ATTEMPTS, FIRST_WAIT
from shared.errors import ChangedError, ExistsError, RetentionError, TransientError
from shared.model import AlreadyGone, Held, Replaced
from shared.stores.interface import NoAnswer


async def disturbed(at: int, then) -> tuple[World, Countdown]:
    """The world after a delete at whose `at`-th step `then` happened."""
    world = await build()
    turn = world.steps.turn = Countdown(at, partial(then, world))
    try:
        await world.gate.delete(world.todo, CAUSE)
    except (RetentionError, CrashError) as error:
        world.errors.append(error)
    world.steps.turn = None
    return world, turn


async def recovers(world: World) -> None:
    """Another worker finishes whatever is open, at once."""
    async for intent, state, _ in world.gate.journals.entries():
        if state == "open":
            await world.gate.recover(intent)


async def recovers_and_appends(world: World) -> None:
    await recovers(world)
    await world.append()


async def dies_twice(world: World) -> None:
    """Whoever recovers dies as well, half way."""
    world.steps.turn = Countdown(5, die)
    await recovers(world)
    raise CrashError


async def all_is_held(world: World) -> None:
    """A hold on each category of what is to be deleted."""
    for category in ("operation-log", "homes", "camera-snapshots"):
        await world.hold(category, "category", category)


async def dies_and_all_is_held(world: World) -> None:
    """Holds on everything, before anybody recovers what the dead worker began."""
    await all_is_held(world)
    await die()


STEPS = asyncio.run(disturbed(0, dies))[1].taken


@pytest.mark.parametrize("then", [dies, dies_twice, dies_and_all_is_held, recovers, recovers_and_appends])
@pytest.mark.parametrize("at", range(1, STEPS + 1))
async def test_whatever_happens_at_a_step_every_record_has_its_events(at, then):
    world, _ = await disturbed(at, then)
    await world.rest()
    said = outcomes(await assert_whole(world))
    if said:
        assert said.total() == len(world.todo)
        if then is not dies_and_all_is_held:
            assert said["held"] == said["blocked"] == 1
    else:
        assert not world.records.done


@pytest.mark.parametrize("cleared", [False, True], ids=["settled", "cleared"])
@pytest.mark.parametrize("at", range(1, STEPS + 1))
async def test_a_worker_that_slept_while_another_recovered_says_what_it_deleted_all_the_same(at, cleared):
    async def sleeps(world: World) -> None:
        """Minutes pass for this worker alone: all is held, and the watch recovers what it began."""
        world.steps.turn = None
        await all_is_held(world)
        world.later(minutes=11)
        await world.watch.journals()
        if cleared:
            await world.append()

    world, _ = await disturbed(at, sleeps)
    await world.rest()
    await assert_whole(world)


@pytest.mark.parametrize("silences", range(4))
async def test_a_worker_that_slept_and_had_no_answer_looks_until_a_store_says_what_became_of_its_deletions(silences):
    """All is held and settled while its deletions are on their way; its own look has no answer at first."""
    world = await build()
    looks = 0

    async def there(records, *, leaver=None):
        nonlocal looks
        looks += 1
        return [NoAnswer()] * len(records) if looks <= silences else await look(records, leaver=leaver)

    async def sleeps(name: str) -> None:
        if name != "before delete":
            return
        world.steps.turn = None
        await all_is_held(world)
        world.later(minutes=11)
        await world.watch.journals()
        world.records.there = there
        for nth in range(1, len(world.todo)):
            world.records.fail(nth=nth, applied=True, retry_after=60)

    look, world.steps.turn = world.records.there, sleeps
    with pytest.raises(TransientError):
        await world.gate.delete(world.todo, CAUSE)
    assert looks == silences + 1
    assert world.slept == [FIRST_WAIT * 2**number for number in range(1, silences + 1)], "longer each time"
    assert not [text for text in LINES.texts if "no store says" in text]
    await world.rest()
    await assert_whole(world)


async def test_a_worker_to_whom_no_store_says_what_became_of_its_deletions_raises_the_alarm(caplog):
    world = await build()

    async def there(records, *, leaver=None):
        return [NoAnswer()] * len(records)

    async def sleeps(name: str) -> None:
        if name == "before delete":
            world.steps.turn = None
            world.later(minutes=11)
            await world.watch.journals()
            world.records.there = there
            world.records.fail(nth=1, applied=False, retry_after=60)

    world.steps.turn = sleeps
    with pytest.raises(TransientError):
        await world.gate.delete(world.todo, CAUSE)
    assert "no store says what became of 1 records" in caplog.text
    assert "ALARM" in caplog.text


@pytest.mark.parametrize("seed", range(40))
async def test_workers_on_one_journal_at_the_same_moment_leave_one_account(seed):
    world = await build()
    world.steps.turn = wander(seed, (0, 0, 1, 3, 9))
    first = asyncio.ensure_future(world.gate.delete(world.todo, CAUSE, intent_id="f" * 32))
    while not [each async for each in world.own["journals"].list()]:
        await asyncio.sleep(0)
    rivals = [world.gate.recover("f" * 32) for _ in range(3)]
    ends = await asyncio.gather(first, *rivals, return_exceptions=True)
    assert not [end for end in ends if isinstance(end, (ChangedError, ExistsError))]
    world.steps.turn = None
    await world.rest()
    said = outcomes(await assert_whole(world))
    assert said.total() == len(world.todo)
    assert said["erased"] + said["already_gone"] == ALL["erased"] + ALL["already_gone"] + ALL["left"] - said["left"]


async def test_what_a_recovery_sent_may_still_arrive_after_a_hold_so_the_next_one_does_not_call_it_held():
    """A recovery gets no answer, its delete is on the way; then comes the hold, and another recovery at once."""
    world = await build()
    world.steps.turn = Countdown(6, die)  # the first worker dies before it deletes anything
    with suppress(CrashError):
        await world.gate.delete(world.todo, CAUSE)
    world.steps.turn = None
    [intent] = [intent async for intent, _, _ in world.gate.journals.entries()]
    world.later(minutes=6)
    for _ in range(ATTEMPTS * len(world.todo)):
        world.records.fail(applied=False)
    with pytest.raises(TransientError):
        await world.gate.recover(intent)
    await all_is_held(world)
    world.later(minutes=1)
    with pytest.raises(TransientError):
        await world.gate.recover(intent)  # too early to call anything held
    where = world.todo[0].locator
    world.remove(world.todo[0].category, where.key, where.partition)  # what was on its way arrives
    world.later(minutes=6)
    said = dict(zip([r.locator for r in world.todo], await world.gate.recover(intent), strict=True))
    assert said[where] == AlreadyGone()
    assert {type(each) for each in said.values()} == {AlreadyGone, Held, Replaced}
