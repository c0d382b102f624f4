"""Which event ids a log has had: a table on disk, so that a log of any length is checked in bounded memory."""

from __future__ import annotations

import sqlite3


class EventIds:
    """Remembers each id with its leaf and the hash of its bytes. Temporary: gone when closed."""

    def __init__(self) -> None:
        self.count = 0
        self._table = sqlite3.connect("")  # a private file that SQLite removes itself; small ones stay in memory
        self._table.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, leaf INTEGER, hash BLOB) WITHOUT ROWID")

    def clash(self, event_id: str, leaf: int, digest: bytes) -> int | None:
        """Note the event; return the leaf of an earlier one with this id and another hash, None if there is none."""
        key = event_id.encode(errors="surrogatepass")
        added = self._table.execute("INSERT OR IGNORE INTO ids VALUES (?, ?, ?)", (key, leaf, digest)).rowcount
        self.count += added
        if added:
            return None
        first, held = self._table.execute("SELECT leaf, hash FROM ids WHERE id = ?", (key,)).fetchone()
        return None if held == digest else int(first)

    def close(self) -> None:
        """Drop the table."""
        self._table.close()
