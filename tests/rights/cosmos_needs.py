"""What a request to Cosmos DB needs, by the vendor's list of data actions as of 2025-04-09.

https://learn.microsoft.com/azure/cosmos-db/reference-data-plane-security. A query needs executeQuery and readChangeFeed
both: the page says so of queries by an SDK. Not said there: what a patch needs, which is taken for a replace, and what
a transactional batch needs, which is taken for what its operations need. Nobody has tried either. Management
(databases, containers) is no data action at all: it is refused to everybody.
"""

import json
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from rights.model import Need, Place, UnmappedError

_ACCOUNT = "Microsoft.DocumentDB/databaseAccounts"
_CONTAINER = f"{_ACCOUNT}/sqlDatabases/containers"
_META = f"{_ACCOUNT}/readMetadata"
MANAGEMENT = "management, which no role of the data plane allows"
_QUERY = (f"{_CONTAINER}/executeQuery", f"{_CONTAINER}/readChangeFeed")
_ITEM = {
    "GET": "read", "PUT": "replace", "PATCH": "replace", "DELETE": "delete",
    "Create": "create", "Upsert": "upsert", "Read": "read", "Replace": "replace", "Patch": "replace", "Delete": "delete",
}  # fmt: skip


def cosmos_needs(who: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> list[Need]:
    """The needs of one request; header names are lower case. Raises UnmappedError."""
    segments = [unquote(part) for part in urlsplit(target).path.split("/") if part]
    place: Place = ("cosmos", segments[3]) if len(segments) > 3 else ("cosmos",)
    return [Need(who=who, actions=(action,), place=place) for action in _actions(method, segments, headers, body)]


def _actions(method: str, segments: list[str], headers: Mapping[str, str], body: bytes) -> list[str]:
    match method, segments:
        case "GET", [] | ["dbs", _] | ["dbs", _, "colls", _] | ["dbs", _, "colls", _, "pkranges"]:
            return [_META]
        case "POST", ["dbs", _, "colls", _, "docs"]:
            return _posted(headers, body)
        case "GET" | "PUT" | "PATCH" | "DELETE", ["dbs", _, "colls", _, "docs", _]:
            return [f"{_CONTAINER}/items/{_ITEM[method]}"]
        case "POST" | "PUT" | "DELETE", ["dbs", *_] if "docs" not in segments:
            return [MANAGEMENT]
    raise UnmappedError(f"{method} of {len(segments)} segments at Cosmos DB")


def _posted(headers: Mapping[str, str], body: bytes) -> list[str]:
    said = {name for name, value in headers.items() if value.lower() == "true"}
    if "x-ms-documentdb-isquery" in said or "x-ms-cosmos-is-query-plan-request" in said:
        return list(_QUERY)
    if "x-ms-cosmos-is-batch-request" in said:
        kinds = {str(each["operationType"]) for each in json.loads(body)}
        return [f"{_CONTAINER}/items/{_ITEM[kind]}" for kind in sorted(kinds)]
    return [f"{_CONTAINER}/items/{'upsert' if 'x-ms-documentdb-is-upsert' in said else 'create'}"]
