"""What every adapter reads from a record alike: whom it is about, and by which rule its period is over when. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from shared.model import Scope, ScopeKind
from shared.policy import Category
from shared.policy_terms import FieldIs, NamePart, Partition, Rule

NO_TIME = "starting point is no time"
NO_END = "kept by law, and nothing says until when"
FAR_AHEAD = "starting point is more than ten years ahead"
YEARS_AHEAD = 10  # courses and contracts may end years from now; beyond this it is a mistake, and nothing would go

Told = Partition | FieldIs | NamePart
_TELLING = (Partition, FieldIs, NamePart)
_BY_PARTITION = Partition.model_construct(by="partition")  # of no outside text; a check would build the model at import

R = TypeVar("R")
"""A record as a store gives it."""


@dataclass(frozen=True, kw_only=True)
class Tellers(Generic[R]):
    """How records of one category tell whom they are about: made once for a listing, and not for each record."""

    owner: ScopeKind | None
    tellers: tuple[tuple[ScopeKind, Callable[[R], object]], ...]

    @classmethod
    def of(cls, category: Category, teller: Callable[[Told], Callable[[R], object]]) -> Tellers[R]:
        """`teller` gives the function that reads what a record says where a finder would look."""
        found = {k: teller(finder) for k, finder in category.find.items() if isinstance(finder, _TELLING)}
        if category.partition_names:
            found[category.partition_names] = teller(_BY_PARTITION)
        return cls(owner=category.belongs_to, tellers=tuple(found.items()))

    def whose(self, record: R) -> tuple[Scope | None, tuple[Scope, ...]]:
        """The scope that a record belongs to, and the others that it names: a hold on them keeps it too.

        What is no text, or empty, names nobody.
        """
        owner: Scope | None = None
        names: tuple[Scope, ...] = ()
        for kind, tell in self.tellers:
            scope = _scope(kind, tell(record))
            if kind is self.owner:
                owner = scope
            elif scope is not None:
                names = (*names, scope)
        return owner, names


def whose(category: Category, tells: Callable[[Told], object]) -> tuple[Scope | None, tuple[Scope, ...]]:
    """The same for a single record: `tells` gives what it says where a finder would look."""
    return Tellers[None].of(category, lambda finder: lambda _: tells(finder)).whose(None)


def _scope(kind: ScopeKind, value: object) -> Scope | None:
    """An address is in lower case, as requests spell it."""
    if not isinstance(value, str) or not value:
        return None
    return Scope(kind=kind, id=value.lower() if kind is ScopeKind.ADDRESS else value)


def first_far_ahead(now: datetime) -> str:
    """The year from which on a starting point is too far ahead to be meant; its text sorts before all later times'."""
    return f"{now.year + YEARS_AHEAD + 1:04}"


class Term(NamedTuple):
    """The rule that a record stays under, when its period began and when it is over. Made by the thousand."""

    rule: str
    start: datetime
    due: datetime


def last(rules: Iterable[Rule], start_of: Callable[[Rule], datetime | None]) -> Term | None:
    """Of the rules under which a record has a starting point the one that is over last; None where it has none."""
    found: Term | None = None
    for rule in rules:
        start = start_of(rule)
        if start is not None:
            due = rule.period.after(start)
            if found is None or due > found.due:
                found = Term(rule=rule.id, start=start, due=due)
    return found


def judged_by(category: Category, rule: Rule | None) -> tuple[Rule, ...]:
    """The rules that a listed record is judged by.

    A sweep's is the one it lists by. A request asks for a record whatever its age; but where a law keeps it, the answer
    says until when, which is when its last rule's period is over.
    """
    if rule is not None:
        return (rule,)
    return category.rules if category.law else ()
