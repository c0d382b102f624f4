"""The bench runs: a little of it, in processes of its own, and the delay proxy by itself."""

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.delay_proxy import delayed

ROOT = Path(__file__).parents[2]


@contextmanager
def echo() -> Iterator[int]:
    """A server on a free port that gives each connection back what it sends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    taken, _ = listening.accept()
                except OSError:
                    return
                with taken:
                    while data := taken.recv(1 << 16):
                        taken.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def before(port: int, tmp_path: Path, seconds: float) -> Iterator[int]:
    proxy = delayed(tmp_path, port, seconds)
    proxy.start()
    try:
        proxy.wait_ready()
        yield proxy.program.port
    finally:
        proxy.stop()


@contextmanager
def far(tmp_path: Path, seconds: float) -> Iterator[int]:
    with echo() as port, before(port, tmp_path, seconds) as proxied:
        yield proxied


def test_the_proxy_delays_each_way_and_changes_nothing(tmp_path: Path) -> None:
    with far(tmp_path, 0.1) as port, socket.create_connection(("127.0.0.1", port)) as client:
        for word in (b"first", b"second"):
            began = time.perf_counter()
            client.sendall(word)
            assert client.recv(100) == word
            assert time.perf_counter() - began >= 0.2


def test_the_proxy_keeps_the_bandwidth(tmp_path: Path) -> None:
    """Ten megabytes in chunks that wait for each other, each for 0.2 seconds, would take longer than ten seconds."""
    sent = bytes(range(256)) * 4096
    with far(tmp_path, 0.1) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        got = bytearray()

        def read() -> None:
            while len(got) < 10 * len(sent):
                got.extend(client.recv(1 << 16))

        reader = threading.Thread(target=read)
        reader.start()
        began = time.perf_counter()
        for _ in range(10):
            client.sendall(sent)
        reader.join()
        assert time.perf_counter() - began < 10
        assert bytes(got) == sent * 10


def test_the_end_of_a_connection_passes_the_proxy(tmp_path: Path) -> None:
    with far(tmp_path, 0.01) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"last"
        assert client.recv(100) == b""


def test_a_connection_that_breaks_ends_behind_the_proxy_too(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        before(listening.getsockname()[1], tmp_path, 0.01) as port,
    ):
        listening.accept()[0].close()  # the look whether it is ready
        with socket.create_connection(("127.0.0.1", port)) as client:
            taken, _ = listening.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing is a reset
        with taken:
            taken.settimeout(10)
            assert taken.recv(100) == b""


@pytest.mark.timeout(300)  # a dozen processes, one after the other, on a machine that tests besides
def test_a_little_of_the_bench_measures_what_the_targets_need(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "growth", "erasure", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert list(found) == ["growth", "erasure"]
    names = {figure["name"] for each in found.values() for figure in each["figures"]}
    assert {"growth/stored/2000/requests", "growth/expired/2000/memory", "erasure/10/ours", "erasure/10/raw"} <= names
    assert "Erasing a person with 10 pictures" in done.stdout
