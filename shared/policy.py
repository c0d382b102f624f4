"""The policy as data: each promise about personal data, where the records are, when they go and who may find them.

These are the checked values; `shared.policy_file` reads them from policy.yaml. Strict: unknown keys and wrong types are
refused, nothing is coerced, everything is frozen. The words are those of ISO/IEC 27555. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

import pydantic

from shared.errors import ConfigError
from shared.model import ScopeKind
from shared.policy_fields import (
    Cadence,
    ContainerName,
    FieldName,
    Id,
    NameLayout,
    PartitionKey,
    RetentionPeriod,
    Text,
    Zone,
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing about the file: where (line from 1; path such as categories[2].rules[0].period), what, the remedy."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: {self.path + ': ' if self.path else ''}{self.text}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class PolicyError(ConfigError):
    """The policy is refused, or does not hold what is asked of it.

    The text has one line for each of `findings`; the operator corrects the file: `retention policy check`.
    """

    def __init__(self, message: str, *, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)


# ---------------------------------------------------------------- where the records are


class _Place(_Model):
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


class Name(_Model):
    """The time in the blob's name, by the layout's placeholder `field`."""

    from_: Literal["name"] = pydantic.Field(alias="from")
    field: FieldName


class Stored(_Model):
    """The creation time that the store gives."""

    from_: Literal["stored"] = pydantic.Field(alias="from")


class NameOrStored(_Model):
    """The earlier of the time in the name (placeholder `field`) and the creation time."""

    from_: Literal["name-or-stored"] = pydantic.Field(alias="from")
    field: FieldName


class Field(_Model):
    """The time in the item's property `field`, as RFC 3339 text. A record without it has not begun its period."""

    from_: Literal["field"] = pydantic.Field(alias="from")
    field: FieldName


class YearEnd(_Model):
    """The end of the calendar year that the time in `field` lies in, as the clocks of `zone` (IANA name) count years.

    The accounting year, where it is the calendar's. `field` is an item's property, RFC 3339 or a date alone.
    """

    from_: Literal["year-end"] = pydantic.Field(alias="from")
    field: FieldName
    zone: Zone = "UTC"


class Touched(_Model):
    """The last write, by the store's own clock (`_ts`)."""

    from_: Literal["touched"] = pydantic.Field(alias="from")


class Empty(_Model):
    """The moment the list property `field` became empty: its last member is gone."""

    from_: Literal["empty"] = pydantic.Field(alias="from")
    field: FieldName


class Follows(_Model):
    """The record goes with the record of `category` that has the same scope."""

    from_: Literal["follows"] = pydantic.Field(alias="from")
    category: Id


Start = Name | Stored | NameOrStored | Field | YearEnd | Touched | Empty | Follows


class Where(_Model):
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


class Rule(_Model):
    """One retention rule. `assumed` marks what the promise leaves open and the company must still confirm.

    `erase-subject` means that the sweep starts an erasure of the person or home, in place of deleting the record.
    """

    id: Id
    start: Annotated[Start, pydantic.Field(discriminator="from_")]
    period: RetentionPeriod
    assumed: bool = False
    where: Where | None = None
    action: Literal["delete", "erase-subject"] = "delete"


# ---------------------------------------------------------------- how a person's or home's records are found


class Partition(_Model):
    """The partition key's value is the scope's id."""

    by: Literal["partition"]


class FieldIs(_Model):
    """The property `field` equals the scope's id, in whatever partition; an address's whatever its letter case."""

    by: Literal["field"]
    field: FieldName


class Member(_Model):
    """The list property `field` contains the id. An erasure takes the person out; an emptied record goes."""

    by: Literal["member"]
    field: FieldName


class NamePart(_Model):
    """The layout's plain placeholder `field` is the scope's id."""

    by: Literal["name-part"]
    field: FieldName


class Line(_Model):
    """A blob of JSON lines: those in which the property `ip` is the visit's address and `at` lies between its times.

    The lines go, and the blob stays without them.
    """

    by: Literal["line"]
    ip: FieldName
    at: FieldName


Finder = Partition | FieldIs | Member | NamePart | Line
_Kind = Annotated[ScopeKind, pydantic.Field(strict=False)]


def _frozen(value: Mapping[ScopeKind, Finder]) -> Mapping[ScopeKind, Finder]:
    return MappingProxyType(dict(value))


def _thawed(value: Mapping[ScopeKind, Finder]) -> dict[str, Any]:
    return {str(kind): finder.model_dump() for kind, finder in value.items()}


Find = Annotated[
    Mapping[_Kind, Annotated[Finder, pydantic.Field(discriminator="by")]],
    pydantic.AfterValidator(_frozen),
    pydantic.PlainSerializer(_thawed),
]


class Supplier(_Model):
    """Who else holds a copy that must go too; `planned`: the program does not reach it yet, and says so."""

    name: Text
    status: Literal["planned"]


class Identifies(_Model):
    """The property by which a request may name a person in place of the internal id."""

    email: FieldName


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The person or home that a category's records belong to, and how a record tells its id."""

    kind: ScopeKind
    by: Finder


# ---------------------------------------------------------------- the promises


class Row(_Model):
    """What every promise says of itself, whether it is about stored records or about conduct."""

    id: Id
    row: Annotated[int, pydantic.Field(ge=1, le=9999)]
    clause: Annotated[str, pydantic.StringConstraints(min_length=1, max_length=200)]
    says: Text
    role: Literal["controller", "processor"]
    legal_basis: Literal["consent", "contract", "legal-obligation", "legitimate-interest", "none"]
    legal_note: str = ""
    note: str = ""


class Category(Row):
    """Records of one kind, kept in one place under the same rules (ISO/IEC 27555: a data category).

    `cadence` is the time between two sweeps. `law` names the law that keeps the records against a request until their
    period is over, `suppliers` who else holds a copy. `cap` is how many records one run may find before it waits for
    approval; else RETENTION_CAP says it for all.
    """

    status: Literal["enforced", "planned"]
    store: Annotated[Store, pydantic.Field(discriminator="kind")]
    belongs_to: _Kind | None = None
    rules: tuple[Rule, ...]
    cadence: Cadence
    find: Find = pydantic.Field(default_factory=lambda: MappingProxyType({}))
    identifies: Identifies | None = None
    on_request: Text
    law: str = ""
    suppliers: tuple[Supplier, ...] = ()
    cap: Annotated[int, pydantic.Field(ge=1)] | None = None

    @property
    def scope(self) -> Owner | None:
        """Whose records these are, and how a record tells; None where they belong to nobody in particular."""
        if self.belongs_to is None:
            return None
        return Owner(kind=self.belongs_to, by=self.find[self.belongs_to])

    def worst_case(self, rule: Rule) -> str:
        """The longest a record stays after its starting point, before what the store's settings add."""
        own = f"{rule.period} + {self.cadence}"
        return f"as {rule.start.category} + {own}" if isinstance(rule.start, Follows) else own


class Promise(Row):
    """A promise about conduct: a right, an access rule, a statement. `documented` asks nothing of the program."""

    status: Literal["enforced", "planned", "documented"]


def _some(categories: tuple[Category, ...]) -> tuple[Category, ...]:
    # Not min_length: pydantic would also call a list empty whose one category is malformed.
    if not categories:
        message = "is empty; add a category"
        raise ValueError(message)
    return categories


class Document(_Model):
    """policy.yaml as it is written. `version` is the company's own count of its changes."""

    version: Annotated[int, pydantic.Field(ge=1)]
    organisation: Text
    categories: Annotated[
        tuple[Category, ...], pydantic.AfterValidator(_some), pydantic.Field(json_schema_extra={"minItems": 1})
    ]
    promises: tuple[Promise, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A checked policy. `digest` is sha256: and the hex of the file's exact bytes: every event carries it."""

    version: int
    organisation: str
    categories: tuple[Category, ...]
    promises: tuple[Promise, ...]
    digest: str

    def category(self, category_id: str) -> Category:
        """The category of this id. Raises PolicyError when there is none."""
        for category in self.categories:
            if category.id == category_id:
                return category
        message = "the policy has no such category; `retention policy show` lists them"
        raise PolicyError(message)

    def line_finders(self) -> Mapping[str, Line]:
        """How the lines of a log are found, by category."""
        return {
            category.id: each
            for category in self.categories
            for each in category.find.values()
            if isinstance(each, Line)
        }

    def enforced(self) -> tuple[Category, ...]:
        """The categories that the program carries out now, in the order of the file."""
        return tuple(category for category in self.categories if category.status == "enforced")
