"""Verify: check a year's log from its first entry to its checkpoint's signature. An auditor's check, on any machine.

It needs the log (a folder, or the live containers) and the log's public key, and trusts nothing else. It reads the log
once, bundle by bundle, and goes on after a finding, so that one report names all that is wrong, and where.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from shared.audit import EventError
from shared.ledger.ahead import ahead
from shared.ledger.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint, read_checkpoint
from shared.ledger.event_ids import EventIds
from shared.ledger.merkle import leaf_hashes
from shared.ledger.shapes import Shapes
from shared.ledger.source import CHECKPOINT, NUMBERED, Source
from shared.ledger.tiles import (
    WIDTH,
    Edge,
    Tile,
    TileError,
    bundle_path,
    edge_root,
    edge_size,
    edge_tiles,
    extend,
    leading_entries,
    split_tile,
    tile_path,
    widths,
)

MOST_FINDINGS = 1_000
_EVENT_ID = re.compile(rb'"id":"([\x20\x21\x23-\x7e]{1,256})"')


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong: the file, the entry's index and event id where it is about one, and what is wrong."""

    path: str
    what: str
    leaf: int | None = None
    event: str | None = None

    def __str__(self) -> str:
        leaf = "" if self.leaf is None else f", leaf {self.leaf}"
        event = "" if self.event is None else f", event {self.event}"
        return f"{self.path}{leaf}{event}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What verify found. `size` is the checkpoint's; `leaves` were read, and hold `events` that are distinct and sound.

    `root` is the one computed from the tiles, None when one is missing. `stopped` says that MOST_FINDINGS were made,
    and that the rest was not read.
    """

    origin: str
    size: int
    leaves: int
    events: int
    root: bytes | None
    findings: tuple[Finding, ...]
    stopped: bool

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


async def verify(source: Source, *verifiers: Verifier, numbered: bool = True) -> Report:
    """Check the log; see Report. `verifiers` are its keys: one, or more where the signing key was changed.

    1. The checkpoint has the form of one, is of this log, and is signed by one of its keys.
    2. Every bundle that it covers is there, and parses as exactly its entries.
    3. Every entry hashes to its place in the level 0 tile: a finding names the leaf and its event.
    4. Every entry is a CloudEvent of at most 8 KB in canonical form; two different events never share an id.
       Byte-identical repeats are one event.
    5. Every tile of a higher level is what the tiles of level 0 hash to.
    6. Every numbered checkpoint beside the log is signed by such a key, and the log begins with what it states; none is
       of a size that the latest checkpoint has not reached. `numbered` False leaves this out: each costs a read.
    7. The root that the tiles lead to is the checkpoint's.

    Level 0 of the tiles is what all else is compared with, so that a changed entry is one finding and not three.
    Raises what the source raises (TransientError), and nothing of its own.
    """
    check = _Check(source, verifiers)
    try:
        await check.checkpoint()
        async with aclosing(ahead(_signed(source, verifiers, numbered=numbered))) as signed:
            await check.walk(signed)
            await check.beyond(signed)
        await check.edge_and_root()
    except _EnoughError:
        return check.report(stopped=True)
    finally:
        check.ids.close()
    return check.report(stopped=False)


class _EnoughError(Exception):
    """MOST_FINDINGS are made."""


@dataclass(frozen=True, kw_only=True)
class _Signed:
    """A numbered checkpoint, or why it is none."""

    path: str
    checkpoint: Checkpoint | None = None
    wrong: str = ""


async def _signed(
    source: Source, verifiers: Sequence[Verifier], *, numbered: bool
) -> AsyncIterator[Coroutine[Any, Any, _Signed]]:
    """Reads of the numbered checkpoints, by size."""

    async def read(path: str) -> _Signed:
        try:
            checkpoint = open_checkpoint(await source.read(path) or b"", *verifiers)
        except CheckpointError as error:
            return _Signed(path=path, wrong=str(error))
        if path != f"{NUMBERED}{checkpoint.size:020d}":
            return _Signed(path=path, wrong="states another size than its name")
        return _Signed(path=path, checkpoint=checkpoint)

    if numbered:
        async for path in source.numbered():
            yield read(path)


class _Check:
    """The state of one verification: the tree so far is `edge`, None once a part of it is missing."""

    def __init__(self, source: Source, verifiers: Sequence[Verifier]) -> None:
        self.ids = EventIds()
        self._shapes = Shapes()
        self._source = source
        self._verifiers = verifiers
        self._stated: Checkpoint | None = None
        self._edge: Edge | None = ()
        self._leaves = 0
        self._findings: list[Finding] = []
        self._next: _Signed | None = None

    @property
    def _size(self) -> int:
        return self._stated.size if self._stated else 0

    def _find(self, path: str, what: str, *, leaf: int | None = None, event: str | None = None) -> None:
        self._findings.append(Finding(path=path, what=what, leaf=leaf, event=event))
        if len(self._findings) >= MOST_FINDINGS:
            raise _EnoughError

    def report(self, *, stopped: bool) -> Report:
        """What was found so far."""
        whole = self._stated is not None and not stopped
        return Report(
            origin=self._verifiers[0].name,
            size=self._size,
            leaves=self._leaves,
            events=self.ids.count,
            root=edge_root(self._edge) if whole and self._edge is not None else None,
            findings=tuple(self._findings),
            stopped=stopped,
        )

    async def checkpoint(self) -> None:
        """Step 1. What a checkpoint with a wrong signature states still serves to find what else is wrong."""
        note = await self._source.read(CHECKPOINT)
        if note is None:
            self._find(CHECKPOINT, "is missing")
            return
        try:
            self._stated = open_checkpoint(note, *self._verifiers)
        except CheckpointError as error:
            self._find(CHECKPOINT, str(error))
            with suppress(CheckpointError):
                self._stated = read_checkpoint(note)

    async def walk(self, signed: AsyncIterator[_Signed]) -> None:
        """Steps 2 to 6, in the order of the entries."""
        await self._advance(signed)
        pairs = (self._pair(number, width) for number, width in widths(self._size))
        async with aclosing(ahead(pairs)) as read:
            async for number, width, bundle, tile in read:
                hashes = self._entries(number, width, bundle, tile)
                if hashes is None or self._edge is None:
                    self._edge = None
                    continue
                before = self._edge
                self._edge, filled = extend(before, hashes)
                for each in filled:
                    await self._compare(each)
                await self._prefixes(signed, before, hashes)

    async def _pair(self, number: int, width: int) -> tuple[int, int, bytes | None, bytes | None]:
        bundle = await self._source.read(bundle_path(number, width))
        return number, width, bundle, await self._source.read(tile_path(0, number, width))

    def _level_zero(self, number: int, width: int, data: bytes | None) -> tuple[bytes, ...] | None:
        """Hashes of a level 0 tile, None when there are none to compare with."""
        path = tile_path(0, number, width)
        if data is None:
            self._find(path, "is missing")
            return None
        try:
            return split_tile(data, width)
        except TileError as error:
            self._find(path, str(error))
            return None

    def _entries(self, number: int, width: int, data: bytes | None, tile: bytes | None) -> Sequence[bytes] | None:
        """Steps 2 to 4 for one bundle. Return the tile's hashes, or the entries' own where there is no tile."""
        path = bundle_path(number, width)
        entries, rest = leading_entries(data or b"", width + 1)
        parses = not rest and len(entries) == width
        hashes = leaf_hashes(entries)
        if parses and tile == b"".join(hashes):
            self._events(path, number * WIDTH, entries, hashes)
            return hashes
        stored = self._level_zero(number, width, tile)
        if data is None:
            self._find(path, "is missing")
            return stored
        if stored is None:
            self._events(path, number * WIDTH, entries[:width], hashes)
        else:
            self._one_by_one(number, entries[:width], hashes, stored, parses=parses)
        if not parses:
            self._find(path, f"does not parse as {width} entries")
        return stored or (hashes if parses else None)

    def _one_by_one(
        self, number: int, entries: Sequence[bytes], hashes: Sequence[bytes], stored: Sequence[bytes], *, parses: bool
    ) -> None:
        """Steps 3 and 4 where not all is as the tile says."""
        path = bundle_path(number, len(stored))
        for at, (entry, digest) in enumerate(zip(entries, hashes, strict=False)):
            leaf = number * WIDTH + at
            if stored[at] == digest:
                self._events(path, leaf, [entry], [digest])
                continue
            self._leaves += 1
            what = f"the entry's hash is not the one in {tile_path(0, number, len(stored))}"
            self._find(path, what, leaf=leaf, event=_event_id(entry))
            if not parses:
                break  # after a changed length all others would only be other words for it

    def _events(self, path: str, first: int, entries: Sequence[bytes], hashes: Sequence[bytes]) -> None:
        """Step 4 for entries that are where they belong."""
        said = self._shapes.event_ids(entries)
        at = 0
        while (at := self._follow(said, first, hashes, at)) < len(said):
            self._leaves += 1
            self._event(path, first + at, entries[at], said[at], hashes[at])
            at += 1

    def _follow(self, said: Sequence[str | EventError], first: int, hashes: Sequence[bytes], start: int) -> int:
        end = self.ids.follow(said, first, hashes, start=start)
        self._leaves += end - start
        return end

    def _event(self, path: str, leaf: int, entry: bytes, said: str | EventError, digest: bytes) -> None:
        if isinstance(said, EventError):
            self._find(path, str(said), leaf=leaf, event=_event_id(entry))
            return
        earlier = self.ids.clash(said, leaf, digest)
        if earlier is not None:
            self._find(path, f"leaf {earlier} holds another event under this id", leaf=leaf, event=said)

    async def _compare(self, tile: Tile) -> None:
        """Step 5 for one tile."""
        if tile.level == 0:
            return
        data = await self._source.read(tile.path)
        if data is None:
            self._find(tile.path, "is missing")
        elif data != tile.data:
            self._find(tile.path, "is not what the tiles below it hash to")

    async def _advance(self, signed: AsyncIterator[_Signed]) -> None:
        """Go to the next numbered checkpoint that is one."""
        self._next = await anext(signed, None)
        while self._next is not None and self._next.checkpoint is None:
            self._find(self._next.path, self._next.wrong)
            self._next = await anext(signed, None)

    async def _prefixes(self, signed: AsyncIterator[_Signed], before: Edge, hashes: Sequence[bytes]) -> None:
        """Step 6 for the numbered checkpoints that end among these leaves."""
        first = edge_size(before)
        while self._next is not None and self._next.checkpoint is not None:
            stated = self._next.checkpoint
            if stated.size > first + len(hashes):
                return
            if edge_root(extend(before, hashes[: stated.size - first])[0]) != stated.root:
                self._find(self._next.path, "the log does not begin with what this checkpoint states")
            await self._advance(signed)

    async def beyond(self, signed: AsyncIterator[_Signed]) -> None:
        """The rest of step 6. A seal during this very check is none: the latest checkpoint has moved on by now."""
        latest: int | None = None
        while self._next is not None and self._next.checkpoint is not None:
            size = self._next.checkpoint.size
            if size > self._size and latest is None:
                with suppress(CheckpointError):
                    latest = open_checkpoint(await self._source.read(CHECKPOINT) or b"", *self._verifiers).size
                latest = latest or self._size
            if latest is not None and size > latest:
                self._find(self._next.path, "the latest checkpoint is of a smaller log than this one")
            await self._advance(signed)

    async def edge_and_root(self) -> None:
        """The rest of step 5, and step 7."""
        if self._stated is None or self._edge is None:
            return
        for tile in edge_tiles(self._edge):
            await self._compare(tile)
        if edge_root(self._edge) != self._stated.root:
            self._find(CHECKPOINT, "its root is not that of the tiles")


def _event_id(entry: bytes) -> str | None:
    """The id in an entry that need not parse any more. In canonical form the event's own is the last."""
    found = _EVENT_ID.findall(entry)
    return found[-1].decode() if found else None
