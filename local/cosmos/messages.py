"""A request and a reply of the REST protocol, and what the headers of a request mean.

https://learn.microsoft.com/rest/api/cosmos-db/common-cosmosdb-rest-request-headers. A header that is not read here only
tunes the real service (throughput, metrics, consistency, priority) and has no effect.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from local.cosmos.catalog import Container
from local.cosmos.errors import PARTITION_KEY_RANGE_GONE, NotModelledError, RefusedError, bad_request
from local.cosmos.items import MAX_ITEM_BYTES, Conditions
from local.cosmos.partitioning import HashRange, PartitionKey, partition_key_of_header
from local.cosmos.values import Json, parse_json

_PAGE_SIZE = re.compile(r"-1|[1-9][0-9]{0,8}")
_BOUND = re.compile(r"[0-9A-F]*")
_REFUSED_HEADERS = {
    "a-im": "the change feed",
    "x-ms-documentdb-pre-trigger-include": "triggers",
    "x-ms-documentdb-post-trigger-include": "triggers",
    "x-ms-indexing-directive": "indexing directives",
}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is sent back: `body` is JSON, or empty."""

    status: int = HTTPStatus.OK
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request.

    :param segments: the decoded path, split at slashes, without empty ones.
    :param headers: with lower-case names.
    :param body: all of it, or more of it than `json` takes.
    :param endpoint: the server's own address as the client wrote it.
    """

    method: str
    segments: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes
    endpoint: str

    def flag(self, name: str) -> bool:
        """Whether a header says true."""
        return self.headers.get(name, "").lower() == "true"

    def json(self) -> Json:
        """The body.

        :raises RefusedError: 400, 413, 501.
        """
        if len(self.body) > MAX_ITEM_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request must not exceed 2 MB")
        return parse_json(self.body)

    @property
    def is_minimal(self) -> bool:
        """Whether a write is to be answered without the item."""
        return self.headers.get("prefer", "").lower() == "return=minimal"

    @property
    def conditions(self) -> Conditions:
        """The preconditions."""
        return Conditions(
            if_match=self.headers.get("if-match"),
            if_none_match=self.headers.get("if-none-match"),
        )

    def refuse_headers(self) -> None:
        """Refuse headers that change what an operation does in a way that is not modelled.

        :raises NotModelledError: for the first of them.
        """
        for name, what in _REFUSED_HEADERS.items():
            if name in self.headers:
                raise NotModelledError(what)

    def partition_key(self) -> PartitionKey:
        """The partition key that the operation names.

        :raises RefusedError: 400 without one.
        """
        header = self.headers.get("x-ms-documentdb-partitionkey")
        if header is None:
            raise bad_request("the partition key must be supplied for this operation")
        return partition_key_of_header(header)

    def scope(self, container: Container) -> PartitionKey | HashRange | None:
        """What a query covers: one partition key, one range, or everything.

        :raises RefusedError: 410 with sub-status 1002 for a range that does not exist, 501.
        """
        range_id = self.headers.get("x-ms-documentdb-partitionkeyrangeid")
        first, end = self.headers.get("x-ms-start-epk"), self.headers.get("x-ms-end-epk")
        if "x-ms-documentdb-partitionkey" in self.headers:
            if range_id is not None or first is not None or end is not None:
                what = "a query limited to both a partition key and a range"
                raise NotModelledError(what)
            return self.partition_key()
        if range_id is None:
            if first is not None or end is not None:
                what = "a range without the id of its partition key range"
                raise NotModelledError(what)
            return None
        by_id = {str(index): entry for index, entry in enumerate(container.ranges)}
        if range_id not in by_id:
            message = "the partition key range does not exist"
            raise RefusedError(HTTPStatus.GONE, message, substatus=PARTITION_KEY_RANGE_GONE)
        if not _BOUND.fullmatch(first or "") or not _BOUND.fullmatch(end or ""):
            raise bad_request("the bounds of a range must be effective partition keys, in upper-case hexadecimal")
        whole = by_id[range_id]
        return HashRange(first=max(whole.first, first or ""), end=min(whole.end, end or "FF"))

    def page_size(self) -> int | None:
        """``x-ms-max-item-count``: -1 for the server's largest page, None when not given.

        :raises RefusedError: 400.
        """
        header = self.headers.get("x-ms-max-item-count")
        if header is None:
            return None
        if not _PAGE_SIZE.fullmatch(header):
            raise bad_request("x-ms-max-item-count must be -1 or a positive number of at most nine digits")
        return int(header)

    def query(self) -> tuple[str, dict[str, Json]]:
        """Text and parameters of a query.

        :raises RefusedError: 400.
        """
        body = self.json()
        parameters = body.get("parameters") or [] if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(body.get("query"), str) or not isinstance(parameters, list):
            raise bad_request("the body of a query must be a JSON object with query and parameters")
        if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in parameters):
            raise bad_request("a parameter of a query must have a name and a value")
        return body["query"], {entry["name"]: entry.get("value") for entry in parameters}
