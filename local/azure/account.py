"""A storage account's blobs in memory, with what "deleted" means there: soft delete, versions, immutability.

The rules are those of the service's documentation (https://learn.microsoft.com/azure/storage/blobs/soft-delete-blob-overview,
https://learn.microsoft.com/azure/storage/blobs/versioning-overview). Refused with RefusedError, as the service refuses.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta


class RefusedError(Exception):
    """What the service answers in place of doing it: HTTP status, error code, a text for whoever reads the test."""

    def __init__(self, status: int, code: str, text: str = "") -> None:
        super().__init__(f"{status} {code} {text}")
        self.status = status
        self.code = code
        self.text = text or code


@dataclass(kw_only=True)
class Settings:
    """What the account's owner has set. Days are whole; None is off. `refused`: operations, each with its status."""

    soft_delete_days: int | None = None
    container_soft_delete_days: int | None = None
    versioning: bool = False
    permanent_delete: bool = False
    restore_days: int | None = None
    change_feed: bool = False
    change_feed_days: int | None = None
    hierarchical: bool = False
    lifecycle: list[dict[str, object]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what the service does not allow together: raise ValueError."""
        if self.restore_days is not None:
            if not (self.versioning and self.change_feed and (self.soft_delete_days or 0) > self.restore_days):
                raise ValueError("point-in-time restore needs versioning, change feed and a longer soft delete")
            if self.permanent_delete:
                raise ValueError("permanent delete and point-in-time restore exclude each other")
        if self.hierarchical and self.versioning:
            raise ValueError("an account with a hierarchical namespace has no versions")


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One state of a blob: the current one, a previous version, or a snapshot. `deleted` and `kept_until`: softly."""

    data: bytes
    etag: str
    created: datetime
    modified: datetime
    version: str | None = None
    snapshot: str | None = None
    deleted: datetime | None = None
    kept_until: datetime | None = None
    immutable_until: datetime | None = None
    lease: str | None = None


@dataclass(kw_only=True)
class Blob:
    """All that the account holds under one name."""

    base: Copy | None = None
    deleted_base: Copy | None = None
    versions: list[Copy] = field(default_factory=list)
    snapshots: list[Copy] = field(default_factory=list)

    def copies(self) -> Iterator[Copy]:
        """Yield each: snapshots, versions from old to new, then the base."""
        yield from self.snapshots
        yield from self.versions
        if self.deleted_base is not None:
            yield self.deleted_base
        if self.base is not None:
            yield self.base


@dataclass(kw_only=True)
class Container:
    """A container. `immutable_days` counts from each blob's creation; a legal hold has no end."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    immutable_days: int | None = None
    legal_hold: bool = False
    version_level: bool = False


class Account:
    """The account; `settings` may be changed at any time, and `advance` moves its clock."""

    def __init__(self, name: str = "fakeaccount", settings: Settings | None = None) -> None:
        self.name = name
        self.settings = settings or Settings()
        self.containers: dict[str, Container] = {}
        self.requests: list[str] = []
        """What was asked, `METHOD comp`: for tests that count."""
        self._ahead = timedelta()
        self._ticks = 0

    def now(self) -> datetime:
        """The account's clock."""
        return datetime.now(UTC) + self._ahead

    def advance(self, span: timedelta) -> None:
        """Let time pass: what soft delete kept until then is gone."""
        self._ahead += span
        now = self.now()
        for container in self.containers.values():
            for blob in container.blobs.values():
                if blob.deleted_base is not None and _over(blob.deleted_base, now):
                    blob.deleted_base = None
                blob.versions = [copy for copy in blob.versions if not _over(copy, now)]
                blob.snapshots = [copy for copy in blob.snapshots if not _over(copy, now)]

    def container(self, name: str) -> Container:
        """The container of this name. Raises RefusedError."""
        try:
            return self.containers[name]
        except KeyError:
            raise RefusedError(404, "ContainerNotFound") from None

    def blob(self, container: str, name: str) -> Blob:
        """What is under the name, which may be nothing."""
        return self.container(container).blobs.setdefault(name, Blob())

    def read(self, container: str, name: str, *, version: str | None, snapshot: str | None) -> Copy:
        """The state of a blob that can be read; what is softly deleted cannot."""
        blob = self.blob(container, name)
        if version is None and snapshot is None:
            return _there(blob.base)
        found = [copy for copy in blob.copies() if (copy.version, copy.snapshot) == (version, snapshot)]
        if not found or found[0].deleted:
            raise RefusedError(404, "BlobNotFound")
        return found[0]

    # ------------------------------------------------------------ writing

    def put(self, container: str, name: str, data: bytes, *, condition: tuple[str, str] | None = None) -> Copy:
        """Write a block blob. `condition` is (header, ETag)."""
        blob = self.blob(container, name)
        _conditions(blob.base, condition)
        now = self.now()
        if blob.base is not None:
            if blob.base.lease is not None:
                raise RefusedError(412, "LeaseIdMissing")
            self._writable(self.container(container), blob.base)
            self._set_aside(blob, blob.base)
        elif blob.deleted_base is not None:
            blob.snapshots.append(replace(blob.deleted_base, snapshot=self._moment()))
            blob.deleted_base = None
        created = blob.base.created if blob.base else now
        version = self._moment() if self.settings.versioning else None
        blob.base = Copy(data=data, etag=self._etag(), created=created, modified=now, version=version)
        return blob.base

    def snapshot(self, container: str, name: str) -> Copy:
        """Take a snapshot. Where there are versions that makes a new one too, of the same content."""
        blob = self.blob(container, name)
        base = _there(blob.base)
        taken = replace(base, snapshot=self._moment(), version=None, lease=None)
        blob.snapshots.append(taken)
        if self.settings.versioning:
            self._set_aside(blob, replace(base, lease=None))
            blob.base = replace(base, version=self._moment())
        return taken

    def lease(self, container: str, name: str, lease: str) -> None:
        """Take an endless lease."""
        blob = self.blob(container, name)
        blob.base = replace(_there(blob.base), lease=lease)

    # ------------------------------------------------------------ deleting

    def delete(
        self, container: str, name: str, *, condition: tuple[str, str] | None, snapshots: str | None, permanent: bool
    ) -> bool:
        """Delete the current blob. Returns whether it went for good, as far as soft delete has a say."""
        if permanent:
            raise RefusedError(409, "PermanentDeleteNotAllowed", "only versions and snapshots can go for good")
        blob = self.blob(container, name)
        base = _there(blob.base)
        _conditions(base, condition)
        if base.lease is not None:
            raise RefusedError(412, "LeaseIdMissing")
        self._writable(self.container(container), base)
        live = [copy for copy in blob.snapshots if copy.deleted is None]
        if live and snapshots != "include":
            raise RefusedError(409, "SnapshotsPresent")
        blob.snapshots = [copy for each in blob.snapshots for copy in self._softly(each)]
        blob.base = None
        if self.settings.versioning:
            blob.versions.append(replace(base, version=base.version or self._moment()))
        else:
            blob.deleted_base = next(iter(self._softly(base)), None)
        return self.settings.soft_delete_days is None

    def delete_copy(self, container: str, name: str, *, which: str, moment: str, permanent: bool) -> bool:
        """Delete a version or a snapshot (`which`), softly where the account does; again, for good."""
        blob = self.blob(container, name)
        if which == "version" and blob.base is not None and blob.base.version == moment:
            raise RefusedError(403, "OperationNotAllowedOnRootBlob", "the current version cannot be deleted by its id")
        copies = blob.versions if which == "version" else blob.snapshots
        found = [copy for copy in copies if moment == (copy.version if which == "version" else copy.snapshot)]
        if not found or (found[0].deleted and not permanent):
            raise RefusedError(404, "BlobNotFound")
        [copy] = found
        if permanent and not (self.settings.permanent_delete and copy.deleted):
            raise RefusedError(409, "PermanentDeleteNotAllowed", "not here, or it is not soft-deleted")
        self._writable(self.container(container), copy, copy_itself=True)
        kept = [] if permanent else self._softly(copy)
        copies[copies.index(copy) : copies.index(copy) + 1] = kept
        return not kept

    def undelete(self, container: str, name: str) -> None:
        """Bring back what soft delete keeps."""
        blob = self.blob(container, name)
        if not any(blob.copies()):
            raise RefusedError(404, "BlobNotFound")
        if blob.base is None and blob.deleted_base is not None:
            blob.base, blob.deleted_base = replace(blob.deleted_base, deleted=None, kept_until=None), None
        blob.versions = [replace(copy, deleted=None, kept_until=None) for copy in blob.versions]
        blob.snapshots = [replace(copy, deleted=None, kept_until=None) for copy in blob.snapshots]

    # ------------------------------------------------------------

    def _set_aside(self, blob: Blob, base: Copy) -> None:
        """What an overwrite leaves of the state before."""
        if self.settings.versioning:
            blob.versions.append(replace(base, version=base.version or self._moment()))
        elif self.settings.soft_delete_days is not None:
            blob.snapshots += self._softly(replace(base, snapshot=self._moment()))

    def _softly(self, copy: Copy) -> list[Copy]:
        """What is left of a copy that is deleted: itself, kept, or nothing."""
        days = self.settings.soft_delete_days
        if copy.deleted is not None:
            return [copy]
        if days is None:
            return []
        now = self.now()
        return [replace(copy, deleted=now, kept_until=now + timedelta(days=days), lease=None)]

    def _writable(self, container: Container, copy: Copy, *, copy_itself: bool = False) -> None:
        if container.legal_hold:
            raise RefusedError(409, "BlobImmutableDueToLegalHold")
        days = timedelta(days=container.immutable_days or 0)
        if self.now() < copy.created + days:
            raise RefusedError(409, "BlobImmutableDueToPolicy")
        own = copy.immutable_until is not None and self.now() < copy.immutable_until
        if own and (copy_itself or not self.settings.versioning):
            raise RefusedError(409, "BlobImmutableDueToPolicy")

    def _moment(self) -> str:
        """A version's or snapshot's id: no two are the same, and later ones sort later."""
        self._ticks += 1
        return f"{self.now():%Y-%m-%dT%H:%M:%S}.{self._ticks:07}Z"

    def _etag(self) -> str:
        self._ticks += 1
        return f'"0x{self._ticks:08X}"'


def _there(copy: Copy | None) -> Copy:
    if copy is None:
        raise RefusedError(404, "BlobNotFound")
    return copy


def _conditions(base: Copy | None, condition: tuple[str, str] | None) -> None:
    match condition:
        case None:
            return
        case ("if-none-match", "*"):
            if base is not None:
                raise RefusedError(409, "BlobAlreadyExists")
        case ("if-match", etag):
            if base is None or base.etag != etag:
                raise RefusedError(412, "ConditionNotMet")
        case _:
            raise RefusedError(501, "NotModelled", f"condition {condition[0]}")


def _over(copy: Copy, now: datetime) -> bool:
    return copy.kept_until is not None and copy.kept_until <= now
