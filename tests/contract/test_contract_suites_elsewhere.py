"""The contract suites run against the servers that settings name: here local ones, started apart as if they were far away.

They are not empty: somebody else's database is there, and messages that an earlier run left in the suite's own queues.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure.cosmos import CosmosClient, PartitionKey
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from effort import LONG
from servicebus_fixture import Server as BusServer

from local import servers
from local.cosmos import EMULATOR_KEY
from local.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SOME = (
    "test_item_lives_from_create_to_delete", "test_malformed_item_is_refused_with_400", "test_batch_with_one_stale_etag",
    "test_projections_leave_out_what_is_undefined", "test_continuation_token_of_another_query_is_refused",
    "test_wrong_key_is_refused_with_401", "test_query_that_is_not_modelled", "test_everything_acknowledged_survives",
    "test_completed_message_is_gone", "test_each_subscription_gets_its_own_copy",
    "test_next_available_gives_every_receiver_another_session",
)  # fmt: skip
"""A few of either suite, and three that need the local server: those must be left out."""


@pytest.fixture
def far_cosmos(tmp_path: Path) -> Iterator[Process]:
    with servers.running(servers.cosmos(tmp_path, free_port()), tmp_path) as process:
        yield process


@pytest.fixture
def far_bus(tmp_path: Path) -> Iterator[BusServer]:
    server = BusServer(data=tmp_path / "bus").start()
    yield server
    server.kill()


def test_suites_run_elsewhere_by_settings_and_leave_what_is_there_alone(
    far_cosmos: Process, far_bus: BusServer
) -> None:
    url = far_cosmos.url
    with CosmosClient(url, credential=EMULATOR_KEY, enable_endpoint_discovery=False) as client:
        theirs = client.create_database("theirs").create_container("records", PartitionKey("/h"))
        theirs.create_item({"id": "a", "h": "h"})
    with ServiceBusClient.from_connection_string(far_bus.connection) as bus:
        for queue, session in (("contract-plain", None), ("contract-sessions", "an old one")):
            with bus.get_queue_sender(queue) as sender:
                sender.send_messages(ServiceBusMessage("left by an earlier run", session_id=session))
    settings = {"COSMOS_ENDPOINT": url, "COSMOS_KEY": EMULATOR_KEY, "SERVICEBUS_CONNECTION": far_bus.connection}
    chosen = ["-k", "server" if LONG else " or ".join(SOME)]
    suites = sorted(str(path) for kind in ("cosmos", "servicebus") for path in HERE.glob(f"test_{kind}_server*.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, *suites]
    done = subprocess.run(
        command,
        cwd=HERE.parents[1],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3_000:]
    assert "deselected" in done.stdout
    if not LONG:
        assert " 14 passed" in f" {done.stdout.splitlines()[-1]}", done.stdout
    with CosmosClient(url, credential=EMULATOR_KEY, enable_endpoint_discovery=False) as client:
        assert [each["id"] for each in client.list_databases()] == ["theirs"]
        left = client.get_database_client("theirs").get_container_client("records")
        assert left.read_item("a", "h")
