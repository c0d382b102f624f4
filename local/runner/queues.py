"""Service Bus queue triggers: receive, call the function, settle, as the platform's listener does.

Cardinality one: a message per call, up to maxConcurrentCalls side by side, its lock renewed. Sessions: a message at a
time per session, up to maxConcurrentSessions side by side, the session's lock renewed; a session that stays empty for
sessionIdleTimeout is given back. Cardinality many: one batch at a time, no renewal, so it must end within the lock.
Success completes; an exception abandons at once, which counts a delivery.

The SDK's receivers are not safe to share between tasks, so that each worker has one. A queue begins with one worker;
one that gets something to do calls the next, and those that find nothing go again. When the broker goes away the first
worker comes back with growing pauses.
"""

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError, OperationTimeoutError, SessionLockLostError

from local.runner import messages
from local.runner.app import BusOptions, Function, Queue
from local.runner.invocation import describe, invoke
from local.runner.locks import lock_kept

_log = logging.getLogger("runner")
_POLL_SECONDS = 1.0  # how long a worker waits for a message before it looks whether to stop
_IDLE_POLLS = 5  # so many empty polls send a worker, other than the first, away
_ANEW_POLLS = 30  # so many, and the first one connects anew: a connection that was lost silently is as still as a queue
_ACCEPT_SECONDS = 60.0
_PENDING_SECONDS = 1.0  # a session request that is still open after this long was taken by the broker
_PATIENCE_SECONDS = 60.0  # beyond its own bound, before an SDK call counts as hung
_CLOSE_SECONDS = 10.0  # for a connection to end: one that was lost silently waits for an answer without end
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0

Connect = Callable[[], ServiceBusClient]
_Opened = TypeVar("_Opened", ServiceBusClient, ServiceBusReceiver)


class QueueLoop(ABC):
    """One queue function: keeps between one and `limit` workers at it until told to stop."""

    limit: int

    def __init__(
        self, function: Function, queue: Queue, connect: Connect, options: BusOptions, stopping: asyncio.Event
    ) -> None:
        self.function = function
        self.ready = asyncio.Event()
        self._queue = queue
        self._connect = connect
        self._options = options
        self._stopping = stopping
        self._workers = 0
        self._group = asyncio.TaskGroup()

    async def run(self) -> None:
        """Receive and call until told to stop; calls that run then are let end."""
        async with self._group:
            self._call_worker()

    def _call_worker(self) -> None:
        if self._workers < self.limit and not self._stopping.is_set():
            self._workers += 1
            self._group.create_task(self._stay() if self._workers == 1 else self._help_out())

    async def _stay(self) -> None:
        """Work as the first worker, who comes back after every loss of the broker."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            begun = time.monotonic()
            await self._attempt(partial(self._work, stay=True))
            if time.monotonic() - begun > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _help_out(self) -> None:
        try:
            await self._attempt(partial(self._work, stay=False))
        finally:
            self._workers -= 1

    async def _attempt(self, work: Callable[[ServiceBusClient], Coroutine[None, None, None]]) -> None:
        try:
            async with _open(self._connect()) as client:
                await work(client)
        except Exception as error:  # noqa: BLE001 - the SDK raises many kinds when a broker goes; all mean: again
            _log.warning("%s lost queue %s: %s", self.function.name, self._queue.name, describe(error))

    @abstractmethod
    async def _work(self, client: ServiceBusClient, *, stay: bool) -> None:
        """Receive and handle until told to stop or, unless `stay`, until there is nothing to do."""

    async def _poll(self, receiver: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
        # The SDK bounds the call itself, except where a peer vanished without a word.
        async with asyncio.timeout(_POLL_SECONDS + _PATIENCE_SECONDS):
            received = await receiver.receive_messages(max_message_count=count, max_wait_time=_POLL_SECONDS)
        if received and self._stopping.is_set():
            await self._settle(receiver, received, succeeded=False)  # came with the stop: given back, not begun
            return []
        return received

    async def _settle(
        self, receiver: ServiceBusReceiver, received: Sequence[ServiceBusReceivedMessage], *, succeeded: bool
    ) -> None:
        for message in received:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    if succeeded:
                        await receiver.complete_message(message)
                    else:
                        await receiver.abandon_message(message)
            except MessageLockLostError:
                # Somebody else may have it already. At-least-once: the function meets it again.
                _log.warning("%s lost the lock of a message before settling it", self.function.name)


class SingleLoop(QueueLoop):
    """A message per call."""

    def __init__(
        self, function: Function, queue: Queue, connect: Connect, options: BusOptions, stopping: asyncio.Event
    ) -> None:
        super().__init__(function, queue, connect, options, stopping)
        self.limit = options.max_concurrent_calls

    async def _work(self, client: ServiceBusClient, *, stay: bool) -> None:
        async with _open(client.get_queue_receiver(self._queue.name)) as receiver:
            self.ready.set()
            empty = 0
            while not self._stopping.is_set() and empty < (_ANEW_POLLS if stay else _IDLE_POLLS):
                received = await self._poll(receiver, 1)
                empty = 0 if received else empty + 1
                for message in received:
                    self._call_worker()
                    await self._handle(receiver, message)

    async def _handle(self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
        end = time.monotonic() + self._options.max_lock_renewal.total_seconds()
        async with lock_kept(
            partial(receiver.renew_message_lock, message),
            lambda: _aware(message.locked_until_utc),
            lambda: time.monotonic() < end,
        ):
            succeeded = await invoke(self.function, partial(messages.single, message))
        await self._settle(receiver, [message], succeeded=succeeded)


class BatchLoop(QueueLoop):
    """A batch per call, one call at a time."""

    limit = 1

    async def _work(self, client: ServiceBusClient, *, stay: bool) -> None:  # noqa: ARG002 - it is always the first
        async with _open(client.get_queue_receiver(self._queue.name)) as receiver:
            self.ready.set()
            empty = 0
            while not self._stopping.is_set() and empty < _ANEW_POLLS:
                received = await self._poll(receiver, self._options.max_message_batch_size)
                empty = 0 if received else empty + 1
                if received:
                    succeeded = await invoke(self.function, partial(messages.batch, received))
                    await self._settle(receiver, received, succeeded=succeeded)


class SessionLoop(QueueLoop):
    """A message at a time per session."""

    def __init__(
        self, function: Function, queue: Queue, connect: Connect, options: BusOptions, stopping: asyncio.Event
    ) -> None:
        super().__init__(function, queue, connect, options, stopping)
        self.limit = options.max_concurrent_sessions

    async def _work(self, client: ServiceBusClient, *, stay: bool) -> None:
        wait = _ACCEPT_SECONDS if stay else _POLL_SECONDS * _IDLE_POLLS
        while not self._stopping.is_set():
            receiver = client.get_queue_receiver(
                self._queue.name, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=wait
            )
            try:
                if not await self._accepted(receiver, wait):
                    return
                self._call_worker()
                await self._work_session(receiver)
            except OperationTimeoutError:
                if not stay:
                    return  # no session had anything to do
            except SessionLockLostError:
                _log.warning("%s lost the lock of a session", self.function.name)
            finally:
                await _close(receiver)

    async def _accepted(self, receiver: ServiceBusReceiver, wait: float) -> bool:
        """Wait for a session; return False when told to stop before one came."""
        opening = asyncio.ensure_future(receiver.__aenter__())
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({opening, stop}, timeout=_PENDING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done() or not opening.exception():
                self.ready.set()
            await asyncio.wait({opening, stop}, timeout=wait + _PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return False
            opening.result()
            return True
        finally:
            stop.cancel()
            if not opening.done():
                # Nothing was received: a session that was granted at this moment is free again with the link's end.
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)

    async def _work_session(self, receiver: ServiceBusReceiver) -> None:
        session, busy_since = receiver.session, time.monotonic()
        limit = self._options.max_lock_renewal.total_seconds()
        async with lock_kept(
            session.renew_lock,
            lambda: _aware(session.locked_until_utc),
            lambda: time.monotonic() - busy_since < limit,
        ):
            idle_since = time.monotonic()
            while not self._stopping.is_set() and _within(idle_since, self._options.session_idle_timeout):
                for message in await self._poll(receiver, 1):
                    busy_since = time.monotonic()
                    succeeded = await invoke(self.function, partial(messages.single, message))
                    await self._settle(receiver, [message], succeeded=succeeded)
                    idle_since = time.monotonic()


def queue_loop(
    function: Function, queue: Queue, connect: Connect, options: BusOptions, stopping: asyncio.Event
) -> QueueLoop:
    """Return the loop that runs this function."""
    kind = SessionLoop if queue.sessions else BatchLoop if queue.many else SingleLoop
    return kind(function, queue, connect, options, stopping)


@contextlib.asynccontextmanager
async def _open(resource: _Opened) -> AsyncIterator[_Opened]:
    """The SDK's client or receiver, open; at the end it is closed. Where nobody answers it neither opens nor closes.

    Raises TimeoutError when it does not open in time.
    """
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await resource.__aenter__()
        yield resource
    finally:
        await _close(resource)


async def _close(resource: ServiceBusClient | ServiceBusReceiver) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await resource.close()


def _within(begun: float, span: timedelta) -> bool:
    return time.monotonic() - begun < span.total_seconds()


def _aware(moment: datetime | None) -> datetime:
    if moment is None:
        raise ValueError("a lock without an end")
    return moment
