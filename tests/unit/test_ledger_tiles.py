"""Tiles and bundles: their names and bytes as the specification's examples say, and their growth."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger import tiles
from shared.ledger.merkle import check_consistency, check_inclusion, leaf_hash, root_of
from shared.ledger.proofs import consistency_proof, inclusion_proof, root_at


def hashes(count):
    return [hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(count)]


@pytest.mark.parametrize(
    ("number", "width", "name"),
    [
        (0, 256, "tile/0/000"),
        (67, 256, "tile/0/067"),
        (1000, 256, "tile/0/x001/000"),
        (1234067, 256, "tile/0/x001/x234/067"),
        (1234067, 8, "tile/0/x001/x234/067.p/8"),
    ],
)
def test_tile_names_are_as_in_the_specification(number, width, name):
    assert tiles.tile_path(0, number, width) == name
    assert tiles.bundle_path(number, width) == name.replace("tile/0/", "tile/entries/")


@pytest.mark.parametrize("width", [0, 257, -1])
def test_no_name_exists_for_an_impossible_width(width):
    with pytest.raises(ValueError):
        tiles.tile_path(0, 0, width)


def test_a_tree_of_70_000_has_the_tiles_that_the_specification_counts():
    names = list(tiles.tile_paths(70_000))
    assert len([n for n in names if n.startswith("tile/0/") and ".p/" not in n]) == 273
    assert [n for n in names if not n.startswith("tile/0/") or ".p/" in n] == [
        "tile/0/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]


def test_a_tree_of_256_has_one_full_tile_and_one_of_width_1_above():
    assert list(tiles.tile_paths(256)) == ["tile/0/000", "tile/1/000.p/1"]


def test_an_empty_tree_has_no_tiles():
    assert list(tiles.tile_paths(0)) == []
    assert list(tiles.widths(0)) == []


def test_a_bundle_is_16_bit_big_endian_lengths_and_entries():
    assert tiles.join_bundle([b"a", b"", b"b" * 300]) == b"\x00\x01a" + b"\x00\x00" + b"\x01\x2c" + b"b" * 300


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_a_bundle_reads_back_as_its_entries(entries):
    assert tiles.split_bundle(tiles.join_bundle(entries), len(entries)) == entries


@given(st.binary(max_size=300), st.integers(0, 5))
def test_any_bytes_are_either_a_bundle_or_refused(data, count):
    try:
        entries = tiles.split_bundle(data, count)
    except tiles.TileError:
        return
    assert tiles.join_bundle(entries) == data
    assert len(entries) == count


def test_an_entry_that_16_bits_cannot_measure_is_refused():
    with pytest.raises(tiles.TileError):
        tiles.join_bundle([b"x" * 65_536])


def test_a_tile_of_another_length_than_its_width_is_refused():
    with pytest.raises(tiles.TileError):
        tiles.split_tile(bytes(33), 1)


@given(st.lists(st.integers(0, 700), max_size=5))
def test_growing_in_any_steps_gives_the_tiles_and_root_of_growing_at_once(steps):
    leaves = hashes(sum(steps))
    edge, grown, at = (), [], 0
    for step in steps:
        edge, filled = tiles.extend(edge, leaves[at : at + step])
        grown += filled
        at += step
    once, filled_at_once = tiles.extend((), leaves)
    assert edge == once
    assert sorted(grown, key=lambda t: (t.level, t.number)) == filled_at_once
    assert tiles.edge_size(edge) == len(leaves)
    assert tiles.edge_root(edge) == root_of(leaves)
    assert {t.path for t in [*grown, *tiles.edge_tiles(edge)]} == set(tiles.tile_paths(len(leaves)))


async def test_a_tree_of_70_000_grows_past_level_2_and_its_proofs_hold_from_tiles_alone():
    leaves = [leaf_hash(n.to_bytes(4, "big")) for n in range(70_000)]
    edge, filled = tiles.extend((), leaves[:66_000])
    edge, more = tiles.extend(edge, leaves[66_000:])
    held = {(t.level, t.number): t.hashes for t in [*filled, *more, *tiles.edge_tiles(edge)]}
    assert {t.path for t in [*filled, *more, *tiles.edge_tiles(edge)]} == set(tiles.tile_paths(70_000))
    root = root_of(leaves)
    assert tiles.edge_root(edge) == root

    async def fetch(level, number):
        return held[level, number]

    assert await root_at(70_000, fetch) == root
    for index in (0, 255, 256, 65_535, 65_536, 69_999):
        check_inclusion(leaves[index], index, 70_000, root, await inclusion_proof(index, 70_000, fetch))
    for old in (1, 255, 256, 65_536, 65_537, 69_999, 70_000):
        proof = await consistency_proof(old, 70_000, fetch)
        check_consistency(old, 70_000, root_of(leaves[:old]), root, proof)
        assert await root_at(old, fetch) == root_of(leaves[:old])


async def test_a_tile_too_short_for_the_tree_asked_about_is_refused():
    async def fetch(level, number):
        return [bytes(32)] * 3

    with pytest.raises(tiles.TileError):
        await root_at(4, fetch)
