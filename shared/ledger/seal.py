"""Seal: sign the log as it stands, so that from then on nobody can change it unseen, ourselves included.

A log that signs two histories has lost its meaning. So nothing is signed that does not begin with what was signed
before, and every write is such that a repeat writes the same bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from os.path import commonprefix

from shared.errors import ChangedError, ConfigError, ExistsError, IntegrityError, TransientError
from shared.ledger.ahead import do_all
from shared.ledger.checkpoint import Checkpoint, Signer, open_checkpoint
from shared.ledger.head import Ledger
from shared.ledger.log import (
    TRIES,
    Current,
    DroppedError,
    create_same,
    newest_name,
    newest_signed,
    ready,
    sweep_staging,
)
from shared.ledger.merkle import check_consistency
from shared.ledger.proofs import FetchTile, consistency_proof
from shared.ledger.source import CHECKPOINT, NUMBERED
from shared.ledger.tiles import WIDTH, TileError, bundle_path, edge_tiles, join_bundle, split_tile, tile_path


async def seal(ledger: Ledger, year: str, signer: Signer) -> Checkpoint | None:
    """Sign the year's log if it grew; return the new checkpoint, None when there was nothing to sign.

    A log that is being dropped is not signed any more.

    1. Read the latest checkpoint, then the head, finished (`log.ready`): the head can only be ahead of it.
    2. Show that the head's tree begins with the tree of that checkpoint, and of every one signed since: make the
       consistency proofs from the tiles, and check them.
    3. Write the partial tiles and the partial bundle of this size.
    4. Note that this size is about to be signed; sign, and write the checkpoint under its number, once.
    5. Make it the latest, if the latest is still that of step 1; else start again. It never goes backward.

    Raises IntegrityError when the log and what was signed contradict each other: nothing is signed then.
    TransientError when other sealers were faster TRIES times. ConfigError for the key of another log.
    """
    if signer.verifier.name != ledger.origin_of(year):
        raise ConfigError("the signing key's name is not this log's origin")
    for _ in range(TRIES):
        stored = await ledger.state.read(_latest_name(year))
        old = open_checkpoint(stored.data, *signer.verifiers) if stored else None
        try:
            current = await ready(ledger, year)
        except DroppedError:
            return None
        new = Checkpoint(origin=ledger.origin_of(year), size=current.head.size, root=current.head.root)
        if old == new or (old is None and new.size == 0):
            return None
        await _check(ledger, year, current, old, signer)
        # A crash after any of the writes below is finished by the next seal: of this size, or of a larger one.
        await _write_partial(ledger, year, current)
        await create_same(ledger.tiles, newest_name(year, new.size), b"")
        note = signer.sign(new)
        await create_same(ledger.tiles, numbered_name(year, new.size), note)
        try:
            if stored is None:
                await ledger.state.create(_latest_name(year), note)
            else:
                await ledger.state.replace(_latest_name(year), note, etag=stored.etag)
        except (ChangedError, ExistsError):
            continue
        await sweep_staging(ledger, year)
        return new
    raise TransientError("other sealers were faster every time")


def _latest_name(year: str) -> str:
    return f"{year}/{CHECKPOINT}"


def numbered_name(year: str, size: int) -> str:
    """Where the checkpoint of a size is."""
    return f"{year}/{NUMBERED}{size:020d}"


async def _check(ledger: Ledger, year: str, current: Current, old: Checkpoint | None, signer: Signer) -> None:
    """Step 2. Raises IntegrityError (as ProofError, CheckpointError or TileError where it is one of them)."""
    size, root = current.head.size, current.head.root
    newest = await newest_signed(ledger, year)
    if newest > size:
        raise IntegrityError("a larger log was signed before: head and checkpoint were both set back")
    if old is not None and old.size > newest:
        raise IntegrityError("the latest checkpoint is of a size that nobody was about to sign: it was put there")
    signed = [] if old is None else [old]
    signed += [each async for each in _signed_since(ledger, year, old.size if old else 0, size, signer)]
    fetch = _tiles_of(ledger, year, current)
    for each in signed:
        if each.size > size:
            raise IntegrityError("the log's head is behind its checkpoint: it was set back, or another log's")
        proof = await consistency_proof(each.size, size, fetch)
        check_consistency(each.size, size, each.root, root, proof)


async def _signed_since(ledger: Ledger, year: str, old: int, new: int, signer: Signer) -> AsyncIterator[Checkpoint]:
    """Numbered checkpoints from the one size to the other: a crash, or a latest checkpoint set back, leaves them there.

    The one of size `old` too: the latest checkpoint, which anybody who may write there can replace, must not differ.
    """
    among = commonprefix([numbered_name(year, old), numbered_name(year, new)])  # noqa: RUF071 - digits, no folders
    async for entry in ledger.tiles.list(among):
        if numbered_name(year, old) <= entry.name <= numbered_name(year, new):
            stored = await ledger.tiles.read(entry.name)
            if stored is not None:
                yield open_checkpoint(stored.data, *signer.verifiers)


def _tiles_of(ledger: Ledger, year: str, current: Current) -> FetchTile:
    """Tiles of the head's tree: full ones from the container, the incomplete ones from the head's edge."""
    edge = current.edge

    async def fetch(level: int, number: int) -> tuple[bytes, ...]:
        if (number + 1) * WIDTH ** (level + 1) > current.head.size:
            return edge[level]
        path = tile_path(level, number)
        stored = await ledger.tiles.read(f"{year}/{path}")
        if stored is None:
            message = f"{path} is missing"
            raise TileError(message)
        return split_tile(stored.data, WIDTH)

    return fetch


async def _write_partial(ledger: Ledger, year: str, current: Current) -> None:
    """Step 3. Of a finished head the tail is exactly the partial bundle."""
    size = current.head.size
    await do_all(create_same(ledger.tiles, f"{year}/{tile.path}", tile.data) for tile in edge_tiles(current.edge))
    if current.tail:
        name = f"{year}/{bundle_path(size // WIDTH, size % WIDTH)}"
        await create_same(ledger.tiles, name, join_bundle(current.tail))
