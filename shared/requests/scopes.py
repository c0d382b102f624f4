"""What the policy says of persons and homes: the category they share, their session, their backups. Pure."""

from __future__ import annotations

from datetime import datetime

from shared.errors import PermanentError
from shared.model import Scope
from shared.policy import Category, Member, Policy

HAS_USERS = "the home has users: decide about each of them"


def shared_category(policy: Policy) -> Category:
    """The category whose records people share as members: homes. Raises PermanentError where none is enforced."""
    for category in policy.enforced():
        if any(isinstance(finder, Member) for finder in category.find.values()):
            return category
    raise PermanentError("no enforced category is shared by members")


def session_of(scope: Scope) -> str:
    """The session that serialises the work on one person or home."""
    return f"{scope.kind.value}/{scope.id}"[:128]


def backups_until(policy: Policy, erased: datetime) -> datetime:
    """When the last backup that began before `erased` is due to be gone: period and cadence of the backups' rows."""
    rows = [c for c in policy.enforced() if getattr(c.store, "account", "") == "backup"]
    ends = [c.cadence.after(rule.period.after(erased)) for c in rows for rule in c.rules]
    return max(ends, default=erased)
