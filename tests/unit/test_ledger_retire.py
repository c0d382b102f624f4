"""Dropping a year's log: when its period is over, whole, said in the next log, and never one that is not complete."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from ledger_world import YEAR, assert_whole, entries_of
from retire_world import AUDIT_LOG, OLD, OVER, RetireWorld, old_and_new

from cli.logs import live
from shared.audit import parse_event
from shared.errors import ChangedError, ConfigError, IntegrityError, TransientError
from shared.ledger.head import decode_head
from shared.ledger.log import append, dropped_name, logs, years
from shared.ledger.publish import publish
from shared.ledger.reader import latest
from shared.ledger.seal import seal
from shared.stores.memory import Fault

COMPANYS = {"kind": "cosmos", "account": "main", "container": "audit-log", "partition_key": "/year"}  # no log of ours
MOMENT = timedelta(seconds=1)
BEFORE = OVER - MOMENT


@pytest.mark.promise(23, "audit-log", "audit-state")
async def test_a_log_whose_period_is_over_is_gone_and_the_current_log_says_what_it_was() -> None:
    world = await old_and_new()
    checkpoint = await latest(world.live(OLD))
    assert checkpoint is not None
    await world.retire()
    assert await world.of_old() == {}
    assert len(world.rings.rung) == 1
    await world.work("2027")
    [event] = await world.dropped()
    assert event["source"] == "//test.example"
    assert event["time"] == "2027-01-01T00:00:00Z"
    assert event["data"] == {
        "category": "audit-log",
        "log": f"local.example/retention/{OLD}",
        "year": OLD,
        "size": 300,
        "root": checkpoint.root.hex(),
        "due": "2027-01-01T00:00:00Z",
        "policy": "sha256:11",
    }
    assert "subject" not in event
    await assert_whole(world, YEAR)
    assert await logs(world.ledger) == [YEAR, "2027"]


async def test_a_log_a_second_younger_than_the_policy_says_stays_whole() -> None:
    world = await old_and_new()
    await world.retire(BEFORE)
    await assert_whole(world, OLD)
    assert world.rings.rung == []


@pytest.mark.parametrize(
    "change",
    [
        {"status": "planned"},
        {"id": "other", "store": {"kind": "own", "container": "runs"}},
        {"id": "other", "store": COMPANYS},
    ],
)
async def test_without_an_enforced_row_nothing_is_ever_dropped(change: dict[str, object]) -> None:
    world = await old_and_new(**change)
    await world.retire(OVER + timedelta(days=36_500))
    await assert_whole(world, OLD)


async def test_a_row_with_another_start_is_refused_and_nothing_is_dropped() -> None:
    rules = ({"id": "by-storing", "start": {"from": "stored"}, "period": "P1D"},)
    world = await old_and_new(rules=rules)
    with pytest.raises(ConfigError, match="year-end"):
        await world.retire()
    await assert_whole(world, OLD)


async def test_of_two_periods_the_longer_one_counts() -> None:
    rules = [*AUDIT_LOG["rules"], {"id": "longer", "start": {"from": "year-end", "field": "year"}, "period": "P4Y"}]
    world = await old_and_new(rules=tuple(rules))
    await world.retire()
    await assert_whole(world, OLD)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati"])
async def test_the_current_year_s_log_is_never_dropped_whatever_the_period(zone: str) -> None:
    start = {"from": "year-end", "field": "year", "zone": zone}
    world = await old_and_new(rules=({"id": "at-once", "start": start, "period": "P0D"},))
    await world.retire(datetime(2026, 12, 1, tzinfo=UTC))
    await world.work(YEAR)
    assert await world.of_old() == {}
    await world.retire(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert (await world.report(YEAR)).leaves == 4
    await world.retire(datetime(2027, 1, 1, tzinfo=UTC))
    assert await world.names("state", f"{YEAR}/") == []


@pytest.mark.parametrize("undone", ["appended", "sealed", "published"])
async def test_a_log_that_is_not_complete_stays_until_it_is(undone: str, caplog: pytest.LogCaptureFixture) -> None:
    world = await old_and_new()
    await world.settle("late", 2, year=OLD)
    if undone != "appended":
        await append(world.ledger, OLD)
    if undone == "published":
        await seal(world.ledger, OLD, world.signer(OLD))
    world.rings.rung.clear()
    await world.retire()
    assert f"the period of log {OLD} is over and it stays" in caplog.text
    assert world.rings.rung == []
    await world.work(OLD)
    await assert_whole(world, OLD)
    await world.retire(OVER + timedelta(hours=23))
    await assert_whole(world, OLD)  # it changed within the last day: somebody may still be at it
    await world.retire(OVER + timedelta(days=2))
    assert await world.of_old() == {}


async def test_a_head_that_contradicts_the_checkpoint_halts_and_drops_nothing() -> None:
    world = await old_and_new()
    state = world.stores["state"]
    held, other = await state.read(f"{OLD}/checkpoint"), await state.read(f"{YEAR}/checkpoint")
    assert held is not None
    assert other is not None
    root, another = held.data.split(b"\n")[2], other.data.split(b"\n")[2]
    await state.replace(held.name, held.data.replace(root, another), etag=held.etag)
    before = await world.of_old()
    with pytest.raises(IntegrityError, match="contradict"):
        await world.retire(OVER + timedelta(days=2))
    assert await world.of_old() == before


async def test_a_store_that_is_write_once_keeps_the_log_whole_and_alarms_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = await old_and_new()
    world.stores["tiles"].days = 1461
    for day in range(2):
        caplog.clear()
        await world.retire(OVER + timedelta(days=day))
        [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert line.getMessage().startswith("ALARM")
        assert OLD in line.getMessage()
    await assert_whole(world, OLD)
    assert OLD in await logs(world.ledger)
    assert world.rings.rung == []
    await world.retire(OVER + timedelta(days=366))
    assert await world.of_old() == {}


async def test_a_hold_on_some_of_the_tiles_is_an_alarm_and_the_rest_waits_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = await old_and_new()
    tiles = world.stores["tiles"]
    held = f"{OLD}/tile/entries/000"
    inner, tiles.delete = tiles.delete, None

    async def delete(name: str, *, etag: str | None = None) -> None:
        tiles.days = 10_000 if name == held else 0
        await inner(name, etag=etag)

    tiles.delete = delete
    await world.retire()
    assert "ALARM" in caplog.text
    assert held in (await world.of_old())["tiles"]
    assert dropped_name(OLD) in (await world.of_old())["state"]
    assert OLD not in await logs(world.ledger)
    tiles.delete = inner
    tiles.days = 0
    await world.retire(OVER + timedelta(days=1))
    assert await world.of_old() == {}
    await world.work("2027")
    assert len(await world.dropped()) == 1


async def test_a_doorbell_that_does_not_answer_loses_nothing() -> None:
    world = await old_and_new()
    world.rings.away = True
    await world.retire()
    assert await world.of_old() == {}
    await world.work("2027")
    assert len(await world.dropped()) == 1


async def test_one_log_that_fails_does_not_keep_another() -> None:
    world = await old_and_new()
    await world.settle("older", 5, year="2022")
    world.at(datetime(2024, 1, 1, tzinfo=UTC))
    await world.work("2022")
    world.stores["state"].arm(Fault(write="create", applied=False, name="2022"))
    with pytest.raises(TransientError):
        await world.retire()
    assert await world.of_old() == {}
    assert "2022" in await logs(world.ledger)


async def test_a_second_run_finds_nothing_to_do() -> None:
    world = await old_and_new()
    await world.retire()
    writes = {name: len(store.writes) for name, store in world.stores.items()}
    await world.retire(OVER + timedelta(days=1))
    assert {name: len(store.writes) for name, store in world.stores.items()} == writes


# ---------------------------------------------------------------- while it is being dropped


async def half_dropped(store: str = "tiles", name: str = f"{OLD}/tile/0/000") -> RetireWorld:
    """A log of which the marker is written and the head deleted, when the store went away at the deletion of `name`."""
    world = await old_and_new()
    world.stores[store].arm(Fault(write="delete", applied=False, name=name))
    with pytest.raises(TransientError):
        await world.retire()
    assert f"{OLD}/head" not in (await world.of_old())["state"]
    assert dropped_name(OLD) in (await world.of_old())["state"]
    return world


@pytest.mark.parametrize(
    ("store", "name"), [("tiles", f"{OLD}/tile/0/000"), ("state", f"{OLD}/checkpoint"), ("state", f"{OLD}/published")]
)
async def test_a_log_that_is_being_dropped_is_offered_to_nobody_and_left_alone_by_all(store: str, name: str) -> None:
    world = await half_dropped(store, name)
    assert OLD not in await logs(world.ledger)
    assert OLD not in await years(world.ledger)
    before = await world.of_old()
    assert (await append(world.ledger, OLD)).size == 0
    assert await seal(world.ledger, OLD, world.signer(OLD)) is None
    assert await publish(world.ledger, OLD, world.topic) == 0
    assert await world.of_old() == before


async def test_from_the_marker_on_the_log_is_offered_to_nobody_although_its_head_is_still_there() -> None:
    world = await old_and_new()
    world.stores["tiles"].arm(Fault(write="delete", applied=False))
    with pytest.raises(TransientError):
        await world.retire()
    assert f"{OLD}/head" in (await world.of_old())["state"]
    assert await logs(world.ledger) == [YEAR]


async def test_an_append_in_whose_midst_the_log_is_dropped_finds_none_to_add_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await old_and_new()
    read = world.stores["state"].read

    async def dropped_afterwards(name: str) -> Any:
        stored = await read(name)
        if name == dropped_name(OLD) and stored is None:  # the head is read by then, and its staging object is not
            monkeypatch.undo()
            await world.retire()
        return stored

    monkeypatch.setattr(world.stores["state"], "read", dropped_afterwards)
    assert (await append(world.ledger, OLD)).size == 0
    assert await world.of_old() == {}


async def test_a_reader_whose_log_was_dropped_meanwhile_is_told_so_in_place_of_findings() -> None:
    world = await old_and_new()

    async def slow(log: Any) -> None:
        await latest(log.source)
        await world.retire()

    product: Any = SimpleNamespace(ledger=world.ledger, config=None)
    with pytest.raises(ConfigError, match=f"the log of {OLD} was dropped meanwhile"):
        await live(product, OLD, slow)
    with pytest.raises(ConfigError, match=f"there is no log of {OLD}"):
        await live(product, OLD, slow)


async def test_a_journal_of_a_log_that_is_being_dropped_is_an_alarm_and_stays() -> None:
    world = await half_dropped()
    await world.settle("straggler", 1, year=OLD)
    with pytest.raises(IntegrityError, match="being dropped"):
        await append(world.ledger, OLD)
    assert "straggler.json" in await world.names("journals")


async def test_a_journal_of_a_log_that_was_dropped_does_not_begin_it_anew() -> None:
    world = await old_and_new()
    await world.retire()
    with pytest.raises(IntegrityError, match="anew"):
        await world.retirement.refuse_anew(OLD, OVER)
    await world.retirement.refuse_anew(YEAR, OVER)
    await world.retirement.refuse_anew("2027", OVER)


async def test_a_late_journal_of_a_log_that_is_still_there_is_appended_however_late() -> None:
    world = await old_and_new()
    await world.retirement.refuse_anew(OLD, OVER)


async def test_a_log_that_grew_after_its_marker_was_written_is_not_deleted_further() -> None:
    world = await old_and_new()
    state = world.stores["state"]
    state.arm(Fault(write="create", applied=True, name=dropped_name(OLD)))
    with pytest.raises(TransientError):
        await world.retire()
    marker = await state.read(dropped_name(OLD))
    await state.delete(dropped_name(OLD))
    await world.settle("grown", 1, year=OLD)
    await world.work(OLD)
    await state.create(dropped_name(OLD), marker.data)
    with pytest.raises(IntegrityError, match="grew"):
        await world.retire()
    assert (await world.report(OLD)).sound


async def test_a_head_that_changes_while_the_log_is_dropped_is_not_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await old_and_new()
    state, delete = world.stores["state"], world.stores["tiles"].delete

    async def an_appender_was_on_its_way(name: str, *, etag: str | None = None) -> None:
        await delete(name, etag=etag)
        head = await state.read(f"{OLD}/head")
        assert head is not None
        await state.replace(head.name, head.data, etag=head.etag)

    monkeypatch.setattr(world.stores["tiles"], "delete", an_appender_was_on_its_way)
    with pytest.raises(ChangedError):
        await world.retire()
    assert await state.read(f"{OLD}/head") is not None
    monkeypatch.undo()
    await world.retire()
    assert await world.of_old() == {}


async def test_a_marker_that_somebody_put_beside_a_log_whose_period_is_not_over_deletes_nothing() -> None:
    world = await old_and_new()
    state = world.stores["state"]
    state.arm(Fault(write="create", applied=True, name=dropped_name(OLD)))
    with pytest.raises(TransientError):
        await world.retire()
    marker = await state.read(dropped_name(OLD))
    head = await state.read(f"{YEAR}/head")
    assert marker is not None
    assert head is not None
    of_head = decode_head(head.data, world.ledger.origin_of(YEAR))
    change = {"year": YEAR, "size": of_head.size, "root": of_head.root.hex()}
    await state.create(dropped_name(YEAR), json.dumps({**json.loads(marker.data), **change}).encode())
    before = await world.names("state", f"{YEAR}/")
    with pytest.raises(IntegrityError, match="whose period is not over"):
        await world.retire()
    assert await world.names("state", f"{YEAR}/") == before
    assert await world.of_old() == {}, "the other is dropped all the same"


async def test_a_marker_whose_writing_the_client_repeated_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await old_and_new()
    create = world.stores["state"].create

    async def twice(name: str, data: bytes, **more: Any) -> str:
        await create(name, data, **more)
        return await create(name, data, **more)

    monkeypatch.setattr(world.stores["state"], "create", twice)
    await world.retire()
    assert await world.of_old() == {}


async def test_a_log_without_entries_goes_too() -> None:
    world = await old_and_new(entries=0)
    await world.put("nothing", [], year=OLD)
    await world.work(OLD)
    assert OLD in await logs(world.ledger)
    await world.retire(OVER + timedelta(days=300))
    assert await world.of_old() == {}
    await world.work("2027")
    [event] = await world.dropped()
    assert event["data"]["size"] == 0
    assert event["data"]["due"] == "2027-01-01T00:00:00Z", "when it was due, not when it went"


async def test_nothing_of_another_year_is_touched_by_a_name_that_begins_alike() -> None:
    world = await old_and_new()
    for store in ("tiles", "state"):
        await world.stores[store].create(f"{OLD}x/kept", b"")
    await world.retire()
    assert await world.names("tiles", f"{OLD}x") == [f"{OLD}x/kept"]
    assert await world.names("state", f"{OLD}x") == [f"{OLD}x/kept"]


async def test_the_event_is_one_the_log_s_readers_accept() -> None:
    world = await old_and_new()
    await world.retire()
    [name] = await world.names("journals")
    await world.work("2027")
    report = await world.report("2027")
    assert report.sound
    assert report.leaves == 1
    [entry] = await entries_of(world, "2027")
    assert parse_event(entry)["id"] == f"{name.removesuffix('.json')}/0"
