"""Fires timers by their schedules, each one call at a time, and on demand.

A monitored timer's next time is kept in a file: when the runner starts and finds that it has passed, it fires at once
with `past_due` set, as the platform does. A time that comes while a call still runs is skipped. There are no retries.
"""

import asyncio
import contextlib
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from azure.functions import TimerRequest
from azure.functions.meta import Datum
from azure.functions.timer import TimerRequestConverter

from local.runner.app import Function, Timer
from local.runner.invocation import invoke

_log = logging.getLogger("runner")


class TimerStatus:
    """The next time of each monitored timer, in one JSON file; without a folder nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "timers.json" if folder else None
        self._next: dict[str, dict[str, str]] = {}
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # A file that cannot be read means what no file means: nothing is known to have been missed.
            with contextlib.suppress(OSError, ValueError):
                self._next = json.loads(self._path.read_text())

    def missed(self, name: str, timer: Timer, now: datetime) -> bool:
        """Say whether the timer's next time, as remembered for this very schedule, has passed."""
        known = self._next.get(name)
        return known is not None and known["schedule"] == timer.schedule.text and known["next"] <= now.isoformat()

    def remember(self, name: str, timer: Timer, following: datetime) -> None:
        """Write the timer's next time."""
        if self._path is None or not timer.monitored:
            return
        self._next[name] = {"schedule": timer.schedule.text, "next": following.astimezone(UTC).isoformat()}
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._next, indent=2, sort_keys=True) + "\n")
        draft.replace(self._path)


class TimerLoop:
    """One timer function: waits for its times and calls it."""

    def __init__(self, function: Function, timer: Timer, status: TimerStatus, stopping: asyncio.Event) -> None:
        self.function = function
        self._timer = timer
        self._status = status
        self._stopping = stopping
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Fire until told to stop."""
        past_due = self._timer.monitored and self._status.missed(self.function.name, self._timer, datetime.now(UTC))
        while not self._stopping.is_set():
            following = self._timer.schedule.next_after(datetime.now(UTC))
            self._status.remember(self.function.name, self._timer, following)
            if past_due or await self._reached(following):
                await self.fire(past_due=past_due)
            past_due = False

    async def fire(self, *, past_due: bool = False) -> bool:
        """Call the function now, after a call that still runs; say whether it succeeded."""
        async with self._one_at_a_time:
            return await invoke(self.function, lambda: _request(past_due=past_due))

    async def _reached(self, moment: datetime) -> bool:
        """Wait until `moment`; return False when we are told to stop before."""
        # Again and again, because the wall clock may be set while we wait by the monotonic one.
        while (seconds := (moment - datetime.now(UTC)).total_seconds()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(seconds, 60))
                return False
        return True


def _request(*, past_due: bool) -> TimerRequest:
    described = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": past_due}
    request: TimerRequest = TimerRequestConverter.decode(Datum(json.dumps(described), "json"), trigger_metadata=None)
    return request
