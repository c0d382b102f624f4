"""RecordStore on Blob storage: list by the name layout, delete in batches of 256, each blob by its own ETag.

How blobs are deleted is told in `blob_deletes`. Lines that leave a log are `line_logs`' business. Refused: `leave` of
anything else (a blob has no members), and finders other than a part of the name, or lines.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from azure.core.exceptions import AzureError
from azure.storage.blob.aio import BlobServiceClient

from shared.errors import PermanentError
from shared.layout import Parts
from shared.model import Action, Locator, Record, Scope
from shared.policy import Category
from shared.policy_terms import BlobStore, Line, Name, NameOrStored, NamePart, Rule
from shared.stores.blob import quoted, service_clock, translate
from shared.stores.blob_deletes import Deletes, look
from shared.stores.blob_list import Listed
from shared.stores.blob_versions import Versions
from shared.stores.concurrency import bounded
from shared.stores.interface import Answer, Division, NoAnswer, Page, Slice, There
from shared.stores.line_logs import LineLogs
from shared.stores.reading import Tellers, Told, judged_by, last
from shared.stores.walker import OUTSIDE, Listing, Walk

LATE_NAME = "named later than stored"
_NAMED = (Name, NameOrStored)
CLOCKS_AHEAD = timedelta(hours=1)  # a blob that is named so much later than it is stored still goes in time


@dataclass(frozen=True, kw_only=True)
class BlobRecords:
    """One account of governed blobs; `account` is its name in the policy.

    `lines` says, by category, how lines of a log tell whose they are.
    """

    service: BlobServiceClient
    account: str
    concurrency: int = 8
    lines: Mapping[str, Line] = field(default_factory=dict)
    versions: Versions = field(default_factory=Versions)

    async def now(self, category: Category) -> datetime:
        """The account's clock."""
        return await service_clock(self.service.get_container_client(category.store.container))

    async def divide(self, category: Category, rule: Rule, *, now: datetime, most: int) -> Division:
        """Parts are lists of prefixes."""
        try:
            leaves, strange = await self._walk(category, rule, now=now).leaves()
        except AzureError as error:
            raise translate(error) from None
        size = max(1, -(-len(leaves) // most))
        parts = [Slice(bounds=json.dumps(leaves[n : n + size])) for n in range(0, len(leaves), size)]
        return Division(parts=parts, strange=strange)

    async def expired(
        self, category: Category, rule: Rule, part: Slice, *, now: datetime, cursor: str, size: int
    ) -> AsyncIterator[Page]:
        """Pages in the order of names; the cursor is the last name seen."""
        walk = self._walk(category, rule, now=now)
        async for page in self._pages(walk, json.loads(part.bounds), category, rule, size=size, after=cursor):
            yield page

    async def of_scope(
        self, category: Category, scope: Scope, *, size: int, rule: Rule | None = None
    ) -> AsyncIterator[Page]:
        """Blobs whose name holds the scope's id; those that hold lines of a visit, to be left."""
        finder = category.find.get(scope.kind)
        if not isinstance(finder, NamePart | Line):
            return
        now = await self.now(category)
        if isinstance(finder, Line):
            async for page in self._logs.of_scope(category, _store(category), scope, now=now, size=size):
                yield page
            return
        walk = Walk(
            listing=self._listing(category),
            layout=_store(category).layout,
            now=now,
            known={finder.field: scope.id},
            ahead=self.concurrency,
        )
        try:
            leaves, strange = await walk.leaves()
        except AzureError as error:
            raise translate(error) from None
        yield Page(records=(), cursor="", strange=strange)
        async for page in self._pages(walk, leaves, category, rule, size=size, after="", all_of_them=True):
            yield page

    async def find(self, category: Category, field_name: str, value: str) -> Sequence[Record]:
        """Nothing: a blob has no fields to search."""
        del value
        raise PermanentError(f"category {category.id} is in Blob storage: field {field_name} cannot be searched there")

    async def values(self, category: Category, scope: Scope, field_name: str) -> Sequence[str]:
        """Nothing: a blob has no fields."""
        del scope
        raise PermanentError(f"category {category.id} is in Blob storage: it has no field {field_name}")

    async def empty(self, category: Category, scope: Scope) -> bool:
        """Nothing: a blob has no members."""
        del scope
        raise PermanentError(f"category {category.id} is in Blob storage: it cannot be shared by members")

    async def delete(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[Answer]:
        """Delete in batches, several at once; rewrite each log that lines leave."""
        answers: list[Answer] = [NoAnswer()] * len(records)
        leaving = [n for n, record in enumerate(records) if record.action is Action.LEAVE]
        going = [n for n, record in enumerate(records) if record.action is not Action.LEAVE]
        if leaving:
            for n, said in zip(leaving, await self._logs.delete([records[n] for n in leaving], leaver), strict=True):
                answers[n] = said
        deletes = Deletes(service=self.service, concurrency=self.concurrency, versions=self.versions)
        for n, said in zip(going, await deletes.delete([records[n] for n in going]), strict=True):
            answers[n] = said
        return answers

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[There | NoAnswer]:
        """Ask for each blob's properties; search each log that lines leave."""
        return await bounded([self._there(record, leaver) for record in records], self.concurrency)

    # ------------------------------------------------------------ listing

    @property
    def _logs(self) -> LineLogs:
        return LineLogs(service=self.service, account=self.account, concurrency=self.concurrency, finders=self.lines)

    def _listing(self, category: Category) -> Listing:
        return partial(self.versions.page, self.service.get_container_client(category.store.container))

    def _walk(self, category: Category, rule: Rule, *, now: datetime) -> Walk:
        time = rule.start.field if isinstance(rule.start, _NAMED) else None
        return Walk(
            listing=self._listing(category),
            layout=_store(category).layout,
            now=now,
            time=time,
            cutoff=rule.period.latest_start(now) + CLOCKS_AHEAD if time else None,
            ahead=self.concurrency,
        )

    async def _pages(
        self,
        walk: Walk,
        leaves: Sequence[str],
        category: Category,
        rule: Rule | None,
        *,
        size: int,
        after: str,
        all_of_them: bool = False,
    ) -> AsyncIterator[Page]:
        """Gather small listings into pages of `size`: of what is due by the rule, or `all_of_them`."""
        records: list[Record] = []
        strange: Counter[str] = Counter()
        reader = _Reader.of(self.account, category, rule, walk.known, self.versions)
        try:
            async for blobs in walk.pages(leaves, after=after):
                for blob in blobs:
                    record = reader.record(blob, strange)
                    if record is not None and (all_of_them or (record.due and record.due <= walk.now)):
                        records.append(record)
                    if len(records) == size:
                        yield Page(records=records, cursor=blob.name, strange=strange)
                        records, strange = [], Counter()
        except AzureError as error:
            raise translate(error) from None
        yield Page(records=records, cursor="", strange=strange)

    async def _there(self, record: Record, leaver: Scope | None) -> There | NoAnswer:
        if record.action is Action.LEAVE:
            return (await self._logs.there([record], leaver))[0]
        return await look(self.service.get_blob_client(record.locator.container, record.locator.key), record.etag)


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Makes records of the blobs of one listing: what the policy says of them is looked up once."""

    category: Category
    rule: Rule | None
    account: str
    known: Mapping[str, str]
    seen: set[str]
    store: BlobStore
    rules: tuple[Rule, ...]
    tellers: Tellers[Parts]

    @classmethod
    def of(
        cls, account: str, category: Category, rule: Rule | None, known: Mapping[str, str], versions: Versions
    ) -> _Reader:
        return cls(
            category=category,
            rule=rule,
            account=account,
            known=known,
            seen=versions.seen,
            store=_store(category),
            rules=judged_by(category, rule),
            tellers=Tellers.of(category, _teller),
        )

    def record(self, blob: Listed, strange: Counter[str]) -> Record | None:
        """The record, None where the name is of no layout, or somebody else's; what is strange is counted."""
        store, rule, known = self.store, self.rule, self.known
        parts = store.layout.match(blob.name)
        if parts is None:
            strange[OUTSIDE] += 1
            return None
        if known and any(parts.fields[name] != value for name, value in known.items()):
            return None  # somebody else's: a prefix cannot tell by the last level, nor by an id with a slash
        if rule and isinstance(rule.start, _NAMED) and parts.times[rule.start.field] > blob.creation_time:
            strange[LATE_NAME] += 1
        term = last(self.rules, lambda each: _start(blob, parts, each))
        scope, names = self.tellers.whose(parts)
        return Record(
            locator=Locator(store="blob", account=self.account, container=store.container, key=blob.name),
            etag=quoted(blob.etag),
            category=self.category.id,
            rule=term.rule if term else None,
            scope=scope,
            starting_point=term.start if term else None,
            due=term.due if term else None,
            names=names,
            alone=store.container not in self.seen,
        )


def _teller(finder: Told) -> Callable[[Parts], object]:
    field_name = finder.field if isinstance(finder, NamePart) else None
    return lambda parts: parts.fields[field_name] if field_name is not None else None


def _start(blob: Listed, parts: Parts, rule: Rule) -> datetime:
    """The time in the name, unless the blob was stored before it."""
    stored: datetime = blob.creation_time
    return min(parts.times[rule.start.field], stored) if isinstance(rule.start, _NAMED) else stored


def _store(category: Category) -> BlobStore:
    if not isinstance(category.store, BlobStore):
        raise PermanentError(f"category {category.id} is not in Blob storage")
    return category.store
