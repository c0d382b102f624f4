"""A new category is rows of a policy and nothing else: a Blob layout and a Cosmos container that no code knows.

Another company's policy, the app's own functions, the local servers: the sweep takes what has expired, a person's
erasure takes what is theirs, and the log says both.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from azure.cosmos.aio import ContainerProxy
from running import fire, send, servers

from local.prepare import prepare
from local.processes import Process, free_port
from local.servers import Stack, runner
from shared import messages
from shared.config import Config
from shared.ledger.reader import Live, entries
from shared.model import utc_text
from shared.requests.documents import State
from shared.wiring import Product

NOW = datetime.now(UTC).replace(microsecond=0)
TIMERS = ("planner", "watch_journals", "watch_requests", "ledger_seal")
POLICY = """\
version: 1
organisation: Example Swimming Pool
categories:
  - id: locker-photos
    row: 1
    clause: "1"
    says: Pictures of lockers are kept for three days.
    role: controller
    legal_basis: consent
    status: enforced
    store:
      kind: blob
      account: data
      container: locker-photos
      layout: "{guest}/{seen:%Y}/week-of-{seen:%m-%d}/{locker}.png"
    belongs_to: person
    rules:
      - id: locker-photos-3-days
        start: {from: name, field: seen}
        period: P3D
    cadence: PT1M
    find:
      person: {by: name-part, field: guest}
    on_request: erase
  - id: turnstile-scans
    row: 2
    clause: "2"
    says: Passages through a turnstile are kept for two calendar months.
    role: controller
    legal_basis: contract
    status: enforced
    store: {kind: cosmos, account: main, container: turnstile-scans, partition_key: /turnstile}
    belongs_to: person
    rules:
      - id: turnstile-scans-2-months
        start: {from: field, field: passedAt}
        period: P2M
    cadence: PT1M
    find:
      person: {by: field, field: guestId}
    on_request: erase
  - id: guests
    row: 3
    clause: "3"
    says: A guest is known until the season ends.
    role: controller
    legal_basis: contract
    status: enforced
    store: {kind: cosmos, account: main, container: guests, partition_key: /guestId}
    belongs_to: person
    rules:
      - id: guests-season
        start: {from: year-end, field: joinedOn, zone: Pacific/Auckland}
        period: P0D
    cadence: PT1M
    find:
      person: {by: partition}
    identifies: {email: mail}
    on_request: erase
"""


class Pool:
    """The servers with an app under that policy."""

    def __init__(self, stack: Stack, settings: dict[str, str], app: Process) -> None:
        self.stack = stack
        self.config = Config(values=settings)
        self.app = app

    def send(self, body: bytes) -> None:
        send(self.stack.settings["ServiceBus"], body)

    def tick(self) -> None:
        fire(self.app, *TIMERS)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    policy = tmp_path / "pool.yaml"
    policy.write_text(POLICY)
    with servers(tmp_path) as stack:
        settings = {**stack.settings, "POLICY_FILE": str(policy)}
        app = Process(runner(tmp_path, free_port(), settings, manual_timers=True), tmp_path)
        try:
            yield Pool(stack, settings, app)
        finally:
            app.stop()


def photo(guest: str, days: int) -> str:
    seen = NOW - timedelta(days=days)
    return f"{guest}/{seen:%Y}/week-of-{seen:%m-%d}/17.png"


async def seed(product: Product) -> None:
    photos = product.blobs("BLOB_DATA").get_container_client("locker-photos")
    for guest in ("kim", "kims-mother"):
        for days in (0, 1, 5, 30):
            await photos.upload_blob(photo(guest, days), b"picture")
    for guest in ("kim", "kims-mother"):
        for days in (1, 20, 100):
            at = utc_text(NOW - timedelta(days=days))
            scan = {"id": f"{guest}-{days}", "turnstile": f"t{days % 3}", "guestId": guest, "passedAt": at}
            await items(product, "turnstile-scans").upsert_item(scan)
        joined = f"{NOW + timedelta(days=2):%Y-%m-%d}"  # this season's, even if a new year begins during the test
        guest_record = {"id": guest, "guestId": guest, "mail": f"{guest}@pool.example", "joinedOn": joined}
        await items(product, "guests").upsert_item(guest_record)
    past = {"id": "pat", "guestId": "pat", "mail": "pat@pool.example", "joinedOn": f"{NOW.year - 1}-12-31"}
    await items(product, "guests").upsert_item(past)


def items(product: Product, container: str) -> ContainerProxy:
    return product.stores["cosmos/main"].database.get_container_client(container)  # type: ignore[attr-defined,no-any-return]


async def left(product: Product) -> tuple[list[str], list[str]]:
    photos = product.blobs("BLOB_DATA").get_container_client("locker-photos")
    found = [name async for name in photos.list_blob_names()]
    query = "SELECT c.id FROM c"
    ids = [i["id"] for c in ("turnstile-scans", "guests") async for i in items(product, c).query_items(query)]
    return sorted(found), sorted(ids)


@pytest.mark.timeout(180)
async def test_a_category_that_no_code_knows_is_swept_and_erased_by_its_rows_in_the_policy_alone(pool: Pool) -> None:
    async with Product(pool.config) as product:
        await prepare(pool.config)
        await seed(product)
        pool.app.start()
        pool.app.wait_ready()

        async def until(photos: list[str], scans: list[str]) -> None:
            end = time.monotonic() + 60
            while await left(product) != (sorted(photos), sorted(scans)):
                assert time.monotonic() < end, pool.app.log_tail()
                pool.tick()

        await until(
            [photo(guest, days) for guest in ("kim", "kims-mother") for days in (0, 1)],
            ["kim", "kim-1", "kim-20", "kims-mother", "kims-mother-1", "kims-mother-20"],
        )
        request = uuid4()
        asked = {"requested_by": "the guest", "identity_verified_by": "the till", "received_at": NOW}
        pool.send(messages.erase(request=request, subject={"email": "Kim@pool.example"}, **asked))
        mothers = ["kims-mother", "kims-mother-1", "kims-mother-20"]
        await until([photo("kims-mother", days) for days in (0, 1)], mothers)

        year = str(datetime.now(UTC).year)
        events: list[dict] = []
        end = time.monotonic() + 60
        while "retention.request.completed" not in {event["type"] for event in events}:
            assert time.monotonic() < end, pool.app.log_tail()
            pool.tick()
            events = [event async for _, event in entries(Live(ledger=product.ledger, year=year))]
        held = await product.requests.load(str(request))
        assert held is not None
        assert held.value.state in {State.DONE, State.CLOSED}
        erased = [event["data"] for event in events if event["type"] == "retention.record.erased"]
        causes = [
            ("request" if "request" in data["cause"] else "sweep", data["category"], data["clause"]) for data in erased
        ]
        assert sorted(causes) == sorted(
            [("sweep", "locker-photos", "1")] * 4
            + [("sweep", "turnstile-scans", "2")] * 2
            + [("sweep", "guests", "3"), ("request", "guests", "3")]
            + [("request", "locker-photos", "1")] * 2
            + [("request", "turnstile-scans", "2")] * 2
        )
        assert "kim" not in json.dumps(events)
