"""A RecordStore in memory, with fault switches: the fake that passes the adapters' contract suite.

One instance stands for every account of a policy, Blob-like and Cosmos-like: items are plain dictionaries, blobs plain
names. A listing is naive (everything is looked at), so the adapters' listings can be compared with it. Faults are armed
for deletions: no answer to the nth record, before it was applied or after; and a hook runs before each deletion.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal
from zlib import crc32

from shared.errors import PermanentError
from shared.model import Action, Locator, Record, Scope, ScopeKind, parse_utc
from shared.policy import (
    BlobStore,
    Category,
    CosmosStore,
    Empty,
    Field,
    FieldIs,
    Member,
    Name,
    NameOrStored,
    NamePart,
    Partition,
    Rule,
    Stored,
    Touched,
)
from shared.stores.interface import Answer, Division, NoAnswer, Page, Recoverable, Slice

Table = tuple[str, str, str]  # kind, account, container
Key = tuple[str, str]  # partition ("" for a blob), name or id


@dataclass(kw_only=True)
class _Held:
    """One blob or item; `fields` is empty for a blob, `named` and `times` for an item."""

    etag: str
    stored: datetime
    fields: dict[str, Any]
    named: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, datetime] = field(default_factory=dict)
    outside: bool = False
    blocked: Literal["lease", "immutability", "legal-hold"] | None = None


@dataclass(kw_only=True)
class _Fault:
    left: int
    applied: bool
    retry_after: float | None


class MemoryRecords:
    """Dictionaries behind the RecordStore port.

    `clock` is the stores' clock, to be moved at will (None: the machine's). `asked` lists the records of every delete,
    in order. `before_delete`, when set, is called with the records of each delete before anything happens to them.
    `recoverable_until`, when set, is how long soft delete keeps the blobs that are deleted from now.
    """

    def __init__(self, clock: datetime | None = None) -> None:
        self.clock = clock
        self.asked: list[Record] = []
        self.recoverable_until: datetime | None = None
        self.before_delete: Callable[[Sequence[Record]], None] | None = None
        self._tables: dict[Table, dict[Key, _Held]] = {}
        self._etags = count(1)
        self._faults: list[_Fault] = []

    # ------------------------------------------------------------ what tests put in, move and look at

    def put(self, category: Category, record: str | Mapping[str, Any], *, stored: datetime | None = None) -> None:
        """Write a blob (its name) or an item (its properties), new or over the old one; `stored` None is now."""
        at = stored or self._now()
        held = _Held(etag=f'"{next(self._etags)}"', stored=at, fields={})
        if isinstance(record, str):
            parts = _blob(category).layout.match(record)
            held.outside = parts is None
            if parts is not None:
                held.named, held.times = parts.fields, parts.times
            key = ("", record)
        else:
            held.fields = deepcopy(dict(record))
            key = (str(record[_cosmos(category).partition_field]), str(record["id"]))
        self._table(category)[key] = held

    def remove(self, category: Category, key: str, *, partition: str = "") -> None:
        """Delete as a stranger would, who is not the gate."""
        del self._table(category)[partition, key]

    def block(
        self,
        category: Category,
        key: str,
        reason: Literal["lease", "immutability", "legal-hold"] | None = "lease",
        *,
        partition: str = "",
    ) -> None:
        """Let the store refuse to delete a record for this reason; None lifts it."""
        self._table(category)[partition, key].blocked = reason

    def fail(self, *, nth: int = 1, applied: bool, retry_after: float | None = None) -> None:
        """Give no answer to the nth record that a delete asks for from now (1 = the next); goes off once."""
        self._faults.append(_Fault(left=nth, applied=applied, retry_after=retry_after))

    def keys(self, category: Category) -> list[str]:
        """The names or ids that are there, in order."""
        return sorted(key for _, key in self._table(category))

    def item(self, category: Category, key: str, *, partition: str = "") -> Mapping[str, Any] | None:
        """The properties of what is there ({} for a blob), or None."""
        held = self._table(category).get((partition, key))
        return None if held is None else deepcopy(held.fields)

    # ------------------------------------------------------------ the port

    async def now(self, category: Category) -> datetime:
        """The clock given, or the machine's."""
        del category
        return self._now()

    async def divide(self, category: Category, rule: Rule, *, now: datetime, most: int) -> Division:
        """As many parts as records are due, at most `most`; blobs outside the layout are counted here."""
        parts = min(sum(1 for _ in self._due(category, rule, now)), most)
        outside = sum(held.outside for held in self._table(category).values())
        return Division(
            parts=[Slice(bounds=json.dumps([number, parts])) for number in range(parts)],
            strange={"outside the layout": outside} if outside else {},
        )

    async def expired(
        self, category: Category, rule: Rule, part: Slice, *, now: datetime, cursor: str, size: int
    ) -> AsyncIterator[Page]:
        """Pages in the order of partitions and keys; the cursor is the last key given out.

        The first page counts what is strange in the whole category, for part 0.
        """
        number, parts = json.loads(part.bounds)
        strange = Counter(filter(None, (_oddity(held, rule) for held in self._table(category).values())))
        counted = strange if number == 0 and not cursor else Counter[str]()
        while True:
            mine = [
                record
                for record in self._due(category, rule, now)
                if crc32(record.locator.text().encode()) % parts == number and _cursor(record) > cursor
            ]
            page = mine[:size]
            cursor = _cursor(page[-1]) if len(mine) > size else ""
            yield Page(records=page, cursor=cursor, strange=counted)
            counted = Counter()
            if not cursor:
                return

    async def of_scope(self, category: Category, scope: Scope, *, size: int) -> AsyncIterator[Page]:
        """Every record that the category's finder finds."""
        action = Action.LEAVE if isinstance(category.find.get(scope.kind), Member) else Action.DELETE
        found = [self._record(category, None, where, held, action) for where, held in self._of(category, scope)]
        for start in range(0, len(found), size):
            yield Page(records=found[start : start + size], cursor="")

    async def find(self, category: Category, field_name: str, value: str) -> Sequence[Record]:
        """Look at every item; letter case apart."""
        return [
            self._record(category, None, key, held)
            for key, held in sorted(self._table(category).items())
            if isinstance(text := held.fields.get(field_name), str) and text.lower() == value.lower()
        ]

    async def values(self, category: Category, scope: Scope, field_name: str) -> Sequence[str]:
        """What the field says in the scope's records: texts only."""
        found = [held.fields.get(field_name) for _, held in self._of(category, scope)]
        return list(dict.fromkeys(each for each in found if isinstance(each, str)))

    async def empty(self, category: Category, scope: Scope) -> bool:
        """Whether no item of the scope's partition has a member."""
        lists = [finder for finder in category.find.values() if isinstance(finder, Member)]
        mine = [held for (partition, _), held in self._table(category).items() if partition == scope.id]
        return not any(_members(held, finder) for held in mine for finder in lists)

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """Delete (or leave), one after the other."""
        if self.before_delete is not None:
            self.before_delete(records)
        return [self._delete(record, leaver) for record in records]

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[bool | NoAnswer]:
        """Look at the tables."""
        return [self._there(record, leaver) for record in records]

    # ------------------------------------------------------------ inside

    def _of(self, category: Category, scope: Scope) -> list[tuple[tuple[str, str], Any]]:
        """What the category's finder finds of the scope."""
        return [(where, h) for where, h in sorted(self._table(category).items()) if _finds(category, scope, where, h)]

    def _there(self, record: Record, leaver: Scope | None) -> bool:
        where = record.locator
        held = self._tables.get((where.store, where.account, where.container), {}).get((where.partition, where.key))
        if held is None or record.action is not Action.LEAVE or leaver is None:
            return held is not None
        return any(isinstance(value, list) and leaver.id in value for value in held.fields.values())

    def _now(self) -> datetime:
        return (self.clock or datetime.now(UTC)).replace(microsecond=0)

    def _table(self, category: Category) -> dict[Key, _Held]:
        account = getattr(category.store, "account", "")
        return self._tables.setdefault((category.store.kind, account, category.store.container), {})

    def _due(self, category: Category, rule: Rule, now: datetime) -> Iterator[Record]:
        records = [
            self._record(category, rule, key, held)
            for key, held in self._table(category).items()
            if not held.outside and _selected(held, rule)
        ]
        yield from sorted((r for r in records if r.due is not None and r.due <= now), key=_cursor)

    def _record(
        self, category: Category, rule: Rule | None, key: Key, held: _Held, action: Action = Action.DELETE
    ) -> Record:
        partition, name = key
        start = _start(held, rule) if rule else None
        owner = category.scope
        scope_id: object = None
        if owner is not None:
            match owner.by:
                case FieldIs():
                    scope_id = held.fields.get(owner.by.field)
                case NamePart():
                    scope_id = held.named.get(owner.by.field)
                case _:
                    scope_id = partition
        account = getattr(category.store, "account", "")
        return Record(
            locator=Locator(
                store=category.store.kind,
                account=account,
                container=category.store.container,
                key=name,
                partition=partition,
            ),
            etag=held.etag,
            category=category.id,
            rule=rule.id if rule else None,
            scope=Scope(kind=owner.kind, id=scope_id) if owner and isinstance(scope_id, str) and scope_id else None,
            starting_point=start,
            due=rule.period.after(start) if rule and start else None,
            action=action,
        )

    def _delete(self, record: Record, leaver: Scope | None) -> Answer:
        self.asked.append(record)
        fault = None
        for each in self._faults:
            each.left -= 1
            fault = each if each.left == 0 else fault
        if fault is not None and not fault.applied:
            return NoAnswer(retry_after=fault.retry_after)
        answer = self._apply(record, leaver)
        return answer if fault is None else NoAnswer(retry_after=fault.retry_after)

    def _apply(self, record: Record, leaver: Scope | None) -> Answer:
        where = record.locator
        table = self._tables.get((where.store, where.account, where.container), {})
        key = (where.partition, where.key)
        held = table.get(key)
        if record.action is Action.LEAVE and (where.store == "blob" or leaver is None):
            raise PermanentError("a blob cannot be left, and no record can be left by nobody")
        if held is None:
            return "missing"
        if record.action is Action.LEAVE and leaver is not None:
            lists = {k: v for k, v in held.fields.items() if isinstance(v, list) and leaver.id in v}
            if not lists:
                return "missing"
            if held.etag != record.etag:
                return "changed"
            stay = {name: [m for m in members if m != leaver.id] for name, members in lists.items()}
            table[key] = _Held(
                etag=f'"{next(self._etags)}"', stored=self._now(), fields={**held.fields, **stay}, blocked=held.blocked
            )
            return "left"
        if held.etag != record.etag:
            return "changed"
        if held.blocked is not None:
            return held.blocked
        del table[key]
        if where.store == "blob" and self.recoverable_until is not None:
            return Recoverable(until=self.recoverable_until)
        return "deleted"


def _cursor(record: Record) -> str:
    return json.dumps([record.locator.partition, record.locator.key])


def _start(held: _Held, rule: Rule) -> datetime | None:
    match rule.start:
        case Name(field=name) | NameOrStored(field=name):
            return min(held.times[name], held.stored)
        case Field(field=name):
            try:
                return parse_utc(held.fields[name])
            except (KeyError, TypeError, ValueError):
                return None
        case Stored() | Touched() | Empty():
            return held.stored
        case _:
            return None


def _oddity(held: _Held, rule: Rule) -> str | None:
    """What a listing finds strange about a record, if anything."""
    if isinstance(rule.start, Name | NameOrStored) and not held.outside:
        return "named later than stored" if held.times[rule.start.field] > held.stored else None
    if isinstance(rule.start, Field) and rule.start.field in held.fields:
        return "starting point is no time" if _start(held, rule) is None else None
    return None


def _selected(held: _Held, rule: Rule) -> bool:
    """Whether the rule is about this record at all."""
    if isinstance(rule.start, Empty) and held.fields.get(rule.start.field) != []:
        return False
    if rule.where is None:
        return True
    value = held.fields.get(rule.where.field)
    return value == rule.where.equals if rule.where.equals is not None else (value is None) == rule.where.absent


def _finds(category: Category, scope: Scope, where: Key, held: _Held) -> bool:
    """Whether the category's finder finds this record for the scope."""
    match category.find.get(scope.kind):
        case Partition():
            return where[0] == scope.id
        case FieldIs(field=name):
            text = held.fields.get(name)
            if scope.kind is ScopeKind.ADDRESS and isinstance(text, str):
                return text.lower() == scope.id.lower()
            return bool(text == scope.id)
        case Member() as finder:
            return scope.id in _members(held, finder)
        case NamePart(field=name):
            return held.named.get(name) == scope.id
        case _:
            return False


def _members(held: _Held, finder: Member) -> Sequence[Any]:
    members = held.fields.get(finder.field)
    return members if isinstance(members, list) else ()


def _blob(category: Category) -> BlobStore:
    if not isinstance(category.store, BlobStore):
        raise PermanentError(f"category {category.id} is not in Blob storage: put a dictionary there")
    return category.store


def _cosmos(category: Category) -> CosmosStore:
    if not isinstance(category.store, CosmosStore):
        raise PermanentError(f"category {category.id} is not in Cosmos DB: put a name there")
    return category.store
