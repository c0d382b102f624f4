"""`retention plan` and `retention run`: what a sweep would find now, and a message that starts one.

Neither deletes. `plan` reads the stores and writes nothing; `run` sends a message, and the functions do the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from cli import output, settings
from shared import messages, policy_file
from shared.errors import ConfigError, TransientError
from shared.model import utc_text
from shared.policy import Category, Follows, Policy

if TYPE_CHECKING:
    from shared.wiring import Product

SEND_SECONDS = 60  # some failures of the Service Bus SDK wait for ever

Categories = Annotated[list[str] | None, typer.Argument(metavar="CATEGORY", help="Ids of the policy.")]


def plan(
    categories: Categories = None,
    *,
    most: Annotated[int, typer.Option(min=1, help="Stop counting a category here.")] = 10_000,
    as_json: output.Json = False,
) -> None:
    """Dry run: what a run would find now, by category. Writes and deletes nothing.

    Strange records are those whose name or times cannot be judged: a run leaves them and reports them. Categories that
    the policy only plans are listed as planned. Exit codes: 0 done, 2 no such category, 3 a store did not answer.
    """
    policy = policy_file.load(settings.config().policy_file)
    rows = [_row(category) for category in _chosen(policy, categories or [])]
    if any(row.swept for row in rows):
        found = settings.with_product(lambda app: _survey(app, [row for row in rows if row.swept], most), governed=True)
        rows = [found.get(row.category.id, row) for row in rows]
    if as_json:
        output.document({"policy": policy.digest, "categories": [row.value() for row in rows]})
    else:
        output.table(
            ("category", "due now", "oldest due", "strange"), [row.cells() for row in rows], right=("due now",)
        )
    output.note("dry run: nothing was written or deleted")


def run(
    categories: Categories = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every category that is enforced.")] = False,
    as_json: output.Json = False,
) -> None:
    """Queue a run now, before its cadence: sends a message to queue `requests`; the functions sweep.

    A category whose last run is not finished goes on with that one. Exit codes: 0 queued, 2 no such category, or one
    that is only planned, 3 Service Bus did not answer.
    """
    if bool(categories) == everything:
        raise typer.BadParameter("name categories, or give --all", param_hint="CATEGORY")
    chosen = _chosen(policy_file.load(settings.config().policy_file), categories or [])
    planned = [category.id for category in chosen if category.status == "planned"]
    if categories and planned:
        raise ConfigError(f"only planned, not carried out yet: {', '.join(planned)}; `retention policy show` lists all")
    following = [row.category.id for row in map(_row, chosen) if categories and not row.swept]
    if following:
        raise ConfigError(f"no run of their own, they go with another category: {', '.join(following)}")
    request = uuid4()
    send(messages.run(request=request, categories=tuple(categories or ())), str(request))
    if as_json:
        output.document({"request": str(request), "queue": "requests", "categories": categories or "all"})
    else:
        output.say(str(request))
    output.note("queued; `retention status` shows the run once the functions have taken it up")


def send(body: bytes, message_id: str) -> None:
    """Send a message to queue `requests`. Raises TransientError, also when no answer comes in SEND_SECONDS."""

    async def work(app: Product) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await app.queue("requests").send(body, message_id=message_id)
        except TimeoutError:
            raise TransientError(f"Service Bus: no answer in {SEND_SECONDS} s") from None

    with output.busy("sending to queue requests"):
        settings.with_product(work)


# ---------------------------------------------------------------- the dry run


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One category's line: `due` is None where nothing was counted, `complete` False where counting stopped."""

    category: Category
    due: int | None = None
    oldest: datetime | None = None
    complete: bool = True
    strange: Mapping[str, int] | None = None

    @property
    def follows(self) -> list[str]:
        """The categories that take this one's records along."""
        return [rule.start.category for rule in self.category.rules if isinstance(rule.start, Follows)]

    @property
    def swept(self) -> bool:
        """Whether a run looks for records of this category itself."""
        return self.category.status == "enforced" and len(self.follows) < len(self.category.rules)

    def value(self) -> dict[str, Any]:
        """The line as JSON."""
        return {
            "category": self.category.id,
            "status": self.category.status,
            "due_now": self.due,
            "oldest_due": utc_text(self.oldest) if self.oldest else None,
            "complete": self.complete,
            "strange": self.strange or {},
            "goes_with": self.follows,
        }

    def cells(self) -> tuple[str, str, str, str]:
        """The line as text."""
        if self.category.status == "planned":
            return self.category.id, "PLANNED", "", "not carried out yet"
        if not self.swept:
            return self.category.id, "-", "", f"goes with {', '.join(self.follows)}"
        due = output.number(self.due or 0) + ("" if self.complete else " or more")
        oldest = f"{self.oldest:%Y-%m-%d %H:%M}Z" if self.oldest else ""
        return self.category.id, due, oldest, output.counts(self.strange or {})


def _row(category: Category) -> _Row:
    return _Row(category=category)


async def _survey(app: Product, rows: Sequence[_Row], most: int) -> dict[str, _Row]:
    found: dict[str, _Row] = {}
    with output.busy("looking") as tell:
        for row in rows:
            category = row.category
            tell(f"looking through {category.id}")
            try:
                seen = await app.sweeps.survey(category, most=most)
            except TransientError as error:
                raise TransientError(f"category {category.id}: {error}") from error
            complete = seen.due < most
            found[category.id] = _Row(
                category=category, due=seen.due, oldest=seen.oldest, complete=complete, strange=seen.strange
            )
    return found


def _chosen(policy: Policy, ids: Sequence[str]) -> list[Category]:
    """The categories named, or all. Raises PolicyError for an id that the policy has not."""
    known = {category.id for category in policy.categories}
    unknown = [each for each in ids if each not in known]
    if unknown:
        raise ConfigError(f"the policy has no category {', '.join(unknown)}; `retention policy show` lists them")
    return [category for category in policy.categories if not ids or category.id in ids]
