"""Prove: whether a receipt's events stand in a log where it says, and name whom it says. On any machine.

It needs the receipt, the log (a folder, or the live containers) and the log's public key, and trusts nothing else. Of
the log it reads the checkpoint and a few tiles: whether the rest of it is sound is `shared.ledger.verify`'s to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.audit import EventError, EventType, canonical, parse_event, subject_pseudonym
from shared.ledger.checkpoint import CheckpointError, Verifier, open_checkpoint
from shared.ledger.merkle import ProofError, check_inclusion, leaf_hash
from shared.ledger.proofs import FetchTile, inclusion_proof
from shared.ledger.reader import tiles_of
from shared.ledger.source import CHECKPOINT, Source
from shared.ledger.tiles import TileError
from shared.model import Scope
from shared.receipt import Receipt, ReceiptEvent, ReceiptSubject, is_about

_ENDS = {EventType.REQUEST_COMPLETED: "done", EventType.REQUEST_REJECTED: "rejected"}


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
            wrong.append(f"{_where(each)}: not proven: the log is sealed up to entry {checkpoint.size - 1}")
            continue
        try:
            path = await inclusion_proof(each.index, checkpoint.size, fetch)
            check_inclusion(leaf_hash(canonical(each.event)), each.index, checkpoint.size, checkpoint.root, path)
        except (ProofError, TileError, ValueError, RecursionError) as error:
            wrong.append(f"{_where(each)}: not proven: {error}")
        else:
            proven.append(each)
    return Proof(origin=origin, proven=tuple(proven), wrong=tuple(wrong))


def misfits(receipt: Receipt) -> Sequence[str]:
    """What the receipt says that its own events and keys deny, without a look at any log.

    An event that it leaves out is found where it was counted: the request's last event, which is in the log as well,
    says how many records of each category had which outcome.
    """
    wrong = [f"subject {n}: the key does not make its name" for n, s in enumerate(receipt.subjects) if not _makes(s)]
    events = [each for each in receipt.events if _is_event(each)]
    wrong += [f"{_where(each)}: is no event" for each in receipt.events if each not in events]
    names = [subject.pseudonym for subject in receipt.subjects]
    named = {each.event.get("subject") for each in events}
    wrong += [f"subject {n}: no event names it" for n, name in enumerate(names) if name not in named]
    if not names:
        wrong.append("it has no key, so nothing tells whose events these are")
    seen = set[tuple[str, int]]()
    for each in events:
        if (each.log, each.index) in seen:
            wrong.append(f"{_where(each)}: stands in the receipt twice")
        if not is_about(each.event, receipt.request):
            wrong.append(f"{_where(each)}: is about another request")
        if each.event.get("subject") not in names and ("subject" in each.event or _outcome(each.event)):
            wrong.append(f"{_where(each)}: does not name the person")
        seen.add((each.log, each.index))
    return [*wrong, *_left_out(receipt, events)]


def _left_out(receipt: Receipt, events: Sequence[ReceiptEvent]) -> Sequence[str]:
    """What the request's last event counts, and the receipt does not show."""
    backwards = [each.event for each in reversed(events)]
    end = next((_ENDS[event["type"]] for event in backwards if event["type"] in _ENDS), None)
    if end is None:
        return ["it has no event that says how the request ended"]
    wrong = [] if receipt.state == end else ["the request's last event says that it ended otherwise"]
    signed: Any = next((event["data"]["outcomes"] for event in backwards if "outcomes" in event["data"]), {})
    if receipt.outcomes != signed:
        wrong.append("the request's last count of outcomes is another one")
    there = Counter((e.event["data"].get("category"), _outcome(e.event)) for e in _once_each(events))
    for category, counts in signed.items() if isinstance(signed, Mapping) else ():
        short = [n for n, count in counts.items() if isinstance(count, int) and there[category, n] < count]
        wrong += [f"{category}: fewer events say {name} than the request's last count" for name in short]
    return wrong


def told(events: Sequence[ReceiptEvent]) -> Mapping[str, Mapping[str, int]]:
    """What became of the records in the end, by category and outcome: of each record the last event counts.

    Only where a record was called gone after it had been erased, by an attempt that came later, it stays `erased`.
    """
    ends: dict[tuple[str, str, str], str] = {}
    for each in _once_each(events):
        data: Mapping[str, Any] = each.event["data"]
        name = _outcome(each.event)
        record = (str(data.get("category")), str(data.get("record")), str(data.get("action")))
        if name and not (name == "already_gone" and record in ends):
            ends[record] = name
    counts: dict[str, dict[str, int]] = {}
    for (category, _, _), name in ends.items():
        counts.setdefault(category, {})[name] = counts.get(category, {}).get(name, 0) + 1
    return counts


def _once_each(events: Sequence[ReceiptEvent]) -> Sequence[ReceiptEvent]:
    """The events without repeats: the same id is the same event, wherever it stands again."""
    return list({each.event["id"]: each for each in reversed(events) if _is_event(each)}.values())[::-1]


def _outcome(event: Mapping[str, Any]) -> str:
    said = event["data"].get("outcome")
    return str(said.get("name", "")) if isinstance(said, Mapping) else ""


def _where(each: ReceiptEvent) -> str:
    return f"entry {each.index} of {each.log}"


def _is_event(each: ReceiptEvent) -> bool:
    try:
        parse_event(canonical(each.event))
    except (EventError, ValueError, RecursionError):
        return False
    return True


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
