"""Tiles and entry bundles of C2SP tlog-tiles: their names, their bytes, and how a tree grows in them. Pure.

A tile is up to 256 hashes of one level, a bundle up to 256 entries, each behind its length (16 bits, big-endian).
Refused with TileError: bytes that are not exactly that. https://c2sp.org/tlog-tiles
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.errors import IntegrityError
from shared.ledger.merkle import HASH_BYTES, fold, peaks, root_of

WIDTH = 256
ENTRY_BYTES = 0xFFFF  # what the length prefix can say; events are held to less by shared.audit

Edge = tuple[tuple[bytes, ...], ...]
"""Right edge of a tree: per level the hashes of its incomplete tile. The tree's size and root follow from it."""


class TileError(IntegrityError):
    """Bytes are not the tile or bundle that their name says: the operator compares it with a downloaded copy."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A tile and its place: the `number`-th of its level, 1 to 256 hashes."""

    level: int
    number: int
    hashes: tuple[bytes, ...]

    @property
    def path(self) -> str:
        """Name below the log's prefix."""
        return tile_path(self.level, self.number, len(self.hashes))

    @property
    def data(self) -> bytes:
        """The stored bytes."""
        return b"".join(self.hashes)


def _number(number: int) -> str:
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03d}")
    return "/".join(reversed(groups))


def _suffix(width: int) -> str:
    if not 1 <= width <= WIDTH:
        message = f"no tile is {width} wide"
        raise ValueError(message)
    return "" if width == WIDTH else f".p/{width}"


def tile_path(level: int, number: int, width: int = WIDTH) -> str:
    """`tile/<L>/<N>[.p/<W>]`: 1234067 is written x001/x234/067. Raises ValueError for a width outside 1 to 256."""
    return f"tile/{level}/{_number(number)}{_suffix(width)}"


def bundle_path(number: int, width: int = WIDTH) -> str:
    """`tile/entries/<N>[.p/<W>]`."""
    return f"tile/entries/{_number(number)}{_suffix(width)}"


def widths(size: int, level: int = 0, first: int = 0) -> Iterator[tuple[int, int]]:
    """(number, width) of each tile that a tree of `size` leaves has on a level, in order, from number `first` on."""
    hashes = size // WIDTH**level
    for number in range(first, hashes // WIDTH):
        yield number, WIDTH
    if hashes % WIDTH and first <= hashes // WIDTH:
        yield hashes // WIDTH, hashes % WIDTH


def tile_paths(size: int) -> Iterator[str]:
    """Names of all tiles of a tree of `size` leaves, level by level."""
    level = 0
    while size // WIDTH**level:
        for number, width in widths(size, level):
            yield tile_path(level, number, width)
        level += 1


def split_tile(data: bytes, width: int) -> tuple[bytes, ...]:
    """Hashes of a tile `width` wide. Raises TileError for another length."""
    if len(data) != width * HASH_BYTES:
        message = f"a tile {width} wide has {width * HASH_BYTES} bytes, this has {len(data)}"
        raise TileError(message)
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def join_bundle(entries: Sequence[bytes]) -> bytes:
    """Bytes of a bundle. Raises TileError for an entry whose length 16 bits cannot say."""
    for entry in entries:
        if len(entry) > ENTRY_BYTES:
            message = f"an entry has {len(entry)} bytes: more than {ENTRY_BYTES}"
            raise TileError(message)
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def leading_entries(data: bytes, most: int) -> tuple[list[bytes], int]:
    """At most `most` entries at the start of a bundle, as far as it parses, and the number of bytes left over.

    A sound bundle leaves none.
    """
    entries, at, size = list[bytes](), 0, len(data)
    while at + 2 <= size and len(entries) < most:
        first = at + 2
        end = first + (data[at] << 8 | data[at + 1])
        if end > size:
            break
        entries.append(data[first:end])
        at = end
    return entries, size - at


def split_bundle(data: bytes, count: int) -> list[bytes]:
    """Entries of a bundle that must hold exactly `count`. Raises TileError."""
    entries, rest = leading_entries(data, count + 1)
    if rest or len(entries) != count:
        message = f"a bundle of {count} entries parses as {len(entries)} and {rest} bytes left over"
        raise TileError(message)
    return entries


# ---------------------------------------------------------------- the right edge


def edge_size(edge: Edge) -> int:
    """Number of leaves of the tree with this edge."""
    return sum(len(row) * WIDTH**level for level, row in enumerate(edge))


def edge_root(edge: Edge) -> bytes:
    """Root of the tree with this edge: only perfect subtrees stand left of it."""
    return fold([node for row in reversed(edge) for node in peaks(row)])


def edge_tiles(edge: Edge) -> list[Tile]:
    """The partial tiles of the tree with this edge: those that a checkpoint of its size needs beside the full ones."""
    size = edge_size(edge)
    return [Tile(level=level, number=size // WIDTH ** (level + 1), hashes=row) for level, row in enumerate(edge) if row]


def extend(edge: Edge, leaf_hashes: Sequence[bytes]) -> tuple[Edge, list[Tile]]:
    """Edge after more leaves, and the tiles that they filled, lower levels first."""
    size = edge_size(edge)
    rows = list(edge)
    filled = list[Tile]()
    level, incoming = 0, list(leaf_hashes)
    while incoming:
        row = [*(rows[level] if level < len(rows) else ()), *incoming]
        number = size // WIDTH ** (level + 1)
        whole = len(row) - len(row) % WIDTH
        tiles = [
            Tile(level=level, number=number + at // WIDTH, hashes=tuple(row[at : at + WIDTH]))
            for at in range(0, whole, WIDTH)
        ]
        rows[level : level + 1] = [tuple(row[whole:])]
        filled += tiles
        level, incoming = level + 1, [root_of(tile.hashes) for tile in tiles]
    return tuple(rows), filled
