"""Messages as somebody hostile, or careless, sends them: made from the JSON Schemas of the forms, then spoilt.

Every text that may be free holds the word KANARI, so that a test can find any of them where it must not be.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.message_forms import FORMS

KANARI = "kanari"
SCHEMAS = {form.model_fields["type"].annotation.__args__[0]: form.model_json_schema() for form in FORMS}
BY_PEOPLE = (*(kind for kind in SCHEMAS if kind not in ("work", "slice", "doorbell")), "erase", "erase", "restrict")
"""What people send, erasures the most."""

ONE_OF = ({"user_id", "email", "home_id", "session_id", "visit"}, {"user_id", "home_id", "category", "record"})
FORMAL = ("type", "id", "ip", "since", "until", "received_at", "backup_began", "request", "run", "hold", "parked")
"""The fields in which no text is free."""

ADDRESSES = ("203.0.113.77", "2001:db8::4b41:4e41:5249", "::ffff:203.0.113.77")
TIMES = (
    "2026-01-31T09:30:00Z", "2026-01-31t09:30:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "2024-02-29T23:59:59.999999-11:30", "2026-01-31 09:30:00+00:00", "20260131T093000Z",
)  # fmt: skip
NO_TIMES = (
    "2026-01-31T09:30:00", "2026-02-30T09:30:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2026-01-31T24:00:01Z", "2026-01-31T09:30:61Z", "١٩٩٩-01-01T00:00:00Z", "P1D", "1769851800", "today",
)  # fmt: skip
POISON = (
    "' OR '1'='1' --", '"; DROP TABLE users; --', "@subject OR true", "| where 1 == 1 | project body",
    "\r\nALARM nothing is wrong", "\n2026-01-01 ERROR forged", "\x1b[2J\x1b]0;title\x07", "\x00", "\x7f\x85\u2028\u2029",
    "../../keys", "..\\..\\keys", "%2e%2e%2f", "a/../b", ".", "..", "/", "\\", "a//b", "~", "C:\\x", "holds/x.json",
    "${jndi:ldap://x}", "{{7*7}}", "%s%n%d", "{0.__class__}", "<script>", "=cmd|' /C x'!A0", "x-ms-meta: y\r\nx: z",
    "\u0430nna", "\uff41nna", "anna\u200b", "\u202eanna", "İstanbul", "ß", "é", "e\u0301", "\U0001f600" * 20, "\ufeff",
    "__proto__", "constructor", "null", "true", "NaN", "[object Object]", "\ud7ff\ue000", "\ufffe\uffff",
)  # fmt: skip

Path = tuple[str | int, ...]


class Maker:
    """Makes bodies from a seed. `known` are ids that are there, by the name of the field that may have them."""

    def __init__(self, seed: int, known: Mapping[str, Sequence[str]]) -> None:
        self.chance = random.Random(seed)
        self.known = known
        self.ways: tuple[Callable[[dict], bytes], ...] = (
            *(self._as_it_is,) * 4, *(self._poisoned,) * 4, self._other_type, self._other_type, self._field_missing, self._field_more,
            self._wrapped, self._renamed, self._too_long, self._number,
            self._twice, self._raw_control, self._surrogate, self._encoded, self._cut, self._flipped, self._nothing,
            self._deep, self._huge, self._top_level, self._other_time, self._other_kind,
        )  # fmt: skip

    def body(self, kind: str | None = None) -> bytes:
        """One message, spoilt in one way, or not at all."""
        kind = kind or self.chance.choice([*SCHEMAS])
        return self.chance.choice(self.ways)({"retention": self.valid(kind)})

    def uuid(self) -> str:
        """A random id."""
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    # ------------------------------------------------------------ valid ones

    def valid(self, kind: str) -> dict:
        """The fields of a message that its schema takes."""
        return self._object(SCHEMAS[kind], SCHEMAS[kind].get("$defs", {}))

    def _object(self, schema: dict, defs: dict) -> dict:
        fields = dict(schema["properties"])
        for group in ONE_OF:
            if group <= set(fields):
                for other in group - {self.chance.choice(sorted(group))}:
                    del fields[other]
                must = group & set(fields)
                break
        else:
            must = set()
        must |= set(schema.get("required", ()))
        made = {n: self._value(n, s, defs) for n, s in fields.items() if n in must or self.chance.random() < 0.1}
        if {"since", "until"} <= set(made):
            made["since"], made["until"] = sorted([TIMES[0], TIMES[3]])
        return made

    def _value(self, name: str, schema: dict, defs: dict) -> Any:
        if "anyOf" in schema:
            schema = schema["anyOf"][0]
        if "$ref" in schema:
            return self._object(defs[schema["$ref"].rpartition("/")[2]], defs)
        if "const" in schema:
            return schema["const"]
        match schema["type"]:
            case "integer":
                return self.chance.choice((schema["minimum"], 1, schema["maximum"]))
            case "array":
                return [self._value("category", schema["items"], defs) for _ in range(self.chance.randrange(3))]
        return self._text(name, schema)

    def _text(self, name: str, schema: dict) -> str:
        if self.known.get(name) and self.chance.random() < 0.6:
            return self.chance.choice(self.known[name])
        match schema.get("format"), name:
            case (("uuid4" | "uuid"), _):
                return self.uuid()
            case "date-time", _:
                return self.chance.choice(TIMES)
            case _, "ip":
                return self.chance.choice(ADDRESSES)
            case _, "email":
                return f"{KANARI}{self.chance.randrange(99)}@kanari.example"
        return f"{KANARI}-{name.replace('_', '-')}-{self.chance.randrange(999)}"[: schema.get("maxLength", 120)]

    # ------------------------------------------------------------ ways to spoil one

    def _paths(self, value: Any, path: Path = ()) -> list[Path]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [path] * bool(path) + [p for key, each in inner for p in self._paths(each, (*path, key))]

    def _with(self, message: dict, change: Callable[[Any], Any], *, texts: bool = False) -> dict:
        """The message with another value somewhere."""
        paths = self._paths(message)
        if texts:
            paths = [p for p in paths if isinstance(_at(message, p), str) and p[-1] not in FORMAL] or paths
        path = self.chance.choice(paths)
        message = json.loads(json.dumps(message))
        _at(message, path[:-1])[path[-1]] = change(_at(message, path))
        return message

    def _dump(self, message: Any) -> bytes:
        return json.dumps(message, ensure_ascii=self.chance.random() < 0.5).encode("utf-8", "surrogatepass")

    def _as_it_is(self, message: dict) -> bytes:
        return self._dump(message)

    def _other_type(self, message: dict) -> bytes:
        values = (None, True, False, 0, -1, 1.0, 10**30, "", " ", [], {}, [KANARI], {KANARI: KANARI}, [[]], "1", KANARI)
        return self._dump(self._with(message, lambda _: self.chance.choice(values)))

    def _field_missing(self, message: dict) -> bytes:
        path = self.chance.choice(self._paths(message))
        del _at(message, path[:-1])[path[-1]]
        return self._dump(message)

    def _field_more(self, message: dict) -> bytes:
        objects = [p for p in self._paths(message) if isinstance(_at(message, p), dict)]
        names = (
            KANARI,
            "__proto__",
            "State",
            "deliveryCount",
            "MessageId",
            "",
            "retention",
            "\r\nx",
            "subject",
            "visit",
        )
        _at(message, self.chance.choice(objects))[self.chance.choice(names)] = self.chance.choice((KANARI, 1, None, {}))
        return self._dump(message)

    def _wrapped(self, message: dict) -> bytes:
        ways = (lambda v: [v], lambda v: {KANARI: v}, json.dumps, lambda v: [v, v], lambda v: {"retention": v})
        return self._dump(self._with(message, self.chance.choice(ways)))

    def _renamed(self, message: dict) -> bytes:
        path = self.chance.choice([p for p in self._paths(message) if isinstance(p[-1], str)])
        inner = _at(message, path[:-1])
        name = str(path[-1])
        ways = (
            name.upper(),
            f" {name}",
            name.replace("e", "\u0435"),
            f"{name}\x00",
            "".join(chr(ord(c) + 0xFEE0) for c in name),
        )
        inner[self.chance.choice(ways)] = inner.pop(name)
        return self._dump(message)

    def _poisoned(self, message: dict) -> bytes:
        """A text that is meant for something behind the door; many of these are valid."""
        poison = self.chance.choice(POISON)
        ways = (
            lambda v: f"{KANARI}{poison}",
            lambda v: f"{poison}{KANARI}",
            lambda v: f"{poison}@{KANARI}.example",
            lambda v: poison,
        )
        return self._dump(self._with(message, self.chance.choice(ways), texts=True))

    def _too_long(self, message: dict) -> bytes:
        size = self.chance.choice((129, 201, 255, 1025, 9_000, 60_000))
        return self._dump(self._with(message, lambda _: (KANARI * size)[:size], texts=True))

    def _number(self, message: dict) -> bytes:
        numbers = (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-0",
            "1E400",
            "9" * 5000,
            "9" * 300,
            "0x10",
            "01",
            "1.",
            "1e-9",
        )
        marked = json.dumps(self._with(message, lambda _: "@@@"))
        return marked.replace('"@@@"', self.chance.choice(numbers), 1).encode()

    def _twice(self, message: dict) -> bytes:
        path = self.chance.choice([p for p in self._paths(message) if isinstance(p[-1], str)])
        marked = self._with(message, lambda v: v)
        _at(marked, path[:-1])["@@@"] = self.chance.choice((KANARI, _at(message, path), None))
        return json.dumps(marked).replace('"@@@"', json.dumps(path[-1]), 1).encode()

    def _raw_control(self, message: dict) -> bytes:
        raw = self.chance.choice(("\x00", "\n", "\r\n", "\t", "\x1b"))
        return json.dumps(self._with(message, lambda _: "@@@", texts=True)).replace("@@@", f"{KANARI}{raw}").encode()

    def _surrogate(self, message: dict) -> bytes:
        lone = self.chance.choice(("\\ud800", "\\udfff", "\\udc00\\ud800", "\\ud83d"))
        return json.dumps(self._with(message, lambda _: "@@@", texts=True)).replace("@@@", f"{KANARI}{lone}").encode()

    def _encoded(self, message: dict) -> bytes:
        text = json.dumps(message, ensure_ascii=False)
        encoding = self.chance.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "cp037"))
        return text.encode(encoding, "replace")

    def _cut(self, message: dict) -> bytes:
        body = self._dump(message)
        at = self.chance.randrange(len(body))
        return self.chance.choice((body[:at], body[at:], body + b"}", body + body, b"\x00" + body, body + b"\n,"))

    def _flipped(self, message: dict) -> bytes:
        body = bytearray(self._dump(message))
        for _ in range(self.chance.choice((1, 3, 30))):
            body[self.chance.randrange(len(body))] ^= 1 << self.chance.randrange(8)
        return bytes(body)

    def _nothing(self, _: dict) -> bytes:
        bodies = (
            b"",
            b" ",
            b"\x00",
            b"null",
            b"[]",
            b"{}",
            b"0",
            b'""',
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b'{"retention":null}',
        )
        return self.chance.choice(bodies)

    def _deep(self, message: dict) -> bytes:
        depth = self.chance.choice((200, 900, 30_000))
        opening, closing = self.chance.choice((("[", "]"), ('{"retention":', "}")))
        deep = opening * depth + ("1" if self.chance.random() < 0.5 else "") + closing * depth
        return self.chance.choice(
            (deep, json.dumps(self._with(message, lambda _: "@@@")).replace('"@@@"', deep, 1))
        ).encode()

    def _huge(self, message: dict) -> bytes:
        return self._dump(message) + b" " * self.chance.choice((60_000, 300 * 1024))

    def _top_level(self, message: dict) -> bytes:
        message |= {self.chance.choice(("State", "MessageId", "retention ", KANARI)): KANARI}
        return self._dump(self.chance.choice((message, message["retention"], [message])))

    def _other_time(self, message: dict) -> bytes:
        return self._dump(self._with(message, lambda _: self.chance.choice((*TIMES, *NO_TIMES))))

    def _other_kind(self, message: dict) -> bytes:
        kinds = (*SCHEMAS, "ERASE", "\u0435rase", "erase ", "", "delete", "retention.erase", "erase\x00")
        message["retention"]["type"] = self.chance.choice(kinds)
        return self._dump(message)


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value
