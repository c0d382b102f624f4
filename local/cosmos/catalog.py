"""Databases and containers of the local Cosmos DB server.

https://learn.microsoft.com/rest/api/cosmos-db/databases and .../collections. Refuses with 501 container properties that
change behaviour and are not modelled (unique keys, hierarchical keys, computed properties, vector policies, ...).
"""

import base64
import re
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from local.cosmos.clock import Clock
from local.cosmos.errors import NotModelledError, RefusedError, bad_request, not_found
from local.cosmos.partitioning import HashRange, ranges
from local.cosmos.storage import Storage
from local.cosmos.values import Json, PathKeys, stored_json, to_json

MAX_ID_CHARACTERS = 255
_FORBIDDEN = set("/\\?#")
_KEY_PATH = re.compile(r'(?:/[^/"\[\]*?]+)+')
_DEFAULT_INDEXING: dict[str, Any] = {
    "indexingMode": "consistent",
    "automatic": True,
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": '/"_etag"/?'}],
}
_LAST_WRITER_WINS = {"mode": "LastWriterWins", "conflictResolutionPath": "/_ts", "conflictResolutionProcedure": ""}
_MODELLED = {"id", "partitionKey", "indexingPolicy", "defaultTtl", "conflictResolutionPolicy"}
_SYSTEM = {"_rid", "_self", "_etag", "_ts", "_docs", "_sprocs", "_triggers", "_udfs", "_conflicts", "statistics"}


@dataclass(frozen=True, kw_only=True)
class Database:
    """One database.

    :param number: its row; never used twice.
    """

    number: int
    id: str
    etag: str
    ts: int

    @property
    def rid(self) -> str:
        """The resource id: four bytes."""
        return encode_rid(self.number.to_bytes(4, "big"))

    def to_dict(self) -> dict[str, Any]:
        """The resource as the REST API shows it."""
        link = {"_rid": self.rid, "_self": f"dbs/{self.rid}/", "_etag": self.etag, "_ts": self.ts}
        return {"id": self.id, **link, "_colls": "colls/", "_users": "users/"}


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container.

    :param number: its row; never used twice.
    :param properties: what its creator set, with the defaults filled in.
    :param range_count: the number of its partition key ranges.
    """

    number: int
    database: Database
    id: str
    properties: dict[str, Any]
    range_count: int
    etag: str
    ts: int

    @property
    def rid(self) -> str:
        """The resource id: the database's four bytes and four more, of which the first bit is set."""
        return encode_rid(self.database.number.to_bytes(4, "big") + (self.number | 1 << 31).to_bytes(4, "big"))

    @property
    def link(self) -> str:
        """``_self``."""
        return f"dbs/{self.database.rid}/colls/{self.rid}/"

    @property
    def key_path(self) -> PathKeys:
        """Where an item holds its partition key."""
        return tuple(self.properties["partitionKey"]["paths"][0][1:].split("/"))

    @property
    def default_ttl(self) -> int | None:
        """Seconds; -1 for none unless the item says; None when time to live is off."""
        ttl: int | None = self.properties.get("defaultTtl")
        return ttl

    @property
    def has_default_indexing(self) -> bool:
        """Whether every path is indexed, and none explicitly: the only policy under which sorting is modelled."""
        policy = self.properties["indexingPolicy"]
        included = [entry["path"] for entry in policy["includedPaths"]]
        is_on = policy["indexingMode"].lower() == "consistent" and policy["automatic"]
        return is_on and included == ["/*"] and {entry["path"] for entry in policy["excludedPaths"]} <= {'/"_etag"/?'}

    @property
    def ranges(self) -> list[HashRange]:
        """The partition key ranges; the id of each is its position."""
        return ranges(self.range_count)

    def to_dict(self) -> dict[str, Any]:
        """The resource as the REST API shows it."""
        feeds = {"_docs": "docs/", "_sprocs": "sprocs/", "_triggers": "triggers/", "_udfs": "udfs/"}
        link = {"_rid": self.rid, "_self": self.link, "_etag": self.etag, "_ts": self.ts}
        return {**self.properties, **link, **feeds, "_conflicts": "conflicts/"}


class Catalog:
    """Finds and changes databases and containers.

    :param storage: where they are kept.
    :param clock: gives their ``_ts``.
    :param range_count: partition key ranges of a new container.
    """

    def __init__(self, storage: Storage, clock: Clock, range_count: int) -> None:
        self._storage = storage
        self._clock = clock
        self._range_count = range_count

    def databases(self) -> list[Database]:
        """All databases, oldest first."""
        rows = self._storage.db.execute("SELECT n AS number, id, etag, ts FROM databases ORDER BY n")
        return [Database(**row) for row in rows]

    def database(self, name: str) -> Database:
        """A database by id or ``_rid``.

        :raises RefusedError: 404.
        """
        for database in self.databases():
            if name in {database.id, database.rid}:
                return database
        raise not_found("the database does not exist")

    def create_database(self, body: Json) -> Database:
        """Create a database.

        :raises RefusedError: 400, 409.
        """
        given = body if isinstance(body, dict) else {}
        values = (checked_id(given.get("id")), new_etag(), self._clock.now())
        if any(database.id == values[0] for database in self.databases()):
            raise RefusedError(HTTPStatus.CONFLICT, "a database with this id exists")
        self._storage.db.execute("INSERT INTO databases (id, etag, ts) VALUES (?, ?, ?)", values)
        return self.database(values[0])

    def delete_database(self, database: Database) -> None:
        """Delete a database with all it holds."""
        with self._storage.transaction():
            for container in self.containers(database):
                self._storage.drop_container(container.number)
            self._storage.db.execute("DELETE FROM databases WHERE n = ?", (database.number,))

    def containers(self, database: Database) -> list[Container]:
        """The containers of a database, oldest first."""
        rows = self._storage.db.execute("SELECT * FROM containers WHERE database = ? ORDER BY n", (database.number,))
        return [
            Container(
                number=row["n"],
                database=database,
                id=row["id"],
                properties=_object(stored_json(row["properties"])),
                range_count=row["ranges"],
                etag=row["etag"],
                ts=row["ts"],
            )
            for row in rows
        ]

    def container(self, database: Database, name: str) -> Container:
        """A container by id or ``_rid``.

        :raises RefusedError: 404.
        """
        for container in self.containers(database):
            if name in {container.id, container.rid}:
                return container
        raise not_found("the container does not exist")

    def create_container(self, database: Database, body: Json) -> Container:
        """Create a container.

        :raises RefusedError: 400, 409, 501.
        """
        properties = _properties(body)
        if any(container.id == properties["id"] for container in self.containers(database)):
            raise RefusedError(HTTPStatus.CONFLICT, "a container with this id exists")
        self._storage.db.execute(
            "INSERT INTO containers (database, id, properties, ranges, etag, ts) VALUES (?, ?, ?, ?, ?, ?)",
            (database.number, properties["id"], to_json(properties), self._range_count, new_etag(), self._clock.now()),
        )
        return self.container(database, properties["id"])

    def replace_container(self, container: Container, body: Json) -> Container:
        """Change indexing policy and time to live; the items stay.

        :raises RefusedError: 400 when the id or the partition key would change, 501.
        """
        properties = _properties(body)
        if any(properties[name] != container.properties[name] for name in ("id", "partitionKey")):
            raise bad_request("the id and the partition key of a container cannot be changed")
        self._storage.db.execute(
            "UPDATE containers SET properties = ?, etag = ?, ts = ? WHERE n = ?",
            (to_json(properties), new_etag(), self._clock.now(), container.number),
        )
        return self.container(container.database, container.id)

    def delete_container(self, container: Container) -> None:
        """Delete a container with its items."""
        with self._storage.transaction():
            self._storage.drop_container(container.number)


def encode_rid(raw: bytes) -> str:
    """A resource id: base64 with ``-`` in place of ``/``."""
    return base64.b64encode(raw, altchars=b"+-").decode()


def decode_rid(rid: str) -> bytes:
    """The bytes of a resource id.

    :raises RefusedError: 404 when it is none.
    """
    try:
        return base64.b64decode(rid, altchars=b"+-", validate=True)
    except ValueError as error:
        raise not_found("no such resource id") from error


def new_etag() -> str:
    """An ETag that was never used, with its quotes."""
    return f'"{uuid.uuid4()}"'


def checked_id(value: Json, *, longest: int = MAX_ID_CHARACTERS) -> str:
    """The id of a resource.

    :raises RefusedError: 400 when it is missing, too long or has a forbidden character.
    """
    if not isinstance(value, str) or not 0 < len(value) <= longest or _FORBIDDEN & set(value):
        message = f"id must be a string of 1 to {longest} characters without / \\ ? #"
        raise bad_request(message)
    return value


def _object(value: Json) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_request("the body must be a JSON object")
    return value


def _properties(body: Json) -> dict[str, Any]:
    given = {name: value for name, value in _object(body).items() if name not in _SYSTEM and value is not None}
    for name in given.keys() - _MODELLED:
        what = f"the container property {name}"
        raise NotModelledError(what)
    if given.get("conflictResolutionPolicy", _LAST_WRITER_WINS) != _LAST_WRITER_WINS:
        what = "a conflict resolution policy"
        raise NotModelledError(what)
    key = given.get("partitionKey")
    if not isinstance(key, dict) or not isinstance(key.get("paths"), list):
        raise bad_request("a container needs a partitionKey with paths")
    paths = key["paths"]
    if len(paths) != 1 or key.get("kind", "Hash") != "Hash" or key.get("version", 1) != 2:  # noqa: PLR2004 - the version
        what = "a partition key that is hierarchical or not of version 2"
        raise NotModelledError(what)
    path = paths[0]
    if not isinstance(path, str) or not _KEY_PATH.fullmatch(path):
        what = f"the partition key path {path!r}"
        raise NotModelledError(what)
    ttl = given.get("defaultTtl")
    if ttl is not None and not is_ttl(ttl):
        raise bad_request("defaultTtl must be -1 or a positive number of seconds")
    policy = _indexing_policy(_object(given.get("indexingPolicy", {})))
    return {**given, "id": checked_id(given.get("id")), "indexingPolicy": policy}


def _indexing_policy(given: dict[str, Any]) -> dict[str, Any]:
    policy = {**_DEFAULT_INDEXING, **given}
    for name in ("includedPaths", "excludedPaths"):
        entries = policy[name]
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get("path"), str) for entry in entries
        ):
            message = f"{name} of the indexing policy must be a list of objects with a path"
            raise bad_request(message)
    if not isinstance(policy["indexingMode"], str) or not isinstance(policy["automatic"], bool):
        raise bad_request("indexingMode of the indexing policy must be a string, automatic a Boolean")
    return policy


def is_ttl(value: Json) -> bool:
    """Whether a value is a time to live: -1, or whole seconds from 1 to 2^31 - 1."""
    return isinstance(value, int) and not isinstance(value, bool) and (value == -1 or 0 < value < 2**31)
