"""Verify names what is wrong and where; download copies what a checkpoint covers."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from ledger_world import YEAR, World, event

from shared.errors import ConfigError
from shared.ledger.checkpoint import Checkpoint, CheckpointError, parse_vkey
from shared.ledger.merkle import check_inclusion, leaf_hash
from shared.ledger.proofs import inclusion_proof
from shared.ledger.reader import download, entries, latest, tiles_of
from shared.ledger.source import MOST_BYTES, Folder
from shared.ledger.tiles import TileError, bundle_path, edge_root, edge_tiles, extend, join_bundle, leading_entries
from shared.ledger.verify import MOST_FINDINGS, verify

COUNT = 520


@dataclass
class Memory:
    """A log as a dictionary of paths."""

    files: dict[str, bytes]

    async def read(self, path):
        return self.files.get(path)

    async def numbered(self):
        for path in sorted(self.files):
            if path.startswith("checkpoints/"):
                yield path


def log_of(events, *, origin=f"local.example/retention/{YEAR}", prefixes=()):
    """A sound log of these entries, written without the appender."""
    signer = World().signer()
    hashes = [leaf_hash(each) for each in events]
    edge, filled = extend((), hashes)
    files = {tile.path: tile.data for tile in [*filled, *edge_tiles(edge)]}
    for first in range(0, len(events), 256):
        part = events[first : first + 256]
        files[bundle_path(first // 256, len(part))] = join_bundle(part)
    for size in (*prefixes, len(events)):
        root = edge_root(extend((), hashes[:size])[0])
        files["checkpoint"] = signer.sign(Checkpoint(origin=origin, size=size, root=root))
        if prefixes:
            files[f"checkpoints/{size:020d}"] = files["checkpoint"]
    return files


EVENTS = [event(f"intent-{n // 10}", n % 10) for n in range(COUNT)]
FILES = log_of(EVENTS, prefixes=(1, 256, 300, 519))
VERIFIER = World().signer().verifier


async def check(files):
    return await verify(Memory(files), VERIFIER)


async def test_a_sound_log_has_no_finding():
    report = await check(FILES)
    assert (report.sound, report.size, report.leaves, report.events) == (True, COUNT, COUNT, COUNT)
    assert report.root == (await latest(Memory(FILES))).root


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("path", sorted(FILES))
async def test_a_flipped_byte_in_any_file_is_found_and_the_file_named(path, where):
    changed = bytearray(FILES[path])
    at = {"first": 0, "middle": len(changed) // 2, "last": len(changed) - 1}[where]
    changed[at] ^= 1
    report = await check({**FILES, path: bytes(changed)})
    assert any(path in str(finding) for finding in report.findings)


@pytest.mark.parametrize("path", sorted(FILES))
async def test_a_missing_file_is_found_and_named(path):
    if path.startswith("checkpoints/"):  # nothing promises them: they are checked where they are
        report = await check({name: data for name, data in FILES.items() if name != path})
        assert report.sound
        return
    report = await check({name: data for name, data in FILES.items() if name != path})
    assert any(finding.path == path and "missing" in finding.what for finding in report.findings)


@pytest.mark.parametrize("path", sorted(FILES))
async def test_a_shortened_or_lengthened_file_is_found_and_named(path):
    for changed in (FILES[path][:-1], FILES[path] + b"\n", b""):
        report = await check({**FILES, path: changed})
        assert path in {finding.path for finding in report.findings}


@pytest.mark.parametrize("leaf", [0, 100, 255, 256, 519])
async def test_a_changed_entry_is_exactly_one_finding_that_names_leaf_and_event(leaf):
    path = next(p for p in FILES if p.startswith(f"tile/entries/{leaf // 256:03d}"))
    changed = FILES[path].replace(EVENTS[leaf], EVENTS[leaf].replace(b"12:00:00", b"12:00:01"))
    assert changed != FILES[path]
    report = await check({**FILES, path: changed})
    (finding,) = report.findings
    assert (finding.path, finding.leaf, finding.event) == (path, leaf, f"intent-{leaf // 10}/{leaf % 10}")
    assert str(finding).startswith(f"{path}, leaf {leaf}, event intent-{leaf // 10}/{leaf % 10}: ")


async def test_a_changed_length_is_named_at_its_leaf_and_does_not_drown_the_rest():
    path = "tile/entries/000"
    changed = bytearray(FILES[path])
    at = sum(len(each) + 2 for each in EVENTS[:7])
    changed[at + 1] ^= 1
    report = await check({**FILES, path: bytes(changed), "tile/1/000.p/2": bytes(64)})
    assert [(finding.path, finding.leaf) for finding in report.findings] == [
        (path, 7),
        (path, None),
        ("tile/1/000.p/2", None),
    ]


async def test_all_findings_are_made_not_the_first_alone():
    broken = dict(FILES)
    for path in ("tile/entries/000", "tile/entries/002.p/8"):
        broken[path] = broken[path].replace(b"/5", b"/x")
    report = await check(broken)
    assert {f.leaf for f in report.findings} >= {5, 515}
    assert len(report.findings) == 27


async def test_a_level_0_tile_with_another_hash_is_found_from_above_and_below():
    changed = bytes(32) + FILES["tile/0/000"][32:]
    report = await check({**FILES, "tile/0/000": changed})
    assert {(f.path, f.leaf) for f in report.findings} >= {
        ("tile/entries/000", 0),
        ("tile/1/000.p/2", None),
        ("checkpoint", None),
    }


async def test_a_whole_log_rewritten_consistently_does_not_pass_for_the_signed_one():
    forged = log_of([event("forged", n) for n in range(COUNT)])
    report = await check({**forged, "checkpoint": FILES["checkpoint"]})
    assert [(f.path, f.what) for f in report.findings] == [("checkpoint", "its root is not that of the tiles")]


async def test_a_log_signed_by_another_key_is_a_finding_and_the_rest_is_still_checked():
    broken = FILES["tile/entries/000"].replace(EVENTS[3], EVENTS[3].replace(b"12:00:00", b"12:00:01"))
    other = parse_vkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    report = await verify(Memory({**FILES, "tile/entries/000": broken}), other, numbered=False)
    assert [(f.path, f.leaf) for f in report.findings] == [("checkpoint", None), ("tile/entries/000", 3)]


async def test_no_checkpoint_or_an_unreadable_one_is_a_finding():
    assert [f.path for f in (await check({})).findings] == ["checkpoint"]
    assert [f.path for f in (await check({"checkpoint": b"\xff"})).findings] == ["checkpoint"]


async def test_a_checkpoint_that_claims_an_endless_log_ends_the_check():
    claim = FILES["checkpoint"].replace(b"\n520\n", b"\n9999999999999999\n")
    report = await check({**FILES, "checkpoint": claim})
    assert report.stopped
    assert len(report.findings) == MOST_FINDINGS


async def test_byte_identical_repeats_are_one_event():
    report = await check(log_of([*EVENTS[:300], EVENTS[0], EVENTS[299]]))
    assert (report.sound, report.leaves, report.events) == (True, 302, 300)


async def test_two_different_events_with_one_id_are_named():
    report = await check(log_of([*EVENTS[:300], event("intent-0", 4, note="another")]))
    (finding,) = report.findings
    assert (finding.leaf, finding.event) == (300, "intent-0/4")
    assert "leaf 4 " in finding.what


@pytest.mark.parametrize("entry", [b"", b"{}", b"no event", event("x", 0) + b" ", b"x" * 9_000], ids=range(5))
async def test_an_entry_that_is_no_event_is_named(entry):
    report = await check(log_of([EVENTS[0], entry]))
    (finding,) = report.findings
    assert (finding.path, finding.leaf) == ("tile/entries/000.p/2", 1)


# ---------------------------------------------------------------- numbered checkpoints


async def test_a_numbered_checkpoint_of_another_history_is_named():
    other = log_of([event("other", n) for n in range(300)])["checkpoint"]
    path = f"checkpoints/{300:020d}"
    report = await check({**FILES, path: other})
    assert [(f.path, f.what[:22]) for f in report.findings] == [(path, "the log does not begin")]
    assert (await verify(Memory({**FILES, path: other}), VERIFIER, numbered=False)).sound


async def test_a_numbered_checkpoint_under_another_number_is_named():
    path = f"checkpoints/{301:020d}"
    report = await check({**FILES, path: FILES[f"checkpoints/{300:020d}"]})
    assert [f.path for f in report.findings] == [path]


async def test_a_latest_checkpoint_set_back_is_found():
    older = FILES[f"checkpoints/{256:020d}"]
    shorter = log_of(EVENTS[:256])
    report = await check({**FILES, **shorter, "checkpoint": older})
    assert {f.path for f in report.findings} == {f"checkpoints/{n:020d}" for n in (300, 519, 520)}


async def test_a_log_sealed_while_it_is_checked_is_no_finding():
    class Moving(Memory):
        reads = 0

        async def read(self, path):
            if path == "checkpoint":
                self.reads += 1
                return FILES[f"checkpoints/{256:020d}"] if self.reads == 1 else FILES["checkpoint"]
            return await super().read(path)

    report = await verify(Moving({**log_of(EVENTS[:256]), **FILES}), VERIFIER)
    assert (report.sound, report.size) == (True, 256)


# ---------------------------------------------------------------- live, and a copy of it


async def sealed_world(count=COUNT):
    world = World()
    await world.settle("x", count)
    await world.work()
    return world


async def test_a_download_is_exactly_the_c2sp_layout_and_the_key_and_verifies(tmp_path):
    world = await sealed_world()
    await world.settle("not-sealed", 3)
    done = await download(world.live(), tmp_path / "copy", verifiers=[world.signer().verifier])
    found = {str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*") if p.is_file()}
    assert found == {
        "checkpoint",
        "verifier.key",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/8",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/8",
    }
    assert (done.files, done.missing, done.checkpoint.size) == (len(found), (), COUNT)
    key = parse_vkey((tmp_path / "copy" / "verifier.key").read_text())
    report = await verify(Folder(tmp_path / "copy"), key)
    assert (report.sound, report.events) == (True, COUNT)


async def test_a_folder_that_keeps_numbered_checkpoints_has_them_checked(tmp_path):
    for path, data in {**FILES, "checkpoints/stray": b"x"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    report = await verify(Folder(tmp_path), VERIFIER)
    assert [f.path for f in report.findings] == ["checkpoints/stray"]


async def test_a_damaged_log_is_copied_with_its_damage(tmp_path):
    world = await sealed_world()
    await world.stores["tiles"].delete(f"{YEAR}/tile/entries/001")
    done = await download(world.live(), tmp_path, verifiers=[world.signer().verifier])
    assert done.missing == ("tile/entries/001",)
    report = await verify(Folder(tmp_path), world.signer().verifier)
    assert [f.path for f in report.findings] == ["tile/entries/001"]


async def test_a_download_mixes_with_nothing_and_needs_a_sealed_log(tmp_path):
    world = await sealed_world(3)
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ConfigError):
        await download(world.live(), tmp_path, verifiers=[world.signer().verifier])
    with pytest.raises(CheckpointError):
        await download(World().live(), tmp_path / "new", verifiers=[world.signer().verifier])


async def test_entries_come_in_order_with_their_index_from_anywhere_on():
    world = await sealed_world()
    source = world.live()
    everything = [(index, found["id"]) async for index, found in entries(source)]
    assert everything == [(n, f"x/{n}") for n in range(COUNT)]
    for start in (255, 256, 257, 519, 520):
        assert [index async for index, _ in entries(source, start=start)] == list(range(start, COUNT))
    assert [each async for each in entries(World().live())] == []


async def test_entries_of_a_log_with_a_hole_raise_where_it_is():
    world = await sealed_world()
    await world.stores["tiles"].delete(f"{YEAR}/tile/entries/001")
    with pytest.raises(TileError, match="tile/entries/001"):
        _ = [each async for each in entries(world.live())]


async def test_an_inclusion_proof_is_made_from_the_sealed_tiles():
    world = await sealed_world()
    checkpoint = await latest(world.live())
    proof = await inclusion_proof(300, checkpoint.size, tiles_of(world.live(), checkpoint.size))
    check_inclusion(leaf_hash(event("x", 300)), 300, checkpoint.size, checkpoint.root, proof)


def test_verify_needs_neither_azure_nor_the_stores():
    code = "import sys, shared.ledger.verify, shared.audit; print([m for m in sys.modules if m.startswith(('azure', 'shared.stores'))])"
    root = Path(__file__).parent.parent.parent
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert out.stdout.strip() == "[]"


async def test_pipes_devices_and_endless_files_in_a_folder_are_read_as_nothing_or_to_a_bound(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "checkpoint")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(50 * 2**30)
    folder = Folder(tmp_path)
    assert await folder.read("checkpoint") is None
    assert await folder.read("folder") is None
    assert await folder.read("zero") is None
    assert len(await folder.read("sparse") or b"") == MOST_BYTES


def test_a_bundle_of_nothing_but_empty_entries_is_not_parsed_to_its_end() -> None:
    assert len(leading_entries(bytes(10_000_000), 257)[0]) == 257
