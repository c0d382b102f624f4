"""Makes the data that the Bicep files load, from the policy and the code: `make docs`. A test holds the files to it.

- infra/data/accounts.json: the storage accounts that are made here, with their containers.
- infra/data/cosmos.json: the governed containers of Cosmos DB, each with its key and an index of just what is queried.
- infra/data/log.json: for how many days nothing of the log can be altered.
- infra/data/roles.json: role definitions, and every role assignment there is. docs/trust.md shows the same as a table.

With another policy, this makes the same for its stores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.synthetic import invent
from infra.definitions import COSMOS_DEFINITIONS, DEFINITIONS
from shared.containers import OWN_CONTAINERS
from shared.policy import Category, Policy
from shared.policy_file import load
from shared.policy_terms import BlobStore, CosmosStore, Empty, Field, FieldIs, Member, OwnStore, YearEnd

ROOT = Path(__file__).parents[1]
DATA = ROOT / "infra" / "data"
Row = dict[str, str]
"""One assignment: who (pipeline, ledger, portal, or a group of people), role, where, why."""

ASSIGNED = ("blob", "host", "settings", "bus", "cosmos", "vault", "telemetry")
"""The lists of assignments in roles.json, by the kind of what they are on."""


def outputs() -> dict[Path, str]:
    """Every generated file, by its path, as it must be now."""
    policy = load(ROOT / "policy.yaml")
    return {
        DATA / "accounts.json": _text(accounts(policy)),
        DATA / "cosmos.json": _text(cosmos(policy)),
        DATA / "roles.json": _text(roles(policy)),
        DATA / "log.json": f'{{"immutableDays": {immutable_days(policy)}}}\n',
    }


# ---------------------------------------------------------------- stores


def accounts(policy: Policy) -> dict[str, Any]:
    """The storage accounts, by the name that the settings know them by, each with its containers."""
    governed = {c.store.container: c.store.account for c in policy.categories if isinstance(c.store, BlobStore)}
    own = {each.name: each.account.removeprefix("BLOB_").lower() for each in OWN_CONTAINERS}
    placed = governed | own | {"exports": "exports"}
    holds = {
        "data": "governed blobs",
        "backup": "backup sets",
        "state": "the pipeline's own documents",
        "ledger": "the audit log and the register",
        "exports": "exports of people's data",
    }
    return {
        name: {"holds": text, "containers": [each for each, account in placed.items() if account == name]}
        for name, text in holds.items()
    }


def cosmos(policy: Policy) -> list[dict[str, Any]]:
    """Every governed container of Cosmos DB: its partition key, and the paths that the pipeline's queries read."""
    found: dict[str, dict[str, Any]] = {}
    for category in policy.categories:
        if isinstance(category.store, CosmosStore):
            place = category.store
            entry = found.setdefault(
                place.container, {"name": place.container, "partitionKey": place.partition_key, "indexed": []}
            )
            entry["indexed"] = sorted({*entry["indexed"], *_queried(category)})
    return list(found.values())


def _queried(category: Category) -> Iterator[str]:
    for rule in category.rules:
        if isinstance(rule.start, Field | YearEnd):
            yield f"/{rule.start.field}/?"
        if isinstance(rule.start, Empty):
            yield f"/{rule.start.field}/[]/?"
        if rule.where is not None:
            yield f"/{rule.where.field}/?"
    for finder in category.find.values():
        if isinstance(finder, FieldIs):
            yield f"/{finder.field}/?"
        if isinstance(finder, Member):
            yield f"/{finder.field}/[]/?"
    if category.identifies is not None:
        yield f"/{category.identifies.email}/?"


def immutable_days(policy: Policy) -> int:
    """How long nothing of the log may be altered: as old as its youngest entry can be when the policy drops its year.

    More would keep the log beyond its own promise, less would let its end be altered. 0 where nothing drops it.
    """
    for category in policy.enforced():
        if isinstance(category.store, OwnStore) and category.store.container == "audit-log":
            starts = [datetime(year, 1, 1, tzinfo=UTC) for year in range(2026, 2066)]
            return min((rule.period.after(each) - each).days for rule in category.rules for each in starts)
    return 0


# ---------------------------------------------------------------- roles


def roles(policy: Policy) -> dict[str, Any]:
    """Definitions and assignments, by the kind of what they are on."""
    return {
        "definitions": DEFINITIONS,
        "cosmosDefinitions": COSMOS_DEFINITIONS,
        "blob": [*_governed_blobs(policy), *_own_blobs(), *_synthetic(policy, BlobStore)],
        "host": [
            _row(who, "blob-owner", "the host's locks, and the package it runs", account=f"host-{who}")
            for who in ("pipeline", "ledger", "portal")
        ],
        "settings": [
            _row(who, "cosmos-settings" if account == "cosmos" else "reader", "posture", account=account)
            for who in ("pipeline", "operators")
            for account in ("data", "backup", "state", "ledger", "cosmos")
        ],
        "bus": _bus(),
        "cosmos": [*_governed_items(policy), *_synthetic(policy, CosmosStore)],
        "vault": [
            _row("ledger", "secret-reader", "the signing seed"),
            _row("deployer", "secret-setter", "makes the seed, once"),
        ],
        "telemetry": [
            _row(who, "metrics-publisher", "Application Insights takes no keys")
            for who in ("pipeline", "ledger", "portal")
        ],
    }


def _row(who: str, role: str, why: str, **where: str) -> Row:
    return {"who": who, "role": role, **where, "why": why}


def _synthetic(policy: Policy, kind: type[BlobStore | CosmosStore]) -> Iterator[Row]:
    """Where the smoke test creates its person's records. Whoever runs it is an operator too, for all else."""
    for each in invent(policy, datetime.now(UTC)).records:
        if isinstance(each.store, kind):
            role, place = "cosmos-seeder", {"container": each.store.container}
            if isinstance(each.store, BlobStore):
                role, place = "blob-creator", {"account": each.store.account, **place}
            yield _row("smoke", role, f"the smoke test's synthetic record in {each.category}", **place)


def _governed_blobs(policy: Policy) -> Iterator[Row]:
    for category in policy.enforced():
        if isinstance(category.store, BlobStore):
            place = {"account": category.store.account, "container": category.store.container}
            yield _row("pipeline", "blob-eraser", f"{category.id}: sweeps and requests", **place)


def _own_blobs() -> Iterator[Row]:
    state = {"account": "state"}
    ledger = {"account": "ledger"}
    log, head = {**ledger, "container": "audit-log"}, {**ledger, "container": "audit-state"}
    yield _row("pipeline", "blob-writer", "the gate writes intents, and settles them", **state, container="journals")
    for own in OWN_CONTAINERS:
        if own.swept_by == "pipeline":
            account = own.account.removeprefix("BLOB_").lower()
            yield _row("pipeline", "blob-contributor", own.holds, account=account, container=own.name)
    for who in ("pipeline", "operators"):
        yield _row(who, "blob-reader", "posture looks at every container", **ledger, container="ledger-journals")
    yield _row("pipeline", "blob-reader", "how much is sealed, for requests and receipts", **log)
    yield _row("pipeline", "blob-reader", "how long the log is, for the metrics", **head)
    yield _row("ledger", "blob-clearer", "journals go once the log has their events", **state, container="journals")
    yield _row(
        "ledger", "blob-keeper", "events of its own, until the log has them", **ledger, container="ledger-journals"
    )
    yield _row("ledger", "blob-writer", "the heartbeats of its timers", **state, container="heartbeats")
    yield _row("ledger", "blob-keeper", "created, never changed; a year goes when its immutability has ended", **log)
    yield _row("ledger", "blob-writer", "head, latest checkpoint and cursor are written over", **head)
    yield _row("ledger", "blob-keeper", "staging goes, and all of a year that is dropped", **head)
    for container in ("journals", "holds", "runs", "requests", "receipts", "parking", "heartbeats"):
        yield _row("operators", "blob-reader", "retention status, request, hold, parking", **state, container=container)
    for who in ("portal", "operators", "auditors"):
        yield _row(who, "blob-reader", "the log", **log)
        yield _row(who, "blob-reader", "its latest checkpoint", **head)


def _bus() -> list[Row]:
    return [
        _row("pipeline", "bus-receiver", "intake", queue="requests"),
        _row("pipeline", "bus-sender", "a sweep of people asks for their erasure", queue="requests"),
        _row("pipeline", "bus-receiver", "the workers of requests", queue="requests-work"),
        _row("pipeline", "bus-sender", "intake and watch", queue="requests-work"),
        _row("pipeline", "bus-receiver", "the workers of slices", queue="sweeps"),
        _row("pipeline", "bus-sender", "planner, and continuations", queue="sweeps"),
        _row("pipeline", "bus-sender", "the doorbell", queue="ledger"),
        _row("ledger", "bus-receiver", "the doorbell", queue="ledger"),
        _row("ledger", "bus-sender", "when one round does not take all", queue="ledger"),
        _row("ledger", "bus-sender", "events in the log's order", topic="audit"),
        _row("operators", "bus-sender", "people act by messages", queue="requests"),
        _row("siem", "bus-receiver", "the SIEM's copy of the events", subscription="siem"),
    ]


def _governed_items(policy: Policy) -> Iterator[Row]:
    """`container` is "" where the whole account is meant."""
    for who in ("pipeline", "operators"):
        yield _row(who, "cosmos-metadata", "the SDK asks for it", container="")
    erased: set[str] = set()
    for category in policy.enforced():
        if not isinstance(category.store, CosmosStore):
            continue
        container = category.store.container
        if container not in erased and category.rules:
            erased.add(container)
            yield _row("pipeline", "cosmos-eraser", "sweeps and requests", container=container)
        if any(isinstance(finder, Member) for finder in category.find.values()):
            yield _row("pipeline", "cosmos-leaver", "a person who goes leaves the members", container=container)


# ---------------------------------------------------------------- text


def _text(value: Mapping[str, Any] | list[dict[str, Any]]) -> str:
    """JSON with one assignment or container on a line."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {json.dumps(each)}" for each in value) + "\n]\n"
    parts = []
    for key, inner in value.items():
        if isinstance(inner, list):
            rows = ",\n".join(f"    {json.dumps(each)}" for each in inner)
            parts.append(f'  "{key}": [\n{rows}\n  ]')
        else:
            parts.append(f'  "{key}": ' + json.dumps(inner, indent=2).replace("\n", "\n  "))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Write what changed."""
    for path, text in outputs().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))  # noqa: T201 - what it is called for


if __name__ == "__main__":
    main()
