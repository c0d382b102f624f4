"""What types cannot say of a policy: names that must exist, starts a store can tell, a cadence that beats a promise.

`mistakes` refuse a policy, `warnings` only tell. Both are complete: every place at once. Pure: values in, remarks out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from difflib import get_close_matches
from itertools import chain

from shared import policy_finders
from shared.containers import OWN_CONTAINERS
from shared.model import ScopeKind
from shared.policy import Category, Promise, Row
from shared.policy_finders import no_placeholder, one_of, unfit
from shared.policy_terms import (
    BlobStore,
    CosmosStore,
    Empty,
    Follows,
    Member,
    Name,
    NameOrStored,
    OwnStore,
    Rule,
    Store,
    Stored,
)
from shared.strict_yaml import Place, Remark

_STARTS = {
    "blob": ("name", "stored", "name-or-stored", "follows"),
    "cosmos": ("field", "year-end", "touched", "empty", "follows"),
    "own": ("stored", "field", "year-end", "follows"),
}
_SUBJECTS = (ScopeKind.PERSON, ScopeKind.HOME)
_OF_LEDGER = {container.name for container in OWN_CONTAINERS if container.swept_by == "ledger"}

Categories = Mapping[int, Category]
Promises = Mapping[int, Promise]


def mistakes(categories: Categories, promises: Promises, *, ids: AbstractSet[str]) -> Iterator[Remark]:
    """Yield everything that refuses the policy.

    `categories` and `promises` hold the well-formed rows by their position in the file; `ids` all category ids of the
    file, so that a reference to a malformed row is not called unknown.
    """
    for number, category in categories.items():
        place = ("categories", number)
        yield from _category(category, place)
        yield from _law(category, place)
        yield from _own(category, place)
        yield from policy_finders.mistakes(category, place)
        for position, rule in enumerate(category.rules):
            yield from _rule(category, rule, (*place, "rules", position))
    yield from _follows(categories, ids)
    yield from _repeated(categories, promises)
    yield from _shared_containers(categories)
    if len(categories) == len(ids):
        yield from policy_finders.homes_of_persons(categories)
        yield from policy_finders.one_of_homes(categories)


def warnings(categories: Categories, promises: Promises) -> Iterator[Remark]:
    """Yield what is allowed and worth knowing: slow listings, a cadence as long as its period, rows left out."""
    for number, category in categories.items():
        yield from _slow(category, ("categories", number))
        for position, rule in enumerate(category.rules):
            if timedelta() < rule.period.time <= category.cadence.time and not rule.period.months:
                yield Remark(
                    place=("categories", number, "rules", position, "period"),
                    text=f"a record can stay {category.worst_case(rule)}: the cadence is as long as the period",
                )
    rows = {row.row for row in chain(categories.values(), promises.values())}
    for missing in sorted(set(range(1, max(rows, default=0))) - rows):
        yield Remark(place=("categories",), text=f"no category and no promise has row {missing}; add it or renumber")


# ---------------------------------------------------------------- one category


def _category(category: Category, place: Place) -> Iterator[Remark]:
    if category.status == "enforced" and not category.rules:
        yield Remark(place=(*place, "rules"), text="an enforced category needs a rule; add one, or write planned")
    if category.legal_basis == "none" and not category.legal_note:
        yield Remark(place=(*place, "legal_basis"), text='"none" needs its reason; add legal_note')
    if category.identifies is not None and (
        category.belongs_to is not ScopeKind.PERSON or not isinstance(category.store, CosmosStore)
    ):
        text = "only items that belong to a person can name one; remove it, or write belongs_to: person"
        yield Remark(place=(*place, "identifies"), text=text)
    swept = [rule for rule in category.rules if not isinstance(rule.start, Follows)]
    if category.cap is not None and not swept:
        yield Remark(place=(*place, "cap"), text="no sweep runs here by a start of its own: nothing to cap; remove it")


def _law(category: Category, place: Place) -> Iterator[Remark]:
    if not category.law:
        return
    if not category.find:
        text = "nobody can ask for these records, so nothing is kept by law; add find, or remove it"
        yield Remark(place=(*place, "law"), text=text)
    if ScopeKind.VISIT in category.find:
        text = "a log that a law keeps cannot lose a visit's lines; remove find.visit, or law"
        yield Remark(place=(*place, "law"), text=text)
    if not category.rules or any(isinstance(rule.start, Follows) for rule in category.rules):
        text = "an answer says until when a law keeps a record; give each rule a start that the record tells"
        yield Remark(place=(*place, "law"), text=text)
    for position, rule in enumerate(category.rules):
        if rule.action == "erase-subject":
            text = "a law keeps these records against an erasure; write delete, or remove law"
            yield Remark(place=(*place, "rules", position, "action"), text=text)


def _own(category: Category, place: Place) -> Iterator[Remark]:
    store = category.store
    if not isinstance(store, OwnStore):
        return
    if store.container in _OF_LEDGER and store.swept_by != "ledger":
        text = f"role ledger alone deletes in {store.container}; add swept_by: ledger"
        yield Remark(place=(*place, "store", "container"), text=text)
    if category.cap is not None and store.swept_by == "ledger":
        yield Remark(place=(*place, "cap"), text="no sweep runs where role ledger deletes: nothing to cap; remove it")


def _rule(category: Category, rule: Rule, place: Place) -> Iterator[Remark]:
    store, start = category.store, rule.start
    fitting = _STARTS[store.kind]
    if start.from_ not in fitting:
        yield unfit(start.from_, store, fitting, (*place, "start", "from"))
    elif isinstance(start, (Name, NameOrStored)) and isinstance(store, BlobStore):
        if start.field not in store.layout.times:
            yield no_placeholder(start.field, tuple(store.layout.times), (*place, "start", "field"))
    elif isinstance(start, Empty) and Member(by="member", field=start.field) not in category.find.values():
        text = f'nobody ever leaves "{start.field}"; add find.person: {{by: member, field: {start.field}}}'
        yield Remark(place=(*place, "start", "field"), text=text)
    if rule.where is not None and not isinstance(store, CosmosStore):
        yield Remark(place=(*place, "where"), text="only items have properties; remove it, or write kind: cosmos")
    if rule.action == "erase-subject":
        yield from _erasing(category, rule, place)


def _erasing(category: Category, rule: Rule, place: Place) -> Iterator[Remark]:
    """An order to erase may wait: the work asks whether its rule still holds (`by_policy.still_due`)."""
    if category.belongs_to not in _SUBJECTS:
        text = f"there is no subject to erase; write belongs_to: {one_of(_SUBJECTS)} in the category"
        yield Remark(place=(*place, "action"), text=text)
    if rule.where is not None:
        text = (
            "an erasure that waited could not tell a record that is gone from one that it is no more about; remove it"
        )
        yield Remark(place=(*place, "where"), text=text)


def _slow(category: Category, place: Place) -> Iterator[Remark]:
    if not isinstance(category.store, BlobStore):
        return
    if not category.store.layout.times:
        text = "no date in the layout: a sweep lists the whole container; put a date first in the name"
        yield Remark(place=(*place, "store", "layout"), text=text)
        return
    for position, rule in enumerate(category.rules):
        if isinstance(rule.start, Stored):
            text = "a start that no name tells: a sweep lists the whole container; write from: name-or-stored"
            yield Remark(place=(*place, "rules", position, "start"), text=text)


# ---------------------------------------------------------------- between categories


def _follows(categories: Categories, ids: AbstractSet[str]) -> Iterator[Remark]:
    by_id = {category.id: category for category in categories.values()}
    for number, category in categories.items():
        for position, rule in enumerate(category.rules):
            if not isinstance(rule.start, Follows):
                continue
            place = ("categories", number, "rules", position, "start", "category")
            name = rule.start.category
            followed = by_id.get(name)
            if name not in ids:
                near = get_close_matches(name, sorted(ids), n=1)
                remedy = f'did you mean "{near[0]}"?' if near else "write the id of one"
                yield Remark(place=place, text=f'there is no category "{name}"; {remedy}')
            elif category.id in _chain(by_id, name):
                yield Remark(place=place, text="the categories follow each other in a ring; give one its own start")
            elif followed is not None and followed.belongs_to is not category.belongs_to:
                yield Remark(place=place, text=f'"{name}" belongs to another kind of scope; follow one with the same')
            elif followed is not None and (category.status, followed.status) == ("enforced", "planned"):
                yield Remark(place=place, text=f'"{name}" is only planned: nothing can follow it; write planned here')


def _chain(by_id: Mapping[str, Category], name: str) -> set[str]:
    """The category and all that it follows, directly or not."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in by_id and name not in seen:
            waiting.extend(r.start.category for r in by_id[name].rules if isinstance(r.start, Follows))
        seen.add(name)
    return seen


def _repeated(categories: Categories, promises: Promises) -> Iterator[Remark]:
    rows: list[tuple[Place, Row]] = [(("categories", number), row) for number, row in categories.items()]
    of_categories = {row.row for _, row in rows}
    rows.extend((("promises", number), row) for number, row in promises.items())
    yield from _twice([((*place, "id"), row.id) for place, row in rows])
    yield from _twice(
        [
            ((*place, "rules", position, "id"), rule.id)
            for place, row in rows
            if isinstance(row, Category)
            for position, rule in enumerate(row.rules)
        ]
    )
    promise_rows = Counter(row.row for row in promises.values())
    for number, promise in promises.items():
        if promise.row in of_categories or promise_rows[promise.row] > 1:
            text = f"row {promise.row} is another promise already; give each promise its own row"
            yield Remark(place=("promises", number, "row"), text=text)
    yield from _twice(
        [((*place, "identifies"), "email") for place, row in rows if isinstance(row, Category) and row.identifies]
    )


def _twice(named: list[tuple[Place, str]]) -> Iterator[Remark]:
    seen: set[str] = set()
    for place, name in named:
        if name in seen:
            yield Remark(place=place, text=f'"{name}" is given twice; the name must be the only one of its kind')
        seen.add(name)


def _shared_containers(categories: Categories) -> Iterator[Remark]:
    def where(store: Store) -> tuple[str, str, str]:
        return store.kind, "" if isinstance(store, OwnStore) else store.account, store.container

    uses = Counter(where(category.store) for category in categories.values())
    for number, category in categories.items():
        if uses[where(category.store)] > 1 and not all(rule.where for rule in category.rules):
            text = "another category uses this container too; say with where, in each rule, which records are whose"
            yield Remark(place=("categories", number, "store", "container"), text=text)
