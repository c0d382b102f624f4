"""Contract of the local Cosmos DB server: databases, containers, items and transactional batches, with the real SDK."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
from azure.core import MatchConditions
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)
from azure.cosmos.partition_key import NonePartitionKeyValue

if TYPE_CHECKING:  # pytest itself imports the fixtures, so that their assertions are rewritten
    from cosmos_fixture import Container, Wire

pytest_plugins = ["cosmos_fixture"]


def record(name: str, home: str = "h1", **more: Any) -> dict[str, Any]:
    return {"id": name, "home": home, **more}


async def test_item_lives_from_create_to_delete(container: Container) -> None:
    created = await container.do("create_item", record("a", size=1))
    assert created["_etag"]
    assert created["_ts"] > 1_700_000_000
    assert (await container.do("read_item", "a", "h1"))["size"] == 1
    replaced = await container.do("replace_item", "a", record("a", size=2))
    assert replaced["_etag"] != created["_etag"]
    assert replaced["_rid"] == created["_rid"]
    upserted = await container.do("upsert_item", record("a", size=3))
    assert upserted["_rid"] == created["_rid"]
    await container.do("delete_item", "a", "h1")
    with pytest.raises(CosmosResourceNotFoundError):
        await container.do("read_item", "a", "h1")


async def test_create_of_an_existing_item_is_refused_with_409(container: Container) -> None:
    await container.do("create_item", record("a"))
    await container.do("create_item", record("a", home="h2"))
    with pytest.raises(CosmosResourceExistsError):
        await container.do("create_item", record("a"))


@pytest.mark.parametrize("method", ["read_item", "delete_item"])
async def test_item_is_not_found_under_another_partition_key(container: Container, method: str) -> None:
    await container.do("create_item", record("a"))
    with pytest.raises(CosmosResourceNotFoundError):
        await container.do(method, "a", "h2")
    assert await container.do("read_item", "a", "h1")


@pytest.mark.parametrize("method", ["delete_item", "replace_item", "upsert_item", "patch_item"])
async def test_write_with_a_stale_etag_is_refused_with_412_and_changes_nothing(
    container: Container, method: str
) -> None:
    old = await container.do("create_item", record("a"))
    new = await container.do("upsert_item", record("a", touched=True))
    arguments = {
        "delete_item": ("a", "h1"),
        "replace_item": ("a", record("a", lost=True)),
        "upsert_item": (record("a", lost=True),),
        "patch_item": ("a", "h1", [{"op": "add", "path": "/lost", "value": True}]),
    }[method]
    with pytest.raises(CosmosAccessConditionFailedError):
        await container.do(method, *arguments, etag=old["_etag"], match_condition=MatchConditions.IfNotModified)
    assert await container.do("read_item", "a", "h1") == new
    await container.do(method, *arguments, etag=new["_etag"], match_condition=MatchConditions.IfNotModified)


async def test_conditional_write_of_a_missing_item_is_404_and_its_upsert_creates_it(container: Container) -> None:
    condition = {"etag": '"gone"', "match_condition": MatchConditions.IfNotModified}
    with pytest.raises(CosmosResourceNotFoundError):
        await container.do("delete_item", "a", "h1", **condition)
    with pytest.raises(CosmosResourceNotFoundError):
        await container.do("replace_item", "a", record("a"), **condition)
    assert await container.do("upsert_item", record("a"), **condition)


def test_read_of_an_unmodified_item_sends_no_body(sync_container: ContainerProxy) -> None:
    item = sync_container.create_item(record("a"))
    condition = {"etag": item["_etag"], "match_condition": MatchConditions.IfModified}
    assert not sync_container.read_item("a", "h1", **condition)
    sync_container.upsert_item(record("a"))
    assert sync_container.read_item("a", "h1", **condition)


def test_write_without_response_body_still_reports_its_etag(sync_container: ContainerProxy) -> None:
    written = sync_container.create_item(record("a"), no_response=True)
    assert not written
    assert written.get_response_headers()["etag"] == sync_container.read_item("a", "h1")["_etag"]


async def test_item_of_more_than_2_mb_is_refused_with_413(container: Container) -> None:
    with pytest.raises(CosmosHttpResponseError) as refusal:
        await container.do("create_item", record("a", text="x" * 2 * 1024 * 1024))
    assert refusal.value.status_code == 413
    assert await container.do("create_item", record("a", text="x" * 2_000_000))


def test_items_are_addressed_by_the_item_itself(sync_container: ContainerProxy) -> None:
    item = sync_container.create_item(record("a b+c%2F'\u00e5"))
    assert sync_container.read_item(item, "h1") == item
    replaced = sync_container.replace_item(item, {**item, "size": 2})
    sync_container.delete_item(replaced, "h1")
    with pytest.raises(CosmosResourceNotFoundError):
        sync_container.read_item(item["id"], "h1")


def test_missing_null_and_empty_partition_keys_are_three_partitions(sync_container: ContainerProxy) -> None:
    sync_container.create_item({"id": "a", "kind": "missing"})
    sync_container.create_item({"id": "a", "kind": "null", "home": None})
    sync_container.create_item({"id": "a", "kind": "empty", "home": ""})
    assert sync_container.read_item("a", NonePartitionKeyValue)["kind"] == "missing"
    assert sync_container.read_item("a", None)["kind"] == "null"
    assert sync_container.read_item("a", "")["kind"] == "empty"


@pytest.mark.parametrize("item", [{"home": "h1"}, record(""), record("a/b"), record("a", ttl=0), record("a", home={})])
def test_malformed_item_is_refused_with_400(sync_container: ContainerProxy, wire: Wire, item: Any) -> None:
    path = f"{sync_container.container_link}/docs"
    answer = wire.send_signed("POST", path, item, {"x-ms-documentdb-partitionkey": '["h1"]'})
    assert answer.status == 400
    assert list(sync_container.read_all_items()) == []


async def test_patch_changes_parts_of_an_item(container: Container) -> None:
    await container.do("create_item", record("a", size=1, tags=["x", "z"], old=1, deep={"n": 1.5}))
    operations = [
        {"op": "incr", "path": "/size", "value": 2},
        {"op": "add", "path": "/tags/1", "value": "y"},
        {"op": "add", "path": "/tags/-", "value": "end"},
        {"op": "remove", "path": "/old"},
        {"op": "replace", "path": "/deep/n", "value": 2},
        {"op": "set", "path": "/deep/~1", "value": None},
    ]
    patched = await container.do("patch_item", "a", "h1", operations)
    assert {name: patched.get(name) for name in ("size", "tags", "old", "deep")} == {
        "size": 3,
        "tags": ["x", "y", "z", "end"],
        "old": None,
        "deep": {"n": 2, "/": None},
    }


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "add", "path": "/missing/deeper", "value": 1},
        {"op": "incr", "path": "/home", "value": 1},
        {"op": "set", "path": "/home", "value": "h2"},
        {"op": "set", "path": "/id", "value": "b"},
    ],
)
def test_patch_that_cannot_be_applied_is_refused_with_400(
    sync_container: ContainerProxy, operation: dict[str, Any]
) -> None:
    item = sync_container.create_item(record("a"))
    with pytest.raises(CosmosHttpResponseError) as refusal:
        sync_container.patch_item("a", "h1", [operation])
    assert refusal.value.status_code == 400
    assert sync_container.read_item("a", "h1") == item


def test_patch_applies_only_when_its_condition_holds(sync_container: ContainerProxy) -> None:
    sync_container.create_item(record("a", size=1))
    operations = [{"op": "set", "path": "/done", "value": True}]
    with pytest.raises(CosmosAccessConditionFailedError):
        sync_container.patch_item("a", "h1", operations, filter_predicate="from c where c.size > 1")
    assert sync_container.patch_item("a", "h1", operations, filter_predicate="from c where c.size = 1")["done"]


async def test_batch_of_100_operations_is_carried_out_in_order(container: Container) -> None:
    operations: list[Any] = [("create", (record(f"i{n}"),)) for n in range(96)]
    operations += [
        ("replace", ("i0", record("i0", size=1))),
        ("upsert", (record("i1", size=1),)),
        ("read", ("i1",)),
        ("delete", ("i2",)),
    ]
    results = await container.do("execute_item_batch", operations, partition_key="h1")
    assert [result["statusCode"] for result in results] == [201] * 96 + [200, 200, 200, 204]
    assert results[98]["resourceBody"]["size"] == 1
    assert results[98]["eTag"] == results[97]["eTag"]
    assert len(await container.query("SELECT * FROM c", partition_key="h1")) == 95


async def test_batch_with_one_stale_etag_carries_out_nothing(container: Container) -> None:
    items = [await container.do("create_item", record(f"i{n}")) for n in range(3)]
    renewed = await container.do("upsert_item", record("i1", renewed=True))
    operations = [("delete", (item["id"],), {"if_match_etag": item["_etag"]}) for item in items]
    with pytest.raises(CosmosBatchOperationError) as failure:
        await container.do("execute_item_batch", operations, partition_key="h1")
    assert failure.value.status_code == 412
    assert failure.value.error_index == 1
    assert [result["statusCode"] for result in failure.value.operation_responses] == [424, 412, 424]
    assert len(await container.query("SELECT * FROM c", partition_key="h1")) == 3
    operations[1] = ("delete", ("i1",), {"if_match_etag": renewed["_etag"]})
    results = await container.do("execute_item_batch", operations, partition_key="h1")
    assert [result["statusCode"] for result in results] == [204, 204, 204]


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (("create", (record("there"),)), 409),
        (("create", (record("b", home="h2"),)), 400),
        (("delete", ("missing",)), 404),
        (("read", ("missing",)), 404),
        (("replace", ("missing", record("missing"))), 404),
    ],
)
def test_failing_operation_undoes_the_ones_before_it(
    sync_container: ContainerProxy, operation: Any, status: int
) -> None:
    sync_container.create_item(record("there"))
    with pytest.raises(CosmosBatchOperationError) as failure:
        sync_container.execute_item_batch([("create", (record("a"),)), operation], partition_key="h1")
    assert [result["statusCode"] for result in failure.value.operation_responses] == [424, status]
    assert [item["id"] for item in sync_container.read_all_items()] == ["there"]


async def test_query_in_the_session_of_a_refused_batch_sees_the_items_as_they_stand(container: Container) -> None:
    item = await container.do("create_item", record("i1"))
    await container.do("create_item", record("i2"))
    await container.do("upsert_item", record("i1", renewed=True))
    operations = [("delete", ("i1",), {"if_match_etag": item["_etag"]})]
    with pytest.raises(CosmosBatchOperationError) as failure:
        await container.do("execute_item_batch", operations, partition_key="h1")
    token = failure.value.headers.get("x-ms-session-token")
    found = await container.query("SELECT c.id, c.renewed FROM c", partition_key="h1", session_token=token)
    assert sorted((each["id"], each.get("renewed")) for each in found) == [("i1", True), ("i2", None)]


async def test_batch_tells_its_hook_of_each_answer(container: Container) -> None:
    seen: list[int] = []
    for operation in (("create", (record("a"),)), ("upsert", (record("a"),))):
        await container.do(
            "execute_item_batch",
            [operation],
            partition_key="h1",
            raw_response_hook=lambda answer: seen.append(answer.http_response.status_code),
        )
        assert seen.pop() == 200, operation
    assert seen == []


async def test_patch_in_a_batch_is_conditional_like_any_other_operation(container: Container) -> None:
    old = await container.do("create_item", record("a", members=["u1", "u2"]))
    changes = [{"op": "set", "path": "/members", "value": ["u2"]}]

    def operations() -> list[Any]:
        return [("patch", ("a", changes), {"if_match_etag": old["_etag"]})]

    await container.do("execute_item_batch", operations(), partition_key="h1")
    assert (await container.do("read_item", "a", "h1"))["members"] == ["u2"]
    with pytest.raises(CosmosBatchOperationError) as failure:
        await container.do("execute_item_batch", operations(), partition_key="h1")
    assert failure.value.status_code == 412


async def test_operations_that_were_sent_once_have_lost_their_conditions(container: Container) -> None:
    """The SDK takes the ETag out of the caller's own list: who sends it again deletes whatever is there by then."""
    old = await container.do("create_item", record("a"))
    operations = [("delete", ("a",), {"if_match_etag": old["_etag"]})]
    await container.do("execute_item_batch", operations, partition_key="h1")
    assert operations == [("delete", ("a",), {})]


async def test_batch_beyond_its_limits_is_refused_as_a_whole(container: Container) -> None:
    too_many = [("create", (record(f"i{n}"),)) for n in range(101)]
    too_large = [("create", (record(f"i{n}", text="x" * 1_100_000),)) for n in range(2)]
    for operations, status in ((too_many, 400), (too_large, 413)):
        with pytest.raises(CosmosHttpResponseError) as refusal:
            await container.do("execute_item_batch", operations, partition_key="h1")
        assert refusal.value.status_code == status
    assert await container.query("SELECT * FROM c") == []


def test_databases_and_containers_are_listed_read_and_unique(client: CosmosClient, database_name: str) -> None:
    database = client.get_database_client(database_name)
    assert database_name in {entry["id"] for entry in client.list_databases()}
    database.create_container("one", PartitionKey("/home"))
    database.create_container("two", PartitionKey("/a/b"), default_ttl=60)
    assert {entry["id"] for entry in database.list_containers()} == {"one", "two"}
    properties = database.get_container_client("two").read()
    assert properties["partitionKey"] == {"paths": ["/a/b"], "kind": "Hash", "version": 2}
    assert properties["defaultTtl"] == 60
    assert properties["indexingPolicy"]["includedPaths"] == [{"path": "/*"}]
    with pytest.raises(CosmosResourceExistsError):
        database.create_container("one", PartitionKey("/home"))
    with pytest.raises(CosmosResourceExistsError):
        client.create_database(database_name)
    with pytest.raises(CosmosResourceNotFoundError):
        database.get_container_client("three").read()


def test_creating_what_is_there_already_changes_nothing(client: CosmosClient, sync_container: ContainerProxy) -> None:
    item = sync_container.create_item(record("a"))
    database = client.create_database_if_not_exists(sync_container.container_link.split("/")[1])
    again = database.create_container_if_not_exists(sync_container.id, PartitionKey("/home"))
    assert again.read_item("a", "h1") == item
    assert database.create_container_if_not_exists("new", PartitionKey("/home")).read()["id"] == "new"


async def test_reading_a_container_tells_the_time_of_the_service(container: Container) -> None:
    seen: list[str] = []
    await container.do("read", response_hook=lambda headers, _: seen.append(headers["Date"]))
    assert abs(parsedate_to_datetime(seen[-1]).timestamp() - time.time()) < 600


@pytest.mark.parametrize(
    "operation",
    [
        lambda missing: missing.read(),
        lambda missing: missing.read_item("a", "h1"),
        lambda missing: missing.create_item(record("a")),
        lambda missing: list(missing.query_items("SELECT * FROM c", partition_key="h1")),
        lambda missing: list(missing.query_items("SELECT * FROM c", enable_cross_partition_query=True)),
        lambda missing: list(missing.read_feed_ranges()),
        lambda missing: list(missing.read_all_items()),
        lambda missing: missing.execute_item_batch([("delete", ("a",))], partition_key="h1"),
        lambda missing: missing.delete_item("a", "h1"),
    ],
)
@pytest.mark.parametrize("where", ["container", "database"])
def test_what_is_asked_of_a_missing_container_or_database_is_404(
    client: CosmosClient, database_name: str, operation: Any, where: str
) -> None:
    name = database_name if where == "container" else f"{database_name}-missing"
    with pytest.raises(CosmosResourceNotFoundError):
        operation(client.get_database_client(name).get_container_client("missing"))


def test_replacing_a_container_keeps_its_items(client: CosmosClient, sync_container: ContainerProxy) -> None:
    item = sync_container.create_item(record("a"))
    database = client.get_database_client(sync_container.container_link.split("/")[1])
    replaced = database.replace_container(sync_container, PartitionKey("/home"), default_ttl=3600)
    assert replaced.read()["defaultTtl"] == 3600
    assert sync_container.read_item("a", "h1") == item
    with pytest.raises(CosmosHttpResponseError) as refusal:
        database.replace_container(sync_container, PartitionKey("/other"))
    assert refusal.value.status_code == 400


def test_client_recovers_when_a_container_was_created_again(
    client: CosmosClient, sync_container: ContainerProxy
) -> None:
    sync_container.create_item(record("a"))
    database = client.get_database_client(sync_container.container_link.split("/")[1])
    database.delete_container(sync_container)
    database.create_container(sync_container.id, PartitionKey("/home"))
    assert list(sync_container.query_items("SELECT * FROM c", partition_key="h1")) == []
    assert sync_container.create_item(record("a"))


def test_nested_partition_key_paths_are_followed(client: CosmosClient, database_name: str) -> None:
    container = client.get_database_client(database_name).create_container("nested", PartitionKey("/a/b"))
    container.create_item({"id": "x", "a": {"b": 7}})
    assert container.read_item("x", 7)
    assert container.read_item("x", 7.0)
