"""`python -m docs.counting`: count what the pipeline asks of the services, by doing it against the local servers.

Every request that the vendor's clients send is counted as it leaves, by what its price goes by, and every message that
is sent. The work itself is the product's own, over real sockets: nothing is estimated here. It prints a table and writes
docs/counts.json, which docs/cost.py reckons with. What the local servers cannot tell (request units, seconds on Azure)
is not in it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from azure.cosmos.aio import ContainerProxy

from local.prepare import prepare
from local.servers import Ports, Stack
from shared import messages
from shared.config import Config
from shared.ledger.log import append, logs, years
from shared.ledger.publish import publish
from shared.ledger.seal import seal
from shared.liveness import TIMERS
from shared.model import utc_text
from shared.plan import swept_rules
from shared.stores.interface import Queue
from shared.wiring import Product, utc_now

COUNTS = Path(__file__).parent / "counts.json"
FEW, MANY = 2_000, 6_000
"""What is deleted in two measurements, so that what a run costs and what a record costs can be told apart."""

HOMES = 50
_REQUEST = re.compile(r"Request URL: '(?P<url>.*)'\nRequest method: '(?P<method>[A-Z]+)'")
_ACCOUNT = {"retentiondata": "data", "retentionbackup": "backup", "retentionstate": "state", "retentionledger": "ledger"}


class Requests(logging.Handler):
    """Counts the requests of the storage clients, by account and by the class that Azure charges them as."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one logged request; answers are logged too, and are passed over."""
        found = _REQUEST.match(record.getMessage())
        if found:
            self.counts[charged_as(found["method"], found["url"])] += 1


def charged_as(method: str, url: str) -> str:
    """The kind of a storage request, as Azure prices it: learn.microsoft.com, "Map each REST operation to a price"."""
    parts = urlsplit(url)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    match method, query.get("comp", ""), query.get("restype", ""):
        case "GET", "list", _:
            return "list"
        case "GET", "", "":
            return "read"
        case "PUT", _, "":
            return "write"
        case "DELETE", _, _:
            return "delete"
        case "POST", "batch", _:
            return "batch"
        case _:
            return "other"


class CountedQueue:
    """A queue or the topic, of which each message that is sent is counted."""

    def __init__(self, inner: Any, name: str, counts: Counter[str]) -> None:
        self._inner, self._name, self._counts = inner, name, counts

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        """Count it, and send it."""
        self._counts[f"message {self._name}"] += 1
        await self._inner.send(body, message_id=message_id, session_id=session_id)

    async def close(self) -> None:
        """Close the sender."""
        await self._inner.close()
