"""Findings: the effects that somebody should look at, each said once, whatever many rules it is about. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.posture.effects import Effect, Kind

ORDER: tuple[Kind, ...] = ("breaks", "unknown", "note")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to look at: `where` is the account, with the container if it is one's; `settings` is what it is about.

    `rules` are the rules whose promise it concerns.
    """

    kind: Kind
    where: str
    settings: tuple[str, ...]
    text: str
    remedy: str
    rules: tuple[str, ...] = ()


def findings(found: Iterable[tuple[str, Effect, str | None]]) -> tuple[Finding, ...]:
    """Make findings of (account, effect, rule), those first that break a promise.

    One that breaks a promise of one rule and none of another breaks. Settings unknown for the same reason are one.
    """
    merged: dict[tuple[str, str, str], Finding] = {}
    for account, effect, rule in found:
        where = f"{account}/{effect.of}" if effect.of else account
        key = where, "" if effect.kind == "unknown" else effect.setting, effect.text
        known = merged.get(key)
        kinds = [effect.kind, *([known.kind] if known else [])]
        merged[key] = Finding(
            kind=min(kinds, key=ORDER.index),
            where=where,
            settings=_with(known.settings if known else (), effect.setting),
            text=effect.text,
            remedy=effect.remedy,
            rules=_with(known.rules if known else (), rule),
        )
    return tuple(sorted(merged.values(), key=lambda finding: ORDER.index(finding.kind)))


def _with(known: tuple[str, ...], more: str | None) -> tuple[str, ...]:
    return known if more is None or more in known else (*known, more)
