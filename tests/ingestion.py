"""A stand-in for Application Insights' ingestion: keeps what the vendor's exporter sends, and refuses all else loudly.

Modelled: `POST /v2.1/track` with a JSON array of envelopes, gzipped or not, answered as all accepted; an identity
endpoint of the platform, which gives a token. `strange` has whatever else was asked.
https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete
"""

import gzip
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "made-up-token"


class Ingestion:
    """What arrived: `envelopes`, the `authorization` of each request, and the queries for a token."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.port = server.server_port
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.envelopes: list[dict[str, Any]] = []
        self.authorization: list[str | None] = []
        self.tokens: list[dict[str, list[str]]] = []
        self.strange: list[str] = []

    @property
    def settings(self) -> dict[str, str]:
        """What an app needs to send here."""
        key = "00000000-0000-0000-0000-000000000001"
        text = f"InstrumentationKey={key};IngestionEndpoint={self.url}/;LiveEndpoint={self.url}/"
        return {"APPLICATIONINSIGHTS_CONNECTION_STRING": text, "PYTHON_ENABLE_OPENTELEMETRY": "true"}

    @property
    def kinds(self) -> set[str]:
        return {each["data"]["baseType"] for each in self.envelopes}

    def values(self, metric: str) -> list[tuple[dict[str, str], float]]:
        """The values of a metric, with their attributes."""
        data = [each["data"]["baseData"] for each in self.envelopes if each["data"]["baseType"] == "MetricData"]
        return [
            (each["properties"], point["value"])
            for each in data
            for point in each["metrics"]
            if point["name"] == metric
        ]

    @property
    def messages(self) -> list[str]:
        return [e["data"]["baseData"]["message"] for e in self.envelopes if e["data"]["baseType"] == "MessageData"]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        here: Ingestion = self.server.here  # type: ignore[attr-defined]
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v2.1/track":
            here.strange.append(f"POST {self.path}")
            self._answer(501, {})
            return
        found = json.loads(gzip.decompress(data) if self.headers.get("content-encoding") == "gzip" else data)
        here.authorization.append(self.headers.get("authorization"))
        here.envelopes += found
        self._answer(200, {"itemsReceived": len(found), "itemsAccepted": len(found), "errors": []})

    def do_GET(self) -> None:
        here: Ingestion = self.server.here  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        if parts.path != "/msi/token":
            here.strange.append(f"GET {self.path}")
            self._answer(501, {})
            return
        here.tokens.append(parse_qs(parts.query))
        self._answer(200, {"access_token": TOKEN, "expires_on": "4102444800", "token_type": "Bearer", "resource": "x"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing: a test shows what it asks for."""


@contextmanager
def ingestion(*, certificate: str = "") -> Iterator[Ingestion]:
    """The stand-in on a free port; over TLS with a `certificate` file that holds the key too."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    here = server.here = Ingestion(server, "https" if certificate else "http")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
