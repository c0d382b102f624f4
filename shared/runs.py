"""What is kept of a run: the run document (create-only), its slices' progress, and the category's current run.

Names in the container `runs`: `<category>/current` (mutable), `<category>/<run>/run` (create-only),
`<category>/<run>/slice/<n>` (mutable, one worker at a time). No progress lives anywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import AwareDatetime

from shared.documents import Form, Version, read, write
from shared.errors import ExistsError
from shared.stores.interface import ObjectStore


class PlannedSlice(Form):
    """One part of a run: under which rule, as of when (the store's clock), and the adapter's bounds."""

    rule: str
    now: AwareDatetime
    bounds: str


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

    `forwarded` counts those that started an erasure of their person or home in place of a deletion. `intent` is the
    unit at the gate, "" when none is; `uncounted` counts the units whose outcomes the log alone knows, after a crash.
    """

    cursor: str = ""
    intent: str = ""
    uncounted: int = 0
    done: bool = False
    expired: int = 0
    forwarded: int = 0
    outcomes: Mapping[str, int] = {}
    strange: Mapping[str, int] = {}


class Current(Form):
    """The category's latest run. `queued` is when its messages were last sent, None before they were.

    `outbox` is the event of the finished run, until it has been posted.
    """

    run: str
    started: AwareDatetime
    slices: int
    attempt: int = 1
    queued: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    totals: SliceProgress | None = None
    outbox: str | None = None


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

    async def add(self, document: RunDocument) -> RunDocument:
        """Write a run document once; a rival's of the same id stands and is returned."""
        name = f"{document.category}/{document.run}/run"
        try:
            await write(self.objects, name, document, None)
        except ExistsError:
            return (await self.document(document.category, document.run)) or document
        return document

    async def document(self, category: str, run: str) -> RunDocument | None:
        """A run as it was planned."""
        held = await read(self.objects, f"{category}/{run}/run", RunDocument)
        return held.value if held else None

    async def progress(self, category: str, run: str, number: int) -> Version[SliceProgress]:
        """A slice's progress; a fresh one before a worker began."""
        held = await read(self.objects, _slice(category, run, number), SliceProgress)
        return held or Version(value=SliceProgress(), etag=None)

    async def set_progress(self, category: str, run: str, number: int, value: SliceProgress, etag: str | None) -> str:
        """Write it over the version read. Raises ChangedError or ExistsError when another worker was faster."""
        return await write(self.objects, _slice(category, run, number), value, etag)


def _slice(category: str, run: str, number: int) -> str:
    return f"{category}/{run}/slice/{number:04d}"
