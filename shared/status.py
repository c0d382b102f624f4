"""How everything stands: the gathering behind `retention status` and `retention request status`. Reads only.

What it tells names nobody: categories, counts, times, request ids. `Status.attention` is what an operator must look at.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.documents import read
from shared.errors import IntegrityError
from shared.ledger.head import Ledger, decode_head
from shared.ledger.log import logs
from shared.ledger.reader import Live, latest
from shared.plan import total
from shared.policy import Category, Follows, Policy
from shared.requests.documents import ParkedMessage, RequestDocument, State
from shared.runs import Runs, SliceProgress
from shared.stores.interface import ObjectStore

SHOWN = 5
"""Requests and messages that need a person are named up to this number, and counted beyond it."""

# ---------------------------------------------------------------- one request


@dataclass(frozen=True, kw_only=True)
class RequestStatus:
    """A request by its id: its document, None where there is none, and the parked messages that carry the id."""

    request: str
    document: RequestDocument | None
    parked: Sequence[ParkedMessage]

    @property
    def state(self) -> str:
        """A State, or `parked`: the message could not become a request, or `unknown`."""
        if self.document is not None:
            return self.document.state.value
        return "parked" if self.parked else "unknown"

    @property
    def needs_a_person(self) -> bool:
        """Whether it will not go on by itself, and is not done. A parked message beside a document counts too."""
        return bool(self.parked) or self.state in (State.NEEDS_ATTENTION, State.REJECTED)

    @property
    def settled(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.needs_a_person or self.state == State.DONE


async def request_status(request: str, *, requests: ObjectStore, parking: ObjectStore) -> RequestStatus:
    """Look up a request by its id (a UUID, as text) in the two containers. Raises TransientError."""
    held = await read(requests, f"{request}.json", RequestDocument)
    parked = []
    async for entry in parking.list():
        if entry.metadata.get("request") == request:
            message = await read(parking, entry.name, ParkedMessage)
            parked += [message.value] if message else []
    return RequestStatus(request=request, document=held.value if held else None, parked=tuple(parked))


# ---------------------------------------------------------------- everything


@dataclass(frozen=True, kw_only=True)
class CategoryStatus:
    """The latest run of an enforced category; `run` is None before the first.

    `open_slices` of its `slices` are not done; `uncounted` units have outcomes that the log alone knows. `follows`
    names the categories that this one's records go with; where all of its rules are such, it has no runs.
    """

    category: str
    follows: Sequence[str]
    run: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    next_due: datetime | None = None
    slices: int = 0
    open_slices: int = 0
    expired: int = 0
    forwarded: int = 0
    uncounted: int = 0
    outcomes: Mapping[str, int]
    strange: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How many journals wait in one state, and since when the oldest does."""

    count: int = 0
    since: datetime | None = None

    def and_one(self, since: datetime) -> Waiting:
        """One more."""
        return Waiting(count=self.count + 1, since=min(since, self.since or since))

    def older_than(self, moment: datetime) -> bool:
        """Whether the oldest waits since the moment or longer."""
        return self.since is not None and self.since <= moment


@dataclass(frozen=True, kw_only=True)
class LogStatus:
    """One year's log, in entries: committed, sealed by the latest checkpoint, published to the topic.

    `wrong` says what of it cannot be read, "" when all can.
    """

    year: str
    size: int = 0
    sealed: int = 0
    published: int = 0
    wrong: str = ""


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A parked message: from which queue, when, why, and the request id where it held one. Nothing of its body."""

    queue: str
    at: datetime
    reason: str
    request: str | None


@dataclass(frozen=True, kw_only=True)
class Status:
    """Everything, as of the store's clock. `requests` counts by state, `undecided` are the ids that need a person."""

    at: datetime
    categories: Sequence[CategoryStatus]
    planned: Sequence[str]
    open: Waiting
    settled: Waiting
    requests: Mapping[str, int]
    undecided: Sequence[str]
    parked: int
    latest_parked: Sequence[Parked]
    logs: Sequence[LogStatus]
    attention: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """What status reads. `after` is how old a journal may be before it needs attention."""

    policy: Policy
    runs: Runs
    journals: ObjectStore
    requests: ObjectStore
    parking: ObjectStore
    ledger: Ledger
    after: timedelta

    async def gather(self) -> Status:
        """Read all of it, side by side. Raises TransientError that names the store without an answer."""
        at = await self.journals.now()
        categories, (still_open, settled), (requests, undecided), (parked, latest_parked), logs = await asyncio.gather(
            asyncio.gather(*(self._category(category) for category in self.policy.enforced())),
            self._waiting(),
            self._requests(),
            self._parked(),
            self._logs(),
        )
        found = Status(
            at=at,
            categories=categories,
            planned=[category.id for category in self.policy.categories if category.status == "planned"],
            open=still_open,
            settled=settled,
            requests=requests,
            undecided=undecided,
            parked=parked,
            latest_parked=latest_parked,
            logs=logs,
        )
        return replace(found, attention=attention(found, after=self.after))

    async def _category(self, category: Category) -> CategoryStatus:
        follows = [rule.start.category for rule in category.rules if isinstance(rule.start, Follows)]
        held = await self.runs.current(category.id)
        if held is None:
            return CategoryStatus(category=category.id, follows=follows, outcomes={}, strange={})
        current = held.value
        totals, open_slices = current.totals or SliceProgress(), 0
        if current.finished is None:
            numbers = range(current.slices)
            progress = [(await self.runs.progress(category.id, current.run, number)).value for number in numbers]
            totals, open_slices = total(progress), sum(not each.done for each in progress)
        return CategoryStatus(
            category=category.id,
            follows=follows,
            run=current.run,
            started=current.started,
            finished=current.finished,
            next_due=category.cadence.after(current.started),
            slices=current.slices,
            open_slices=open_slices,
            expired=totals.expired,
            forwarded=totals.forwarded,
            uncounted=totals.uncounted,
            outcomes=dict(totals.outcomes),
            strange=dict(totals.strange),
        )

    async def _waiting(self) -> tuple[Waiting, Waiting]:
        """Journals that are open, and those that are settled and wait for the ledger."""
        still_open, settled = Waiting(), Waiting()
        async for entry in self.journals.list():
            if entry.metadata.get("state") == "settled":
                settled = settled.and_one(entry.modified)
            else:
                still_open = still_open.and_one(entry.modified)
        return still_open, settled

    async def _requests(self) -> tuple[Mapping[str, int], list[str]]:
        """Counts by state, and the ids of those that need a person."""
        entries = [(entry.name, entry.metadata.get("state", "")) async for entry in self.requests.list()]
        undecided = [name.removesuffix(".json") for name, state in entries if state == State.NEEDS_ATTENTION]
        return dict(Counter(state for _, state in entries)), undecided

    async def _parked(self) -> tuple[int, list[Parked]]:
        """How many messages are parked, and the latest SHOWN of them."""
        entries = sorted([(entry.modified, entry.name) async for entry in self.parking.list()])
        held = [await read(self.parking, name, ParkedMessage) for _, name in entries[-SHOWN:]]
        found = [
            Parked(
                queue=each.value.queue, at=each.value.parked_at, reason=each.value.reason, request=each.value.request
            )
            for each in held
            if each
        ]
        return len(entries), found

    async def _logs(self) -> list[LogStatus]:
        return [await self._log(year) for year in await logs(self.ledger)]

    async def _log(self, year: str) -> LogStatus:
        try:
            stored = await self.ledger.state.read(f"{year}/head")
            checkpoint = await latest(Live(ledger=self.ledger, year=year))
            return LogStatus(
                year=year,
                size=decode_head(stored.data, self.ledger.origin_of(year)).size if stored else 0,
                sealed=checkpoint.size if checkpoint else 0,
                published=await self._published(year),
            )
        except IntegrityError as error:
            return LogStatus(year=year, wrong=str(error))

    async def _published(self, year: str) -> int:
        """The publisher's cursor; see `shared.ledger.publish`."""
        stored = await self.ledger.state.read(f"{year}/published")
        if stored is None:
            return 0
        try:
            return int(json.loads(stored.data)["next"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise IntegrityError("the publisher's cursor cannot be read") from None


def attention(found: Status, *, after: timedelta) -> list[str]:
    """What an operator must look at; `after` is how old a journal, and how late a run, may be."""
    said = [
        f"request {each} needs a person: `retention request status ID` says why" for each in found.undecided[:SHOWN]
    ]
    if found.undecided[SHOWN:]:
        said.append(f"more requests that need a person: {len(found.undecided) - SHOWN}")
    for each in found.latest_parked:
        whose = f" of request {each.request}" if each.request else ""
        said.append(f"a message{whose} is parked, from queue {each.queue}: {each.reason}")
    if found.parked > len(found.latest_parked):
        said.append(f"more messages that are parked: {found.parked - len(found.latest_parked)}")
    said += [
        f"{each.category}: the next run is overdue: does the planner run, do its slices end?"
        for each in found.categories
        if each.next_due is not None and each.next_due + after <= found.at
    ]
    if found.open.older_than(found.at - after):
        said.append("journals are open for longer than they should be: does the watch run?")
    if found.settled.older_than(found.at - after):
        said.append("journals wait for the ledger for longer than they should: does role ledger run?")
    return said + [f"log {log.year}: {log.wrong}" for log in found.logs if log.wrong]
