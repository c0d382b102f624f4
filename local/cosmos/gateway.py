"""From a request to the operation that it asks for, told apart by method, path and headers.

https://learn.microsoft.com/rest/api/cosmos-db/. Refuses with 501 every resource and method that is not named here.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from local.cosmos.batch import run_batch
from local.cosmos.catalog import Catalog, Container
from local.cosmos.clock import Clock
from local.cosmos.errors import (
    COLLECTION_RID_MISMATCH,
    CROSS_PARTITION_QUERY_NOT_SERVABLE,
    NotModelledError,
    bad_request,
)
from local.cosmos.items import Answer, Items
from local.cosmos.lexer import needs_query_plan
from local.cosmos.messages import Call, Reply
from local.cosmos.partitioning import PartitionKey
from local.cosmos.query import Request, run_query
from local.cosmos.storage import Storage
from local.cosmos.values import Json, to_json

_READ_FEED = "SELECT * FROM c"


class Gateway:
    """Carries requests out.

    :param storage: the data.
    :param clock: the server's clock.
    :param range_count: partition key ranges of a new container.
    """

    def __init__(self, storage: Storage, clock: Clock, range_count: int) -> None:
        self._storage = storage
        self._clock = clock
        self._catalog = Catalog(storage, clock, range_count)
        self._items = Items(storage, clock)

    def names_rid(self, segments: tuple[str, ...]) -> bool:
        """Whether a path addresses by ``_rid``: its database is one that exists under that ``_rid``."""
        return len(segments) > 1 and any(segments[1] == database.rid for database in self._catalog.databases())

    def handle(self, call: Call) -> Reply:
        """Carry out a request.

        :raises RefusedError: when it is not carried out.
        """
        match call.method, call.segments:
            case "GET", ():
                return _json(_account(call.endpoint))
            case method, ("dbs", *rest) if not call.flag("x-ms-documentdb-isquery"):
                match method, rest:
                    case "GET", []:
                        return _feed("", "Databases", [entry.to_dict() for entry in self._catalog.databases()])
                    case "POST", []:
                        return _json(self._catalog.create_database(call.json()).to_dict(), HTTPStatus.CREATED)
                    case "GET", [name]:
                        return _json(self._catalog.database(name).to_dict())
                    case "DELETE", [name]:
                        self._catalog.delete_database(self._catalog.database(name))
                        return Reply(status=HTTPStatus.NO_CONTENT)
                    case _, [name, "colls", *below]:
                        return self._containers(call, name, below)
            case "POST", ("dbs", database, "colls", container, "docs"):
                return self._docs(call, self._container(call, database, container))
        raise _unknown(call)

    def _containers(self, call: Call, database_name: str, below: list[str]) -> Reply:
        database = self._catalog.database(database_name)
        match call.method, below:
            case "GET", []:
                containers = [entry.to_dict() for entry in self._catalog.containers(database)]
                return _feed(database.rid, "DocumentCollections", containers)
            case "POST", []:
                return _json(self._catalog.create_container(database, call.json()).to_dict(), HTTPStatus.CREATED)
            case "GET", [name]:
                return _json(self._container(call, database_name, name).to_dict())
            case "PUT", [name]:
                container = self._container(call, database_name, name)
                return _json(self._catalog.replace_container(container, call.json()).to_dict())
            case "DELETE", [name]:
                self._catalog.delete_container(self._container(call, database_name, name))
                return Reply(status=HTTPStatus.NO_CONTENT)
            case "GET", [name, "pkranges"]:
                return _partition_key_ranges(call, self._container(call, database_name, name))
            case "GET" | "POST", [name, "docs"]:
                return self._docs(call, self._container(call, database_name, name))
            case _, [name, "docs", item]:
                return self._item(call, self._container(call, database_name, name), item)
        raise _unknown(call)

    def _container(self, call: Call, database: str, name: str) -> Container:
        container = self._catalog.container(self._catalog.database(database), name)
        intended = call.headers.get("x-ms-cosmos-intended-collection-rid")
        if intended is not None and intended != container.rid:
            message = "the container was deleted and created again"
            raise bad_request(message, substatus=COLLECTION_RID_MISMATCH)
        return container

    def _docs(self, call: Call, container: Container) -> Reply:
        call.refuse_headers()
        if call.flag("x-ms-cosmos-is-query-plan-request"):
            what = "query plans (sorting, aggregates, DISTINCT, TOP, OFFSET or GROUP BY across partitions)"
            raise NotModelledError(what)
        if call.method == "GET":
            return self._query(call, container, _READ_FEED, {})
        if call.flag("x-ms-documentdb-isquery"):
            return self._query(call, container, *call.query())
        key = call.partition_key()
        if call.flag("x-ms-cosmos-is-batch-request"):
            return self._batch(call, container, key)
        write = self._items.upsert if call.flag("x-ms-documentdb-is-upsert") else self._items.create
        with self._storage.transaction():
            return _item_reply(call, write(container, key, call.json(), call.conditions))

    def _batch(self, call: Call, container: Container, key: PartitionKey) -> Reply:
        if not call.flag("x-ms-cosmos-batch-atomic") or call.flag("x-ms-cosmos-batch-continue-on-error"):
            what = "a batch that is not atomic"
            raise NotModelledError(what)
        answer = run_batch(
            storage=self._storage,
            items=self._items,
            container=container,
            key=key,
            body=call.json(),
            minimal=call.is_minimal,
        )
        return Reply(status=answer.status, body=to_json(answer.results))

    def _item(self, call: Call, container: Container, name: str) -> Reply:
        call.refuse_headers()
        key, conditions = call.partition_key(), call.conditions
        item = self._items.id_of(container, name) if self.names_rid(call.segments) else name
        operations: dict[str, Callable[[], Answer]] = {
            "GET": lambda: self._items.read(container, key, item, conditions),
            "PUT": lambda: self._items.replace(container, key, item, call.json(), conditions),
            "PATCH": lambda: self._items.patch(container, key, item, call.json(), conditions),
            "DELETE": lambda: self._items.delete(container, key, item, conditions),
        }
        if call.method not in operations:
            raise _unknown(call)
        with self._storage.transaction():
            return _item_reply(call, operations[call.method]())

    def _query(self, call: Call, container: Container, text: str, parameters: dict[str, Json]) -> Reply:
        scope = call.scope(container)
        if scope is None:
            if call.method == "POST" and not call.flag("x-ms-documentdb-query-enablecrosspartition"):
                raise bad_request("a query across partitions must be enabled by its header")
            if needs_query_plan(text):
                message = "the gateway cannot serve this query across partitions"
                raise bad_request(message, substatus=CROSS_PARTITION_QUERY_NOT_SERVABLE)
        request = Request(
            container=container,
            scope=scope,
            text=text,
            parameters=parameters,
            page_size=call.page_size(),
            continuation=call.headers.get("x-ms-continuation") or None,
            now=self._clock.now(),
        )
        page = run_query(self._storage, request)
        headers = {"x-ms-item-count": str(len(page.documents))}
        if page.continuation is not None:
            headers["x-ms-continuation"] = page.continuation
        # The items are JSON already: they are not parsed to be written again.
        documents = ",".join(page.documents)
        body = f'{{"_rid":"{container.rid}","Documents":[{documents}],"_count":{len(page.documents)}}}'
        return Reply(body=body, headers=headers)


def _account(endpoint: str) -> dict[str, Any]:
    location = [{"name": "Local", "databaseAccountEndpoint": endpoint}]
    replication = {"asyncReplication": False, "minReplicaSetSize": 1, "maxReplicasetSize": 1}
    return {
        "_self": "",
        "id": "local",
        "_rid": "local",
        "media": "//media/",
        "addresses": "//addresses/",
        "_dbs": "//dbs/",
        "writableLocations": location,
        "readableLocations": location,
        "enableMultipleWriteLocations": False,
        "userReplicationPolicy": replication,
        "userConsistencyPolicy": {"defaultConsistencyLevel": "Strong"},
        "systemReplicationPolicy": replication,
        "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
        "queryEngineConfiguration": "{}",
    }


def _partition_key_ranges(call: Call, container: Container) -> Reply:
    """All ranges; then, to the ETag that comes with them, 304: ranges never change here."""
    etag = f'"{container.rid}"'
    if call.headers.get("if-none-match") == etag:
        return Reply(status=HTTPStatus.NOT_MODIFIED, headers={"etag": etag})
    ranges = [
        {
            "_rid": f"{container.rid}-{index}",
            "id": str(index),
            "_etag": etag,
            "minInclusive": entry.first,
            "maxExclusive": entry.end,
            "ridPrefix": index,
            "_self": f"{container.link}pkranges/{index}/",
            "throughputFraction": 1 / container.range_count,
            "status": "online",
            "parents": [],
            "_ts": container.ts,
        }
        for index, entry in enumerate(container.ranges)
    ]
    reply = _feed(container.rid, "PartitionKeyRanges", ranges)
    return Reply(body=reply.body, headers={**reply.headers, "etag": etag})


def _json(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Reply:
    headers = {"etag": body["_etag"]} if "_etag" in body else {}
    return Reply(status=status, body=to_json(body), headers=headers)


def _feed(rid: str, name: str, entries: list[dict[str, Any]]) -> Reply:
    body: dict[str, Any] = {"_rid": rid, name: entries, "_count": len(entries)}
    return Reply(body=to_json(body), headers={"x-ms-item-count": str(len(entries))})


def _item_reply(call: Call, answer: Answer) -> Reply:
    is_quiet = call.is_minimal and call.method != "GET"
    headers = {} if answer.etag is None else {"etag": answer.etag}
    return Reply(status=answer.status, body="" if is_quiet else answer.body or "", headers=headers)


def _unknown(call: Call) -> NotModelledError:
    return NotModelledError(f"{call.method} /{'/'.join(call.segments)}")
