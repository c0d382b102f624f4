"""Transactional batch: all operations, or none.

https://learn.microsoft.com/azure/cosmos-db/transactional-batch. When one operation fails, it carries its own status,
all others 424, and nothing is written. An operation that is not modelled refuses the whole request with 501.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from local.cosmos.catalog import Container
from local.cosmos.errors import NotModelledError, RefusedError, bad_request
from local.cosmos.items import Answer, Conditions, Items
from local.cosmos.partitioning import PartitionKey
from local.cosmos.storage import Storage
from local.cosmos.values import Json, stored_json

MAX_OPERATIONS = 100
_KNOWN = {"operationType", "id", "resourceBody", "ifMatch", "ifNoneMatch"}


@dataclass(frozen=True, kw_only=True)
class BatchAnswer:
    """What a batch answers.

    :param status: 200 when everything was carried out, 207 when nothing was.
    :param results: one per operation, in their order.
    """

    status: HTTPStatus
    results: list[dict[str, Any]]


def run_batch(
    *, storage: Storage, items: Items, container: Container, key: PartitionKey, body: Json, minimal: bool
) -> BatchAnswer:
    """Carry out a batch.

    :param body: the list of operations.
    :param minimal: leave the items out of the results.
    :raises RefusedError: 400 for a body that is no batch of 1 to 100 operations, 501.
    """
    if not isinstance(body, list) or not all(isinstance(operation, dict) for operation in body):
        raise bad_request("a batch must be a JSON array of operations")
    if not 1 <= len(body) <= MAX_OPERATIONS:
        message = f"a batch must have 1 to {MAX_OPERATIONS} operations, not {len(body)}"
        raise bad_request(message)
    for operation in body:
        _check_texts(operation)
    results: list[dict[str, Any]] = []
    try:
        with storage.transaction():
            for operation in body:
                answer = _run(items, container, key, operation)
                results.append(_result(answer, minimal=minimal))
    except NotModelledError:
        raise
    except RefusedError as error:
        failed = {"statusCode": int(error.status), "subStatusCode": error.substatus, "requestCharge": 1.0}
        other = {"statusCode": int(HTTPStatus.FAILED_DEPENDENCY), "requestCharge": 1.0}
        at = len(results)
        return BatchAnswer(
            status=HTTPStatus.MULTI_STATUS, results=[failed if index == at else other for index in range(len(body))]
        )
    return BatchAnswer(status=HTTPStatus.OK, results=results)


def _check_texts(operation: dict[str, Any]) -> None:
    kind = operation.get("operationType")
    if not isinstance(kind, str) or (kind not in {"Create", "Upsert"} and not isinstance(operation.get("id"), str)):
        raise bad_request("an operation of a batch must have an operationType and, but to create, an id")
    if not isinstance(operation.get("ifMatch"), str | None):
        raise bad_request("ifMatch of an operation of a batch must be a string")


def _run(items: Items, container: Container, key: PartitionKey, operation: dict[str, Any]) -> Answer:
    for name in operation.keys() - _KNOWN:
        what = f"the batch field {name}"
        raise NotModelledError(what)
    if operation.get("ifNoneMatch") is not None:
        what = "If-None-Match in a batch"
        raise NotModelledError(what)
    conditions = Conditions(if_match=operation.get("ifMatch"))
    item_id, body = str(operation.get("id", "")), operation.get("resourceBody")
    match operation.get("operationType"):
        case "Create":
            return items.create(container, key, body, conditions)
        case "Upsert":
            return items.upsert(container, key, body, conditions)
        case "Read":
            return items.read(container, key, item_id, conditions)
        case "Replace":
            return items.replace(container, key, item_id, body, conditions)
        case "Patch":
            return items.patch(container, key, item_id, body, conditions)
        case "Delete":
            return items.delete(container, key, item_id, conditions)
        case other:
            what = f"the batch operation {other!r}"
            raise NotModelledError(what)


def _result(answer: Answer, *, minimal: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"statusCode": int(answer.status), "requestCharge": 1.0}
    if answer.etag is not None:
        result["eTag"] = answer.etag
    if answer.body is not None and not minimal:
        result["resourceBody"] = stored_json(answer.body)
    return result
