"""A canary in every text that the demo's seed has of anybody, and a search that finds it in whatever spelling.

The fields are the seed's own: one that is added there has its canary without anybody adding it here.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from hostile import KANARI
from world import POLICY, World

from local.demo.records import Blob, Item
from local.demo.seed import make_seed
from shared.policy import Category
from shared.policy_terms import CosmosStore, FieldIs, Line, Member, NamePart

EACH = 2  # so many of the first and of the last records of each home, course and so on are planted
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?$")


@dataclass(kw_only=True)
class Planted:
    """The records, with a canary in place of each text; `fields` are the fields that have one, by container."""

    blobs: list[Blob] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    fields: dict[str, set[str]] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)  # by the seed's text
    addresses: set[str] = field(default_factory=set)  # IP addresses: these are their own canaries

    @property
    def secrets(self) -> list[str]:
        """Every text that names somebody or something of theirs."""
        return sorted({*self.people.values(), *self.addresses})

    # ------------------------------------------------------------ planting

    def text(self, name: str, value: str) -> str:
        """The canary of a text: the same for the same text, whatever its letter case."""
        if _TIME.match(value) or not value:
            return value
        try:
            self.addresses.add(str(ip_address(value)))
        except ValueError:
            pass
        else:
            return value
        low = value.lower()
        if low not in self.people:
            number = len(self.people)
            mail = f"{KANARI}.{number}@{KANARI}.example"
            self.people[low] = mail if "@" in value else f"{KANARI}-{name.lower()}-{number}"
        found = self.people[low]
        return found if value == low else found.capitalize()

    def value(self, name: str, value: Any) -> Any:
        match value:
            case str():
                return self.text(name, value)
            case list():
                return [self.value(name, each) for each in value]
            case dict():
                return {key: self.value(key, each) for key, each in value.items()}
        return value

    def item(self, item: Item) -> Item:
        body = {key: self.value(key, each) for key, each in item.body.items()}
        changed = {
            key for key, each in body.items() if KANARI in json.dumps(each).lower() or str(each) in self.addresses
        }
        self.fields.setdefault(item.container, set()).update(changed)
        return replace(item, body=body, partition=self.text("partition", item.partition))

    def blob(self, blob: Blob) -> Blob:
        """Its home, its camera, what is free in its name, and every text of its lines."""
        *folders, last = blob.name.split("/")
        theirs = {blob.home, blob.camera, *self.people}
        folders = [self.text("folder", each) if each in theirs else each for each in folders]
        time, _, rest = last.rpartition("-") if blob.home else ("", "", last)
        free = (
            last if blob.container == "web-access-log" else f"{time}{'-' * bool(time)}{KANARI}-{len(self.blobs)}-{rest}"
        )
        lines = [json.loads(line) for line in blob.text.splitlines()]
        text = "".join(json.dumps({k: self.value(k, v) for k, v in line.items()}) + "\n" for line in lines)
        return replace(blob, name="/".join([*folders, free]), text=text)


def planted(now: datetime) -> Planted:
    """Some of the seed, as of `now`: not the backup whose name tells no time, for it keeps requests from closing."""
    seed, found = make_seed(now), Planted()
    blobs = [each for each in seed.blobs if each.taken or each.container != "backups"]
    found.items = [found.item(each) for each in _some(seed.items, lambda each: (each.container, each.partition))]
    for each in _some(blobs, lambda each: (each.container, each.home)):
        found.blobs.append(found.blob(each))
    return found


def _some(records: Iterable[Any], key: Any) -> Iterator[Any]:
    groups: dict[Any, list[Any]] = {}
    for each in records:
        groups.setdefault(key(each), []).append(each)
    for group in groups.values():
        yield from group[:EACH] + group[max(EACH, len(group) - EACH) :]


def put(world: World, found: Planted) -> None:
    """Have them in the world's stores."""
    categories: dict[str, Category] = {}
    for each in POLICY.enforced():
        categories.setdefault(each.store.container, each)
    for item in found.items:
        world.put(categories[item.container].id, item.body, age=max(item.untouched, timedelta()))
    for blob in found.blobs:
        stored = min(blob.taken or world.now, world.now)
        world.records.put(categories[blob.container], blob.name, stored=stored, data=blob.text.encode())


def searched_fields() -> dict[str, set[str]]:
    """The fields of items by which the policy says that somebody is found, by container."""
    found: dict[str, set[str]] = {}
    for each in POLICY.enforced():
        if isinstance(each.store, CosmosStore):
            fields = {by.field for by in each.find.values() if isinstance(by, FieldIs | Member)}
            fields |= {each.identifies.email} if each.identifies else set()
            found.setdefault(each.store.container, set()).update(fields | {each.store.partition_field})
        assert all(
            isinstance(by, FieldIs | Member | NamePart | Line) or by.by == "partition" for by in each.find.values()
        )
    return found


# ---------------------------------------------------------------- searching


class Search:
    """Finds canaries in texts and bytes, whatever the spelling.

    Plain in any letter case (URL-encoded and JSON-escaped they look the same), in base64 at any place, in hexadecimal,
    and as digests of a whole canary: anybody who guesses it can make one.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        addresses = [secret for secret in secrets if KANARI not in secret.lower()]
        words = [KANARI, KANARI.capitalize(), KANARI.upper(), *addresses]
        plain = [KANARI, *(rf"(?<![\w.]){re.escape(each)}(?!\d)" for each in addresses)]
        encoded = [re.escape(part) for word in words for part in _base64(word.encode())]
        self._patterns = (
            re.compile("|".join(plain), re.IGNORECASE),
            re.compile("|".join(encoded)),
            re.compile("|".join(word.encode().hex() for word in words), re.IGNORECASE),
        )
        self._digests = {d for secret in secrets for text in {secret, secret.lower()} for d in _digests(text.encode())}

    def __call__(self, *texts: str | bytes | Mapping[str, str], digests: bool = True) -> str:
        """What of a canary is in these texts; "" where there is nothing."""
        for text in map(_text, texts):
            for pattern in self._patterns:
                if found := pattern.search(text):
                    return text[max(0, found.start() - 60) : found.end() + 60]
            if digests and (known := self._digests & set(_DIGEST.findall(text))):
                return f"digest {known}"
        return ""


_DIGEST = re.compile(r"[0-9a-f]{32,64}|[A-Za-z0-9+/_-]{22,43}")


def _text(given: str | bytes | Mapping[str, str]) -> str:
    if isinstance(given, bytes):
        return given.decode("utf-8", "replace")
    return given if isinstance(given, str) else json.dumps(dict(given))


def _base64(word: bytes) -> Iterator[str]:
    """What every base64 of a text with this word in it holds, by where the word stands: the inner characters."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + word).decode()
        first = -(-before * 8 // 6)
        yield whole[first : (before + len(word)) * 8 // 6]


def _digests(data: bytes) -> Iterator[str]:
    for kind in ("sha256", "sha1", "md5"):
        digest = hashlib.new(kind, data, usedforsecurity=False).digest()
        yield digest.hex()
        yield base64.b64encode(digest).decode().rstrip("=")
        yield base64.urlsafe_b64encode(digest).decode().rstrip("=")
