"""`retention approve`, `pause` and `resume`: orders to the planner and the workers, sent as messages.

Nothing here changes anything: intake carries each order out and writes it into the log, without the name and the reason
given, which stay in the product's own documents.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output, settings
from cli.sending import By, OnlyPrint, order
from shared import policy_file
from shared.errors import ConfigError
from shared.plan import swept_rules
from shared.runs import ERASURES

Name = Annotated[str, typer.Argument(metavar="CATEGORY", help="A category's id, or `erasures`: the work on requests.")]


def approve(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `retention status` shows it.")],
    *,
    by: By,
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Let a run go on that found more than its cap allows, exactly as it was planned. Look first: `retention plan`.

    Approving twice is the same, until the run is finished. Exit codes: 0 queued (or printed), 2 wrong arguments, 3
    Service Bus did not answer. A run that does not wait is told by `retention status`, as a parked message.
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
    printed), 2 wrong arguments, or a category that is not swept, 3 Service Bus did not answer.
    """
    _known(category)
    then = "workers stop at their next unit of work"
    order("pause", only_print=only_print, as_json=as_json, then=then, category=category, by=by, reason=reason)


def resume(category: Name, *, by: By, only_print: OnlyPrint = False, as_json: output.Json = False) -> None:
    """Let a paused category go on. What has expired meanwhile is caught up by its next run, which has its cap too.

    Resuming twice is the same. Exit codes: 0 queued (or printed), 2 wrong arguments, or a category that is not swept, 3
    Service Bus did not answer.
    """
    _known(category)
    then = "it goes on within a minute"
    if category == ERASURES:
        then = "requests that wait go on within a quarter of an hour"
    order("resume", only_print=only_print, as_json=as_json, then=then, category=category, by=by)


def _known(category: str) -> None:
    """Refuse here what the functions would park. Raises ConfigError."""
    policy = policy_file.load(settings.config().policy_file)
    names = [each.id for each in policy.enforced() if swept_rules(each)]
    if category not in (*names, ERASURES):
        raise ConfigError(f"no such category is swept: write {ERASURES}, or one of {', '.join(names)}")
