"""Single items: create, upsert, read, replace, delete, patch.

https://learn.microsoft.com/rest/api/cosmos-db/documents. The caller puts a transaction around each write, so that a
transactional batch is one transaction around several of them.
"""

import sqlite3
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from local.cosmos.catalog import Container, checked_id, decode_rid, encode_rid, is_ttl, new_etag
from local.cosmos.clock import Clock
from local.cosmos.errors import PARTITION_KEY_MISMATCH, NotModelledError, RefusedError, bad_request, not_found
from local.cosmos.partitioning import PartitionKey, partition_key
from local.cosmos.patch import apply_patch
from local.cosmos.storage import Storage
from local.cosmos.values import MAX_NESTING, Json, nesting, resolve, stored_json, to_json, utf8_size

MAX_ITEM_BYTES = 2 * 1024 * 1024
MAX_ID_BYTES = 1023
_SYSTEM = ("_rid", "_self", "_etag", "_attachments", "_ts")
_CONTAINER_RID, _ITEM_RID, _LARGEST_NUMBER = 8, 16, 2**63 - 1  # bytes, bytes, SQLite's


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The preconditions of one operation: the ETags of ``If-Match`` and ``If-None-Match``, None when not given."""

    if_match: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an operation on an item answers.

    :param body: the item as stored, JSON; None when there is nothing to send.
    :param etag: the item's ETag, None after a delete.
    """

    status: HTTPStatus
    body: str | None = None
    etag: str | None = None


def is_live(*, ts: int, ttl: int | None, default_ttl: int | None, now: int) -> bool:
    """Whether an item is still shown: time to live off (`default_ttl` None), none for this item, or not over yet."""
    if default_ttl is None:
        return True
    seconds = default_ttl if ttl is None else ttl
    return seconds == -1 or ts + seconds > now


class Items:
    """The items of all containers.

    :param storage: where they are kept.
    :param clock: gives ``_ts`` and ends time to live.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def create(self, container: Container, key: PartitionKey, body: Json, conditions: Conditions) -> Answer:
        """Create an item.

        :raises RefusedError: 400, 409, 413, 501 under a condition.
        """
        _refuse_if_match(conditions)
        _refuse_if_none_match(conditions)
        item = _checked(container, key, body)
        if self._find(container, key, item["id"]) is not None:
            raise RefusedError(HTTPStatus.CONFLICT, "an item with this id and partition key exists")
        return self._insert(container, key, item)

    def upsert(self, container: Container, key: PartitionKey, body: Json, conditions: Conditions) -> Answer:
        """Replace an item under its condition, or create it; a missing item has no ETag to compare.

        :raises RefusedError: 400, 412, 413.
        """
        item = _checked(container, key, body)
        _refuse_if_none_match(conditions)
        row = self._find(container, key, item["id"])
        if row is None:
            return self._insert(container, key, item)
        return self._update(container, row, item, conditions)

    def read(self, container: Container, key: PartitionKey, item_id: str, conditions: Conditions) -> Answer:
        """Read an item; 304 when its ETag is the one in ``If-None-Match``.

        :raises RefusedError: 404.
        """
        _refuse_if_match(conditions)
        if conditions.if_none_match == "*":
            _refuse_if_none_match(conditions)
        row = self._existing(container, key, item_id)
        if conditions.if_none_match == row["etag"]:
            return Answer(status=HTTPStatus.NOT_MODIFIED, etag=row["etag"])
        return Answer(status=HTTPStatus.OK, body=row["body"], etag=row["etag"])

    def replace(
        self, container: Container, key: PartitionKey, item_id: str, body: Json, conditions: Conditions
    ) -> Answer:
        """Replace an item.

        :raises RefusedError: 400, 404, 412, 413.
        """
        item = _checked(container, key, body)
        row = self._existing(container, key, item_id)
        if item["id"] != row["id"]:
            raise bad_request("the id in the body is not the id of the item")
        return self._update(container, row, item, conditions)

    def patch(
        self, container: Container, key: PartitionKey, item_id: str, body: Json, conditions: Conditions
    ) -> Answer:
        """Change parts of an item.

        :raises RefusedError: 400, 404, 412 (also when the patch's own condition does not hold), 413, 501.
        """
        row = self._existing(container, key, item_id)
        _check_if_match(row, conditions)
        patched = _checked(container, key, apply_patch(stored_json(row["body"]), body, owned=_SYSTEM))
        if patched["id"] != row["id"]:
            raise bad_request("a patch must not change the id")
        return self._update(container, row, patched, conditions)

    def delete(self, container: Container, key: PartitionKey, item_id: str, conditions: Conditions) -> Answer:
        """Delete an item.

        :raises RefusedError: 404, 412.
        """
        _refuse_if_none_match(conditions)
        row = self._existing(container, key, item_id)
        _check_if_match(row, conditions)
        self._storage.db.execute("DELETE FROM items WHERE n = ?", (row["n"],))
        return Answer(status=HTTPStatus.NO_CONTENT)

    def id_of(self, container: Container, rid: str) -> str:
        """The id of the item with a ``_rid``.

        :raises RefusedError: 404.
        """
        raw = decode_rid(rid)
        number = int.from_bytes(raw[_CONTAINER_RID:], "big")
        row = None
        if len(raw) == _ITEM_RID and number <= _LARGEST_NUMBER:
            where = (number, container.number)
            row = self._storage.db.execute("SELECT id FROM items WHERE n = ? AND container = ?", where).fetchone()
        if row is None:
            raise not_found("no item has this resource id")
        return str(row["id"])

    def _find(self, container: Container, key: PartitionKey, item_id: str) -> sqlite3.Row | None:
        where = (container.number, key.canonical, item_id)
        row: sqlite3.Row | None = self._storage.db.execute(
            "SELECT n, id, etag, ts, ttl, body FROM items WHERE container = ? AND pk = ? AND id = ?", where
        ).fetchone()
        ttl = container.default_ttl
        if row is None or is_live(ts=row["ts"], ttl=row["ttl"], default_ttl=ttl, now=self._clock.now()):
            return row
        return None

    def _existing(self, container: Container, key: PartitionKey, item_id: str) -> sqlite3.Row:
        row = self._find(container, key, item_id)
        if row is None:
            raise not_found("no item has this id and partition key")
        return row

    def _insert(self, container: Container, key: PartitionKey, item: dict[str, Any]) -> Answer:
        # OR REPLACE: the only row that can be in the way is an expired one, which does not exist for anybody.
        ts, etag = self._clock.now(), new_etag()
        row = self._storage.db.execute(
            "INSERT OR REPLACE INTO items (container, pk, id, epk, etag, ts, ttl, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, '{}')",
            (container.number, key.canonical, item["id"], key.hashed, etag, ts, item.get("ttl")),
        )
        number = row.lastrowid or 0
        stored = _stored(container, number, item, etag, ts)
        self._storage.db.execute("UPDATE items SET body = ? WHERE n = ?", (stored, number))
        return Answer(status=HTTPStatus.CREATED, body=stored, etag=etag)

    def _update(self, container: Container, row: sqlite3.Row, item: dict[str, Any], conditions: Conditions) -> Answer:
        _refuse_if_none_match(conditions)
        _check_if_match(row, conditions)
        ts, etag = self._clock.now(), new_etag()
        stored = _stored(container, row["n"], item, etag, ts)
        self._storage.db.execute(
            "UPDATE items SET etag = ?, ts = ?, ttl = ?, body = ? WHERE n = ?",
            (etag, ts, item.get("ttl"), stored, row["n"]),
        )
        return Answer(status=HTTPStatus.OK, body=stored, etag=etag)


def _checked(container: Container, key: PartitionKey, body: Json) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise bad_request("an item must be a JSON object")
    item = {name: value for name, value in body.items() if name not in _SYSTEM}
    if len(checked_id(item.get("id"), longest=MAX_ID_BYTES).encode()) > MAX_ID_BYTES:
        message = f"the id of an item must not exceed {MAX_ID_BYTES} bytes"
        raise bad_request(message)
    if nesting(item) > MAX_NESTING:
        message = f"an item must not have more than {MAX_NESTING} arrays and objects inside each other"
        raise bad_request(message)
    if partition_key(resolve(item, container.key_path)) != key:
        message = "the partition key in the item is not the one in the header"
        raise bad_request(message, substatus=PARTITION_KEY_MISMATCH)
    if "ttl" in item and not is_ttl(item["ttl"]):
        raise bad_request("ttl must be -1 or a positive number of seconds")
    if utf8_size(item) > MAX_ITEM_BYTES:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "an item must not exceed 2 MB")
    return item


def _stored(container: Container, number: int, item: dict[str, Any], etag: str, ts: int) -> str:
    raw = container.database.number.to_bytes(4, "big") + (container.number | 1 << 31).to_bytes(4, "big")
    rid = encode_rid(raw + number.to_bytes(8, "big"))
    link = {"_rid": rid, "_self": f"{container.link}docs/{rid}/", "_etag": etag, "_attachments": "attachments/"}
    return to_json({**item, **link, "_ts": ts})


def _check_if_match(row: sqlite3.Row, conditions: Conditions) -> None:
    if conditions.if_match not in {None, "*", row["etag"]}:
        message = "one of the specified pre-conditions is not met: the item has another ETag"
        raise RefusedError(HTTPStatus.PRECONDITION_FAILED, message)


def _refuse_if_match(conditions: Conditions) -> None:
    if conditions.if_match is not None:
        what = "If-Match on a create or a read"
        raise NotModelledError(what)


def _refuse_if_none_match(conditions: Conditions) -> None:
    if conditions.if_none_match is not None:
        what = "If-None-Match, except with an ETag on a read"
        raise NotModelledError(what)
