"""Raw bytes at the local servers' own sockets: none hangs, none ends a server or fills its memory, the next client is served.

What a client claims and does not send (a frame of 4 GB, a body of 10 GB, headers without end), what is no HTTP or AMQP at
all, and recorded traffic with bytes changed anywhere.
"""

from __future__ import annotations

import errno
import random
import re
import select
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure.cosmos import CosmosClient
from azure.servicebus import ServiceBusMessage
from effort import effort
from recorded import bus_client, bus_traffic, cosmos_traffic

from local import servers
from local.cosmos import EMULATOR_KEY
from local.processes import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.processes import Process

PATIENCE = 5.0
MEMORY_KB = 150_000
AMQP = b"AMQP\x00\x01\x00\x00"
NOT_AMQP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 600,  # TLS
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"AMQP\x01\x01\x00\x00",
    b"\x00" * 100_000,
    AMQP + b"\xff\xff\xff\xff\x02\x00\x00\x00" + b"x" * 300_000,  # a frame of 4 GB
    AMQP + b"\x80\x00\x00\x00\xff\x00\x00\x00" + b"x" * 1_000,
    AMQP + b"\x00\x00\x00\x07\x02\x00\x00\x00",
    AMQP + b"\x00\x01\x00\x00\x02\x00\x00\x00" + b"\x00\x53\x10\xd0\xff\xff\xff\xff\xff\xff\xff\xff" + b"\x00" * 65_516,
    AMQP + b"\x00\x00\x00\x08\x02\x00\x00\x00" * 20_000,  # heartbeats of nobody
    b"AMQP\x03\x01\x00\x00" * 5_000,
)
NOT_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 600,
    b"\x00" * 100_000,
    b"GET " + b"/x" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%ff%00%2f HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /dbs HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"POST /dbs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /dbs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"POST /dbs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /dbs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5_000 + b"\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"* * *\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
)
UNFINISHED = (
    b"POST /dbs HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n" + b"x" * 30_000_000,  # 10 GB are told of
    b"POST /dbs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n" + b"x" * 30_000_000,
    b"GET / HTTP/1.1\r\nHost:",
)


@pytest.fixture(scope="module")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("cosmos")
    with servers.running(servers.cosmos(root, free_port()), root) as process:
        yield process


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("bus")
    with servers.running(servers.servicebus(root, free_port()), root) as process:
        yield process


def throw(port: int, data: bytes, *, is_whole: bool) -> bytes:
    """Send bytes and hang up half; what came back until the server hung up, which it must do in time."""
    got = b""
    with socket.create_connection((HOST, port), timeout=PATIENCE) as client:
        try:
            client.sendall(data)
            if is_whole:
                client.shutdown(socket.SHUT_WR)
        except OSError as error:  # the server was faster: it had enough of it
            if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:
                raise
        end = time.monotonic() + (PATIENCE if is_whole else 0.1)
        while select.select([client], [], [], max(0, end - time.monotonic()))[0]:
            try:
                part = client.recv(65_536)
            except ConnectionError:
                return got
            if not part:
                return got
            got += part
    assert not is_whole, "the server neither answers nor hangs up"
    return got


def spoilt(streams: list[bytes], seed: int) -> bytes:
    chance = random.Random(seed)
    raw = bytearray(chance.choice(streams))
    for _ in range(chance.choice((1, 2, 8))):
        at = chance.randrange(len(raw) + 1)
        raw[at : at + chance.randrange(3)] = chance.choice(
            (b"", b"\xff", b"\x00", b"\r\n", b"\r\n\r\n", chance.randbytes(4))
        )
    return bytes(raw[: chance.choice((len(raw), chance.randrange(len(raw) + 1)))])


def peak_kb(process: Process) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(found[1]) if found else 0


def check_cosmos(process: Process) -> None:
    with CosmosClient(process.url, credential=EMULATOR_KEY, enable_endpoint_discovery=False) as client:
        client.create_database_if_not_exists("good")
    assert peak_kb(process) < MEMORY_KB


def check_bus(process: Process) -> None:
    with (
        bus_client(process.program.port, retry_total=0) as client,
        client.get_queue_sender("requests") as sender,
    ):
        sender.send_messages(ServiceBusMessage("good"))
    assert peak_kb(process) < MEMORY_KB


def test_what_is_no_amqp_is_answered_or_cut_off(bus: Process) -> None:
    for data in NOT_AMQP:
        assert throw(bus.program.port, data, is_whole=True)[:4] in {b"", b"AMQP"}
    check_bus(bus)


def test_what_is_no_http_is_answered_with_an_error_or_cut_off(cosmos: Process) -> None:
    for data in NOT_HTTP:
        answer = throw(cosmos.program.port, data, is_whole=True)
        assert re.match(rb"(HTTP/1\.[01] [45]\d\d |$)", answer), data[:80]
        assert b" 500 " not in answer[:20], data[:80]
    for data in UNFINISHED:
        throw(cosmos.program.port, data, is_whole=False)
    check_cosmos(cosmos)


def test_spoilt_bytes_of_the_sdk_leave_the_bus_serving(bus: Process) -> None:
    streams = bus_traffic(bus.program.port)
    for seed in range(effort(60, 500)):
        throw(bus.program.port, spoilt(streams, seed), is_whole=True)
    check_bus(bus)


def test_spoilt_bytes_of_the_sdk_leave_cosmos_serving(cosmos: Process) -> None:
    streams = cosmos_traffic(cosmos.program.port, EMULATOR_KEY)
    for seed in range(effort(60, 500)):
        answer = throw(cosmos.program.port, spoilt(streams, seed), is_whole=True)
        assert b"HTTP/1.1 500 " not in answer, seed
    check_cosmos(cosmos)
