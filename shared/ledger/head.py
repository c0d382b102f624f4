"""The head of a year's log: what is committed, and where it is. Pure, but for the three containers it names.

The head is the one object that decides what is in the log, and in which order; it changes by compare-and-swap only.
Everything before its edge stands in full tiles and bundles; everything from there on in one staging object, which
`root` binds to the head. Refused with HeadError: bytes that are not such a head, or that contradict themselves.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from shared.errors import IntegrityError
from shared.ledger.merkle import EMPTY_ROOT, HASH_BYTES
from shared.ledger.tiles import WIDTH, Edge, edge_size
from shared.stores.interface import ObjectStore

VERSION = 1
YEAR = re.compile(r"[0-9]{4}")


class HeadError(IntegrityError):
    """The head cannot be read, or says what cannot be: nothing is appended until an operator has looked."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Where the logs are. `origin` is the setting LEDGER_ORIGIN, without the year.

    `tiles` is written once and never changed (WORM on Azure), `state` is mutable, `journals` is the outbox that the
    events come from: three containers.
    """

    origin: str
    tiles: ObjectStore
    state: ObjectStore
    journals: ObjectStore

    def origin_of(self, year: str) -> str:
        """Origin and key name of one year's log. Raises ValueError when it is no year."""
        if not YEAR.fullmatch(year):
            raise ValueError("a log's year has four digits")
        return f"{self.origin}/{year}"


@dataclass(frozen=True, kw_only=True)
class Staged:
    """The staging object: a bundle of all entries from `start` up to the head's size."""

    name: str
    start: int


@dataclass(frozen=True, kw_only=True)
class Head:
    """The committed log.

    `edge` is the right edge at `base`, the last boundary of a full bundle up to which all is in tiles and bundles;
    `staged` holds the entries from there on, None when there are none; `appended` names the intents that the log
    includes and whose journals may still exist.
    """

    size: int = 0
    root: bytes = EMPTY_ROOT
    edge: Edge = ()
    staged: Staged | None = None
    appended: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        base = self.base
        sound = base <= self.size and (base == self.size) == (self.staged is None)
        sound = sound and (self.staged is None or self.staged.start <= base)
        if not sound or base % WIDTH or any(len(row) >= WIDTH for row in self.edge):
            raise HeadError("the head's size, edge and staging contradict each other")

    @property
    def base(self) -> int:
        """Number of entries that are in full tiles and bundles."""
        return edge_size(self.edge)

    @property
    def unfinished(self) -> bool:
        """Whether full bundles are to be written or journals to be cleared."""
        return bool(self.appended) or self.size - self.base >= WIDTH

    def encode(self, origin: str) -> bytes:
        """Bytes of the head object of the log `origin`."""
        staged = {"name": self.staged.name, "start": self.staged.start} if self.staged else None
        value = {
            "v": VERSION,
            "origin": origin,
            "size": self.size,
            "root": self.root.hex(),
            "edge": [[each.hex() for each in row] for row in self.edge],
            "staged": staged,
            "appended": list(self.appended),
        }
        return json.dumps(value, separators=(",", ":")).encode()


def decode_head(data: bytes, origin: str) -> Head:
    """Read what encode wrote. Raises HeadError on any other bytes, and on the head of another log."""
    try:
        value = json.loads(data)
        if value["v"] != VERSION or value["origin"] != origin:
            raise HeadError("the head is of another log or version")
        staged = value["staged"]
        return Head(
            size=_count(value["size"]),
            root=_hash(value["root"]),
            edge=tuple(tuple(_hash(each) for each in row) for row in value["edge"]),
            staged=Staged(name=str(staged["name"]), start=_count(staged["start"])) if staged else None,
            appended=tuple(str(each) for each in value["appended"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HeadError("the head cannot be read: its form is not ours") from error


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a count")
    return value


def _hash(value: Any) -> bytes:
    data = bytes.fromhex(value)
    if len(data) != HASH_BYTES:
        raise ValueError("not a hash")
    return data
