"""Who receives what: the receiving links of each queue, and the receivers that wait for a session.

Competing receivers of a queue take turns. A receiver that asks for any session waits until one is there or its time is
over; one that asks for a session by name gets it or is refused at once.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from local.servicebus import faults
from local.servicebus.broker import Broker
from local.servicebus.faults import RefusedError
from local.servicebus.links import ConsumerLink
from local.servicebus.message_queue import MessageQueue
from local.servicebus.sessions import SessionLock


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SessionWait:
    """A receiver that waits for any session, until ``until_ms``; exactly one of the two callbacks is called."""

    link: ConsumerLink
    until_ms: int
    accepted: Callable[[SessionLock], None]
    refused: Callable[[RefusedError], None]


class Dispatcher:
    """Brings messages and sessions to those who wait for them.

    Args:
        broker: the entities.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._consumers: dict[MessageQueue, deque[ConsumerLink]] = {}
        self._waiting: dict[MessageQueue, deque[SessionWait]] = {}

    def add(self, link: ConsumerLink) -> None:
        """A link may receive."""
        self._consumers.setdefault(link.queue, deque()).append(link)

    def wait(self, wait: SessionWait) -> None:
        """A receiver wants any session."""
        self._waiting.setdefault(wait.link.queue, deque()).append(wait)
        self._offer_sessions(wait.link.queue)

    def remove(self, link: ConsumerLink) -> None:
        """A link is gone, or gave up waiting: what it held comes back."""
        consumers = self._consumers.get(link.queue, deque())
        if link in consumers:
            consumers.remove(link)
        waiting = self._waiting.get(link.queue, deque())
        for wait in [wait for wait in waiting if wait.link is link]:
            waiting.remove(wait)
        link.queue.drop_owner(link, self.broker.clock())

    def run(self) -> None:
        """Lets happen what is due, and delivers what became available, until nothing is left to do."""
        for owner in self.broker.tick():
            if isinstance(owner, ConsumerLink):
                self.remove(owner)
                owner.session.detach(owner.handle, _session_lost(owner.queue))
        self._end_waits()
        while awake := self.broker.take_awake():
            for queue in awake:
                self._offer_sessions(queue)
                self._serve(queue)

    def next_due(self) -> int | None:
        """When to call ``run`` next, in the clock's milliseconds; None when nothing waits."""
        due = self.broker.next_due()
        times = [wait.until_ms for waiting in self._waiting.values() for wait in waiting]
        return min(times if due is None else [*times, due], default=None)

    def _end_waits(self) -> None:
        now = self.broker.clock()
        for queue, waiting in self._waiting.items():
            for wait in [wait for wait in waiting if wait.until_ms <= now]:
                waiting.remove(wait)
                wait.refused(RefusedError(faults.TIMEOUT, f"{queue.path}: no session became available in time"))

    def _offer_sessions(self, queue: MessageQueue) -> None:
        waiting = self._waiting.get(queue)
        while waiting:
            lock = queue.accept_session(None, waiting[0].link, self.broker.clock())
            if lock is None:
                return
            waiting.popleft().accepted(lock)

    def _serve(self, queue: MessageQueue) -> None:
        """Hands out messages in turn, until no link is served in a whole round."""
        consumers = self._consumers.get(queue, deque())
        idle = 0
        while idle < len(consumers):
            link = consumers[0]
            consumers.rotate(-1)
            idle = 0 if link.ready and link.serve() else idle + 1


def _session_lost(queue: MessageQueue) -> RefusedError:
    return RefusedError(faults.SESSION_LOCK_LOST, f"{queue.path}: the session's lock ended")
