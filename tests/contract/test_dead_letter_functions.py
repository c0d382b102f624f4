"""Dead letters, parking, heartbeats and the look at overdue data: the app's own functions on the local servers."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue
from running import Running, running

from shared import messages
from shared.config import Config
from shared.liveness import TIMERS
from shared.model import ScopeKind
from shared.requests.documents import RequestDocument, State
from shared.runs import Current, PlannedSlice, RunDocument
from shared.wiring import Product

NOW = datetime.now(UTC)
RUN = "users-20260301T120000Z-0badcafe"
REQUEST, FINISHED = str(uuid4()), str(uuid4())
QUEUES = ("sweeps", "requests-work", "ledger")


def told(world: Running, *arguments: str) -> Any:
    return json.loads(world.retention(*arguments, "--json")[1])


def dead(world: Running) -> dict[str, int]:
    """How many dead letters each queue has."""
    found = {}
    with ServiceBusClient.from_connection_string(world.stack.settings["ServiceBus"]) as client:
        for queue in QUEUES:
            with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
                found[queue] = len(receiver.peek_messages(100))
    return found


def bury(connection: str, queue: str, *bodies: bytes) -> None:
    """Send messages, and give each up as a worker that fails ten times does."""
    session = "s" if queue == "requests-work" else None
    with ServiceBusClient.from_connection_string(connection) as client:
        with client.get_queue_sender(queue) as sender:
            sender.send_messages([ServiceBusMessage(b, message_id=str(uuid4()), session_id=session) for b in bodies])
        with client.get_queue_receiver(queue, session_id=session) as receiver:
            left = len(bodies)
            while left:
                for message in receiver.receive_messages(max_message_count=left, max_wait_time=10):
                    receiver.dead_letter_message(message, reason="MaxDeliveryCountExceeded")
                    left -= 1


async def seed(config: Config) -> None:
    """A run with an unfinished slice, a request that is at work, one that is done, a picture that should be gone."""
    async with Product(config) as app:
        part = PlannedSlice(rule="users-inactive", now=NOW, bounds="")
        await app.runs.add(RunDocument(run=RUN, category="users", policy="p", started=NOW, slices=(part,)))
        await app.runs.set_current("users", Current(run=RUN, started=NOW, slices=1, queued=NOW), None)
        for request, state in ((REQUEST, State.WORKING), (FINISHED, State.DONE)):
            document = RequestDocument(
                id=request,
                type="erase",
                state=state,
                digest="0",
                received_at=NOW,
                accepted_at=NOW,
                due_at=NOW + timedelta(days=30),
                requested_by="the person",
                identity_verified_by="support",
                scope=(ScopeKind.PERSON, "anna"),
            )
            await app.requests.save(document, None)
        at = NOW - timedelta(days=9)
        pictures = app.blobs("BLOB_DATA").get_container_client("camera-snapshots")
        await pictures.upload_blob(f"{at:%Y-%m-%d}/{at:%H}/home-a/hall/{at:%H%M%S}-1.jpg", b"picture")


async def fill(config: Config) -> None:
    """The seed, and dead letters in each queue, before the app comes up."""
    await seed(config)
    bus = config.text("ServiceBus")
    slices = [messages.slice_order(category="users", run=RUN, number=0, attempt=n, hop=0) for n in (1, 2)]
    bury(bus, "sweeps", *slices, b"no message of ours")
    work = [messages.work(request=request, hop=0) for request in (REQUEST, FINISHED)]
    bury(bus, "requests-work", *work)
    bury(bus, "ledger", messages.doorbell("a"), messages.doorbell("b"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("dead"), fill) as it:
        yield it


def test_every_dead_letter_queue_is_drained_and_what_is_not_moot_is_parked(world: Running) -> None:
    world.until(lambda: dead(world) == dict.fromkeys(QUEUES, 0))
    parked = told(world, "parking", "list")["parked"]
    assert sorted((each["queue"], each["about"] or "") for each in parked) == [
        ("requests-work", REQUEST),
        ("sweeps", ""),
        ("sweeps", f"{RUN}/0"),
    ]
    log = world.app.log.read_text()
    assert log.count("ALARM a dead letter of queue") == 4
    assert "2 rings of the doorbell were dead letters" in log


def test_a_parked_message_is_shown_without_its_body_unless_asked_for_it(world: Running) -> None:
    [bad] = [each for each in told(world, "parking", "list")["parked"] if each["about"] is None]
    code, out, _ = world.retention("parking", "show", bad["id"])
    assert (code, "no message of ours" in out, bad["reason"] in out) == (0, False, True)
    assert told(world, "parking", "show", bad["id"], "--body")["body"] == "no message of ours"
    assert world.retention("parking", "show", "0" * 16)[0] == 4


def test_one_is_dismissed_by_message_and_needs_attention_no_more(world: Running) -> None:
    [bad] = [each["id"] for each in told(world, "parking", "list")["parked"] if each["about"] is None]
    assert any(bad in each["text"] for each in told(world, "status")["attention"])
    order = ("parking", "dismiss", bad, "--by", "Ola in operations", "--reason", "a test of the queue")
    printed = json.loads(world.retention(*order, "--print")[1])
    assert printed["retention"]["parked"] == bad
    assert world.retention(*order)[0] == 0
    world.until(lambda: bad not in [each["id"] for each in told(world, "parking", "list")["parked"]])
    [all_of_it] = [each for each in told(world, "parking", "list", "--all")["parked"] if each["id"] == bad]
    assert all_of_it["dismissed_at"]
    assert told(world, "parking", "show", bad)["dismissed_by"] == "Ola in operations"
    assert not any(bad in each["text"] for each in told(world, "status")["attention"])
    assert world.retention("parking", "dismiss", "0" * 16, "--by", "Ola", "--reason", "x")[0] == 4


def test_what_is_made_good_is_dismissed_by_the_watch(world: Running) -> None:
    async def finish() -> None:
        async with Product(Config(values=world.stack.settings)) as app:
            held = await app.runs.progress("users", RUN, 0)
            done = held.value.model_copy(update={"done": True})
            await app.runs.set_progress("users", RUN, 0, done, held.etag, at=NOW)

    asyncio.run(finish())
    world.fire("watch_requests")
    assert [each["about"] for each in told(world, "parking", "list")["parked"]] == [REQUEST]


def test_the_timers_leave_heartbeats_and_the_look_finds_what_should_be_gone(world: Running) -> None:
    for timer in ("watch_journals", "watch_overdue", "ledger_seal", "ledger_publish"):
        world.fire(timer)
    found = told(world, "status")
    beaten = {each["name"] for each in found["timers"] if each["last"]}
    assert beaten == {"watch_journals", "watch_requests", "watch_overdue", "ledger_seal", "ledger_publish"}
    assert {each["name"] for each in found["timers"]} == set(TIMERS)
    overdue = {each["category"]: each for each in found["look"]["categories"]}
    assert (overdue["camera-snapshots"]["count"], overdue["users"]["count"]) == (1, 0)
    assert [each["error"] for each in overdue.values() if each["error"]] == []
    assert found["dead"] is None
    code, screen, _ = world.retention("status")
    assert code == 1
    assert "ATTENTION camera-snapshots: 1 record is overdue (#overdue)" in screen


def test_a_live_look_says_it_too_and_counts_dead_letters(world: Running) -> None:
    before = told(world, "status")["look"]["at"]
    found = told(world, "status", "--look")
    assert found["look"]["at"] > before
    assert found["dead"] == {"requests": 0, "sweeps": 0, "requests-work": 0, "ledger": 0}
    assert {each["category"]: each["count"] for each in found["look"]["categories"]}["camera-snapshots"] == 1
