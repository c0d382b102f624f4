"""A batch of conditional deletes, written and read here: each part has its blob's ETag, and takes its snapshots along.

It says what the SDK's `delete_blobs` says, over the same pipeline (`blob_pipeline`). Its answer is read strictly, by
the parts' Content-ID; the SDK goes by their order alone. What an answer does not cover has none: a part that is cut off
or missing. An answer with an id that was not asked for, or twice, proves nothing at all: whose its parts are is not
known then. https://learn.microsoft.com/rest/api/storageservices/blob-batch
"""

from __future__ import annotations

import base64
import hmac
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, urlsplit

from azure.core.rest import HttpRequest
from azure.storage.blob.aio import ContainerClient

from shared.stores.blob_pipeline import authorized, key_of, send, url_of

MOST = 256  # parts of one batch
SECONDS = 60  # the service gives up then
ACCEPTED = 202
_BOUNDARY = re.compile(r'multipart/mixed\s*;\s*boundary=(?:"([^"\r\n]+)"|([^\s;"]+))\s*', re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A blob to delete, on condition of its ETag (with its quotation marks)."""

    name: str
    etag: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """What was answered to one delete; the headers' names are in small letters."""

    status: int
    headers: Mapping[str, str]


async def delete(container: ContainerClient, wanted: Sequence[Wanted], **options: Any) -> list[Part | None]:
    """Delete up to MOST blobs; answers are in their order, None: it had none. Raises AzureError: nobody had one.

    `options` are the pipeline's, such as `raw_response_hook`.
    """
    boundary = f"batch_{uuid.uuid4()}"
    request = HttpRequest(
        "POST",
        url_of(container, restype="container", comp="batch", timeout=str(SECONDS)),
        content=await _compose(container, wanted, boundary),
        headers={"Content-Type": f"multipart/mixed; boundary={boundary}"},
    )
    response = await send(container, request, expected=ACCEPTED, **options)
    return read(response.headers.get("Content-Type", ""), response.content, len(wanted))


# ---------------------------------------------------------------- writing


async def _compose(container: ContainerClient, wanted: Sequence[Wanted], boundary: str) -> bytes:
    shared = key_of(container)
    query = authorization = ""
    if shared is None:
        one = await authorized(container, HttpRequest("DELETE", container.url))
        after = urlsplit(one.url).query
        query = f"?{after}" if after else ""
        authorization = f"Authorization: {one.headers['Authorization']}\r\n" if "Authorization" in one.headers else ""
    root, date = path_of(container, ""), formatdate(time.time(), usegmt=True)
    first = uuid.uuid4().int & ~0xFFFF  # one draw for all: the parts' ids count on from it
    written = []
    for number, blob in enumerate(wanted):
        if not sendable(blob.etag):
            message = "an ETag cannot hold the end of a line"
            raise ValueError(message)
        path, client_id = root + quote(blob.name, safe="/~"), str(uuid.UUID(int=first + number))
        if shared is not None:
            said = signed(shared, path, blob.etag, client_id=client_id, date=date)
            authorization = f"Authorization: SharedKey {shared[0]}:{said}\r\n"
        written.append(
            f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: {number}\r\n\r\nDELETE {path}{query} HTTP/1.1\r\nx-ms-delete-snapshots: include\r\n"
            f"If-Match: {blob.etag}\r\nx-ms-date: {date}\r\nx-ms-client-request-id: {client_id}\r\n"
            f"{authorization}\r\n\r\n"
        )
    return f"{''.join(written)}--{boundary}--\r\n".encode()


def sendable(etag: str) -> bool:
    """Whether an ETag can stand in a header."""
    return "\r" not in etag and "\n" not in etag


def path_of(container: ContainerClient, name: str) -> str:
    """The path of a blob's URL, as a part says it and a shared key signs it."""
    return f"{urlsplit(container.url).path.rstrip('/')}/{quote(name, safe='/~')}"


def signed(shared: tuple[str, str], path: str, etag: str, *, client_id: str, date: str) -> str:
    """A part's signature by a shared key: of eleven headers by their places only If-Match is there, then come ours.

    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    """
    account, key = shared
    headers = f"x-ms-client-request-id:{client_id}\nx-ms-date:{date}\nx-ms-delete-snapshots:include\n"
    text = f"DELETE\n\n\n\n\n\n\n\n{etag}\n\n\n\n{headers}/{account}{path}"
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()


# ---------------------------------------------------------------- reading


def read(content_type: str, text: bytes, number: int) -> list[Part | None]:
    """The answers to a batch of `number` parts, None for those that have none. Raises nothing, on any bytes."""
    nothing: list[Part | None] = [None] * number
    found = _BOUNDARY.fullmatch(content_type)
    if found is None:
        return nothing
    mark = f"--{found[1] or found[2]}".encode("utf-8", "replace")
    first, *pieces = (b"\r\n" + text).split(b"\r\n" + mark)
    if first.strip() or not pieces:
        return nothing
    answers = list(nothing)
    for piece in pieces[:-1]:  # what follows the last mark is the end, or a part that was cut off
        if not piece.startswith(b"\r\n"):
            return nothing
        id_and_part = _part(piece)
        if id_and_part is None:
            continue
        at, part = id_and_part
        if not 0 <= at < number or answers[at] is not None:
            return nothing
        answers[at] = part
    return answers


def _part(piece: bytes) -> tuple[int, Part] | None:
    """A part's id and what it says; None where it is no whole answer."""
    outer, _, inner = piece.partition(b"\r\n\r\n")
    status, *lines = inner.partition(b"\r\n\r\n")[0].split(b"\r\n")
    found = _STATUS.fullmatch(status)
    about = _headers(outer.split(b"\r\n"))
    at = about.get("content-id", "")
    if found is None or not (at.isascii() and at.isdigit()) or about.get("content-type") != "application/http":
        return None
    number = int(at) if len(at) <= len(str(MOST)) else MOST  # one that was not asked for
    return number, Part(status=int(found[1]), headers=_headers(lines))


def _headers(lines: Sequence[bytes]) -> dict[str, str]:
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.lower(): value.strip() for name, colon, value in pairs if colon}
