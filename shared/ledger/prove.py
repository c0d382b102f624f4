"""Prove: whether a receipt's events stand in a log where it says, and name whom it says. On any machine.

It needs the receipt, the log (a folder, or the live containers) and the log's public key, and trusts nothing else. Of
the log it reads the checkpoint and a few tiles: whether the rest of it is sound is `shared.ledger.verify`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.audit import canonical, subject_pseudonym
from shared.ledger.checkpoint import CheckpointError, Verifier, open_checkpoint
from shared.ledger.merkle import ProofError, check_inclusion, leaf_hash
from shared.ledger.proofs import FetchTile, inclusion_proof
from shared.ledger.reader import tiles_of
from shared.ledger.source import CHECKPOINT, Source
from shared.ledger.tiles import TileError
from shared.model import Scope
from shared.receipt import Receipt, ReceiptEvent, ReceiptSubject, is_about


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a log says to a receipt: the events that it proves, and what is wrong with the others."""

    origin: str
    proven: tuple[ReceiptEvent, ...]
    wrong: tuple[str, ...]


async def prove(receipt: Receipt, source: Source, *verifiers: Verifier) -> Proof:
    """Prove each event that the receipt says is in this log; those of another year's log are left out.

    Its path in the tree leads to the root that one of the log's keys signed (RFC 6962). Raises what the source raises
    (TransientError), and nothing of its own.
    """
    origin = verifiers[0].name
    mine = [each for each in receipt.events if f"{receipt.origin}/{each.log}" == origin]
    try:
        checkpoint = open_checkpoint(await source.read(CHECKPOINT) or b"", *verifiers)
    except CheckpointError as error:
        return Proof(origin=origin, proven=(), wrong=(f"{CHECKPOINT}: {error}",))
    fetch = _once(tiles_of(source, checkpoint.size))
    proven, wrong = list[ReceiptEvent](), list[str]()
    for each in mine:
        if not 0 <= each.index < checkpoint.size:
            wrong.append(f"entry {each.index}: not proven: the log is sealed up to entry {checkpoint.size - 1}")
            continue
        try:
            path = await inclusion_proof(each.index, checkpoint.size, fetch)
            check_inclusion(leaf_hash(canonical(each.event)), each.index, checkpoint.size, checkpoint.root, path)
        except (ProofError, TileError, ValueError) as error:
            wrong.append(f"entry {each.index}: not proven: {error}")
        else:
            proven.append(each)
    return Proof(origin=origin, proven=tuple(proven), wrong=tuple(wrong))


def misfits(receipt: Receipt) -> Sequence[str]:
    """What the receipt says that its own events and keys deny, without a look at any log."""
    wrong = [f"subject {n}: the key does not make its name" for n, s in enumerate(receipt.subjects) if not _makes(s)]
    names = {subject.pseudonym for subject in receipt.subjects}
    seen = set[tuple[str, int]]()
    for each in receipt.events:
        where = f"entry {each.index}"
        if (each.log, each.index) in seen:
            wrong.append(f"{where}: stands in the receipt twice")
        if not is_about(each.event, receipt.request):
            wrong.append(f"{where}: is about another request")
        if each.event.get("subject") not in {None, *names}:
            wrong.append(f"{where}: names somebody else")
        seen.add((each.log, each.index))
    return wrong


def _makes(subject: ReceiptSubject) -> bool:
    """Whether the name in the log is the one that this key makes of this person."""
    try:
        key = bytes.fromhex(subject.key)
        return subject_pseudonym(key, Scope(kind=subject.kind, id=subject.id)) == subject.pseudonym
    except ValueError:
        return False


def _once(fetch: FetchTile) -> FetchTile:
    """The same, each tile fetched once."""
    held: dict[tuple[int, int], Sequence[bytes]] = {}

    async def fetched(level: int, number: int) -> Sequence[bytes]:
        if (level, number) not in held:
            held[level, number] = await fetch(level, number)
        return held[level, number]

    return fetched


def told(events: Sequence[ReceiptEvent]) -> Mapping[str, Mapping[str, int]]:
    """How many records of each category had which outcome, by what the events say."""
    counts: dict[str, dict[str, int]] = {}
    for each in events:
        data: Mapping[str, Any] = each.event.get("data", {})
        if isinstance(outcome := data.get("outcome"), Mapping):
            mine = counts.setdefault(str(data.get("category")), {})
            name = str(outcome.get("name"))
            mine[name] = mine.get(name, 0) + 1
    return counts
