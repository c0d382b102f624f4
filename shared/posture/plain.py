"""What an account does to a deleted blob, said of the account alone: no policy is needed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.period import Period
from shared.posture import effects
from shared.posture.effects import END, Effect, span
from shared.posture.findings import Finding, findings
from shared.posture.settings import BlobAccount, Unknown
from shared.posture.worst_case import shortest


@dataclass(frozen=True, kw_only=True)
class Plain:
    """`kept` is how long a deleted blob can be brought back; `really` what becomes of a promise of `promised`.

    `apart` says the same of the containers where it is otherwise; `containers` counts those that were read. Where a
    setting could not be read `sure` is False, and all of it is the least.
    """

    account: str
    kept: timedelta
    promised: str
    really: str
    apart: Mapping[str, str]
    sure: bool
    containers: int
    findings: tuple[Finding, ...]

    @property
    def fine(self) -> bool:
        """Whether deleted is deleted here, as far as the service can say."""
        return all(finding.kind == "note" for finding in self.findings)


def describe(account: BlobAccount, promised: Period, *, now: datetime) -> Plain:
    """Say what the account, and each of its containers that was looked at, makes of a promise."""
    least = shortest(promised, now)
    whole = list(effects.of_storage(account.settings, swept=False))
    inside = {
        name: list(effects.of_blob_container(account, name, least=least, swept=False)) for name in account.containers
    }
    said = str(promised) if promised.months else span(least)
    really = _really(promised, said, whole)
    by_container = {name: _really(promised, said, whole + own) for name, own in inside.items()}
    found = [*whole, *(effect for own in inside.values() for effect in own)]
    return Plain(
        account=account.name,
        kept=effects.total(whole),
        promised=said,
        really=really,
        apart={name: text for name, text in by_container.items() if text != really},
        sure=not any(effect.kind == "unknown" for effect in found),
        containers=sum(not isinstance(each, Unknown) for each in account.containers.values()),
        findings=findings((account.name, effect, None) for effect in found),
    )


def _really(promised: Period, said: str, found: list[Effect]) -> str:
    worst = effects.total(found)
    if worst == END or not promised.months:
        return span(worst if worst == END else promised.time + worst)
    return f"{said} + {span(worst)}" if worst else said
