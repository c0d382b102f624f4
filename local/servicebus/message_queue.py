"""One queue, subscription or dead-letter queue: the state machine behind it, without network, disk or clock of its own.

Every method first lets happen what is due by ``now``; each change to what must survive is handed to ``record`` before
the method returns. Locks are not recorded: after a restart, what was locked is back in the queue, its count unchanged.

When messages come back: abandoned, lock expired or receiver gone: one failure more, and to the dead-letter queue when
``max_delivery_count`` is reached. Released, or its session closed by the receiver: the count stays. A deferred message
comes back as deferred. Dead-lettered messages keep sequence number, count and times, and expire no more.

Semantics: https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import replace
from uuid import UUID

from local.servicebus import faults
from local.servicebus.duplicates import DuplicateHistory
from local.servicebus.entities import QueueSpec
from local.servicebus.envelope import DeadLetter, Envelope
from local.servicebus.faults import RefusedError
from local.servicebus.locks import Delivery, Lock, MessageLocks
from local.servicebus.records import Change, Message, Removed, SessionStateSet, State, Stored
from local.servicebus.sessions import Lanes, SessionLock, SessionLocks

_TIMERS_SPARE = 64


class MessageQueue:
    """A queue.

    Args:
        spec: its settings.
        path: its address in lower case; names it in changes.
        address: its address as configured; names it to receivers of dead-lettered messages.
        record: takes each change that must survive.
        wake: called when a message or session became available.
        dead_letters: where dead-lettered messages go; None for a dead-letter queue itself.
    """

    def __init__(
        self,
        *,
        spec: QueueSpec,
        path: str,
        address: str,
        record: Callable[[Change], None],
        wake: Callable[["MessageQueue"], None],
        dead_letters: "MessageQueue | None",
    ) -> None:
        self.spec = spec
        self.path = path
        self.address = address
        self.duplicates = DuplicateHistory(path, spec.duplicate_window_ms, record)
        self._record = record
        self._wake = wake
        self._dead_letters = dead_letters
        self._messages: dict[int, Message] = {}
        self._last_sequence = 0
        self._locks = MessageLocks()
        self._lanes = Lanes(self._is_ready)
        self._session_locks = SessionLocks(spec.lock_ms)
        self._session_states: dict[str, bytes] = {}
        self._timers: list[tuple[int, int]] = []  # when a scheduled message is due or an active one expires
        self._lost: list[object] = []

    # --- sending ------------------------------------------------------------------------------------------------------

    def check(self, envelope: Envelope) -> None:
        """Raises RefusedError when the queue cannot take this message."""
        if self.spec.requires_session and envelope.session_id is None:
            raise RefusedError(faults.NOT_ALLOWED, f"{self.path} requires sessions; the message has no session id")

    def enqueue(self, envelope: Envelope, now: int, *, ttl_ms: int | None = None) -> int:
        """Takes in a message, at once or when it is scheduled; its sequence number. ``ttl_ms`` limits its life."""
        due = envelope.scheduled_ms if envelope.scheduled_ms is not None and envelope.scheduled_ms > now else None
        lives = [life for life in (envelope.ttl_ms, self.spec.default_ttl_ms, ttl_ms) if life is not None]
        enqueued = now if due is None else due
        self._put(
            Message(
                sequence=self._next_sequence(),
                envelope=envelope,
                state=State.ACTIVE if due is None else State.SCHEDULED,
                delivery_count=0,
                enqueued_ms=enqueued,
                expires_ms=enqueued + min(lives) if lives else None,
                dead_letter=None,
            ),
            now,
        )
        return self._last_sequence

    def admit(self, message: Message) -> None:
        """Takes in a message that the queue in front of this dead-letter queue gave up; it does not expire here."""
        self._put(message, message.enqueued_ms)

    def cancel_scheduled(self, sequences: Iterable[int], now: int) -> None:
        """Takes scheduled messages back, all or none."""
        self.tick(now)
        messages = self._require(sequences, State.SCHEDULED)
        for message in messages:
            self._remove(message)

    # --- receiving ----------------------------------------------------------------------------------------------------

    def take(self, owner: object, now: int, *, delete: bool, session_id: str | None = None) -> Delivery | None:
        """The next message for a receiver, locked or (``delete``) gone; None when there is none for it."""
        self.tick(now)
        if self.spec.requires_session:
            lock = self._session_locks.holder(session_id) if session_id is not None else None
            if lock is None or lock.owner is not owner:
                return None
        sequence = self._lanes.pop(session_id if self.spec.requires_session else None)
        return None if sequence is None else self._hand_out(self._messages[sequence], owner, now, delete=delete)

    def take_deferred(
        self, sequences: Iterable[int], owner: object, now: int, *, delete: bool, session_id: str | None = None
    ) -> list[Delivery]:
        """Deferred messages by sequence number, all or none."""
        self.tick(now)
        if self.spec.requires_session:
            self._require_session(session_id, owner)
        messages = self._require(sequences, State.DEFERRED)
        expired = [message for message in messages if message.expires_ms is not None and message.expires_ms <= now]
        for message in expired:
            self._expire(message)
        foreign = [message for message in messages if self._lane(message) not in {None, session_id}]
        if expired or foreign:
            raise RefusedError(faults.MESSAGE_NOT_FOUND, f"{self.path}: a deferred message is not there")
        return [self._hand_out(message, owner, now, delete=delete) for message in messages]

    def peek(self, first: int, count: int, now: int, *, session_id: str | None = None) -> list[Message]:
        """Up to ``count`` messages from sequence number ``first`` on, whatever their state; nothing is locked."""
        self.tick(now)
        wanted = (
            message
            for message in self._messages.values()
            if message.sequence >= first and (session_id is None or message.envelope.session_id == session_id)
        )
        return heapq.nsmallest(count, wanted, key=lambda message: message.sequence)

    # --- settling -----------------------------------------------------------------------------------------------------

    def complete(self, token: UUID, now: int) -> None:
        """The message is done with."""
        self._remove(self._unlock(token, now))

    def abandon(self, token: UUID, now: int) -> None:
        """Back to the queue as a failed delivery."""
        self._fail(self._unlock(token, now), now)

    def release(self, token: UUID, now: int) -> None:
        """Back to the queue as if never delivered."""
        self._place(self._unlock(token, now), now)

    def defer(self, token: UUID, now: int) -> None:
        """Out of the line; to be had by sequence number."""
        self._put(replace(self._unlock(token, now), state=State.DEFERRED), now)

    def dead_letter(self, token: UUID, reason: str | None, description: str | None, now: int) -> None:
        """To the dead-letter queue."""
        if self._dead_letters is None:
            raise RefusedError(faults.NOT_ALLOWED, f"{self.path} is a dead-letter queue: there is none behind it")
        self._bury(self._unlock(token, now), reason, description)

    def renew(self, token: UUID, now: int) -> int:
        """The lock lasts its full time again; until when."""
        self.tick(now)
        if self.spec.requires_session:
            raise RefusedError(faults.NOT_ALLOWED, f"{self.path} requires sessions: renew the session's lock")
        until = now + self.spec.lock_ms
        self._locks.renew(self._require_lock(token), until)
        return until

    # --- sessions -----------------------------------------------------------------------------------------------------

    def accept_session(self, session_id: str | None, owner: object, now: int) -> SessionLock | None:
        """Locks a session, or with None the one that has waited longest; None when no session waits."""
        self.tick(now)
        if not self.spec.requires_session:
            raise RefusedError(faults.NOT_ALLOWED, f"{self.path} has no sessions")
        if session_id is not None:
            if self._session_locks.holder(session_id) is not None:
                raise RefusedError(faults.SESSION_CANNOT_BE_LOCKED, f"{self.path}: another receiver has the session")
            return self._session_locks.lock(session_id, owner, now)
        for candidate in self._session_locks.available():
            if self._lanes.head(candidate) is not None:
                return self._session_locks.lock(candidate, owner, now)
            self._session_locks.withdraw(candidate)
        return None

    def renew_session(self, session_id: str | None, owner: object, now: int) -> int:
        """The session's lock lasts its full time again; until when."""
        self.tick(now)
        return self._session_locks.renew(self._require_session(session_id, owner), now).until_ms

    def session_state(self, session_id: str | None, owner: object, now: int) -> bytes | None:
        """What the application stored with the session."""
        self.tick(now)
        return self._session_states.get(self._require_session(session_id, owner).session_id)

    def set_session_state(self, session_id: str | None, state: bytes | None, owner: object, now: int) -> None:
        """Stores the application's state with the session; None clears it."""
        self.tick(now)
        lock = self._require_session(session_id, owner)
        change = SessionStateSet(path=self.path, session_id=lock.session_id, state=state)
        self.restore_session_state(change)
        self._record(change)

    def drop_owner(self, owner: object, now: int) -> None:
        """A receiver is gone: what it held comes back."""
        self.tick(now)
        for session in self._session_locks.held_by(owner):
            self._close_session(session, now, failed=False)
        for lock in self._locks:
            if lock.owner is owner:
                self._fail(self._release_lock(lock), now)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Lets happen what is due: locks end, scheduled messages become active, messages expire."""
        while (session := self._session_locks.first()) is not None and session.until_ms <= now:
            self._lost.append(session.owner)
            self._close_session(session, now, failed=True)
        while (lock := self._first_lock()) is not None and lock.until_ms <= now:
            self._fail(self._release_lock(lock), now)
        while self._timers and self._timers[0][0] <= now:
            when, sequence = heapq.heappop(self._timers)
            message = self._messages.get(sequence)
            if message is None:
                continue
            if message.state is State.SCHEDULED and message.enqueued_ms == when:
                self._activate(message, now)
            elif message.expires_ms == when and self._is_ready(sequence):
                self._expire(message)

    def next_due(self) -> int | None:
        """When ``tick`` has something to do next, at the latest; None when never."""
        session, lock = self._session_locks.first(), self._first_lock()
        times = [held.until_ms for held in (session, lock) if held is not None]
        times += [self._timers[0][0]] if self._timers else []
        return min(times, default=None)

    def lost_sessions(self) -> list[object]:
        """The receivers whose session's lock ended since the last call."""
        lost, self._lost = self._lost, []
        return lost

    # --- restoring ----------------------------------------------------------------------------------------------------

    def restore(self, message: Message, now: int) -> None:
        """A message that a store held."""
        self._last_sequence = max(self._last_sequence, message.sequence)
        self._place(message, now)

    def restore_sequence(self, sequence: int) -> None:
        """The highest sequence number given before the restart."""
        self._last_sequence = max(self._last_sequence, sequence)

    def restore_session_state(self, change: SessionStateSet) -> None:
        """A session's state that a store held."""
        if change.state is None:
            self._session_states.pop(change.session_id, None)
        else:
            self._session_states[change.session_id] = change.state

    # --- inside -------------------------------------------------------------------------------------------------------

    def _next_sequence(self) -> int:
        self._last_sequence += 1
        return self._last_sequence

    def _lane(self, message: Message) -> str | None:
        return message.envelope.session_id if self.spec.requires_session else None

    def _is_ready(self, sequence: int) -> bool:
        message = self._messages.get(sequence)
        return message is not None and message.state is State.ACTIVE and not self._locks.holds(sequence)

    def _put(self, message: Message, now: int) -> None:
        """A message is in the queue, new or changed, and nobody holds it."""
        self._record(Stored(path=self.path, message=message))
        self._place(message, now)

    def _place(self, message: Message, now: int) -> None:
        self._messages[message.sequence] = message
        if message.state is State.SCHEDULED:
            self._set_timer(message.enqueued_ms, message.sequence)
        elif message.state is State.ACTIVE:
            if message.expires_ms is not None and message.expires_ms <= now:
                self._expire(message)
                return
            if message.expires_ms is not None:
                self._set_timer(message.expires_ms, message.sequence)
            lane = self._lane(message)
            self._lanes.add(lane, message.sequence)
            if lane is not None:
                self._session_locks.offer(lane)
            self._wake(self)

    def _remove(self, message: Message) -> None:
        del self._messages[message.sequence]
        self._record(Removed(path=self.path, sequence=message.sequence))

    def _hand_out(self, message: Message, owner: object, now: int, *, delete: bool) -> Delivery:
        if delete:
            self._remove(message)
            return Delivery(message=message)
        session_id = self._lane(message)
        session = self._session_locks.holder(session_id) if session_id is not None else None
        until = now + self.spec.lock_ms if session is None else session.until_ms
        lock = self._locks.lock(message.sequence, owner, until, session_id)
        return Delivery(message=message, token=lock.token, locked_until_ms=until)

    def _unlock(self, token: UUID, now: int) -> Message:
        self.tick(now)
        return self._release_lock(self._require_lock(token))

    def _release_lock(self, lock: Lock) -> Message:
        self._locks.release(lock)
        return self._messages[lock.sequence]

    def _require_lock(self, token: UUID) -> Lock:
        lock = self._locks.get(token)
        if lock is None:
            condition = faults.SESSION_LOCK_LOST if self.spec.requires_session else faults.MESSAGE_LOCK_LOST
            raise RefusedError(condition, f"{self.path}: the lock is not held (any more)")
        return lock

    def _first_lock(self) -> Lock | None:
        return None if self.spec.requires_session else self._locks.first()

    def _fail(self, message: Message, now: int) -> None:
        message = replace(message, delivery_count=message.delivery_count + 1)
        limit = self.spec.max_delivery_count
        if self._dead_letters is not None and limit is not None and message.delivery_count >= limit:
            description = f"Message could not be consumed after {limit} delivery attempts."
            self._bury(message, "MaxDeliveryCountExceeded", description)
        else:
            self._put(message, now)

    def _expire(self, message: Message) -> None:
        if self.spec.dead_letter_expired and self._dead_letters is not None:
            self._bury(message, "TTLExpiredException", "The message expired and was dead lettered.")
        else:
            self._remove(message)

    def _bury(self, message: Message, reason: str | None, description: str | None) -> None:
        self._remove(message)
        if self._dead_letters is not None:
            buried = DeadLetter(source=self.address, reason=reason, description=description)
            message = replace(message, state=State.ACTIVE, expires_ms=None, dead_letter=buried)
            self._dead_letters.admit(message)

    def _activate(self, message: Message, now: int) -> None:
        """A scheduled message is due: it is enqueued as of now, with a new sequence number."""
        self._remove(message)
        life = None if message.expires_ms is None else message.expires_ms - message.enqueued_ms
        self._put(
            replace(
                message,
                sequence=self._next_sequence(),
                state=State.ACTIVE,
                enqueued_ms=now,
                expires_ms=None if life is None else now + life,
            ),
            now,
        )

    def _require(self, sequences: Iterable[int], state: State) -> list[Message]:
        found = []
        for sequence in sequences:
            message = self._messages.get(sequence)
            if message is None or message.state is not state or self._locks.holds(sequence) or message in found:
                raise RefusedError(faults.MESSAGE_NOT_FOUND, f"{self.path}: no {state.name.lower()} message {sequence}")
            found.append(message)
        return found

    def _require_session(self, session_id: str | None, owner: object) -> SessionLock:
        lock = self._session_locks.holder(session_id) if session_id is not None else None
        if lock is None or lock.owner is not owner:
            raise RefusedError(faults.SESSION_LOCK_LOST, f"{self.path}: the session's lock is not held (any more)")
        return lock

    def _close_session(self, session: SessionLock, now: int, *, failed: bool) -> None:
        self._session_locks.unlock(session.session_id)
        for lock in self._locks:
            if lock.session_id != session.session_id:
                continue
            message = self._release_lock(lock)
            if failed:
                self._fail(message, now)
            else:
                self._place(message, now)  # unchanged: nothing to record
        if self._lanes.head(session.session_id) is not None and self._session_locks.offer(session.session_id):
            self._wake(self)

    def _set_timer(self, when: int, sequence: int) -> None:
        heapq.heappush(self._timers, (when, sequence))
        if len(self._timers) > 2 * len(self._messages) + _TIMERS_SPARE:  # mostly of messages long gone
            self._timers = [timer for timer in set(self._timers) if timer[1] in self._messages]
            heapq.heapify(self._timers)
