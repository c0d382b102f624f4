"""What an account keeps of a deleted or overwritten blob: its versions, its snapshots, and what soft delete holds back.

A delete turns the current state into a version that no clock removes; the version's own delete may be soft in its turn;
only what is soft-deleted can be deleted for good, where the account allows it, one by one: a batch cannot
(https://learn.microsoft.com/rest/api/storageservices/delete-blob, remarks). Older versions go first and the record's
own last, so that a repeat after a crash still finds where to stop. Refused: to touch a version newer than the record.

An overwrite keeps what was there too: as a version, or else, under soft delete, as a soft-deleted snapshot
(https://learn.microsoft.com/azure/storage/blobs/soft-delete-blob-overview); snapshots that somebody took stay as well.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from azure.core.exceptions import AzureError, DecodeError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

from shared.errors import TransientError
from shared.stores.blob import NO_BLOB, code_of, quoted, service_clock
from shared.stores.blob_list import Listed, ListedPage, every, page
from shared.stores.interface import Recoverable

PAGE = 2_000  # blobs in a page of a flat listing: with 5,000 the pages are most of what a sweep holds in memory
LONGEST_KEPT = 365  # days: the longest retention that the service allows for soft delete
_REFUSED = (400, 403, 409)  # it can be asked again and again: the account does not allow it, or this copy is immutable
_NO_PERMISSION = 403
_CANNOT = (400, 409)
_NOT_SUPPORTED = re.compile(r"^(InvalidQueryParameterValue|UnsupportedQueryParameter)$|Not(Yet)?Supported")

Went = Literal["deleted", "kept", "missing"]
"""What the store said to the delete of the current state; `kept`: soft delete keeps it."""


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What listings and looks have seen of an account's versions: remembered by the process, by container.

    `seen`: some blob has a version, so that the account makes them or once did. `none`: a hierarchical namespace.
    """

    seen: set[str] = field(default_factory=set)
    none: set[str] = field(default_factory=set)

    async def page(
        self, container: ContainerClient, prefix: str, marker: str | None = None, *, delimiter: str = ""
    ) -> ListedPage:
        """A page of the blobs as they are now; looks for versions in the same request. Raises AzureError."""
        name = container.container_name
        include = () if name in self.none or delimiter else ("versions",)
        try:
            most = None if delimiter else PAGE
            found = await page(container, prefix, marker, include=include, delimiter=delimiter, most=most)
        except HttpResponseError as error:
            if not include or marker or not _cannot(error):  # a marker: the page before it could be listed
                raise
            found = await page(container, prefix, marker, most=PAGE)
            self.none.add(name)
        if any(each.version_id for each in found.blobs):
            self.seen.add(name)
        return found._replace(blobs=[each for each in found.blobs if _is_current(each)])


@dataclass(frozen=True, kw_only=True)
class _Copy:
    """One copy: `kind` and `moment` name it to the service; soft delete keeps it `days` more, None: not deleted."""

    kind: Literal["version", "snapshot"]
    moment: str
    days: int | None


class Copies:
    """The copies of the blobs of one container, for the time of one call: what is refused once is not asked again."""

    def __init__(self, service: BlobServiceClient, container: ContainerClient) -> None:
        self._service = service
        self._container = container
        self._days: int | None = None
        self._ahead: timedelta | None = None
        self._reading = asyncio.Lock()
        self._versions = True
        self._may_delete = True
        self._may_purge = True

    async def any(self, name: str) -> bool:
        """Whether the account keeps a version of this name. Raises AzureError."""
        return any(each.version_id for each in await self._listed(name))

    async def erase(self, name: str, etag: str, went: Went) -> Literal["deleted", "missing"] | Recoverable:
        """Erase every copy that is no newer than the version `etag`, and say what became of the blob by that.

        `missing` stays so: who deleted the current state is unknown. Raises AzureError for a copy that gave no answer;
        the same call can be repeated.
        """
        listed = await self._listed(name)
        ends = [await self._end(name, copy) for copy in _chosen(listed, etag, went)]
        if went == "missing":
            return "missing"
        left: list[Recoverable] = [end for end in ends if end is not None]
        if any(each.deleted and not each.version_id and not each.snapshot for each in listed):
            left.append(Recoverable(until=await self.kept_until()))
        if not left:
            return "deleted"
        return max(left, key=_far)

    async def erase_behind(
        self, name: str, etag: str, version: str | None, holds: Callable[[BlobClient], Awaitable[bool]]
    ) -> Recoverable | None:
        """Erase what the overwrite of the version `etag` left, and all that is older; tell what stays, None: nothing.

        `version` is the id of the version that the overwrite made, where it made one and that is known. A snapshot that
        may be older or newer goes if it `holds` what was to go; nothing is known of a soft-deleted one, which stays
        its days. Raises AzureError for a copy that gave no answer; the same call can be repeated.
        """
        older, unsure = _behind(await self._listed(name), etag, version)
        ends = [await self._end(name, copy) for copy in older]
        for copy in unsure:
            if copy.days is not None:
                ends.append(Recoverable(until=await self._now() + timedelta(days=copy.days + 1)))
            elif await holds(self._container.get_blob_client(name, snapshot=copy.moment)):
                ends.append(await self._end(name, copy))
        return max((end for end in ends if end is not None), key=_far, default=None)

    async def kept_until(self) -> datetime:
        """When soft delete lets go, at the latest, of what was deleted before this call."""
        async with self._reading:
            if self._days is None:
                self._days = await self._read_days()
        return await self._now() + timedelta(days=self._days)

    # ------------------------------------------------------------

    async def _listed(self, name: str) -> list[Listed]:
        """Everything under exactly this name, from old to new."""
        found: list[Listed] = []
        include = ["versions", "snapshots", "deleted"] if self._versions else ["snapshots"]
        try:
            async for part in every(self._container, name, include=include, most=100):
                for each in part.blobs:
                    if each.name != name:  # the name itself sorts before all that it begins
                        return found
                    found.append(each)
        except HttpResponseError as error:
            if not self._versions or found or not _cannot(error):
                raise
            self._versions = False
            return await self._listed(name)
        return found

    async def _end(self, name: str, copy: _Copy) -> Recoverable | None:
        """Delete one copy, for good where that is allowed. Returns until when it stays, None when it is gone."""
        if copy.days is None:
            said = await self._delete(name, copy, purge=False) if self._may_delete else "refused"
            if said != "soft":
                return Recoverable(until=None) if said == "refused" else None
        if self._may_purge and await self._delete(name, copy, purge=True) != "refused":
            return None
        if copy.days is None:
            return Recoverable(until=await self.kept_until())
        return Recoverable(until=await self._now() + timedelta(days=copy.days + 1))

    async def _delete(self, name: str, copy: _Copy, *, purge: bool) -> Literal["gone", "soft", "refused"]:
        said: list[Mapping[str, str]] = []
        options: dict[str, Any] = {"version_id": copy.moment} if copy.kind == "version" else {"snapshot": copy.moment}
        if purge:
            options["blob_delete_type"] = "Permanent"
        blob = self._container.get_blob_client(name, snapshot=options.pop("snapshot", None))

        def hook(response: Any) -> None:
            said.append(response.http_response.headers)

        try:
            await blob.delete_blob(raw_response_hook=hook, timeout=60, **options)
        except ResourceNotFoundError as error:
            if code_of(error) != NO_BLOB:
                raise
            return "gone"
        except HttpResponseError as error:
            if error.status_code not in _REFUSED:
                raise
            if purge:
                self._may_purge = False
            elif error.status_code == _NO_PERMISSION:
                self._may_delete = False
            return "refused"
        return _went(said[-1], purge=purge)

    async def _read_days(self) -> int:
        try:
            policy = (await self._service.get_service_properties(timeout=60))["delete_retention_policy"]
        except AzureError:
            return LONGEST_KEPT  # such as 403: a role for data alone may not read this. Too late is still no untruth
        # Where soft delete is off by now, it was on a moment ago: then its days are not known any more.
        return policy.days if policy.enabled and policy.days else LONGEST_KEPT

    async def _now(self) -> datetime:
        """The service's clock, asked once: at most a little ahead, never behind."""
        async with self._reading:
            if self._ahead is None:
                asked = datetime.now(UTC)
                try:  # its answer leaves out the fractions of a second
                    self._ahead = await service_clock(self._container) + timedelta(seconds=1) - asked
                except TransientError:
                    self._ahead = timedelta()  # an answer is owed: the blobs are deleted
        return datetime.now(UTC) + self._ahead


def _chosen(listed: Sequence[Listed], etag: str, went: Went) -> list[_Copy]:
    """The copies to erase, the record's own version last. A missing blob without that version has only newer ones.

    Of one that was deleted just now all are older, should the service have given its last version another ETag.
    """
    current = any(_is_current(each) for each in listed)
    versions = [each for each in listed if each.version_id and not _is_current(each)]
    own = [n for n, each in enumerate(versions) if quoted(each.etag) == etag]
    if own:
        versions = versions[: own[-1] + 1]
    elif went == "missing" or current:
        return []
    snapshots = [] if current else [each for each in listed if each.snapshot]
    return [_copy(each) for each in (*snapshots, *versions)]


def _behind(listed: Sequence[Listed], etag: str, version: str | None) -> tuple[list[_Copy], list[_Copy]]:
    """The copies no newer than the version `etag` or before `version`, the last one last; and the unsure snapshots.

    A version's id is when it was written, a snapshot's when it was taken: both sort by time, in one order.
    """
    kept = [each for each in listed if (each.version_id or each.snapshot) and not _is_current(each)]
    kept.sort(key=lambda each: _copy(each).moment)
    last = max((n for n, each in enumerate(kept) if quoted(each.etag) == etag), default=-1)
    if version is not None:
        before = sum(_copy(each).moment < version for each in kept)
        return [_copy(each) for each in kept[: max(last + 1, before)]], []
    return [_copy(each) for each in kept[: last + 1]], [_copy(each) for each in kept[last + 1 :] if each.snapshot]


def permanent(headers: Mapping[str, str]) -> bool | None:
    """What the answer to a delete says: it went for good, or soft delete keeps it; None: it does not say."""
    return {"true": True, "false": False}.get(headers.get("x-ms-delete-type-permanent", "").lower())


def _went(headers: Mapping[str, str], *, purge: bool) -> Literal["gone", "soft", "refused"]:
    """What became of a copy by the headers of the answer to its delete. Raises AzureError where they do not say."""
    said = permanent(headers)
    if said is None:
        raise DecodeError("an answer does not say whether a copy went for good")
    if said:
        return "gone"
    return "refused" if purge else "soft"


def _cannot(error: HttpResponseError) -> bool:
    """Whether an account has no versions to list, such as one with a hierarchical namespace.

    It says that the parameter is none, or that it does not support this. Another refusal, or one without a code, such
    as a container's that is being deleted or a proxy's, proves nothing of versions.
    https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
    """
    return error.status_code in _CANNOT and _NOT_SUPPORTED.search(code_of(error)) is not None


def _is_current(blob: Listed) -> bool:
    return bool(blob.is_current_version or not (blob.version_id or blob.snapshot or blob.deleted))


def _copy(blob: Listed) -> _Copy:
    days = (blob.remaining_retention_days or 0) if blob.deleted else None
    if blob.version_id:
        return _Copy(kind="version", moment=blob.version_id, days=days)
    return _Copy(kind="snapshot", moment=str(blob.snapshot), days=days)


def _far(kept: Recoverable) -> datetime:
    return kept.until or datetime.max.replace(tzinfo=UTC)
