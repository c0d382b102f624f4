"""The world of the tests on machines whose clocks differ: the stores and the broker have the true time, workers theirs.

`on` says on which machine something runs: by how much its clock is ahead of the stores', or behind.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta

from world import Message, World

AHEAD = timedelta(minutes=10)
BEHIND = -AHEAD
SKEWS = (BEHIND, AHEAD)

_SKEW: ContextVar[timedelta] = ContextVar("skew")


@contextmanager
def on(skew: timedelta) -> Iterator[None]:
    """What runs inside runs on a machine whose clock is off by so much."""
    token = _SKEW.set(skew)
    try:
        yield
    finally:
        _SKEW.reset(token)


class Machines(World):
    """The product on several machines. What no `on` places runs where the clock is right."""

    def clock(self) -> datetime:
        return self.now + _SKEW.get(timedelta(0))


class Scattered(Machines):
    """Each message, and each firing of the timers, is taken by another machine: seeded."""

    def __init__(self, *, seed: int, **options) -> None:
        super().__init__(**options)
        self._chance = random.Random(seed)

    async def handle(self, queue: str, message: Message) -> None:
        with on(self._chance.choice((*SKEWS, timedelta(0)))):
            await super().handle(queue, message)

    async def timers(self) -> None:
        with on(self._chance.choice((*SKEWS, timedelta(0)))):
            await super().timers()
