"""A log of a year long over beside the current one, in the ledger's world, and the dropping of it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger_world import YEAR, World, entries_of
from writes import Site, here, written

from shared import audit
from shared.errors import RefusedError, TransientError
from shared.ledger.retire import Retirement
from shared.policy import Category, Policy
from shared.stores.memory import MemoryObjects

OLD = "2023"
OVER = datetime(2027, 1, 1, tzinfo=UTC)  # when three years have passed since the end of OLD
AUDIT_LOG: Mapping[str, Any] = {
    "id": "audit-log",
    "row": 23,
    "clause": "1",
    "says": "The log goes.",
    "role": "controller",
    "legal_basis": "legal-obligation",
    "status": "enforced",
    "store": {"kind": "own", "container": "audit-log", "swept_by": "ledger"},
    "rules": ({"id": "audit-log-3-years", "start": {"from": "year-end", "field": "year"}, "period": "P3Y"},),
    "cadence": "P1D",
    "on_request": "stays",
}


def policy(**change: Any) -> Policy:
    """A policy of nothing but the log's row, changed."""
    category = Category.model_validate({**AUDIT_LOG, **change})
    return Policy(version=1, organisation="test", categories=(category,), promises=(), digest="sha256:11")


class Rings:
    """The doorbell: how often it rang, and whether it answers; `fail` is as in RememberingTopic."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        self.away = False
        self.fail = ""
        self.sites: set[Site] = set()

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        self.sites |= here()
        fail, self.fail = "unapplied" if self.away else self.fail, ""
        if fail != "unapplied":
            self.rung.append(message_id)
        if fail:
            raise TransientError("no answer")


class Worm(MemoryObjects):
    """Refuses to delete what was written less than `days` ago, as container-level immutability does."""

    days = 0

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        held = await self.read(name)
        if held is not None and held.modified + timedelta(days=self.days) > await self.now():
            raise RefusedError("BlobImmutableDueToPolicy")
        await super().delete(name, etag=etag)


class RetireWorld(World):
    """Its ledger holds the log of OLD, complete, and that of YEAR; the time is a moment after OVER."""

    def __init__(self, **change: Any) -> None:
        super().__init__()
        self.rings = Rings()
        self.stores["tiles"] = written(Worm(clock=self.stores["tiles"].clock))
        self.ledger = type(self.ledger)(origin=self.ledger.origin, **self.stores)
        self.retirement = Retirement(
            ledger=self.ledger, policy=policy(**change), doorbell=self.rings, source="//test.example"
        )

    def at(self, moment: datetime) -> None:
        for store in self.stores.values():
            store.clock = moment

    async def retire(self, moment: datetime = OVER) -> None:
        """One firing of the timer."""
        self.at(moment)
        await self.retirement.retire_all()

    async def of_old(self) -> dict[str, list[str]]:
        """All that is left of the old log."""
        return {name: found for name in ("tiles", "state") if (found := await self.names(name, f"{OLD}/"))}

    async def dropped(self, year: str = "2027") -> list[dict[str, Any]]:
        """The distinct events in a year's sealed log that say that a log was dropped."""
        texts = {e for e in await entries_of(self, year) if audit.EventType.LOG_DROPPED.value.encode() in e}
        return [json.loads(text) for text in texts]


async def old_and_new(*, entries: int = 300, **change: Any) -> RetireWorld:
    """The old log, as it was left at the end of its year, and one of YEAR."""
    world = RetireWorld(**change)
    world.at(datetime(2023, 12, 31, 12, tzinfo=UTC))
    for at in range(0, entries, 100):
        await world.settle(f"old{at}", min(100, entries - at), year=OLD)
        await world.work(OLD)
    world.at(datetime(2026, 3, 1, tzinfo=UTC))
    await world.settle("new", 3)
    await world.work(YEAR)
    return world
