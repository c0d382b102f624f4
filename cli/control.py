"""`retention approve`, `pause` and `resume`: orders to the planner and the workers, sent as messages.

Nothing here changes anything: intake carries each order out and writes it into the log, without the name and the reason
given, which stay in the product's own documents.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.sending import By, OnlyPrint, order

Name = Annotated[str, typer.Argument(metavar="CATEGORY", help="A category's id, or `requests`: the work on requests.")]


def approve(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `retention status` shows it.")],
    *,
    by: By,
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Let a run go on that found more than its cap allows, exactly as it was planned. Look first: `retention plan`.

    Approving twice is the same. Exit codes: 0 queued (or printed), 2 wrong arguments, 3 Service Bus did not answer. A
    run that does not wait is told by `retention status`, as a parked message.
    """
    then = "the planner queues its slices within a minute"
    order("approve", only_print=only_print, as_json=as_json, then=then, run=run, by=by)


def pause(
    category: Name,
    *,
    by: By,
    reason: Annotated[str, typer.Option(help="Why: kept in our records, in no event.")],
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Stop the sweeps of a category until it is resumed: at the next unit of work, and without losing anything.

    Its periods run on meanwhile, and `retention status` says so. Pausing twice is the same. Exit codes: 0 queued (or
    printed), 2 wrong arguments, 3 Service Bus did not answer. A category that is not swept is told by `retention
    status`, as a parked message.
    """
    then = "workers stop at their next unit of work"
    order("pause", only_print=only_print, as_json=as_json, then=then, category=category, by=by, reason=reason)


def resume(category: Name, *, by: By, only_print: OnlyPrint = False, as_json: output.Json = False) -> None:
    """Let a paused category go on. What has expired meanwhile is caught up by its next run, which has its cap too.

    Resuming twice is the same. Exit codes: 0 queued (or printed), 2 wrong arguments, 3 Service Bus did not answer.
    """
    then = "the planner goes on with it within a minute"
    order("resume", only_print=only_print, as_json=as_json, then=then, category=category, by=by)
