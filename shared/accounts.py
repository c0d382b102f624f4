"""The events that account for an intent: each record's outcome, under the pseudonyms of its scope's key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from operator import itemgetter

from shared import audit
from shared.journal import Intent
from shared.keys import ScopeKeys, fresh_key, is_scope_key, name_of, name_of_category
from shared.model import Outcome, Record


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
    found = await keys.get(_key_name(intent.records[ordinal], now) for ordinal in outcomes)
    # A scope key lies under a hash of its scope's id. A pseudonym of that by the category's key would tell for years
    # when whose key was destroyed, and so whose request closed then: nobody keeps the key of this one.
    unkept = fresh_key()
    events = []
    for ordinal, outcome in sorted(outcomes.items(), key=itemgetter(0)):
        record = intent.records[ordinal]
        key = unkept if is_scope_key(record.locator) else found[_key_name(record, now)]
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
                subject_pseudonym=audit.subject_pseudonym(key, record.scope) if record.scope else None,
                record_pseudonym=audit.pseudonym(key, "record", record.locator.text()),
            )
        )
    return events


def _key_name(record: Record, now: datetime) -> str:
    return name_of(record.scope) if record.scope else name_of_category(record.category, now.year)
