"""Settled journals of a realistic size for the log's measurements: what a sweep of camera pictures leaves.

Their events are made by the code that makes them in production: a record each, with its period and its pseudonyms.
Most say `erased`; here and there a record was renewed or gone already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared import audit
from shared.journal import Journals
from shared.model import AlreadyGone, Erased, Locator, Outcome, Record, Renewed, Scope, ScopeKind, SweepCause, utc_text
from shared.stores.interface import ObjectStore

UNIT = 1_000
"""Records in one journal: RETENTION_UNIT as it is set without a setting."""

_HOMES = 50
_BEGIN = datetime(2026, 3, 1, 2, tzinfo=UTC)
_PERIOD = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class SettledJournal:
    """An intent's id and its events."""

    intent: str
    events: tuple[bytes, ...]


def _outcome(ordinal: int) -> Outcome:
    return Renewed() if ordinal % 50 == 49 else AlreadyGone() if ordinal % 100 == 0 else Erased()  # noqa: PLR2004 - one in so many


def _event(intent: str, number: int, ordinal: int) -> bytes:
    scope = Scope(kind=ScopeKind.HOME, id=f"home-{ordinal * _HOMES // UNIT:03d}")
    taken = _BEGIN - _PERIOD - timedelta(seconds=60 * number + ordinal)
    record = Record(
        locator=Locator(
            store="blob",
            account="data",
            container="camera-snapshots",
            key=f"{scope.id}/front-door/{taken:%Y/%m/%d}/{taken:%H%M%S}.jpg",
        ),
        etag="",
        category="camera-snapshots",
        rule="camera-snapshots",
        scope=scope,
        starting_point=taken,
        due=taken + _PERIOD,
    )
    key = number.to_bytes(4, "big") * 8
    return audit.record_event(
        record,
        _outcome(ordinal),
        event_id=f"{intent}/{ordinal}",
        source="//local.example/retention",
        time=_BEGIN + timedelta(seconds=number),
        cause=SweepCause(run=f"camera-snapshots-{utc_text(_BEGIN)}", slice=number % 16),
        clause="8.2.1",
        policy_digest="sha256:" + "5c" * 32,
        subject_pseudonym=audit.subject_pseudonym(key, scope),
        record_pseudonym=audit.pseudonym(key, "record", record.locator.text()),
    )


def journals(count: int, *, start: int = 0) -> Iterator[SettledJournal]:
    """Make `count` journals of UNIT events, the `start`-th of all first."""
    for number in range(start, start + count):
        intent = f"{number:032x}"
        yield SettledJournal(intent=intent, events=tuple(_event(intent, number, n) for n in range(UNIT)))


async def post(store: ObjectStore, made: SettledJournal, *, log: str) -> None:
    """Put a journal where the ledger looks for it."""
    await Journals(objects=store).post(made.intent, made.events, log=log)
