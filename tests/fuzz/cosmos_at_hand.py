"""The local Cosmos DB server without its network: each request goes straight to the application, signed as the SDK signs.

An exception that the application lets out is the caller's to see: on the wire it would be a 500 without a word.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local.cosmos import EMULATOR_KEY
from local.cosmos.catalog import decode_rid
from local.cosmos.errors import RefusedError
from local.cosmos.server import Application
from local.cosmos.storage import Storage

DATE = "thu, 01 jan 2026 00:00:00 gmt"
DATABASE, CONTAINER = "/dbs/d", "/dbs/d/colls/c"
DOCS = f"{CONTAINER}/docs"
HOME = {"x-ms-documentdb-partitionkey": '["h"]'}
BATCH = {"x-ms-cosmos-is-batch-request": "True", "x-ms-cosmos-batch-atomic": "True"}
QUERY = {"x-ms-documentdb-isquery": "True"}
EVERYWHERE = {"x-ms-documentdb-query-enablecrosspartition": "True"}


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer; `seconds` is the CPU time that it took."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    seconds: float

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class CosmosAtHand:
    """An application on a file of its own, with one database `d` and one container `c`, partition key `/h`."""

    def __init__(self, folder: Path) -> None:
        self.storage = Storage(folder / "cosmos.sqlite")
        self._application = Application(self.storage, 2)
        self._loop = asyncio.new_event_loop()
        self.ask("POST", "/dbs", {"id": "d"})
        self.new_container("c")

    def close(self) -> None:
        self._loop.close()
        self.storage.close()

    def new_container(self, name: str, **more: Any) -> Said:
        key = {"paths": ["/h"], "kind": "Hash", "version": 2}
        return self.ask("POST", f"{DATABASE}/colls", {"id": name, "partitionKey": key, **more})

    def query(self, text: str, values: Mapping[str, Any] | None = None, **headers: str) -> Said:
        """A query of partition `h`, unless the headers say otherwise."""
        parameters = [{"name": name, "value": value} for name, value in (values or {}).items()]
        named = {name.replace("_", "-"): value for name, value in headers.items()} or HOME
        return self.ask("POST", DOCS, {"query": text, "parameters": parameters}, {**QUERY, **named})

    def ask(self, method: str, path: str, body: object = b"", headers: Mapping[str, str] | None = None) -> Said:
        """One signed request; `body` is bytes, or a value to send as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send(method, path, [raw], {**signed(method, path), **(headers or {})}.items())

    def send(self, method: str, path: str, body: Iterable[bytes], headers: Iterable[tuple[str, str]]) -> Said:
        """One request as it is given, its body in parts."""
        parts, sent = list(body) or [b""], []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": method, "path": path, "raw_path": quote(path).encode(), "query_string": b"",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "scheme": "http", "root_path": "",
        }  # fmt: skip
        begun = time.process_time()
        self._loop.run_until_complete(self._application(scope, receive, send))
        start, *rest = sent
        return Said(
            status=int(start["status"]),
            headers={name.decode(): value.decode("latin-1") for name, value in start["headers"]},
            raw=b"".join(part.get("body", b"") for part in rest),
            seconds=time.process_time() - begun,
        )


def signed(method: str, path: str) -> dict[str, str]:
    """The headers that every request has."""
    parts = [part for part in path.split("/") if part]
    is_feed = len(parts) % 2 == 1
    kind = parts[-1] if is_feed else "".join(parts[-2:-1])
    owner = parts[:-1] if is_feed else parts
    link = "".join(owner[-1:]).lower() if len(parts) > 1 and _is_rid(parts[1]) else "/".join(owner)
    text = f"{method.lower()}\n{kind.lower()}\n{link}\n{DATE}\n\n"
    digest = hmac.digest(base64.b64decode(EMULATOR_KEY), text.encode("utf-8", "replace"), hashlib.sha256)
    token = f"type=master&ver=1.0&sig={base64.b64encode(digest).decode()}"
    return {"host": "127.0.0.1:1", "x-ms-date": DATE, "authorization": quote(token, safe="")}


def _is_rid(name: str) -> bool:
    try:
        return decode_rid(name) == (1).to_bytes(4, "big")
    except RefusedError:
        return False
