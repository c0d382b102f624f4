"""One attempt of the gate at an open journal: what is known of each record, and what each answer and look adds to it.

No I/O. An outcome that is noted here is final; a record without one had no answer that proves anything, or may still
be reached by a deletion that is on its way: its journal stays open.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from shared.journal import Intent, OpenJournal
from shared.model import (
    AlreadyGone,
    Blocked,
    Erased,
    ErasedRecoverable,
    Held,
    Left,
    Outcome,
    Renewed,
    Replaced,
    Retained,
)
from shared.stores.interface import Answer, NoAnswer, Recoverable, Said, There

Kept = Held | Retained
"""Why a record is not asked for."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one attempt knows. `begun` is the worker's clock before the attempt's first write; outcomes are by ordinal.

    `since` is when the first of this worker's attempts at the journal began: what they did is among the outcomes.

    `again`: an earlier attempt may have deleted. `unsure` are the records that a deletion without an answer may still
    reach: that one stays is not final. `tried` are those that such a deletion may have taken already: if another
    version is there, whether the listed one was changed, or deleted and written anew, is not known. `silent` are those
    whose deletion this attempt asked for without an answer, `staying` those last found to stay, which is not final yet.
    """

    journal: OpenJournal
    begun: datetime
    since: datetime
    again: bool = False
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    unsure: set[int] = field(default_factory=set)
    tried: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    staying: set[int] = field(default_factory=set)

    @classmethod
    def repeated(
        cls, journal: OpenJournal, begun: datetime, *, known: Mapping[int, Outcome], quiet: bool, since: datetime
    ) -> Attempt:
        """An attempt after another. `quiet`: nothing that the other sent can still be on its way."""
        every = range(len(journal.intent.records))
        return cls(
            journal=journal,
            begun=begun,
            since=since,
            again=True,
            outcomes=dict(known),
            unsure=set() if quiet else set(every),
            tried=set(every),
        )

    @property
    def intent(self) -> Intent:
        """What is to be done."""
        return self.journal.intent

    @property
    def left(self) -> list[int]:
        """The records that have no outcome."""
        return [n for n in range(len(self.intent.records)) if n not in self.outcomes]

    @property
    def undecided(self) -> bool:
        """Whether all that has no outcome stays, as it seems: then only time can tell, and no repeat."""
        return bool(self.left) and self.staying.issuperset(self.left)

    def answered(self, ordinal: int, answer: Answer) -> None:
        """Note what a store answered to the deletion of a record."""
        self.staying.discard(ordinal)
        if isinstance(answer, NoAnswer):
            self.unsure.add(ordinal)
            self.tried.add(ordinal)
            self.silent.add(ordinal)
            return
        outcome = _outcome("replaced" if answer == "changed" and ordinal in self.tried else answer)
        if isinstance(outcome, Blocked) and ordinal in self.unsure:
            self.staying.add(ordinal)
        else:
            self.outcomes[ordinal] = outcome

    def looked(self, ordinal: int, there: There | NoAnswer, why: Kept | None) -> None:
        """Note what a look found of a record that may have been deleted before; `why` it is kept if it is not gone."""
        match there:
            case "missing":
                self.outcomes[ordinal] = AlreadyGone()
            case "another":
                self.outcomes[ordinal] = Replaced()
            case "same" if why is not None and ordinal not in self.unsure:
                self.outcomes[ordinal] = why
            case "same" if why is not None:
                self.staying.add(ordinal)
            case _:
                pass  # no answer, or one that is not final

    def for_certain(self) -> dict[int, Outcome]:
        """What stays true although another worker was at this journal too: it may have deleted what is not in here."""
        return {
            ordinal: outcome
            for ordinal, outcome in self.outcomes.items()
            if not isinstance(outcome, Held | Blocked | Retained | Renewed)
        }

    def corrections(self, said: Mapping[int, str] | None, stayed: Collection[str]) -> dict[int, Outcome]:
        """What this attempt deleted, or may have, of records of which another worker said otherwise.

        `said` are the types of that worker's events, `stayed` those that say of a record that it is there; None: what
        was said is not known, and whatever this attempt did, or may have done, is returned.
        """
        lost = self.silent if said is None else self.tried
        return {
            ordinal: outcome
            for ordinal, outcome in self.outcomes.items()
            if isinstance(outcome, Erased | ErasedRecoverable | Left)
            or (ordinal in lost and isinstance(outcome, AlreadyGone | Replaced))
            if said is None or said[ordinal] in stayed
        }


def _outcome(answer: Said | Recoverable) -> Outcome:
    """What an answer proves."""
    match answer:
        case Recoverable(until=until):
            return ErasedRecoverable(until=until)
        case "deleted":
            return Erased()
        case "left":
            return Left()
        case "missing":
            return AlreadyGone()
        case "changed":
            return Renewed()
        case "replaced":
            return Replaced()
        case "lease" | "immutability" | "legal-hold" | "blob-type":
            return Blocked(reason=answer)
        case _:
            assert_never(answer)
