"""Duplicate detection: the message ids that an entity took in during its window.

An id is held for a fixed time after it was first seen, whether or not its message is still there; seeing it again does
not prolong that. https://learn.microsoft.com/azure/service-bus-messaging/duplicate-detection
"""

from collections.abc import Callable

from local.servicebus.records import Change, Forgotten, Seen


class DuplicateHistory:
    """The ids seen within the window, oldest first.

    Args:
        path: the entity's path, for the changes.
        window_ms: how long an id is held, in milliseconds; None when the entity detects no duplicates.
        record: takes each change.
    """

    def __init__(self, path: str, window_ms: int | None, record: Callable[[Change], None]) -> None:
        self._path = path
        self._window_ms = window_ms
        self._record = record
        self._seen: dict[str, int] = {}

    @property
    def enabled(self) -> bool:
        """Whether the entity detects duplicates."""
        return self._window_ms is not None

    def restore(self, seen: Seen) -> None:
        """An id that a store held; they come oldest first."""
        self._seen[seen.message_id] = seen.at_ms

    def contains(self, message_id: str | None, now: int) -> bool:
        """Whether a message with this id was taken in within the window."""
        if self._window_ms is None or message_id is None:
            return False
        self._forget(now - self._window_ms)
        return message_id in self._seen

    def add(self, message_id: str | None, now: int) -> None:
        """A message with this id, not in the history, was taken in."""
        if self._window_ms is not None and message_id is not None:
            self._seen[message_id] = now
            self._record(Seen(path=self._path, message_id=message_id, at_ms=now))

    def _forget(self, until_ms: int) -> None:
        expired = []
        for message_id, at_ms in self._seen.items():
            if at_ms > until_ms:
                break
            expired.append(message_id)
        for message_id in expired:
            del self._seen[message_id]
        if expired:
            self._record(Forgotten(path=self._path, until_ms=until_ms))
