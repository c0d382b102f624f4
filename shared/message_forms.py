"""The form of every message: what people send to queue `requests`, and what the pipeline sends itself.

docs/requests.md shows each with its JSON Schema, made from these classes. Strict: unknown fields are refused, nothing
is coerced but UUIDs, which JSON has as text.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    UUID4,
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from shared.model import parse_utc, utc_text


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class _Form(_Strict):
    version: Literal[1]


def _moment(value: object) -> datetime:
    """RFC 3339 only: pydantic would take a number of seconds too, and a time that UTC does not have."""
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004 - pydantic collects ValueError, and lets TypeError through
    return parse_utc(value)


def _ip(value: str) -> str:
    return str(ip_address(value))


Id = Annotated[str, Field(min_length=1, max_length=255)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,120}$")]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Note = Annotated[str, Field(min_length=1, max_length=200)]
Moment = Annotated[
    datetime,
    PlainValidator(_moment),
    PlainSerializer(utc_text, when_used="json"),  # pydantic's own warns on standard error, with the value
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def one_of(form: BaseModel, *names: str) -> None:
    """Refuse anything but exactly one of the fields."""
    if len([name for name in names if getattr(form, name) is not None]) != 1:
        raise ValueError("exactly one")


class Visit(_Strict):
    """Visits of the web site: from one IP address, between two times."""

    ip: Annotated[str, AfterValidator(_ip)]
    since: Moment
    until: Moment

    @model_validator(mode="after")
    def _in_order(self) -> Visit:
        if self.until < self.since:
            raise ValueError("until is before since")
        return self


class Subject(_Strict):
    """Whom a request is about: exactly one of them."""

    user_id: Id | None = None
    email: Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    home_id: Id | None = None
    session_id: Id | None = None
    visit: Visit | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Subject:
        one_of(self, "user_id", "email", "home_id", "session_id", "visit")
        return self


# ---------------------------------------------------------------- requests of people


class _OfPerson(_Form):
    """The id stands in the log's events: it is random (version 4), so that nobody can make it from a name."""

    id: UUID4 = Field(strict=False)
    subject: Subject
    requested_by: Note
    identity_verified_by: Note
    received_at: Moment | None = None


class Erase(_OfPerson):
    """Erase a person, by user id or e-mail; a home; the cart of a session; the log lines of a visit.

    `visit` adds lines of the web log to a person's erasure: without it nothing there is searched. A home that still has
    members goes only with `decision_on_members`, which says what was decided about them, and by whom.
    """

    type: Literal["erase"]
    visit: Visit | None = None
    decision_on_members: Note | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Erase:
        if self.decision_on_members is not None and self.subject.home_id is None:
            raise ValueError("decision_on_members is about a home")
        if self.visit is not None and self.subject.visit is not None:
            raise ValueError("one visit")
        return self


class Restrict(_OfPerson):
    """Restrict the processing of a person's or home's data (GDPR Art. 18): a hold with the request's id.

    `until` ends it by itself; a release message ends it earlier.
    """

    type: Literal["restrict"]
    until: Moment | None = None

    @model_validator(mode="after")
    def _of_somebody(self) -> Restrict:
        if self.subject.visit is not None:
            raise ValueError("a visit is nobody's record alone")
        return self


# ---------------------------------------------------------------- orders of operations


class _Order(_Form):
    """An order of somebody in operations: `by` says who, in words that may stand in our own records."""

    id: UUID4 = Field(strict=False)
    by: Note


class Run(_Form):
    """Start a run of these categories now, or of all that are enforced."""

    type: Literal["run"]
    id: UUID = Field(strict=False)
    categories: tuple[Id, ...] = Field(default=(), strict=False)


class Approve(_Order):
    """Let a run go that found more than the cap allows."""

    type: Literal["approve"]
    run: Name


class Pause(_Order):
    """Stop the sweeps of a category, or with `erasures` the work on requests to erase, until they are resumed."""

    type: Literal["pause"]
    category: Id
    reason: Note


class Resume(_Order):
    """Let a paused category, or `erasures`, go on; what has expired meanwhile is caught up."""

    type: Literal["resume"]
    category: Id


class RecordName(_Strict):
    """One record: its category, its id or blob name, and its partition key's value (items only)."""

    category: Id
    key: Annotated[str, Field(min_length=1, max_length=1024)]
    partition: Annotated[str, Field(max_length=2048)] = ""


class Hold(_Order):
    """Keep records from sweeps and erasures (GDPR Art. 17(3)): of exactly one person, home, category, or one record.

    `owner` answers for it, `reason` says why; it ends at `until`, or by a release message.
    """

    type: Literal["hold"]
    user_id: Id | None = None
    home_id: Id | None = None
    category: Id | None = None
    record: RecordName | None = None
    owner: Note
    reason: Note
    until: Moment | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Hold:
        one_of(self, "user_id", "home_id", "category", "record")
        return self


class Release(_Order):
    """End a hold."""

    type: Literal["release"]
    hold: Name
    reason: Note


class Retry(_Order):
    """Take up a request again that needs attention."""

    type: Literal["retry"]
    request: UUID = Field(strict=False)


class Resolve(_Order):
    """Decide about a request that needs attention: with `subject` say whom it means, without close it as rejected."""

    type: Literal["resolve"]
    request: UUID = Field(strict=False)
    reason: Note
    subject: Subject | None = None


class Replay(_Order):
    """Erase again what a restored backup brought back; `backup_began` is when the oldest restored backup began."""

    type: Literal["replay"]
    backup_began: Moment


class Dismiss(_Order):
    """Close a parked message: somebody has looked, and it is settled otherwise. `parked` is its id."""

    type: Literal["dismiss"]
    parked: Name
    reason: Note


# ---------------------------------------------------------------- what the pipeline sends itself


class Work(_Form):
    """Go on with a request. On session queue `requests-work`, session = the scope's pseudonym."""

    type: Literal["work"]
    request: UUID = Field(strict=False)
    hop: Count


class SliceOrder(_Form):
    """Sweep one slice of a run. On queue `sweeps`."""

    type: Literal["slice"]
    category: Name
    run: Name
    slice: Count
    attempt: Count
    hop: Count


class Doorbell(_Form):
    """A journal is settled. On queue `ledger`."""

    type: Literal["doorbell"]
    journal: str


ByPeople = Erase | Restrict | Run | Approve | Pause | Resume | Hold | Release | Retry | Resolve | Replay | Dismiss
ByItself = Work | SliceOrder | Doorbell
AnyMessage = ByPeople | ByItself
FORMS: tuple[type[AnyMessage], ...] = (
    Erase, Restrict, Run, Approve, Pause, Resume, Hold, Release, Retry, Resolve, Replay, Dismiss,
    Work, SliceOrder, Doorbell,
)  # fmt: skip
