"""The app runs whole with exactly the rights of infra/data/roles.json, and needs each of them.

Each role's app, and the operators' command line, reach the local servers through doors that let nothing pass but what
the assignments allow (tests/rights). That this is how Azure decides is the documentation's word: see the modules there.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient
from rights import seeds
from rights.doors import Doors, behind
from rights.model import BLOBS, Rights, Seen
from running import fire, of_role, send, servers
from typer.testing import CliRunner

from cli.main import app as command_line
from local.azure.blob_server import BlobServer
from local.azure.serving import serving
from local.prepare import prepare
from local.processes import Process, free_port
from local.servers import Ports, Stack, runner, settings, settings_file
from shared import messages
from shared.config import SETTINGS, Config
from shared.liveness import TIMERS
from shared.model import Locator, Record
from shared.requests.documents import State
from shared.stores.blob_deletes import Deletes
from shared.stores.blob_versions import Versions
from shared.wiring import Product

WRITERS = ("pipeline", "ledger")
OPERATOR = "operators"
OUTSIDE = ("auditors", "siem")
PAUSE = 0.4  # seconds between two rounds of timers: the workers need the machine, too
TESTER = "smoke+operators+auditors"  # whoever runs `retention smoke` is all three
MINUTELY = tuple(name for name, interval in TIMERS.items() if interval == timedelta(minutes=1))
UNSEEN = {("data", "web-access-log"), ("backup", "backups"), ("state", "scope-keys"), ("ledger", "register")}
"""What no person may list: posture tells that its look there is unknown."""

NOT_SEEN_HERE = {
    "pipeline: blob-owner on host/host-pipeline": "the Functions host's own, and there is none here",
    "ledger: blob-owner on host/host-ledger": "the same",
    "pipeline: metrics-publisher on telemetry/": "Application Insights takes telemetry, and there is none here",
    "ledger: metrics-publisher on telemetry/": "the same",
    "ledger: secret-reader on vault/": "the platform reads the seed for the setting that refers to it",
    "pipeline: cosmos-settings on settings/cosmos": "posture reads it at the management API, which has no door here",
    "operators: cosmos-settings on settings/cosmos": "the same",
}
_CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"
ACTIONS_NOT_SEEN_HERE = {
    (
        "blob-eraser",
        f"{_CONTAINER}/read",
    ): "Reader on the account gives it too: a sweep must not stop with posture's right",
    ("blob-contributor", f"{_CONTAINER}/read"): "the same",
    ("cosmos-settings", "Microsoft.DocumentDB/databaseAccounts/read"): "asked of the management API, which has no door",
    ("secret-setter", "Microsoft.KeyVault/vaults/secrets/setSecret/action"): "the deployment's, and no door is there",
    ("secret-setter", "Microsoft.KeyVault/vaults/secrets/readMetadata/action"): "the same",
}


class World:
    """The servers, with doors before them for each role."""

    def __init__(self, root: Path, stack: Stack, doors: Doors, seen: Seen) -> None:
        self.root = root
        self.stack = stack
        self.doors = doors
        self.seen = seen
        self.settings = {who: behind(doors, stack.ports, who) for who in (*WRITERS, OPERATOR, TESTER, *OUTSIDE)}
        self.apps: dict[str, Process] = {}
        for role in WRITERS:
            home = root / role
            home.mkdir()
            program = runner(home, free_port(), of_role(role, self.settings[role]), role=role, manual_timers=True)
            self.apps[role] = Process(program, home)

    def send(self, who: str, body: bytes, queue: str = "requests") -> None:
        send(self.settings[who]["ServiceBus"], body, queue=queue, retry_total=0)

    def fire(self, *timers: str) -> None:
        for name in timers:
            fire(self.apps["ledger" if name.startswith("ledger_") else "pipeline"], name)

    async def until(self, true: Callable[[], Any], *timers: str, seconds: float = 60) -> None:
        """Let timers fire until something is true; tell what was refused if it does not come true."""
        end = time.monotonic() + seconds
        while not await true():
            if time.monotonic() > end or self.seen.refused or self.seen.unmapped:
                logs = "".join(app.log_tail() for app in self.apps.values())
                pytest.fail(f"refused: {self.seen.refused}; unmapped: {self.seen.unmapped}\n{logs}")
            await asyncio.to_thread(self.fire, *timers)
            await asyncio.sleep(PAUSE)

    def retention(self, *arguments: str, who: str = OPERATOR) -> dict[str, Any]:
        """A command as somebody, whatever its exit code says of the answer."""
        path = self.root / f"{who}.json"
        path.write_text(settings_file(self.settings[who]))
        environment = {each.name: None for each in SETTINGS if each.name in os.environ} | {
            "RETENTION_SETTINGS": str(path)
        }
        result = CliRunner().invoke(command_line, [*arguments, "--json"], env=environment)
        assert result.exit_code in {0, 1}, (arguments, result.output, result.exception)
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("rights")
    seen = Seen()
    with servers(root) as stack, Doors(Rights(), seen).open() as doors:
        world = World(root, stack, doors, seen)
        try:
            yield world
        finally:
            for app in world.apps.values():
                app.stop()


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The ids of the requests that were sent."""

    erased: str
    unknown: str


def ask(world: World) -> Sent:
    """As operators: two requests, of which one finds nobody, a hold, and a message that can never succeed."""
    sent = Sent(erased=str(uuid4()), unknown=str(uuid4()))
    asked = {"requested_by": "the person", "identity_verified_by": "support"}
    since, until = seeds.HOUR.isoformat(), (seeds.HOUR + timedelta(hours=1)).isoformat()
    visit = {"ip": seeds.VISIT_IP, "since": since, "until": until}
    subject = {"email": "ingrid@example.test"}
    for body in (
        messages.compose("hold", id=str(uuid4()), user_id="jonas", owner="legal", reason="a dispute", by="legal"),
        messages.compose("erase", id=sent.erased, subject=subject, visit=visit, **asked),
        messages.compose("erase", id=sent.unknown, subject={"email": "nobody@example.test"}, **asked),
        b'{"retention": {"version": 1, "type": "erase"',
    ):
        world.send("operators", body)
    return sent


async def work(world: World, product: Product) -> Sent:
    """Everything that the product does, from the sweeps to the dropping of an old log."""
    sent = ask(world)
    own = {
        "runs": "users/old/run", "requests": "old.json", "parking": "sweeps/old.json", "holds": "old.json",
        "register": "an earlier request.json",
    }  # fmt: skip

    async def done() -> bool:
        states = [await product.requests.load(each) for each in (sent.erased, sent.unknown)]
        left = [name for name, key in own.items() if await product.own(name).read(key)]
        return (
            [each.value.state for each in states if each] == [State.DONE, State.NEEDS_ATTENTION]
            and not left
            and len([each async for each in product.parking.objects.list()]) == 1
            and await product.keys.find(seeds.GONE) is None
            and await items(product, "users") == ["jonas"]
            and await items(product, "camera-credentials") + await items(product, "invoices") == []
            and len(await blobs(product, "BLOB_DATA", "camera-snapshots")) == 1
            and len(await blobs(product, "BLOB_DATA", "web-access-log")) == 1
            and len(await blobs(product, "BLOB_BACKUP", "backups")) == 1
        )

    await world.until(done, "planner", "watch_journals", "watch_requests", "ledger_seal")
    await let_backups_pass(product)

    async def closed() -> bool:
        held = await product.requests.load(sent.erased)
        return held is not None and held.value.state is State.CLOSED

    await world.until(closed, "ledger_seal", "requests_close")

    async def told() -> bool:
        places = [("journals", ""), ("audit-log", f"{seeds.OLD}/"), ("audit-state", f"{seeds.OLD}/")]
        return not [entry.name for name, prefix in places async for entry in product.own(name).list(prefix)]

    await world.until(told, "ledger_retire", "watch_journals", "ledger_seal", "ledger_publish")
    await asyncio.to_thread(world.fire, *TIMERS)
    return sent


async def let_backups_pass(product: Product) -> None:
    """Pretend that the backups' period is over: the last set is gone, and each request's date is past."""
    backups = product.blobs("BLOB_BACKUP").get_container_client("backups")
    for name in await blobs(product, "BLOB_BACKUP", "backups"):
        await backups.delete_blob(name)
    async for entry in product.requests.objects.list():
        held = await product.requests.load(entry.name.removesuffix(".json"))
        assert held is not None
        if held.value.state is State.DONE:
            past = held.value.model_copy(update={"in_backups_until": datetime.now(UTC) - timedelta(minutes=1)})
            await product.requests._write(past, held.etag)


async def items(product: Product, container: str) -> list[str]:
    found = product.stores["cosmos/main"].database.get_container_client(container).query_items("SELECT c.id FROM c")
    return sorted([item["id"] async for item in found])


async def blobs(product: Product, account: str, container: str) -> list[str]:
    return [each async for each in product.blobs(account).get_container_client(container).list_blob_names()]


def look(world: World, sent: Sent) -> None:
    """As people: every command that reads what they may read."""
    assert world.retention("status")["parked"] == 1
    assert {finding["kind"] for finding in world.retention("posture")["findings"]} <= {"unknown", "note"}
    assert sent.unknown in json.dumps(world.retention("request", "list"))
    world.retention("request", "show", sent.erased)
    world.retention("request", "receipt", sent.erased)
    world.retention("hold", "list")
    world.retention("parking", "list")
    for who in (OPERATOR, "auditors"):
        assert world.retention("audit", "verify", who=who)["sound"]
    with (
        ServiceBusClient.from_connection_string(world.settings["siem"]["ServiceBus"]) as client,
        client.get_subscription_receiver("audit", "siem", max_wait_time=5) as receiver,
    ):
        assert receiver.receive_messages(max_message_count=1)


async def try_out(world: World) -> None:
    """`retention smoke`, while the timers fire. Its look at versions is refused where no person may list blobs."""
    command = asyncio.create_task(asyncio.to_thread(world.retention, "smoke", "--timeout", "30", who=TESTER))
    while not command.done():
        await asyncio.to_thread(world.fire, *MINUTELY)
        await asyncio.sleep(PAUSE)
    steps = {step["step"]: step["fine"] for step in command.result()["steps"]}
    assert {name for name, fine in steps.items() if fine} >= {"timers", "person", "log"}
    met = [need for need in world.seen.refused if need.who in (TESTER, OPERATOR)]
    assert {need.place[1:] for need in met if need.who == TESTER} <= UNSEEN
    assert {need.place[1:] for need in met if need.who == OPERATOR} <= {*UNSEEN, ("data", "camera-snapshots")}
    assert {action for need in met for action in need.actions} <= {f"{BLOBS}/read"}
    world.seen.refused = [need for need in world.seen.refused if need not in met]


async def erase_versions(world: World) -> None:
    """Delete a blob with a version, for good, in an account that keeps both."""
    account = seeds.versioned_account()
    container = "camera-snapshots"
    with serving(BlobServer(account)) as url:
        port = urlsplit(url).port
        assert port is not None
        direct = settings(Ports(blob=port))["BLOB_DATA"]
        through = settings(Ports(blob=world.doors.blob("pipeline", port)))["BLOB_DATA"]
        async with BlobServiceClient.from_connection_string(direct) as service:
            await service.create_container(container)
            for content in (b"first", b"second"):
                written = await service.get_blob_client(container, "a.jpg").upload_blob(content, overwrite=True)
        where = Locator(store="blob", account="data", container=container, key="a.jpg")
        record = Record(locator=where, etag=written["etag"], category=container)
        async with BlobServiceClient.from_connection_string(through) as service:
            deletes = Deletes(service=service, concurrency=1, versions=Versions())
            assert await deletes.delete([record]) == ["deleted"]
        assert not [*account.blob(container, "a.jpg").copies()]


@pytest.mark.timeout(180)
async def test_all_the_work_is_done_with_the_rights_that_are_given_and_needs_each_of_them(world: World) -> None:
    async with Product(Config(values=world.stack.settings)) as product:
        await prepare(product.config)
        await seeds.governed(product)
        await seeds.own(product)
        await seeds.old_log(product)
        for app in world.apps.values():
            app.start()
        for app in world.apps.values():
            app.wait_ready()
        sent = await work(world, product)
    await asyncio.to_thread(look, world, sent)
    await try_out(world)
    await erase_versions(world)
    assert not world.seen.refused
    assert not world.seen.unmapped
    rights = Rights()
    whose = (*WRITERS, OPERATOR, "auditors", "siem", "smoke")
    assert {str(each) for each in rights.unused(world.seen.needs, whose)} == set(NOT_SEEN_HERE)
    assert rights.unused_actions(world.seen.needs, rights.definitions) == set(ACTIONS_NOT_SEEN_HERE)
