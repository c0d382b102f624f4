"""Every message this product receives or sends itself: versioned JSON under the one key `retention`.

One key, because the Functions host copies a JSON body's top-level keys over a message's own properties. Anything
else is refused with MessageError, which names the field and the remedy and repeats no value.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import UUID4, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from shared.errors import PermanentError
from shared.model import parse_utc, utc_text

MAX_BYTES = 64 * 1024
CLOCK_SKEW = timedelta(minutes=5)  # a sender whose clock is a little ahead is not refused
_REMEDIES = {
    "version": "write the number 1",
    "type": "write erase or run",
    "id": "give a random UUID (version 4) of your own, a new one for each request",
    "subject": "give exactly one of user_id, email, home_id",
    "user_id": "give the user's internal id, 1 to 128 characters",
    "email": "give one e-mail address",
    "home_id": "give the home's internal id, 1 to 128 characters",
    "requested_by": "say who asked, 1 to 200 characters",
    "identity_verified_by": "say who verified the person's identity and how, 1 to 200 characters",
    "received_at": "give RFC 3339 with an offset, not in the future, such as 2026-01-31T09:30:00Z",
    "categories": "give a list of category ids from the policy",
}


NOT_OURS = "the pipeline writes such messages itself, and never like this"


class MessageError(PermanentError):
    """A message that can never succeed. It is parked; the operator mends it as the text says, and sends it again."""


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Literal[1]


Id = Annotated[str, Field(min_length=1, max_length=128)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,120}$")]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Note = Annotated[str, Field(min_length=1, max_length=200)]


def _moment(value: object) -> datetime:
    """RFC 3339 only: pydantic would take a number of seconds too, and a time that UTC does not have."""
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004 - pydantic collects ValueError, and lets TypeError through
    return parse_utc(value)


Moment = Annotated[datetime, PlainValidator(_moment)]


class Subject(BaseModel):
    """Whom a request is about: exactly one of the three."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    user_id: Id | None = None
    email: Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    home_id: Id | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Subject:
        if len([v for v in (self.user_id, self.email, self.home_id) if v is not None]) != 1:
            raise ValueError("exactly one")
        return self


class Erase(_Form):
    """Erase a person by user id or e-mail, or a home that has no users. On queue `requests`.

    The id stands in the log's events: it is random (version 4), so that nobody can make it from a name.
    """

    type: Literal["erase"]
    id: UUID4 = Field(strict=False)
    subject: Subject
    requested_by: Note
    identity_verified_by: Note
    received_at: Moment | None = None


class Run(_Form):
    """Start a run of these categories now, or of all that are enforced. On queue `requests`."""

    type: Literal["run"]
    id: UUID = Field(strict=False)
    categories: tuple[Id, ...] = Field(default=(), strict=False)


class Work(_Form):
    """Go on with a request. On session queue `requests-work`, session = the scope's internal id."""

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


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    retention: Annotated[Erase | Run | Work | SliceOrder | Doorbell, Field(discriminator="type")]


def parse(body: bytes, *, now: datetime) -> Erase | Run | Work | SliceOrder | Doorbell:
    """Read a message's body at the time `now`. Raises MessageError on anything else, for any bytes."""
    if len(body) > MAX_BYTES:
        raise MessageError(f"the body has {len(body)} bytes: at most {MAX_BYTES} are read")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise MessageError("the body is no JSON: send UTF-8 JSON with the one key retention") from None
    if not isinstance(value, dict) or set(value) != {"retention"}:
        raise MessageError("the body must be a JSON object with the one key retention")
    try:
        message = _Envelope.model_validate_json(json.dumps(value)).retention
    except (ValidationError, RecursionError) as error:
        raise MessageError(_explain(error)) from None
    if isinstance(message, Erase) and message.received_at and message.received_at > now + CLOCK_SKEW:
        raise MessageError(f"retention.received_at: {_REMEDIES['received_at']}")
    return message


def _explain(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    findings = []
    for each in error.errors(include_input=False, include_context=False, include_url=False):
        path = [str(part) for part in each["loc"]]
        if len(path) > 1 and path[1] in ("erase", "run", "work", "slice", "doorbell"):
            del path[1]
        if each["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path.append("type")
        known = next((part for part in reversed(path) if part in _REMEDIES), None)
        if each["type"] == "extra_forbidden":  # the name is the sender's: it may be anything, so it is not repeated
            findings.append(f"{'.'.join(path[:-1])}: has a field that is unknown here; remove it")
        else:
            findings.append(f"{'.'.join(path)}: {_REMEDIES.get(known or '', NOT_OURS)}")
    return "; ".join(dict.fromkeys(findings))


def request_id_of(body: bytes) -> str | None:
    """The request id of a message that is otherwise refused, when it holds a valid one."""
    try:
        fields = json.loads(body)["retention"]
        return str(UUID(fields.get("id") or fields["request"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def erase(
    *, request: UUID, subject: dict[str, str], requested_by: str, identity_verified_by: str, received_at: datetime
) -> bytes:
    """The body of an erase message; `subject` has one of user_id, email, home_id."""
    return _body(
        "erase",
        id=str(request),
        subject=subject,
        requested_by=requested_by,
        identity_verified_by=identity_verified_by,
        received_at=utc_text(received_at),
    )


def run(*, request: UUID, categories: tuple[str, ...]) -> bytes:
    """The body of a run message."""
    return _body("run", id=str(request), categories=list(categories))


def work(*, request: str, hop: int) -> bytes:
    """The body of a work message."""
    return _body("work", request=request, hop=hop)


def slice_order(*, category: str, run: str, number: int, attempt: int, hop: int) -> bytes:
    """The body of a slice message."""
    return _body("slice", category=category, run=run, slice=number, attempt=attempt, hop=hop)


def doorbell(journal: str) -> bytes:
    """The body of a doorbell message."""
    return _body("doorbell", journal=journal)


def _body(kind: str, **fields: Any) -> bytes:
    return json.dumps({"retention": {"version": 1, "type": kind, **fields}}, separators=(",", ":")).encode()
