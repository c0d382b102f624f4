"""Append: settled journals become the committed order of a year's log, each exactly once, whatever crashes where.

The order of the steps is what makes it so; a model checker has walked all their interleavings, and shows the duplicate
that follows when journals are read before the head. Any number of appenders may run at once: the head's ETag lets one
of them win, and the others start again from the new head. Nothing here decides twice: after a crash the next run finds
the head, and finishes what it says.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

from shared.errors import ChangedError, ExistsError, IntegrityError, TransientError
from shared.ledger.ahead import do_all
from shared.ledger.head import Head, Ledger, Staged, decode_head
from shared.ledger.merkle import leaf_hashes
from shared.ledger.outbox import Batch, gather, journal_name, settled
from shared.ledger.tiles import (
    WIDTH,
    Edge,
    TileError,
    bundle_path,
    edge_root,
    extend,
    join_bundle,
    split_bundle,
)
from shared.stores.interface import Entry, ObjectStore

TRIES = 16
MOST_JOURNALS = 64
DROPPED = "dropped"
"""The object beside a head that says: this log is being dropped, and is none any more."""

MOST_ENTRIES = 4_096
ORPHAN_AFTER = timedelta(minutes=10)  # far above the difference between two clocks of one store


class DroppedError(IntegrityError):
    """A log is being dropped, and something is still to be added to it: an operator looks at its journals."""


@dataclass(frozen=True, kw_only=True)
class Appended:
    """What a call of append did: the log's size now, how many entries it added, whether journals are left."""

    size: int
    entries: int
    more: bool


@dataclass(frozen=True, kw_only=True)
class Current:
    """The head as it was read, with the entries from its base on. `etag` is None where there is no head yet."""

    head: Head
    etag: str | None
    tail: tuple[bytes, ...]

    @property
    def edge(self) -> Edge:
        """Right edge at the head's full size."""
        return extend(self.head.edge, leaf_hashes(self.tail))[0]


async def years(ledger: Ledger) -> list[str]:
    """Years to append: those with a settled journal or a log. Raises OutboxError for a journal of no year."""
    return sorted({*await settled(ledger.journals), *await logs(ledger)})


async def logs(ledger: Ledger) -> list[str]:
    """Years that have a log: those to seal and publish, whatever stands in the outbox. One being dropped is none."""
    return (await logs_and_dropped(ledger))[0]


async def logs_and_dropped(ledger: Ledger) -> tuple[list[str], list[str]]:
    """Years that have a log, and those whose log is being dropped (`shared.ledger.retire`)."""
    names = [entry.name.partition("/") async for entry in ledger.state.list()]
    dropped = sorted(year for year, _, name in names if name == DROPPED)
    return sorted(year for year, _, name in names if name == "head" and year not in dropped), dropped


def dropped_name(year: str) -> str:
    """Where it is said that a year's log is being dropped, and with what event."""
    return f"{year}/{DROPPED}"


async def is_dropped(ledger: Ledger, year: str) -> bool:
    """Whether a year's log is being dropped."""
    return await ledger.state.read(dropped_name(year)) is not None


async def append(
    ledger: Ledger,
    year: str,
    *,
    most_journals: int = MOST_JOURNALS,
    most_entries: int = MOST_ENTRIES,
    commits: int = 16,
) -> Appended:
    """Append the year's settled journals, at most `commits` times some of them.

    1. Read the head, and finish what an earlier run left: tiles, bundles, journals (see `ready`).
    2. Read the settled journals: after the head, always. None: done.
    3. Write the entries to a new staging object, and make the head refer to it, if it is still the head of step 1.
    4. Again from 1, which finishes this very commit, or meets the head of whoever was faster.

    Raises TransientError when others were faster TRIES times, OutboxError, HeadError, IntegrityError, and DroppedError
    where a journal waits for a log that is being dropped: nothing is added to it.
    """
    added = done = lost = 0
    more = True
    while True:
        try:
            current = await ready(ledger, year)
        except DroppedError:
            if year in await settled(ledger.journals):
                raise
            return Appended(size=0, entries=added, more=False)
        if done == commits:
            return Appended(size=current.head.size, entries=added, more=more)
        batch = await gather(ledger.journals, year, most_journals=most_journals, most_entries=most_entries)
        more = batch.more
        if not batch.intents:
            return Appended(size=current.head.size, entries=added, more=more)
        if await _commit(ledger, year, current, batch):
            added, done = added + len(batch.entries), done + 1
        elif (lost := lost + 1) >= TRIES:
            raise TransientError("other appenders were faster every time")


async def _commit(ledger: Ledger, year: str, current: Current, batch: Batch) -> bool:
    """Step 3. False when another appender was faster; then nothing of this one is left."""
    tail = (*current.tail, *batch.entries)
    name = f"{year}/staging/{secrets.token_hex(16)}"
    leaves = leaf_hashes(tail)
    head = replace(
        current.head,
        size=current.head.base + len(tail),
        root=edge_root(extend(current.head.edge, leaves)[0]),
        staged=Staged(name=name, start=current.head.base) if tail else None,
        appended=batch.intents,
    )
    # A crash, or no answer, after this write leaves an object that no head names: sweep_staging removes it.
    if tail:
        await create_same(ledger.state, name, join_bundle(tail))
    try:
        await _swap(ledger, year, head, current.etag)
    except (ChangedError, ExistsError):
        # The store's client may have repeated a write that had gone through: only the head can tell whose it is. Had
        # ours been in it and been replaced since, its staging object would be superseded: removed either way.
        if not await _names(ledger, year, name):
            await ledger.state.delete(name)
            return False
    # A crash after the head's change leaves the superseded staging object, and all of `finish`, to the next run.
    if current.head.staged:
        await ledger.state.delete(current.head.staged.name)
    return True


async def _names(ledger: Ledger, year: str, staging: str) -> bool:
    """Whether the head, now, names this staging object."""
    stored = await ledger.state.read(head_name(year))
    staged = decode_head(stored.data, ledger.origin_of(year)).staged if stored else None
    return staged is not None and staged.name == staging


# ---------------------------------------------------------------- finishing what is committed


async def ready(ledger: Ledger, year: str) -> Current:
    """The head, with nothing left to finish. Raises TransientError when it changed TRIES times, and DroppedError."""
    for _ in range(TRIES):
        current = await _read(ledger, year)
        if current is None:
            continue
        if not current.head.unfinished:
            return current
        try:
            return await _finish(ledger, year, current)
        except ChangedError:
            continue  # another appender finished it, or went on: look again
    raise TransientError("the log's head changed every time it was read")


async def _read(ledger: Ledger, year: str) -> Current | None:
    """The head and its tail; None when the head changed in between. Raises IntegrityError when they do not agree."""
    origin = ledger.origin_of(year)
    stored = await ledger.state.read(head_name(year))
    if await is_dropped(ledger, year):  # asked after the head was read: then nothing of it was deleted before
        raise DroppedError("the log is being dropped")
    if stored is None:
        if await newest_signed(ledger, year):
            raise IntegrityError("the log's head is gone, and checkpoints were signed: it must not begin anew")
        return Current(head=Head(), etag=None, tail=())
    head = decode_head(stored.data, origin)
    tail: tuple[bytes, ...] = ()
    if head.staged:
        staging = await ledger.state.read(head.staged.name)
        if staging is None:
            again = await ledger.state.read(head_name(year))
            if again is not None and again.etag == stored.etag:
                raise IntegrityError("the staging object that the log's head names is gone")
            return None
        entries = split_bundle(staging.data, head.size - head.staged.start)
        tail = tuple(entries[head.base - head.staged.start :])
    current = Current(head=head, etag=stored.etag, tail=tail)
    if edge_root(current.edge) != head.root:
        raise IntegrityError("the staging object is not the one that the log's head was made for")
    return current


async def _finish(ledger: Ledger, year: str, current: Current) -> Current:
    """Write full bundles and tiles, then delete the journals, then say so in the head. Raises ChangedError.

    A crash after any of these leaves the head as it was: the next run writes the same bytes, and deletes the same.
    """
    head = current.head
    edge, filled = extend(head.edge, leaf_hashes(current.tail))
    base = head.size - head.size % WIDTH
    await do_all(create_same(ledger.tiles, name, data) for name, data in _bundles(year, head.base, current.tail))
    await do_all(create_same(ledger.tiles, f"{year}/{tile.path}", tile.data) for tile in filled)
    # Only now, with the head including them and the entries where readers find them, may the journals go.
    await do_all(ledger.journals.delete(journal_name(intent)) for intent in head.appended)
    finished = replace(
        head,
        edge=((), *edge[1:]) if edge[1:] else (),
        staged=head.staged if head.size > base else None,
        appended=(),
    )
    etag = await _swap(ledger, year, finished, current.etag)
    if head.staged and not finished.staged:
        await ledger.state.delete(head.staged.name)
    return Current(head=finished, etag=etag, tail=current.tail[base - head.base :])


def _bundles(year: str, base: int, tail: tuple[bytes, ...]) -> Iterator[tuple[str, bytes]]:
    for at in range(0, len(tail) - len(tail) % WIDTH, WIDTH):
        yield f"{year}/{bundle_path((base + at) // WIDTH)}", join_bundle(tail[at : at + WIDTH])


async def sweep_staging(ledger: Ledger, year: str) -> int:
    """Delete staging objects that no head names and none can come to name; return how many.

    Whoever wrote one had read a head before; when the head has changed since, its compare-and-swap can only fail.
    """
    stored = await ledger.state.read(head_name(year))
    if stored is None:
        return 0
    head = decode_head(stored.data, ledger.origin_of(year))
    named = head.staged.name if head.staged else None
    orphans = [
        entry.name
        async for entry in ledger.state.list(f"{year}/staging/")
        if entry.name != named and entry.modified + ORPHAN_AFTER < stored.modified
    ]
    await do_all(ledger.state.delete(name) for name in orphans)
    return len(orphans)


# ---------------------------------------------------------------- what was signed

_MOST = 10**20 - 1


def newest_name(year: str, size: int) -> str:
    """An empty object whose name counts down, so that the first of a listing is the largest size ever signed."""
    return f"{year}/newest/{_MOST - size:020d}"


async def newest_signed(ledger: Ledger, year: str) -> int:
    """The largest size that was ever about to be signed, 0 for none. It stands where nothing is changed or deleted."""
    async with aclosing(cast("AsyncGenerator[Entry]", ledger.tiles.list(f"{year}/newest/"))) as entries:
        async for entry in entries:
            return _MOST - int(entry.name.rpartition("/")[2])
    return 0


# ---------------------------------------------------------------- single writes


def head_name(year: str) -> str:
    """Where a year's head is."""
    return f"{year}/head"


async def _swap(ledger: Ledger, year: str, head: Head, etag: str | None) -> str:
    data = head.encode(ledger.origin_of(year))
    if etag is None:
        return await ledger.state.create(head_name(year), data)
    return await ledger.state.replace(head_name(year), data, etag=etag)


async def create_same(store: ObjectStore, name: str, data: bytes) -> None:
    """Write once: fine when the very same bytes stand there already. Raises TileError when others do."""
    try:
        await store.create(name, data)
    except ExistsError as error:
        held = await store.read(name)
        if held is None or held.data != data:
            message = f"{name} was written before with other bytes"
            raise TileError(message) from error
