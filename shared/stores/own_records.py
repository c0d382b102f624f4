"""RecordStore over the product's own containers: what it keeps for itself goes by the policy and the gate too.

The fields of an object are its metadata: whoever writes a document says there when its period begins (`closed_at`,
`ended_at`: RFC 3339; `year`: its digits), and what is still needed says nothing. Metadata has no index, so a listing
looks at the whole container. Deleting is left to the adapter of the container's account, which knows of versions, soft
delete and leases.
Refused: the containers in which role ledger alone deletes, anybody's scope, and a search by a field.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from shared.errors import PermanentError
from shared.model import Locator, Record, Scope, parse_utc
from shared.policy import Category
from shared.policy_terms import Field, Rule, Stored, YearEnd
from shared.stores.interface import Answer, Division, Entry, NoAnswer, ObjectStore, Page, Slice, There
from shared.year_end import end_of_year

PLACE = "own/"
NO_TIME = "starting point is no time"
UNPOSTED = "an event of it is still to be posted"
_WHOLE = Slice(bounds="")
_YEAR = re.compile(r"[0-9]{4}")


class Deleting(Protocol):
    """What deletes: the two methods of a RecordStore that look at a record's container, key and ETag alone."""

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """See RecordStore."""

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[There | NoAnswer]:
        """See RecordStore."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container: `objects` lists it, `account` is the adapter of its account, which deletes."""

    objects: ObjectStore
    account: Deleting


@dataclass(frozen=True, kw_only=True)
class OwnRecords:
    """The containers that sweeps may reach, by name."""

    containers: Mapping[str, Container]

    async def now(self, category: Category) -> datetime:
        """The clock of the container's account."""
        return await self._container(category.store.container).objects.now()

    async def divide(self, category: Category, rule: Rule, *, now: datetime, most: int) -> Division:
        """One part, the container; none when nothing is due: then what is strange is counted here."""
        del most
        strange: Counter[str] = Counter()
        async with aclosing(self._entries(category)) as entries:
            async for entry in entries:
                if _due(entry, category, rule, now, strange):
                    return Division(parts=[_WHOLE])
        return Division(parts=(), strange=strange)

    async def expired(
        self, category: Category, rule: Rule, part: Slice, *, now: datetime, cursor: str, size: int
    ) -> AsyncIterator[Page]:
        """Pages in the order of names; the cursor is the last name seen."""
        del part
        records: list[Record] = []
        strange: Counter[str] = Counter()
        async for entry in self._entries(category):
            if entry.name <= cursor:
                continue
            record = _due(entry, category, rule, now, strange)
            records += [record] if record else []
            if len(records) == size:
                yield Page(records=records, cursor=entry.name, strange=strange)
                records, strange = [], Counter()
        yield Page(records=records, cursor="", strange=strange)

    async def of_scope(
        self, category: Category, scope: Scope, *, size: int, rule: Rule | None = None
    ) -> AsyncIterator[Page]:
        """Nothing: what the product keeps of a request goes with the request, by its own rule."""
        del category, scope, size, rule
        for page in tuple[Page, ...]():
            yield page

    async def find(self, category: Category, field_name: str, value: str) -> Sequence[Record]:
        """Nothing: metadata is not searched."""
        del value
        raise PermanentError(f"category {category.id} is the product's own: no field {field_name} to search")

    async def values(self, category: Category, scope: Scope, field_name: str) -> Sequence[str]:
        """Nothing: no scope has records here."""
        del scope
        raise PermanentError(f"category {category.id} is the product's own: no field {field_name} of anybody")

    async def empty(self, category: Category, scope: Scope) -> bool:
        """Nothing: an object has no members."""
        del scope
        raise PermanentError(f"category {category.id} is the product's own: it cannot be shared by members")

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """Have the adapters of the accounts delete."""
        answers: dict[int, Answer] = {}
        for account, numbers in self._by_container(records):
            said = await account.delete([records[n] for n in numbers], leaver=leaver)
            answers |= zip(numbers, said, strict=True)
        return [answers[n] for n in range(len(records))]

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[There | NoAnswer]:
        """Have the adapters of the accounts look."""
        answers: dict[int, There | NoAnswer] = {}
        for account, numbers in self._by_container(records):
            said = await account.there([records[n] for n in numbers], leaver=leaver)
            answers |= zip(numbers, said, strict=True)
        return [answers[n] for n in range(len(records))]

    # ------------------------------------------------------------ inside

    def _container(self, name: str) -> Container:
        try:
            return self.containers[name]
        except KeyError:
            raise PermanentError(f"own container {name} is none that sweeps may reach: correct the policy") from None

    def _entries(self, category: Category) -> AsyncGenerator[Entry]:
        return cast("AsyncGenerator[Entry]", self._container(category.store.container).objects.list())

    def _by_container(self, records: Sequence[Record]) -> Iterable[tuple[Deleting, list[int]]]:
        found: dict[str, list[int]] = {}
        for number, record in enumerate(records):
            found.setdefault(record.locator.container, []).append(number)
        return [(self._container(name).account, numbers) for name, numbers in found.items()]


def _due(entry: Entry, category: Category, rule: Rule, now: datetime, strange: Counter[str]) -> Record | None:
    """The object as a record if its period is over. One whose event still waits in it stays until that is posted."""
    try:
        start = _start(entry, rule)
    except ValueError:
        strange[NO_TIME] += 1
        return None
    due = rule.period.after(start) if start else None
    if due is None or due > now:
        return None
    if entry.metadata.get("outbox"):
        strange[UNPOSTED] += 1
        return None
    store = category.store
    return Record(
        locator=Locator(store=store.kind, account=store.account, container=store.container, key=entry.name),
        etag=entry.etag,
        category=category.id,
        rule=rule.id,
        starting_point=start,
        due=due,
    )


def _start(entry: Entry, rule: Rule) -> datetime | None:
    """The starting point; None where it has not come. Raises ValueError for what is no time."""
    match rule.start:
        case Stored():
            return entry.modified
        case Field(field=name):
            text = entry.metadata.get(name)
            return parse_utc(text) if text is not None else None
        case YearEnd(field=name, zone=zone):
            text = entry.metadata.get(name)
            return end_of_year(f"{text}-01-01" if _YEAR.fullmatch(text) else text, zone) if text is not None else None
        case _:
            raise PermanentError(f"rule {rule.id}: no object of the product's own has such a start")
