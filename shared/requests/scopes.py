"""What the policy says of people and homes: the category they share, what is not reached, their backups. Pure."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Any

from shared.message_forms import Visit
from shared.model import Scope, ScopeKind, utc_text
from shared.policy import Category, Policy
from shared.policy_terms import BlobStore, Member, OwnStore

HAS_USERS = "the home has users: decide about each of them"
NO_VISIT = "searched only for an IP address and times, which the request did not give (GDPR Art. 11(2))"
PLANNED = "planned, not carried out yet"


def spellings(email: str) -> tuple[Scope, ...]:
    """The scopes of an e-mail address: one for each spelling that may stand in a record, the plain one first.

    Letter case does not tell two apart; a name may be written in composed or decomposed letters (Unicode NFC, NFD), and
    a domain in its own letters or in ASCII (IDNA). White space around it is no part of it, and is searched as given.
    """
    name, at, domain = unicodedata.normalize("NFC", email.strip()).lower().rpartition("@")
    domains = [domain]
    with suppress(UnicodeError):
        domains.append(domain.encode("idna").decode())
    with suppress(UnicodeError):
        domains.append(domain.encode().decode("idna"))
    plain = [f"{name}{at}{each}" for each in domains]
    texts = [*plain, *(unicodedata.normalize("NFD", each) for each in plain), email.lower()]
    return tuple(Scope(kind=ScopeKind.ADDRESS, id=text) for text in dict.fromkeys(texts) if text)


def visit_of(visit: Visit) -> Scope:
    """The scope of visits: its id is what is searched for, in one spelling."""
    what = {"ip": visit.ip, "since": utc_text(visit.since), "until": utc_text(visit.until)}
    return Scope(kind=ScopeKind.VISIT, id=json.dumps(what, sort_keys=True, separators=(",", ":")))


def subject_of(scope: Scope) -> dict[str, Any]:
    """The subject of a message that means the scope."""
    if scope.kind is ScopeKind.VISIT:
        return {"visit": json.loads(scope.id)}
    field = {ScopeKind.PERSON: "user_id", ScopeKind.ADDRESS: "email"}.get(scope.kind, f"{scope.kind.value}_id")
    return {field: scope.id}


def shared_category(policy: Policy) -> Category | None:
    """The enforced category whose records people share as members, homes; None where there is none."""
    shared = (c for c in policy.enforced() if any(isinstance(finder, Member) for finder in c.find.values()))
    return next(shared, None)


def identifying(policy: Policy) -> Category | None:
    """The enforced category whose records tell who a person is, users; None where there is none."""
    return next((category for category in policy.enforced() if category.identifies is not None), None)


def finding(policy: Policy, kind: ScopeKind) -> list[Category]:
    """The enforced categories that hold records of such a scope of their own; the one that identifies people last."""
    found = [c for c in policy.enforced() if kind in c.find and not isinstance(c.find[kind], Member)]
    return sorted(found, key=lambda category: category.identifies is not None)


def not_reached(policy: Policy, kinds: Collection[ScopeKind]) -> dict[str, str]:
    """What may hold more of such a person or home, and why an erasure of these kinds of scope did not search it."""
    found: dict[str, str] = {}
    for category in policy.categories:
        if isinstance(category.store, OwnStore) or not category.find:
            continue
        if category.status == "planned" and any(kind in category.find for kind in kinds):
            found[category.id] = PLANNED
        elif set(category.find) == {ScopeKind.VISIT} and ScopeKind.VISIT not in kinds and ScopeKind.PERSON in kinds:
            found[category.id] = NO_VISIT
        if any(kind in category.find for kind in kinds):
            found |= {f"{category.id} at {supplier.name}": PLANNED for supplier in category.suppliers}
    return found


def backup_categories(policy: Policy) -> list[Category]:
    """The categories of backups."""
    return [c for c in policy.categories if isinstance(c.store, BlobStore) and c.store.account == "backup"]


def backups_until(policy: Policy, erased: datetime) -> datetime | None:
    """When the last backup that began before `erased` is due to be gone: period and cadence of the backups' rows.

    None where one of the rows is only planned: nobody deletes those backups. `erased` where the policy has no backups.
    """
    rows = backup_categories(policy)
    if any(category.status != "enforced" for category in rows):
        return None
    ends = [c.cadence.after(rule.period.after(erased)) for c in rows for rule in c.rules]
    return max(ends, default=erased)
