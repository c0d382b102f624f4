"""Listings of a container: what the SDK's `list_blobs` and `walk_blobs` list, with the properties that are needed here.

Sent over the SDK's pipeline (`blob_pipeline`), read by ElementTree. Refused, as an answer that cannot be read: XML that
is not whole, not UTF-8 or not a listing; a document type (nothing that it defines is expanded); a blob without its name
or its times, or with a flag other than true and false. https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from __future__ import annotations

import gc
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

from azure.core.exceptions import DecodeError
from azure.core.rest import HttpRequest
from azure.storage.blob.aio import ContainerClient

from shared.stores.blob_pipeline import send, url_of

_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_TIME = re.compile(
    rf"[A-Z][a-z]{{2}}, ([0-9]{{2}}) ({'|'.join(_NAMES)}) ([0-9]{{4}}) ([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}}) GMT"
)


class Listed(NamedTuple):
    """A blob in a listing, or one copy of it. `etag` has no quotation marks. Made by the thousand: a tuple is cheap."""

    name: str
    etag: str
    creation_time: datetime
    last_modified: datetime
    size: int
    metadata: dict[str, str]
    version_id: str | None
    is_current_version: bool
    snapshot: str | None
    deleted: bool
    remaining_retention_days: int | None


class ListedPage(NamedTuple):
    """One page: blobs, the prefixes that stand for blobs, and the marker of the next page, None: it was the last."""

    blobs: list[Listed]
    prefixes: list[str]
    marker: str | None


async def page(
    container: ContainerClient,
    prefix: str = "",
    marker: str | None = None,
    *,
    include: Sequence[str] = (),
    delimiter: str = "",
    most: int | None = None,
) -> ListedPage:
    """List one page of the blobs whose name starts with `prefix`. Raises AzureError."""
    url = url_of(
        container,
        restype="container",
        comp="list",
        prefix=quote(prefix, safe=""),
        delimiter=quote(delimiter, safe=""),
        marker=quote(marker or "", safe=""),
        maxresults=str(most or ""),
        include=",".join(include),
    )
    response = await send(container, HttpRequest("GET", url, headers={"Accept": "application/xml"}), expected=200)
    try:
        return read(response.content)
    except ValueError as error:
        raise DecodeError("a listing cannot be read", response=response, error=error) from None


async def every(container: ContainerClient, prefix: str = "", **options: Any) -> AsyncIterator[ListedPage]:
    """Every page of a listing, with the options of `page`. Raises AzureError."""
    following: str | None = ""
    while following is not None:
        found = await page(container, prefix, following, **options)
        yield found
        following = found.marker


def read(text: bytes) -> ListedPage:
    """A page from its XML. Raises ValueError on anything else."""
    whole = text.decode("utf-8-sig")
    if "<!DOCTYPE" in whole or "\0" in whole:  # a null would have the parser take it for UTF-16, and read other text
        raise ValueError("a listing has no document type, and is UTF-8")
    try:
        with _uncollected():
            return _page(ET.fromstring(whole))  # noqa: S314 - no document type, so no entities
    except ET.ParseError:
        raise ValueError("a listing is not whole XML") from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collect no garbage meanwhile: the elements of a page, 100,000 and more, would be walked time and again.

    They die together when the page is read; nothing here makes cycles.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _page(root: ET.Element) -> ListedPage:
    inside = root.find("Blobs")
    if root.tag != "EnumerationResults" or inside is None:
        raise ValueError("it is no listing of blobs")
    blobs = [_blob(each) for each in inside if each.tag == "Blob"]
    prefixes = [_name(each) for each in inside if each.tag == "BlobPrefix"]
    return ListedPage(blobs, prefixes, root.findtext("NextMarker") or None)


def _blob(element: ET.Element) -> Listed:
    about = element.find("Properties")
    if about is None:
        raise ValueError("a blob has no properties")
    created, modified = about.findtext("Creation-Time"), about.findtext("Last-Modified")
    creation_time = http_time(created)
    metadata = element.find("Metadata")
    days = about.findtext("RemainingRetentionDays")
    return Listed(
        _name(element),
        about.findtext("Etag", ""),
        creation_time,
        creation_time if modified == created else http_time(modified),
        int(about.findtext("Content-Length") or 0),
        {each.tag: each.text or "" for each in metadata} if metadata is not None else {},
        element.findtext("VersionId"),
        _flag(element.findtext("IsCurrentVersion")),
        element.findtext("Snapshot"),
        _flag(element.findtext("Deleted")),
        int(days) if days else None,
    )


def _name(element: ET.Element) -> str:
    """A name; one with characters that XML cannot hold comes percent-encoded, and says so."""
    name = element.find("Name")
    if name is None or not name.text:
        raise ValueError("a blob has no name")
    return unquote(name.text, errors="strict") if _flag(name.get("Encoded")) else name.text


def _flag(text: str | None) -> bool:
    if text is None or text == "false":
        return False
    if text != "true":
        raise ValueError("a flag is neither true nor false")
    return True


def http_time(text: str | None) -> datetime:
    """A time in the one form in which HTTP writes it now: `Sun, 22 Nov 2026 19:06:24 GMT`."""
    found = _TIME.fullmatch(text or "")
    if found is None:
        raise ValueError("a time is not as HTTP writes it")
    day, month, year, hour, minute, second = found.groups()
    return datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
