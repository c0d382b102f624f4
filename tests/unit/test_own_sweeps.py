"""What the product keeps for itself goes by its policy, through the gate and into the log; what is needed stays."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from world import PERSONS, POLICY, World, locator, outcomes, person

from shared import audit, messages
from shared.keys import name_of, name_of_category
from shared.model import utc_text
from shared.stores.memory import Fault

OWN = {category.id for category in POLICY.enforced() if category.store.kind == "own"}


async def names(world: World, store: str) -> list[str]:
    return [entry.name async for entry in world.own[store].list()]


async def a_day_later(world: World, *, days: float = 1) -> None:
    world.later(days=days)
    await world.rest()


async def of(world: World, category: str) -> list[dict]:
    return [event for event in await world.events() if event["data"].get("category") == category]


async def closed_request() -> tuple[World, str]:
    """A request that was carried out, and closed when its backups were gone."""
    world = World()
    world.neighbourhood()
    request = await world.ask(user_id="anna")
    await world.rest()
    world.later(days=32)
    await world.rest()
    await world.closer.close_due()
    await world.rest()
    return world, request


async def test_a_closed_request_leaves_piece_by_piece_as_the_policy_says() -> None:
    world, request = await closed_request()
    assert name_of(person("anna")) in await names(world, "keys")
    assert len(await names(world, "receipts")) == 1
    await a_day_later(world)
    assert await names(world, "register") == []
    assert name_of(person("anna")) not in await names(world, "keys")
    assert len(await names(world, "receipts")) == 1
    await a_day_later(world, days=31)
    assert await names(world, "receipts") == []
    assert await names(world, "requests") == [f"{request}.json"]
    await a_day_later(world, days=335)
    assert await names(world, "requests") == []
    for category in ("register", "scope-keys", "receipts", "requests"):
        assert set(outcomes(await of(world, category))) == {"erased"}, category


@pytest.mark.promise(23, "requests")
async def test_a_request_that_is_not_closed_stays_for_years() -> None:
    world = World()
    request = await world.ask(email="nobody@nowhere.example")
    await world.rest()
    assert (await world.document(request)).state.value == "needs_attention"
    await a_day_later(world, days=1_100)
    assert await names(world, "requests") == [f"{request}.json"]


@pytest.mark.promise(23, "holds")
async def test_a_hold_goes_a_year_after_its_end_and_one_in_force_never() -> None:
    world = World()
    ids: dict[str, str] = {}
    for hold, until in {"in-force": None, "to-end": timedelta(days=3_000), "ended": timedelta(minutes=1)}.items():
        message = messages.compose(
            "hold",
            id=(number := str(uuid4())),
            home_id=f"h-{hold}",
            owner="legal",
            reason="a dispute",
            by="the office",
            until=utc_text(world.now + until) if until else None,
        )
        await world.queues["requests"].send(message, message_id=number)
        ids[hold] = f"{number}.json"
    await world.rest()
    await a_day_later(world, days=364)
    assert set(await names(world, "holds")) == set(ids.values())
    await a_day_later(world, days=2)
    assert set(await names(world, "holds")) == {ids["in-force"], ids["to-end"]}


@pytest.mark.promise(23, "runs")
async def test_old_runs_go_and_each_category_keeps_its_latest_state_and_its_pause() -> None:
    world = World()
    for days in (2, 9):
        world.picture("birkeveien", days=days)
    await world.rest()
    early = [name for name in await names(world, "runs") if name.endswith("/run")]
    assert early
    state = [n for n in await names(world, "runs") if n.endswith("/current")]
    await world.own["runs"].create("web-statistics/paused", b"{}")
    for _ in range(4):
        await a_day_later(world, days=30)
    left = await names(world, "runs")
    assert not set(early) & set(left)
    assert set(left) >= {*state, "web-statistics/paused"}
    assert {each["type"] for each in await of(world, "runs")} >= {"retention.record.erased"}
    for category in POLICY.enforced():
        current = await world.runs.current(category.id)
        if current is not None and current.value.slices:
            assert await world.runs.document(category.id, current.value.run) is not None


async def test_a_run_that_takes_longer_than_the_runs_are_kept_is_not_taken_from_under_its_workers() -> None:
    world = World()
    for days in (8, 9):
        world.picture("birkeveien", days=days)
    await world.planner.tick(only=["camera-snapshots"])
    run = (await world.runs.current("camera-snapshots")).value.run
    world.queues["sweeps"].messages.clear()  # nobody works on it
    for _ in range(4):
        world.later(days=30)
        await world.planner.tick(only=["runs"])
        await world.drain("ledger")
        for message in list(world.queues["sweeps"].messages):
            if b'"runs"' not in message.body:
                world.queues["sweeps"].messages.remove(message)
        await world.drain("sweeps")
    assert f"camera-snapshots/{run}/run" in await names(world, "runs")
    await world.rest()
    assert world.keys("camera-snapshots") == []


async def test_no_sweep_ever_starts_where_the_ledger_alone_deletes() -> None:
    world = World()
    world.picture("birkeveien", days=9)
    await world.rest()
    by_ledger = {c.id for c in POLICY.enforced() if getattr(c.store, "swept_by", "") == "ledger"}
    assert by_ledger == {"journals", "ledger-journals", "audit-log", "audit-state"}
    for category in by_ledger:
        assert await world.runs.current(category) is None
        assert await of(world, category) == []
    forced = await world.planner.tick(only=sorted(by_ledger), forced=True)
    assert forced == {}
    assert await world.runs.current("journals") is None


async def test_an_own_record_whose_deletion_had_no_answer_is_recovered_like_any_other() -> None:
    for applied in (False, True):
        world = World()
        old = {"ended_at": utc_text(world.now - timedelta(days=400))}
        await world.hold("ended", "home", "h1", until=world.now - timedelta(days=400))
        held = await world.own["holds"].read("ended.json")
        await world.own["holds"].replace(held.name, held.data, etag=held.etag, metadata=old)
        world.own["holds"].arm(Fault(write="delete", applied=applied))
        await world.rest()
        assert await names(world, "holds") == []
        found = outcomes(await of(world, "holds"))
        assert found == Counter({"already_gone" if applied else "erased": 1})


async def test_the_keys_of_a_year_s_categories_go_with_the_log_of_that_year_and_no_sooner() -> None:
    world = World()
    keys = world.gate.keys
    await keys.get([name_of_category("cart-guest", 2026), name_of_category("cart-guest", 2027)])
    world.later(days=(datetime(2029, 12, 31, 22, tzinfo=UTC) - world.now).days)
    await world.rest()
    assert name_of_category("cart-guest", 2026) in await names(world, "keys")
    await a_day_later(world, days=2)
    assert name_of_category("cart-guest", 2026) not in await names(world, "keys")
    assert name_of_category("cart-guest", 2027) in await names(world, "keys")
    by_rule = [r.period.text for r in POLICY.category("scope-keys").rules if r.id == "scope-keys-log-gone"]
    assert by_rule == [rule.period.text for rule in POLICY.category("audit-log").rules]


async def test_events_about_own_records_name_nobody_and_show_no_object_s_name() -> None:
    world, request = await closed_request()
    await a_day_later(world)
    told = [each for each in await world.events() if each["data"].get("category") in OWN]
    assert told
    for event in told:
        text = json.dumps(event)
        assert "subject" not in event
        assert not [who for who in PERSONS if who in text]
        assert ".json" not in text
        assert request not in text or event["data"].get("request") == request


async def test_whoever_has_all_keys_cannot_tell_whose_key_was_destroyed() -> None:
    """The key's name is a hash of the person's id: its pseudonym would link the person to the request that closed."""
    world, _ = await closed_request()
    await a_day_later(world)
    told = {each["data"]["record"] for each in await of(world, "scope-keys") if "record" in each["data"]}
    where = locator(POLICY.category("scope-keys"), name_of(person("anna"))).text()
    stored = [await world.own["keys"].read(name) for name in await names(world, "keys")]
    assert len(stored) > 1
    assert len(told) == 1  # all that the request did was told under hers
    assert not told & {audit.pseudonym(key.data, "record", where) for key in stored}
