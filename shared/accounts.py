"""The events that account for an intent: each record's outcome, under pseudonyms of the right key.

What a request does is told under the key of whom it is about, whosever the record is: a home that stays, or the other
member of it, has a key that outlives the request, and would lead to it. What a sweep does is told under the key of the
record's own scope, or of its category and year.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from operator import itemgetter

from shared import audit
from shared.journal import Intent
from shared.keys import ScopeKeys, fresh_key, is_scope_key, name_of, name_of_category
from shared.model import Outcome, Record, RequestCause, Scope


async def account(
    intent: Intent,
    outcomes: Mapping[int, Outcome],
    now: datetime,
    *,
    keys: ScopeKeys,
    source: str,
    correction: str | None = None,
) -> list[bytes]:
    """The events of the ordinals that `outcomes` has, in order, as of `now`.

    With `correction` (an intent id of its own) they have its id, and each names the event that it corrects. Raises
    TransientError when a key cannot be read.
    """
    scopes = {ordinal: _scope(intent, intent.records[ordinal]) for ordinal in outcomes}
    of_scope = {scope: name_of(scope) for scope in set(scopes.values()) if scope is not None}
    names = {n: of_scope[s] if s else name_of_category(intent.records[n].category, now.year) for n, s in scopes.items()}
    found = await keys.get(names.values())
    # A scope key lies under a hash of its scope's id. A pseudonym of that by the category's key would tell for years
    # when whose key was destroyed, and so whose request closed then: nobody keeps the key of this one.
    unkept = fresh_key()
    subjects = {scope: audit.subject_pseudonym(found[name], scope) for scope, name in of_scope.items()}
    events = []
    for ordinal, outcome in sorted(outcomes.items(), key=itemgetter(0)):
        record, scope = intent.records[ordinal], scopes[ordinal]
        astray = is_scope_key(record.locator)
        key = unkept if astray else found[names[ordinal]]
        subject = None if scope is None else audit.subject_pseudonym(key, scope) if astray else subjects[scope]
        events.append(
            audit.record_event(
                record,
                outcome,
                event_id=f"{correction or intent.id}/{ordinal}",
                corrects=f"{intent.id}/{ordinal}" if correction else None,
                source=source,
                time=now,
                cause=intent.cause,
                clause=intent.clauses[record.category],
                policy_digest=intent.policy,
                subject_pseudonym=subject,
                record_pseudonym=audit.pseudonym(key, "record", record.locator.text()),
            )
        )
    return events


def _scope(intent: Intent, record: Record) -> Scope | None:
    """Under whose key an outcome is told; None for the category's."""
    cause = intent.cause
    return (cause.asker or cause.scope) if isinstance(cause, RequestCause) else record.scope
