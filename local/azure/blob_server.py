"""The HTTP side of the Blob service's stand-in: an ASGI application over one account, at /ACCOUNT/CONTAINER/BLOB.

Modelled is what the product asks, and what its tests need to prepare; anything else is refused with 501 and a text.
https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.azure import blob_listing
from local.azure.account import Account, Container, RefusedError
from local.azure.blob_listing import http_date

VERSION = "2026-02-06"
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "x-ms-if-tags")
BATCH_MOST = 256
_REFUSALS = {403: "AuthorizationPermissionMismatch", 409: "FeatureNotSupportedForAccount", 503: "ServerBusy"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer before it is put on the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class BlobServer:
    """The application. One account, at the path that begins with its name."""

    def __init__(self, account: Account) -> None:
        self.account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        body = await request.body()
        headers = {name.lower(): value for name, value in request.headers.items()}
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        answer = self._answer(request.method, target, headers, body)
        common = {"date": http_date(self.account.now()), "x-ms-version": VERSION, "x-ms-request-id": str(uuid.uuid4())}
        shown = answer.body if request.method != "HEAD" else b""
        response = Response(shown, status_code=answer.status, headers={**common, **answer.headers})
        await response(scope, receive, send)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            account, container, blob, query = self._read(target)
            self._authenticate(account, headers)
            self.account.requests.append(f"{method} {query.get('comp', query.get('restype', 'blob'))}")
            if blob:
                return self._blob(method, container, blob, query, headers, body)
            if container:
                return self._container(method, container, query, headers, body)
            return self._service(method, query, headers, body)
        except RefusedError as error:
            return _refusal(error)
        except (ValueError, ET.ParseError):  # a number, a text, a part of a batch or a document that is none
            return _refusal(RefusedError(400, "InvalidInput", "the request cannot be read"))

    def _read(self, target: str) -> tuple[str, str, str, dict[str, str]]:
        parts = urlsplit(target)
        account, _, rest = parts.path.lstrip("/").partition("/")
        container, _, blob = rest.partition("/")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        if len(dict(pairs)) != len(pairs):
            raise RefusedError(400, "InvalidQueryParameterValue", "a parameter is given twice")
        return account, unquote(container), unquote(blob), dict(pairs)

    def _authenticate(self, account: str, headers: Mapping[str, str]) -> None:
        if account != self.account.name or not headers.get("authorization", "").startswith(f"SharedKey {account}:"):
            raise RefusedError(403, "AuthenticationFailed", "this server has one account, and wants its SharedKey")

    def _may(self, operation: str) -> None:
        status = self.account.settings.refused.get(operation)
        if status is not None:
            raise RefusedError(status, _REFUSALS.get(status, "InvalidInput"), f"refused for the test: {operation}")

    # ------------------------------------------------------------ the service

    def _service(self, method: str, query: dict[str, str], headers: Mapping[str, str], body: bytes) -> Answer:
        settings = self.account.settings
        match method, query.get("restype"), query.get("comp"):
            case "GET", "service", "properties":
                self._may("service-properties")
                return _xml(blob_listing.service(self.account))
            case "PUT", "service", "properties":
                policy = ET.fromstring(body).find("DeleteRetentionPolicy")  # noqa: S314 - our own tests send it
                if policy is None:
                    raise RefusedError(501, "NotModelled", "service properties other than DeleteRetentionPolicy")
                on = policy.findtext("Enabled") == "true"
                settings.soft_delete_days = int(policy.findtext("Days") or 0) if on else None
                return Answer(status=202, headers={})
            case "GET" | "HEAD", "account", "properties":
                self._may("account-information")
                hierarchical = str(settings.hierarchical).lower()
                kind = {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2"}
                return Answer(status=200, headers={**kind, "x-ms-is-hns-enabled": hierarchical})
            case "GET", None, "list":
                self._may("list-containers")
                return _xml(blob_listing.containers(self.account))
            case "POST", None, "batch":
                return self._batch("", headers, body)
        raise _not_modelled(method, query)

    # ------------------------------------------------------------ a container

    def _container(
        self, method: str, name: str, query: dict[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if query.get("restype") != "container":
            raise _not_modelled(method, query)
        match method, query.get("comp"):
            case "PUT", None:
                if name in self.account.containers:
                    raise RefusedError(409, "ContainerAlreadyExists")
                self.account.containers[name] = Container()
                return Answer(status=201, headers={"etag": '"0x1"', "last-modified": http_date(self.account.now())})
            case "DELETE", None:
                self.account.container(name)
                del self.account.containers[name]
                return Answer(status=202, headers={})
            case "GET" | "HEAD", None:
                self._may("container-properties")
                held = self.account.container(name)
                listed = blob_listing.container_properties(
                    held.immutable_days is not None, held.legal_hold, held.version_level
                )
                return Answer(status=200, headers={_HEADERS[tag]: value for tag, value in listed})
            case "GET", "list":
                include = query.get("include", "").split(",")
                self._may(next((f"list-{kind}" for kind in ("versions", "deleted") if kind in include), "list"))
                return _xml(blob_listing.blobs(self.account, name, query))
            case "POST", "batch":
                return self._batch(name, headers, body)
        raise _not_modelled(method, query)

    # ------------------------------------------------------------ a blob

    def _blob(  # noqa: PLR0917 - the request, in its parts
        self, method: str, container: str, name: str, query: dict[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        condition = _condition(headers)
        if not name.isprintable():
            raise RefusedError(501, "NotModelled", "a blob's name with control characters")
        match method, query.get("comp"):
            case "PUT", None if headers.get("x-ms-blob-type") == "BlockBlob":
                copy = self.account.put(container, name, body, condition=condition)
                version = {"x-ms-version-id": copy.version} if copy.version else {}
                return Answer(
                    status=201, headers={"etag": copy.etag, "last-modified": http_date(copy.modified), **version}
                )
            case "HEAD", None:
                return self._look(container, name, query, condition)
            case "GET", None:
                return self._read_data(container, name, query, headers, condition)
            case "DELETE", None:
                return self._delete(container, name, query, headers, condition)
            case "PUT", "undelete":
                self.account.undelete(container, name)
                return Answer(status=200, headers={})
            case "PUT", "snapshot":
                taken = self.account.snapshot(container, name)
                times = {"etag": taken.etag, "last-modified": http_date(taken.modified)}
                return Answer(status=201, headers={"x-ms-snapshot": taken.snapshot or "", **times})
            case "PUT", "lease" if headers.get("x-ms-lease-action") == "acquire":
                lease = headers.get("x-ms-proposed-lease-id") or str(uuid.uuid4())
                self.account.lease(container, name, lease)
                times = {"etag": '"0x1"', "last-modified": http_date(self.account.now())}
                return Answer(status=201, headers={"x-ms-lease-id": lease, **times})
        raise _not_modelled(method, query)

    def _look(self, container: str, name: str, query: dict[str, str], condition: tuple[str, str] | None) -> Answer:
        if set(query) - {"timeout"} or condition:
            raise RefusedError(501, "NotModelled", "properties of a version or snapshot, or conditional ones")
        base = self.account.blob(container, name).base
        if base is None:
            raise RefusedError(404, "BlobNotFound")
        about = {
            "etag": base.etag,
            "last-modified": http_date(base.modified),
            "x-ms-creation-time": http_date(base.created),
            "x-ms-blob-type": "BlockBlob",
        }
        version = {"x-ms-version-id": base.version, "x-ms-is-current-version": "true"} if base.version else {}
        return Answer(status=200, headers={**about, **version})

    def _read_data(
        self,
        container: str,
        name: str,
        query: dict[str, str],
        headers: Mapping[str, str],
        condition: tuple[str, str] | None,
    ) -> Answer:
        if set(query) - {"timeout", "snapshot", "versionid"} or condition:
            raise RefusedError(501, "NotModelled", "reads with a condition, or with more than a version or snapshot")
        self._may("read-copy" if {"snapshot", "versionid"} & set(query) else "read")
        copy = self.account.read(container, name, version=query.get("versionid"), snapshot=query.get("snapshot"))
        wanted = re.fullmatch(r"bytes=0-(\d+)", headers.get("x-ms-range", f"bytes=0-{len(copy.data)}"))
        if wanted is None or len(copy.data) > int(wanted[1]) + 1:
            raise RefusedError(501, "NotModelled", "a read of a part of a blob")
        about = {"etag": copy.etag, "last-modified": http_date(copy.modified), "x-ms-blob-type": "BlockBlob"}
        if "x-ms-range" not in headers:
            return Answer(status=200, headers=about, body=copy.data)
        if not copy.data:
            raise RefusedError(416, "InvalidRange")
        part = {"content-range": f"bytes 0-{len(copy.data) - 1}/{len(copy.data)}"}
        return Answer(status=206, headers={**about, **part}, body=copy.data)

    def _delete(
        self,
        container: str,
        name: str,
        query: dict[str, str],
        headers: Mapping[str, str],
        condition: tuple[str, str] | None,
    ) -> Answer:
        unknown = set(query) - {"timeout", "versionid", "snapshot", "deletetype"}
        if unknown or query.get("deletetype", "permanent").lower() != "permanent":
            raise RefusedError(501, "NotModelled", f"delete with {', '.join(sorted(query))}")
        permanent = "deletetype" in query
        self._may("permanent-delete" if permanent else "delete-version" if "versionid" in query else "delete")
        moment = query.get("versionid") or query.get("snapshot")
        if moment is None:
            snapshots = headers.get("x-ms-delete-snapshots")
            gone = self.account.delete(container, name, condition=condition, snapshots=snapshots, permanent=permanent)
        else:
            if condition or "x-ms-delete-snapshots" in headers:
                raise RefusedError(501, "NotModelled", "conditions on a version's or snapshot's delete")
            which = "version" if "versionid" in query else "snapshot"
            gone = self.account.delete_copy(container, name, which=which, moment=moment, permanent=permanent)
        return Answer(status=202, headers={"x-ms-delete-type-permanent": str(gone).lower()})

    # ------------------------------------------------------------ batches

    def _batch(self, within: str, headers: Mapping[str, str], body: bytes) -> Answer:
        boundary = re.fullmatch(r"multipart/mixed; boundary=(\S+)", headers.get("content-type", ""))
        if boundary is None:
            raise RefusedError(400, "InvalidInput", "a batch needs multipart/mixed and its boundary")
        parts = body.split(b"--" + boundary[1].encode())[1:-1]
        if not 1 <= len(parts) <= BATCH_MOST:
            raise RefusedError(400, "InvalidInput", f"a batch has 1 to {BATCH_MOST} requests")
        mark = f"batchresponse_{uuid.uuid4()}"
        answers = [self._part(within, part.decode(), number) for number, part in enumerate(parts)]
        text = b"".join(f"--{mark}\r\n".encode() + answer for answer in answers) + f"--{mark}--\r\n".encode()
        return Answer(status=202, headers={"content-type": f"multipart/mixed; boundary={mark}"}, body=text)

    def _part(self, within: str, part: str, number: int) -> bytes:
        _, _, inner = part.strip().partition("\r\n\r\n")
        first, *lines = inner.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        try:
            answer = self._part_answer(within, method, target, headers)
        except RefusedError as error:
            answer = _refusal(error)
        said = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        head = f"Content-Type: application/http\r\nContent-ID: {number}\r\n\r\nHTTP/1.1 {answer.status} Said\r\n"
        return f"{head}{said}\r\n".encode() + answer.body + b"\r\n"

    def _part_answer(self, within: str, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        _, container, blob, query = self._read(target)
        if method != "DELETE" or not blob or (within and container != within):
            raise RefusedError(501, "NotModelled", "a batch deletes blobs, of its container")
        if set(query) - {"timeout"}:
            raise RefusedError(400, "InvalidInput", "a batch deletes no versions, and nothing for good")
        return self._delete(container, blob, query, headers, _condition(headers))


_HEADERS = {
    "Last-Modified": "last-modified",
    "Etag": "etag",
    "HasImmutabilityPolicy": "x-ms-has-immutability-policy",
    "HasLegalHold": "x-ms-has-legal-hold",
    "ImmutableStorageWithVersioningEnabled": "x-ms-immutable-storage-with-versioning-enabled",
}


def _condition(headers: Mapping[str, str]) -> tuple[str, str] | None:
    given = [(name, headers[name]) for name in _CONDITIONS if name in headers]
    if len(given) > 1:
        raise RefusedError(501, "NotModelled", "several conditions at once")
    return given[0] if given else None


def _xml(body: bytes) -> Answer:
    return Answer(status=200, headers={"content-type": "application/xml"}, body=body)


def _refusal(error: RefusedError) -> Answer:
    root = ET.Element("Error")
    ET.SubElement(root, "Code").text = error.code
    ET.SubElement(root, "Message").text = error.text
    headers = {"x-ms-error-code": error.code, "content-type": "application/xml"}
    return Answer(status=error.status, headers=headers, body=ET.tostring(root))


def _not_modelled(method: str, query: Mapping[str, str]) -> RefusedError:
    return RefusedError(501, "NotModelled", f"{method} with {dict(query)}: this stand-in does not model it")
