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
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal
from zlib import crc32

from shared.errors import PermanentError
from shared.model import Action, Locator, Record, Scope
from shared.policy import Category
from shared.policy_terms import BlobStore, CosmosStore, Line, Member, Rule
from shared.stores.interface import Answer, Division, NoAnswer, Page, Recoverable, Slice, There
from shared.stores.lines import NOT_OVER, UNREADABLE, visit_of
from shared.stores.memory_rows import (
    Held,
    Key,
    about,
    finds,
    line_of,
    members,
    oddity,
    of_category,
    searched_in,
    start_of,
    told,
)
from shared.stores.reading import NO_END, judged_by, last, whose

Table = tuple[str, str, str]  # kind, account, container


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
        self._tables: dict[Table, dict[Key, Held]] = {}
        self._etags = count(1)
        self._faults: list[_Fault] = []

    # ------------------------------------------------------------ what tests put in, move and look at

    def put(
        self,
        category: Category,
        record: str | Mapping[str, Any],
        *,
        stored: datetime | None = None,
        data: bytes = b"",
    ) -> None:
        """Write a blob (its name, and its `data`) or an item (its properties), new or over the old one.

        `stored` None is now.
        """
        at = stored or self._now()
        held = Held(etag=f'"{next(self._etags)}"', stored=at, fields={})
        if isinstance(record, str):
            below = _blob(category).layout.below(record.split("/"))
            parts = _blob(category).layout.match(record)
            held.outside = parts is None
            held.data, held.line = data, line_of(category)
            if parts is not None and below is not None:
                held.named, held.times = parts.fields, parts.times
                held.over = max((latest for _, latest in below.times.values()), default=None)
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
        reason: Literal["lease", "immutability", "legal-hold", "blob-type"] | None = "lease",
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

    def data(self, category: Category, key: str) -> bytes:
        """What a blob holds."""
        return self._table(category)["", key].data

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
        strange = Counter(filter(None, (oddity(held, rule, now) for held in self._table(category).values())))
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

    async def of_scope(
        self, category: Category, scope: Scope, *, size: int, rule: Rule | None = None
    ) -> AsyncIterator[Page]:
        """Every record that the category's finder finds."""
        action = Action.LEAVE if isinstance(category.find.get(scope.kind), Member | Line) else Action.DELETE
        strange = Counter[str]()
        found = []
        for where, held in self._of(category, scope):
            searched = searched_in(held, scope)
            strange[UNREADABLE] += searched.unreadable if searched else 0
            if searched and searched.taken and held.over and held.over >= self._now():
                strange[NOT_OVER] += 1
            elif searched is None or searched.taken:
                found.append(self._record(category, rule, where, held, action))
        if category.law:
            strange[NO_END] += sum(record.due is None for record in found)
        if +strange:
            yield Page(records=(), cursor="", strange=+strange)
        for start in range(0, len(found), size):
            yield Page(records=found[start : start + size], cursor="")

    async def find(self, category: Category, field_name: str, value: str) -> Sequence[Record]:
        """Look at every item; letter case apart."""
        return [
            self._record(category, None, key, held)
            for key, held in sorted(self._table(category).items())
            if isinstance(text := held.fields.get(field_name), str) and text.lower() == value.lower()
            if of_category(held, category)
        ]

    async def values(self, category: Category, scope: Scope, field_name: str) -> Sequence[str]:
        """What the field says in the scope's records: texts only."""
        found = [held.fields.get(field_name) for _, held in self._of(category, scope)]
        return list(dict.fromkeys(each for each in found if isinstance(each, str)))

    async def empty(self, category: Category, scope: Scope) -> bool:
        """Whether no item of the scope's partition has a member."""
        lists = [finder for finder in category.find.values() if isinstance(finder, Member)]
        mine = [held for (partition, _), held in self._table(category).items() if partition == scope.id]
        return not any(members(held, finder) for held in mine for finder in lists)

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """Delete (or leave), one after the other."""
        if self.before_delete is not None:
            self.before_delete(records)
        return [self._delete(record, leaver) for record in records]

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[There | NoAnswer]:
        """Look at the tables."""
        return [self._there(record, leaver) for record in records]

    # ------------------------------------------------------------ inside

    def _of(self, category: Category, scope: Scope) -> list[tuple[tuple[str, str], Any]]:
        """What the category's finder finds of the scope."""
        return [
            (where, held)
            for where, held in sorted(self._table(category).items())
            if of_category(held, category) and finds(category, scope, where, held)
        ]

    def _there(self, record: Record, leaver: Scope | None) -> There:
        where = record.locator
        held = self._tables.get((where.store, where.account, where.container), {}).get((where.partition, where.key))
        if held is None or (record.action is Action.LEAVE and leaver is not None and not _names(held, leaver)):
            return "missing"
        return "same" if held.etag == record.etag else "another"

    def _now(self) -> datetime:
        return (self.clock or datetime.now(UTC)).replace(microsecond=0)

    def _table(self, category: Category) -> dict[Key, Held]:
        account = getattr(category.store, "account", "")
        return self._tables.setdefault((category.store.kind, account, category.store.container), {})

    def _due(self, category: Category, rule: Rule, now: datetime) -> Iterator[Record]:
        records = [
            self._record(category, rule, key, held)
            for key, held in self._table(category).items()
            if not held.outside and about(held, rule)
        ]
        yield from sorted((r for r in records if r.due is not None and r.due <= now), key=_cursor)

    def _record(
        self, category: Category, rule: Rule | None, key: Key, held: Held, action: Action = Action.DELETE
    ) -> Record:
        partition, name = key
        term = last(judged_by(category, rule), lambda each: start_of(held, each) if about(held, each) else None)
        scope, names = whose(category, lambda finder: told(held, partition, finder))
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
            rule=term.rule if term else None,
            scope=scope,
            starting_point=term.start if term else None,
            due=term.due if term else None,
            names=names,
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
        if record.action is Action.LEAVE and leaver is None:
            raise PermanentError("no record can be left by nobody")
        if record.action is Action.LEAVE and where.store == "blob":
            return self._take_lines(held, record, leaver)
        if held is None:
            return "missing"
        if record.action is Action.LEAVE and leaver is not None:
            lists = {k: v for k, v in held.fields.items() if isinstance(v, list) and leaver.id in v}
            if not lists:
                return "missing"
            if held.etag != record.etag:
                return "changed"
            stay = {name: [m for m in members if m != leaver.id] for name, members in lists.items()}
            table[key] = Held(
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

    def _take_lines(self, held: Held | None, record: Record, leaver: Scope | None) -> Answer:
        visit_of(leaver)  # refuses whoever is no visit
        searched = searched_in(held, leaver) if held and leaver else None
        if held is None or searched is None or not searched.taken:
            return "missing"
        if held.etag != record.etag:
            return "changed"
        if held.blocked is not None:
            return held.blocked
        held.data, held.etag = searched.rest, f'"{next(self._etags)}"'
        return "left"


def _names(held: Held, leaver: Scope) -> bool:
    """Whether a record to be left names the person, or has a line of the visit."""
    searched = searched_in(held, leaver)
    if searched is not None:
        return searched.taken > 0
    return any(isinstance(value, list) and leaver.id in value for value in held.fields.values())


def _cursor(record: Record) -> str:
    return json.dumps([record.locator.partition, record.locator.key])


def _blob(category: Category) -> BlobStore:
    if not isinstance(category.store, BlobStore):
        raise PermanentError(f"category {category.id} is not in Blob storage: put a dictionary there")
    return category.store


def _cosmos(category: Category) -> CosmosStore:
    if not isinstance(category.store, CosmosStore):
        raise PermanentError(f"category {category.id} is not in Cosmos DB: put a name there")
    return category.store
