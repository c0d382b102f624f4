"""The policy as data: each promise about personal data, where the records are, when they go and who may find them.

These are the checked values; `shared.policy_file` reads them from policy.yaml. Strict: unknown keys and wrong types are
refused, nothing is coerced, everything is frozen. The words are those of ISO/IEC 27555. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

import pydantic

from shared.errors import ConfigError
from shared.model import ScopeKind
from shared.policy_fields import Cadence, FieldName, Id, Text
from shared.policy_terms import Find, Finder, Follows, KindOfScope, Line, Rule, Store, Terms


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


class Supplier(Terms):
    """Who else holds a copy that must go too; `planned`: the program does not reach it yet, and says so."""

    name: Text
    status: Literal["planned"]


class Identifies(Terms):
    """The property by which a request may name a person in place of the internal id."""

    email: FieldName


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The person or home that a category's records belong to, and how a record tells its id."""

    kind: ScopeKind
    by: Finder


# ---------------------------------------------------------------- the promises


class Row(Terms):
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
    approval; else RETENTION_CAP says it for all. `partition_names` says whom an item's partition key names besides: a
    hold on them keeps the item, although nothing of theirs is found by it.
    """

    status: Literal["enforced", "planned"]
    store: Annotated[Store, pydantic.Field(discriminator="kind")]
    belongs_to: KindOfScope | None = None
    rules: tuple[Rule, ...]
    cadence: Cadence
    find: Find = pydantic.Field(default_factory=lambda: MappingProxyType({}))
    partition_names: KindOfScope | None = None
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


class Document(Terms):
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
