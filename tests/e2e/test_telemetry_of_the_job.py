"""The app at work with telemetry on: metrics and alarms arrive, and nothing of whom the work was about.

The app's own functions on the local servers, the vendor's exporter, and a stand-in of the ingestion service. What the
process logged, what the product keeps and what the console shows are searched for the same people.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from canaries import Search
from cosmos_faults import fault
from hostile import KANARI
from ingestion import Ingestion, ingestion
from running import fire, send, servers
from typer.testing import CliRunner

from cli.main import app as console
from local.prepare import prepare
from local.processes import Process, free_port
from local.servers import Stack, runner
from shared import messages
from shared.config import Config
from shared.containers import OWN_CONTAINERS
from shared.metrics import METRICS
from shared.model import utc_text
from shared.parking import entries
from shared.posture.watch import last_posture
from shared.requests.documents import State
from shared.wiring import Product

NOW = datetime.now(UTC).replace(microsecond=0)
WORK = ("planner", "watch_journals", "watch_requests", "ledger_seal", "ledger_publish")
USER, HOME, CAMERA = f"{KANARI}-ingrid-1", f"{KANARI}-villaveien-7", f"{KANARI}-garasjen-kamera"
EMAIL, ADDRESS, SAID = f"{KANARI}.ingrid@example.test", "198.51.100.7", f"{KANARI}, by phone"
SEARCH = Search([USER, HOME, CAMERA, EMAIL, ADDRESS])
"""Finds the names, ids and addresses of all that is seeded: each holds the canary's word, but for the IP address."""

LOOKS = (
    "status", "status --json", "plan", "plan --json", "request list", "request show ID", "request status ID", "hold list",
    "parking list", "parking show PARKED", "policy show", "audit verify", "status",
)  # fmt: skip
"""Commands that look; ID and PARKED are those of this test."""


class World:
    """The servers, the app with telemetry, and what it sent."""

    def __init__(self, stack: Stack, app: Process, sent: Ingestion) -> None:
        self.stack = stack
        self.app = app
        self.sent = sent

    def fire(self, timer: str) -> int:
        """The status: 500 where the function failed."""
        try:
            fire(self.app, timer)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def send(self, body: bytes) -> None:
        send(self.stack.settings["ServiceBus"], body)

    def console(self, command: str) -> tuple[int, str]:
        """What a command of the console shows, and its exit code."""
        result = CliRunner().invoke(console, shlex.split(command), env=dict(self.stack.settings))
        assert not isinstance(result.exception, Exception), result.exception
        return result.exit_code, result.output

    async def until(self, true: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not await true():
            assert time.monotonic() < end, (sent_records(self.sent), self.sent.messages)
            for timer in WORK:
                self.fire(timer)


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("telemetry")
    with servers(root) as stack, ingestion() as sent:
        values = {**stack.settings, **sent.settings, "TMPDIR": str(root), "WEBSITE_SITE_NAME": "an-app"}
        app = Process(runner(root, free_port(), values, manual_timers=True), root)
        try:
            yield World(stack, app, sent)
        finally:
            app.stop()
    assert sent.strange == []


async def seed(product: Product) -> None:
    """A home of one person, with pictures that have expired and one that has not."""
    pictures = product.blobs("BLOB_DATA").get_container_client("camera-snapshots")
    for days in (0, 8, 9):
        at = NOW - timedelta(days=days, minutes=10)
        await pictures.upload_blob(f"{at:%Y-%m-%d}/{at:%H}/{HOME}/{CAMERA}/{at:%H%M%S}-{KANARI}-fotografi.jpg", b"x")
    rows = {
        "users": {
            "id": USER,
            "userId": USER,
            "email": EMAIL.capitalize(),
            "lastActiveAt": utc_text(NOW),
        },
        "homes": {"id": HOME, "homeId": HOME, "members": [USER]},
        "devices": {"id": f"{HOME}-gw", "homeId": HOME, "gatewayIp": ADDRESS},
    }
    database = product.stores["cosmos/main"].database  # type: ignore[attr-defined]
    for container, item in rows.items():
        await database.get_container_client(container).upsert_item(item)


@pytest.mark.timeout(180)
async def test_the_job_s_metrics_and_alarms_arrive_and_nobody_is_named_in_what_is_sent(world: World) -> None:
    config = Config(values=world.stack.settings)
    async with Product(config) as product:
        await prepare(config)
        await seed(product)
        world.app.start()
        world.app.wait_ready()
        cosmos = world.stack.cosmos.url  # its SDK's errors quote paths and ids
        fault(cosmos, status=500, count=3, method="POST", path_contains="/docs")
        fault(cosmos, status=0, count=2, skip=2, method="POST", path_contains="/docs")

        async def swept() -> bool:
            return sent_records(world.sent).get(("camera-snapshots", "erased")) == 2.0

        await world.until(swept)
        request = str(uuid4())
        asked = {"requested_by": SAID, "identity_verified_by": SAID, "received_at": NOW}
        world.send(messages.erase(request=request, subject={"email": EMAIL}, **asked))
        world.send(b'{"retention": {"version": 1, "type": "erase", "subject": "kanari"')

        async def done() -> bool:
            held = await product.requests.load(request)
            return held is not None and held.value.state == State.DONE and sum(sent_records(world.sent).values()) == 7.0

        await world.until(done)
        assert world.fire("watch_metrics") < 300
        assert world.fire("watch_posture") < 300
        assert world.fire("watch_metrics") < 300
        kept = await last_posture(product.own("heartbeats"))
        await assert_nobody_is_in_what_is_kept(product)
        await assert_nobody_is_shown(world, product, request)
    assert SEARCH(world.app.log.read_text(errors="replace")) == ""

    sent = world.sent
    assert kept is not None
    assert ({"kind": "unknown"}, float(kept.unknown)) in sent.values("retention.posture")
    assert sent_records(sent) == {
        ("camera-snapshots", "erased"): 3.0,
        ("users", "erased"): 1.0,
        ("homes", "left"): 1.0,  # nobody is in it any more, so it goes too
        ("homes", "erased"): 1.0,
        ("devices", "erased"): 1.0,
    }
    assert sent.values("retention.parked")[-1] == ({}, 1.0)
    assert "planner" in {told["timer"] for told, _ in sent.values("retention.heartbeat.age")}
    assert [text for text in sent.messages if text.startswith("ALARM a message on requests was parked")]

    # Only this, and of nobody: no trace, no dependency, no request, no exception.
    assert sent.kinds == {"MetricData", "MessageData"}
    names = {point["name"] for each in sent.envelopes for point in each["data"]["baseData"].get("metrics", ())}
    assert names <= {each.name for each in METRICS}
    assert SEARCH(json.dumps(sent.envelopes)) == ""
    assert [word for word in ("example.test", "by phone") if word in json.dumps(sent.envelopes).lower()] == []


async def assert_nobody_is_in_what_is_kept(product: Product) -> None:
    """The names and metadata of all our own objects, and the content of the log, of heartbeats and of what is settled."""
    looked = Counter[str]()
    for each in OWN_CONTAINERS:
        objects = product.own(each.name)
        async for entry in objects.list():
            looked[each.name] += 1
            assert SEARCH(entry.name, entry.metadata, digests=each.name != "scope-keys") == "", each.name
            settled = entry.metadata.get("state") == "settled" and each.name == "journals"
            if settled or each.name in ("audit-log", "audit-state", "heartbeats", "scope-keys"):
                stored = await objects.read(entry.name)
                assert stored is None or SEARCH(stored.data) == "", each.name
    assert set(looked) >= {"audit-log", "audit-state", "heartbeats", "scope-keys", "requests", "parking", "runs"}


async def assert_nobody_is_shown(world: World, product: Product, request: str) -> None:
    """What the console shows unasked; what it shows when asked for names and bodies it shows, or this proves nothing."""
    [parked] = [entry.id async for entry in entries(product.own("parking"))]
    shown = {}
    for command in LOOKS:
        told = command.replace("ID", request).replace("PARKED", parked)
        shown[command] = await asyncio.to_thread(world.console, told)
        assert SEARCH(shown[command][1]) == "", command
    assert {code for code, _ in shown.values()} <= {0, 1}, shown
    for asked in (f"request show {request} --names", f"parking show {parked} --body"):
        assert SEARCH((await asyncio.to_thread(world.console, asked))[1]), asked


def sent_records(sent: Ingestion) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for told, number in sent.values("retention.records"):
        key = told["category"], told["outcome"]
        found[key] = found.get(key, 0.0) + number
    return found
