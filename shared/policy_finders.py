"""The sense of a policy's finders: which of them fits which store, and finds which kind of scope. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.model import ScopeKind
from shared.policy import Category
from shared.policy_terms import BlobStore, CosmosStore, FieldIs, Finder, Line, Member, NamePart, Partition, Store
from shared.strict_yaml import Place, Remark

_FINDERS: Mapping[str, tuple[str, ...]] = {
    "blob": ("name-part", "line"),
    "cosmos": ("partition", "field", "member"),
    "own": (),
}
_OWNERS = (ScopeKind.PERSON, ScopeKind.HOME, ScopeKind.ADDRESS)
_REMEDIES = {
    ScopeKind.VISIT: "write by: line, in a blob store",
    ScopeKind.ADDRESS: "write by: field, which leaves letter case out of account",
    ScopeKind.PERSON: "lines are a visit's; write visit in place of person",
    ScopeKind.HOME: "members are persons, lines a visit's; write by: partition or field",
    ScopeKind.SESSION: "members are persons, lines a visit's; write by: partition or field",
}


def mistakes(category: Category, place: Place) -> Iterator[Remark]:
    """Yield what is wrong with the owner and the finders of one category."""
    owner = category.belongs_to
    if owner is not None and owner not in _OWNERS:
        text = f"records belong to {one_of(_OWNERS)}, not to a {owner}; remove it: find.{owner} is enough"
        yield Remark(place=(*place, "belongs_to"), text=text)
    elif owner is not None and owner not in category.find:
        text = f"says not how {_a(owner)}'s records are found; add {owner} here"
        yield Remark(place=(*place, "find"), text=text)
    elif owner is not None and isinstance(category.find[owner], Member):
        text = f"a record with members belongs to none of them; remove it: find.{owner} is enough"
        yield Remark(place=(*place, "belongs_to"), text=text)
    named = category.partition_names
    if named is not None and not isinstance(category.store, CosmosStore):
        yield Remark(place=(*place, "partition_names"), text="only items have a partition key; remove it")
    elif named is not None and named in category.find:
        text = f"find.{named} says already whom the record names; remove one of them"
        yield Remark(place=(*place, "partition_names"), text=text)
    for kind, finder in category.find.items():
        yield from _unfitting(category, kind, finder, (*place, "find", str(kind)))


def _unfitting(category: Category, kind: ScopeKind, finder: Finder, here: Place) -> Iterator[Remark]:
    fitting = _FINDERS[category.store.kind]
    if finder.by not in fitting:
        yield unfit(finder.by, category.store, fitting, (*here, "by"))
    elif not _finds(kind, finder):
        yield Remark(place=(*here, "by"), text=f'{_a(kind)} is not found by "{finder.by}"; {_REMEDIES[kind]}')
    elif isinstance(category.store, BlobStore):
        yield from _in_names(finder, category.store, here)
    elif isinstance(finder, Member):
        yield from _in_homes(category, here)


def _finds(kind: ScopeKind, finder: Finder) -> bool:
    """Whether this kind of scope can be found in this way, in whatever store."""
    match kind:
        case ScopeKind.VISIT:
            return isinstance(finder, Line)
        case ScopeKind.ADDRESS:
            return isinstance(finder, FieldIs)
        case ScopeKind.PERSON:
            return not isinstance(finder, Line)
        case ScopeKind.HOME | ScopeKind.SESSION:
            return not isinstance(finder, Line | Member)


def _in_names(finder: Finder, store: BlobStore, here: Place) -> Iterator[Remark]:
    """What a finder needs of the layout."""
    layout = store.layout
    if isinstance(finder, NamePart) and finder.field not in layout.fields:
        yield no_placeholder(finder.field, layout.fields, (*here, "field"))
    if isinstance(finder, Line) and len(layout.times) != 1:
        text = "the layout must tell one time, so that only the blobs of a visit's hours are read; add it to the names"
        yield Remark(place=(*here, "by"), text=text)


def _in_homes(category: Category, here: Place) -> Iterator[Remark]:
    """What a list of members needs: a home is asked by its partition whether it is empty (`RecordStore.empty`)."""
    if not isinstance(category.find.get(ScopeKind.HOME), Partition):
        text = "whether a home has members left is asked of its partition; add find.home: {by: partition}"
        yield Remark(place=(*here, "by"), text=text)


def homes_of_persons(categories: Mapping[int, Category]) -> Iterator[Remark]:
    """Yield each category of homes whose rows name persons, where no category tells which homes a person has."""
    membership = any(
        category.belongs_to is ScopeKind.HOME and isinstance(category.find.get(ScopeKind.PERSON), Member)
        for category in categories.values()
    )
    for number, category in categories.items():
        if (
            category.belongs_to is ScopeKind.HOME
            and isinstance(category.find.get(ScopeKind.PERSON), FieldIs)
            and not membership
        ):
            text = "no category tells which homes a person has; add one of homes with find.person: {by: member, ...}"
            yield Remark(place=("categories", number, "find", "person"), text=text)


def one_of_homes(categories: Mapping[int, Category]) -> Iterator[Remark]:
    """Yield what an erasure of people and homes could not do: it asks one category who lives where.

    Refused: a second such category, and a rule that erases homes where there is none. Only what is enforced counts.
    """
    enforced = {number: category for number, category in categories.items() if category.status == "enforced"}
    shared = [n for n, c in enforced.items() if any(isinstance(finder, Member) for finder in c.find.values())]
    for number in shared[1:]:
        text = f'an erasure leaves the homes of one category, "{enforced[shared[0]].id}"; remove by: member here'
        yield Remark(place=("categories", number, "find"), text=text)
    for number, category in enforced.items():
        for position, rule in enumerate(category.rules):
            if not shared and rule.action == "erase-subject" and category.belongs_to is ScopeKind.HOME:
                text = (
                    "nothing tells who lives in a home: none is erased; add a category with find.person: {by: member}"
                )
                yield Remark(place=("categories", number, "rules", position, "action"), text=text)


def _a(kind: ScopeKind) -> str:
    return f"an {kind}" if kind is ScopeKind.ADDRESS else f"a {kind}"


def one_of(kinds: tuple[ScopeKind, ...]) -> str:
    """The words, for a remedy."""
    return " or ".join(kinds)


def no_placeholder(name: str, present: tuple[str, ...], place: Place) -> Remark:
    """A placeholder that the layout has not."""
    names = ", ".join(present) or "none of this kind"
    return Remark(place=place, text=f'the layout has no such placeholder "{name}"; it has {names}')


def unfit(word: str, store: Store, fitting: tuple[str, ...], place: Place) -> Remark:
    """A start or finder that such a store cannot have."""
    remedy = f"write {' or '.join(fitting)}" if fitting else "remove it"
    return Remark(place=place, text=f'"{word}" does not fit a store of kind {store.kind}; {remedy}')
