"""The app at work with telemetry on: metrics and alarms arrive, and nothing of whom the work was about.

The app's own functions on the local servers, the vendor's exporter, and a stand-in of the ingestion service.
"""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from ingestion import Ingestion, ingestion
from running import fire, send, servers

from local.prepare import prepare
from local.processes import Process, free_port
from local.servers import Stack, runner
from shared import messages
from shared.config import Config
from shared.metrics import METRICS
from shared.model import utc_text
from shared.posture.watch import last_posture
from shared.requests.documents import State
from shared.wiring import Product

NOW = datetime.now(UTC).replace(microsecond=0)
WORK = ("planner", "watch_journals", "watch_requests", "ledger_seal", "ledger_publish")
SECRETS = ("ingrid", "villaveien", "garasjen", "kamera", "fotografi", "198.51.100")
"""Parts of the names, ids and addresses of all that is seeded."""


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
        await pictures.upload_blob(
            f"{at:%Y-%m-%d}/{at:%H}/villaveien-7/garasjen-kamera/{at:%H%M%S}-fotografi.jpg", b"x"
        )
    rows = {
        "users": {
            "id": "ingrid-1",
            "userId": "ingrid-1",
            "email": "Ingrid@Example.test",
            "lastActiveAt": utc_text(NOW),
        },
        "homes": {"id": "villaveien-7", "homeId": "villaveien-7", "members": ["ingrid-1"]},
        "devices": {"id": "villaveien-7-gw", "homeId": "villaveien-7", "gatewayIp": "198.51.100.7"},
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

        async def swept() -> bool:
            return sent_records(world.sent).get(("camera-snapshots", "erased")) == 2.0

        await world.until(swept)
        request = str(uuid4())
        asked = {"requested_by": "Ingrid, by phone", "identity_verified_by": "the caller's voice", "received_at": NOW}
        world.send(messages.erase(request=request, subject={"email": "ingrid@example.test"}, **asked))
        world.send(b'{"retention": {"version": 1, "type": "erase", "subject": "ingrid-1"')

        async def done() -> bool:
            held = await product.requests.load(request)
            return held is not None and held.value.state == State.DONE and sum(sent_records(world.sent).values()) == 7.0

        await world.until(done)
        assert world.fire("watch_metrics") < 300
        assert world.fire("watch_posture") < 300
        assert world.fire("watch_metrics") < 300
        kept = await last_posture(product.own("heartbeats"))

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
    text = json.dumps(sent.envelopes).lower()
    assert [word for word in SECRETS if word in text] == []
    assert [word for word in ("example.test", "by phone", "the caller") if word in text] == []


def sent_records(sent: Ingestion) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for told, number in sent.values("retention.records"):
        key = told["category"], told["outcome"]
        found[key] = found.get(key, 0.0) + number
    return found
