"""Retire: the log of a year whose period is over is dropped whole, and the log of the year it is then says so.

Nothing is dropped but a log that is complete: appended, sealed and published to its last entry, and quiet for a day.
What its event says is written down before anything goes, and from then on the log is none any more: nobody adds to it,
signs it, publishes it or offers it to be read (`log.DROPPED`). The year's period is a row of the policy about the
container `audit-log`; without an enforced one nothing is ever dropped.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import audit
from shared.documents import Form, read, write
from shared.each import each
from shared.errors import ConfigError, ExistsError, IntegrityError, RefusedError, TransientError
from shared.journal import Journals
from shared.ledger.ahead import do_all
from shared.ledger.checkpoint import read_checkpoint
from shared.ledger.head import Head, Ledger, decode_head
from shared.ledger.log import dropped_name, head_name, logs_and_dropped, ready
from shared.ledger.outbox import settled
from shared.ledger.outboxes import OURS
from shared.ledger.publish import cursor
from shared.ledger.seal import numbered_name
from shared.ledger.source import CHECKPOINT
from shared.messages import doorbell
from shared.model import utc_text
from shared.outbox import Outgoing
from shared.policy import Policy
from shared.policy_terms import OwnStore, YearEnd
from shared.stores.interface import Queue
from shared.year_end import end_of_year

CONTAINER = "audit-log"
QUIET = timedelta(days=1)  # far above what a worker that sleeps in the middle of its work can live

log = logging.getLogger("retention.ledger")


class Dropped(Form):
    """The marker of a log that is being dropped: size, root (hex), last checkpoint (a note), and the event to post."""

    year: str
    size: int
    root: str
    checkpoint: str
    event: Outgoing


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """What dropping logs needs. `source` is the events' CloudEvents source."""

    ledger: Ledger
    policy: Policy
    doorbell: Queue
    source: str

    async def retire_all(self) -> None:
        """Drop every log whose period is over, and finish what an earlier run began. One that fails stops no other."""
        now = await self.ledger.state.now()
        present, begun = await logs_and_dropped(self.ledger)
        due = [year for year in present if self._is_over(year, now)]

        async def step(year: str) -> None:
            await self.retire(year, now)

        await each(sorted({*due, *begun}), step, log=log, say=lambda year: f"the dropping of log {year}")

    async def retire(self, year: str, now: datetime) -> bool:
        """Drop the log of a year, from wherever an earlier run left it; whether it is gone.

        1. See that the log is complete; write the marker with the event. A crash before this leaves all as it was.
        2. Delete the last of the numbered checkpoints, the youngest of all that is write-once: where the store refuses,
           nothing is lost, and the marker is taken back.
        3. Delete the head, if it is still what the marker says. From here on there is no log to add to.
        4. Delete all the rest of the year but the marker.
        5. Post the event.
        6. Delete the marker.

        A crash after any of these is finished by the next run: each finds done what was done, and the event keeps its
        bytes. Raises IntegrityError where the log is not what the marker says or its period is
        not over, TransientError.
        """
        if not self._is_over(year, now):  # a marker that somebody put there
            raise IntegrityError("a log whose period is not over is marked as being dropped: nothing of it is deleted")
        held = await read(self.ledger.state, dropped_name(year), Dropped)
        marker = held.value if held else await self._begin(year, now)
        if marker is None:
            return False
        try:
            await self._delete(marker)
        except RefusedError as error:
            log.error("ALARM the period of log %s is over and its store refuses to delete it: %s", year, error)  # noqa: TRY400 - no bug
            if await self.ledger.tiles.read(numbered_name(year, marker.size)) is not None:
                await self.ledger.state.delete(dropped_name(year))  # nothing was deleted: it goes on as the log it is
            return False
        await self._post(marker.event)
        await self.ledger.state.delete(dropped_name(year))
        log.warning("log %s was dropped: %d entries", year, marker.size)
        return True

    async def refuse_anew(self, year: str, now: datetime) -> None:
        """Raise IntegrityError where appending would begin anew the log of a year that may have been dropped.

        That takes a journal that waited for years: it stays until an operator has looked.
        """
        if self._is_over(year, now) and await self.ledger.state.read(head_name(year)) is None:
            raise IntegrityError("a journal belongs to the log of a year whose period is over: it is not begun anew")

    # ------------------------------------------------------------ when

    def _is_over(self, year: str, now: datetime) -> bool:
        due = self._due(year)
        return due is not None and due <= now and int(year) < now.year

    def _due(self, year: str) -> datetime | None:
        """When the last period of a year's log is over; None where the policy enforces none. Raises ConfigError."""
        dues = list[datetime]()
        for category in self.policy.enforced():
            if isinstance(category.store, OwnStore) and category.store.container == CONTAINER:
                for rule in category.rules:
                    if not isinstance(rule.start, YearEnd):
                        raise ConfigError(f"rule {rule.id}: a log's period starts from year-end; correct the policy")
                    dues.append(rule.period.after(end_of_year(f"{year}-01-01", rule.start.zone)))
        return max(dues, default=None)

    async def _not_yet(self, year: str, head: Head, now: datetime) -> str:
        """Why the log cannot be dropped although its period is over; "" when it can."""
        if year in await settled(self.ledger.journals):
            return "journals of it still wait"
        note = await self.ledger.state.read(f"{year}/{CHECKPOINT}")
        sealed = read_checkpoint(note.data) if note else None
        if (sealed.size if sealed else 0) < head.size:
            return "it is not sealed to its end"
        if sealed is not None and (sealed.size, sealed.root) != (head.size, head.root):
            raise IntegrityError("the log's head and its checkpoint contradict each other: nothing is dropped")
        if (await cursor(self.ledger, year))[0] < head.size:
            return "it is not published to its end"
        changed = [entry.modified async for entry in self.ledger.state.list(f"{year}/")]
        return "it changed within the last day" if max(changed, default=now) > now - QUIET else ""

    # ------------------------------------------------------------ the steps

    async def _begin(self, year: str, now: datetime) -> Dropped | None:
        """Step 1. None when it is not yet time."""
        head = (await ready(self.ledger, year)).head
        why = await self._not_yet(year, head, now)
        if why:
            log.warning("the period of log %s is over and it stays: %s", year, why)
            return None
        note = await self.ledger.state.read(f"{year}/{CHECKPOINT}")
        marker = Dropped(
            year=year,
            size=head.size,
            root=head.root.hex(),
            checkpoint=note.data.decode() if note else "",
            event=self._event(year, head, now),
        )
        try:
            await write(self.ledger.state, dropped_name(year), marker, None)
        except ExistsError:  # another run is at it, or the client repeated a write of ours that had gone through
            held = await read(self.ledger.state, dropped_name(year), Dropped)
            return held.value if held else None
        return marker

    def _event(self, year: str, head: Head, now: datetime) -> Outgoing:
        """What the log of this year will say of that one."""
        intent = f"{OURS}{secrets.token_hex(16)}"
        data = {
            "category": CONTAINER,
            "log": self.ledger.origin_of(year),
            "year": year,
            "size": head.size,
            "root": head.root.hex(),
            "due": utc_text(self._due(year) or now),
        }
        event = audit.plain_event(
            audit.EventType.LOG_DROPPED,
            event_id=f"{intent}/0",
            source=self.source,
            time=now,
            policy_digest=self.policy.digest,
            subject=None,
            data=data,
        )
        return Outgoing(intent=intent, log=str(now.year), event=event.decode())

    async def _delete(self, marker: Dropped) -> None:
        """Steps 2 to 4. Raises RefusedError."""
        year, state, tiles = marker.year, self.ledger.state, self.ledger.tiles
        held = await state.read(head_name(year))
        if held is not None:
            head = decode_head(held.data, self.ledger.origin_of(year))
            if (head.size, head.root.hex()) != (marker.size, marker.root):
                raise IntegrityError("the log grew after it was to be dropped: nothing more of it is deleted")
        await tiles.delete(numbered_name(year, marker.size))
        if held is not None:
            await state.delete(head_name(year), etag=held.etag)
        await do_all(tiles.delete(entry.name) async for entry in tiles.list(f"{year}/"))
        names = [entry.name async for entry in state.list(f"{year}/")]
        await do_all(state.delete(name) for name in names if name != dropped_name(year))

    async def _post(self, event: Outgoing) -> None:
        """Step 5, by a journal born settled: the way of every event into the log."""
        await Journals(objects=self.ledger.journals).post(event.intent, [event.event.encode()], log=event.log)
        try:
            await self.doorbell.send(doorbell(event.intent), message_id=f"{event.intent}-{secrets.token_hex(4)}")
        except TransientError:
            log.warning("the ledger's doorbell did not answer; the watch will ring it again")
