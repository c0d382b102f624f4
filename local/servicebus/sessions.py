"""Which messages are ready and who holds which session: the order of delivery inside one queue.

A lane is a line of ready messages in the order of their sequence numbers: a session's, or the only one of a queue
without sessions. Sessions with ready messages wait for a receiver in the order in which they became available, so that
a session whose messages keep coming back cannot starve the others.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionLock:
    """A session, the receiver that holds it, and until when (epoch milliseconds)."""

    session_id: str
    owner: object
    until_ms: int


class Lanes:
    """Ready messages by lane. Entries are not taken out when a message goes otherwise: they are skipped when met.

    Args:
        is_ready: whether the message of this sequence number is still ready.
    """

    def __init__(self, is_ready: Callable[[int], bool]) -> None:
        self._is_ready = is_ready
        self._lanes: dict[str | None, list[int]] = {}

    def add(self, lane: str | None, sequence: int) -> None:
        """A message became ready."""
        heapq.heappush(self._lanes.setdefault(lane, []), sequence)

    def head(self, lane: str | None) -> int | None:
        """The first ready message of a lane, left where it is."""
        line = self._lanes.get(lane)
        while line:
            if self._is_ready(line[0]):
                return line[0]
            heapq.heappop(line)
        self._lanes.pop(lane, None)
        return None

    def pop(self, lane: str | None) -> int | None:
        """The first ready message of a lane, taken out."""
        sequence = self.head(lane)
        if sequence is not None:
            heapq.heappop(self._lanes[lane])
        return sequence


class SessionLocks:
    """Session locks and the sessions that wait for a receiver. All locks last equally long: the first is the oldest.

    Args:
        lock_ms: how long a lock lasts, in milliseconds.
    """

    def __init__(self, lock_ms: int) -> None:
        self._lock_ms = lock_ms
        self._locks: dict[str, SessionLock] = {}
        self._available: dict[str, None] = {}

    def offer(self, session_id: str) -> bool:
        """A session has a ready message; True when it became available by that."""
        if session_id in self._locks or session_id in self._available:
            return False
        self._available[session_id] = None
        return True

    def available(self) -> Iterator[str]:
        """The sessions that wait for a receiver, the longest waiting first."""
        return iter(tuple(self._available))

    def withdraw(self, session_id: str) -> None:
        """A session has nothing ready any more."""
        self._available.pop(session_id, None)

    def holder(self, session_id: str) -> SessionLock | None:
        """Who holds a session."""
        return self._locks.get(session_id)

    def lock(self, session_id: str, owner: object, now: int) -> SessionLock:
        """A session goes to a receiver; it must be free."""
        self._available.pop(session_id, None)
        lock = SessionLock(session_id=session_id, owner=owner, until_ms=now + self._lock_ms)
        self._locks[session_id] = lock
        return lock

    def renew(self, lock: SessionLock, now: int) -> SessionLock:
        """A held session is held for its full time again."""
        del self._locks[lock.session_id]  # and put back last: the order is that of the ends
        renewed = replace(lock, until_ms=now + self._lock_ms)
        self._locks[lock.session_id] = renewed
        return renewed

    def unlock(self, session_id: str) -> None:
        """A session is free."""
        del self._locks[session_id]

    def held_by(self, owner: object) -> list[SessionLock]:
        """The sessions of one receiver."""
        return [lock for lock in self._locks.values() if lock.owner is owner]

    def first(self) -> SessionLock | None:
        """The lock that ends first."""
        return next(iter(self._locks.values()), None)
