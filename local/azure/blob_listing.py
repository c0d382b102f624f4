"""The XML answers of the Blob service's stand-in: listings of blobs and containers, and the service's properties."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from local.azure.account import Account, Blob, Copy, RefusedError

MOST = 5_000
_KNOWN = {"metadata", "snapshots", "versions", "deleted", "deletedwithversions"}
_SNAPSHOT, _VERSION, _BASE = 0, 1, 2


def blobs(account: Account, container: str, query: dict[str, str]) -> bytes:
    """List Blobs: https://learn.microsoft.com/rest/api/storageservices/list-blobs. Raises RefusedError."""
    held = account.container(container)
    include = set(query.get("include", "").split(",")) - {""}
    unknown = include - _KNOWN | set(query) - {
        "restype", "comp", "prefix", "marker", "maxresults", "delimiter", "include", "timeout",
    }  # fmt: skip
    if unknown:
        raise RefusedError(501, "NotModelled", f"list with {', '.join(sorted(unknown))}")
    if account.settings.hierarchical and "versions" in include:
        raise RefusedError(409, "FeatureNotSupportedForHns", "no versions with a hierarchical namespace")
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = _position(query["marker"]) if query.get("marker") else None
    most = int(query.get("maxresults", MOST))
    root = Element("EnumerationResults", ContainerName=container)
    inside = SubElement(root, "Blobs")
    count, last, more, seen = 0, None, False, ""
    for name in sorted(name for name in held.blobs if name.startswith(prefix)):
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        folder = name[: cut + len(delimiter)] if cut >= 0 else ""
        for key, copy in _copies(name, held.blobs[name], include):
            listed = after is not None and (key <= after or bool(folder and after[0].startswith(folder)))
            if listed or (folder and folder == seen):
                continue
            if count == most:
                more = True
                break
            if folder:
                SubElement(SubElement(inside, "BlobPrefix"), "Name").text = folder
                seen = folder
            else:
                _entry(inside, name, key[1], copy, account.now())
            count, last = count + 1, key
        if more:
            break
    marker = base64.urlsafe_b64encode(json.dumps(last).encode()).decode() if more else ""
    SubElement(root, "NextMarker").text = marker
    return _text(root)


def containers(account: Account) -> bytes:
    """List Containers, all on one page."""
    root = Element("EnumerationResults")
    inside = SubElement(root, "Containers")
    for name, held in sorted(account.containers.items()):
        entry = SubElement(inside, "Container")
        SubElement(entry, "Name").text = name
        about = SubElement(entry, "Properties")
        for tag, value in container_properties(held.immutable_days is not None, held.legal_hold, held.version_level):
            SubElement(about, tag).text = value
    SubElement(root, "NextMarker")
    return _text(root)


def container_properties(immutable: bool, hold: bool, version_level: bool) -> Iterator[tuple[str, str]]:  # noqa: FBT001 - three flags, as the service lists them
    """The properties of a container, by the names that a listing gives them."""
    yield "Last-Modified", "Mon, 05 Jan 2026 00:00:00 GMT"
    yield "Etag", '"0x1"'
    yield "HasImmutabilityPolicy", str(immutable).lower()
    yield "HasLegalHold", str(hold).lower()
    yield "ImmutableStorageWithVersioningEnabled", str(version_level).lower()


def service(account: Account) -> bytes:
    """Get Blob Service Properties."""
    root = Element("StorageServiceProperties")
    kept = SubElement(root, "DeleteRetentionPolicy")
    days = account.settings.soft_delete_days
    SubElement(kept, "Enabled").text = str(days is not None).lower()
    if days is not None:
        SubElement(kept, "Days").text = str(days)
        SubElement(kept, "AllowPermanentDelete").text = str(account.settings.permanent_delete).lower()
    return _text(root)


def _text(root: Element) -> bytes:
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _copies(name: str, blob: Blob, include: set[str]) -> Iterator[tuple[tuple[str, int, str], Copy]]:
    for copy in blob.copies():
        if copy.deleted is not None and "deleted" not in include:
            continue
        if copy.snapshot is not None:
            if "snapshots" in include:
                yield (name, _SNAPSHOT, copy.snapshot), copy
        elif copy is blob.base or copy is blob.deleted_base:
            yield (name, _BASE, ""), copy
        elif "versions" in include:
            yield (name, _VERSION, copy.version or ""), copy


def _entry(inside: Element, name: str, kind: int, copy: Copy, now: datetime) -> None:
    entry = SubElement(inside, "Blob")
    SubElement(entry, "Name").text = name
    if copy.snapshot is not None:
        SubElement(entry, "Snapshot").text = copy.snapshot
    elif copy.version is not None:
        SubElement(entry, "VersionId").text = copy.version
        if kind == _BASE:
            SubElement(entry, "IsCurrentVersion").text = "true"
    if copy.deleted is not None:
        SubElement(entry, "Deleted").text = "true"
    about = SubElement(entry, "Properties")
    values = {
        "Creation-Time": http_date(copy.created),
        "Last-Modified": http_date(copy.modified),
        "Etag": copy.etag.strip('"'),
        "Content-Length": str(len(copy.data)),
        "Content-Type": "application/octet-stream",
        "BlobType": "BlockBlob",
    }
    if copy.deleted is not None and copy.kept_until is not None:
        values["DeletedTime"] = http_date(copy.deleted)
        values["RemainingRetentionDays"] = str(max(0, (copy.kept_until - now).days))
    for tag, value in values.items():
        SubElement(about, tag).text = value


def http_date(moment: datetime) -> str:
    """A time as HTTP writes it."""
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


def _position(marker: str) -> tuple[str, int, str]:
    try:
        name, kind, moment = json.loads(base64.urlsafe_b64decode(marker))
        return str(name), int(kind), str(moment)
    except ValueError:
        raise RefusedError(400, "InvalidQueryParameterValue", "marker") from None
