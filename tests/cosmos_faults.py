"""Have the local Cosmos DB server at a URL answer badly, or well again: see local/cosmos/levers.py."""

import json
import urllib.request
from types import MappingProxyType
from typing import Any

BATCHES = MappingProxyType({"method": "POST", "path_contains": "/docs"})
"""The requests by which the product deletes: batches, of several items of a partition or of one."""


def fault(url: str, /, **order: Any) -> None:
    """Order a fault of answers to come."""
    _ask(url, "POST", json.dumps(order).encode())


def heal(url: str) -> None:
    """Forget the faults."""
    _ask(url, "DELETE")


def _ask(url: str, method: str, body: bytes | None = None) -> None:
    request = urllib.request.Request(f"{url}_local/faults", body, method=method)
    urllib.request.urlopen(request, timeout=10).close()
