"""The product's own containers: the one table of them. Each is itself a row of the policy (row 23)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class OwnContainer:
    """One container of the product's own: its account's setting, its name, and which role writes to it.

    `swept_by` is whose steps let its objects go: the pipeline's sweeps, or those of the ledger alone.
    """

    account: str
    name: str
    writer: str
    holds: str
    swept_by: Literal["pipeline", "ledger"] = "pipeline"


OWN_CONTAINERS = (
    OwnContainer(
        account="BLOB_STATE",
        name="journals",
        writer="pipeline; ledger deletes",
        holds="intents, then events",
        swept_by="ledger",
    ),
    OwnContainer(account="BLOB_STATE", name="holds", writer="pipeline", holds="what must stay, who said so, why"),
    OwnContainer(account="BLOB_STATE", name="scope-keys", writer="pipeline", holds="the keys of the pseudonyms"),
    OwnContainer(account="BLOB_STATE", name="runs", writer="pipeline", holds="runs, their slices and progress"),
    OwnContainer(account="BLOB_STATE", name="requests", writer="pipeline", holds="who asked what, and how it stands"),
    OwnContainer(account="BLOB_STATE", name="receipts", writer="pipeline", holds="what a person gets, with their key"),
    OwnContainer(account="BLOB_STATE", name="parking", writer="pipeline", holds="messages that can never succeed"),
    OwnContainer(
        account="BLOB_STATE", name="heartbeats", writer="pipeline; ledger", holds="when each timer last succeeded"
    ),
    OwnContainer(account="BLOB_LEDGER", name="register", writer="pipeline", holds="erased scopes, for restores"),
    OwnContainer(
        account="BLOB_LEDGER",
        name="ledger-journals",
        writer="ledger",
        holds="events of the ledger's own",
        swept_by="ledger",
    ),
    OwnContainer(
        account="BLOB_LEDGER",
        name="audit-log",
        writer="ledger",
        holds="tiles, bundles, checkpoints (WORM)",
        swept_by="ledger",
    ),
    OwnContainer(
        account="BLOB_LEDGER",
        name="audit-state",
        writer="ledger",
        holds="head, staging, latest, cursor",
        swept_by="ledger",
    ),
)
