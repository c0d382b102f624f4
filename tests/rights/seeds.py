"""What the stores hold before the apps start, so that each right is needed once: written past the doors, with the key.

Expired and kept records of the policy, what the product's own sweeps take (documents whose end is long past), and a log
of a year whose period is over, of which an earlier run had just begun the dropping.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger_world import RememberingTopic, event, journal

from local.azure.account import Account
from shared.holds import ENDS, Hold, HoldKind
from shared.ledger.log import append, dropped_name, ready
from shared.ledger.publish import publish
from shared.ledger.retire import Dropped
from shared.ledger.seal import seal
from shared.ledger.source import CHECKPOINT
from shared.model import Scope, ScopeKind, utc_text
from shared.wiring import Product

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=3 * 365)
OLD = str(NOW.year - 5)
VISIT_IP, OTHER_IP = "192.0.2.7", "198.51.100.1"
HOUR = (NOW - timedelta(hours=5)).replace(minute=0, second=0)
GONE = Scope(kind=ScopeKind.PERSON, id="somebody of an earlier request")


def ago(**by: int) -> str:
    return utc_text(NOW - timedelta(**by))


def rows() -> dict[str, list[dict[str, Any]]]:
    """Items by container. Ingrid lives alone in home-1, and with Jonas in home-2; Old's contract has ended."""
    return {
        "users": [
            {"id": "ingrid", "userId": "ingrid", "email": "ingrid@example.test", "lastActiveAt": ago(days=1)},
            {"id": "jonas", "userId": "jonas", "email": "jonas@example.test", "lastActiveAt": ago(days=1)},
            {"id": "old", "userId": "old", "email": "old@example.test", "contractEndedAt": ago(days=1)},
        ],
        "homes": [
            {"id": "home-1", "homeId": "home-1", "members": ["ingrid"]},
            {"id": "home-2", "homeId": "home-2", "members": ["ingrid", "jonas"]},
        ],
        "devices": [{"id": "gw", "homeId": "home-1", "gatewayIp": "192.0.2.1"}],
        "camera-credentials": [{"id": "c", "homeId": "home-2", "lastUsedAt": ago(days=9)}],
        "operation-log": [
            {"id": f"row-{n}", "homeId": "home-2", "userId": "jonas", "at": ago(days=n)} for n in (1, 45)
        ],
        "cart-sessions": [{"id": "s", "sessionId": "s", "userId": "ingrid"}],
        "course-registrations": [
            {"id": "r", "courseId": "k", "email": "ingrid@example.test", "courseEndedAt": ago(days=5)}
        ],
        "newsletter": [{"id": "n", "subscriberId": "n", "email": "x@example.test", "unsubscribedAt": ago(days=1)}],
        "invoices": [{"id": "i", "userId": "old", "issuedAt": f"{NOW.year - 7}-02-01"}],
    }


def line(ip: str, path: str) -> bytes:
    return json.dumps({"at": utc_text(HOUR + timedelta(minutes=5)), "ip": ip, "path": path}).encode() + b"\n"


async def governed(product: Product) -> None:
    """Pictures, hours of the web log, backup sets and items, expired and not."""
    data, backup = product.blobs("BLOB_DATA"), product.blobs("BLOB_BACKUP")
    for home in ("home-1", "home-2"):
        for days in (0, 8):
            at = NOW - timedelta(days=days, minutes=10)
            name = f"{at:%Y-%m-%d}/{at:%H}/{home}/hall/{at:%H%M%S}-1.jpg"
            await data.get_blob_client("camera-snapshots", name).upload_blob(b"picture")
    for hour, content in (
        (NOW - timedelta(days=20), line(OTHER_IP, "/old")),
        (HOUR, line(VISIT_IP, "/mine") + line(OTHER_IP, "/theirs")),
    ):
        await data.get_blob_client("web-access-log", f"{hour:%Y-%m-%d/%H}.jsonl").upload_blob(content)
    for days in (1, 40):
        at = NOW - timedelta(days=days)
        await backup.get_blob_client("backups", f"{at:%Y-%m-%dT%H%M%SZ}/users.json").upload_blob(b"[]")
    database = product.stores["cosmos/main"].database
    for container, items in rows().items():
        for each in items:
            await database.get_container_client(container).upsert_item(each)


async def own(product: Product) -> None:
    """What the product kept of earlier work, and what is over by now."""
    end = utc_text(LONG_AGO)
    for container, name, said in (
        ("runs", "users/old/run", {"ended_at": end}),
        ("requests", "old.json", {"state": "closed", "due_at": end, "closed_at": end}),
        ("parking", "sweeps/old.json", {"parked_at": end, "dismissed_at": end}),
    ):
        await product.own(container).create(name, b"{}", metadata=said)
    hold = Hold(id="old", kind=HoldKind.PERSON, target="", owner="", reason="", ended_at=LONG_AGO, forgotten=True)
    said = {ENDS: end, "in_force": hold.in_force.value, "forgotten": "yes"}
    await product.own("holds").create("old.json", hold.model_dump_json().encode(), metadata=said)
    await product.register.note("an earlier request", GONE, [GONE], LONG_AGO)
    await product.register.close("an earlier request", LONG_AGO)
    await product.keys.of(GONE)
    await product.keys.close(GONE, LONG_AGO)


async def old_log(product: Product) -> None:
    """A log of OLD, complete, with the marker that a run of `ledger_retire` wrote before it was interrupted.

    Without the marker it would have to be quiet for a day first.
    """
    events = [event("old", number) for number in range(300)]
    said: Mapping[str, str] = {"state": "settled", "log": OLD}
    await product.own("journals").create("old.json", journal("old", events), metadata=said)
    await append(product.ledger, OLD)
    await seal(product.ledger, OLD, product.signer(OLD))
    await publish(product.ledger, OLD, RememberingTopic())
    head = (await ready(product.ledger, OLD)).head
    note = await product.own("audit-state").read(f"{OLD}/{CHECKPOINT}")
    assert note is not None
    marker = Dropped(
        year=OLD,
        size=head.size,
        root=head.root.hex(),
        checkpoint=note.data.decode(),
        event=product.retirement._event(OLD, head, NOW),
    )
    await product.own("audit-state").create(dropped_name(OLD), marker.model_dump_json().encode())


def versioned_account() -> Account:
    """An account that makes versions and keeps the deleted, for the stand-in: Azurite has neither."""
    account = Account(name="retentiondata")
    account.settings.versioning = True
    account.settings.soft_delete_days = 7
    account.settings.permanent_delete = True
    return account
