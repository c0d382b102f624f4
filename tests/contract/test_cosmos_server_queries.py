"""Contract of the local Cosmos DB server: queries, feed ranges, sorting and paging, with the real SDK."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey
from azure.cosmos.exceptions import CosmosHttpResponseError

if TYPE_CHECKING:  # pytest itself imports the fixtures, so that their assertions are rewritten
    from cosmos_fixture import Container, Server, Wire

pytest_plugins = ["cosmos_fixture"]

LISTING = "SELECT * FROM c WHERE c.at >= @from AND c.at <= @cutoff ORDER BY c.at"
SEVERAL_TYPES: dict[str, Any] = {
    "nothing": None,
    "no": False,
    "yes": True,
    "minus": -1.5,
    "zero": 0,
    "ten": 10,
    "upper": "B",
    "lower": "a",
    "accent": "\u00e9",
}


def parameters(**values: Any) -> list[dict[str, Any]]:
    return [{"name": f"@{name.rstrip('_')}", "value": value} for name, value in values.items()]


def fill(container: ContainerProxy, count: int, homes: int = 20) -> None:
    """`count` items over `homes` partition keys; item n was written at second n."""
    for home in range(homes):
        batch = [
            (
                "create",
                ({"id": f"i{n}", "home": f"h{home}", "at": f"2026-01-01T00:{n // 60:02d}:{n % 60:02d}Z", "n": n},),
            )
            for n in range(home, count, homes)
        ]
        container.execute_item_batch(batch, partition_key=f"h{home}")


@pytest.fixture(scope="module")
def zoo(request: pytest.FixtureRequest) -> Any:
    """One partition with an item per kind of value, read by the tests of expressions."""
    from cosmos_fixture import ENDPOINT, KEY

    url = ENDPOINT or request.getfixturevalue("_shared_server").url
    with CosmosClient(url, credential=KEY, enable_endpoint_discovery=False) as client:
        database = client.create_database(f"test-zoo-{uuid.uuid4()}")
        container = database.create_container("zoo", PartitionKey("/home"))
        for name, value in SEVERAL_TYPES.items():
            container.create_item({"id": name, "home": "h", "v": value})
        container.create_item({"id": "undefined", "home": "h"})
        members = [{"userId": "u1", "role": "owner"}, {"userId": "u2", "role": "guest"}]
        address = {"city": "Oslo", "a b": {"from": 1}}
        container.create_item({"id": "deep", "home": "h", "members": members, "tags": ["x", 1], "address": address})
        yield container
        client.delete_database(database.id)


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("c.v = null", {"nothing"}),
        ("c.v = 'a'", {"lower"}),
        ('c.v = "B"', {"upper"}),
        ("c.v = 10.0", {"ten"}),
        ("c.v = -1.5", {"minus"}),
        ("c.v = @yes", {"yes"}),
        ("c.v = @object", set()),
        ("c.v = undefined", set()),
        ("c.v > 0", {"ten"}),
        ("c.v >= 0", {"zero", "ten"}),
        ("0 > c.v", {"minus"}),
        ("c.v < 'a'", {"upper"}),
        ("c.v >= 'a'", {"lower", "accent"}),
        ("c.v <= null", {"nothing"}),
        ("c.v < true", {"no"}),
        ("c.v >= false", {"no", "yes"}),
        ("c.v > -2 AND c.v < 5", {"minus", "zero"}),
        ("c.v = 0 OR c.v = 'a'", {"zero", "lower"}),
        ("c.v = 0 OR c.v = 'a' AND c.id = 'lower'", {"zero", "lower"}),
        ("(c.v = 0 OR c.v = 'a') AND c.id = 'lower'", {"lower"}),
        ("c.v IN (0, 'a', null)", {"zero", "lower", "nothing"}),
        ("c.id NOT IN ('deep', 'undefined') AND c.v >= 'B'", {"upper", "lower", "accent"}),
        ("c.id != 'deep' AND NOT IS_DEFINED(c.v)", {"undefined"}),
        ("NOT (c.id < 'y')", {"yes", "zero"}),
        ("NOT (c.v < 5)", {"ten"}),
        ("IS_NULL(c.v)", {"nothing"}),
        ("IS_STRING(c.v)", {"lower", "upper", "accent"}),
        (
            "IS_DEFINED(c.v) AND (NOT IS_STRING(c.v) OR c.v >= 'b') AND NOT IS_NULL(c.v) AND c.id IN ('ten', 'lower', 'accent')",
            {"ten", "accent"},
        ),
        ("IS_DEFINED(c.address.city)", {"deep"}),
        ("c.address.city = 'Oslo'", {"deep"}),
        ('c["address"]["a b"]["from"] = 1', {"deep"}),
        ("c.address['a b'].from = 1", {"deep"}),
        ("c.members[1].userId = 'u2'", {"deep"}),
        ("c.address = @address", {"deep"}),
        ("ARRAY_CONTAINS(c.tags, 'x') AND ARRAY_CONTAINS(c.tags, 1)", {"deep"}),
        ("ARRAY_CONTAINS(c.tags, 'X')", set()),
        ("ARRAY_CONTAINS(c.members, @member, true)", {"deep"}),
        ("ARRAY_CONTAINS(c.members, @member)", set()),
        ("NOT ARRAY_CONTAINS(c.members, @member)", {"deep"}),
        ("ARRAY_LENGTH(c.members) = 2", {"deep"}),
        ("ARRAY_LENGTH(c.members) < 2", set()),
        ("LOWER(c.v) = 'b'", {"upper"}),
        ("STRINGEQUALS(c.v, 'b', true)", {"upper"}),
        ("StringEquals(c.v, 'b')", set()),
        ("STARTSWITH(c.id, 'UN', true)", {"undefined"}),
        ("STARTSWITH(c.id, 'un')", {"undefined"}),
        ("STARTSWITH(c.id, 'UN')", set()),
        ("SUBSTRING(c.id, 0, 2) = 'un'", {"undefined"}),
        ("SUBSTRING(c.id, 4, 1) = 'n'", {"accent"}),
        ("SUBSTRING(c.id, 3, 100) = 'hing'", {"nothing"}),
        ("SUBSTRING(c.id, 4, 1) = '' AND c.id < 'm'", {"deep"}),
        ("c.id < 'e' AND SUBSTRING(c.id, -1, 2) = '' AND SUBSTRING(c.id, 1, 0) = ''", {"accent", "deep"}),
        ("SUBSTRING(c.v, 0, 1) = 'B'", {"upper"}),
        ("SUBSTRING(c.id, 0.5, 1) = 'd' OR SUBSTRING(c.id, true, 1) = 'e' OR SUBSTRING(c.id, 0, '1') = 'd'", set()),
        ("c.v", {"yes"}),
        ("c.id = 'no' AND c._ts > 0", {"no"}),
    ],
)
def test_condition_selects_as_cosmos_db_does(zoo: ContainerProxy, condition: str, matches: set[str]) -> None:
    values = parameters(
        yes=True, object={"x": 1}, member={"userId": "u1"}, address={"a b": {"from": 1.0}, "city": "Oslo"}
    )
    text = f"SELECT VALUE c.id FROM c WHERE {condition}"
    found = list(zoo.query_items(text, parameters=values, partition_key="h"))
    assert sorted(found) == sorted(matches)
    assert sorted(zoo.query_items(text, parameters=values, enable_cross_partition_query=True)) == sorted(matches)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM c WHERE c.v != 'a'",
        "SELECT * FROM c WHERE NOT (c.v = 'a')",
        "SELECT * FROM c WHERE NOT c.v = 'a'",
        "SELECT * FROM c WHERE c.v NOT IN ('a')",
        "SELECT * FROM c WHERE c.v BETWEEN 1 AND 2",
        "SELECT * FROM c WHERE c.v LIKE 'a%'",
        "SELECT * FROM c WHERE CONTAINS(c.v, 'a')",
        "SELECT * FROM c WHERE SUBSTRING('😀', 0, 1) = 'a'",
        "SELECT * FROM c WHERE c.v + 1 = 2",
        "SELECT * FROM c WHERE (c.v ?? 1) = 2",
        "SELECT * FROM c WHERE c.v = {'a': 1}",
        "SELECT * FROM c -- why",
        "SELECT * FROM c WHERE EXISTS(SELECT VALUE m FROM m IN c.members)",
        "SELECT * FROM c JOIN m IN c.members",
        "SELECT TOP 1 * FROM c",
        "SELECT DISTINCT c.v FROM c",
        "SELECT * FROM c OFFSET 1 LIMIT 1",
        "SELECT c.v FROM c GROUP BY c.v",
        "SELECT COUNT(1) AS n FROM c",
        "SELECT VALUE MAX(c.v) FROM c",
        "SELECT VALUE COUNT(c.v) FROM c",
        "SELECT VALUE {'a': c.v} FROM c",
        "SELECT 1",
        "SELECT * FROM c ORDER BY c.v, c.id",
        "SELECT * FROM c ORDER BY LOWER(c.v)",
        "SELECT * FROM c ORDER BY c.members",
        "SELECT udf.f(c) FROM c",
    ],
)
def test_query_that_is_not_modelled_is_refused_with_501(zoo: ContainerProxy, server: Server, query: str) -> None:
    headers = {"x-ms-documentdb-isquery": "True", "x-ms-documentdb-partitionkey": '["h"]'}
    answer = server.send_signed("POST", f"{zoo.container_link}/docs", {"query": query}, headers)
    assert answer.status == 501
    assert answer.body["message"].startswith("not modelled by the local Cosmos DB server: ")


@pytest.mark.parametrize("query", ["SELECT * FROM c WHERE d.v = 1", "SELECT * FROM c WHERE c.v = @absent"])
def test_query_with_an_unknown_name_is_refused_with_400(zoo: ContainerProxy, query: str) -> None:
    with pytest.raises(CosmosHttpResponseError) as refusal:
        list(zoo.query_items(query, partition_key="h"))
    assert refusal.value.status_code == 400


def test_projections_leave_out_what_is_undefined(zoo: ContainerProxy) -> None:
    def run(text: str) -> list[Any]:
        return list(zoo.query_items(text, partition_key="h"))

    assert run("SELECT c.id, c.v, c.address.city AS place FROM c WHERE c.id IN ('deep', 'ten')") == [
        {"id": "ten", "v": 10},
        {"id": "deep", "place": "Oslo"},
    ]
    assert run("SELECT VALUE r.v FROM root r WHERE r.id IN ('ten', 'undefined')") == [10]
    assert run('SELECT c["address"]["a b"] FROM c WHERE c.id = "deep"') == [{"a b": {"from": 1}}]
    assert run("SELECT VALUE COUNT(1) FROM c WHERE IS_DEFINED(c.v)") == [len(SEVERAL_TYPES)]
    assert len(run("SELECT VALUE c FROM c")) == len(SEVERAL_TYPES) + 2


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_sorting_orders_by_type_then_value_and_leaves_out_undefined(zoo: ContainerProxy, direction: str) -> None:
    text = f"SELECT VALUE c.id FROM c ORDER BY c.v {direction}"
    pages = [list(page) for page in zoo.query_items(text, partition_key="h", max_item_count=2).by_page()]
    found = [name for page in pages for name in page]
    assert found == (list(SEVERAL_TYPES) if direction == "ASC" else list(SEVERAL_TYPES)[::-1])
    assert [len(page) for page in pages] == [2, 2, 2, 2, 1]


async def test_expired_records_are_listed_in_order_by_feed_range(
    container: Container, sync_container: ContainerProxy
) -> None:
    fill(sync_container, 600)
    values = parameters(from_="2026-01-01T00:01:00Z", cutoff="2026-01-01T00:08:59Z")
    numbers: list[int] = []
    for feed_range in await container.feed_ranges():
        pages = container.pages(LISTING, parameters=values, feed_range=feed_range, max_item_count=100)
        found = [[item["n"] for item in page] async for page in pages]
        flat = [number for page in found for number in page]
        assert flat == sorted(flat)
        assert [len(page) for page in found[:-1]] == [100] * (len(found) - 1)
        numbers += flat
    assert sorted(numbers) == list(range(60, 540))


async def test_keyset_resume_lists_everything_once(container: Container, sync_container: ContainerProxy) -> None:
    fill(sync_container, 200)
    text = "SELECT * FROM c WHERE c.at > @last AND c.at <= @cutoff ORDER BY c.at"
    numbers: list[int] = []
    for feed_range in await container.feed_ranges():
        last = ""
        while True:
            values = parameters(last=last, cutoff="2026-01-02")
            page, _ = await container.first_page(text, parameters=values, feed_range=feed_range, max_item_count=30)
            if not page:
                break
            numbers += [item["n"] for item in page]
            last = page[-1]["at"]
    assert sorted(numbers) == list(range(200))


@pytest.mark.parametrize("order", ["", "ORDER BY c.at", "ORDER BY c.at DESC"])
async def test_deleting_each_page_before_the_next_loses_nothing(
    container: Container, sync_container: ContainerProxy, order: str
) -> None:
    fill(sync_container, 300)
    text = f"SELECT * FROM c WHERE c.at < @cutoff {order}"
    values = parameters(cutoff="2026-01-01T00:04:00Z")
    deleted: list[int] = []
    for feed_range in await container.feed_ranges():
        async for page in container.pages(text, parameters=values, feed_range=feed_range, max_item_count=25):
            for home in {item["home"] for item in page}:
                operations = [("delete", (item["id"],)) for item in page if item["home"] == home]
                sync_container.execute_item_batch(operations, partition_key=home)
            deleted += [item["n"] for item in page]
    assert sorted(deleted) == list(range(240))
    left = await container.query("SELECT VALUE c.n FROM c")
    assert sorted(left) == list(range(240, 300))


async def test_continuation_token_resumes_in_a_new_query(container: Container, sync_container: ContainerProxy) -> None:
    fill(sync_container, 60, homes=1)
    text = "SELECT VALUE c.n FROM c ORDER BY c.at"
    for limit in ({"partition_key": "h0"}, {"feed_range": None}):
        for feed_range in await container.feed_ranges() if "feed_range" in limit else [None]:
            options = {**limit, **({"feed_range": feed_range} if feed_range else {}), "max_item_count": 25}
            first, token = await container.first_page(text, **options)
            rest = [page async for page in container.pages(text, continuation=token, **options)] if token else []
            assert [*first, *(n for page in rest for n in page)] in ([], list(range(60)))


def test_continuation_token_of_another_query_is_refused(sync_container: ContainerProxy) -> None:
    fill(sync_container, 20, homes=1)
    pages = sync_container.query_items("SELECT * FROM c", partition_key="h0", max_item_count=5).by_page()
    next(pages)
    with pytest.raises(CosmosHttpResponseError) as refusal:
        list(sync_container.query_items("SELECT c.id FROM c", partition_key="h0").by_page(pages.continuation_token))
    assert refusal.value.status_code == 400


@pytest.mark.parametrize("token", ["rubbish", "{}", "-", "[]"])
def test_continuation_token_that_is_none_is_refused(sync_container: ContainerProxy, token: str) -> None:
    fill(sync_container, 20, homes=1)
    with pytest.raises(CosmosHttpResponseError) as refusal:
        list(sync_container.query_items("SELECT * FROM c", partition_key="h0").by_page(token))
    assert refusal.value.status_code == 400


async def test_feed_ranges_hold_every_item_once_and_where_the_sdk_expects_it(
    container: Container, sync_container: ContainerProxy
) -> None:
    keys: list[Any] = [f"home-{n}" for n in range(40)] + [None, True, False, 0, 1, -7.25, 2**40, "", "\u00e5" * 30]
    for key in keys:
        await container.do("create_item", {"id": "x", "home": key})
    found: list[Any] = []
    for feed_range in await container.feed_ranges():
        items = await container.query("SELECT * FROM c", feed_range=feed_range)
        counted = await container.query("SELECT VALUE COUNT(1) FROM c", feed_range=feed_range)
        assert counted == [len(items)]
        for item in items:
            own = sync_container.feed_range_from_partition_key(item["home"])
            assert sync_container.is_feed_range_subset(feed_range, own)
        assert len(items) > 5
        found += [item["home"] for item in items]
    assert sorted(map(repr, found)) == sorted(map(repr, keys))
    alone = await container.query("SELECT * FROM c", feed_range=sync_container.feed_range_from_partition_key("home-3"))
    assert [item["home"] for item in alone] == ["home-3"]


def test_number_of_feed_ranges_is_the_servers_setting(start_server: Any) -> None:
    from cosmos_fixture import KEY

    server = start_server(ranges=5)
    with CosmosClient(server.url, credential=KEY, enable_endpoint_discovery=False) as client:
        container = client.create_database("d").create_container("c", PartitionKey("/home"))
        fill(container, 200, homes=100)
        ranges = list(container.read_feed_ranges())
        assert len(ranges) == 5
        counts = [next(container.query_items("SELECT VALUE COUNT(1) FROM c", feed_range=one)) for one in ranges]
        assert sum(counts) == 200
        assert min(counts) > 0
        everything = {"min": "", "max": "FF"}
        assert (ranges[0]["Range"]["min"], ranges[-1]["Range"]["max"]) == tuple(everything.values())


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM c ORDER BY c.at",
        "SELECT VALUE COUNT(1) FROM c",
        "SELECT DISTINCT c.home FROM c",
        "SELECT TOP 3 * FROM c",
        "SELECT * FROM c OFFSET 1 LIMIT 1",
        "SELECT c.home FROM c GROUP BY c.home",
    ],
)
async def test_what_needs_a_query_plan_across_partitions_is_refused(
    container: Container, server: Server, wire: Wire, query: str
) -> None:
    headers = {"x-ms-documentdb-isquery": "True", "x-ms-documentdb-query-enablecrosspartition": "True"}
    path = f"{container.proxy.container_link}/docs"
    answer = wire.send_signed("POST", path, {"query": query}, headers)
    assert (answer.status, answer.headers["x-ms-substatus"]) == (400, "1004")
    with pytest.raises(CosmosHttpResponseError) as refusal:
        await container.query(query)
    assert refusal.value.status_code == 501


def test_query_across_partitions_must_be_allowed(sync_container: ContainerProxy) -> None:
    with pytest.raises(CosmosHttpResponseError) as refusal:
        list(sync_container.query_items("SELECT * FROM c"))
    assert refusal.value.status_code == 400


def test_sorting_under_a_custom_indexing_policy_is_refused(
    client: CosmosClient, server: Server, database_name: str
) -> None:
    policy = {"includedPaths": [{"path": "/at/?"}], "excludedPaths": [{"path": "/*"}]}
    database = client.get_database_client(database_name)
    container = database.create_container("custom", PartitionKey("/home"), indexing_policy=policy)
    assert list(container.query_items("SELECT * FROM c WHERE c.at = 1", partition_key="h")) == []
    with pytest.raises(CosmosHttpResponseError) as refusal:
        list(container.query_items("SELECT * FROM c ORDER BY c.at", partition_key="h"))
    assert refusal.value.status_code == 501
