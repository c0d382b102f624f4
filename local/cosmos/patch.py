"""Partial updates of an item: add, set, replace, remove and incr, with an optional condition.

https://learn.microsoft.com/azure/cosmos-db/partial-document-update. Refuses ``move`` with 501.
"""

import copy
import re
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from local.cosmos.errors import NotModelledError, RefusedError, bad_request
from local.cosmos.evaluator import evaluate
from local.cosmos.parser import parse_condition
from local.cosmos.values import NUMBER, Json, parse_json, resolve, to_json, type_of

MAX_OPERATIONS = 10
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def apply_patch(item: Json, body: Json, *, owned: Collection[str]) -> Json:
    """The item after the patch; the item given is left as it is.

    :param body: ``{"operations": [{"op", "path", "value"}], "condition": "from c where ..."}``.
    :param owned: properties that the server sets, which no patch may touch.
    :raises RefusedError: 400 for a patch that cannot be applied, 412 when the condition does not hold, 501.
    """
    if not isinstance(body, dict) or not isinstance(body.get("operations"), list):
        raise bad_request("a patch must be a JSON object with operations")
    operations = body["operations"]
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        message = f"a patch must have 1 to {MAX_OPERATIONS} operations"
        raise bad_request(message)
    condition = body.get("condition")
    if condition is not None and not isinstance(condition, str):
        raise bad_request("the condition of a patch must be a string")
    if condition is not None and evaluate(parse_condition(condition), item) is not True:
        raise RefusedError(HTTPStatus.PRECONDITION_FAILED, "the patch's condition does not hold")
    patched = copy.deepcopy(item)
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise bad_request("a patch operation must be a JSON object with a path")
        names = _pointer(operation["path"])
        if names[0] in owned:
            raise bad_request("a property that the server sets cannot be patched")
        _apply(patched, names, operation)
    return patched


def _apply(item: Json, names: list[str], operation: dict[str, Any]) -> None:
    *parents, last = names
    parent: Any = item
    for name in parents:
        parent = resolve(parent, (_key(parent, name),))
    if not isinstance(parent, dict | list):
        raise bad_request("the parent of a patched path does not exist")
    operator = operation.get("op")
    if operator not in ("add", "set", "replace", "remove", "incr"):
        what = f"the patch operation {operator!r}"
        raise NotModelledError(what)
    if operator != "remove" and "value" not in operation:
        raise bad_request("a patch operation needs a value")
    if isinstance(parent, list):
        _apply_to_array(parent, operator, last, operation.get("value"))
    else:
        _apply_to_object(parent, operator, last, operation.get("value"))


def _apply_to_object(parent: dict[str, Any], operator: str, name: str, value: Json) -> None:
    if operator in {"replace", "remove"} and name not in parent:
        raise bad_request("the patched path does not exist")
    if operator == "remove":
        del parent[name]
    elif operator == "incr":
        parent[name] = _sum(parent.get(name, 0), value)
    else:
        parent[name] = value


def _apply_to_array(parent: list[Any], operator: str, name: str, value: Json) -> None:
    at = len(parent) if name == "-" else _key(parent, name)
    appending = at == len(parent) and operator in {"add", "set"}
    if not isinstance(at, int) or (at >= len(parent) and not appending):
        raise bad_request("the patched array element does not exist")
    if operator == "add" or appending:
        parent.insert(at, value)
    elif operator == "remove":
        del parent[at]
    else:
        parent[at] = _sum(parent[at], value) if operator == "incr" else value


def _sum(value: Any, increment: Any) -> Json:
    if type_of(value) != NUMBER or type_of(increment) != NUMBER:
        raise bad_request("incr needs a number")
    return parse_json(to_json(value + increment))  # refuses a sum that a double cannot hold exactly


def _pointer(path: str) -> list[str]:
    if not path.startswith("/") or path == "/":
        raise bad_request("a patch path must start with / and name a property")
    return [name.replace("~1", "/").replace("~0", "~") for name in path[1:].split("/")]


def _key(parent: Json | object, name: str) -> str | int:
    return int(name) if isinstance(parent, list) and _INDEX.fullmatch(name) else name
