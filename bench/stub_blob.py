"""A Blob service that answers at once, to see the client's own ceiling: `python -m bench.stub_blob`.

Modelled is what a sweep asks of Blob storage: List Blobs, Blob Batch of deletes, and what the product's own containers
need (put, get, replace, delete, properties). Anything else is refused with 501 and what it does not model. It takes any
account and any credential, checks no signature, and keeps nothing: Azurite is there for what is right, this for what is
fast. One process, one thread, loopback alone.

`/_stub/counts` tells how many requests of each kind came (DELETE forgets them), `/_stub/fill` takes JSON
(`expired`, `kept`, `homes`, `an_hour`), `/_stub/latency` takes `{"ms": 20}`. The first line on standard output is its
port.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from bench.stub_blob_store import (
    VERSION,
    Blob,
    Container,
    RefusedError,
    batch,
    error_body,
    fill,
    http_date,
    listing,
    new_etag,
    not_modelled,
)

HOST = "127.0.0.1"
FILLED = ("retentiondata", "camera-snapshots")
_CONDITIONS = {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "x-ms-if-tags"}
_REFUSED = {
    "x-ms-lease-id", "x-ms-tags", "x-ms-copy-source", "x-ms-structured-body", "x-ms-blob-content-encoding", "range",
    "transfer-encoding", "expect",
}  # fmt: skip


class Answer:
    """An answer before it is on the wire."""

    __slots__ = ("body", "headers", "length", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"", *, length: int | None = None
    ) -> None:
        self.status = status
        self.headers = headers or {}
        self.body = body
        self.length = len(body) if length is None else length

    def wire(self, client_id: str) -> bytes:
        """The bytes, with what every answer has."""
        said = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        echo = f"x-ms-client-request-id: {client_id}\r\n" if client_id else ""
        head = (
            f"HTTP/1.1 {self.status} Said\r\nContent-Length: {self.length}\r\nServer: stub\r\n{said}{echo}"
            f"x-ms-request-id: {new_etag()}\r\nx-ms-version: {VERSION}\r\nDate: {http_date(time.time())}\r\n\r\n"
        )
        return head.encode() + self.body


class Stub:
    """The accounts, the counts, the latency in seconds."""

    def __init__(self) -> None:
        self.containers: dict[tuple[str, str], Container] = {}
        self.counts: Counter[str] = Counter()
        self.latency = 0.0

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request."""
        path, _, query = target.partition("?")
        try:
            if path.startswith("/_stub/"):
                return self._own(method, path.removeprefix("/_stub/"), body)
            return self._served(method, path, dict(parse_qsl(query, keep_blank_values=True)), headers, body)
        except RefusedError as error:
            self.counts[f"refused {error.code}"] += 1
            told = {"x-ms-error-code": error.code, "Content-Type": "application/xml"}
            refusal = error_body(error.code, str(error)).encode()
            return Answer(error.status, told, b"" if method == "HEAD" else refusal)

    def _served(self, method: str, path: str, query: dict[str, str], headers: Mapping[str, str], body: bytes) -> Answer:
        account, _, inner = path.lstrip("/").partition("/")
        name, _, blob = inner.partition("/")
        if _REFUSED & set(headers):
            raise not_modelled(f"the headers {sorted(_REFUSED & set(headers))}")
        if "authorization" not in headers and "sig" not in query:
            raise RefusedError(403, "AuthenticationFailed", "no authorization")
        if blob:
            return self._blob(method, self._container(account, name), unquote(blob), query, headers, body)
        if name:
            return self._of_container(method, account, name, query, headers, body)
        raise not_modelled(f"{method} on an account with {sorted(query)}")

    def _own(self, method: str, what: str, body: bytes) -> Answer:
        match method, what:
            case "GET", "counts":
                return Answer(200, {"Content-Type": "application/json"}, json.dumps(self.counts).encode())
            case "DELETE", "counts":
                self.counts.clear()
            case "POST", "fill":
                fill(self.containers.setdefault(FILLED, Container()), **json.loads(body))
            case "POST", "latency":
                self.latency = json.loads(body)["ms"] / 1000
            case _:
                raise not_modelled(f"{method} {what}")
        return Answer(204)

    def _container(self, account: str, name: str) -> Container:
        try:
            return self.containers[account, name]
        except KeyError:
            raise RefusedError(404, "ContainerNotFound") from None

    def _of_container(  # noqa: PLR0917 - the request, in its parts
        self, method: str, account: str, name: str, query: dict[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if query.get("restype") != "container":
            raise not_modelled(f"{method} on a container with {sorted(query)}")
        match method, query.get("comp"):
            case "PUT", None:
                self.counts["create container"] += 1
                if (account, name) in self.containers:
                    raise RefusedError(409, "ContainerAlreadyExists")
                self.containers[account, name] = Container()
                return Answer(201, {"ETag": f'"{new_etag()}"', "Last-Modified": http_date(time.time())})
            case "GET" | "HEAD", None:
                self.counts["container properties"] += 1
                self._container(account, name)
                return Answer(200, {"ETag": '"0x1"', "Last-Modified": http_date(0)})
            case "GET", "list":
                self.counts["list"] += 1
                where = f'ServiceEndpoint="http://{headers["host"]}/{account}" ContainerName="{name}"'
                return Answer(
                    200,
                    {"Content-Type": "application/xml"},
                    listing(self._container(account, name), where, query),
                )
            case "POST", "batch":
                self.counts["batch"] += 1
                kind = headers.get("content-type", "")
                said, text, parts = batch(self._container(account, name), f"/{account}/{name}/", kind, body)
                self.counts["deletes in batches"] += parts
                return Answer(202, {"Content-Type": said}, text)
        raise not_modelled(f"{method} on a container with {sorted(query)}")

    def _blob(  # noqa: PLR0917 - the request, in its parts
        self,
        method: str,
        container: Container,
        name: str,
        query: dict[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        if set(query) - {"timeout", "sv", "sig", "se", "sp", "sr", "ss", "srt", "spr", "st"}:
            raise not_modelled(f"{method} of a blob with {sorted(query)}")
        held = container.blobs.get(name)
        _check(held, headers, missing_first=method != "PUT")
        match method:
            case "PUT" if headers.get("x-ms-blob-type") == "BlockBlob":
                self.counts["put"] += 1
                return _put(container, name, held, headers, body)
            case "GET":
                self.counts["get"] += 1
                return _get(held, headers)
            case "HEAD":
                self.counts["blob properties"] += 1
                return Answer(200, _about(held), length=len(held.data) if held else 0)
            case "DELETE":
                self.counts["delete"] += 1
                container.remove(name)
                return Answer(202, {"x-ms-delete-type-permanent": "true"})
        raise not_modelled(f"{method} of a blob of type {headers.get('x-ms-blob-type')}")


def _check(held: Blob | None, headers: Mapping[str, str], *, missing_first: bool) -> None:
    """Raise RefusedError where the blob is not there, or is not as the condition says."""
    given = _CONDITIONS & set(headers)
    if given - {"if-match", "if-none-match"} or len(given) > 1:
        raise not_modelled(f"the conditions {sorted(given)}")
    if missing_first and held is None:
        raise RefusedError(404, "BlobNotFound")
    wanted = headers.get("if-match")
    if wanted is not None and (held is None or wanted not in {"*", f'"{held.etag}"'}):
        raise RefusedError(412, "ConditionNotMet")
    if "if-none-match" in headers:
        if headers["if-none-match"] != "*" or missing_first:
            raise not_modelled("If-None-Match other than * on a write")
        if held is not None:
            raise RefusedError(409, "BlobAlreadyExists")


def _put(container: Container, name: str, held: Blob | None, headers: Mapping[str, str], body: bytes) -> Answer:
    now = time.time()
    metadata = {k.removeprefix("x-ms-meta-"): v for k, v in headers.items() if k.startswith("x-ms-meta-")}
    kind = headers.get("x-ms-blob-content-type", "application/octet-stream")
    blob = Blob(new_etag(), held.created if held else now, now, body, metadata, kind)
    container.put(name, blob)
    return Answer(201, {"ETag": f'"{blob.etag}"', "Last-Modified": http_date(now)})


def _get(held: Blob | None, headers: Mapping[str, str]) -> Answer:
    data = held.data if held else b""
    wanted = headers.get("x-ms-range")
    if wanted is None:
        return Answer(200, _about(held), data)
    start, _, end = wanted.removeprefix("bytes=").partition("-")
    if int(start) >= len(data):
        raise RefusedError(416, "InvalidRange")
    part = data[int(start) : int(end) + 1]
    span = f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}"
    return Answer(206, {**_about(held), "Content-Range": span}, part)


def _about(held: Blob | None) -> dict[str, str]:
    if held is None:
        return {}
    return {
        "ETag": f'"{held.etag}"',
        "Last-Modified": http_date(held.modified),
        "x-ms-creation-time": http_date(held.created),
        "x-ms-blob-type": "BlockBlob",
        "Content-Type": held.content_type,
        **{f"x-ms-meta-{key}": value for key, value in held.metadata.items()},
    }


class Connection(asyncio.Protocol):
    """One connection: requests with a Content-Length, one after the other."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._got = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._got[:end].decode("latin-1").split("\r\n")
            headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._got) < whole:
                return
            body = bytes(self._got[end + 4 : whole])
            del self._got[:whole]
            method, target, _ = first.split(" ")
            said = self._stub.answer(method, target, headers, body).wire(headers.get("x-ms-client-request-id", ""))
            if self._stub.latency and not target.startswith("/_stub/"):
                asyncio.get_running_loop().call_later(self._stub.latency, self._write, said)
            else:
                self._write(said)

    def _write(self, said: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(said)


async def serve(stub: Stub) -> None:
    """Serve on a free port until the process ends."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(stub), HOST, 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Stub()))
