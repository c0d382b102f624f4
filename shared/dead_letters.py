"""Dead letters of the pipeline's own messages: what failed in every delivery is parked, and so seen, unless it is moot.

No work is lost with such a message: the planner sends an unfinished slice again, the watch an idle request. But what
fails ten times in a row may fail for ever, and somebody must know. When the work is done after all, the parked message
is dismissed by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared import messages
from shared.documents import read
from shared.each import each
from shared.errors import PermanentError
from shared.parking import OURSELVES, ParkedEntry, ParkedMessage, Parking, entries
from shared.requests.documents import OPEN, Requests
from shared.runs import Runs

log = logging.getLogger("retention.dead_letters")

SWEEPS = "sweeps"
WORK = "requests-work"
_WHY = "{} failed in every delivery; it is sent again by itself, and the function's log says why it fails"


@dataclass(frozen=True, kw_only=True)
class DeadLetters:
    """What looking after them needs."""

    runs: Runs
    requests: Requests
    parking: Parking
    clock: Callable[[], datetime]

    async def take(self, body: bytes, *, queue: str, message_id: str) -> None:
        """Park a dead letter of queue `sweeps` or `requests-work`, with an alarm, unless it is moot. Safe to repeat.

        Of one slice, or one request, one message is parked. Raises TransientError: it stays a dead letter.
        """
        about = reason = ""
        try:
            order = self._order(body)
            if await self._is_moot(order):
                log.info("a dead letter of queue %s is moot: its work is done", queue)
                return
            about, what = _about(order)
            reason = _WHY.format(what)
        except PermanentError as error:
            reason = str(error)
        log.error("ALARM a dead letter of queue %s was parked: %s%s", queue, reason, f" ({about})" if about else "")
        await self.parking.park(
            body,
            queue=queue,
            message_id=message_id,
            reason=reason,
            request=messages.request_id_of(body),
            now=self.clock(),
            about=about,
        )

    async def look_again(self) -> int:
        """Post the events of parked messages that wait, and dismiss the dead letters whose work is done by now.

        Returns how many were dismissed. One that fails stops no other; the first error is raised after them all.
        """
        waiting = [
            entry
            async for entry in entries(self.parking.objects)
            if entry.waiting or (entry.about and not entry.dismissed)
        ]
        closed = 0

        async def look(entry: ParkedEntry) -> None:
            nonlocal closed
            if entry.waiting:
                await self.parking.flush(entry)
            if entry.about and not entry.dismissed and await self._done(entry):
                await self.parking.close(entry, by=OURSELVES, because="its work is done", now=self.clock())
                closed += 1

        await each(waiting, look, log=log, say=lambda entry: f"the second look at a parked message of {entry.queue}")
        return closed

    async def _done(self, entry: ParkedEntry) -> bool:
        held = await read(self.parking.objects, entry.name, ParkedMessage)
        try:
            return held is not None and await self._is_moot(self._order(held.value.content))
        except PermanentError:  # its request or run is gone by now: somebody may still want to know
            return False

    def _order(self, body: bytes) -> messages.SliceOrder | messages.Work:
        order = messages.parse(body, now=self.clock())
        if not isinstance(order, messages.SliceOrder | messages.Work):
            raise messages.MessageError("retention.type: this queue takes the pipeline's own messages only")
        return order

    async def _is_moot(self, order: messages.SliceOrder | messages.Work) -> bool:
        """Whether nothing is left to do for the message. Raises PermanentError where no such work is known."""
        match order:
            case messages.Work():
                request = await self.requests.load(str(order.request))
                if request is None:
                    raise PermanentError("the message names a request that nobody made")
                return request.value.state not in OPEN
            case messages.SliceOrder():
                document = await self.runs.document(order.category, order.run)
                if document is None or order.slice >= len(document.slices):
                    raise PermanentError("the message names a slice that no run has")
                current = await self.runs.current(order.category)
                over = current is None or current.value.run != order.run or current.value.finished is not None
                return over or (await self.runs.progress(order.category, order.run, order.slice)).value.done


def _about(order: messages.SliceOrder | messages.Work) -> tuple[str, str]:
    """What a message is about: as an id, and in words that may stay."""
    match order:
        case messages.Work():
            return str(order.request), "the work on a request"  # its id goes when the message is emptied
        case messages.SliceOrder():
            return f"{order.run}/{order.slice}", f"slice {order.slice} of run {order.run}"
