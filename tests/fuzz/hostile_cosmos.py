"""Requests to the local Cosmos DB server that mean harm: those that the SDK sends, with their headers, paths and bodies spoilt."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

_NUMBERS = (
    "0", "-1", "1", "9" * 400, "9" * 5_000, "1e308", "1e999", "-0.0", "1.5", "2147483648", "NaN", "0x10", "\u0661",
)  # fmt: skip
_WORDS = (
    "", " ", "\x00", "True", "true", "False", "*", '"x"', "[]", "[{}]", "[null]", '["h"]', '["h","i"]', "[[]]", "[1e999]",
    '["\\ud800"]', "[" * 2_000, "{", "zz", "AAAAAQ==", "AAAAAYAAAAE=", "AAAAAYAAAAEAAAAAAAAAAQ==", "////", "=", "%", "%00",
    "..", "é", "\xff", "q:", "q:" + "0" * 32 + ";n:1;k:", "SELECT * FROM c", "FF", "7FFF", "A" * 9_000, "\r", ";", "0", "1",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, 2**53, 2**53 + 1, -(2**63), 10**400, 1e308, -0.0, "", "h", "i0", "\x00", "\ud800", "😀" * 50,
    "x" * 100_000, [], {}, [[]], [None], {"": 1}, {"id": "x"}, {"$": {"a": []}}, "from c where c.v = 1", "/v", "/list/0", "/id", "*",
    "Create", "Delete", "Patch", "SELECT * FROM c", "@low",
)  # fmt: skip
_PIECES = (
    "SELECT", "FROM", "c", "WHERE", "NOT", "AND", "OR", "IN", "(", ")", ",", "*", "=", "!=", "<", "<=", ".", "[", "]", "'", '"', "\\",
    "@low", "@x", "1", "-", "1e999", "null", "undefined", "c.v", "c['v']", "c[0]", "ORDER BY", "DESC", "VALUE", "COUNT(1)", "TOP 1", "--",
    "LOWER(", "ARRAY_CONTAINS(c.list, 1)", "SUBSTRING(c.v, 0, 1)", "STARTSWITH(c.v, 'a')", "IS_DEFINED(c.v)", "\u2028", "\x00", "'\ud800'",
    "(" * 60, "NOT " * 60, "c.v = 1 OR " * 300, "{'a': 1}", "BETWEEN", "LIKE", "JOIN", "udf.f(c)", "DISTINCT", "GROUP BY c.v", "OFFSET 1 LIMIT 1",
)  # fmt: skip
_HEADERS = (
    "if-match", "if-none-match", "x-ms-continuation", "x-ms-max-item-count", "x-ms-start-epk", "x-ms-end-epk",
    "x-ms-documentdb-partitionkeyrangeid", "x-ms-documentdb-partitionkey", "x-ms-cosmos-is-batch-request", "prefer",
)  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND", "get")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: `path` is decoded, `headers` are without the signature."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def requests_of(stream: bytes) -> list[Asked]:
    """The requests in what the SDK sent on one connection."""
    found = []
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        size = int(dict(headers).get("content-length", "0"))
        unsigned = tuple(each for each in headers if each[0] not in {"authorization", "x-ms-date", "host"})
        found.append(Asked(method=method, path=unquote(target), headers=unsigned, body=rest[:size]))
        stream = rest[size:]
    return found


class HostileCosmos:
    """All of it by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def spoilt(self, asked: Sequence[Asked]) -> Asked:
        """One of the requests with one thing wrong, or a few."""
        chosen = self.chance.choice(asked)
        for _ in range(self.chance.choice((1, 1, 1, 2, 4))):
            chosen = self.chance.choice((self._header, self._header, self._path, self._body, self._body, self._query))(
                chosen
            )
        return chosen

    def _word(self) -> str:
        return self.chance.choice((*_WORDS, *_NUMBERS))

    def _header(self, asked: Asked) -> Asked:
        headers = list(asked.headers)
        match self.chance.randrange(4):
            case 0:
                del headers[self.chance.randrange(len(headers))]
            case 1:
                at = self.chance.randrange(len(headers))
                headers[at] = (headers[at][0], self._word())
            case 2:
                headers.append((self.chance.choice((*_HEADERS, headers[0][0])), self._word()))
            case _:
                return replace(asked, method=self.chance.choice(_METHODS))
        latin = [(name, value.encode("latin-1", "replace").decode("latin-1")) for name, value in headers]
        return replace(asked, headers=tuple(latin))

    def _path(self, asked: Asked) -> Asked:
        parts = asked.path.strip("/").split("/")
        at = self.chance.randrange(len(parts))
        match self.chance.randrange(3):
            case 0:
                del parts[at]
            case 1:
                parts.insert(at, self._word())
            case _:
                parts[at] = self._word()
        return replace(asked, path="/" + "/".join(parts))

    def _body(self, asked: Asked) -> Asked:
        try:
            value = json.loads(asked.body)
        except ValueError:
            return replace(asked, body=self.chance.choice((b"{}", b"[]", b"null", b"", b"\xff", b'"' + b"x" * 99)))
        if self.chance.random() < 0.3:
            return replace(asked, body=self._bytes(asked.body))
        box = [value]
        places = _places(box)
        holder, key = self.chance.choice(places)
        choice = self.chance.randrange(8)
        if choice == 0 and holder is not box:
            del holder[key]
        elif choice == 1:
            deep: Any = 1
            for _ in range(self.chance.choice((20, 127, 140, 600))):
                deep = [deep] if self.chance.random() < 0.5 else {"d": deep}
            holder[key] = deep
        elif choice == 2:
            holder[key] = [holder[key]] * self.chance.choice((1, 2, 101))
        else:
            holder[key] = self.chance.choice(_VALUES)
        try:
            return replace(asked, body=json.dumps(box[0]).encode())
        except RecursionError:  # one deep value inside another
            return asked

    def _bytes(self, body: bytes) -> bytes:
        raw = bytearray(body)
        for _ in range(self.chance.randint(1, 4)):
            at = self.chance.randrange(len(raw) + 1)
            match self.chance.randrange(4):
                case 0:
                    del raw[at:]
                case 1:
                    raw[at:at] = self.chance.choice(
                        (b"\x00", b"\xff", b"\xc3", b"[", b"}", b'"', b"\\", b"\\ud800", b"1e999", b"NaN")
                    )
                case 2:
                    raw[at : at + 1] = self.chance.randbytes(1)
                case _:
                    raw += raw[at:]
        return bytes(raw)

    def _query(self, asked: Asked) -> Asked:
        try:
            value = json.loads(asked.body)
            words = value["query"].split(" ")
        except (ValueError, KeyError, TypeError, AttributeError):
            return asked
        for _ in range(self.chance.randint(1, 5)):
            at = self.chance.randrange(len(words) + 1)
            words[at : at + self.chance.randrange(2)] = [self.chance.choice(_PIECES)]
        value["query"] = " ".join(words)
        return replace(asked, body=json.dumps(value).encode())


def _places(box: list[Any]) -> list[tuple[Any, Any]]:
    """Each place in a value that can be given another, as its holder and the key there."""
    found: list[tuple[Any, Any]] = []
    level: list[Any] = [box]
    while level:
        holder = level.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                level.append(holder[key])
    return found
