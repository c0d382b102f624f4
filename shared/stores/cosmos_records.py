"""RecordStore on Cosmos DB (NoSQL): list by an indexed range predicate per feed range, delete by each item's ETag.

A slice is a feed range. A listing resumes by keyset: `ORDER BY` the starting point, from the last one seen; no
continuation token is kept between pages. Requires times as RFC 3339 text in UTC with a final Z, which text order puts
in time order (to the second); one that is spelled otherwise can be met up to a day late. What no listing will meet
because of what its starting point says is counted by each division.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import methodcaller
from typing import Any

from azure.core.exceptions import AzureError
from azure.cosmos.aio import ContainerProxy, DatabaseProxy

from shared.errors import TransientError
from shared.model import Action, Locator, Record, Scope
from shared.policy import Category
from shared.policy_terms import Field, FieldIs, Follows, Member, Rule, YearEnd
from shared.stores.blob import asked_to_wait
from shared.stores.blob_list import http_time
from shared.stores.concurrency import bounded
from shared.stores.cosmos_deletes import CosmosDeletes
from shared.stores.cosmos_queries import (
    Query,
    about,
    expiring,
    fields,
    identity,
    never_met,
    of_category,
    of_scope,
    order_of,
    read_cursor,
    start_of,
    store_of,
)
from shared.stores.interface import Answer, Division, NoAnswer, Page, Slice, There
from shared.stores.reading import NO_END, NO_TIME, Tellers, judged_by, last


@dataclass(frozen=True, kw_only=True)
class CosmosRecords:
    """One database of governed items; `account` is its name in the policy."""

    database: DatabaseProxy
    account: str
    concurrency: int = 8

    async def now(self, category: Category) -> datetime:
        """The service's clock, from its Date header."""
        seen: list[str] = []
        try:
            await self._container(category).read(response_hook=lambda headers, _: seen.append(headers.get("Date", "")))
            return http_time(seen[-1])
        except AzureError as error:
            raise translate(error) from None
        except ValueError:
            raise TransientError("Cosmos DB: an answer does not say when it was given") from None

    async def divide(self, category: Category, rule: Rule, *, now: datetime, most: int) -> Division:
        """Parts are the feed ranges in which something may be due; `most` cannot divide a feed range further."""
        del most
        if isinstance(rule.start, Follows):
            return Division(parts=[])
        container = self._container(category)
        try:
            ranges = [each async for each in container.read_feed_ranges()]
        except AzureError as error:
            raise translate(error) from None
        query = expiring(category, rule, now, "")
        found = await bounded([self._some(container, query, 1, each) for each in ranges], self.concurrency)
        parts = [Slice(bounds=json.dumps(r)) for r, (items, _) in zip(ranges, found, strict=True) if items]
        strange: Counter[str] = Counter()
        for reason, odd in never_met(rule, now).items():
            strange[reason] = sum(await bounded([self._count(container, odd, e) for e in ranges], self.concurrency))
        return Division(parts=parts, strange=+strange)

    async def expired(
        self, category: Category, rule: Rule, part: Slice, *, now: datetime, cursor: str, size: int
    ) -> AsyncIterator[Page]:
        """Pages in the order of starting points. The cursor holds the last one, and which items at it were seen."""
        container = self._container(category)
        reader = _Reader.of(self.account, category, rule)
        last, seen = read_cursor(cursor)
        while True:
            query = expiring(category, rule, now, last)
            items, more = await self._some(container, query, size + len(seen), json.loads(part.bounds))
            fresh = [
                n
                for n, item in enumerate(items)
                if order_of(item, rule) != last or identity(item, category) not in seen
            ]
            if len(fresh) > size:  # what was seen is gone, and left room for more than a page
                items, more = items[: fresh[size]], True
            strange: Counter[str] = Counter()
            records = [reader.record(items[n], strange) for n in fresh[:size]]
            if items:  # equal starting points come in one order always: those seen and still there come first
                last = order_of(items[-1], rule)
                seen = {identity(item, category) for item in items if order_of(item, rule) == last}
            yield Page(
                records=[r for r in records if r is not None and r.due is not None and r.due <= now],
                cursor=json.dumps([last, sorted(seen)]) if more else "",
                strange=strange,
            )
            if not more:
                return

    async def of_scope(
        self, category: Category, scope: Scope, *, size: int, rule: Rule | None = None
    ) -> AsyncIterator[Page]:
        """The scope's items, by the category's finder.

        A field is searched in every partition: a person's rows may be under a home that they left long ago.
        """
        finder = category.find.get(scope.kind)
        if finder is None:
            return
        query, target = of_scope(category, scope, fields(category))
        action = Action.LEAVE if isinstance(finder, Member) else Action.DELETE
        reader = _Reader.of(self.account, category, rule, action)
        try:
            async for items, _ in self._query(self._container(category), query, size, **target):
                strange: Counter[str] = Counter()
                records = [reader.record(i, strange) for i in items]
                yield Page(records=[r for r in records if r is not None], cursor="", strange=strange)
        except AzureError as error:
            raise translate(error) from None

    async def find(self, category: Category, field_name: str, value: str) -> Sequence[Record]:
        """Items whose text property equals the value, letter case apart; reads every partition's index."""
        conditions, parameters = of_category(category)
        where = " AND ".join([f"STRINGEQUALS(c.{field_name}, @value, true)", *conditions])
        query: Query = (
            f"SELECT {fields(category)} FROM c WHERE {where}",
            [{"name": "@value", "value": value}, *parameters],
        )
        found: list[Record] = []
        reader = _Reader.of(self.account, category)
        try:
            async for items, _ in self._query(self._container(category), query, 100):
                records = [reader.record(i, Counter()) for i in items]
                found += [r for r in records if r is not None]
        except AzureError as error:
            raise translate(error) from None
        return found

    async def values(self, category: Category, scope: Scope, field_name: str) -> Sequence[str]:
        """What the property says in the scope's items: texts only."""
        query, target = of_scope(category, scope, f"c.{field_name}")
        found: dict[str, None] = {}
        try:
            async for items, _ in self._query(self._container(category), query, 100, **target):
                found |= {item[field_name]: None for item in items if isinstance(item.get(field_name), str)}
        except AzureError as error:
            raise translate(error) from None
        return list(found)

    async def empty(self, category: Category, scope: Scope) -> bool:
        """Whether no item of the scope's partition has a member."""
        lists = [finder.field for finder in category.find.values() if isinstance(finder, Member)]
        condition = " OR ".join(f"ARRAY_LENGTH(c.{name}) > 0" for name in lists)
        query: Query = (f"SELECT c.id FROM c WHERE {condition}", [])
        try:
            async for items, _ in self._query(self._container(category), query, 1, partition_key=scope.id):
                if items:
                    return False
        except AzureError as error:
            raise translate(error) from None
        return True

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """Delete (or leave), items of one partition together, partitions several at once."""
        return await CosmosDeletes(database=self.database, concurrency=self.concurrency).delete(records, leaver)

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[There | NoAnswer]:
        """Read each item."""
        return await CosmosDeletes(database=self.database, concurrency=self.concurrency).there(records, leaver)

    # ------------------------------------------------------------ listing

    def _container(self, category: Category) -> ContainerProxy:
        return self.database.get_container_client(store_of(category).container)

    async def _some(
        self, container: ContainerProxy, query: Query, size: int, feed_range: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], bool]:
        """The first items of a query, at least `size` if there are as many; and whether there may be more."""
        found: list[dict[str, Any]] = []
        try:
            async for items, more in self._query(container, query, size, feed_range=feed_range):
                found += items
                if more and len(found) >= size:
                    return found, True
        except AzureError as error:
            raise translate(error) from None
        return found, False

    async def _count(self, container: ContainerProxy, query: Query, feed_range: dict[str, Any]) -> int:
        text, parameters = query
        try:
            counts = container.query_items(text, parameters=parameters, feed_range=feed_range)
            return sum([int(each) async for each in counts])  # type: ignore[call-overload]
        except AzureError as error:
            raise translate(error) from None

    async def _query(
        self, container: ContainerProxy, query: Query, size: int, **target: Any
    ) -> AsyncIterator[tuple[list[dict[str, Any]], bool]]:
        """Yield (items, whether there may be more) page by page."""
        text, parameters = query
        pages = container.query_items(text, parameters=parameters, max_item_count=size, **target).by_page()
        async for page in pages:
            items = [item async for item in page]
            yield items, bool(pages.continuation_token)  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Makes records of the items of one listing: what the policy says of them is looked up once."""

    category: Category
    rule: Rule | None
    action: Action
    account: str
    container: str
    partition_field: str
    rules: tuple[Rule, ...]
    tellers: Tellers[Mapping[str, Any]]

    @classmethod
    def of(cls, account: str, category: Category, rule: Rule | None = None, action: Action = Action.DELETE) -> _Reader:
        store = store_of(category)
        field = store.partition_field
        return cls(
            category=category,
            rule=rule,
            action=action,
            account=account,
            container=store.container,
            partition_field=field,
            rules=judged_by(category, rule),
            tellers=Tellers.of(
                category, lambda finder: methodcaller("get", finder.field if isinstance(finder, FieldIs) else field)
            ),
        )

    def record(self, item: Mapping[str, Any], strange: Counter[str]) -> Record | None:
        """The record, None where its partition key is no text; what is strange is counted."""
        rule = self.rule
        partition = item.get(self.partition_field)
        if not isinstance(partition, str):
            strange["partition key is no text"] += 1
            return None
        term = last(self.rules, lambda each: start_of(item, each) if about(each, item) else None)
        if term is None and rule and isinstance(rule.start, Field | YearEnd) and rule.start.field in item:
            strange[NO_TIME] += 1
        elif term is None and self.category.law:
            strange[NO_END] += 1
        scope, names = self.tellers.whose(item)
        return Record(
            locator=Locator(
                store="cosmos", account=self.account, container=self.container, key=item["id"], partition=partition
            ),
            etag=item["_etag"],
            category=self.category.id,
            rule=term.rule if term else None,
            scope=scope,
            starting_point=term.start if term else None,
            due=term.due if term else None,
            names=names,
            action=self.action,
        )


def translate(error: AzureError) -> Exception:
    """The error of ours for an error of the Cosmos SDK: its text names the status, never an item."""
    status = getattr(error, "status_code", None) or type(error).__name__
    return TransientError(f"Cosmos DB: {status}", retry_after=asked_to_wait(error))
