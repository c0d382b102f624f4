"""What a request to the Blob service needs, by the vendor's table of operations and actions as of 2025-03-27.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory; for versions
https://learn.microsoft.com/azure/storage/blobs/versioning-overview.

Two points are not settled by what is published, and are modelled by asking for more. The parent request of a batch:
the table names containers/write; blobs/write is asked for too. A permanent delete: permanentDelete, and what the delete
without it needs. Nobody has tried either.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from rights.model import BLOBS, Need, Place, UnmappedError

from local.servers import ACCOUNTS

_SERVICE = "Microsoft.Storage/storageAccounts/blobServices"
_NAMES = {account: setting.removeprefix("BLOB_").lower() for setting, account in ACCOUNTS.items()}
_LIST = {"restype", "comp", "prefix", "delimiter", "marker", "maxresults", "include", "timeout"}


def blob_needs(who: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> list[Need]:
    """The needs of one request; header names are lower case. Raises UnmappedError."""
    place, blob, query = _read(target)
    actions = _actions(method, place, blob, query, headers)
    needs = [Need(who=who, actions=each, place=place) for each in actions]
    if query.get("comp") == "batch":
        needs += _of_batch(who, place, headers, body)
    return needs


def _actions(
    method: str, place: Place, blob: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> list[tuple[str, ...]]:
    kind = (query.get("restype"), query.get("comp"))
    if blob:
        return _on_blob(method, query, headers)
    if len(place) == 3:
        match method, *kind:
            case "GET" | "HEAD", "container", None:
                return [(f"{_SERVICE}/containers/read",)]
            case "GET", "container", "list" if set(query) <= _LIST:
                return [(f"{BLOBS}/read",)]
            case "POST", "container", "batch":
                return [(f"{_SERVICE}/containers/write",), (f"{BLOBS}/write",)]
            case "PUT", "container", None:
                return [(f"{_SERVICE}/containers/write",)]
            case "DELETE", "container", None:
                return [(f"{_SERVICE}/containers/delete",)]
    else:
        match method, *kind:
            case "GET", "service", "properties":
                return [(f"{_SERVICE}/read",)]
            case "GET", None, "list":
                return [(f"{_SERVICE}/containers/read",)]
    # A batch without its container is among these: it takes a shared key, and there is none.
    raise UnmappedError(f"{method} of {place} with {sorted(query)}")


def _on_blob(method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> list[tuple[str, ...]]:
    asked = set(query) - {"timeout"}
    match method:
        case "GET" | "HEAD" if asked <= {"snapshot", "versionid"}:
            return [(f"{BLOBS}/read",)]
        case "GET" if query.get("comp") == "tags":
            return [(f"{BLOBS}/tags/read",)]
        case "PUT" if not asked and headers.get("x-ms-blob-type") == "BlockBlob":
            tags = [(f"{BLOBS}/tags/write",)] if "x-ms-tags" in headers else []
            if headers.get("if-none-match") == "*":  # it creates, and replaces nothing
                return [(f"{BLOBS}/add/action", f"{BLOBS}/write"), *tags]
            return [(f"{BLOBS}/write",), *tags]
        case "DELETE" if asked <= {"snapshot", "versionid", "deletetype"}:
            what = "deleteBlobVersion/action" if "versionid" in query else "delete"
            for_good = [(f"{BLOBS}/permanentDelete/action",)] if "deletetype" in query else []
            return [(f"{BLOBS}/{what}",), *for_good]
    raise UnmappedError(f"{method} of a blob with {sorted(query)}")


def _of_batch(who: str, place: Place, headers: Mapping[str, str], body: bytes) -> Iterator[Need]:
    """What the requests in a batch need: each is authorised by itself, and is of the batch's container."""
    boundary = re.fullmatch(r"multipart/mixed; ?boundary=(\S+)", headers.get("content-type", ""))
    if boundary is None:
        raise UnmappedError("a batch without a boundary")
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        inner = part.strip().partition(b"\r\n\r\n")[2].decode()
        first, *lines = inner.split("\r\n")
        method, target, _ = first.split(" ")
        fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        if method != "DELETE" or "authorization" not in fields:
            raise UnmappedError(f"a batch with {method} inside, or with a request that is not authorised by itself")
        for need in blob_needs(who, method, target, fields, b""):
            if need.place != place:
                raise UnmappedError("a batch that reaches another container than its own")
            yield need


def _read(target: str) -> tuple[Place, str, dict[str, str]]:
    parts = urlsplit(target)
    account, container, blob = (unquote(part) for part in _three(parts.path.lstrip("/")))
    if account not in _NAMES:
        raise UnmappedError("an account that is none of ours")
    place = ("blob", _NAMES[account], container) if container else ("blob", _NAMES[account])
    return place, blob, dict(parse_qsl(parts.query, keep_blank_values=True))


def _three(path: str) -> tuple[str, str, str]:
    account, _, rest = path.partition("/")
    container, _, blob = rest.partition("/")
    return account, container, blob
