"""Fixtures of the Service Bus contract suite: a server as a child process, and handlers that its tests share.

With SERVICEBUS_CONNECTION the suite runs against another namespace (Azure's Standard tier, or Microsoft's emulator, which takes
`servicebus_entities.json` as its Config.json):

    SERVICEBUS_CONNECTION='Endpoint=sb://...' python -m pytest tests/contract -k servicebus_server

The namespace must have the entities of that file, all `contract-...`, for the suite alone; what an earlier run left in
them is taken away first, and other entities are not looked at. What asks for `start_bus` is then left out, because it
needs the local server itself: its kills, its files, its refusals of what Azure answers. Without the setting nothing is left out.
Opening a handler costs about half a second whatever the broker, so handlers are opened once; a test takes away what it sends.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import (
    NEXT_AVAILABLE_SESSION,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import OperationTimeoutError
from servicebus_messages import ENTITIES

ROOT = Path(__file__).parents[2]
CONNECTION = os.environ.get("SERVICEBUS_CONNECTION")
SECONDS_ELSEWHERE = 600
RETRIES = 0 if CONNECTION is None else 3  # a refusal is met once; a network is not always there at once


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the local server when the suite runs against another namespace."""
    if CONNECTION is None:
        return
    ours = [item for item in items if item.path.name.startswith("test_servicebus_server")]
    local = {item for item in ours if "start_bus" in getattr(item, "fixturenames", ())}
    config.hook.pytest_deselected(items=[*local])
    items[:] = [item for item in items if item not in local]
    for item in ours:
        item.add_marker(pytest.mark.timeout(SECONDS_ELSEWHERE))


@dataclass(kw_only=True)
class Server:
    """A local server process; `port` is the same after a restart."""

    data: Path
    entities: Path = ENTITIES
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> "Server":
        command = [sys.executable, "-m", "local.servicebus", "--data", str(self.data), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--entities", str(self.entities)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        ready = re.fullmatch(r"ready sb://127\.0\.0\.1:(\d+)\n", self.process.stdout.readline())
        if ready is None:
            raise RuntimeError(self.end()[1])
        self.port = int(ready[1])
        return self

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Send a signal if one is given; the exit code and what was on stderr."""
        assert self.process is not None
        if number is not None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    @property
    def connection(self) -> str:
        return (
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName=RootManageSharedAccessKey;"
            "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
        )


@dataclass(kw_only=True)
class Bus:
    """One client, and its handlers by entity."""

    connection: str
    client: ServiceBusClient = field(init=False)
    senders: dict[str, ServiceBusSender] = field(default_factory=dict)
    receivers: dict[tuple[str, bool], ServiceBusReceiver] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = ServiceBusClient.from_connection_string(self.connection, retry_total=RETRIES)

    def sender(self, entity: str) -> ServiceBusSender:
        if entity not in self.senders:
            topic = entity == "contract-topic"
            make = self.client.get_topic_sender if topic else self.client.get_queue_sender
            self.senders[entity] = make(entity)
        return self.senders[entity]

    def receiver(self, entity: str, *, dead: bool = False, **options: Any) -> ServiceBusReceiver:
        """A receiver of a queue or `topic/subscription`; shared, unless it has options."""
        if options or (entity, dead) not in self.receivers:
            if dead:
                options["sub_queue"] = ServiceBusSubQueue.DEAD_LETTER
            if "/" in entity:
                receiver = self.client.get_subscription_receiver(*entity.split("/"), **options)
            else:
                receiver = self.client.get_queue_receiver(entity, **options)
            if options.keys() - {"sub_queue"}:
                return receiver
            self.receivers[entity, dead] = receiver
        return self.receivers[entity, dead]

    def send(self, entity: str, *bodies: str, **properties: Any) -> None:
        messages = [ServiceBusMessage(body, **properties) for body in bodies]
        self.sender(entity).send_messages(messages if len(messages) > 1 else messages[0])

    def receive(
        self, entity: str, count: int = 1, *, dead: bool = False, seconds: float = 15
    ) -> list[ServiceBusReceivedMessage]:
        """Exactly `count` messages, locked."""
        receiver = self.receiver(entity, dead=dead)
        messages: list[ServiceBusReceivedMessage] = []
        while len(messages) < count:
            more = receiver.receive_messages(count - len(messages), max_wait_time=seconds)
            assert more, f"{len(messages)} of {count} messages"
            messages += more
        return messages

    def is_empty(self, entity: str, *, dead: bool = False) -> bool:
        return not self.receiver(entity, dead=dead).peek_messages(1, sequence_number=1)

    def close(self) -> None:
        with ThreadPoolExecutor() as pool:  # half a second each
            list(pool.map(lambda handler: handler.close(), (*self.senders.values(), *self.receivers.values())))
        self.client.close()


@pytest.fixture
def start_bus(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts local servers of the test's own, with their data in one folder."""
    servers: list[Server] = []

    def start(**options: Any) -> Server:
        server = Server(**{"data": tmp_path / "data", **options})
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.kill()


@pytest.fixture
def connect() -> Iterator[Callable[[Server], Bus]]:
    """Makes clients of the test's own servers."""
    buses: list[Bus] = []

    def connect(server: Server) -> Bus:
        buses.append(Bus(connection=server.connection))
        return buses[-1]

    yield connect
    for bus in buses:
        bus.close()


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of the namespace under test."""
    if CONNECTION is not None:
        yield CONNECTION
        return
    server = Server(data=tmp_path_factory.mktemp("contract-servicebus")).start()
    yield server.connection
    assert server.end(signal.SIGTERM) == (0, "")


@pytest.fixture(scope="session")
def shared_bus(connection: str) -> Iterator[Bus]:
    bus = Bus(connection=connection)
    if CONNECTION is not None:
        _empty(bus.client)
    yield bus
    bus.close()


def _empty(client: ServiceBusClient) -> None:
    """Take away what an earlier run left in a namespace that lasts."""
    namespace = json.loads(ENTITIES.read_text())["UserConfig"]["Namespaces"][0]

    def empty_queue(queue: dict[str, Any]) -> None:
        has_sessions = queue["Properties"].get("RequiresSession", False)
        while has_sessions and _drained(client.get_queue_receiver, queue["Name"], session_id=NEXT_AVAILABLE_SESSION):
            pass
        if not has_sessions:
            _drained(client.get_queue_receiver, queue["Name"])
        _drained(client.get_queue_receiver, queue["Name"], sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    def empty_topic(topic: dict[str, Any]) -> None:
        for subscription in topic["Subscriptions"]:
            _drained(client.get_subscription_receiver, topic["Name"], subscription["Name"])

    with ThreadPoolExecutor() as pool:  # seconds each, on a network
        done = [pool.submit(empty_queue, each) for each in namespace["Queues"]]
        done += [pool.submit(empty_topic, each) for each in namespace["Topics"]]
    for each in done:
        each.result()


def _drained(get: Callable[..., ServiceBusReceiver], *names: str, **options: Any) -> bool:
    """Whether there was a receiver to be had: a session queue without messages gives none."""
    try:
        with get(*names, receive_mode="receiveanddelete", max_wait_time=2, **options) as receiver:
            while receiver.peek_messages(1, sequence_number=1) and receiver.receive_messages(100, max_wait_time=5):
                pass  # what is deferred or scheduled is seen and not had: it stays
    except OperationTimeoutError:
        return False
    return True


@pytest.fixture
def bus(shared_bus: Bus) -> Iterator[Bus]:
    """The shared handlers; what a failed test left in the queues that it used is taken away."""
    yield shared_bus
    for entity, dead in shared_bus.receivers:
        if not shared_bus.is_empty(entity, dead=dead):
            with shared_bus.receiver(entity, dead=dead, receive_mode="receiveanddelete") as receiver:
                while receiver.receive_messages(100, max_wait_time=6):
                    pass
