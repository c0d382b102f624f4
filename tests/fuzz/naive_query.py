"""The queries of the local Cosmos DB server once more, as simply as can be: made up, written as text, and answered by hand.

Shares nothing with the server's parser, evaluator or SQL. What the documentation and Microsoft's reference evaluator
disagree about, `=` between values of different types, is answered by either reading (`mixed`).
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMES = (*("a", "b") * 4, "from", "a b", "'\"\\")
UNDEFINED = object()
"""What an item does not have."""

_NUMBERS = (0, 1, 2, 3, -1, -0.0, 0.5, 1.0, 1e-320, 1e300, 2**53, -(2**53), 3.0)
_STRINGS = ("", "a", "A", "b", "ab", "abc", "å", "Å", "2026-01", "\x00", "😀", "a'b\"c\\", "\u2028", "ß", "İ", "Σ", "ς")
_OF_ONE = ("IS_DEFINED", "IS_NULL", "IS_STRING", "ARRAY_LENGTH", "LOWER")
_OF_TWO = ("ARRAY_CONTAINS", "STRINGEQUALS", "STARTSWITH")
_FUNCTIONS = (*_OF_ONE, *_OF_TWO, "SUBSTRING")
RANKS = (type(None), bool, float, str, list, dict)


@dataclass(frozen=True)
class Text:
    """A constant that is written into the query; `Given` comes as a parameter."""

    value: Any


@dataclass(frozen=True)
class Given:
    value: Any


@dataclass(frozen=True)
class Path:
    keys: tuple[str | int, ...]


@dataclass(frozen=True)
class Node:
    """An operator or function over others: compare, AND, OR, NOT, IN, NOT IN, or a function's name."""

    kind: str
    inner: tuple[Any, ...]


@dataclass(frozen=True)
class Asked:
    """A query. `shown` is None for whole items, else the paths with the names they get; `order` is a path and DESC."""

    where: Any
    shown: tuple[tuple[Path, str], ...] | None
    order: tuple[Path, bool] | None


class Doubt:
    """Whether any comparison between values of different types was met."""

    def __init__(self, mixed: object) -> None:
        self.mixed = mixed
        self.met = False


# ------------------------------------------------------------ made up


class Maker:
    """Items and queries by chance; small and few values, so that they meet."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def item(self) -> dict[str, Any]:
        return {self.chance.choice(NAMES): self._value(2) for _ in range(self.chance.randint(2, 7))}

    def query(self) -> Asked:
        chance = self.chance
        shown = None
        if chance.random() < 0.3:
            shown = tuple((self._path(), f"n{number}") for number in range(chance.randint(1, 3)))
        order = (self._path(), chance.random() < 0.5) if chance.random() < 0.25 else None
        return Asked(where=self._condition(chance.choice((0, 1, 1, 2, 3))), shown=shown, order=order)

    def _value(self, depth: int) -> Any:
        chance = self.chance
        if depth and chance.random() < 0.2:
            inner = [self._value(depth - 1) for _ in range(chance.randrange(3))]
            return inner if chance.random() < 0.5 else {chance.choice(NAMES): each for each in inner}
        return chance.choice(
            (chance.choice(_NUMBERS), chance.choice(_NUMBERS), chance.choice(_STRINGS), None, True, False)
        )

    def _path(self) -> Path:
        more = [self.chance.choice((*NAMES, 0, 1)) for _ in range(self.chance.choice((0, 0, 0, 0, 0, 1, 2)))]
        return Path((self.chance.choice(NAMES), *more))

    def _operand(self) -> Any:
        chance = self.chance
        match chance.randrange(8):
            case 0 | 1 | 2 | 3:
                return self._path()
            case 4:
                return Given(self._value(2))
            case 5 if chance.random() < 0.2:
                return Text(UNDEFINED)
            case _:
                return Text(self._value(0))

    def _condition(self, depth: int) -> Any:
        chance = self.chance
        if depth and chance.random() < 0.5:
            inner = tuple(self._condition(depth - 1) for _ in range(chance.choice((2, 2, 3))))
            return chance.choice((Node("AND", inner), Node("OR", inner), Node("OR", inner), Node("NOT", inner[:1])))
        match chance.randrange(6):
            case 0 | 1 | 2:
                sign = chance.choice(("=", "=", "<", "<=", ">", ">=", "!=", "<>"))
                return Node(sign, (self._side(depth), self._side(depth)))
            case 3:
                options = [self._operand() for _ in range(chance.randint(1, 3))]
                return Node(chance.choice(("IN", "NOT IN")), (self._operand(), *options))
            case 4:
                return self._call(depth)
        return self._path()

    def _side(self, depth: int) -> Any:
        chance = self.chance.random()
        if depth and chance < 0.05:
            return self._condition(depth - 1)
        return self._call(0) if chance < 0.25 else self._operand()

    def _call(self, depth: int) -> Node:
        chance = self.chance
        one, two = self._condition(depth - 1) if depth and chance.random() < 0.1 else self._operand(), self._operand()
        name = chance.choice((*_OF_ONE, *_OF_TWO, *_OF_TWO, "SUBSTRING"))
        if name in _OF_ONE:
            return Node(name, (one,))
        if name == "SUBSTRING":
            return Node(name, (one, *(Text(chance.randint(-1, 3)) if chance.random() < 0.8 else two for _ in range(2))))
        flag = (
            (Text(chance.random() < 0.5) if chance.random() < 0.8 else self._operand(),)
            if chance.random() < 0.4
            else ()
        )
        return Node(name, (one, two, *flag))


# ------------------------------------------------------------ written


def written(asked: Asked, dice: random.Random) -> tuple[str, dict[str, Any]]:  # noqa: C901 (a form of the grammar each)
    """The query's text, and its parameters; `dice` chooses among the spellings."""
    given: dict[str, Any] = {}

    def word(text: str) -> str:
        return dice.choice((text, text.lower(), text.title()))

    def space() -> str:
        return dice.choice((" ", " ", "\n", "\t ", "  "))

    def string(text: str) -> str:
        inner = json.dumps(text, ensure_ascii=dice.random() < 0.5)[1:-1]
        return (
            f"'{inner.replace(chr(92) + chr(34), chr(34)).replace(chr(39), chr(92) + chr(39))}'"
            if dice.random() < 0.5
            else f'"{inner}"'
        )

    def path(keys: Sequence[str | int]) -> str:
        parts = ["c"]
        for key in keys:
            if isinstance(key, int):
                parts.append(f"[{key}]")
            elif key.isidentifier() and dice.random() < 0.7:
                parts.append(f".{key}")
            else:
                parts.append(f"[{string(key)}]")
        return "".join(parts)

    def expression(one: Any) -> str:
        match one:
            case Path(keys=keys):
                return path(keys)
            case Text(value=value) if value is UNDEFINED:
                return word("UNDEFINED")
            case Text(value=value):
                return (
                    string(value)
                    if isinstance(value, str)
                    else word(json.dumps(value))
                    if isinstance(value, bool | None)
                    else json.dumps(value)
                )
            case Given(value=value):
                name = f"@p{len(given)}"
                given[name] = value
                return name
            case Node(kind="AND" | "OR" as kind, inner=inner):
                return (space() + word(kind) + space()).join(
                    f"({expression(each)})" if isinstance(each, Node) else expression(each) for each in inner
                )
            case Node(kind="NOT", inner=(only,)):
                return f"{word('NOT')} ({expression(only)})"
            case Node(kind="IN" | "NOT IN" as kind, inner=(left, *options)):
                return f"{expression(left)} {word(kind)} ({', '.join(map(expression, options))})"
            case Node(kind=kind, inner=inner) if kind[0].isalpha():
                return f"{word(kind)}({', '.join(map(expression, inner))})"
            case Node(kind=sign, inner=(left, right)):
                sides = [
                    f"({expression(each)})"
                    if isinstance(each, Node) and each.kind not in _FUNCTIONS
                    else expression(each)
                    for each in (left, right)
                ]
                return f"{sides[0]}{space()}{sign}{space()}{sides[1]}"
        raise AssertionError(one)

    select = (
        "*"
        if asked.shown is None
        else ", ".join(f"{path(each.keys)} {word('AS')} {name}" for each, name in asked.shown)
    )
    text = f"{word('SELECT')} {select} {word('FROM')} c"
    if asked.where is not None:
        text += f" {word('WHERE')} {expression(asked.where)}"
    if asked.order is not None:
        text += f" {word('ORDER')} {word('BY')} {path(asked.order[0].keys)} {dice.choice(('DESC', 'desc')) if asked.order[1] else dice.choice(('', 'ASC'))}"
    return text, given


# ------------------------------------------------------------ answered


def kind(value: Any) -> int:
    """The place of a value's type in the order of types."""
    return next(
        at for at, each in enumerate(RANKS) if isinstance(value, each) or (each is float and isinstance(value, int))
    )


def same(left: Any, right: Any) -> bool:
    if kind(left) != kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    return bool(left == right)


def at(item: Any, path: Path) -> Any:
    for key in path.keys:
        if not (isinstance(item, dict) and isinstance(key, str) and key in item) and not (
            isinstance(item, list) and isinstance(key, int) and key < len(item)
        ):
            return UNDEFINED
        item = item[key]
    return item


def worth(one: Any, item: Any, doubt: Doubt) -> Any:
    """The value of an expression."""
    match one:
        case Path():
            return at(item, one)
        case Text(value=value) | Given(value=value):
            return value
        case Node(kind="AND" | "OR" as word, inner=inner):
            found = [worth(each, item, doubt) for each in inner]
            decides = word == "OR"
            if any(each is decides for each in found):
                return decides
            return UNDEFINED if any(each is not (not decides) for each in found) else not decides
        case Node(kind="NOT", inner=(only,)):
            value = worth(only, item, doubt)
            return not value if isinstance(value, bool) else UNDEFINED
        case Node(kind="IN" | "NOT IN" as word, inner=(left, *options)):
            found = worth(Node("OR", tuple(Node("=", (left, each)) for each in options)), item, doubt)
            return found if word == "IN" else (not found if isinstance(found, bool) else UNDEFINED)
        case Node(kind=name, inner=inner):
            given = [worth(each, item, doubt) for each in inner]
            return called(name, given) if name[0].isalpha() else compared(name, *given, doubt)
    raise AssertionError(one)


def compared(sign: str, left: Any, right: Any, doubt: Doubt) -> Any:
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    alike = kind(left) == kind(right)
    if sign in ("=", "!=", "<>"):
        if not alike:
            doubt.met = True
            return UNDEFINED if doubt.mixed is UNDEFINED else sign != "="
        return same(left, right) == (sign == "=")
    if not alike or isinstance(left, list | dict):
        return UNDEFINED
    if left is None:
        left = right = 0
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign]


def lower(text: str) -> str:
    return "".join(each.lower() if len(each.lower()) == 1 else each for each in text)


class RefusalError(Exception):
    """The server may refuse this one: UTF-16 counts its characters otherwise."""


def called(name: str, given: list[Any]) -> Any:  # noqa: C901, PLR0912 (a function each)
    first, *rest = given
    match name:
        case "IS_DEFINED":
            return first is not UNDEFINED
        case "IS_NULL":
            return first is None
        case "IS_STRING":
            return isinstance(first, str)
        case "ARRAY_LENGTH":
            return len(first) if isinstance(first, list) else UNDEFINED
        case "LOWER":
            return lower(first) if isinstance(first, str) else UNDEFINED
        case "SUBSTRING":
            numbers = [
                each
                for each in rest
                if isinstance(each, int | float) and not isinstance(each, bool) and math.floor(each) == each
            ]
            if not isinstance(first, str) or len(numbers) != len(rest):
                return UNDEFINED
            start, length = (int(each) for each in numbers)
            if start < 0 or length <= 0:
                return ""
            if any(ord(each) > 0xFFFF for each in first[: start + length]):
                raise RefusalError
            return first[start : start + length]
    flag = rest[1] if len(rest) > 1 else False
    if name == "ARRAY_CONTAINS":
        if not isinstance(first, list) or rest[0] is UNDEFINED or not isinstance(flag, bool):
            return UNDEFINED
        wanted = rest[0]
        if flag and isinstance(wanted, dict):
            return any(
                isinstance(each, dict) and all(k in each and same(each[k], v) for k, v in wanted.items())
                for each in first
            )
        return any(same(each, wanted) for each in first)
    if not isinstance(first, str) or not isinstance(rest[0], str) or not isinstance(flag, bool):
        return UNDEFINED
    left, right = (lower(first), lower(rest[0])) if flag else (first, rest[0])
    return left == right if name == "STRINGEQUALS" else left.startswith(right)


def answered(asked: Asked, stored: Sequence[Mapping[str, Any]], doubt: Doubt) -> list[Any]:
    """What the query finds, in its order; items of equal place stand in the order in which they are stored."""
    met = [item for item in stored if asked.where is None or worth(asked.where, item, doubt) is True]
    if asked.order is not None:
        path, descending = asked.order
        met = [item for item in met if at(item, path) is not UNDEFINED]

        def place(item: Any) -> Any:
            value = at(item, path)
            return kind(value), 0 if value is None else value

        if any(isinstance(at(item, path), list | dict) for item in met):
            raise RefusalError
        met = sorted(met, key=place)
        met = met[::-1] if descending else met  # of equals, the later stored comes first then
    if asked.shown is None:
        return list(met)
    return [{name: value for path, name in asked.shown if (value := at(item, path)) is not UNDEFINED} for item in met]
