"""Which event ids a log has had: a table on disk, so that a log of any length is checked in bounded memory.

Most ids follow each other, `<intent>/<ordinal>`, leaf by leaf. Such a run is one row, with the hashes of its leaves; an
id that follows the one before it needs no look at the table.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from shared.ledger.merkle import HASH_BYTES

LONGEST_RUN = 4_096  # the hashes of one are held in memory
_ORDINAL = re.compile(r"0|[1-9][0-9]{0,17}")  # in one spelling, and fit for the table
_END = 10**18
_NO_ORDINAL = -1


class EventIds:
    """Remembers each id with its leaf and the hash of its bytes. Temporary: gone when closed."""

    def __init__(self, *, longest_run: int = LONGEST_RUN) -> None:
        self.count = 0
        self._longest = longest_run
        self._table = sqlite3.connect("")  # a private file that SQLite removes itself; small ones stay in memory
        self._table.execute(
            "CREATE TABLE runs (intent BLOB, first INTEGER, leaf INTEGER, hashes BLOB, PRIMARY KEY (intent, first))"
            " WITHOUT ROWID"
        )
        # The run that is being added to: it begins with `_first` at `_leaf`, and is in no row yet.
        self._intent = ""
        self._first = self._leaf = 0
        self._hashes = list[bytes]()
        self._most = 0  # how many it may have: no id of it is in a row
        self._next = ""  # the id, and the leaf, that would go on with it
        self._next_leaf = 0

    def clash(self, event_id: str, leaf: int, digest: bytes) -> int | None:
        """Note the event; return the leaf of an earlier one with this id and another hash, None if there is none."""
        if event_id != self._next or leaf != self._next_leaf or len(self._hashes) >= self._most:
            self._end()
            intent, ordinal = _divide(event_id)
            held = self._look(intent, ordinal)
            if held is not None:
                first, earlier = held
                return None if earlier == digest else first
            self._begin(intent, ordinal, leaf)
        self._hashes.append(digest)
        self._next = f"{self._intent}/{self._first + len(self._hashes)}"
        self._next_leaf = leaf + 1
        self.count += 1
        return None

    def follow(self, ids: Sequence[object], leaf: int, hashes: Sequence[bytes], *, start: int) -> int:
        """Note those from `start` on that go on with the run, which can clash with none; return where they end.

        `leaf` is the place of the first of `ids`, `hashes` are theirs.
        """
        at = start
        if leaf + at == self._next_leaf:
            end = min(len(ids), at + self._most - len(self._hashes))
            ordinal, intent = self._first + len(self._hashes) - at, self._intent
            while at < end and ids[at] == f"{intent}/{ordinal + at}":
                at += 1
        if at > start:
            self._hashes += hashes[start:at]
            self._next = f"{intent}/{ordinal + at}"
            self._next_leaf = leaf + at
            self.count += at - start
        return at

    def _begin(self, intent: str, ordinal: int, leaf: int) -> None:
        """Begin a run with an id that is in no row: it ends before the next one that is."""
        row = self._table.execute(
            "SELECT min(first) FROM runs WHERE intent = ? AND first > ?", (_key(intent), ordinal)
        ).fetchone()
        self._intent, self._first, self._leaf = intent, ordinal, leaf
        self._most = min(self._longest, (_END if row[0] is None else row[0]) - ordinal)

    def _end(self) -> None:
        """Put the run into a row."""
        if self._hashes:
            row = (_key(self._intent), self._first, self._leaf, b"".join(self._hashes))
            self._table.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", row)
            self._hashes = []
            self._next, self._next_leaf = "", -1

    def _look(self, intent: str, ordinal: int) -> tuple[int, bytes] | None:
        """Leaf and hash of the id, where a row has it."""
        key = _key(intent)
        row = self._table.execute(
            "SELECT first, leaf, length(hashes) FROM runs WHERE intent = ? AND first <= ? ORDER BY first DESC LIMIT 1",
            (key, ordinal),
        ).fetchone()
        if row is None or (at := ordinal - row[0]) >= row[2] // HASH_BYTES:
            return None
        held = self._table.execute(
            "SELECT substr(hashes, ?, ?) FROM runs WHERE intent = ? AND first = ?",
            (at * HASH_BYTES + 1, HASH_BYTES, key, row[0]),
        ).fetchone()
        return row[1] + at, held[0]

    def close(self) -> None:
        """Drop the table."""
        self._table.close()


def _divide(event_id: str) -> tuple[str, int]:
    """Intent and ordinal, or the whole id and _NO_ORDINAL: another pair for each id."""
    intent, slash, ordinal = event_id.rpartition("/")
    if slash and _ORDINAL.fullmatch(ordinal):
        return intent, int(ordinal)
    return event_id, _NO_ORDINAL


def _key(intent: str) -> bytes:
    return intent.encode(errors="surrogatepass")
