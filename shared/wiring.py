"""Wiring: from the settings to the use cases with real stores behind them. Role ledger's: `shared.ledger.wiring`."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property

from shared.clock import Hurry, utc_now
from shared.control import Control
from shared.dead_letters import DeadLetters
from shared.deletion import Gate
from shared.door import Door
from shared.governed import Governed
from shared.holding import Holding
from shared.holds import Holds
from shared.journal import Journals
from shared.keys import ScopeKeys
from shared.ledger.reader import Live, sealed
from shared.ledger.wiring import LedgerProduct
from shared.overdue import Overseer
from shared.parking import Parking
from shared.plan import Caps
from shared.planner import Planner
from shared.posture.watch import PostureWatch
from shared.posture.wiring import management, read_stores
from shared.requests.close import Closer
from shared.requests.decide import Decisions
from shared.requests.documents import Requests
from shared.requests.erase import Eraser
from shared.requests.intake import Intake
from shared.requests.rate import Rate
from shared.requests.register import Register
from shared.requests.replay import Replays
from shared.requests.work import Tools
from shared.runs import Runs
from shared.status import Gathering
from shared.sweep import Sweeps
from shared.watch import Watch


class Product(Governed, LedgerProduct):
    """Everything, built on demand. Use `async with`, or `close` it."""

    @cached_property
    def keys(self) -> ScopeKeys:
        """The scope keys."""
        return ScopeKeys(objects=self.own("scope-keys"))

    @cached_property
    def runs(self) -> Runs:
        """What is kept of runs."""
        return Runs(objects=self.own("runs"))

    @property
    def caps(self) -> Caps:
        """How much a run may find without approval."""
        return Caps(
            absolute=self.config.number("RETENTION_CAP"),
            factor=self.config.number("RETENTION_CAP_FACTOR"),
            floor=self.config.number("RETENTION_CAP_FLOOR"),
        )

    @cached_property
    def gate(self) -> Gate:
        """The gate."""
        return Gate(
            stores=self.stores,
            journals=Journals(objects=self.own("journals")),
            holds=Holds(objects=self.own("holds")),
            keys=self.keys,
            doorbell=self.queue("ledger"),
            policy=self.policy,
            source=f"//{self.config.text('LEDGER_ORIGIN')}",
            clock=utc_now,
        )

    @cached_property
    def sweeps(self) -> Sweeps:
        """The workers of slices."""
        return Sweeps(
            policy=self.policy,
            stores=self.stores,
            gate=self.gate,
            runs=self.runs,
            sweeps=self.queue("sweeps"),
            requests=self.queue("requests"),
            clock=utc_now,
            unit=self.config.number("RETENTION_UNIT"),
        )

    @cached_property
    def planner(self) -> Planner:
        """The planner of runs."""
        return Planner(
            policy=self.policy,
            stores=self.stores,
            gate=self.gate,
            runs=self.runs,
            sweeps=self.queue("sweeps"),
            heartbeats=self.heartbeats,
            clock=utc_now,
            resend_after=timedelta(seconds=self.config.number("RETENTION_RESEND_AFTER")),
            most_slices=self.config.number("RETENTION_SLICES"),
            caps=self.caps,
        )

    @cached_property
    def control(self) -> Control:
        """Approval, pause and resume."""
        return Control(policy=self.policy, runs=self.runs, gate=self.gate)

    @cached_property
    def holding(self) -> Holding:
        """Holds: adding, releasing, settling."""
        return Holding(gate=self.gate)

    @cached_property
    def rate(self) -> Rate:
        """The bound of requests in an hour."""
        return Rate(objects=self.own("runs"), most=self.config.number("RETENTION_REQUESTS_PER_HOUR"))

    @cached_property
    def requests(self) -> Requests:
        """The request documents."""
        return Requests(objects=self.own("requests"), gate=self.gate)

    @cached_property
    def parking(self) -> Parking:
        """The parking of messages."""
        return Parking(objects=self.own("parking"), gate=self.gate)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """The dead letters of the pipeline's own messages."""
        return DeadLetters(runs=self.runs, requests=self.requests, parking=self.parking, clock=utc_now)

    @cached_property
    def overseer(self) -> Overseer:
        """The independent look at what is overdue."""
        return Overseer(
            policy=self.policy,
            stores=self.stores,
            holds=Holds(objects=self.own("holds")),
            heartbeats=self.own("heartbeats"),
            concurrency=self.config.number("RETENTION_CONCURRENCY"),
        )

    @cached_property
    def posture(self) -> PostureWatch:
        """The daily look at what the stores' settings make of each promise."""
        subscription = self.config.text("AZURE_SUBSCRIPTION_ID")
        asked = management(subscription, None, None, client_id=self.config.values.get("AZURE_CLIENT_ID"))
        return PostureWatch(
            policy=self.policy,
            stores=lambda: read_stores(self, management=asked),
            heartbeats=self.own("heartbeats"),
        )

    @cached_property
    def gathering(self) -> Gathering:
        """How everything stands."""
        return Gathering(
            policy=self.policy,
            runs=self.runs,
            journals=Journals(objects=self.own("journals")),
            requests=self.own("requests"),
            parking=self.own("parking"),
            holds=Holds(objects=self.own("holds")),
            heartbeats=self.heartbeats,
            ledger=self.ledger,
            after=timedelta(seconds=self.config.number("RETENTION_RECOVER_AFTER")),
        )

    @cached_property
    def tools(self) -> Tools:
        """What all work on requests needs."""
        return Tools(
            policy=self.policy,
            stores=self.stores,
            gate=self.gate,
            requests=self.requests,
            paused=self.control.paused,
            clock=utc_now,
            unit=self.config.number("RETENTION_UNIT"),
        )

    @cached_property
    def register(self) -> Register:
        """The register of erased scopes."""
        return Register(objects=self.own("register"))

    @cached_property
    def intake(self) -> Intake:
        """The intake of people's requests."""
        return Intake(
            policy=self.policy,
            stores=self.stores,
            requests=self.requests,
            work=self.queue("requests-work"),
            log_size=self._log_size,
            restrict=self.holding.restrict,
            paused=self.control.paused,
            admit=self.rate.admit,
            clock=utc_now,
        )

    @cached_property
    def door(self) -> Door:
        """The door of queue `requests`."""
        return Door(
            intake=self.intake,
            decisions=Decisions(requests=self.requests, intake=self.intake, clock=utc_now),
            replays=Replays(
                register=self.register,
                marks=self.own("runs"),
                requests=self.requests,
                intake=self.intake,
                log_size=self._log_size,
            ),
            planner=self.planner,
            holding=self.holding,
            control=self.control,
            parking=self.parking,
            clock=utc_now,
        )

    @cached_property
    def eraser(self) -> Eraser:
        """The erasure of people, homes and what else can be asked about."""
        return Eraser(tools=self.tools, work=self.queue("requests-work"), register=self.register)

    @cached_property
    def closer(self) -> Closer:
        """The closing of requests, with their receipts."""
        return Closer(
            tools=self.tools,
            register=self.register,
            receipts=self.own("receipts"),
            parking=self.parking,
            ledger=self.ledger,
        )

    async def _log_size(self, year: str) -> int:
        return await sealed(Live(ledger=self.ledger, year=year))

    @cached_property
    def watch(self) -> Watch:
        """Recovery."""
        return Watch(
            gate=self.gate,
            intake=self.intake,
            after=timedelta(seconds=self.config.number("RETENTION_RECOVER_AFTER")),
        )

    def hurry(self, seconds: float | None = None) -> Hurry:
        """A time budget that begins now: a worker's, unless `seconds` says otherwise."""
        return Hurry(seconds=self.config.number("RETENTION_TIME_BUDGET") if seconds is None else seconds)
