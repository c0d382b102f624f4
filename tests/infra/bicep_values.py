"""Gives the expressions of a Bicep file their values. A function or a name that it does not know it refuses.

What only Azure knows (a key's value, an identity's principal) is a `Runtime`: a text that says what it is of.
`uniqueString` and `guid` are stand-ins: the same for the same arguments, and no more.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bicep import BicepError, Expression

SUBSCRIPTION = "/subscriptions/11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
DEPLOYER = "33333333-3333-3333-3333-333333333333"


class Runtime(str):
    """A value that only a deployment has: its text names it."""

    __slots__ = ()

    def get(self, name: str) -> Runtime:
        return Runtime(f"{self}.{name}")


@dataclass(frozen=True, kw_only=True)
class Names:
    """What names mean at one place: those of the file (asked of `outer`), and those of loops and lambdas around."""

    outer: Callable[[str], Any]
    folder: Path
    here: str
    group: Callable[[], Mapping[str, Any]]
    local: Mapping[str, Any] = field(default_factory=dict)

    def with_(self, /, **more: Any) -> Names:
        return Names(
            outer=self.outer, folder=self.folder, here=self.here, group=self.group, local={**self.local, **more}
        )

    def __call__(self, name: str) -> Any:
        return self.local[name] if name in self.local else self.outer(name)


def value(expression: Expression, names: Names) -> Any:  # noqa: C901, PLR0912 - one arm for each kind of expression
    """The value of an expression. Raises BicepError."""
    match expression:
        case ("string" | "value", known):
            return known
        case ("name", name):
            return names(name)
        case ("group", inner):
            return value(inner, names)
        case ("text", *pieces):
            return "".join(each if isinstance(each, str) else _as_text(value(each, names), names) for each in pieces)
        case ("array", *items):
            return [value(each, names) for each in items]
        case ("object", *properties):
            made = {value(key, names): value(each, names) for key, each in properties}
            if len(made) != len(properties):
                raise BicepError(f"{names.here}: a property given twice, of {sorted(made)}")
            return made
        case ("for", *_):
            return _loop(expression, names)
        case ("member", owner, name, safe):
            return _member(value(owner, names), name, safe, names)
        case ("subscript", owner, index, safe):
            return _subscript(value(owner, names), value(index, names), safe, names)
        case ("nested", owner, name):
            return value(owner, names).nested(name)
        case ("unary", "!", inner):
            return not _truth(value(inner, names), names)
        case ("unary", "-", inner):
            return -value(inner, names)
        case ("ternary", test, yes, no):
            return value(yes if _truth(value(test, names), names) else no, names)
        case ("binary", left, sign, right):
            return _binary(left, sign, right, names)
        case ("lambda", parameters, body):
            return lambda *given: value(body, names.with_(**dict(zip(parameters, given, strict=False))))
        case ("call", name, arguments):
            return _call(name, arguments, names)
        case _:
            raise BicepError(f"{names.here}: {expression[0]} is given no value ({expression[2:3]})")


def _loop(expression: Expression, names: Names) -> list[Any]:
    _, item, index, listed, body = expression
    found = []
    for number, each in enumerate(value(listed, names)):
        inside = names.with_(**{item: each, **({index: number} if index else {})})
        if body[0] == "if":
            if _truth(value(body[1], inside), inside):
                found.append(value(body[2], inside))
        else:
            found.append(value(body, inside))
    return found


def _member(owner: Any, name: str, safe: bool, names: Names) -> Any:
    if owner is None and safe:
        return None
    if isinstance(owner, dict):
        if name in owner:
            return owner[name]
        if safe:
            return None
        raise BicepError(f"{names.here}: .{name} of {sorted(owner)}")
    if hasattr(owner, "get") and not isinstance(owner, list):
        return owner.get(name)
    raise BicepError(f"{names.here}: .{name} of {type(owner).__name__}")


def _subscript(owner: Any, index: Any, safe: bool, names: Names) -> Any:
    if isinstance(index, str):
        return _member(owner, index, safe, names)
    if isinstance(owner, list) and isinstance(index, int):
        if 0 <= index < len(owner):
            return owner[index]
        if safe:
            return None
    raise BicepError(f"{names.here}: [{index}] of {type(owner).__name__}")


def _truth(tested: Any, names: Names) -> bool:
    if not isinstance(tested, bool):
        raise BicepError(f"{names.here}: a condition that is no bool: {tested!r}")
    return tested


def _binary(left: Expression, sign: str, right: Expression, names: Names) -> Any:
    first = value(left, names)
    match sign:
        case "&&":
            return _truth(first, names) and _truth(value(right, names), names)
        case "||":
            return _truth(first, names) or _truth(value(right, names), names)
        case "??":
            return value(right, names) if first is None else first
    second = value(right, names)
    operators: dict[str, Callable[[Any, Any], Any]] = {
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "=~": lambda a, b: a.lower() == b.lower(),
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a // b,
        "%": lambda a, b: a % b,
    }
    if sign not in operators:
        raise BicepError(f"{names.here}: operator {sign} is not known")
    if sign in {"+", "-", "*", "/", "%"} and not (isinstance(first, int) and isinstance(second, int)):
        raise BicepError(f"{names.here}: {sign} is for whole numbers")
    return operators[sign](first, second)


# ---------------------------------------------------------------- functions


def _call(name: str, arguments: tuple[Expression, ...], names: Names) -> Any:
    if name == "loadJsonContent":
        path = names.folder / value(arguments[0], names)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BicepError(f"{names.here}: {path.name} cannot be read: {error.strerror}") from None
    if name == "loadTextContent":
        return (names.folder / value(arguments[0], names)).read_text(encoding="utf-8")
    given = [value(each, names) for each in arguments]
    if name == "resourceGroup" and not given:
        return names.group()
    if name == "resourceId":
        return _resource_id(names.group, *given)
    subscription = "/".join(
        str(names.group()["id"]).split("/")[:3]
    )  # a module's is that of the group it is deployed to
    if name == "subscriptionResourceId":
        return subscription + path_of(given[0], given[1:])
    if name == "subscription":
        return {"id": subscription, "subscriptionId": subscription.split("/")[2], "tenantId": TENANT}
    if name not in FUNCTIONS:
        raise BicepError(f"{names.here}: function {name} is not known")
    try:
        return FUNCTIONS[name](*given)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise BicepError(f"{names.here}: {name}: {error}") from None


def _as_text(given: Any, names: Names) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str | int):
        return str(given)
    raise BicepError(f"{names.here}: a {type(given).__name__} in a text")


def _digest(*given: Any) -> bytes:
    return hashlib.sha256(json.dumps(given).encode()).digest()


def _unique(*given: Any) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(letters[each % 32] for each in _digest("unique", *given)[:13])


def _guid(*given: Any) -> str:
    return str(uuid.UUID(bytes=_digest("guid", *given)[:16]))


def _union(*given: Any) -> Any:
    if all(isinstance(each, dict) for each in given):
        made: dict[str, Any] = {}
        for each in given:
            for key, inner in each.items():
                both = isinstance(inner, dict) and isinstance(made.get(key), dict)
                made[key] = _union(made[key], inner) if both else inner
        return made
    listed: list[Any] = []
    for each in given:
        listed += [item for item in each if item not in listed]
    return listed


def _items(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": given[key]} for key in sorted(given, key=str.lower)]


def _resource_id(group: Callable[[], Mapping[str, Any]], *given: str) -> str:
    before = next(number for number, each in enumerate(given) if "/" in each)
    elsewhere = {1: lambda: _group(given[0]), 2: lambda: _group(*given[:2])}
    return str(elsewhere.get(before, group)()["id"]) + path_of(given[before], given[before + 1 :])


def path_of(kind: str, segments: tuple[str, ...] | list[str]) -> str:
    """`providers/<namespace>/<type>/<name>...` of a type and its names. Raises ValueError when they do not pair up."""
    namespace, *types = kind.split("/")
    if len(types) != len(segments):
        raise ValueError(f"{kind} has {len(types)} names, given {len(segments)}")
    return "/providers/" + "/".join([namespace, *(f"{t}/{n}" for t, n in zip(types, segments, strict=True))])


def _group(*given: str) -> Mapping[str, Any]:
    *before, name = given
    subscription = f"/subscriptions/{before[0]}" if before else SUBSCRIPTION
    return {"id": f"{subscription}/resourceGroups/{name}", "name": name, "location": Runtime(f"{name}.location")}


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "array": lambda a: a if isinstance(a, list) else [a],
    "bool": lambda a: a if isinstance(a, bool) else a.lower() == "true",
    "concat": lambda *a: sum(a[1:], a[0]) if isinstance(a[0], list) else "".join(a),
    "contains": lambda a, b: b in a,
    "deployer": lambda: {"objectId": DEPLOYER, "tenantId": TENANT},
    "empty": lambda a: a is None or len(a) == 0,
    "endsWith": lambda a, b: a.lower().endswith(b.lower()),
    "environment": lambda: {
        "suffixes": {
            "storage": "core.windows.net",
            "keyvaultDns": ".vault.azure.net",
            "sqlServerHostname": ".database.windows.net",
        },
        "authentication": {"loginEndpoint": "https://login.microsoftonline.com/"},
        "resourceManager": "https://management.azure.com/",
    },
    "filter": lambda a, f: [each for n, each in enumerate(a) if f(each, n)],
    "first": lambda a: a[0] if a else None,
    "flatten": lambda a: [inner for each in a for inner in each],
    "format": lambda a, *b: a.format(*b),
    "guid": _guid,
    "indexOf": lambda a, b: a.find(b) if isinstance(a, str) else (a.index(b) if b in a else -1),
    "int": int,
    "intersection": lambda a, *b: [each for each in a if all(each in other for other in b)],
    "items": _items,
    "join": lambda a, b: b.join(str(each) for each in a),
    "json": json.loads,
    "last": lambda a: a[-1] if a else None,
    "length": len,
    "map": lambda a, f: [f(each, n) for n, each in enumerate(a)],
    "max": lambda *a: max(*a) if len(a) > 1 else max(a[0]),
    "min": lambda *a: min(*a) if len(a) > 1 else min(a[0]),
    "objectKeys": lambda a: sorted(a, key=str.lower),
    "padLeft": lambda a, n, c=" ": str(a).rjust(n, c),
    "range": lambda a, n: list(range(a, a + n)),
    "replace": lambda a, b, c: a.replace(b, c),
    "resourceGroup": _group,
    "shallowMerge": lambda a: {key: inner for each in a for key, inner in each.items()},
    "skip": lambda a, n: a[n:],
    "sort": lambda a, f: sorted(a, key=lambda each: sum(f(other, each) for other in a)),
    "split": lambda a, b: a.split(b),
    "startsWith": lambda a, b: a.lower().startswith(b.lower()),
    "string": lambda a: a if isinstance(a, str) else json.dumps(a, separators=(",", ":")),
    "substring": lambda a, n, m=None: a[n:] if m is None else a[n : n + m],
    "take": lambda a, n: a[:n],
    "tenant": lambda: {"tenantId": TENANT},
    "toLower": lambda a: a.lower(),
    "toObject": lambda a, f, g=lambda each: each: {f(each): g(each) for each in a},
    "toUpper": lambda a: a.upper(),
    "trim": lambda a: a.strip(),
    "union": _union,
    "uniqueString": _unique,
    "uri": lambda a, b: a.rstrip("/") + "/" + b.lstrip("/"),
    "uriComponent": lambda a: a,
    "utcNow": lambda *_: Runtime("utcNow"),
}
