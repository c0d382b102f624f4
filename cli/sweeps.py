"""`retention plan` and `retention run`: what a sweep would find now, and a message that starts one.

Neither deletes. `plan` reads the stores and writes nothing; `run` sends a message, and the functions do the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from cli import output, settings
from cli.sending import OnlyPrint, send
from shared import messages, policy_file
from shared.errors import ConfigError, TransientError
from shared.model import utc_text
from shared.plan import swept_rules
from shared.policy import Category, Policy
from shared.policy_terms import Follows, OwnStore

if TYPE_CHECKING:
    from shared.wiring import Product

Categories = Annotated[list[str] | None, typer.Argument(metavar="CATEGORY", help="Ids of the policy.")]


def plan(
    categories: Categories = None,
    *,
    most: Annotated[
        int | None, typer.Option(min=1, help="Stop counting a category here; else one record beyond its cap.")
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Dry run: what a run would find now, by category, and its cap, beyond which a run waits for approval.

    Writes and deletes nothing. Strange records are those whose name or times cannot be judged: a run leaves them and
    reports them. Categories that the policy only plans are listed as planned, those that are paused as such. Exit
    codes: 0 done, 2 no such category, 3 a store did not answer.
    """
    policy = policy_file.load(settings.config().policy_file)
    rows = [_row(category) for category in _chosen(policy, categories or [])]
    if any(row.swept for row in rows):
        found = settings.with_product(lambda app: _survey(app, [row for row in rows if row.swept], most), governed=True)
        rows = [found.get(row.category.id, row) for row in rows]
    if as_json:
        output.document({"policy": policy.digest, "categories": [row.value() for row in rows]})
    else:
        columns = ("category", "due now", "cap", "oldest due", "strange")
        output.table(columns, [row.cells() for row in rows], right=("due now", "cap"))
        for note in [note for row in rows for note in row.notes()]:
            output.say(note)
    output.note("dry run: nothing was written or deleted")


def run(
    categories: Categories = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every category that is enforced.")] = False,
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Queue a run now, before its cadence: sends a message to queue `requests`; the functions sweep.

    A category whose last run is not finished goes on with that one; one that is paused, or whose run waits for
    approval, starts nothing, and stderr says so. Exit codes: 0 queued (or printed), 2 no such category, or one that is
    only planned, 3 Service Bus did not answer.
    """
    if bool(categories) == everything:
        raise typer.BadParameter("name categories, or give --all", param_hint="CATEGORY")
    chosen = _chosen(policy_file.load(settings.config().policy_file), categories or [])
    planned = [category.id for category in chosen if category.status == "planned"]
    if categories and planned:
        raise ConfigError(f"only planned, not carried out yet: {', '.join(planned)}; `retention policy show` lists all")
    following = [row.category.id for row in map(_row, chosen) if categories and not row.swept]
    if following:
        raise ConfigError(f"no run of their own: {', '.join(following)}; `retention plan` says with what they go")
    request = uuid4()
    body = messages.run(request=request, categories=tuple(categories or ()))
    if only_print:
        typer.echo(body.decode())
        return
    send(body, str(request))
    if as_json:
        output.document({"request": str(request), "queue": "requests", "categories": categories or "all"})
    else:
        output.say(str(request))
    output.note("queued; `retention status` shows the run once the functions have taken it up")
    try:
        for each in settings.with_product(lambda app: _standings(app, [c for c in chosen if _row(c).swept])).values():
            for note in each.notes():
                output.note(note)
    except (ConfigError, TransientError):  # who may send a message need not be able to read the runs
        output.note("whether a category is paused, or waits for approval, could not be seen from here")


# ---------------------------------------------------------------- what keeps a category from a run


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a category stands: since when it is paused, which run waits for approval, the cap of the next run."""

    category: str
    cap: int
    paused: datetime | None
    waiting: str | None

    def notes(self) -> list[str]:
        """What keeps the category from a run, and what to do about it."""
        said = []
        if self.paused:
            resume = f"`retention resume {self.category}`"
            said.append(f"{self.category}: paused since {output.when(self.paused)}: nothing starts before {resume}")
        if self.waiting:
            approve = f"`retention approve {self.waiting}`"
            said.append(f"{self.category}: a run found more than its cap: nothing starts before {approve}")
        return said


async def _standings(app: Product, categories: Sequence[Category]) -> dict[str, Standing]:
    found = {}
    for category in categories:
        held, pause = await app.runs.current(category.id), await app.runs.pause(category.id)
        current = held.value if held else None
        found[category.id] = Standing(
            category=category.id,
            cap=app.caps.of(category, current.history if current else ()),
            paused=pause.value.since if pause and pause.value.paused else None,
            waiting=current.run if current and current.approval == "waiting" else None,
        )
    return found


# ---------------------------------------------------------------- the dry run


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One category's line: `due` is None where nothing was counted, `complete` False where counting stopped."""

    category: Category
    due: int | None = None
    oldest: datetime | None = None
    complete: bool = True
    strange: Mapping[str, int] | None = None
    standing: Standing | None = None

    @property
    def follows(self) -> list[str]:
        """The categories that take this one's records along."""
        return [rule.start.category for rule in self.category.rules if isinstance(rule.start, Follows)]

    @property
    def swept(self) -> bool:
        """Whether a run looks for records of this category itself."""
        return self.category.status == "enforced" and bool(swept_rules(self.category))

    @property
    def over(self) -> bool:
        """Whether a run that starts now finds more than its cap."""
        return self.standing is not None and (self.due or 0) > self.standing.cap

    def notes(self) -> list[str]:
        """What keeps the category from a run."""
        said = self.standing.notes() if self.standing else []
        if self.over and not said:
            said.append(f"{self.category.id}: more than its cap: a run waits for approval")
        return said

    def value(self) -> dict[str, Any]:
        """The line as JSON."""
        return {
            "category": self.category.id,
            "status": self.category.status,
            "due_now": self.due,
            "oldest_due": utc_text(self.oldest) if self.oldest else None,
            "complete": self.complete,
            "cap": self.standing.cap if self.standing else None,
            "over_cap": self.over,
            "paused_since": self.standing.paused if self.standing else None,
            "waits_for_approval": self.standing.waiting if self.standing else None,
            "strange": self.strange or {},
            "goes_with": self.follows,
        }

    def cells(self) -> tuple[str, str, str, str, str]:
        """The line as text."""
        if self.category.status == "planned":
            return self.category.id, "PLANNED", "", "", "not carried out yet"
        if isinstance(self.category.store, OwnStore) and self.category.store.swept_by == "ledger":
            return self.category.id, "-", "", "", "by role ledger"
        if not self.swept:
            return self.category.id, "-", "", "", f"goes with {', '.join(self.follows)}"
        due = output.number(self.due or 0) + ("" if self.complete else " or more")
        cap = output.number(self.standing.cap) if self.standing else ""
        oldest = f"{self.oldest:%Y-%m-%d %H:%M}Z" if self.oldest else ""
        return self.category.id, due, cap, oldest, output.counts(self.strange or {})


def _row(category: Category) -> _Row:
    return _Row(category=category)


async def _survey(app: Product, rows: Sequence[_Row], most: int | None) -> dict[str, _Row]:
    found: dict[str, _Row] = {}
    standings = await _standings(app, [row.category for row in rows])
    with output.busy("looking") as tell:
        for row in rows:
            category = row.category
            tell(f"looking through {category.id}")
            standing = standings[category.id]
            bound = most or standing.cap + 1
            try:
                seen = await app.planner.survey(category, most=bound)
            except TransientError as error:
                raise TransientError(f"category {category.id}: {error}") from error
            found[category.id] = _Row(
                category=category,
                due=seen.due,
                oldest=seen.oldest,
                complete=seen.due < bound,
                strange=seen.strange,
                standing=standing,
            )
    return found


def _chosen(policy: Policy, ids: Sequence[str]) -> list[Category]:
    """The categories named, or all. Raises PolicyError for an id that the policy has not."""
    known = {category.id for category in policy.categories}
    unknown = [each for each in ids if each not in known]
    if unknown:
        raise ConfigError(f"the policy has no category {', '.join(unknown)}; `retention policy show` lists them")
    return [category for category in policy.categories if not ids or category.id in ids]
