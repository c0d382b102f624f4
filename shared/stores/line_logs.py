"""Logs in Blob storage of which a visit's lines go, and the rest stays: a blob an hour (or day), JSON lines.

Only the blobs that can hold such lines are read. A blob whose hour is not over is still written to: it is reported and
left alone, as is one too large to be read whole. Lines go by one conditional write of the whole blob, so that a crash
loses nobody else's: it happened, or it did not. The blob's type, headers and metadata stay, and its index tags where
the identity may read them.

The account may keep the blob as it was, lines included: as a version, a snapshot, or under soft delete. After the
write these copies go too, or the answer tells until when they stay (`blob_versions`). A repeat after a crash between
the two finds no line, goes on with the copies, and answers "missing". Whether a line is `there` is asked of the blob as
it is, as of a blob that was deleted: a copy that is left is no record, and goes with the blob when its period is over.

The service changes no blob's type: an append blob cannot be replaced so (409 InvalidBlobType), unless the account has a
hierarchical namespace. The answer is "blob-type" then, and its lines go with the blob.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobProperties, ContentSettings
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from shared.errors import PermanentError
from shared.model import Action, Locator, Record, Scope
from shared.policy import Category
from shared.policy_terms import BlobStore, Line
from shared.stores.blob import asked_to_wait, code_of, quoted, translate
from shared.stores.blob_list import page
from shared.stores.blob_versions import Copies
from shared.stores.concurrency import bounded
from shared.stores.interface import Answer, NoAnswer, Page, There
from shared.stores.lines import NOT_OVER, TOO_LARGE, UNREADABLE, Searched, Visit, search, visit_of
from shared.stores.reading import whose
from shared.stores.walker import OUTSIDE, Walk

ASTRAY = timedelta(hours=1)  # a line may stand in a blob this far from its time: it is written when the answer is sent
LARGEST = 64 * 2**20  # bytes of a log that is read: `concurrency` of them are in memory at once, each up to three times
_NO_PERMISSION = 403


@dataclass(frozen=True, kw_only=True)
class _Log:
    """A blob as it was read, and what a search found in it."""

    about: BlobProperties
    searched: Searched


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a listing searches for, where, and the store's clock."""

    category: Category
    store: BlobStore
    finder: Line
    visit: Visit
    now: datetime


@dataclass(frozen=True, kw_only=True)
class LineLogs:
    """The logs of one account. `finders` says, by category, which properties of a line tell address and time.

    A log of more than `largest` bytes is reported, and left alone.
    """

    service: BlobServiceClient
    account: str
    concurrency: int
    finders: Mapping[str, Line] = field(default_factory=dict)
    largest: int = LARGEST

    async def of_scope(
        self, category: Category, store: BlobStore, scope: Scope, *, now: datetime, size: int
    ) -> AsyncIterator[Page]:
        """Yield pages of the blobs with lines of a visit, each to be left. `now` is the store's clock."""
        visit = visit_of(scope)
        asked = _Asked(category=category, store=store, finder=self._finder(category.id), visit=visit, now=now)
        [time] = store.layout.times
        walk = Walk(
            listing=partial(page, self.service.get_container_client(store.container)),
            layout=store.layout,
            now=now,
            time=time,
            cutoff=visit.until + ASTRAY,
            since=visit.since - ASTRAY,
            ahead=self.concurrency,
        )
        try:
            leaves, strange = await walk.leaves()
            listed = {blob.name: blob.size async for blobs in walk.pages(leaves) for blob in blobs}
        except AzureError as error:
            raise translate(error) from None
        strange[OUTSIDE] += sum(store.layout.match(name) is None for name in listed)
        wanted = [name for name in listed if walk.may_hold(name)]
        names = [name for name in wanted if listed[name] <= self.largest]
        strange[TOO_LARGE] += len(wanted) - len(names)
        yield Page(records=(), cursor="", strange=+strange)
        for start in range(0, len(names), size):
            yield await self._page(asked, names[start : start + size])

    async def delete(self, records: Sequence[Record], leaver: Scope | None) -> list[Answer]:
        """Take the visit's lines out of each record's blob; answers are in the order of `records`."""
        visit = visit_of(leaver)
        places = {record.locator.container for record in records}
        copies = {place: Copies(self.service, self.service.get_container_client(place)) for place in places}
        jobs = [
            self._leave(record, self._finder(record.category), visit, copies[record.locator.container])
            for record in records
        ]
        return await bounded(jobs, self.concurrency)

    async def there(self, records: Sequence[Record], leaver: Scope | None) -> list[There | NoAnswer]:
        """Whether each record's blob holds a line of the visit, and is as it was listed."""
        visit = visit_of(leaver)
        jobs = [self._there(record, self._finder(record.category), visit) for record in records]
        return await bounded(jobs, self.concurrency)

    # ------------------------------------------------------------ inside

    def _finder(self, category: str) -> Line:
        finder = self.finders.get(category)
        if finder is None:
            raise PermanentError(f"the policy says not how lines of {category} are found: find.visit is needed there")
        return finder

    async def _page(self, asked: _Asked, names: Sequence[str]) -> Page:
        clients = [self.service.get_blob_client(asked.store.container, name) for name in names]
        try:
            logs = await bounded([_read(client, asked.finder, asked.visit) for client in clients], self.concurrency)
        except AzureError as error:
            raise translate(error) from None
        records: list[Record] = []
        strange: Counter[str] = Counter()
        for name, log in zip(names, logs, strict=True):
            if log is None:
                continue
            strange[UNREADABLE] += log.searched.unreadable
            if log.searched.taken and not _over(asked, name):
                strange[NOT_OVER] += 1
            elif log.searched.taken:
                records.append(self._record(asked, name, log.about))
        return Page(records=records, cursor="", strange=+strange)

    def _record(self, asked: _Asked, name: str, about: BlobProperties) -> Record:
        parts = asked.store.layout.match(name)
        fields = parts.fields if parts else {}
        scope, names = whose(asked.category, lambda finder: fields.get(getattr(finder, "field", "")))
        return Record(
            locator=Locator(store="blob", account=self.account, container=asked.store.container, key=name),
            etag=quoted(about.etag),
            category=asked.category.id,
            scope=scope,
            names=names,
            action=Action.LEAVE,
        )

    async def _leave(self, record: Record, finder: Line, visit: Visit, copies: Copies) -> Answer:
        """Take the lines out of the blob, then out of what the account keeps of it.

        A crash between the two leaves copies, which the repeat erases.
        """

        async def holds(snapshot: BlobClient) -> bool:
            log = await _read(snapshot, finder, visit)
            return bool(log and log.searched.taken)

        try:
            said, version = await self._rewrite(record, finder, visit)
            if said not in {"left", "missing"}:
                return said
            kept = await copies.erase_behind(record.locator.key, record.etag, version, holds)
        except AzureError as error:
            return NoAnswer(retry_after=asked_to_wait(error))
        return kept if kept is not None and said == "left" else said

    async def _rewrite(self, record: Record, finder: Line, visit: Visit) -> tuple[Answer, str | None]:
        """Write the blob without the lines; the answer, and the id of the version that was made, if one was.

        No line of the visit left, or no blob: "missing", as after an attempt whose answer was lost. Raises AzureError.
        """
        blob = self._blob(record)
        log = await _read(blob, finder, visit)
        if log is None or not log.searched.taken:
            return "missing", None
        if quoted(log.about.etag) != record.etag:
            return "changed", None
        tags = await _tags(blob) if log.about.tag_count else None
        try:
            written = await blob.upload_blob(
                log.searched.rest,
                overwrite=True,
                etag=record.etag,
                match_condition=MatchConditions.IfNotModified,
                metadata=log.about.metadata,
                content_settings=_headers(log.about),
                tags=tags,
                timeout=60,
            )
        except HttpResponseError as error:
            return await self._refused(error, blob, finder, visit), None
        return "left", written.get("version_id")

    async def _refused(self, error: HttpResponseError, blob: BlobClient, finder: Line, visit: Visit) -> Answer:
        code = code_of(error)
        match error.status_code:
            case 412 if code.startswith("LeaseId"):
                return "lease"
            case 409 if "LegalHold" in code:
                return "legal-hold"
            case 409 if "Immutab" in code:
                return "immutability"
            case 409 if code == "InvalidBlobType":
                return "blob-type"
            case 412:  # another version: somebody else's, or ours, whose answer was lost to the client
                log = await _read(blob, finder, visit)
                return "replaced" if log and log.searched.taken else "missing"
            case _:
                return NoAnswer(retry_after=asked_to_wait(error))

    async def _there(self, record: Record, finder: Line, visit: Visit) -> There | NoAnswer:
        try:
            log = await _read(self._blob(record), finder, visit)
        except AzureError as error:
            return NoAnswer(retry_after=asked_to_wait(error))
        if log is None or not log.searched.taken:
            return "missing"
        return "same" if quoted(log.about.etag) == record.etag else "another"

    def _blob(self, record: Record) -> BlobClient:
        return self.service.get_blob_client(record.locator.container, record.locator.key)


async def _read(blob: BlobClient, finder: Line, visit: Visit) -> _Log | None:
    """Read a blob, all of one version, and search it; None where there is none. Raises AzureError."""
    try:
        answer = await blob.download_blob(timeout=60)
        data = await answer.readall()
    except ResourceNotFoundError as error:
        if code_of(error) == "BlobNotFound":
            return None
        raise  # such as a container that is not there: a wrong setting proves nothing
    searched = await asyncio.to_thread(search, data, finder, visit)  # a long log must not hold up the others
    return _Log(about=answer.properties, searched=searched)


async def _tags(blob: BlobClient) -> dict[str, str] | None:
    """The blob's index tags; None where the identity may not read them: the lines go all the same."""
    try:
        return await blob.get_blob_tags(timeout=60)
    except HttpResponseError as error:
        if error.status_code == _NO_PERMISSION:
            return None
        raise


def _over(asked: _Asked, name: str) -> bool:
    """Whether the time that a blob's name tells is over, so that nobody appends to it any more."""
    layout = asked.store.layout
    [time] = layout.times
    interval = layout.interval(name.split("/"), time)
    return interval is not None and interval[1] < asked.now


def _headers(about: BlobProperties) -> ContentSettings:
    """The blob's headers, without the digest of its old content."""
    old = about.content_settings
    return ContentSettings(
        content_type=old.content_type,
        content_encoding=old.content_encoding,
        content_language=old.content_language,
        content_disposition=old.content_disposition,
        cache_control=old.cache_control,
    )
