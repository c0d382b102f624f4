"""Contract of the local Cosmos DB server: durability, the clock, time to live, injected faults, and what it refuses."""

from __future__ import annotations

import json
import signal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import AzureError
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey
from azure.cosmos.exceptions import (
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

if TYPE_CHECKING:  # pytest itself imports the fixtures, so that their assertions are rewritten
    from cosmos_fixture import Container, Server

pytest_plugins = ["cosmos_fixture"]

DAY = 86_400


def record(name: str, home: str = "h1", **more: Any) -> dict[str, Any]:
    return {"id": name, "home": home, **more}


def test_what_was_acknowledged_survives_kill_9(start_server: Any) -> None:
    from cosmos_fixture import KEY

    server = start_server()
    server.move_clock(-DAY)
    with CosmosClient(server.url, credential=KEY, enable_endpoint_discovery=False) as client:
        container = client.create_database("d").create_container("c", PartitionKey("/home"))
        written = [container.create_item(record(f"i{n}")) for n in range(50)]
        container.execute_item_batch([("create", (record(f"b{n}"),)) for n in range(50)], partition_key="h1")
        container.delete_item("i0", "h1")
        sorted_before = list(container.query_items("SELECT VALUE c.id FROM c ORDER BY c.id", partition_key="h1"))
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    server = start_server()
    with CosmosClient(server.url, credential=KEY, enable_endpoint_discovery=False) as client:
        container = client.get_database_client("d").get_container_client("c")
        assert container.read_item("i1", "h1") == written[1]
        sorted_after = list(container.query_items("SELECT VALUE c.id FROM c ORDER BY c.id", partition_key="h1"))
        assert sorted_after == sorted_before
        assert len(sorted_after) == 99
        new = container.create_item(record("i0"))
        assert new["_rid"] not in {item["_rid"] for item in written}
        assert new["_ts"] < written[1]["_ts"] + DAY / 2
    assert server.send("GET", "_local/clock").body["offset_seconds"] == -DAY


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_ends_cleanly_when_told_to(start_server: Any, number: signal.Signals) -> None:
    server = start_server()
    assert server.send("GET", "_local/ready").body == {"ready": True}
    assert server.stop(number) == 0


def test_wrong_key_is_refused_with_401(server: Server) -> None:
    with pytest.raises(CosmosHttpResponseError) as refusal:
        CosmosClient(server.url, credential="d3Jvbmc=", enable_endpoint_discovery=False)
    assert refusal.value.status_code == 401
    assert server.send("GET", "dbs").status == 401


async def test_throttled_requests_are_repeated_by_the_sdk(container: Container, server: Server) -> None:
    await container.do("create_item", record("a"))
    server.fault(status=429, count=3, retry_after_ms=10, method="DELETE", path_contains="/docs/")
    await container.do("delete_item", "a", "h1")
    assert server.faults_left() == 0
    server.fault(status=429, count=2, retry_after_ms=10, method="POST", path_contains="/docs")
    assert await container.query("SELECT * FROM c", partition_key="h1") == []
    assert server.faults_left() == 0


def test_throttling_beyond_the_sdks_patience_surfaces_as_429(
    sync_container: ContainerProxy, server: Server, client: CosmosClient
) -> None:
    server.fault(status=429, count=100, retry_after_ms=1, path_contains="/docs")
    with pytest.raises(CosmosHttpResponseError) as failure:
        sync_container.create_item(record("a"))
    assert failure.value.status_code == 429
    assert failure.value.headers["x-ms-retry-after-ms"] == "1"
    assert server.send("DELETE", "_local/faults").body == {"to_come": 0}
    assert sync_container.create_item(record("a"))


async def test_throttled_batch_says_when_to_come_back(container: Container, server: Server) -> None:
    server.fault(status=429, count=100, retry_after_ms=7, method="POST", path_contains="/docs")
    with pytest.raises(CosmosHttpResponseError) as failure:
        await container.do("execute_item_batch", [("create", (record("a"),))], partition_key="h1")
    assert (failure.value.status_code, failure.value.headers["x-ms-retry-after-ms"]) == (429, "7")
    server.send("DELETE", "_local/faults")
    assert await container.query("SELECT * FROM c", partition_key="h1") == []


@pytest.mark.parametrize("status", [500, 503, 408, 449])
@pytest.mark.parametrize("applied", [True, False])
async def test_injected_error_is_answered_before_or_after_the_operation(
    container: Container, server: Server, status: int, applied: bool
) -> None:
    await container.do("create_item", record("a"))
    server.fault(status=status, method="DELETE", applied=applied)
    with pytest.raises(CosmosHttpResponseError) as failure:
        await container.do("delete_item", "a", "h1")
    assert failure.value.status_code == status
    assert len(await container.query("SELECT * FROM c", partition_key="h1")) == (0 if applied else 1)


async def test_lost_answer_to_a_delete_leaves_the_item_deleted(container: Container, server: Server) -> None:
    await container.do("create_item", record("a"))
    server.fault(status=0, method="DELETE", applied=True)
    # The synchronous SDK reports the broken connection; the asynchronous one repeats the delete and reports 404.
    with pytest.raises(AzureError):
        await container.do("delete_item", "a", "h1")
    assert server.faults_left() == 0
    with pytest.raises(CosmosResourceNotFoundError):
        await container.do("read_item", "a", "h1")


async def test_lost_answer_to_a_batch_leaves_it_carried_out(container: Container, server: Server) -> None:
    server.fault(status=0, method="POST", path_contains="/docs", applied=True)
    operations = [("create", (record("a"),)), ("create", (record("b"),))]
    with pytest.raises((AzureError, CosmosBatchOperationError)):
        await container.do("execute_item_batch", operations, partition_key="h1")
    assert len(await container.query("SELECT * FROM c", partition_key="h1")) == 2


def test_connection_dropped_before_a_read_is_repeated_by_the_sdk(
    sync_container: ContainerProxy, server: Server
) -> None:
    item = sync_container.create_item(record("a"))
    server.fault(status=0, method="GET", path_contains="/docs/")
    assert sync_container.read_item("a", "h1") == item
    assert server.faults_left() == 0


def test_fault_hits_only_what_it_names(sync_container: ContainerProxy, server: Server) -> None:
    server.fault(status=500, method="PUT")
    server.fault(status=500, path_contains="/docs/other")
    sync_container.create_item(record("a"))
    sync_container.delete_item("a", "h1")
    assert server.faults_left() == 2


@pytest.mark.parametrize(
    "order", [{}, {"status": 200}, {"status": 600}, {"status": 429, "count": 0}, {"status": 429, "unknown": 1}]
)
def test_malformed_fault_is_refused(server: Server, order: dict[str, Any]) -> None:
    assert server.send("POST", "_local/faults", order).status == 400
    assert server.faults_left() == 0


async def test_levers_are_refused_to_other_machines(tmp_path: Path) -> None:
    from local.cosmos.server import Application
    from local.cosmos.storage import Storage

    storage = Storage(tmp_path / "own.sqlite")
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"offset_seconds": 1}', "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/_local/clock", "query_string": b"", "headers": []}
    scope |= {"server": ("203.0.113.1", 80), "scheme": "http", "root_path": ""}
    for client, status in ((("203.0.113.9", 5000), 403), (("127.0.0.1", 5000), 200)):
        await Application(storage, 2)({**scope, "client": client}, receive, send)
        assert sent[-2]["status"] == status
    storage.close()
    assert json.loads(sent[1]["body"])["code"] == "Forbidden"


async def test_timestamps_and_date_follow_the_moved_clock(container: Container, server: Server) -> None:
    before = await container.do("create_item", record("a"))
    server.move_clock(3 * DAY)
    after = await container.do("create_item", record("b"))
    assert 3 * DAY <= after["_ts"] - before["_ts"] < 3 * DAY + 60
    date = parsedate_to_datetime(after.get_response_headers()["date"])
    assert 0 <= date.timestamp() - after["_ts"] < 60
    assert await container.query("SELECT VALUE c.id FROM c WHERE c._ts < @ts", parameters=[
        {"name": "@ts", "value": after["_ts"]}
    ]) == ["a"]  # fmt: skip


def test_expired_items_are_hidden_and_can_be_created_again(
    client: CosmosClient, database_name: str, server: Server
) -> None:
    database = client.get_database_client(database_name)
    container = database.create_container("expiring", PartitionKey("/home"), default_ttl=60)
    off = database.create_container("off", PartitionKey("/home"))
    for item in (record("default"), record("longer", ttl=600), record("never", ttl=-1)):
        container.create_item(item)
        off.create_item(item)
    text = "SELECT VALUE c.id FROM c ORDER BY c.id"

    def shown(one: ContainerProxy) -> list[Any]:
        return list(one.query_items(text, partition_key="h1"))

    assert shown(container) == ["default", "longer", "never"]
    server.move_clock(61)
    assert shown(container) == ["longer", "never"]
    with pytest.raises(CosmosResourceNotFoundError):
        container.read_item("default", "h1")
    with pytest.raises(CosmosResourceNotFoundError):
        container.delete_item("default", "h1")
    with pytest.raises(CosmosResourceExistsError):
        container.create_item(record("longer"))
    assert container.create_item(record("default"))
    server.move_clock(601)
    assert shown(container) == ["never"]
    assert shown(off) == ["default", "longer", "never"]


@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("GET", "sprocs"),
        ("POST", "triggers"),
        ("GET", "udfs"),
        ("GET", "conflicts"),
        ("PUT", "docs"),
        ("HEAD", "docs/a"),
    ],
)
def test_resource_that_is_not_modelled_is_refused_with_501(
    sync_container: ContainerProxy, server: Server, method: str, below: str
) -> None:
    headers = {"x-ms-documentdb-partitionkey": '["h1"]'}
    assert server.send_signed(method, f"{sync_container.container_link}/{below}", None, headers).status == 501


def test_features_that_are_not_modelled_are_refused_with_501(
    client: CosmosClient, sync_container: ContainerProxy, server: Server
) -> None:
    database = client.get_database_client(sync_container.container_link.split("/")[1])
    unique = {"uniqueKeys": [{"paths": ["/a"]}]}
    refused = [
        lambda: list(sync_container.query_items_change_feed()),
        sync_container.get_throughput,
        lambda: list(client.query_databases("SELECT * FROM c")),
        lambda: database.create_container("x", PartitionKey(["/a", "/b"])),
        lambda: database.create_container("x", PartitionKey("/a"), unique_key_policy=unique),
        lambda: sync_container.create_item(record("a"), pre_trigger_include="t"),
        lambda: sync_container.create_item(record("a", n=2**53 + 1)),
        lambda: sync_container.patch_item("a", "h1", [{"op": "move", "from": "/a", "path": "/b"}]),
    ]
    sync_container.create_item(record("a"))
    for operation in refused:
        with pytest.raises(CosmosHttpResponseError) as refusal:
            operation()
        assert refusal.value.status_code == 501
        assert "not modelled by the local Cosmos DB server: " in str(refusal.value)
    assert [item["id"] for item in sync_container.read_all_items()] == ["a"]
