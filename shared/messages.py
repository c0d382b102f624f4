"""Every message this product receives or sends itself: versioned JSON under the one key `retention`.

One key, because the Functions host copies a JSON body's top-level keys over a message's own properties. Anything
else is refused with MessageError, which names the field and the remedy and repeats no value. The forms themselves are
in `shared.message_forms`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import PermanentError
from shared.message_forms import (
    FORMS,
    AnyMessage,
    Approve,
    Dismiss,
    Doorbell,
    Erase,
    Hold,
    Pause,
    Release,
    Replay,
    Resolve,
    Restrict,
    Resume,
    Retry,
    Run,
    SliceOrder,
    Subject,
    Visit,
    Work,
)
from shared.model import utc_text

__all__ = [
    "Approve", "Dismiss", "Doorbell", "Erase", "Hold", "MessageError", "Pause", "Release", "Replay", "Resolve",
    "Restrict", "Resume", "Retry", "Run", "SliceOrder", "Subject", "Visit", "Work", "compose",
    "parse", "remedy", "request_id_of",
]  # fmt: skip

MAX_BYTES = 64 * 1024
CLOCK_SKEW = timedelta(minutes=20)  # the sender's clock may be ten minutes ahead, and the worker's ten behind
_TYPES = tuple(form.model_fields["type"].annotation.__args__[0] for form in FORMS)  # type: ignore[union-attr]
_NOTE = "1 to 200 characters"
_REMEDIES = {
    "version": "write the number 1",
    "type": "write erase, restrict, run, approve, pause, resume, hold, release, retry, resolve, replay or dismiss",
    "id": "give a random UUID (version 4) of your own, a new one for each message",
    "subject": "give exactly one of user_id, email, home_id, session_id, visit",
    "user_id": "give the user's internal id, 1 to 255 characters",
    "email": "give one e-mail address",
    "home_id": "give the home's internal id, 1 to 255 characters",
    "session_id": "give the session's id, 1 to 255 characters",
    "visit": "give ip, since and until, in this order of time; once",
    "ip": "give one IP address",
    "restrict": "give user_id, email, home_id or session_id: lines of the web log go after their period in any case",
    "erase": "decision_on_members goes with home_id only, and one visit is enough",
    "decision_on_members": f"only with home_id: say what was decided about its members, {_NOTE}",
    "requested_by": f"say who asked, {_NOTE}",
    "identity_verified_by": f"say who verified the person's identity and how, {_NOTE}",
    "received_at": "give RFC 3339 with an offset, not in the future, such as 2026-01-31T09:30:00Z",
    "since": "give RFC 3339 with an offset, such as 2026-01-31T09:30:00Z",
    "until": "give RFC 3339 with an offset, such as 2026-01-31T09:30:00Z",
    "backup_began": "give RFC 3339 with an offset, such as 2026-01-31T09:30:00Z",
    "by": f"say who orders it, {_NOTE}",
    "owner": f"say who answers for the hold, {_NOTE}",
    "reason": f"say why, {_NOTE}",
    "categories": "give a list of category ids from the policy",
    "category": "give the id of one category of the policy",
    "record": "give category, key and (for items) partition of one record",
    "key": "give the blob's name or the item's id, 1 to 1024 characters",
    "partition": "give the item's partition key value",
    "run": "give the id of the run that waits, as `retention status` shows it",
    "hold": "give exactly one of user_id, home_id, category, record",
    "request": "give the id of the request",
    "parked": "give the id of the parked message, as `retention parking list` shows it",
}
_HOLD_ID = "give the id of the hold, as `retention hold list` shows it"


NOT_OURS = "the pipeline writes such messages itself, and never like this"


class MessageError(PermanentError):
    """A message that can never succeed. It is parked; the operator mends it as the text says, and sends it again."""


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)
    retention: Annotated[AnyMessage, Field(discriminator="type")]


def parse(body: bytes, *, now: datetime) -> AnyMessage:
    """Read a message's body at the time `now`. Raises MessageError on anything else, for any bytes."""
    if len(body) > MAX_BYTES:
        raise MessageError(f"the body has {len(body)} bytes: at most {MAX_BYTES} are read")
    try:
        value = json.loads(body, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise MessageError(
            "the body is no JSON, or has a key twice: send UTF-8 JSON with the one key retention"
        ) from None
    if not isinstance(value, dict) or set(value) != {"retention"}:
        raise MessageError("the body must be a JSON object with the one key retention")
    try:
        message = _Envelope.model_validate_json(json.dumps(value)).retention
    except (ValidationError, RecursionError) as error:
        raise MessageError(_explain(error)) from None
    if isinstance(message, Erase | Restrict) and message.received_at and message.received_at > now + CLOCK_SKEW:
        raise MessageError(f"retention.received_at: {_REMEDIES['received_at']}")
    return message


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys. Raises ValueError for a key that comes twice: nobody could say which one is meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _explain(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    findings = []
    for each in error.errors(include_input=False, include_context=False, include_url=False):
        path = [str(part) for part in each["loc"]]
        kind = path[1] if len(path) > 1 and path[1] in _TYPES else ""
        if kind:
            del path[1]
        if each["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path.append("type")
        if kind and len(path) == 1:  # the form as a whole: which of its fields belong together
            path.append(kind)
        known = next((part for part in reversed(path) if part in _REMEDIES), None)
        if each["type"] == "extra_forbidden":  # the name is the sender's: it may be anything, so it is not repeated
            findings.append(f"{'.'.join(path[:-1])}: has a field that is unknown here; remove it")
        else:
            findings.append(f"{'.'.join(path)}: {remedy(kind, known or '')}")
    return "; ".join(dict.fromkeys(findings))


def remedy(kind: str, field: str) -> str:
    """What to write into a field of a message of this type."""
    return _HOLD_ID if (kind, field) == ("release", "hold") else _REMEDIES.get(field, NOT_OURS)


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


def compose(kind: str, **fields: Any) -> bytes:
    """The body of a message of any type, without the fields that are None. Raises MessageError, as `parse` does."""
    body = _body(kind, **{name: value for name, value in fields.items() if value is not None})
    parse(body, now=datetime.max.replace(tzinfo=UTC) - CLOCK_SKEW)
    return body


def _body(kind: str, **fields: Any) -> bytes:
    return json.dumps({"retention": {"version": 1, "type": kind, **fields}}, separators=(",", ":")).encode()
