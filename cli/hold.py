"""`retention hold`: ask for a hold, end one, and list them.

Nothing here holds or deletes: messages are sent, and the functions write the hold, which the gate reads before each
deletion. Whom a hold is about is personal data: `list` says it only when it is asked to.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli import output, settings
from cli.sending import By, OnlyPrint, order
from shared import messages, policy_file
from shared.hold_targets import target_of
from shared.holds import Hold, HoldKind, Holds, InForce
from shared.message_forms import RecordName
from shared.model import parse_utc, utc_text

if TYPE_CHECKING:
    from shared.wiring import Product

app = typer.Typer(help="Keep data from sweeps and erasures: add, list and release holds.", no_args_is_help=True)


@app.command()
def add(
    *,
    user_id: Annotated[str | None, typer.Option(help="All of a person, by their internal id.")] = None,
    home_id: Annotated[str | None, typer.Option(help="All of a home, by its internal id.")] = None,
    category: Annotated[
        str | None, typer.Option(help="All of a category of the policy; with --key one record.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The record's blob name or item id.")] = None,
    partition: Annotated[str | None, typer.Option(help="The item's partition key value; none for a blob.")] = None,
    owner: Annotated[str, typer.Option(help="Who answers for the hold, 1 to 200 characters.")],
    reason: Annotated[str, typer.Option(help="Why the data must stay, 1 to 200 characters.")],
    until: Annotated[str | None, typer.Option(help="When it ends by itself, RFC 3339 with an offset.")] = None,
    by: By,
    hold: Annotated[UUID | None, typer.Option("--id", help="The hold's id, a UUID; else a new one.")] = None,
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Keep a person's, a home's, a category's or one record's data: sends a message to queue `requests`.

    Prints the hold's id. What is being deleted at that moment may still go: `retention hold list` says whether the hold
    is in force for all, and for how many records it came too late. A hold that is refused (no such category) is a
    parked message: `retention status` shows it. Exit codes: 0 queued (or printed), 2 wrong arguments, 3 Service Bus did
    not answer: send the very same again, with the --id that stderr names.
    """
    record = {"category": category, "key": key, "partition": partition or ""} if key is not None else None
    if len([given for given in (user_id, home_id, category) if given is not None]) != 1:
        raise typer.BadParameter("give exactly one", param_hint="--user-id, --home-id, --category")
    if key is not None and category is None:
        raise typer.BadParameter("goes with --category", param_hint="--key")
    if partition is not None and key is None:
        raise typer.BadParameter("goes with --key", param_hint="--partition")
    if category is not None:  # what the functions would park is refused here
        named = RecordName.model_validate(record) if record else None
        held = messages.Hold.model_construct(user_id=None, home_id=None, category=category, record=named)
        target_of(held, policy_file.load(settings.config().policy_file))
    order(
        "hold",
        only_print=only_print,
        as_json=as_json,
        then="`retention hold list` shows it, and whether it is in force",
        message_id=hold,
        user_id=user_id,
        home_id=home_id,
        category=category if record is None else None,
        record=record,
        owner=owner,
        reason=reason,
        until=_until(until),
        by=by,
    )


@app.command()
def release(
    hold: Annotated[str, typer.Argument(metavar="ID", help="The hold's id, as `list` shows it.")],
    *,
    by: By,
    reason: Annotated[str, typer.Option(help="Why it ends, 1 to 200 characters.")],
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """End a hold: sends a message to queue `requests`. What it kept goes with the next sweep that finds it due.

    A request that the hold kept from its end is taken up by `retention request retry`. Releasing twice is the same; an
    id that no hold has becomes a parked message. Exit codes: 0 queued (or printed), 2 wrong arguments, 3 Service Bus
    did not answer.
    """
    then = "`retention hold list --all` shows when it ended"
    order("release", only_print=only_print, as_json=as_json, then=then, hold=hold, by=by, reason=reason)


@app.command("list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended too, for as long as kept.")] = False,
    show_targets: Annotated[
        bool, typer.Option("--show-targets", help="Say which person, home or record: personal data.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """List the holds, the oldest first: what, whose, why, since and until when, and whether they are in force.

    `pending`: units of work that were open when the hold came may still delete. `yes`: what is there stays, and `too
    late` counts the records that those units took. `unknown`: it ended before that was known. A day after its end a
    hold forgets its target and its reason. Exit codes: 0 done; 1 a hold cannot be read, and nothing is deleted until it
    is mended; 3 no answer.
    """
    found, unreadable, now = settings.with_product(_read)
    first = datetime.min.replace(tzinfo=UTC)
    chosen = sorted((h for h in found if everything or not h.over(now)), key=lambda h: (h.since or first, h.id))
    if as_json:
        holds = [_value(each, now, show_targets=show_targets) for each in chosen]
        output.document({"holds": holds, "unreadable": list(unreadable)})
    else:
        columns = ("id", "what", "since", "until", "ended", "in force", "too late", "owner", "reason")
        rows = [_cells(each, now, show_targets=show_targets) for each in chosen]
        output.table(columns, rows, right=("too late",))
    for name in unreadable:
        output.note(f"cannot be read, and nothing is deleted until it is mended or removed: {name} in container holds")
    if unreadable:
        raise typer.Exit(output.Code.ATTENTION)


async def _read(app: Product) -> tuple[Sequence[Hold], Sequence[str], datetime]:
    objects = app.own("holds")
    return (*await Holds(objects=objects).all(), await objects.now())


def _until(text: str | None) -> str | None:
    """The end as the message has it. Raises BadParameter for one that is past, or no time."""
    if text is None:
        return None
    try:
        until = parse_utc(text)
    except ValueError:
        remedy = "give RFC 3339 with an offset, such as 2026-01-31T09:30:00Z"
        raise typer.BadParameter(remedy, param_hint="--until") from None
    if until <= datetime.now(UTC):
        raise typer.BadParameter("give a time in the future", param_hint="--until")
    return utc_text(until)


def _ended(hold: Hold, now: datetime) -> datetime | None:
    return hold.ends if hold.over(now) else None


def _value(hold: Hold, now: datetime, *, show_targets: bool) -> dict[str, Any]:
    public = {"id", "kind", "owner", "reason", "by", "since", "until", "in_force", "too_late", "forgotten"}
    value = hold.model_dump(include=public) | {"ended": _ended(hold, now)}
    value["category"] = hold.target if hold.kind is HoldKind.CATEGORY else hold.category or None
    return value | ({"target": hold.target} if show_targets else {})


def _cells(hold: Hold, now: datetime, *, show_targets: bool) -> tuple[str, ...]:
    what = hold.kind.value
    what += f" {hold.target}" if hold.kind is HoldKind.CATEGORY else ""
    what += f" of {hold.category}" if hold.kind is HoldKind.RECORD else ""
    what += f": {hold.target}" if show_targets and hold.target and hold.kind is not HoldKind.CATEGORY else ""
    times = [output.when(each) if each else "" for each in (hold.since, hold.until, _ended(hold, now))]
    too_late = output.number(hold.too_late) if hold.in_force is InForce.YES else ""
    return hold.id, what, *times, hold.in_force.value, too_late, hold.owner, hold.reason or "forgotten"
