"""Reading a log: a live one's source, its entries in order, its proofs, and a copy of it in a folder.

What is read here is taken as it stands, except where it cannot be parsed: `shared.ledger.verify` is what checks it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.audit import parse_event
from shared.errors import ConfigError
from shared.ledger.ahead import ahead
from shared.ledger.checkpoint import Checkpoint, CheckpointError, Verifier, read_checkpoint
from shared.ledger.head import Ledger
from shared.ledger.proofs import FetchTile
from shared.ledger.source import CHECKPOINT, NUMBERED, VERIFIER_KEY, Source
from shared.ledger.tiles import (
    WIDTH,
    TileError,
    bundle_path,
    split_bundle,
    split_tile,
    tile_path,
    tile_paths,
    widths,
)


@dataclass(frozen=True, kw_only=True)
class Live:
    """The log of one year in the product's own containers."""

    ledger: Ledger
    year: str

    async def read(self, path: str) -> bytes | None:
        """The object at the path: the latest checkpoint is mutable and stands in `state`, all else in `tiles`."""
        store = self.ledger.state if path == CHECKPOINT else self.ledger.tiles
        stored = await store.read(f"{self.year}/{path}")
        return None if stored is None else stored.data

    async def numbered(self) -> AsyncIterator[str]:
        """Numbered checkpoints, by size."""
        async for entry in self.ledger.tiles.list(f"{self.year}/{NUMBERED}"):
            yield entry.name.removeprefix(f"{self.year}/")


async def latest(source: Source) -> Checkpoint | None:
    """The latest checkpoint, its signature unchecked; None when nothing was sealed yet. Raises CheckpointError."""
    note = await source.read(CHECKPOINT)
    return None if note is None else read_checkpoint(note)


async def sealed(source: Source) -> int:
    """How many entries were sealed; 0 before the first seal. Raises CheckpointError."""
    checkpoint = await latest(source)
    return 0 if checkpoint is None else checkpoint.size


async def bundles(source: Source, size: int, *, start: int = 0) -> AsyncGenerator[tuple[int, list[bytes]], None]:
    """Yield (index of the first entry, entries) from `start` up to `size`, bundle by bundle. Raises TileError."""

    async def read(number: int, width: int) -> tuple[int, list[bytes]]:
        path = bundle_path(number, width)
        data = await source.read(path)
        if data is None:
            message = f"{path} is missing"
            raise TileError(message)
        return number * WIDTH, split_bundle(data, width)

    wanted = (read(number, width) for number, width in widths(size, first=start // WIDTH))
    async for first, entries in ahead(wanted):
        skip = max(0, start - first)
        yield first + skip, entries[skip:]


async def entries(source: Source, *, start: int = 0) -> AsyncGenerator[tuple[int, dict[str, Any]], None]:
    """Yield (index, event) of every sealed entry from `start` on. Raises TileError, CheckpointError, EventError."""
    checkpoint = await latest(source)
    if checkpoint is None:
        return
    async for first, texts in bundles(source, checkpoint.size, start=start):
        for index, text in enumerate(texts, start=first):
            yield index, parse_event(text)


def tiles_of(source: Source, size: int) -> FetchTile:
    """Fetch tiles of the tree of a sealed `size`, for `shared.ledger.proofs`. The fetch raises TileError."""

    async def fetch(level: int, number: int) -> tuple[bytes, ...]:
        width = min(WIDTH, size // WIDTH**level - number * WIDTH)
        path = tile_path(level, number, width)
        data = await source.read(path)
        if data is None:
            message = f"{path} is missing"
            raise TileError(message)
        return split_tile(data, width)

    return fetch


# ---------------------------------------------------------------- a copy


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """What a download wrote, and the paths that the checkpoint covers and the source had not."""

    checkpoint: Checkpoint
    files: int
    missing: tuple[str, ...]


async def download(source: Source, folder: Path, *, verifiers: Sequence[Verifier]) -> Downloaded:
    """Write what the latest checkpoint covers into an empty folder: C2SP layout, and the keys in `verifier.key`.

    Nothing is checked: a damaged log is copied with its damage, for `verify` to name. The checkpoint is written last,
    so that an interrupted copy has none. Raises ConfigError for a folder in use, CheckpointError without a checkpoint.
    """
    _prepare(folder)
    note = await source.read(CHECKPOINT)
    if note is None:
        raise CheckpointError("the log has no checkpoint yet")
    checkpoint = read_checkpoint(note)

    async def copy(path: str) -> str | None:
        data = await source.read(path)
        if data is None:
            return path
        _write(folder / path, data)
        return None

    missing, files = list[str](), 0
    async for absent in ahead(copy(path) for path in covered(checkpoint.size)):
        files += absent is None
        missing += [absent] if absent else []
    _write(folder / VERIFIER_KEY, "".join(f"{verifier.vkey}\n" for verifier in verifiers).encode())
    _write(folder / CHECKPOINT, note)
    return Downloaded(checkpoint=checkpoint, files=files + 2, missing=tuple(missing))


def covered(size: int) -> Iterator[str]:
    """Paths of all tiles and bundles of a tree of `size` leaves."""
    yield from tile_paths(size)
    yield from (bundle_path(number, width) for number, width in widths(size))


def _prepare(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("the download needs a folder that is empty, or does not exist yet")
    folder.mkdir(parents=True, exist_ok=True)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
