"""The contract of ObjectStore, kept by the fake in memory and by Blob storage alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.storage.blob.aio import BlobServiceClient

from local import servers
from local.processes import free_port
from shared.errors import ChangedError, ExistsError, TransientError
from shared.stores.blob import BlobObjects, retry_policy
from shared.stores.interface import ObjectStore
from shared.stores.memory import MemoryObjects

NAMES = (
    "plain.json",
    "a/b/c",
    "with space and  two",
    "100%",
    "%2F is no slash, %25 no percent",
    "question?mark=1&x#fragment",
    "plus+and;semicolon",
    "quote'and\"double",
    "hjem på øya",
    "家/カメラ",
    "emoji 😀",
    "e\u0301 is not \u00e9",
)


@pytest.fixture(params=["memory", "azurite"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ObjectStore]:
    if request.param == "memory":
        yield MemoryObjects()
        return
    server = request.getfixturevalue("azurite")
    connection = servers.settings(servers.Ports(blob=server.program.port))["BLOB_STATE"]
    async with BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy()) as service:
        container = await service.create_container(f"objects-{uuid4()}")
        yield BlobObjects(container)
        await container.delete_container()


async def names(store: ObjectStore, prefix: str = "") -> list[str]:
    return [entry.name async for entry in store.list(prefix)]


async def test_what_was_created_is_read_back_byte_for_byte(store: ObjectStore) -> None:
    data = bytes(range(256)) * 5
    etag = await store.create("a", data)
    held = await store.read("a")
    assert held is not None
    assert (held.name, held.data, held.etag) == ("a", data, etag)


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    await store.create("empty", b"")
    held = await store.read("empty")
    assert held is not None
    assert held.data == b""


async def test_nothing_is_read_where_nothing_is(store: ObjectStore) -> None:
    assert await store.read("missing") is None
    assert await store.read("mis sing/100%") is None


async def test_create_refuses_a_name_that_is_taken_and_leaves_the_object_as_it_is(store: ObjectStore) -> None:
    await store.create("a", b"first")
    with pytest.raises(ExistsError):
        await store.create("a", b"second")
    held = await store.read("a")
    assert held is not None
    assert held.data == b"first"


async def test_a_name_is_free_again_after_its_object_was_deleted(store: ObjectStore) -> None:
    first = await store.create("a", b"first")
    await store.delete("a")
    assert await store.create("a", b"first") != first


async def test_replace_writes_over_the_version_that_was_read(store: ObjectStore) -> None:
    first = await store.create("a", b"first")
    second = await store.replace("a", b"second", etag=first)
    held = await store.read("a")
    assert held is not None
    assert (held.data, held.etag) == (b"second", second)
    assert second != first


async def test_replacing_by_the_same_bytes_is_a_new_version(store: ObjectStore) -> None:
    first = await store.create("a", b"same")
    assert await store.replace("a", b"same", etag=first) != first
    with pytest.raises(ChangedError):
        await store.replace("a", b"same", etag=first)


async def test_replace_refuses_another_version_and_a_missing_object(store: ObjectStore) -> None:
    first = await store.create("a", b"first")
    await store.replace("a", b"second", etag=first)
    with pytest.raises(ChangedError):
        await store.replace("a", b"third", etag=first)
    held = await store.read("a")
    assert held is not None
    assert held.data == b"second"
    with pytest.raises(ChangedError):
        await store.replace("missing", b"third", etag=first)
    assert await store.read("missing") is None


async def test_delete_without_a_version_deletes_whatever_is_there_and_is_content_with_nothing(
    store: ObjectStore,
) -> None:
    await store.create("a", b"first")
    await store.delete("a")
    assert await store.read("a") is None
    await store.delete("a")


async def test_delete_with_a_version_deletes_only_that_one(store: ObjectStore) -> None:
    first = await store.create("a", b"first")
    second = await store.replace("a", b"second", etag=first)
    with pytest.raises(ChangedError):
        await store.delete("a", etag=first)
    assert await store.read("a") is not None
    await store.delete("a", etag=second)
    assert await store.read("a") is None
    with pytest.raises(ChangedError):
        await store.delete("a", etag=second)


async def test_metadata_is_read_and_listed_as_written_and_replaced_with_the_object(store: ObjectStore) -> None:
    async def seen() -> list[Mapping[str, str]]:
        held = await store.read("a")
        assert held is not None
        return [held.metadata, *[entry.metadata async for entry in store.list()]]

    etag = await store.create("a", b"1", metadata={"state": "open", "log": "2026"})
    assert await seen() == [{"state": "open", "log": "2026"}] * 2
    etag = await store.replace("a", b"2", etag=etag, metadata={"state": "settled"})
    assert await seen() == [{"state": "settled"}] * 2
    await store.replace("a", b"3", etag=etag)
    assert await seen() == [{}] * 2


async def test_an_empty_value_of_the_metadata_is_read_and_listed_as_written(store: ObjectStore) -> None:
    etag = await store.create("a", b"", metadata={"state": "settled", "at": ""})
    [entry] = [each async for each in store.list()]
    assert entry.metadata == {"state": "settled", "at": ""}
    await store.replace("a", b"", etag=etag, metadata=entry.metadata)
    held = await store.read("a")
    assert held is not None
    assert held.metadata == {"state": "settled", "at": ""}


async def test_a_listing_gives_the_etag_that_conditions_accept(store: ObjectStore) -> None:
    created = await store.create("a", b"1")
    [entry] = [entry async for entry in store.list()]
    assert entry.etag == created
    await store.replace("a", b"2", etag=entry.etag)
    [entry] = [entry async for entry in store.list()]
    await store.delete("a", etag=entry.etag)


async def test_a_listing_is_in_the_order_of_names_whatever_the_order_of_writing(store: ObjectStore) -> None:
    for name in ("b", "a/2", "a", "a/1", "a-1", "B", "10", "9"):
        await store.create(name, b"")
    assert await names(store) == ["10", "9", "B", "a", "a-1", "a/1", "a/2", "b"]


async def test_a_listing_by_prefix_gives_names_that_begin_with_it_and_no_others(store: ObjectStore) -> None:
    for name in ("run/1", "run/2", "run", "runs/1", "100% a", "100 a"):
        await store.create(name, b"")
    assert await names(store, "run/") == ["run/1", "run/2"]
    assert await names(store, "run") == ["run", "run/1", "run/2", "runs/1"]
    assert await names(store, "100%") == ["100% a"]
    assert await names(store, "nothing") == []


async def test_objects_deleted_during_a_listing_do_not_disturb_it(store: ObjectStore) -> None:
    for name in ("a", "b", "c"):
        await store.create(name, b"")
    seen = []
    async for entry in store.list():
        seen.append(entry.name)
        await store.delete(entry.name)
    assert seen == ["a", "b", "c"]
    assert await names(store) == []


async def test_names_of_any_kind_are_kept_exactly(store: ObjectStore) -> None:
    for name in NAMES:
        etag = await store.create(name, name.encode())
        await store.replace(name, name.encode(), etag=etag)
    assert await names(store) == sorted(NAMES)
    for name in NAMES:
        held = await store.read(name)
        assert held is not None
        assert (held.name, held.data) == (name, name.encode())
        assert await names(store, name) == [name]
        await store.delete(name, etag=held.etag)
    assert await names(store) == []


async def test_times_are_aware_and_those_of_the_stores_clock(store: ObjectStore) -> None:
    before = await store.now()
    await store.create("a", b"1")
    after = await store.now()
    held = await store.read("a")
    [entry] = [entry async for entry in store.list()]
    assert held is not None
    assert before.tzinfo is not None
    assert before.microsecond == 0
    assert before <= held.modified.replace(microsecond=0) <= after
    assert entry.modified == held.modified
    assert abs(before - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_service_that_is_away_is_a_transient_error_whatever_was_asked() -> None:
    account = servers.settings(servers.Ports(blob=free_port()))["BLOB_STATE"]
    async with BlobServiceClient.from_connection_string(account, retry_total=0) as service:
        store = BlobObjects(service.get_container_client("objects"))
        calls = {
            "read": store.read("secret-name"),
            "create": store.create("secret-name", b""),
            "replace": store.replace("secret-name", b"", etag='"1"'),
            "delete": store.delete("secret-name"),
            "list": names(store),
            "now": store.now(),
        }
        for call in calls.values():
            with pytest.raises(TransientError) as caught:
                await call
            assert "secret-name" not in str(caught.value)
