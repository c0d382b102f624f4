"""What the policy says of persons and homes: the category they share, what is not reached, their backups. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from shared.errors import PermanentError
from shared.model import ScopeKind
from shared.policy import BlobStore, Category, Member, OwnStore, Policy

HAS_USERS = "the home has users: decide about each of them"


def shared_category(policy: Policy) -> Category:
    """The category whose records people share as members: homes. Raises PermanentError where none is enforced."""
    for category in policy.enforced():
        if any(isinstance(finder, Member) for finder in category.find.values()):
            return category
    raise PermanentError("no enforced category is shared by members")


def not_reached(policy: Policy, kinds: Collection[ScopeKind]) -> tuple[str, ...]:
    """The categories that may hold records of such a person or home, and that an erasure does not reach yet."""
    planned = [c for c in policy.categories if c.status == "planned" and not isinstance(c.store, OwnStore)]
    return tuple(c.id for c in planned if any(kind in c.find for kind in kinds))


def backups_until(policy: Policy, erased: datetime) -> datetime | None:
    """When the last backup that began before `erased` is due to be gone: period and cadence of the backups' rows.

    None where one of the rows is only planned: nobody deletes those backups. `erased` where the policy has no backups.
    """
    rows = [c for c in policy.categories if isinstance(c.store, BlobStore) and c.store.account == "backup"]
    if any(category.status != "enforced" for category in rows):
        return None
    ends = [c.cadence.after(rule.period.after(erased)) for c in rows for rule in c.rules]
    return max(ends, default=erased)
