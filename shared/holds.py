"""Holds: what must stay although its period is over or its person asked (GDPR Art. 17(3) and 18).

This file reads them; the gate does so after its intent is durable and before it deletes anything. A hold that does
not parse, or is on a category that the policy has not, stops every deletion until somebody mends it: nothing is deleted
on a guess. `shared.holding` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, ValidationError

from shared.documents import Form, Outgoing
from shared.errors import ExistsError, TransientError
from shared.model import Cause, Record, RequestCause, parse_utc
from shared.policy import Policy
from shared.stores.interface import Entry, ObjectStore

ENDS = "ended_at"
"""The metadata that says when a hold ended, or will by itself. Its container keeps it for a year from then."""

NOTE = "journal"
"""The metadata of an object that is no hold, but lies beside one until the watch has seen to it.

`open`: what `shared.holding` notes of a journal that was open when the hold came. LATE: what the gate notes of records
that it called held, and that a worker who slept too long deleted all the same.
"""

LATE = "late"


class HoldKind(StrEnum):
    """What a hold covers: all of a person, home, e-mail address or session, a category, or one record."""

    PERSON = "person"
    HOME = "home"
    ADDRESS = "address"
    SESSION = "session"
    CATEGORY = "category"
    RECORD = "record"


class InForce(StrEnum):
    """Whether a hold keeps all that it covers.

    `pending`: a unit of work that was open when the hold came may still delete. `yes`: nothing does any more, and
    `too_late` is final. `unknown`: nobody looked, or the hold ended before that was known.
    """

    PENDING = "pending"
    YES = "yes"
    UNKNOWN = "unknown"


class Hold(Form):
    """One hold, as its JSON object in the container `holds` has it; the object's name is `<id>.json`.

    `target` is the scope's id, the category's id, or the record's locator text; `category` is the record's. `owner`
    answers for the hold, `by` ordered it. It ends at `until` by itself, or at `ended_at` because `ended_by` released
    it. `journals` are the units of work that were open when it came and name what it covers (None: not looked yet);
    `too_late` is the number of records that went, or were replaced, all the same, and `late` has the ids of their
    events. One that is `forgotten` has ended, and names nobody any more: its target and free text are empty.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]  # it stands in events: short, and no free text
    kind: HoldKind
    target: str
    category: str = ""
    owner: str
    reason: str
    by: str = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    ended_by: str = ""
    ended_because: str = ""
    in_force: InForce = InForce.UNKNOWN
    journals: tuple[str, ...] | None = None
    too_late: int = 0
    late: tuple[str, ...] = ()
    forgotten: bool = False
    outbox: tuple[Outgoing, ...] = ()

    @property
    def ends(self) -> datetime | None:
        """When it ended, or will by itself."""
        return self.ended_at or self.until

    def over(self, now: datetime) -> bool:
        """Whether it has ended."""
        return self.ends is not None and self.ends <= now

    def astray(self, policy: Policy) -> bool:
        """Whether it holds a category that the policy has not: under which name those records are now is not known."""
        return self.kind is HoldKind.CATEGORY and all(each.id != self.target for each in policy.categories)

    def covers(self, record: Record, cause: Cause) -> bool:
        """Whether this hold is about the record: by what it is, or because it would go for a held person's sake."""
        match self.kind:
            case HoldKind.CATEGORY:
                return record.category == self.target
            case HoldKind.RECORD:
                return record.locator.text() == self.target
            case _:
                scopes = [record.scope, *record.names, *(cause.scopes if isinstance(cause, RequestCause) else ())]
                return any(s is not None and s.kind.value == self.kind.value and s.id == self.target for s in scopes)


@dataclass(frozen=True, kw_only=True)
class Holds:
    """The container of holds."""

    objects: ObjectStore

    async def read(self) -> Sequence[Hold]:
        """Every hold that has not ended by the store's clock, read strongly consistent.

        Those that ended are known by their metadata and not read. Raises TransientError when one cannot be read.
        """
        entries = [entry async for entry in self.objects.list() if NOTE not in entry.metadata]
        if not entries:
            return []
        now = await self.objects.now()
        holds = [await self._one(each.name) for each in entries if not _over(each, now)]
        return [hold for hold in holds if hold is not None and not hold.over(now)]

    async def all(self) -> tuple[Sequence[Hold], Sequence[str]]:
        """Every hold there is, ended or not, and the names of those objects that cannot be read."""
        found: list[Hold] = []
        wrong: list[str] = []
        async for entry in self.objects.list():
            if NOTE not in entry.metadata:
                try:
                    hold = await self._one(entry.name)
                    found += [hold] if hold else []
                except HoldError:
                    wrong.append(entry.name)
        return found, wrong

    async def tell_late(self, hold_id: str, correction: str, late: Sequence[str]) -> None:
        """Leave word beside a hold that the records of these events went all the same. The same again is the same."""
        with suppress(ExistsError):
            await self.objects.create(f"{hold_id}/{correction}", json.dumps(late).encode(), metadata={NOTE: LATE})

    async def _one(self, name: str) -> Hold | None:
        """A hold; None when its period was over between listing and reading."""
        stored = await self.objects.read(name)
        if stored is None:
            return None
        try:
            return Hold.model_validate_json(stored.data)
        except ValidationError as error:
            raise HoldError("; ".join(".".join(map(str, each["loc"])) for each in error.errors())) from None


class HoldError(TransientError):
    """A hold cannot be read: nothing is deleted until it is mended. `retention hold list` names the object."""

    def __init__(self, where: str) -> None:
        super().__init__(f"a hold cannot be read, nothing is deleted until it is mended: {where}")


class HoldAstrayError(TransientError):
    """A hold is on a category that the policy has not (any more): nothing is deleted, for it may be any by now.

    The operator gives the category its name back, or releases the hold and places another.
    """

    def __init__(self, hold_id: str) -> None:
        super().__init__(f"hold {hold_id} is on a category that the policy has not, nothing is deleted until it has")


def _over(entry: Entry, now: datetime) -> bool:
    try:
        return ENDS in entry.metadata and parse_utc(entry.metadata[ENDS]) <= now
    except ValueError:
        raise HoldError(ENDS) from None
