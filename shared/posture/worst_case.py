"""Each promise's true worst case: period, cadence, and what the store's settings add; and what breaks it. Pure.

Gather, decide: the readers have gathered the settings, this decides, the command shows. A category that is only
planned is listed as such and not judged: nothing deletes it yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.containers import OWN_CONTAINERS
from shared.period import Period
from shared.policy import Category, Policy
from shared.policy_terms import BlobStore, CosmosStore, NamePart, OwnStore, Rule
from shared.posture import effects
from shared.posture.effects import END, NOTHING, Effect, Kind, span
from shared.posture.findings import Finding, findings
from shared.posture.settings import Account, BlobAccount, CosmosAccount

PLANNED = "planned: nothing deletes it yet"
_LEAP_YEARS = 4 * 366  # days after which the calendar repeats


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One rule: what is promised, and what is so. `adds` is what the settings add to it, END where nothing ends it.

    `kind` is the worst of what was found: None is fine. `really` is text, such as "14 d 10 min" or "no end"; it is the
    least where a setting could not be read (`sure` is False).
    """

    category: str
    rule: str
    promised: str
    own: str
    adds: timedelta
    really: str
    why: tuple[str, ...]
    kind: Kind | None
    sure: bool


@dataclass(frozen=True, kw_only=True)
class Posture:
    """All verdicts, in the policy's order, and all findings, those first that break a promise."""

    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]

    @property
    def fine(self) -> bool:
        """Whether every promise is kept, and everything was read that it takes to say so."""
        return all(finding.kind == "note" for finding in self.findings)


def judge(policy: Policy, accounts: Mapping[str, Account], *, now: datetime) -> Posture:
    """Say what the settings make of every rule. `accounts` by their setting, such as BLOB_DATA.

    A setting that is not in `accounts` is one that the caller did not connect: that is a finding too.
    """
    allowed = backup_allowance(policy, now)
    verdicts, found = [], list[tuple[str, Effect, str]]()
    for category in policy.categories:
        for rule in category.rules:
            if category.status != "enforced":
                verdicts.append(_verdict(category, rule, [], planned=True))
                continue
            setting, container = place(category)
            least = shortest(rule.period, now)
            had = list(_effects(category, accounts.get(setting), container, least=least, allowed=allowed))
            found += [(setting, effect, rule.id) for effect in had]
            verdicts.append(_verdict(category, rule, had))
    return Posture(verdicts=tuple(verdicts), findings=findings(found))


def place(category: Category) -> tuple[str, str]:
    """The setting that reaches the category's account, and the container."""
    match category.store:
        case BlobStore(account=account, container=container):
            return f"BLOB_{account.upper()}", container
        case CosmosStore(account=account, container=container):
            return f"COSMOS_{account.upper()}", container
        case OwnStore(container=container):
            own = (each.account for each in OWN_CONTAINERS if each.name == container)
            return next(own, "BLOB_STATE"), container


def backup_allowance(policy: Policy, now: datetime) -> timedelta:
    """How long the policy lets backups keep what was erased: the longest rule about the account of backups."""
    kept = [
        shortest(rule.period, now)
        for category in policy.categories
        if isinstance(category.store, BlobStore) and category.store.account == "backup"
        for rule in category.rules
    ]
    return max(kept, default=NOTHING)


def shortest(period: Period, now: datetime) -> timedelta:
    """How long a period is at the least, whenever from now on it begins: a month of 28 days is one too."""
    begins = [now + timedelta(days=count) for count in range(_LEAP_YEARS if period.months else 1)]
    return min(period.after(begin) - begin for begin in begins)


# ---------------------------------------------------------------- one rule


def _effects(
    category: Category, account: Account | None, container: str, *, least: timedelta, allowed: timedelta
) -> Iterator[Effect]:
    match account:
        case BlobAccount():
            names_tell = any(isinstance(finder, NamePart) for finder in category.find.values())
            yield from effects.of_storage(account.settings, names_tell=names_tell)
            yield from effects.of_blob_container(account, container, least=least)
        case CosmosAccount():
            yield from effects.of_backup(account, allowed=allowed)
            yield from effects.of_cosmos_container(account, container)
        case None:
            text = "no connection to the account is set"
            yield Effect(
                kind="unknown", setting="account", short="account?", text=text, remedy="set the setting of this name"
            )


def _verdict(category: Category, rule: Rule, had: list[Effect], *, planned: bool = False) -> Verdict:
    own = category.worst_case(rule)
    adds = effects.total(had)
    kinds = {effect.kind for effect in had}
    return Verdict(
        category=category.id,
        rule=rule.id,
        promised=str(rule.period),
        own=own,
        adds=adds,
        really=PLANNED if planned else _really(category, rule, own, adds),
        why=tuple(dict.fromkeys(effect.short for effect in had if effect.short and effect.kind != "note")),
        kind="breaks" if "breaks" in kinds else "unknown" if "unknown" in kinds else None,
        sure="unknown" not in kinds,
    )


def _really(category: Category, rule: Rule, own: str, adds: timedelta) -> str:
    if adds == END:
        return "no end"
    plain = not rule.period.months and own == f"{rule.period} + {category.cadence}"
    if plain:
        return span(rule.period.time + category.cadence.time + adds)
    return f"{own} + {span(adds)}" if adds else own
