"""The demo's look at the log: whose events, which records are gone, and one byte that cannot change unseen."""

import pytest
from ledger_world import YEAR, World

from local.demo import evidence
from local.demo.evidence import Log
from shared.audit import canonical
from shared.ledger.reader import download, entries
from shared.ledger.source import Folder
from shared.ledger.verify import verify

REQUEST = "5d3c1f0e-0000-4000-8000-000000000001"


def record_event(number, *, outcome="erased", cause=None, record=None):
    data = {
        "category": "users",
        "cause": cause or {"run": "users-1", "slice": 0},
        "outcome": {"name": outcome},
        "record": record or f"record:{number:04d}",
    }
    return {
        "specversion": "1.0",
        "id": f"intent/{number}",
        "source": "/test",
        "type": f"retention.record.{outcome}",
        "time": "2026-03-01T12:00:00Z",
        "data": data,
    }


async def log_of(events, tmp_path):
    world = World()
    await world.put("intent", [canonical(each) for each in events])
    await world.work()
    verifier = world.signer().verifier
    folder = tmp_path / YEAR
    await download(world.live(), folder, verifiers=[verifier])
    read = {index: event async for index, event in entries(Folder(folder))}
    return Log(year=YEAR, folder=folder, verifier=verifier, report=await world.report(), events=read)


@pytest.mark.parametrize("index", [0, 255, 256, 299])
async def test_one_changed_byte_is_found_and_its_leaf_named(tmp_path, index):
    log = await log_of([record_event(number) for number in range(300)], tmp_path)
    damage = await evidence.damage(log, index, tmp_path / "copy")
    assert damage.named
    assert not damage.report.sound
    assert sum(a != b for a, b in zip(damage.before, damage.after, strict=True)) == 1


async def test_the_log_itself_stays_sound_when_its_copy_is_damaged(tmp_path):
    log = await log_of([record_event(number) for number in range(3)], tmp_path)
    await evidence.damage(log, 1, tmp_path / "copy")
    assert (await verify(Folder(log.folder), log.verifier)).sound


async def test_a_report_without_findings_names_no_leaf(tmp_path):
    log = await log_of([record_event(0)], tmp_path)
    assert not evidence.Damage(leaf=0, before="", after="", report=log.report).named


async def test_a_request_s_events_are_its_own_and_those_it_caused(tmp_path):
    received = record_event(0) | {"type": "retention.request.received", "data": {"request": REQUEST}}
    caused = record_event(1, cause={"request": REQUEST})
    log = await log_of([received, caused, record_event(2), record_event(3, cause={"request": "other"})], tmp_path)
    assert [event["id"] for _, _, event in evidence.about([log], REQUEST)] == ["intent/0", "intent/1"]


async def test_a_record_is_gone_once_and_by_whoever_erased_it(tmp_path):
    request = {"request": REQUEST}
    events = [
        record_event(0, record="record:a", cause=request),
        record_event(1, record="record:a", outcome="already_gone"),
        record_event(2, record="record:b", outcome="already_gone"),
        record_event(3, record="record:c", outcome="blocked"),
        record_event(4, record="record:d", outcome="left", cause=request),
    ]
    log = await log_of(events, tmp_path)
    assert evidence.gone_records([log]) == {"users": {"record:a": "request", "record:b": "run"}}
