"""What a hold message names, checked against the policy: one target of one kind.

Refused with MessageError: a category that the policy has not or that no hold reaches, a record that cannot be where it
is said to be. Whether the person, home or record exists is not asked: a hold may come before the data.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared import messages
from shared.errors import ConfigError
from shared.holds import HoldKind
from shared.message_forms import RecordName
from shared.messages import MessageError
from shared.model import Locator, Scope, ScopeKind
from shared.policy import Category, Policy
from shared.policy_terms import BlobStore, CosmosStore, NamePart, OwnStore, Partition


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a hold keeps: `text` is the Hold's target, `category` the held record's or the category itself.

    `scope` is the person, home, address or session; for a record whom it belongs to, where its name or partition
    tells.
    """

    kind: HoldKind
    text: str
    category: str = ""
    scope: Scope | None = None


def target_of(message: messages.Hold, policy: Policy) -> Target:
    """The target of a hold message. Raises MessageError that names the field and the remedy."""
    if message.user_id is not None:
        return target_of_scope(Scope(kind=ScopeKind.PERSON, id=message.user_id))
    if message.home_id is not None:
        return target_of_scope(Scope(kind=ScopeKind.HOME, id=message.home_id))
    if message.record is not None:
        category = _category(message.record.category, policy, "retention.record.category")
        return _record(message.record, category)
    category = _category(message.category or "", policy, "retention.category")
    return Target(kind=HoldKind.CATEGORY, text=category.id, category=category.id)


def target_of_scope(scope: Scope) -> Target:
    """The scope as a hold's target. Raises MessageError for visits: their lines are in nobody's record."""
    if scope.kind is ScopeKind.VISIT:
        raise MessageError(
            "retention.subject: lines of a visit cannot be held by themselves; hold the web log's category"
        )
    return Target(kind=HoldKind(scope.kind.value), text=scope.id, scope=scope)


def _category(category_id: str, policy: Policy, field: str) -> Category:
    try:
        category = policy.category(category_id)
    except ConfigError:
        raise MessageError(f"{field}: the policy has no such category; `retention policy show` lists them") from None
    if isinstance(category.store, OwnStore) and category.store.swept_by == "ledger":
        raise MessageError(f"{field}: role ledger drops these by its own steps, and no hold reaches them")
    return category


def _record(record: RecordName, category: Category) -> Target:
    store = category.store
    if isinstance(store, CosmosStore) != bool(record.partition):
        remedy = "give the item's partition key value" if isinstance(store, CosmosStore) else "only items have one"
        raise MessageError(f"retention.record.partition: {remedy}")
    locator = Locator(
        store=store.kind,
        account=store.account,
        container=store.container,
        key=record.key,
        partition=record.partition,
    )
    return Target(kind=HoldKind.RECORD, text=locator.text(), category=category.id, scope=_owner(record, category))


def _owner(record: RecordName, category: Category) -> Scope | None:
    """Whom the record belongs to, where that can be told without reading it."""
    owner, store = category.scope, category.store
    if owner is None:
        return None
    match owner.by:
        case Partition():
            return Scope(kind=owner.kind, id=record.partition)
        case NamePart(field=field) if isinstance(store, BlobStore):
            parts = store.layout.match(record.key)
            return Scope(kind=owner.kind, id=parts.fields[field]) if parts else None
        case _:
            return None
