"""The Merkle tree against published vectors, and against the RFC's own recursive definitions."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger import merkle

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "rfc6962.json").read_text())
LEAVES = [bytes.fromhex(each) for each in VECTORS["leaves"]]
HASHES = [merkle.leaf_hash(each) for each in LEAVES]
ROOTS = [bytes.fromhex(each) for each in VECTORS["roots"]]


# The definitions of RFC 6962, 2.1, word for word: slow, and nothing shared with the code under test.
def mth(leaves):
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def largest_power_below(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, whole):
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def prove(spans, leaves):
    return [merkle.root_of(merkle.leaf_hash(each) for each in leaves[first:end]) for first, end in spans]


def some_leaves(count):
    return [index.to_bytes(2, "big") for index in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size):
    assert merkle.root_of(HASHES[:size]) == ROOTS[size]


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda c: f"{c['index']}-of-{c['size']}")
def test_inclusion_proofs_are_the_published_ones_and_hold(case):
    index, size = case["index"], case["size"]
    proof = prove(merkle.inclusion_spans(index, size), LEAVES)
    assert [each.hex() for each in proof] == case["proof"]
    merkle.check_inclusion(HASHES[index], index, size, ROOTS[size], proof)


@pytest.mark.parametrize("case", VECTORS["consistency"], ids=lambda c: f"{c['old']}-to-{c['new']}")
def test_consistency_proofs_are_the_published_ones_and_hold(case):
    old, new = case["old"], case["new"]
    proof = prove(merkle.consistency_spans(old, new), LEAVES)
    assert [each.hex() for each in proof] == case["proof"]
    merkle.check_consistency(old, new, ROOTS[old], ROOTS[new], proof)


@given(st.integers(0, 300))
def test_the_root_is_the_one_the_rfc_defines(size):
    leaves = some_leaves(size)
    assert merkle.root_of(map(merkle.leaf_hash, leaves)) == mth(leaves)


@given(st.data())
def test_inclusion_proofs_are_those_the_rfc_defines_and_hold_for_their_leaf_alone(data):
    size = data.draw(st.integers(1, 200))
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    leaves = some_leaves(size)
    proof = prove(merkle.inclusion_spans(index, size), leaves)
    assert proof == path(index, leaves)
    merkle.check_inclusion(merkle.leaf_hash(leaves[index]), index, size, mth(leaves), proof)
    if other != index:
        with pytest.raises(merkle.ProofError):
            merkle.check_inclusion(merkle.leaf_hash(leaves[index]), other, size, mth(leaves), proof)


@given(st.data())
def test_consistency_proofs_are_those_the_rfc_defines_and_hold(data):
    new = data.draw(st.integers(1, 200))
    old = data.draw(st.integers(1, new))
    leaves = some_leaves(new)
    proof = prove(merkle.consistency_spans(old, new), leaves)
    assert proof == subproof(old, leaves, True)
    merkle.check_consistency(old, new, mth(leaves[:old]), mth(leaves), proof)


@given(st.data())
def test_a_changed_shortened_or_lengthened_proof_is_refused(data):
    new = data.draw(st.integers(2, 120))
    old = data.draw(st.integers(1, new - 1))
    leaves = some_leaves(new)
    proof = prove(merkle.consistency_spans(old, new), leaves)
    inclusion = prove(merkle.inclusion_spans(old, new), leaves)

    def refused(bad, bad_inclusion):
        with pytest.raises(merkle.ProofError):
            merkle.check_consistency(old, new, mth(leaves[:old]), mth(leaves), bad)
        with pytest.raises(merkle.ProofError):
            merkle.check_inclusion(merkle.leaf_hash(leaves[old]), old, new, mth(leaves), bad_inclusion)

    at, bit = data.draw(st.integers(0, 10**6)), data.draw(st.integers(0, 255))
    refused(flip(proof, at, bit), flip(inclusion, at, bit))
    refused(proof[:-1], inclusion[:-1])
    refused([*proof, bytes(32)], [*inclusion, bytes(32)])


def flip(proof, at, bit):
    changed = bytearray(proof[at % len(proof)])
    changed[bit // 8] ^= 1 << bit % 8
    return [bytes(changed) if n == at % len(proof) else each for n, each in enumerate(proof)]


@given(st.data())
def test_a_log_that_dropped_or_changed_an_old_leaf_has_no_consistency_proof(data):
    new = data.draw(st.integers(2, 100))
    old = data.draw(st.integers(1, new))
    changed = data.draw(st.integers(0, old - 1))
    leaves = some_leaves(new)
    other = [b"other" if n == changed else leaf for n, leaf in enumerate(leaves)]
    with pytest.raises(merkle.ProofError):
        merkle.check_consistency(
            old, new, mth(leaves[:old]), mth(other), prove(merkle.consistency_spans(old, new), other)
        )


def test_a_smaller_tree_never_follows_a_larger_one():
    with pytest.raises(merkle.ProofError):
        merkle.check_consistency(5, 4, ROOTS[5], ROOTS[4], [])
    with pytest.raises(ValueError):
        merkle.consistency_spans(5, 4)


def test_every_tree_follows_the_empty_one_and_no_other_root_passes_for_it():
    merkle.check_consistency(0, 8, ROOTS[0], ROOTS[8], [])
    with pytest.raises(merkle.ProofError):
        merkle.check_consistency(0, 8, ROOTS[1], ROOTS[8], [])


def test_a_leaf_outside_the_tree_has_no_proof():
    with pytest.raises(ValueError):
        merkle.inclusion_spans(8, 8)
    with pytest.raises(merkle.ProofError):
        merkle.check_inclusion(HASHES[0], 8, 8, ROOTS[8], [])
