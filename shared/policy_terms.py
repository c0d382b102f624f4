"""The terms that a policy is written in: where records are, when a period begins, how a person's records are found.

Strict: unknown keys and wrong types are refused, nothing is coerced, everything is frozen. The words are those of
ISO/IEC 27555. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import pydantic

from shared.model import ScopeKind
from shared.policy_fields import ContainerName, FieldName, Id, NameLayout, PartitionKey, RetentionPeriod, Text, Zone


class Terms(pydantic.BaseModel):
    """The base of what a policy is made of: strict, closed, frozen."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


# ---------------------------------------------------------------- where the records are


class _Place(Terms):
    kind: str
    account: str

    @property
    def place(self) -> str:
        """The adapter that reaches the container: `<kind>/<account>`."""
        return f"{self.kind}/{self.account}"


class BlobStore(_Place):
    """A container of blobs whose names follow a layout. `account` is the setting that reaches it."""

    kind: Literal["blob"]
    account: Literal["data", "backup"]
    container: ContainerName
    layout: NameLayout


class CosmosStore(_Place):
    """A container of items; `partition_key` is its path, such as /homeId."""

    kind: Literal["cosmos"]
    account: Literal["main"]
    container: ContainerName
    partition_key: PartitionKey

    @property
    def partition_field(self) -> str:
        """The property that the partition key is read from."""
        return self.partition_key.removeprefix("/")


class OwnStore(_Place):
    """A container of the pipeline's own. Its objects' "fields" are their metadata.

    `swept_by: ledger` means that role ledger alone deletes there, by its own steps, and no sweep ever runs.
    """

    kind: Literal["own"]
    account: Literal[""] = ""
    container: ContainerName
    swept_by: Literal["pipeline", "ledger"] = "pipeline"


Store = BlobStore | CosmosStore | OwnStore


# ---------------------------------------------------------------- when a period begins


class Name(Terms):
    """The time in the blob's name, by the layout's placeholder `field`; the creation time where the name is later."""

    from_: Literal["name"] = pydantic.Field(alias="from")
    field: FieldName


class Stored(Terms):
    """The creation time that the store gives."""

    from_: Literal["stored"] = pydantic.Field(alias="from")


class NameOrStored(Terms):
    """The earlier of the time in the name (placeholder `field`) and the creation time."""

    from_: Literal["name-or-stored"] = pydantic.Field(alias="from")
    field: FieldName


class Field(Terms):
    """The time in the item's property `field`, as RFC 3339 text. A record without it has not begun its period.

    In Cosmos DB in UTC with a capital T and Z: by another spelling a record can go up to a day late, never early.
    """

    from_: Literal["field"] = pydantic.Field(alias="from")
    field: FieldName


class YearEnd(Terms):
    """The end of the calendar year that the time in `field` lies in, as the clocks of `zone` (IANA name) count years.

    The accounting year, where it is the calendar's. `field` is an item's property, RFC 3339 or a date alone.
    """

    from_: Literal["year-end"] = pydantic.Field(alias="from")
    field: FieldName
    zone: Zone = "UTC"


class Touched(Terms):
    """The last write, by the store's own clock (`_ts`)."""

    from_: Literal["touched"] = pydantic.Field(alias="from")


class Empty(Terms):
    """The moment the list property `field` became empty: its last member is gone."""

    from_: Literal["empty"] = pydantic.Field(alias="from")
    field: FieldName


class Follows(Terms):
    """The record goes with the record of `category` that has the same scope."""

    from_: Literal["follows"] = pydantic.Field(alias="from")
    category: Id


Start = Name | Stored | NameOrStored | Field | YearEnd | Touched | Empty | Follows


class Where(Terms):
    """Which records of the container a rule is about. Exactly one of `absent` and `equals` is given.

    `absent: true` means the property is missing or null, `absent: false` that it is there; `equals` compares text.
    """

    field: FieldName
    absent: bool | None = None
    equals: Text | None = None

    @pydantic.model_validator(mode="after")
    def _one(self) -> Where:
        if (self.absent is None) == (self.equals is None):
            message = "needs exactly one of absent and equals; keep one"
            raise ValueError(message)
        return self


class Rule(Terms):
    """One retention rule. `assumed` marks what the promise leaves open and the company must still confirm.

    `erase-subject` means that the sweep starts an erasure of the person or home, in place of deleting the record. Such
    a rule has no `where`.
    """

    id: Id
    start: Annotated[Start, pydantic.Field(discriminator="from_")]
    period: RetentionPeriod
    assumed: bool = False
    where: Where | None = None
    action: Literal["delete", "erase-subject"] = "delete"


# ---------------------------------------------------------------- how a person's or home's records are found


class Partition(Terms):
    """The partition key's value is the scope's id."""

    by: Literal["partition"]


class FieldIs(Terms):
    """The property `field` equals the scope's id, in whatever partition; an address's whatever its letter case."""

    by: Literal["field"]
    field: FieldName


class Member(Terms):
    """The list property `field` contains the id. An erasure takes the person out; an emptied record goes."""

    by: Literal["member"]
    field: FieldName


class NamePart(Terms):
    """The layout's plain placeholder `field` is the scope's id."""

    by: Literal["name-part"]
    field: FieldName


class Line(Terms):
    """A blob of JSON lines: those in which the property `ip` is the visit's address and `at` lies between its times.

    The lines go, and the blob stays without them.
    """

    by: Literal["line"]
    ip: FieldName
    at: FieldName


Finder = Partition | FieldIs | Member | NamePart | Line
KindOfScope = Annotated[ScopeKind, pydantic.Field(strict=False)]


def _frozen(value: Mapping[ScopeKind, Finder]) -> Mapping[ScopeKind, Finder]:
    return MappingProxyType(dict(value))


def _thawed(value: Mapping[ScopeKind, Finder]) -> dict[str, Any]:
    return {str(kind): finder.model_dump() for kind, finder in value.items()}


Find = Annotated[
    Mapping[KindOfScope, Annotated[Finder, pydantic.Field(discriminator="by")]],
    pydantic.AfterValidator(_frozen),
    pydantic.PlainSerializer(_thawed),
]
