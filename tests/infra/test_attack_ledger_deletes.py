"""Attack: with no right but those of role ledger, have governed data and a hold deleted.

Whoever may create objects in `journals` can write an open one that names any record, with `*` for an ETag, so that it
need not have seen one: the pipeline's watch takes it for work of its own that a crash left behind. So the ledger may not.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient
from rights.doors import Doors, behind
from rights.model import Rights, Seen

from local.prepare import prepare
from local.servers import Stack
from shared.config import Config
from shared.errors import RetentionError
from shared.journal import Intent, encode
from shared.model import Locator, Record, SweepCause
from shared.wiring import Product


def place(store: str, account: str, container: str, key: str) -> Record:
    where = Locator(store=store, account=account, container=container, key=key)
    return Record(locator=where, etag="*", category=container)


def blob(values: Mapping[str, str], where: str, container: str, name: str) -> BlobClient:
    return BlobClient.from_connection_string(values[where], container, name, retry_total=0)


async def test_what_role_ledger_writes_has_no_picture_and_no_hold_deleted(stack: Stack) -> None:
    await prepare(Config(values=stack.settings))
    name, hold = f"2026-03-01/12/{uuid4()}/cam/120000-x", f"{uuid4()}.json"
    note = {"id": hold.removesuffix(".json"), "kind": "home", "target": "x", "owner": "legal", "reason": "a case"}
    picture = blob(stack.settings, "BLOB_DATA", "camera-snapshots", name)
    picture.upload_blob(b"of today")
    held = blob(stack.settings, "BLOB_STATE", "holds", hold)
    held.upload_blob(json.dumps(note))
    forged = Intent(
        id=uuid4().hex,
        cause=SweepCause(run="camera-snapshots-20260301T120000Z-00000000", slice=0),
        policy="sha256:0",
        clauses={"camera-snapshots": "4.5.1", "holds": "GDPR 17(3), 18"},
        created=datetime.now(UTC),
        records=(place("blob", "data", "camera-snapshots", name), place("own", "", "holds", hold)),
    )
    journal = blob(stack.settings, "BLOB_STATE", "journals", f"{forged.id}.json")
    seen = Seen()
    try:
        with Doors(Rights(), seen).open() as doors:
            there = blob(behind(doors, stack.ports, "ledger"), "BLOB_STATE", "journals", f"{forged.id}.json")
            with pytest.raises(HttpResponseError) as refused:
                there.upload_blob(encode(forged), overwrite=False, metadata={"state": "open"})
            assert refused.value.status_code == 403
            assert {need.who for need in seen.refused} == {"ledger"}
            async with Product(Config(values={**stack.settings, **behind(doors, stack.ports, "pipeline")})) as app:
                with suppress(RetentionError):  # to refuse it is right
                    await app.gate.recover(forged.id)  # what the timer watch_journals does, after ten minutes
        assert (picture.exists(), held.exists()) == (True, True)
    finally:
        for each in (picture, held, journal):
            if each.exists():
                each.delete_blob()
