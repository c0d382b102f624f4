"""Holds: what must stay although its period is over or its person asked (GDPR Art. 17(3) and 18).

This file reads them; the gate does so after its intent is durable and before it deletes anything. A hold that does
not parse stops every deletion until somebody mends it: nothing is deleted on a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.errors import TransientError
from shared.model import Cause, Record, RequestCause
from shared.stores.interface import ObjectStore


class HoldKind(StrEnum):
    """What a hold covers: all of a person, all of a home, a category, or one record."""

    PERSON = "person"
    HOME = "home"
    CATEGORY = "category"
    RECORD = "record"


class Hold(BaseModel):
    """One hold, as its JSON object in the container `holds` has it; the object's name is `<id>.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]  # it stands in events: short, and no free text
    kind: HoldKind
    target: str  # the scope's id, the category's id, or the record's locator text
    owner: str
    reason: str
    until: AwareDatetime | None = None

    def covers(self, record: Record, cause: Cause, now: datetime) -> bool:
        """Whether this hold keeps the record: by what it is, or because it would go for a held person's sake."""
        if self.until is not None and self.until <= now:
            return False
        match self.kind:
            case HoldKind.CATEGORY:
                return record.category == self.target
            case HoldKind.RECORD:
                return record.locator.text() == self.target
            case HoldKind.PERSON | HoldKind.HOME:
                scopes = [record.scope, *record.names, *(cause.scopes if isinstance(cause, RequestCause) else ())]
                return any(s is not None and s.kind.value == self.kind.value and s.id == self.target for s in scopes)


@dataclass(frozen=True, kw_only=True)
class Holds:
    """The container of holds."""

    objects: ObjectStore

    async def read(self) -> Sequence[Hold]:
        """Every hold there is, read strongly consistent. Raises TransientError when one cannot be read."""
        found: list[Hold] = []
        async for entry in self.objects.list():
            stored = await self.objects.read(entry.name)
            if stored is None:  # released between listing and reading
                continue
            try:
                found.append(Hold.model_validate_json(stored.data))
            except ValidationError as error:
                where = "; ".join(".".join(map(str, e["loc"])) for e in error.errors())
                raise TransientError(f"a hold cannot be read, nothing is deleted until it is mended: {where}") from None
        return found
