"""Roots and proofs made from tiles, wherever the tiles are. See `shared.ledger.merkle` for the checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from shared.ledger.merkle import Span, consistency_spans, fold, inclusion_spans, root_of, span_nodes
from shared.ledger.tiles import WIDTH, TileError

FetchTile = Callable[[int, int], Awaitable[Sequence[bytes]]]
"""Hashes of the tile at (level, number), at least as many as the tree in question has there."""

_TILE_HEIGHT = WIDTH.bit_length() - 1


async def hash_spans(spans: Iterable[Span], fetch: FetchTile) -> list[bytes]:
    """Tree hash of each span. Each tile is fetched once."""
    held: dict[tuple[int, int], Sequence[bytes]] = {}

    async def node(height: int, index: int) -> bytes:
        level, above = divmod(height, _TILE_HEIGHT)
        number, at = divmod(index << above, WIDTH)
        if (level, number) not in held:
            held[level, number] = await fetch(level, number)
        part = held[level, number][at : at + (1 << above)]
        if len(part) != 1 << above:
            message = f"tile {level}/{number} is too short for the tree asked about"
            raise TileError(message)
        return root_of(part)

    return [fold([await node(*each) for each in span_nodes(span)]) for span in spans]


async def root_at(size: int, fetch: FetchTile) -> bytes:
    """Root of the log's first `size` leaves."""
    return (await hash_spans([(0, size)], fetch))[0]


async def inclusion_proof(index: int, size: int, fetch: FetchTile) -> list[bytes]:
    """Proof that leaf `index` is in the tree of `size` leaves (RFC 6962, 2.1.1), from the leaf up."""
    return await hash_spans(inclusion_spans(index, size), fetch)


async def consistency_proof(old: int, new: int, fetch: FetchTile) -> list[bytes]:
    """Proof that the tree of `new` leaves begins with that of `old` (RFC 6962, 2.1.2)."""
    return await hash_spans(consistency_spans(old, new), fetch)
