"""Locks on messages: who holds which message of a queue, by lock token, and which lock ends first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from local.servicebus.records import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """A message that a receiver holds until ``until_ms``; in a session, as long as it holds the session."""

    token: UUID
    sequence: int
    owner: object
    until_ms: int
    session_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A message for a receiver; without token and time where it was deleted on receipt."""

    message: Message
    token: UUID | None = None
    locked_until_ms: int | None = None


class MessageLocks:
    """The locks of one queue. Without sessions all last equally long, so that the first is the one that ends first."""

    def __init__(self) -> None:
        self._locks: dict[UUID, Lock] = {}
        self._held: set[int] = set()

    def holds(self, sequence: int) -> bool:
        """Whether somebody holds the message."""
        return sequence in self._held

    def lock(self, sequence: int, owner: object, until_ms: int, session_id: str | None) -> Lock:
        """A message goes to a receiver."""
        lock = Lock(token=uuid4(), sequence=sequence, owner=owner, until_ms=until_ms, session_id=session_id)
        self._locks[lock.token] = lock
        self._held.add(sequence)
        return lock

    def get(self, token: UUID) -> Lock | None:
        """The lock of a token."""
        return self._locks.get(token)

    def renew(self, lock: Lock, until_ms: int) -> None:
        """A lock lasts longer."""
        del self._locks[lock.token]  # and put back last: the order is that of the ends
        self._locks[lock.token] = replace(lock, until_ms=until_ms)

    def release(self, lock: Lock) -> None:
        """Nobody holds the message any more."""
        del self._locks[lock.token]
        self._held.discard(lock.sequence)

    def first(self) -> Lock | None:
        """The oldest lock."""
        return next(iter(self._locks.values()), None)

    def __iter__(self) -> Iterator[Lock]:
        return iter(tuple(self._locks.values()))
