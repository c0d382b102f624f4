"""RFC 6962 Merkle trees over SHA-256: roots, inclusion proofs, consistency proofs. Pure: hashes in, hashes out.

A proof is first planned as spans, half-open ranges of leaves whose tree hash it needs, and then made by whoever can
hash them (see `shared.ledger.proofs`). The checks follow RFC 9162, 2.1.3.2 and 2.1.4.2, which accept exactly the
proofs of RFC 6962. Refused with ProofError: a proof that does not lead to the root. https://www.rfc-editor.org/rfc/rfc6962
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from shared.errors import IntegrityError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Span = tuple[int, int]
"""Leaves `first` up to, not including, `end`: a subtree in the sense of RFC 6962."""


class ProofError(IntegrityError):
    """A proof does not lead from what it starts at to the root it names: the operator compares the two checkpoints."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """`leaf_hash` of each."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def peaks(hashes: Iterable[bytes]) -> list[bytes]:
    """Roots of the perfect subtrees that the hashes, taken as equal neighbours, form from left to right."""
    nodes: list[bytes] = []
    for count, each in enumerate(hashes, start=1):
        nodes.append(each)
        while not count & 1:
            right = nodes.pop()
            nodes[-1] = node_hash(nodes[-1], right)
            count >>= 1  # noqa: PLW2901 - the loop's own count goes on from the iterator
    return nodes


def fold(nodes: Sequence[bytes]) -> bytes:
    """Root over perfect subtrees given from left to right, each smaller than the one before. None gives EMPTY_ROOT."""
    if not nodes:
        return EMPTY_ROOT
    root = nodes[-1]
    for each in reversed(nodes[:-1]):
        root = node_hash(each, root)
    return root


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Merkle tree hash over leaf hashes (RFC 6962, 2.1)."""
    row = list(hashes)
    if not row or len(row) & (len(row) - 1):
        return fold(peaks(row))
    while len(row) > 1:  # a perfect tree, as every full tile is: level by level
        each = iter(row)  # taken twice for a pair
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(each, each, strict=True)]
    return row[0]


# ---------------------------------------------------------------- which spans a proof is made of


def _half(size: int) -> int:
    """The largest power of two below `size`, which is 2 or more: where RFC 6962 divides a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Spans of the inclusion proof of leaf `index` in the tree of `size` leaves. Raises ValueError outside of it."""
    if not 0 <= index < size:
        message = f"leaf {index} is not in a tree of {size}"
        raise ValueError(message)
    first, end, spans = 0, size, list[Span]()
    while end - first > 1:
        middle = first + _half(end - first)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((first, middle))
            first = middle
    return spans[::-1]


def consistency_spans(old: int, new: int) -> list[Span]:
    """Spans of the consistency proof between two tree sizes, 0 <= old <= new; none when either side proves itself."""
    if not 0 <= old <= new:
        message = f"no tree of {new} leaves grew from one of {old}"
        raise ValueError(message)
    if old == 0:
        return []
    first, end, spans = 0, new, list[Span]()
    while end != old:
        middle = first + _half(end - first)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((first, middle))
            first = middle
    if first:  # the old tree's own last subtree; when that is the whole old tree, its root is known
        spans.append((first, end))
    return spans[::-1]


def span_nodes(span: Span) -> list[tuple[int, int]]:
    """Perfect subtrees of a span, left to right, as (height, index): 2**height leaves from index * 2**height."""
    first, end = span
    nodes = []
    while first < end:
        height = (end - first).bit_length() - 1
        nodes.append((height, first >> height))
        first += 1 << height
    return nodes


# ---------------------------------------------------------------- checks


def _climb(node: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each hash of a proof with whether it stands left, from `node` up in a tree whose last node there is `last`."""
    for each in proof:
        if not last:
            raise ProofError("the proof is too long")
        left = bool(node & 1) or node == last
        yield each, left
        while left and node and not node & 1:
            node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Root that the proof leads to from this leaf hash. Raises ProofError when its length cannot be right."""
    if not 0 <= index < size:
        raise ProofError("the leaf's index is outside the tree")
    root = leaf
    for each, left in _climb(index, size - 1, proof):
        root = node_hash(each, root) if left else node_hash(root, each)
    return root


def check_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofError unless the proof shows the leaf hash at `index` in the tree of this size and root."""
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise ProofError("the inclusion proof leads to another root")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofError unless the proof shows that the new tree begins with the old one."""
    if not 0 <= old <= new:
        raise ProofError("the new tree is smaller than the old one")
    if old in (0, new):
        if proof or old_root != (new_root if old else EMPTY_ROOT):
            raise ProofError("the two roots cannot be those of the same leaves")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else proof
    if not path:
        raise ProofError("the consistency proof is empty")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    from_old = from_new = path[0]
    for each, left in _climb(node, last, path[1:]):
        if left:  # right of the old tree stands only what came later
            from_old = node_hash(each, from_old)
        from_new = node_hash(each, from_new) if left else node_hash(from_new, each)
    if from_old != old_root or from_new != new_root:
        raise ProofError("the consistency proof does not lead from the old root to the new one")
