"""The look at posture, once a day: what the stores' settings make of each promise, kept for status and metrics.

What is kept names rules, settings and numbers. Nothing is changed in the stores. `retention posture` says more.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import AwareDatetime

from shared.documents import Form, read, write
from shared.errors import ChangedError, ExistsError
from shared.policy import Policy
from shared.posture.settings import Account
from shared.posture.worst_case import Posture, judge
from shared.stores.interface import ObjectStore

log = logging.getLogger("retention.posture")

NAME = "posture.json"
EVERY = timedelta(days=1)


class Broken(Form):
    """A rule whose promise a store's settings break: what is promised, what is so, and by which settings."""

    rule: str
    promised: str
    really: str
    why: tuple[str, ...] = ()


class PostureLook(Form):
    """What one look found, and when; `unknown` counts the findings that a setting is unknown."""

    at: AwareDatetime
    broken: tuple[Broken, ...] = ()
    unknown: int = 0

    @property
    def fine(self) -> bool:
        """Whether every promise is kept, and nothing is unknown."""
        return not self.broken and not self.unknown


@dataclass(frozen=True, kw_only=True)
class PostureWatch:
    """What the look needs. `stores` reads the settings, `heartbeats` keeps the last look for everybody to read."""

    policy: Policy
    stores: Callable[[], Awaitable[Mapping[str, Account]]]
    heartbeats: ObjectStore

    async def watch(self, now: datetime) -> PostureLook:
        """Look, unless the last look found all well and is less than a day old: then return that one.

        One from the future is none.

        Raises an alarm for each promise that is broken, and keeps what was found. Raises TransientError.
        """
        held = await read(self.heartbeats, NAME, PostureLook)
        if held is not None and held.value.fine and timedelta() <= now - held.value.at < EVERY:
            return held.value
        found = summary(judge(self.policy, await self.stores(), now=now), now)
        for each in found.broken:
            log.error("ALARM posture: %s", said(each))
        if found.unknown:
            log.warning("posture: %d findings that a setting is unknown: `retention posture` names them", found.unknown)
        try:
            await write(self.heartbeats, NAME, found, held.etag if held else None)
        except (ChangedError, ExistsError):
            log.info("another look was faster")
        return found


def summary(found: Posture, now: datetime) -> PostureLook:
    """What is kept of a posture."""
    broken = tuple(
        Broken(rule=verdict.rule, promised=verdict.promised, really=verdict.really, why=verdict.why)
        for verdict in found.verdicts
        if verdict.kind == "breaks"
    )
    return PostureLook(at=now, broken=broken, unknown=sum(finding.kind == "unknown" for finding in found.findings))


async def last_posture(heartbeats: ObjectStore) -> PostureLook | None:
    """What the last look found; None before the first. Raises IntegrityError when it cannot be read."""
    held = await read(heartbeats, NAME, PostureLook)
    return held.value if held else None


def said(each: Broken) -> str:
    """One broken promise, in words."""
    why = f": {', '.join(each.why)}" if each.why else ""
    return f"rule {each.rule} promises {each.promised}, and it is really {each.really}{why}"
