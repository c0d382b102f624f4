"""The whole path: a message sent with the vendor's SDK, the broker, the app's own functions, a log that verifies.

Two runners, one for each role, each with no more settings than its role has on Azure.
"""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusClient
from running import fire, of_role, send, servers

from local.prepare import prepare
from local.processes import Process, free_port
from local.servers import Stack, runner
from shared import messages
from shared.config import Config
from shared.ledger.reader import Live, entries
from shared.ledger.verify import verify
from shared.model import utc_text
from shared.requests.documents import State
from shared.wiring import Product

NOW = datetime.now(UTC).replace(microsecond=0)
TIMERS = {"pipeline": ("planner", "watch_journals", "watch_requests"), "ledger": ("ledger_seal", "ledger_publish")}


class World:
    """The servers, the two apps, and what a person in operations can do."""

    def __init__(self, stack: Stack, apps: dict[str, Process]) -> None:
        self.stack = stack
        self.apps = apps
        self.config = Config(values=stack.settings)

    def send(self, body: bytes) -> None:
        send(self.stack.settings["ServiceBus"], body)

    def tick(self) -> None:
        """Fire every timer once, as the clock would within a minute."""
        for role, names in TIMERS.items():
            fire(self.apps[role], *names)

    async def until(self, true: Callable[[Product], object], product: Product, seconds: float = 60) -> None:
        """Let the timers fire until something is true."""
        end = time.monotonic() + seconds
        while not await true(product):  # type: ignore[misc]
            assert time.monotonic() < end, self.apps["pipeline"].log_tail() + self.apps["ledger"].log_tail()
            self.tick()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("e2e")
    apps: dict[str, Process] = {}
    with servers(root) as stack:
        try:
            for role in TIMERS:
                home = root / role
                home.mkdir()
                program = runner(home, free_port(), of_role(role, stack.settings), role=role, manual_timers=True)
                apps[role] = Process(program, home)
            yield World(stack, apps)
        finally:
            for app in apps.values():
                app.stop()


async def seed(product: Product) -> None:
    """Two homes: one of Ingrid alone, one shared by Ingrid and Jonas. What has expired, and what has not."""
    blobs = product.blobs("BLOB_DATA").get_container_client("camera-snapshots")
    for home in ("home-1", "home-2"):
        for days in (0, 3, 6, 8, 12):
            at = NOW - timedelta(days=days, minutes=10)
            await blobs.upload_blob(f"{at:%Y-%m-%d}/{at:%H}/{home}/hall/{at:%H%M%S}-1.jpg", b"picture")
    backups = product.blobs("BLOB_BACKUP").get_container_client("backups")
    for days in (1, 29, 31, 40):
        at = NOW - timedelta(days=days)
        await backups.upload_blob(f"{at:%Y-%m-%dT%H%M%SZ}/users.json", b"[]")
    rows = {
        "users": [
            {"id": "ingrid", "userId": "ingrid", "email": "Ingrid@Example.test", "lastActiveAt": utc_text(NOW)},
            {"id": "jonas", "userId": "jonas", "email": "jonas@example.test", "lastActiveAt": utc_text(NOW)},
            {"id": "old", "userId": "old", "email": "old@example.test", "contractEndedAt": utc_text(NOW)},
        ],
        "homes": [
            {"id": "home-1", "homeId": "home-1", "members": ["ingrid"]},
            {"id": "home-2", "homeId": "home-2", "members": ["ingrid", "jonas"]},
            {"id": "home-3", "homeId": "home-3", "members": ["old"]},
        ],
        "devices": [
            {"id": f"{home}-gw", "homeId": home, "gatewayIp": "192.0.2.1"} for home in ("home-1", "home-2", "home-3")
        ],
        "operation-log": [
            {"id": f"{home}-{days}", "homeId": home, "userId": user, "at": utc_text(NOW - timedelta(days=days))}
            for home, user in (("home-1", "ingrid"), ("home-2", "ingrid"), ("home-2", "jonas"))
            for days in (1 if user == "ingrid" else 2, 45 if user == "ingrid" else 46)
        ],
    }
    database = product.stores["cosmos/main"].database  # type: ignore[attr-defined]
    for container, items in rows.items():
        for item in items:
            await database.get_container_client(container).upsert_item(item)


async def ids(product: Product, container: str) -> set[str]:
    database = product.stores["cosmos/main"].database  # type: ignore[attr-defined]
    found = database.get_container_client(container).query_items("SELECT c.id FROM c")
    return {item["id"] async for item in found}


async def names(product: Product, account: str, container: str) -> list[str]:
    return [b.name async for b in product.blobs(account).get_container_client(container).list_blobs()]


async def state(product: Product, request: str) -> State | None:
    held = await product.requests.load(request)
    return held.value.state if held else None


@pytest.mark.timeout(180)
async def test_the_main_job_from_a_message_to_a_verified_log(world: World) -> None:
    async with Product(world.config) as product:
        await prepare(world.config)
        await seed(product)
        for app in world.apps.values():
            app.start()
        for app in world.apps.values():
            app.wait_ready()

        # 1. the sweeps, by their timers alone
        async def swept(product: Product) -> bool:
            return (
                len(await names(product, "BLOB_DATA", "camera-snapshots")) == 6
                and len(await names(product, "BLOB_BACKUP", "backups")) == 2
                and await ids(product, "operation-log") == {"home-1-1", "home-2-1", "home-2-2"}
                and await ids(product, "users") == {"ingrid", "jonas"}
                and await ids(product, "homes") == {"home-1", "home-2"}
            )

        await world.until(swept, product)

        # 2. a raw message with the vendor's SDK erases a person; others need attention, or are parked
        request, unknown = str(uuid4()), str(uuid4())
        world.send(
            json.dumps(
                {
                    "retention": {
                        "version": 1,
                        "type": "erase",
                        "id": request,
                        "subject": {"email": "ingrid@example.TEST"},
                        "requested_by": "the customer, by phone",
                        "identity_verified_by": "customer service",
                    }
                }
            ).encode()
        )
        asked = {"requested_by": "x", "identity_verified_by": "y", "received_at": NOW}
        world.send(messages.erase(request=unknown, subject={"email": "nobody@example.test"}, **asked))
        world.send(b'{"retention": {"version": 1, "type": "erase"')

        async def answered(product: Product) -> bool:
            parked = [each async for each in product.parking.objects.list()]
            return (
                await state(product, request) == State.DONE
                and await state(product, unknown) == State.NEEDS_ATTENTION
                and len(parked) == 1
            )

        await world.until(answered, product)
        assert await ids(product, "users") == {"jonas"}
        assert await ids(product, "homes") == {"home-2"}
        assert await ids(product, "devices") == {"home-2-gw"}
        assert await ids(product, "operation-log") == {"home-2-2"}
        assert all("/home-2/" in name for name in await names(product, "BLOB_DATA", "camera-snapshots"))

        # 3. every journal reaches the log; the log verifies; nobody is named in it
        year = str(datetime.now(UTC).year)

        async def sealed(product: Product) -> bool:
            waiting = [each async for each in product.own("journals").list()]
            cursor = await product.own("audit-state").read(f"{year}/published")
            report = await verify(Live(ledger=product.ledger, year=year), product.signer(year).verifier)
            return not waiting and cursor is not None and report.sound and report.size == await head_size(product, year)

        await world.until(sealed, product)
        events = [event async for _, event in entries(Live(ledger=product.ledger, year=year))]
        erased = [e["data"]["category"] for e in events if e["type"] == "retention.record.erased"]
        assert {c: erased.count(c) for c in set(erased)} == {
            "camera-snapshots": 4 + 3,
            "backups": 2,
            "operation-log": 3 + 2,
            "users": 2,
            "homes": 2,
            "devices": 2,
        }
        mine = [
            e
            for e in events
            if (e["data"].get("cause") or {}).get("request") == request or e["data"].get("request") == request
        ]
        assert {e["type"] for e in mine} == {
            "retention.request.received",
            "retention.record.left",
            "retention.record.erased",
            "retention.request.completed",
        }
        assert {e["data"]["policy"] for e in events} == {product.policy.digest}
        text = json.dumps(events).lower()
        assert not [word for word in ("ingrid", "example.test", "home-1", "hall", "192.0.2") if word in text]

        # 4. the topic carries the same events, in the order of the log
        with (
            ServiceBusClient.from_connection_string(world.stack.settings["ServiceBus"]) as client,
            client.get_subscription_receiver("audit", "siem", max_wait_time=3) as receiver,
        ):
            published = [event for message in receiver for event in json.loads(b"".join(message.body))]
        assert [event["logindex"] for event in published] == list(range(len(events)))
        assert [event["id"] for event in published] == [event["id"] for event in events]

    # 5. nothing personal, and no body, in what the apps printed
    for app in world.apps.values():
        log = app.log.read_text()
        assert not [word for word in ("ingrid@", "example.test", "home-1", "by phone") if word in log.lower()]


async def head_size(product: Product, year: str) -> int:
    head = await product.own("audit-state").read(f"{year}/head")
    assert head is not None
    return int(json.loads(head.data)["size"])
