"""The machine's clock, and time budgets by it. Cutoffs are not made of it: they are made of the stores' own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class Hurry:
    """Says when a time budget that begins now is over."""

    def __init__(self, *, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds

    def __call__(self) -> bool:
        """Whether it is."""
        return self._loop.time() >= self._end
