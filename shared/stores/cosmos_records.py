"""RecordStore on Cosmos DB (NoSQL): list by an indexed range predicate per feed range, delete by each item's ETag.

A slice is a feed range. A listing resumes by keyset: `ORDER BY` the starting point, from the last one seen; no
continuation token is kept between pages. Where items share a partition key they go in transactional batches of up to
100: one refusal undoes a batch (424 for the others), so the refused item is taken out and the rest is sent again.
Requires times as RFC 3339 text in UTC with a final Z, which text order puts in time order (to the second).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.cosmos import exceptions
from azure.cosmos.aio import ContainerProxy, DatabaseProxy

from shared.errors import PermanentError, TransientError
from shared.model import Action, Locator, Record, Scope
from shared.policy import Category, Field, FieldIs, Follows, Member, Partition, Rule
from shared.stores.blob import asked_to_wait
from shared.stores.concurrency import bounded
from shared.stores.cosmos_queries import (
    Query,
    expiring,
    fields,
    identity,
    order_of,
    read_cursor,
    start_of,
    store_of,
    timeless,
)
from shared.stores.interface import Answer, Division, NoAnswer, Page, Slice

BATCH = 100
NO_TIME = "starting point is no time"


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
            await self._container(category).read(response_hook=lambda headers, _: seen.append(headers["Date"]))
        except AzureError as error:
            raise translate(error) from error
        return parsedate_to_datetime(seen[-1]).astimezone(UTC)

    async def divide(self, category: Category, rule: Rule, *, now: datetime, most: int) -> Division:
        """Parts are the feed ranges in which something may be due; `most` cannot divide a feed range further."""
        del most
        if isinstance(rule.start, Follows):
            return Division(parts=[])
        container = self._container(category)
        try:
            ranges = [each async for each in container.read_feed_ranges()]
        except AzureError as error:
            raise translate(error) from error
        query = expiring(category, rule, now, "")
        found = await bounded([self._some(container, query, 1, each) for each in ranges], self.concurrency)
        parts = [Slice(bounds=json.dumps(r)) for r, (items, _) in zip(ranges, found, strict=True) if items]
        odd = timeless(rule)
        counts = await bounded([self._count(container, odd, each) for each in ranges if odd], self.concurrency)
        return Division(parts=parts, strange={NO_TIME: sum(counts)} if sum(counts) else {})

    async def expired(
        self, category: Category, rule: Rule, part: Slice, *, now: datetime, cursor: str, size: int
    ) -> AsyncIterator[Page]:
        """Pages in the order of starting points. The cursor holds the last one, and which items at it were seen."""
        container = self._container(category)
        last, seen = read_cursor(cursor)
        while True:
            query = expiring(category, rule, now, last)
            items, more = await self._some(container, query, size + len(seen), json.loads(part.bounds))
            fresh = [n for n, item in enumerate(items) if identity(item, category) not in seen]
            if len(fresh) > size:  # what was seen is gone, and left room for more than a page
                items, more = items[: fresh[size]], True
            strange: Counter[str] = Counter()
            records = [self._record(items[n], category, rule, strange) for n in fresh[:size]]
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

    async def of_scope(self, category: Category, scope: Scope, *, size: int) -> AsyncIterator[Page]:
        """The scope's items, by the category's finder.

        A field is searched in every partition: a person's rows may be under a home that they left long ago.
        """
        container = self._container(category)
        finder = category.find.get(scope.kind)
        selected = fields(category)
        query: Query = (f"SELECT {selected} FROM c", [])
        target: dict[str, Any] = {}
        match finder:
            case Partition():
                target = {"partition_key": scope.id}
            case FieldIs(field=name):
                query = (f"{query[0]} WHERE c.{name} = @id", [{"name": "@id", "value": scope.id}])
            case Member(field=name):
                query = (f"{query[0]} WHERE ARRAY_CONTAINS(c.{name}, @id)", [{"name": "@id", "value": scope.id}])
            case _:
                return
        action = Action.LEAVE if isinstance(finder, Member) else Action.DELETE
        try:
            async for items, _ in self._query(container, query, size, **target):
                records = [self._record(i, category, None, Counter(), action) for i in items]
                yield Page(records=[r for r in records if r is not None], cursor="")
        except AzureError as error:
            raise translate(error) from error

    async def find(self, category: Category, field_name: str, value: str) -> Sequence[Record]:
        """Items whose text property equals the value, letter case apart; reads every partition's index."""
        text = f"SELECT {fields(category)} FROM c WHERE STRINGEQUALS(c.{field_name}, @value, true)"
        query: Query = (text, [{"name": "@value", "value": value}])
        found: list[Record] = []
        try:
            async for items, _ in self._query(self._container(category), query, 100):
                records = [self._record(i, category, None, Counter()) for i in items]
                found += [r for r in records if r is not None]
        except AzureError as error:
            raise translate(error) from error
        return found

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
            raise translate(error) from error
        return True

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """Delete (or leave), items of one partition together, partitions several at once."""
        answers: list[Answer] = [NoAnswer()] * len(records)
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        jobs = []
        for number, record in enumerate(records):
            if record.action is Action.LEAVE:
                jobs.append(self._leave(number, record, leaver, answers))
            else:
                groups[record.locator.container, record.locator.partition].append(number)
        for numbers in groups.values():
            if len(numbers) == 1:
                jobs.append(self._single(numbers[0], records[numbers[0]], answers))
            else:
                chunks = [numbers[n : n + BATCH] for n in range(0, len(numbers), BATCH)]
                jobs += [self._batch(chunk, records, answers) for chunk in chunks]
        await bounded(jobs, self.concurrency)
        return answers

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[bool | NoAnswer]:
        """Read each item."""
        return await bounded([self._there(record, leaver) for record in records], self.concurrency)

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
            raise translate(error) from error
        return found, False

    async def _count(self, container: ContainerProxy, query: Query, feed_range: dict[str, Any]) -> int:
        text, parameters = query
        try:
            counts = container.query_items(text, parameters=parameters, feed_range=feed_range)
            return sum([int(each) async for each in counts])  # type: ignore[call-overload]
        except AzureError as error:
            raise translate(error) from error

    async def _query(
        self, container: ContainerProxy, query: Query, size: int, **target: Any
    ) -> AsyncIterator[tuple[list[dict[str, Any]], bool]]:
        """Yield (items, whether there may be more) page by page."""
        text, parameters = query
        pages = container.query_items(text, parameters=parameters, max_item_count=size, **target).by_page()
        async for page in pages:
            items = [item async for item in page]
            yield items, bool(pages.continuation_token)  # type: ignore[attr-defined]

    def _record(
        self,
        item: Mapping[str, Any],
        category: Category,
        rule: Rule | None,
        strange: Counter[str],
        action: Action = Action.DELETE,
    ) -> Record | None:
        store = store_of(category)
        partition = item.get(store.partition_field)
        if not isinstance(partition, str):
            strange["partition key is no text"] += 1
            return None
        start = start_of(item, rule) if rule else None
        if rule and start is None and isinstance(rule.start, Field) and rule.start.field in item:
            strange[NO_TIME] += 1
        owner = category.scope
        scope = None
        if owner is not None:
            scope_id = item.get(owner.by.field) if isinstance(owner.by, FieldIs) else partition
            scope = Scope(kind=owner.kind, id=scope_id) if isinstance(scope_id, str) and scope_id else None
        return Record(
            locator=Locator(
                store="cosmos", account=self.account, container=store.container, key=item["id"], partition=partition
            ),
            etag=item["_etag"],
            category=category.id,
            rule=rule.id if rule else None,
            scope=scope,
            starting_point=start,
            due=rule.period.after(start) if rule and start else None,
            action=action,
        )

    # ------------------------------------------------------------ deleting

    async def _single(self, number: int, record: Record, answers: list[Answer]) -> None:
        where = record.locator
        try:
            await self.database.get_container_client(where.container).delete_item(
                where.key,
                partition_key=where.partition,
                etag=record.etag,
                match_condition=MatchConditions.IfNotModified,
            )
        except AzureError as error:
            answers[number] = await self._refusal(where.container, error)
        else:
            answers[number] = "deleted"

    async def _batch(self, numbers: Sequence[int], records: Sequence[Record], answers: list[Answer]) -> None:
        left = list(numbers)
        where = records[left[0]].locator
        container = self.database.get_container_client(where.container)
        while left:
            operations = [("delete", (records[n].locator.key,), {"if_match_etag": records[n].etag}) for n in left]
            try:
                await container.execute_item_batch(operations, partition_key=where.partition)
            except exceptions.CosmosBatchOperationError as error:
                refused = left.pop(error.error_index)
                answers[refused] = _said(int(error.status_code or 0), None)
            except AzureError as error:
                for number in left:
                    answers[number] = NoAnswer(retry_after=asked_to_wait(error))
                return
            else:
                for number in left:
                    answers[number] = "deleted"
                return

    async def _leave(self, number: int, record: Record, leaver: Scope | None, answers: list[Answer]) -> None:
        """Take the person out of every list property that names them, on condition of the ETag.

        Nobody's name left in it, or no record: "missing", as after an attempt whose answer was lost.
        """
        if leaver is None:
            raise PermanentError("a record cannot be left by nobody: the cause of the deletion names no person")
        where = record.locator
        container = self.database.get_container_client(where.container)
        try:
            item = await container.read_item(where.key, partition_key=where.partition)
            lists = _naming(item, leaver)
            if not lists:
                answers[number] = "missing"
                return
            if item["_etag"] != record.etag:  # the lists are of another version than the one the patch would change
                answers[number] = "changed"
                return
            await container.patch_item(
                where.key,
                partition_key=where.partition,
                patch_operations=[
                    {
                        "op": "set",
                        "path": "/" + name.replace("~", "~0").replace("/", "~1"),
                        "value": [m for m in members if m != leaver.id],
                    }
                    for name, members in lists.items()
                ],
                etag=record.etag,
                match_condition=MatchConditions.IfNotModified,
            )
        except AzureError as error:
            answers[number] = await self._refusal(where.container, error)
        else:
            answers[number] = "left"

    async def _there(self, record: Record, leaver: Scope | None) -> bool | NoAnswer:
        where = record.locator
        try:
            container = self.database.get_container_client(where.container)
            item = await container.read_item(where.key, partition_key=where.partition)
        except AzureError as error:
            answer = await self._refusal(where.container, error)
            return False if answer == "missing" else NoAnswer(retry_after=asked_to_wait(error))
        return record.action is not Action.LEAVE or leaver is None or bool(_naming(item, leaver))

    async def _refusal(self, container: str, error: AzureError) -> Answer:
        """What an error says of one item. 404 may be the container's, for a wrong setting, or a replica's that is late.

        Then it proves nothing: the container is asked for, and the sub-status is looked at.
        """
        status, sub_status = (int(getattr(error, name, None) or 0) for name in ("status_code", "sub_status"))
        if status == HTTPStatus.NOT_FOUND:
            try:
                await self.database.get_container_client(container).read()
            except AzureError as other:
                return NoAnswer(retry_after=asked_to_wait(other))
            if sub_status:
                return NoAnswer()
        return _said(status, asked_to_wait(error))


def _naming(item: Mapping[str, Any], leaver: Scope) -> dict[str, list[Any]]:
    """The item's list properties that name the person."""
    return {name: value for name, value in item.items() if isinstance(value, list) and leaver.id in value}


def translate(error: AzureError) -> Exception:
    """The error of ours for an error of the Cosmos SDK: its text names the status, never an item."""
    status = getattr(error, "status_code", None) or type(error).__name__
    return TransientError(f"Cosmos DB: {status}", retry_after=asked_to_wait(error))


def _said(status: int, wait: float | None) -> Answer:
    match status:
        case 404:
            return "missing"
        case 412:
            return "changed"
        case _:
            return NoAnswer(retry_after=wait)
