"""Append and seal on the normal path, and what they refuse. Crashes and races are in tests/faults."""

import json

import pytest
from ledger_world import YEAR, World, assert_whole, entries_of, event, journal

from shared.errors import ConfigError, IntegrityError, TransientError
from shared.ledger.checkpoint import Checkpoint, CheckpointError, Signer, read_checkpoint
from shared.ledger.head import Head, HeadError, Staged, decode_head
from shared.ledger.log import append, logs, sweep_staging, years
from shared.ledger.merkle import ProofError
from shared.ledger.outbox import OutboxError
from shared.ledger.seal import numbered_name, seal
from shared.ledger.tiles import TileError
from shared.ledger.verify import verify
from shared.stores.memory import Fault


@pytest.mark.promise(23, "journals")
async def test_settled_journals_are_appended_once_and_cleared():
    world = World()
    await world.settle("b", 3)
    await world.settle("a", 2)
    done = await append(world.ledger, YEAR)
    assert (done.size, done.entries, done.more) == (5, 5, False)
    assert await world.names("journals") == []
    again = await append(world.ledger, YEAR)
    assert (again.size, again.entries, again.more) == (5, 0, False)


async def test_journals_stand_in_the_log_in_the_order_they_were_settled():
    world = World()
    await world.settle("late", 1)
    world.later(minutes=-1)
    await world.settle("early", 2)
    await world.work()
    assert await entries_of(world) == [event("early", 0), event("early", 1), event("late", 0)]


async def test_open_journals_are_left_alone():
    world = World()
    await world.stores["journals"].create("x.json", b'{"state":"open"}', metadata={"state": "open"})
    assert (await append(world.ledger, YEAR)).size == 0
    assert await world.names("journals") == ["x.json"]
    assert await world.names("state") == []


async def test_events_keep_their_exact_bytes():
    world = World()
    exact = event("x", 0, note="æøå \u2028 \U0001f600")
    await world.put("x", [exact])
    await world.work()
    assert await entries_of(world) == [exact]


async def test_a_journal_without_events_is_cleared():
    world = World()
    await world.settle("none", 0)
    await append(world.ledger, YEAR)
    assert await world.names("journals") == []
    assert await world.names("state") == [f"{YEAR}/head"]
    await world.settle("some", 256)
    await world.settle("none-again", 0)
    await world.work()
    await assert_whole(world)


async def test_byte_identical_repeats_in_a_batch_are_one_entry():
    world = World()
    await world.put("x", [event("x", 0), event("x", 0)])
    await world.put("y", [event("y", 1), event("y", 1)])
    await world.work()
    assert sorted(await entries_of(world)) == [event("x", 0), event("y", 1)]


async def test_two_different_events_with_one_id_stop_the_log_before_anything_is_written():
    world = World()
    await world.put("x", [event("x", 0)])
    await world.put("y", [event("x", 0, note="another")])
    with pytest.raises(OutboxError, match="another intent"):
        await append(world.ledger, YEAR)
    assert await world.names("state") == []
    assert await world.names("journals") == ["x.json", "y.json"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        journal("other", []),
        journal("x", []).replace(b'"v": 1', b'"v": 2'),
        journal("x", []).replace(b"settled", b"open"),
        b'{"v":1,"state":"settled","intent":"x","events":[7]}',
        b'{"v":1,"state":"settled","intent":"x","events":["{}"]}',
        b'{"v":1,"state":"settled","intent":"x","events":["\\ud800"]}',
        journal("x", [event("x", 0)]).replace(b"RUN", b"run").replace(b'\\"specversion\\"', b'\\"spec\\"'),
    ],
    ids=range(11),
)
async def test_a_settled_journal_that_cannot_be_read_stops_the_log_and_stays(data):
    world = World()
    await world.stores["journals"].create("x.json", data, metadata={"state": "settled", "log": YEAR})
    with pytest.raises(OutboxError, match="journal x"):
        await append(world.ledger, YEAR)
    assert await world.names("journals") == ["x.json"]


@pytest.mark.parametrize(("name", "log"), [("x.json", ""), ("x.json", "../26"), ("x", YEAR)])
async def test_a_settled_journal_of_no_log_is_an_error_and_not_overlooked(name, log):
    world = World()
    await world.stores["journals"].create(name, journal("x", []), metadata={"state": "settled", "log": log})
    with pytest.raises(OutboxError):
        await years(world.ledger)
    assert await logs(world.ledger) == []  # and it stops no sealing


async def test_a_call_is_bounded_and_says_that_more_is_left():
    world = World()
    for n in range(7):
        await world.settle(f"j{n}", 10)
    done = await append(world.ledger, YEAR, most_journals=2, commits=2)
    assert (done.entries, done.more, len(await world.names("journals"))) == (40, True, 3)
    done = await append(world.ledger, YEAR, most_entries=5)
    assert (done.entries, done.more, await world.names("journals")) == (30, False, [])


async def test_old_and_new_year_are_two_logs_and_both_are_finished():
    world = World()
    await world.settle("old", 3, year="2025")
    await world.settle("new", 2, year="2026")
    assert await years(world.ledger) == ["2025", "2026"]
    for year in await years(world.ledger):
        await world.work(year)
    for year in ("2025", "2026"):
        await assert_whole(world, year)
    await world.settle("straggler", 4, year="2025")  # settled before midnight, appended after
    assert await years(world.ledger) == ["2025", "2026"]
    await world.work("2025")
    await assert_whole(world, "2025")
    notes = [await world.stores["state"].read(f"{year}/checkpoint") for year in ("2025", "2026")]
    assert [read_checkpoint(note.data).origin[-4:] for note in notes] == ["2025", "2026"]


async def test_a_year_that_is_none_is_refused():
    world = World()
    with pytest.raises(ValueError):
        await append(world.ledger, "26")


async def test_a_log_grows_over_bundle_boundaries_and_verifies_after_each_seal():
    world = World()
    for n, count in enumerate([1, 254, 1, 300, 256, 211]):
        await world.settle(f"j{n}", count)
        await world.work()
        await assert_whole(world)
    assert len(await world.names("tiles", f"{YEAR}/checkpoints/")) == 6
    staging, named = await world.staging()
    assert staging == named


async def test_a_log_of_66_000_entries_verifies_from_its_first_leaf():
    world = World()
    pattern = event("x", 0)
    for n in range(66):
        await world.put(f"j{n}", [pattern.replace(b"x/0", b"j%d/%d" % (n, ordinal)) for ordinal in range(1_000)])
    done = await append(world.ledger, YEAR)
    await seal(world.ledger, YEAR, world.signer())
    report = await world.report()
    assert (report.sound, report.leaves, report.events) == (True, 66_000, 66_000)
    assert (done.size, done.more) == (66_000, False)
    assert f"{YEAR}/tile/2/000.p/1" in await world.names("tiles")


# ---------------------------------------------------------------- seal


async def test_a_log_that_did_not_grow_is_not_signed_again():
    world = World()
    await world.settle("x", 3)
    await world.work()
    writes = [len(store.writes) for store in world.stores.values()]
    assert await seal(world.ledger, YEAR, world.signer()) is None
    assert [len(store.writes) for store in world.stores.values()] == writes


async def test_an_empty_log_is_not_signed():
    world = World()
    assert await seal(world.ledger, YEAR, world.signer()) is None
    assert await world.names("state") == []


async def test_sealing_finishes_what_an_append_left():
    world = World()
    await world.settle("x", 600)
    await append(world.ledger, YEAR)
    checkpoint = await seal(world.ledger, YEAR, world.signer())
    assert checkpoint is not None
    assert checkpoint.size == 600
    assert (await world.report()).sound


async def test_a_new_key_goes_on_from_what_the_former_one_signed_and_both_verify_the_log():
    world = World()
    await world.settle("x", 300)
    await world.work()
    former = world.signer().verifier
    new = Signer(name=former.name, seed=bytes(reversed(range(32))), former=[former])
    await world.settle("y", 5)
    await append(world.ledger, YEAR)
    assert (await seal(world.ledger, YEAR, new)).size == 305
    assert (await verify(world.live(), new.verifier, former)).sound
    assert not (await verify(world.live(), former)).sound
    alone = await verify(world.live(), new.verifier)
    assert [(each.path, each.what) for each in alone.findings] == [
        (numbered_name(YEAR, 300).removeprefix(f"{YEAR}/"), "the note carries no signature of this key")
    ]


async def test_a_new_key_that_knows_no_former_one_signs_nothing():
    world = World()
    await world.settle("x", 3)
    await world.work()
    await world.settle("y", 1)
    with pytest.raises(CheckpointError, match="no signature of this key"):
        await seal(world.ledger, YEAR, Signer(name=world.signer().verifier.name, seed=bytes(reversed(range(32)))))
    assert (await world.report()).sound


async def test_a_history_that_the_former_key_did_not_sign_is_not_signed_by_the_new_one():
    world, other = World(), World()
    await world.settle("x", 3)
    await world.work()
    await other.settle("z", 4)
    await other.work()
    former = world.signer().verifier
    note = await world.stores["state"].read(f"{YEAR}/checkpoint")
    theirs = await other.stores["state"].read(f"{YEAR}/checkpoint")
    await other.stores["state"].replace(f"{YEAR}/checkpoint", note.data, etag=theirs.etag)
    new = Signer(name=former.name, seed=bytes(reversed(range(32))), former=[former])
    with pytest.raises(IntegrityError):
        await seal(other.ledger, YEAR, new)


async def test_another_logs_key_signs_nothing():
    world = World()
    await world.settle("x", 1)
    with pytest.raises(ConfigError):
        await seal(world.ledger, YEAR, world.signer("2025"))


async def test_state_set_back_with_its_checkpoint_signs_no_second_history():
    world = World()
    state = world.stores["state"]
    await world.settle("x", 3)
    await world.work()
    old = {name: await state.read(name) for name in await world.names("state")}
    await world.settle("y", 4)
    await world.work()
    for name in await world.names("state"):
        await state.delete(name)
    for name, stored in old.items():  # the mutable container is restored from a copy
        await state.create(name, stored.data)
    await world.settle("z", 2)
    await append(world.ledger, YEAR)
    with pytest.raises(IntegrityError, match="a larger log was signed before"):
        await seal(world.ledger, YEAR, world.signer())


async def test_a_log_whose_state_is_gone_does_not_begin_anew():
    world = World()
    await world.settle("x", 3)
    await world.work()
    for name in await world.names("state"):
        await world.stores["state"].delete(name)
    await world.settle("y", 1)
    with pytest.raises(IntegrityError, match="must not begin anew"):
        await append(world.ledger, YEAR)


async def test_a_head_set_back_behind_its_checkpoint_is_not_signed():
    world = World()
    state = world.stores["state"]
    await world.settle("x", 3)
    await append(world.ledger, YEAR)
    old = await state.read(f"{YEAR}/head")
    old_staging = await state.read(json.loads(old.data)["staged"]["name"])
    await world.settle("y", 4)
    await world.work()
    await state.replace(f"{YEAR}/head", old.data, etag=(await state.read(f"{YEAR}/head")).etag)
    await state.create(old_staging.name, old_staging.data)
    with pytest.raises(IntegrityError, match="a larger log was signed before"):
        await seal(world.ledger, YEAR, world.signer())


async def forged(world: World, count: int) -> None:
    """Replace the head by a sound one of another history, as whoever may write to the mutable container could."""
    other = World()
    await other.settle("forged", count)
    await append(other.ledger, YEAR)
    head = await other.stores["state"].read(f"{YEAR}/head")
    staging = await other.stores["state"].read(json.loads(head.data)["staged"]["name"])
    state = world.stores["state"]
    await state.create(staging.name, staging.data)
    await state.replace(f"{YEAR}/head", head.data, etag=(await state.read(f"{YEAR}/head")).etag)


async def test_an_empty_head_in_place_of_one_that_was_signed_is_an_integrity_error_and_not_nothing_to_sign():
    world = World()
    await world.settle("x", 3)
    await world.work()
    head = await world.stores["state"].read(f"{YEAR}/head")
    await world.stores["state"].replace(head.name, Head().encode(world.ledger.origin_of(YEAR)), etag=head.etag)
    with pytest.raises(IntegrityError, match="a larger log was signed before"):
        await seal(world.ledger, YEAR, world.signer())


async def test_a_head_with_another_history_is_not_signed():
    world = World()
    await world.settle("x", 3)
    await world.work()
    before = await world.names("tiles")
    await forged(world, 5)
    with pytest.raises(IntegrityError):
        await seal(world.ledger, YEAR, world.signer())
    assert await world.names("tiles") == before


async def test_a_latest_checkpoint_set_back_hides_no_numbered_one_from_the_sealer():
    world = World()
    state = world.stores["state"]
    await world.settle("x", 3)
    await world.work()
    old = await state.read(f"{YEAR}/checkpoint")
    await world.settle("y", 4)
    await world.work()
    await state.replace(f"{YEAR}/checkpoint", old.data, etag=(await state.read(f"{YEAR}/checkpoint")).etag)
    mended = await seal(world.ledger, YEAR, world.signer())
    assert mended is not None
    assert mended.size == 7
    await state.replace(f"{YEAR}/checkpoint", old.data, etag=(await state.read(f"{YEAR}/checkpoint")).etag)
    numbered = f"{YEAR}/checkpoints/{7:020d}"
    other = world.signer().sign(Checkpoint(origin=mended.origin, size=7, root=bytes(32)))
    await world.stores["tiles"].delete(numbered)
    await world.stores["tiles"].create(numbered, other)
    await world.settle("z", 1)
    await append(world.ledger, YEAR)
    with pytest.raises(IntegrityError):
        await seal(world.ledger, YEAR, world.signer())


async def test_a_latest_checkpoint_that_the_log_contradicts_is_not_written_over():
    world = World()
    await world.settle("x", 3)
    await world.work()
    latest = await world.stores["state"].read(f"{YEAR}/checkpoint")
    other = world.signer().sign(Checkpoint(origin=world.ledger.origin_of(YEAR), size=3, root=bytes(32)))
    await world.stores["state"].replace(latest.name, other, etag=latest.etag)
    await world.settle("y", 1)
    await append(world.ledger, YEAR)
    with pytest.raises(IntegrityError):
        await seal(world.ledger, YEAR, world.signer())


async def test_a_checkpoint_by_another_key_is_not_built_upon():
    world = World()
    await world.settle("x", 3)
    await world.work()
    await world.settle("y", 3)
    stranger = Signer(name=world.ledger.origin_of(YEAR), seed=bytes(32))
    with pytest.raises(IntegrityError):
        await seal(world.ledger, YEAR, stranger)


async def test_a_tile_from_which_consistency_does_not_follow_is_not_signed_over():
    world = World()
    await world.settle("x", 300)
    await world.work()
    await world.settle("y", 300)
    await append(world.ledger, YEAR)
    tiles, name = world.stores["tiles"], f"{YEAR}/tile/0/001"
    stored = await tiles.read(name)
    await tiles.replace(name, bytes(32) + stored.data[32:], etag=stored.etag)
    with pytest.raises(ProofError):
        await seal(world.ledger, YEAR, world.signer())
    assert (await world.stores["state"].read(f"{YEAR}/checkpoint")).data.split(b"\n")[1] == b"300"


async def test_a_log_of_which_a_tile_is_gone_is_not_signed_over():
    world = World()
    await world.settle("x", 300)
    await world.work()
    await world.settle("y", 300)
    await append(world.ledger, YEAR)
    await world.stores["tiles"].delete(f"{YEAR}/tile/0/001")
    with pytest.raises(TileError, match="tile/0/001 is missing"):
        await seal(world.ledger, YEAR, world.signer())


async def test_a_tile_that_stands_there_with_other_bytes_stops_the_append_and_keeps_the_journals():
    world = World()
    await world.stores["tiles"].create(f"{YEAR}/tile/0/000", bytes(8192))
    await world.settle("x", 300)
    with pytest.raises(TileError, match="tile/0/000"):
        await append(world.ledger, YEAR)
    assert await world.names("journals") == ["x.json"]


# ---------------------------------------------------------------- head and staging


async def test_staging_that_no_head_names_is_removed_once_the_head_has_changed_since():
    world = World()
    await world.stores["state"].create(f"{YEAR}/staging/lost", b"")
    await world.settle("x", 3)
    await append(world.ledger, YEAR)
    assert await sweep_staging(world.ledger, YEAR) == 0  # perhaps its head change is still under way
    world.later(hours=1)
    assert await sweep_staging(world.ledger, YEAR) == 0  # the head has not changed since: it still may come
    await world.settle("y", 3)
    await append(world.ledger, YEAR)
    assert await sweep_staging(world.ledger, YEAR) == 1
    staging, named = await world.staging()
    assert staging == named
    assert len(named) == 1


async def test_staging_that_a_head_of_much_later_still_names_stays():
    world = World()
    await world.settle("x", 3)
    world.stores["journals"].arm(Fault(write="delete", applied=False))
    with pytest.raises(TransientError):
        await append(world.ledger, YEAR)
    world.later(hours=1)
    await append(world.ledger, YEAR)  # finishes what the first began: the head changes, its staging object does not
    assert await sweep_staging(world.ledger, YEAR) == 0
    await world.work()
    await assert_whole(world)


async def test_a_head_whose_staging_is_gone_is_an_integrity_error():
    world = World()
    await world.settle("x", 3)
    await append(world.ledger, YEAR)
    await world.stores["state"].delete((await world.staging())[0][0])
    with pytest.raises(IntegrityError, match="gone"):
        await append(world.ledger, YEAR)


async def test_a_staging_object_with_other_entries_is_an_integrity_error():
    world = World()
    await world.settle("x", 3)
    await append(world.ledger, YEAR)
    state = world.stores["state"]
    stored = await state.read((await world.staging())[0][0])
    await state.replace(stored.name, stored.data.replace(b"x/1", b"x/7"), etag=stored.etag)
    with pytest.raises(IntegrityError, match="not the one"):
        await append(world.ledger, YEAR)


SOUND = Head(size=3, root=bytes(32), staged=Staged(name="s", start=0), appended=("a",))


def test_a_head_reads_back():
    assert decode_head(SOUND.encode("o/2026"), "o/2026") == SOUND


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        SOUND.encode("o/2025"),
        SOUND.encode("o/2026").replace(b'"size":3', b'"size":"3"'),
        SOUND.encode("o/2026").replace(b'"size":3', b'"size":-3'),
        SOUND.encode("o/2026").replace(b'"size":3', b'"size":0'),
        SOUND.encode("o/2026").replace(b'"edge":[]', b'"edge":[["00"]]'),
        SOUND.encode("o/2026").replace(b'"edge":[]', b'"edge":[["' + b"00" * 32 + b'"]]'),
        SOUND.encode("o/2026").replace(b'"start":0', b'"start":1'),
        SOUND.encode("o/2026").replace(b'"v":1', b'"v":2'),
    ],
    ids=range(11),
)
def test_a_head_that_is_none_or_contradicts_itself_is_refused(data):
    with pytest.raises(HeadError):
        decode_head(data, "o/2026")


async def test_journals_are_appended_in_the_order_in_which_they_were_settled_whatever_their_names():
    world = World()
    for intent, at in (("a", "2026-03-01T12:00:02Z"), ("b", "2026-03-01T12:00:00Z"), ("c", "2026-03-01T12:00:01Z")):
        metadata = {"state": "settled", "log": YEAR, "at": at}
        await world.stores["journals"].create(f"{intent}.json", journal(intent, [event(intent, 0)]), metadata=metadata)
    await world.work()
    assert await entries_of(world) == [event("b", 0), event("c", 0), event("a", 0)]
