"""What is kept of runs: the run documents, their slices' progress, each category's current run, and its pause.

Names in the container `runs`: `<category>/current` and `<category>/paused` (mutable, they stay),
`<category>/<run>/run` (written once, and once more when it is over), `<category>/<run>/slice/<n>` (mutable, one worker
at a time). No progress lives anywhere else. What is over has its end in the metadata `ended_at`: by that the
container's own retention takes it. Bounds and cursors are places in a listing, and may hold names of records: they go
when the run, or the slice, is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime

from shared.documents import Form, Version, read, write
from shared.errors import ExistsError
from shared.model import utc_text
from shared.outbox import Outgoing
from shared.stores.interface import ObjectStore

REMEMBERED = 20
"""So many earlier runs a category remembers."""

ABANDONED = timedelta(days=90)
"""After so long a run that nobody ended counts as over: its planner may have died before the run was anybody's."""


class PlannedSlice(Form):
    """One part of a run: under which rule, as of when (the store's clock), and the adapter's bounds ("" at the end).

    `quota` is how many records it may hand over where nobody approved the run: see `shared.plan.quotas`.
    """

    rule: str
    now: AwareDatetime
    bounds: str
    quota: int = 0


class RunDocument(Form):
    """A run as planned. `strange` counts by reason what planning met and could not judge."""

    run: str
    category: str
    policy: str
    started: AwareDatetime
    slices: tuple[PlannedSlice, ...]
    strange: Mapping[str, int] = {}


class SliceProgress(Form):
    """How far a slice is: `cursor` resumes it; `expired` records were found, `outcomes` counts what became of them.

    `forwarded` counts those that started an erasure of their person or home in place of a deletion; whom a hold covers
    is not asked for, and is `held` here without an event of its own. `begun` counts what was to be handed over, before
    it was: after a crash a record may be in it twice, and none is missing. `intent` is the unit at the gate, "" when
    none is; `uncounted` counts the units whose outcomes the log alone knows, after a crash.
    """

    cursor: str = ""
    begun: int = 0
    intent: str = ""
    uncounted: int = 0
    done: bool = False
    expired: int = 0
    forwarded: int = 0
    outcomes: Mapping[str, int] = {}
    strange: Mapping[str, int] = {}


class Current(Form):
    """The category's latest run, planned under the policy of the digest `policy`.

    `queued` is when its messages were last sent, None before they were, and `resumed_at` the latest resumption of the
    category by then.

    `found` is what it found before anything was queued, `cap` + 1 standing for more than the cap; beyond the cap its
    `approval` is waiting until somebody gives it. `approved_by` is free text, and stays here.

    `history` has what the last REMEMBERED finished runs found expired, the latest last; `orders` the ids of the
    messages that came here lately, and when, so that one that is delivered again changes nothing. `outbox` has the
    events that are still to be posted.
    """

    run: str
    policy: str = ""
    started: AwareDatetime
    slices: int
    found: int = 0
    cap: int | None = None
    approval: Literal["waiting", "given"] | None = None
    approved_at: AwareDatetime | None = None
    approved_by: str = ""
    attempt: int = 1
    queued: AwareDatetime | None = None
    resumed_at: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    totals: SliceProgress | None = None
    history: tuple[int, ...] = ()
    orders: Mapping[str, AwareDatetime] = {}
    outbox: tuple[Outgoing, ...] = ()


ERASURES = "erasures"
"""What is paused under this name, in place of a category's, is the work on requests to erase."""


class Pause(Form):
    """Whether a category (or ERASURES) is paused, since when, who said so and why; when it was resumed.

    `orders` and `outbox` are as in Current.
    """

    paused: bool
    since: AwareDatetime
    by: str
    reason: str
    resumed_at: AwareDatetime | None = None
    resumed_by: str = ""
    orders: Mapping[str, AwareDatetime] = {}
    outbox: tuple[Outgoing, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The container of runs."""

    objects: ObjectStore

    async def current(self, category: str) -> Version[Current] | None:
        """The category's latest run, or None before the first."""
        return await read(self.objects, f"{category}/current", Current)

    async def set_current(self, category: str, value: Current, etag: str | None) -> str:
        """Write it over the version read. Raises ChangedError or ExistsError when another planner was faster."""
        return await write(self.objects, f"{category}/current", value, etag)

    async def pause(self, category: str) -> Version[Pause] | None:
        """Whether the category is paused, and how that came; None when nobody has ever paused it."""
        return await read(self.objects, f"{category}/paused", Pause)

    async def set_pause(self, category: str, value: Pause, etag: str | None) -> str:
        """Write it over the version read. Raises ChangedError or ExistsError when somebody else was faster."""
        return await write(self.objects, f"{category}/paused", value, etag)

    async def paused(self, category: str) -> bool:
        """Whether the category is paused now."""
        held = await self.pause(category)
        return held is not None and held.value.paused

    async def add(self, document: RunDocument) -> RunDocument:
        """Write a run document once; a rival's of the same id stands and is returned.

        It bears an end from the beginning, ABANDONED after its start: a crash may leave it to nobody.
        """
        metadata = _ended(document.started + ABANDONED)
        try:
            await write(self.objects, _run(document.category, document.run), document, None, metadata=metadata)
        except ExistsError:
            return (await self.document(document.category, document.run)) or document
        return document

    async def document(self, category: str, run: str) -> RunDocument | None:
        """A run as it was planned."""
        held = await read(self.objects, _run(category, run), RunDocument)
        return held.value if held else None

    async def end(self, category: str, run: str, at: datetime) -> None:
        """Note on the run's document when it ended, and take the bounds out. Safe to repeat; nothing where none is."""
        held = await read(self.objects, _run(category, run), RunDocument)
        if held is not None:
            slices = tuple(each.model_copy(update={"bounds": ""}) for each in held.value.slices)
            ended = held.value.model_copy(update={"slices": slices})
            await write(self.objects, _run(category, run), ended, held.etag, metadata=_ended(at))

    async def progress(self, category: str, run: str, number: int) -> Version[SliceProgress]:
        """A slice's progress; a fresh one before a worker began."""
        held = await read(self.objects, _slice(category, run, number), SliceProgress)
        return held or Version(value=SliceProgress(), etag=None)

    async def set_progress(
        self, category: str, run: str, number: int, value: SliceProgress, etag: str | None, *, at: datetime
    ) -> str:
        """Write it, at the time `at`, over the version read.

        Raises ChangedError or ExistsError when another worker was faster.
        """
        metadata = _ended(at) if value.done else None
        return await write(self.objects, _slice(category, run, number), value, etag, metadata=metadata)


def _run(category: str, run: str) -> str:
    return f"{category}/{run}/run"


def _slice(category: str, run: str, number: int) -> str:
    return f"{category}/{run}/slice/{number:04d}"


def _ended(at: datetime) -> dict[str, str]:
    return {"ended_at": utc_text(at)}
