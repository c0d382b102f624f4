"""`retention request`: ask for erasures and restrictions, see how they stand, decide about those that need a person.

Nothing here deletes: each command that changes something sends a message, and the functions do the rest. What is said
of a request names nobody: neither the person, nor who asked, nor who verified it, but for `show --names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from cli import output, request_look
from cli.sending import By, OnlyPrint, order
from shared import messages
from shared.model import parse_utc, utc_text

app = typer.Typer(help="Ask for an erasure or a restriction, see how requests stand, decide.", no_args_is_help=True)
app.command("list")(request_look.list_requests)
app.command()(request_look.show)
app.command()(request_look.status)
app.command()(request_look.receipt)

UserId = Annotated[str | None, typer.Option(help="The person's internal id.")]
Email = Annotated[str | None, typer.Option(help="The person's e-mail address; it must match one user, or no user.")]
RequestedBy = Annotated[str, typer.Option(help="Who asked, such as: the person, by letter.")]
VerifiedBy = Annotated[str, typer.Option(help="Who verified the person's identity, and how.")]
RequestId = Annotated[UUID, typer.Argument(metavar="ID", help="The request's id.")]
NewId = Annotated[UUID | None, typer.Option("--id", help="The request's id, a random UUID; else a new one.")]
Received = Annotated[
    str | None, typer.Option(help="When it was received, RFC 3339 with an offset; the month runs from then.")
]
FOLLOW = "`retention request status {id} --follow` shows how it stands"


@app.command()
def erase(
    *,
    user_id: UserId = None,
    email: Email = None,
    home_id: Annotated[str | None, typer.Option(help="A home; with members only if --decision-on-members.")] = None,
    session_id: Annotated[str | None, typer.Option(help="A guest's session in the web shop.")] = None,
    visit_ip: Annotated[
        str | None, typer.Option(help="Lines of the web log from this IP address; alone, or with a person.")
    ] = None,
    visit_since: Annotated[str | None, typer.Option(help="... from this time on, RFC 3339 with an offset,")] = None,
    visit_until: Annotated[str | None, typer.Option(help="... until this time.")] = None,
    decision_on_members: Annotated[
        str | None, typer.Option(help="What was decided about the home's members, and by whom.")
    ] = None,
    requested_by: RequestedBy,
    identity_verified_by: VerifiedBy,
    request: NewId = None,
    received_at: Received = None,
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Ask for the erasure of a person, a home, a session's cart, or lines of the web log.

    Prints the request's id. Exit codes: 0 queued (or printed), 2 wrong arguments, 3 Service Bus did not answer: send
    the very same again, with the --id and --received-at that stderr names.
    """
    visit = _visit(visit_ip, visit_since, visit_until)
    subject: dict[str, Any] = _given(user_id=user_id, email=email, home_id=home_id, session_id=session_id)
    if not subject and visit is not None:
        subject, visit = {"visit": visit}, None
    _exactly_one(subject, "--user-id, --email, --home-id, --session-id, --visit-ip")
    _ask(
        "erase",
        request,
        received_at,
        only_print=only_print,
        as_json=as_json,
        subject=subject,
        requested_by=requested_by,
        identity_verified_by=identity_verified_by,
        visit=visit,
        decision_on_members=decision_on_members,
    )


@app.command()
def restrict(
    *,
    user_id: UserId = None,
    email: Email = None,
    home_id: Annotated[str | None, typer.Option(help="A home.")] = None,
    until: Annotated[
        str | None, typer.Option(help="When it ends by itself, RFC 3339; else `retention hold release`.")
    ] = None,
    requested_by: RequestedBy,
    identity_verified_by: VerifiedBy,
    request: NewId = None,
    received_at: Received = None,
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Ask for the restriction of a person's or home's data (GDPR Art. 18): a hold with the request's id.

    Prints the request's id. Exit codes: 0 queued (or printed), 2 wrong arguments, 3 Service Bus did not answer: send
    the very same again, with the --id and --received-at that stderr names.
    """
    subject = _given(user_id=user_id, email=email, home_id=home_id)
    _exactly_one(subject, "--user-id, --email, --home-id")
    if until and parse_utc(_time(until, "--until")) <= _now():
        raise typer.BadParameter("give a time in the future", param_hint="--until")
    _ask(
        "restrict",
        request,
        received_at,
        only_print=only_print,
        as_json=as_json,
        subject=subject,
        requested_by=requested_by,
        identity_verified_by=identity_verified_by,
        until=_time(until, "--until") if until else None,
    )


@app.command()
def retry(request: RequestId, *, by: By, only_print: OnlyPrint = False, as_json: output.Json = False) -> None:
    """Take a request up again that needs attention: what made it stop has changed, such as a hold released.

    Exit codes: 0 queued, 2 wrong arguments, 3 Service Bus did not answer. A request that needs no attention refuses
    it: the message is parked, and `retention status` shows why.
    """
    then = FOLLOW.replace("{id}", str(request))
    order("retry", only_print=only_print, as_json=as_json, then=then, by=by, request=str(request))


@app.command()
def resolve(
    request: RequestId,
    *,
    user_id: UserId = None,
    email: Email = None,
    home_id: Annotated[str | None, typer.Option(help="A home.")] = None,
    by: By,
    reason: Annotated[str, typer.Option(help="Why: kept in our records, in no event.")],
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Decide about a request that needs attention: say whom it means, or close it as rejected.

    With one of --user-id, --email, --home-id it goes on with that person or home; without, it is closed, and REASON is
    what the person was answered. Where another user has the same e-mail address, --email with that address says that
    the records go too which name only the address; without it they stay, and the request goes on. Exit codes: 0 queued
    (or printed), 2 wrong arguments, 3 Service Bus did not answer.
    """
    subject = _given(user_id=user_id, email=email, home_id=home_id) or None
    then = FOLLOW.replace("{id}", str(request))
    fields: dict[str, Any] = {"by": by, "request": str(request), "reason": reason, "subject": subject}
    order("resolve", only_print=only_print, as_json=as_json, then=then, **fields)


@app.command()
def replay(
    *,
    backup_began: Annotated[str, typer.Option(help="When the oldest restored backup began, RFC 3339.")],
    by: By,
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """After a restore: erase again what was erased since the backup began. Send it before the data is used again.

    Exit codes: 0 queued, 2 wrong arguments, 3 Service Bus did not answer.
    """
    began = _time(backup_began, "--backup-began")
    then = "`retention request list` shows the requests that it makes"
    order("replay", only_print=only_print, as_json=as_json, then=then, by=by, backup_began=began)


def _ask(kind: str, request: UUID | None, received_at: str | None, *, only_print: bool, **fields: Any) -> None:
    """Send a person's request, with the time that the month runs from: repeated with both, it is the same request."""
    request = request or uuid4()
    received = _time(received_at, "--received-at") if received_at else utc_text(_now())
    messages.parse(messages.compose(kind, id=str(request), received_at=received, **_checked(fields)), now=_now())
    if not only_print:
        output.note(f"request {request}, received at {received}")
    order(kind, message_id=request, received_at=received, then=FOLLOW, only_print=only_print, **fields)


def _given(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _exactly_one(subject: Mapping[str, Any], options: str) -> None:
    if len(subject) != 1:
        raise typer.BadParameter("give exactly one", param_hint=options)


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "as_json"}


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _time(text: str, option: str) -> str:
    try:
        return utc_text(parse_utc(text))
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "give RFC 3339 with an offset, such as 2026-01-31T09:30:00Z", param_hint=option
        ) from None


def _visit(ip: str | None, since: str | None, until: str | None) -> dict[str, str] | None:
    if ip is None and since is None and until is None:
        return None
    if ip is None or since is None or until is None:
        raise typer.BadParameter("give all three", param_hint="--visit-ip, --visit-since, --visit-until")
    return {"ip": ip, "since": _time(since, "--visit-since"), "until": _time(until, "--visit-until")}
