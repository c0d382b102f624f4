"""Fixtures of the Cosmos DB contract suite: a server, a fresh database per test, and one way to call either SDK.

By default the local server is started as a child process. With COSMOS_ENDPOINT and COSMOS_KEY the suite runs against
another endpoint (Azure, or Microsoft's emulator):

    COSMOS_ENDPOINT=https://NAME.documents.azure.com/ COSMOS_KEY=... python -m pytest tests/contract -k cosmos_server

It needs an account that its key may make databases in. Each test makes a database of its own with a name that is used once,
and deletes it; what else is in the account is not looked at. What asks for `server` or `start_server` is then left out,
because it needs the local server itself: its levers (clock, faults), its kills, its number of ranges, and its
refusals (501), where Azure answers. Without settings nothing is left out.
"""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey
from azure.cosmos.aio import ContainerProxy as AioContainerProxy
from azure.cosmos.aio import CosmosClient as AioCosmosClient

from local.cosmos import EMULATOR_KEY

ROOT = Path(__file__).parents[2]
ENDPOINT = os.environ.get("COSMOS_ENDPOINT")
KEY = os.environ.get("COSMOS_KEY", EMULATOR_KEY)
SECONDS_ELSEWHERE = 600  # a database and a container take Azure a while, and a small one throttles


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the local server when the suite runs against another endpoint."""
    if ENDPOINT is None:
        return
    ours = [item for item in items if item.path.name.startswith("test_cosmos_server")]
    local = {item for item in ours if {"server", "start_server"} & set(getattr(item, "fixturenames", ()))}
    config.hook.pytest_deselected(items=[*local])
    items[:] = [item for item in items if item not in local]
    for item in ours:
        item.add_marker(pytest.mark.timeout(SECONDS_ELSEWHERE))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer, for what the SDK does not show."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(kw_only=True)
class Wire:
    """Plain HTTP to an account, for what the SDK does not send or show."""

    url: str = ""

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One plain HTTP request."""
        data = None if body is None else json.dumps(body).encode()
        more = {"x-ms-version": "2020-07-15", **(headers or {})}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=more)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return Answer(status=answer.status, headers=dict(answer.headers), body=json.loads(text or "null"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(status=error.code, headers=dict(error.headers), body=json.loads(error.read() or "null"))

    def send_signed(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One plain HTTP request with the account's signature."""
        date = formatdate(usegmt=True)
        parts = path.split("/")
        is_feed = len(parts) % 2 == 1
        kind, link = (parts[-1], "/".join(parts[:-1])) if is_feed else (parts[-2], path)
        text = f"{method.lower()}\n{kind}\n{link}\n{date.lower()}\n\n"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
        token = urllib.request.quote(f"type=master&ver=1.0&sig={signature}", safe="")
        return self.send(method, path, body, {"x-ms-date": date, "authorization": token, **(headers or {})})


@dataclass(kw_only=True)
class Server(Wire):
    """A local server process on a free port."""

    data: Path
    ranges: int = 2
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        command = [sys.executable, "-m", "local.cosmos", "--data", str(self.data), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--ranges", str(self.ranges)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        ready, _, self.url = self.process.stdout.readline().strip().partition(" ")
        assert ready == "ready"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def fault(self, **order: Any) -> None:
        assert self.send("POST", "_local/faults", order).status == 200

    def faults_left(self) -> int:
        return int(self.send("GET", "_local/faults").body["to_come"])

    def move_clock(self, seconds: float) -> None:
        assert self.send("POST", "_local/clock", {"offset_seconds": seconds}).status == 200


@pytest.fixture(scope="session")
def _shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(data=tmp_path_factory.mktemp("cosmos") / "cosmos.sqlite")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(_shared_server: Server) -> Iterator[Server]:
    """The local server; its levers are put back after the test."""
    yield _shared_server
    _shared_server.send("DELETE", "_local/faults")
    _shared_server.move_clock(0)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Any]:
    """Starts servers of the test's own: on its own file, so that it can kill them."""
    started: list[Server] = []

    def start(ranges: int = 2) -> Server:
        server = Server(data=tmp_path / "own.sqlite", ranges=ranges)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> str:
    """The address to test."""
    return ENDPOINT or request.getfixturevalue("_shared_server").url


@pytest.fixture
def wire(endpoint: str) -> Wire:
    """Plain HTTP to the address to test."""
    return Wire(url=endpoint.rstrip("/") + "/")


@pytest.fixture
def client(endpoint: str) -> Iterator[CosmosClient]:
    """A synchronous client."""
    with CosmosClient(endpoint, credential=KEY, enable_endpoint_discovery=False) as client:
        yield client


class SyncContainer:
    """The synchronous SDK behind the awaitable face that the tests use."""

    def __init__(self, proxy: ContainerProxy) -> None:
        self.proxy = proxy

    async def do(self, method: str, *arguments: Any, **options: Any) -> Any:
        return getattr(self.proxy, method)(*arguments, **options)

    async def query(self, text: str, **options: Any) -> list[Any]:
        return list(self.proxy.query_items(text, **_for_sync(options)))

    async def pages(self, text: str, *, continuation: str | None = None, **options: Any) -> AsyncIterator[list[Any]]:
        for page in self.proxy.query_items(text, **_for_sync(options)).by_page(continuation):
            yield list(page)

    async def first_page(self, text: str, **options: Any) -> tuple[list[Any], str | None]:
        pages = self.proxy.query_items(text, **_for_sync(options)).by_page()
        page = next(pages, None)  # a query without results has no page
        return list(page or []), pages.continuation_token

    async def feed_ranges(self) -> list[dict[str, Any]]:
        return list(self.proxy.read_feed_ranges())


class AioContainer:
    """The asynchronous SDK."""

    def __init__(self, proxy: AioContainerProxy) -> None:
        self.proxy = proxy

    async def do(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await getattr(self.proxy, method)(*arguments, **options)

    async def query(self, text: str, **options: Any) -> list[Any]:
        return [item async for item in self.proxy.query_items(text, **options)]

    async def pages(self, text: str, *, continuation: str | None = None, **options: Any) -> AsyncIterator[list[Any]]:
        async for page in self.proxy.query_items(text, **options).by_page(continuation):
            yield [item async for item in page]

    async def first_page(self, text: str, **options: Any) -> tuple[list[Any], str | None]:
        pages = self.proxy.query_items(text, **options).by_page()
        page = await anext(pages, None)
        return [item async for item in page] if page else [], pages.continuation_token

    async def feed_ranges(self) -> list[dict[str, Any]]:
        return [entry async for entry in self.proxy.read_feed_ranges()]


def _for_sync(options: dict[str, Any]) -> dict[str, Any]:
    limited = {"partition_key", "feed_range"} & options.keys()
    return options if limited else {**options, "enable_cross_partition_query": True}


@pytest.fixture
def database_name(client: CosmosClient) -> Iterator[str]:
    """A database of the test's own."""
    name = f"test-{uuid.uuid4()}"
    client.create_database(name)
    yield name
    client.delete_database(name)


@pytest.fixture
def sync_container(client: CosmosClient, database_name: str) -> ContainerProxy:
    """An empty container, partition key ``/home``, for what does not depend on the SDK's flavour."""
    return client.get_database_client(database_name).create_container("records", PartitionKey("/home"))


Container: TypeAlias = SyncContainer | AioContainer


@pytest.fixture(params=["sync", "aio"])
async def container(
    request: pytest.FixtureRequest, endpoint: str, sync_container: ContainerProxy, database_name: str
) -> AsyncIterator[Container]:
    """The same container through either SDK."""
    if request.param == "sync":
        yield SyncContainer(sync_container)
        return
    async with AioCosmosClient(endpoint, credential=KEY, enable_endpoint_discovery=False) as client:
        yield AioContainer(client.get_database_client(database_name).get_container_client(sync_container.id))
