"""What the broker must not lose, in one SQLite file: written before anyone is told, read at start.

``commit`` returns when the changes are on the disk (WAL with ``synchronous=FULL``: one fsync per call), all or none. A
crash before it leaves the file as it was, and nobody has heard otherwise; a crash after it loses nothing. Only one
server at a time can use a file.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from local.servicebus.envelope import DeadLetter, open_envelope
from local.servicebus.faults import RefusedError
from local.servicebus.records import (
    Change,
    Forgotten,
    LastSequence,
    Loaded,
    Message,
    Removed,
    Seen,
    SessionStateSet,
    State,
    Stored,
)
from local.servicebus.values import MalformedError

_VERSION = 1
_SCHEMA = f"""
BEGIN;
CREATE TABLE message (
    path TEXT, sequence INTEGER, state INTEGER, delivery_count INTEGER, enqueued_ms INTEGER, expires_ms INTEGER,
    source TEXT, reason TEXT, description TEXT, raw BLOB, PRIMARY KEY (path, sequence));
CREATE TABLE last_sequence (path TEXT PRIMARY KEY, sequence INTEGER);
CREATE TABLE seen (path TEXT, message_id TEXT, at_ms INTEGER, PRIMARY KEY (path, message_id));
CREATE INDEX seen_age ON seen (path, at_ms);
CREATE TABLE session_state (path TEXT, session_id TEXT, state BLOB, PRIMARY KEY (path, session_id));
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class StoreError(Exception):
    """The data folder is unusable: another server has it, it is damaged, or the disk refuses; the text says which."""


class Store:
    """The file ``servicebus.db`` in a folder, which is made when it is not there. Raises StoreError throughout."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "servicebus.db"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._connection.executescript(_SCHEMA)
            elif version != _VERSION:
                raise StoreError(f"{self._path} is of version {version}; this server writes version {_VERSION}")
            # Takes the file's lock now rather than at the first message, so that a second server fails at its start.
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def load(self) -> Iterator[Loaded]:
        """Everything that was committed, the oldest first."""
        try:
            for path, sequence in self._connection.execute("SELECT path, sequence FROM last_sequence"):
                yield LastSequence(path=path, sequence=sequence)
            for path, message_id, at_ms in self._connection.execute("SELECT * FROM seen ORDER BY at_ms"):
                yield Seen(path=path, message_id=message_id, at_ms=at_ms)
            for path, session_id, state in self._connection.execute("SELECT * FROM session_state"):
                yield SessionStateSet(path=path, session_id=session_id, state=state)
            for row in self._connection.execute("SELECT * FROM message ORDER BY path, sequence"):
                yield Stored(path=row[0], message=_message(row))
        except (sqlite3.Error, MalformedError, RefusedError, ValueError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    def commit(self, changes: Sequence[Change]) -> None:
        """Makes the changes durable, all or none."""
        if not changes:
            return
        last: dict[str, int] = {}
        for change in changes:
            if isinstance(change, Stored):
                last[change.path] = max(change.message.sequence, last.get(change.path, 0))
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for change in changes:
                self._connection.execute(*_statement(change))
            self._connection.executemany(
                "INSERT INTO last_sequence VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET sequence = max(sequence, excluded.sequence)",
                last.items(),
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error


def _statement(change: Change) -> tuple[str, tuple[object, ...]]:
    match change:
        case Stored(path=path, message=message):
            dead = message.dead_letter or DeadLetter(source="", reason=None, description=None)
            row = (
                path, message.sequence, message.state.value, message.delivery_count, message.enqueued_ms,
                message.expires_ms, dead.source, dead.reason, dead.description, message.envelope.raw,
            )  # fmt: skip
            return "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
        case Removed(path=path, sequence=sequence):
            return "DELETE FROM message WHERE path = ? AND sequence = ?", (path, sequence)
        case Seen(path=path, message_id=message_id, at_ms=at_ms):
            return "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (path, message_id, at_ms)
        case Forgotten(path=path, until_ms=until_ms):
            return "DELETE FROM seen WHERE path = ? AND at_ms <= ?", (path, until_ms)
        case SessionStateSet(path=path, session_id=session_id, state=None):
            return "DELETE FROM session_state WHERE path = ? AND session_id = ?", (path, session_id)
        case SessionStateSet(path=path, session_id=session_id, state=state):
            return "INSERT OR REPLACE INTO session_state VALUES (?, ?, ?)", (path, session_id, state)


def _message(row: tuple[Any, ...]) -> Message:
    _, sequence, state, delivery_count, enqueued_ms, expires_ms, source, reason, description, raw = row
    return Message(
        sequence=sequence,
        envelope=open_envelope(raw),
        state=State(state),
        delivery_count=delivery_count,
        enqueued_ms=enqueued_ms,
        expires_ms=expires_ms,
        dead_letter=DeadLetter(source=source, reason=reason, description=description) if source else None,
    )
