"""The independent look: it asks the stores, whatever the runs say, and one category that fails hides no other."""

from datetime import timedelta

import pytest
from world import LINES, POLICY, START, World

from shared import overdue
from shared.errors import TransientError
from shared.holds import HoldKind
from shared.overdue import GRACE, Look, Overdue, allowance, last_look, said
from shared.runs import Current

PICTURES = POLICY.category("camera-snapshots")
PERIOD = timedelta(days=7)


@pytest.fixture
def world() -> World:
    return World(sweeping=False)


async def of(world: World, category: str) -> Overdue:
    look = await world.overseer.look(world.now)
    return next(each for each in look.categories if each.category == category)


def picture(world: World, past: timedelta, *, home: str = "birkeveien", number: int = 0) -> str:
    """A picture whose due time is so long ago."""
    return world.picture(home, days=(PERIOD + past) / timedelta(days=1), number=number)


def test_the_allowance_is_the_cadence_and_as_much_again_but_fifteen_minutes_at_least() -> None:
    users = POLICY.category("users")
    assert users.cadence.time > GRACE
    assert allowance(users) == 2 * users.cadence.time
    guest = POLICY.category("cart-guest")
    assert allowance(guest) == guest.cadence.time + GRACE


async def test_a_record_is_overdue_after_its_allowance_and_not_before(world: World) -> None:
    picture(world, allowance(PICTURES) - timedelta(seconds=1))
    assert (await of(world, "camera-snapshots")).count == 0
    world.later(seconds=1)
    found = await of(world, "camera-snapshots")
    assert (found.count, found.oldest) == (1, world.now - allowance(PICTURES))


async def test_the_runs_own_account_is_not_believed(world: World) -> None:
    picture(world, timedelta(days=2))
    fine = Current(run="r", started=START, slices=0, queued=START, finished=START)
    await world.runs.set_current("camera-snapshots", fine, None)
    assert (await of(world, "camera-snapshots")).count == 1


async def test_after_a_sweep_nothing_is_overdue(world: World) -> None:
    picture(world, timedelta(days=2))
    world.sweeping = True
    await world.rest()
    assert all(not said(each) for each in (await world.overseer.look(world.now)).categories)


async def test_the_oldest_due_time_is_told(world: World) -> None:
    for days in (2, 5, 3):
        picture(world, timedelta(days=days), number=days)
    found = await of(world, "camera-snapshots")
    assert (found.count, found.more) == (3, False)
    assert START - found.oldest == timedelta(days=5)


async def test_beyond_the_bound_it_stops_counting_and_says_that_there_are_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "BOUND", 3)
    for number in range(3):
        picture(world, timedelta(days=2), number=number)
    assert (await of(world, "camera-snapshots")).number == "3"
    picture(world, timedelta(days=2), number=4)
    found = await of(world, "camera-snapshots")
    assert (found.number, said(found)) == ("3+", "3+ records are overdue")


async def test_what_a_hold_keeps_is_not_overdue(world: World) -> None:
    picture(world, timedelta(days=2), home="birkeveien")
    picture(world, timedelta(days=2), home="skogveien")
    await world.hold("h1", "home", "birkeveien")
    found = await of(world, "camera-snapshots")
    assert (found.count, found.held) == (1, 1)


async def test_a_category_that_is_held_whole_is_not_looked_at(world: World) -> None:
    picture(world, timedelta(days=2))
    await world.hold("h1", HoldKind.CATEGORY, "camera-snapshots")
    found = await of(world, "camera-snapshots")
    assert (found.count, found.all_held, said(found)) == (0, True, "")


async def test_many_held_records_break_the_look_off_and_it_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "LOOKED_AT", 2)
    for number in range(3):
        picture(world, timedelta(days=2), number=number)
    await world.hold("h1", "home", "birkeveien")
    found = await of(world, "camera-snapshots")
    assert found.count == 0
    assert "broken off" in said(found)


async def test_a_record_that_two_rules_name_is_counted_once(world: World) -> None:
    ended = f"{START - timedelta(days=900):%Y-%m-%dT%H:%M:%SZ}"
    world.user("anna", active_days_ago=900, contractEndedAt=ended)
    assert len(POLICY.category("users").rules) > 1
    assert (await of(world, "users")).count == 1


async def test_a_category_that_fails_says_why_and_hides_no_other(world: World) -> None:
    picture(world, timedelta(days=2))
    store = world.overseer.stores["cosmos/main"]
    divide = store.divide

    async def away(category, rule, **more):
        if category.id == "users":
            raise TransientError("Cosmos DB main: 503")
        if category.id == "homes":
            raise ValueError("kari.nordmann")
        return await divide(category, rule, **more)

    stores = {**world.overseer.stores, "cosmos/main": _With(store, divide=away)}
    look = await overdue.Overseer(
        policy=POLICY,
        stores=stores,
        holds=world.gate.holds,
        heartbeats=world.own["heartbeats"],
        concurrency=4,
    ).look(world.now)
    found = {each.category: each for each in look.categories}
    assert found["users"].error == "TransientError: Cosmos DB main: 503"
    assert found["homes"].error == "ValueError", "the text of an error that is not ours may quote anything"
    assert found["camera-snapshots"].count == 1


class _With:
    """A store of which some methods are replaced."""

    def __init__(self, store, **methods) -> None:
        self._store, self._methods = store, methods

    def __getattr__(self, name: str):
        return self._methods.get(name) or getattr(self._store, name)


async def test_without_the_holds_nothing_is_judged(world: World) -> None:
    await world.own["holds"].create("h1.json", b"{}")
    with pytest.raises(TransientError):
        await world.overseer.look(world.now)


async def test_the_watch_raises_an_alarm_and_keeps_the_look_for_status(world: World) -> None:
    assert await last_look(world.own["heartbeats"]) is None
    picture(world, timedelta(days=2))
    found = await world.overseer.watch(world.now)
    assert await last_look(world.own["heartbeats"]) == found
    assert [line for line in LINES.texts if line.startswith("ALARM")] == [
        "ALARM category camera-snapshots: 1 record is overdue"
    ]
    world.later(minutes=15)
    again = await world.overseer.watch(world.now)
    assert (await last_look(world.own["heartbeats"])).at == again.at == world.now


async def test_the_look_reaches_every_category_that_runs_sweep_the_own_containers_too(world: World) -> None:
    look: Look = await world.overseer.look(world.now)
    looked = {each.category for each in look.categories}
    assert {"camera-snapshots", "users", "backups", "cart-guest"} <= looked
    assert "devices" not in looked, "they go with their homes"
    own = {c.id for c in POLICY.enforced() if c.store.kind == "own" and c.store.swept_by == "pipeline"}
    assert own <= looked
    assert not [each for each in look.categories if each.error]
