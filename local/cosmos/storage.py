"""The SQLite file behind the local Cosmos DB server: databases, containers, items, settings.

One connection, one thread. A write-ahead log with ``synchronous=NORMAL``: once a transaction has ended its pages are
with the operating system, so they survive ``kill -9`` of this process (not the loss of power, which SQLite may answer
with losing the last transactions, never with a damaged file).

Filters and sorting use the SQL function ``term(body, path)``, the sortable key of the value at a path
(`values.sort_key`). A path that a query compares or sorts by gets an index on that expression, kept up to date by
SQLite: Cosmos DB too indexes every path, so a query here costs what it finds and not what is stored.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from local.cosmos.values import PathKeys, resolve, sort_key, to_json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS databases (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, etag TEXT NOT NULL, ts INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS containers (
    n INTEGER PRIMARY KEY AUTOINCREMENT, database INTEGER NOT NULL, id TEXT NOT NULL, properties TEXT NOT NULL,
    ranges INTEGER NOT NULL, etag TEXT NOT NULL, ts INTEGER NOT NULL, UNIQUE (database, id));
CREATE TABLE IF NOT EXISTS items (
    n INTEGER PRIMARY KEY AUTOINCREMENT, container INTEGER NOT NULL, pk TEXT NOT NULL, id TEXT NOT NULL,
    epk TEXT NOT NULL, etag TEXT NOT NULL, ts INTEGER NOT NULL, ttl INTEGER, body TEXT NOT NULL,
    UNIQUE (container, pk, id));
"""


class Storage:
    """An open database file. Created when missing; may be opened by one process at a time.

    :param path: the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.create_function("term", 2, _term, deterministic=True)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.execute("PRAGMA trusted_schema=ON")  # the indexes call our own function
        self.db.executescript(_SCHEMA)
        self._indexes: set[str] = set()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: any exception undoes what was written inside."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def setting(self, name: str) -> str | None:
        """A stored setting, None when never set."""
        row = self.db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""
        self.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))

    def index(self, container: int, path: PathKeys) -> str:
        """Make sure that a container's items are indexed by the value at a path; the name of the index."""
        digest = hashlib.sha256(to_json(list(path)).encode()).hexdigest()[:16]
        name = f"term_{container}_{digest}"
        if name not in self._indexes:
            self.db.execute(f"CREATE INDEX IF NOT EXISTS {name} ON items ({term(path)}) WHERE container = {container}")
            self._indexes.add(name)
        return name

    def drop_container(self, container: int) -> None:
        """Remove a container, its items and its indexes; to be called inside a transaction."""
        names = self.db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND name GLOB ?", (f"term_{container}_*",)
        ).fetchall()
        for row in names:
            self.db.execute(f"DROP INDEX {row['name']}")
            self._indexes.discard(row["name"])
        self.db.execute("DELETE FROM items WHERE container = ?", (container,))
        self.db.execute("DELETE FROM containers WHERE n = ?", (container,))

    def close(self) -> None:
        """Close the file."""
        self.db.close()


def term(path: PathKeys) -> str:
    """The SQL expression for the sortable key at a path; the text must be the same in the index and in the query."""
    quoted = to_json(list(path)).replace("'", "''")
    return f"term(body, '{quoted}')"


def _term(body: str, path: str) -> bytes | None:
    return sort_key(resolve(json.loads(body), _keys(path)))


@lru_cache(maxsize=1024)
def _keys(path: str) -> PathKeys:
    return tuple(json.loads(path))
