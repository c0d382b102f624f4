"""Wiring of role ledger: what its functions use. It loads no module, and no SDK, that the pipeline alone needs."""

from __future__ import annotations

from functools import cached_property

from shared.clock import Hurry
from shared.connections import Connections
from shared.ledger.checkpoint import Signer
from shared.ledger.head import Ledger
from shared.ledger.outboxes import Outboxes
from shared.ledger.retire import Retirement
from shared.ledger.signing import signer
from shared.liveness import Heartbeats


class LedgerProduct(Connections):
    """What role ledger needs, built on demand. Use `async with`, or `close` it."""

    @cached_property
    def heartbeats(self) -> Heartbeats:
        """The heartbeats."""
        return Heartbeats(objects=self.own("heartbeats"))

    @cached_property
    def ledger(self) -> Ledger:
        """The audit log's storage."""
        return Ledger(
            origin=self.config.text("LEDGER_ORIGIN"),
            tiles=self.own("audit-log"),
            state=self.own("audit-state"),
            journals=Outboxes(journals=self.own("journals"), ours=self.own("ledger-journals")),
        )

    @cached_property
    def retirement(self) -> Retirement:
        """The dropping of logs whose period is over."""
        return Retirement(
            ledger=self.ledger,
            policy=self.policy,
            doorbell=self.queue("ledger"),
            source=f"//{self.config.text('LEDGER_ORIGIN')}",
        )

    def signer(self, year: str) -> Signer:
        """The signer of a year's log: role ledger only."""
        return signer(self.config, self.ledger.origin_of(year))

    def hurry(self, seconds: float) -> Hurry:
        """A time budget that begins now."""
        return Hurry(seconds=seconds)
