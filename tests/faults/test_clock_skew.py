"""Machines whose clocks are ten minutes off, either way.

Nothing goes early, what is said of time is true, and nobody waits for ever. The stores' clocks are the true ones.
"""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from machines import AHEAD, BEHIND, SKEWS, Machines, Scattered, on
from promises import assert_whole
from world import POLICY, START, World, outcomes

from shared import audit, messages
from shared.deletion import ON_ITS_WAY
from shared.errors import TransientError
from shared.ledger.log import years
from shared.model import utc_text
from shared.requests.documents import State

FIVE = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
LOG = "operation-log"
EACH = pytest.mark.parametrize("skew", SKEWS, ids=["behind", "ahead"])


def row(world: World, name: str, *, due: timedelta) -> None:
    """A row of the log that is due so much later than now."""
    at = world.now - timedelta(days=30) + due
    world.put(LOG, {"id": f"birkeveien-{name}", "homeId": "birkeveien", "at": utc_text(at)})


async def swept(world: World, skew: timedelta) -> None:
    """One run of the log's category, on one machine."""
    with on(skew):
        await world.planner.tick(only=[LOG], forced=True)
        await world.drain("sweeps")
        await world.planner.tick(only=[LOG])


# ---------------------------------------------------------------- sweeps


@EACH
async def test_a_sweep_takes_what_is_due_by_the_stores_clock_and_nothing_else(skew: timedelta) -> None:
    world = Machines()
    row(world, "due", due=-FIVE)
    row(world, "due-now", due=timedelta(0))
    row(world, "young", due=FIVE)
    await swept(world, skew)
    assert world.keys(LOG) == ["birkeveien-young"]
    await world.rest()
    await assert_whole(world)


@EACH
async def test_planners_whose_clocks_differ_neither_miss_a_run_nor_start_two(skew: timedelta) -> None:
    """The one machine plans a run, the other takes over: the next run comes late by what their clocks differ, at most."""
    world = Machines()
    cadence = POLICY.category(LOG).cadence.time
    await swept(world, skew)
    began = world.now
    row(world, "due-next", due=MINUTE)
    while world.keys(LOG):
        world.later(minutes=1)
        with on(-skew):
            await world.planner.tick(only=[LOG])
            await world.drain("sweeps")
        assert world.now <= began + cadence + 2 * abs(skew) + MINUTE
    assert world.now >= began + cadence - 2 * abs(skew) - MINUTE


# ---------------------------------------------------------------- requests


async def asked(world: World, skew: timedelta, **subject: str) -> str:
    """A request to erase, taken in and worked on by one machine until nothing is left to do."""
    request = await world.ask(**subject)
    with on(skew):
        await world.rest()
    return request


def invoice(world: World, *, due: timedelta) -> None:
    """Move to where the law's period of an invoice of Anna's is over so much later than now."""
    world.put("invoices", {"id": "invoice", "userId": "anna", "issuedAt": "2021-06-01"})
    world.now = datetime(2026, 12, 31, 23, tzinfo=UTC) - due  # the end of the year in Oslo, five years on
    world.later(minutes=0)


@EACH
@pytest.mark.parametrize("due", [FIVE, -FIVE], ids=["kept", "over"])
async def test_a_law_keeps_a_record_until_its_period_is_over_by_the_stores_clock(
    skew: timedelta, due: timedelta
) -> None:
    world = Machines(sweeping=False)
    invoice(world, due=due)
    world.user("anna")
    await asked(world, skew, user_id="anna")
    events = await assert_whole(world)
    assert world.keys("invoices") == (["invoice"] if due > timedelta(0) else [])
    assert bool(outcomes(events)["retained"]) == (due > timedelta(0))


@EACH
async def test_whose_contract_has_just_ended_goes_with_the_first_run(skew: timedelta) -> None:
    """Neither early, where somebody has moved the end of the contract meanwhile, nor refused as not due."""
    world = Machines()
    world.user("anna", contractEndedAt=utc_text(world.now))
    await world.planner.tick(only=["users"])
    await world.drain("sweeps")
    with on(skew):
        await world.deliver("requests", "work")
    assert world.keys("users") == []
    assert {each.state for each in await world.documents()} == {State.DONE}


@EACH
async def test_whose_contract_now_ends_in_five_minutes_does_not_go_yet(skew: timedelta) -> None:
    world = Machines()
    world.user("anna", contractEndedAt=utc_text(world.now))
    await world.planner.tick(only=["users"])
    await world.drain("sweeps")
    world.user("anna", contractEndedAt=utc_text(world.now + FIVE))
    with on(skew):
        await world.deliver("requests", "work")
    assert world.keys("users") == ["anna"]


@EACH
async def test_a_request_does_not_close_while_a_backup_is_left_that_began_before_its_end(skew: timedelta) -> None:
    """The backup began five minutes before the erasure: it holds what was erased."""
    world = Machines(sweeping=False)
    world.user("anna")
    world.put("backups", f"{world.now:%Y-%m-%dT%H%M%SZ}/all.bak")
    world.later(minutes=5)
    request = await asked(world, skew, user_id="anna")
    world.later(days=40)
    with on(skew):
        assert await world.closer.close_due() == 0
    assert (await world.document(request)).state is State.DONE


@EACH
async def test_a_request_does_not_close_before_its_last_backup_is_due_to_be_gone(skew: timedelta) -> None:
    world = Machines(sweeping=False)
    world.user("anna")
    request = await asked(world, skew, user_id="anna")
    finished = world.now
    world.later(days=30, minutes=59)
    with on(skew):
        assert await world.closer.close_due() == 0
    world.later(minutes=2)
    with on(skew):
        assert await world.closer.close_due() == 1
    assert (await world.document(request)).state is State.CLOSED
    assert world.now == finished + timedelta(days=30, hours=1, minutes=1)


@EACH
async def test_a_replay_erases_again_what_was_erased_after_the_backup_began(skew: timedelta) -> None:
    """The backup began five minutes before the erasure ended, and so holds what was erased."""
    world = Machines(sweeping=False)
    world.user("anna")
    began = world.now
    world.later(minutes=5)
    await asked(world, skew, user_id="anna")
    world.user("anna")  # restored
    world.later(minutes=1)
    body = messages.compose("replay", id=str(uuid4()), by="the office", backup_began=utc_text(began))
    await world.queues["requests"].send(body, message_id="replay")
    with on(skew):
        await world.rest()
    assert world.keys("users") == []
    await assert_whole(world)


@EACH
async def test_a_request_that_was_received_this_moment_is_taken_in_wherever_and_its_answer_is_due_in_a_month(
    skew: timedelta,
) -> None:
    """The sender's clock is off the one way, the worker's the other."""
    world = Machines(sweeping=False)
    world.user("anna")
    sent = world.now - skew
    request = uuid4()
    body = messages.erase(
        request=request,
        subject={"user_id": "anna"},
        requested_by="the person",
        identity_verified_by="the office",
        received_at=sent,
    )
    await world.queues["requests"].send(body, message_id="1")
    with on(skew):
        await world.drain("requests", "work")
    document = await world.document(str(request))
    assert document.state is State.DONE
    assert abs(document.due_at - datetime(2026, 4, 1, 12, tzinfo=UTC)) <= abs(skew)


@EACH
async def test_a_restriction_that_ends_in_five_minutes_is_one_until_then(skew: timedelta) -> None:
    world = Machines()
    world.user("anna")
    who = {"requested_by": "the person", "identity_verified_by": "the office"}
    body = messages.compose(
        "restrict", id=str(uuid4()), subject={"user_id": "anna"}, until=utc_text(world.now + FIVE), **who
    )
    await world.queues["requests"].send(body, message_id="1")
    with on(skew):
        await world.drain("requests")
    assert not [each async for each in world.own["parking"].list()]
    assert len(await world.gate.holds.read()) == 1
    world.later(minutes=5)
    assert not await world.gate.holds.read()


# ---------------------------------------------------------------- the turn of the year


@pytest.mark.parametrize("taken", SKEWS, ids=["behind", "ahead"])
@pytest.mark.parametrize("before", [FIVE, -FIVE], ids=["before", "after"])
async def test_a_request_at_the_turn_of_the_year_closes_with_all_its_events_and_every_log_is_sound(
    before: timedelta, taken: timedelta
) -> None:
    """Taken in on one machine and worked on by the other: one of them is in the other year already, or still."""
    world = Machines(sweeping=False)
    world.now = datetime(2027, 1, 1, tzinfo=UTC) - before
    world.later(minutes=0)
    world.user("anna")
    world.home("birkeveien", "anna")
    request = await world.ask(user_id="anna")
    with on(taken):
        await world.deliver("requests", "ledger")
    with on(-taken):
        await world.rest()
    assert await years(world.ledger) == ["2026", "2027"]
    await assert_whole(world)
    world.later(days=31, hours=2)
    assert await world.closer.close_due() == 1
    receipt = await world.own["receipts"].read(f"{request}.json")
    said = {each["id"] for each in await world.events() if request in str(each["data"])}
    assert {event for event in said if event.encode() in receipt.data} == said - await closing(world)


async def closing(world: World) -> set[str]:
    """The ids of the events that came after the receipt."""
    await world.rest()
    return {each["id"] for each in await world.events() if each["type"] == audit.EventType.REQUEST_CLOSED}


# ---------------------------------------------------------------- holds


@EACH
async def test_a_hold_keeps_until_its_end_by_the_stores_clock(skew: timedelta) -> None:
    world = Machines()
    row(world, "held", due=-FIVE)
    await world.hold("dispute", "category", LOG, until=world.now + FIVE)
    await swept(world, skew)
    assert world.keys(LOG) == ["birkeveien-held"]
    world.later(minutes=6)
    await swept(world, skew)
    assert world.keys(LOG) == []


@EACH
async def test_a_hold_that_says_it_is_in_force_lets_nothing_go(skew: timedelta) -> None:
    world = Machines()
    row(world, "held", due=-FIVE)
    body = messages.compose(
        "hold",
        id=str(uuid4()),
        by="legal",
        category=LOG,
        owner="legal",
        reason="a dispute",
        until=utc_text(world.now + FIVE),
    )
    await world.queues["requests"].send(body, message_id="1")
    with on(skew):
        await world.drain("requests")
    await swept(world, -skew)
    assert world.keys(LOG) == ["birkeveien-held"]


# ---------------------------------------------------------------- recovery


async def left_open(world: World, skew: timedelta) -> None:
    """A worker whose deletions get no answer: its unit stays open."""
    row(world, "due", due=-FIVE)
    for nth in range(1, 5):
        world.records.fail(nth=nth, applied=False)
    with on(skew):
        await world.planner.tick(only=[LOG], forced=True)
        [message] = world.queues["sweeps"].messages
        with pytest.raises(TransientError):
            await world.handle("sweeps", message)


@EACH
async def test_an_open_journal_is_recovered_when_it_is_old_by_the_stores_clock_and_not_before(skew: timedelta) -> None:
    world = Machines()
    await left_open(world, skew)
    for watched in SKEWS:
        with on(watched):
            assert (await world.watch.journals())[0] == 0
    world.later(minutes=10)
    with on(-skew):
        assert (await world.watch.journals())[0] == 1
    assert world.keys(LOG) == []


@EACH
async def test_what_may_still_be_on_its_way_is_not_called_held_on_any_machine(skew: timedelta) -> None:
    world = Machines()
    await left_open(world, skew)
    await world.hold("dispute", "category", LOG)
    world.later(minutes=4)
    [journal] = [each async for each, state, _ in world.gate.journals.entries() if state == "open"]
    with on(-skew), pytest.raises(TransientError):
        await world.gate.recover(journal)
    world.later(seconds=ON_ITS_WAY.total_seconds())
    with on(skew):
        await world.gate.recover(journal)
    await world.rest()
    assert set(outcomes(await assert_whole(world))) == {"held"}


# ---------------------------------------------------------------- the log


async def test_events_of_machines_whose_clocks_differ_are_in_the_log_once_and_it_verifies() -> None:
    world = Machines(sweeping=False)
    for number, skew in enumerate((AHEAD, BEHIND, timedelta(0), AHEAD, BEHIND)):
        world.user(f"u{number}")
        request = await world.ask(user_id=f"u{number}")
        with on(skew):
            await world.drain()
        assert (await world.document(request)).state is State.DONE
    await world.rest()
    await assert_whole(world)
    assert await years(world.ledger) == ["2026"]


@pytest.mark.parametrize("seed", range(6))
async def test_a_neighbourhood_on_machines_of_all_kinds_ends_as_on_one(seed: int) -> None:
    world = Scattered(seed=seed)
    world.neighbourhood()
    row(world, "due", due=-FIVE)
    row(world, "young", due=timedelta(hours=3))
    await world.ask(user_id="bob")
    await world.rest()
    await assert_whole(world)
    assert world.keys("users") == ["anna", "cleo"]
    assert "birkeveien-young" in world.keys(LOG)
    assert "birkeveien-due" not in world.keys(LOG)
    assert world.now <= START + timedelta(hours=1)
