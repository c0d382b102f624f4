"""The domain's values: scopes, locators, records, causes, outcomes. No I/O, no clock.

Everything is frozen and keyword-only, and checked when it is made: a naive datetime or an empty identifier is refused
with ValueError. The words are those of ISO/IEC 27555 (category, starting point, retention period) and of the design.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal


def aware(name: str, value: datetime | None) -> None:
    """Refuse a naive datetime: raise ValueError that names the field."""
    if value is not None and value.tzinfo is None:
        message = f"{name} must be an aware datetime"
        raise ValueError(message)


def utc_text(moment: datetime) -> str:
    """RFC 3339 text of an aware datetime, in UTC with a final Z: the one form of time in files and events."""
    aware("moment", moment)
    return f"{moment.astimezone(UTC).isoformat().removesuffix('+00:00')}Z"


def parse_utc(text: str) -> datetime:
    """Read what utc_text wrote, or any RFC 3339 time with an offset, in small letters too.

    Raises ValueError, also for a naive time; TypeError for what is no text.
    """
    moment = datetime.fromisoformat(str.upper(text))
    aware("time", moment)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        message = "the time is before the year 1 or after the year 9999 in UTC"
        raise ValueError(message) from None


class ScopeKind(StrEnum):
    """Who, or what of somebody, records are about. Its key makes their pseudonyms in the log.

    An `address` is an e-mail address, in lower case: of a person, or of somebody without an account. A `session` is one
    of the web shop, a `visit` the visits from one IP address between two times.
    """

    PERSON = "person"
    HOME = "home"
    ADDRESS = "address"
    SESSION = "session"
    VISIT = "visit"


@dataclass(frozen=True, kw_only=True, order=True)
class Scope:
    """A person or a home by the company's internal id, or what else can be asked about: see ScopeKind.

    Personal data: never printed, logged or put in an event.
    """

    kind: ScopeKind
    id: str

    def __post_init__(self) -> None:
        if not self.id:
            message = "scope id is empty"
            raise ValueError(message)

    def __repr__(self) -> str:
        return f"Scope({self.kind}, …)"


@dataclass(frozen=True, kw_only=True)
class Locator:
    """Where one record is: `store` names the adapter, `account` the setting that reaches it.

    `key` is the blob's name or the item's id, `partition` the item's partition key value ("" in Blob storage).
    Personal data: it stands in journals and request documents, nowhere else.
    """

    store: str
    account: str
    container: str
    key: str
    partition: str = ""

    def __repr__(self) -> str:
        return f"Locator({self.store}/{self.account}/{self.container}/…)"

    @property
    def place(self) -> str:
        """The adapter that reaches the record: `<store>/<account>`."""
        return f"{self.store}/{self.account}"

    def text(self) -> str:
        """The unambiguous text that a record's pseudonym is made of."""
        return json.dumps([self.store, self.account, self.container, self.partition, self.key])


class Action(StrEnum):
    """What the gate does to a record."""

    DELETE = "delete"
    LEAVE = "leave"  # take one member, or somebody's lines, out of a shared record that stays


@dataclass(frozen=True, kw_only=True)
class Record:
    """One governed record as a listing saw it: the delete is conditional on exactly this `etag`.

    `rule`, `starting_point` and `due` say which period is over; a record found for a request has none of them, unless a
    law keeps its category. `scope` is whom it belongs to, `names` who else it is about: their holds keep it too.
    `alone` says that the listing saw no version of it besides: a journal does not keep that, and False says nothing.
    """

    locator: Locator
    etag: str
    category: str
    rule: str | None = None
    scope: Scope | None = None
    starting_point: datetime | None = None
    due: datetime | None = None
    names: tuple[Scope, ...] = ()
    action: Action = Action.DELETE
    alone: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        aware("starting_point", self.starting_point)
        aware("due", self.due)


@dataclass(frozen=True, kw_only=True)
class SweepCause:
    """The period was over: run id and slice number."""

    run: str
    slice: int


@dataclass(frozen=True, kw_only=True)
class RequestCause:
    """Somebody asked: the request's id (a UUID) and the scope whose records are taken.

    `asker` is whom the request as a whole is about, where that is another: the person whose address or visit it is.
    """

    request: str
    scope: Scope
    asker: Scope | None = None

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Both of them."""
        return (self.scope,) if self.asker is None else (self.scope, self.asker)


Cause = SweepCause | RequestCause


# ---------------------------------------------------------------- outcomes: one per record, matched exhaustively


@dataclass(frozen=True, kw_only=True)
class Erased:
    """The store answered that it deleted this very version of the record."""


@dataclass(frozen=True, kw_only=True)
class ErasedRecoverable:
    """Deleted, but the store keeps a copy until the time given; None: until somebody deletes it, no clock does."""

    until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Left:
    """The shared record stays, and names the person no more."""


@dataclass(frozen=True, kw_only=True)
class AlreadyGone:
    """The record was not there; for a leave: it named the person no more.

    Who did it is unknown (it may have been an attempt whose answer was lost).
    """


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """The record changed after it was listed: it is another version now, and stays until it is due itself.

    Nothing that was done here can have deleted the version that was listed.
    """


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """Another version of the record is there now, and stays until it is due itself.

    Whether the one that was listed was changed, or deleted (it may have been by an attempt whose answer was lost) and
    written anew, is not known. For a leave: the record names the person, in another version.
    """


@dataclass(frozen=True, kw_only=True)
class Held:
    """A hold covers the record; `hold` is the hold's id."""

    hold: str


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """The store refuses: the record is leased, immutable, or under the store's own legal hold."""

    reason: Literal["lease", "immutability", "legal-hold", "blob-type"]


@dataclass(frozen=True, kw_only=True)
class Retained:
    """A law keeps the record until the time given; None where the record does not say when that is."""

    law: str
    until: datetime | None


Outcome = Erased | ErasedRecoverable | Left | AlreadyGone | Renewed | Replaced | Held | Blocked | Retained
