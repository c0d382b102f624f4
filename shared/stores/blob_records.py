"""RecordStore on Blob storage: list by the name layout, delete in batches of 256, each blob by its own ETag.

A blob goes together with its snapshots. A blob batch can succeed in part, so every sub-answer is read. 412 alone does
not tell a changed blob from a missing one (seen: Azurite answers 412 for both), so the blob is looked at then. An
account with soft delete says of each blob that it went for good, or did not: `x-ms-delete-type-permanent`
(https://learn.microsoft.com/rest/api/storageservices/delete-blob).
Refused: `leave` (a blob has no members), and finders other than a part of the name.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import BlobProperties
from azure.storage.blob.aio import BlobServiceClient

from shared.errors import PermanentError, TransientError
from shared.model import Action, Locator, Record, Scope
from shared.policy import BlobStore, Category, Name, NameOrStored, NamePart, Rule
from shared.stores.blob import asked_to_wait, quoted, seconds_to_wait, service_clock, translate
from shared.stores.concurrency import bounded
from shared.stores.interface import Answer, Division, NoAnswer, Page, Recoverable, Slice
from shared.stores.walker import OUTSIDE, Walk

BATCH = 256
LATE_NAME = "named later than stored"
ACCEPTED = 202  # what Delete Blob answers when it has deleted
LONGEST_KEPT = 365  # days: the longest retention that the service allows for soft delete


@dataclass(frozen=True, kw_only=True)
class BlobRecords:
    """One account of governed blobs; `account` is its name in the policy."""

    service: BlobServiceClient
    account: str
    concurrency: int = 8

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

    async def of_scope(self, category: Category, scope: Scope, *, size: int) -> AsyncIterator[Page]:
        """Blobs whose name holds the scope's id."""
        finder = category.find.get(scope.kind)
        if not isinstance(finder, NamePart):
            return
        now = await self.now(category)
        walk = Walk(
            container=self.service.get_container_client(category.store.container),
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
        async for page in self._pages(walk, leaves, category, None, size=size, after=""):
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
        """Delete in batches, several at once."""
        del leaver
        if any(record.action is not Action.DELETE for record in records):
            raise PermanentError("a blob can only be deleted: correct the category's finder in the policy")
        answers: list[Answer] = [NoAnswer()] * len(records)
        kept: list[int] = []  # what was deleted, and soft delete keeps
        by_container: dict[str, list[int]] = {}
        for number, record in enumerate(records):
            by_container.setdefault(record.locator.container, []).append(number)
        jobs = [
            self._batch(container, numbers[n : n + BATCH], records, answers, kept)
            for container, numbers in by_container.items()
            for n in range(0, len(numbers), BATCH)
        ]
        await bounded(jobs, self.concurrency)
        if kept:
            recoverable = Recoverable(until=await self._kept_until(records[kept[0]].locator.container))
            for n in kept:
                answers[n] = recoverable
        return answers

    async def there(self, records: Sequence[Record], *, leaver: Scope | None = None) -> Sequence[bool | NoAnswer]:
        """Ask for each blob's properties."""
        del leaver  # a blob has no members
        return await bounded([self._there(record) for record in records], self.concurrency)

    # ------------------------------------------------------------ listing

    def _walk(self, category: Category, rule: Rule, *, now: datetime) -> Walk:
        time = rule.start.field if isinstance(rule.start, Name | NameOrStored) else None
        return Walk(
            container=self.service.get_container_client(category.store.container),
            layout=_store(category).layout,
            now=now,
            time=time,
            cutoff=rule.period.latest_start(now) if time else None,
            ahead=self.concurrency,
        )

    async def _pages(
        self, walk: Walk, leaves: Sequence[str], category: Category, rule: Rule | None, *, size: int, after: str
    ) -> AsyncIterator[Page]:
        """Gather small listings into pages of `size`. With a rule, only what is due; without, everything."""
        records: list[Record] = []
        strange: Counter[str] = Counter()
        try:
            async for blobs in walk.pages(leaves, after=after):
                for blob in blobs:
                    record = self._record(blob, category, rule, strange, walk.known)
                    if record is not None and (rule is None or (record.due and record.due <= walk.now)):
                        records.append(record)
                    if len(records) == size:
                        yield Page(records=records, cursor=blob.name, strange=strange)
                        records, strange = [], Counter()
        except AzureError as error:
            raise translate(error) from None
        yield Page(records=records, cursor="", strange=strange)

    def _record(
        self,
        blob: BlobProperties,
        category: Category,
        rule: Rule | None,
        strange: Counter[str],
        known: Mapping[str, str],
    ) -> Record | None:
        store = _store(category)
        parts = store.layout.match(blob.name)
        if parts is None:
            strange[OUTSIDE] += 1
            return None
        if any(parts.fields[name] != value for name, value in known.items()):
            return (
                None  # somebody else's: a prefix does not tell them apart by the last level, or by an id with a slash
            )
        start: datetime = blob.creation_time
        if rule is not None and isinstance(rule.start, Name | NameOrStored):
            named = parts.times[rule.start.field]
            if named > start:
                strange[LATE_NAME] += 1
            else:
                start = named
        owner = category.scope
        scope = None
        if owner is not None and isinstance(owner.by, NamePart):
            scope = Scope(kind=owner.kind, id=parts.fields[owner.by.field])
        return Record(
            locator=Locator(store="blob", account=self.account, container=store.container, key=blob.name),
            etag=quoted(blob.etag),
            category=category.id,
            rule=rule.id if rule else None,
            scope=scope,
            starting_point=start if rule else None,
            due=rule.period.after(start) if rule else None,
        )

    # ------------------------------------------------------------ deleting

    async def _batch(
        self,
        container: str,
        numbers: Sequence[int],
        records: Sequence[Record],
        answers: list[Answer],
        kept: list[int],
    ) -> None:
        """Fill in the answers to one batch; `kept` gets those that were deleted and can be restored."""
        client = self.service.get_container_client(container)
        wanted = [
            {
                "name": records[n].locator.key,
                "etag": records[n].etag,
                "match_condition": MatchConditions.IfNotModified,
                "delete_snapshots": "include",
            }
            for n in numbers
        ]
        try:
            parts = await client.delete_blobs(
                *wanted, raise_on_any_failure=False, raw_request_hook=_plain_boundary, timeout=60
            )
            replies = [part async for part in parts]
        except AzureError as error:
            for n in numbers:
                answers[n] = NoAnswer(retry_after=asked_to_wait(error))
            return
        for n, reply in zip(numbers, replies, strict=True):
            if _keeps(reply):
                kept.append(n)
                continue
            answers[n] = await self._answer(client.get_blob_client(records[n].locator.key), records[n].etag, reply)

    async def _answer(self, blob: Any, etag: str, reply: Any) -> Answer:
        code = str(reply.headers.get("x-ms-error-code") or "")
        match reply.status_code:
            case 202:  # for good: what soft delete keeps is told apart before
                return "deleted"
            case 404 if code == "BlobNotFound":
                return "missing"
            case 412 if code.startswith("LeaseId"):
                return "lease"
            case 409 if "LegalHold" in code:
                return "legal-hold"
            case 409 if "Immutab" in code:
                return "immutability"
            case 404 | 412:
                return await _look(blob, etag)
            case _:
                return NoAnswer(retry_after=seconds_to_wait(reply.headers))

    async def _kept_until(self, container: str) -> datetime:
        """When soft delete lets go, at the latest, of what was deleted before this call."""
        days = LONGEST_KEPT
        try:
            policy = (await self.service.get_service_properties(timeout=60))["delete_retention_policy"]
            # Where soft delete is off by now, it was on a moment ago: then its days are not known any more.
            days = policy.days if policy.enabled and policy.days else LONGEST_KEPT
        except AzureError:
            pass  # such as 403: a role for data alone may not read this. A date too late is still no untruth
        try:
            now = await service_clock(self.service.get_container_client(container))
        except TransientError:
            now = datetime.now(UTC)  # an answer is owed: the blobs are deleted
        return now + timedelta(days=days)

    async def _there(self, record: Record) -> bool | NoAnswer:
        answer = await _look(self.service.get_blob_client(record.locator.container, record.locator.key), "")
        return answer if isinstance(answer, NoAnswer) else answer != "missing"


def _keeps(reply: Any) -> bool:
    """Whether a blob was deleted and can be restored: soft delete keeps it. "true" is a deletion for good."""
    return bool(reply.status_code == ACCEPTED and reply.headers.get("x-ms-delete-type-permanent") == "false")


async def _look(blob: Any, etag: str) -> Answer:
    """After 412, or 404 that names no blob: is it another version, or gone? The same version there proves nothing."""
    try:
        about = await blob.get_blob_properties()
    except ResourceNotFoundError as error:  # the container's absence, a wrong setting, proves nothing of the blob
        return "missing" if getattr(error, "error_code", None) == "BlobNotFound" else NoAnswer()
    except AzureError:
        return NoAnswer()
    return "changed" if quoted(about.etag) != etag else NoAnswer()


def _store(category: Category) -> BlobStore:
    if not isinstance(category.store, BlobStore):
        raise PermanentError(f"category {category.id} is not in Blob storage")
    return category.store


def _plain_boundary(request: Any) -> None:
    """Give the batch a boundary without `=`: the SDK leaves it unquoted, which Azurite refuses with 400."""
    http = request.http_request
    found = re.search(r"boundary=(\S+)", http.headers.get("Content-Type", ""))
    if found and "=" in found[1]:
        plain = "batch_" + found[1].strip("=")
        http.headers["Content-Type"] = f"multipart/mixed; boundary={plain}"
        http.data = http.data.replace(found[1].encode(), plain.encode())
        http.headers["Content-Length"] = str(len(http.data))
