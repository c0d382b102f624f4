"""The stub of the Blob service in a process of its own, and what a bench asks of it besides."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.measure import ROOT, BenchError


@dataclass(frozen=True, kw_only=True)
class StubProcess:
    """A running stub: its port, and its own doors."""

    port: int

    def counts(self) -> dict[str, int]:
        """How many requests of each kind came."""
        return {str(kind): int(number) for kind, number in json.loads(self._ask("GET", "counts")).items()}

    def forget(self) -> None:
        """Begin to count anew."""
        self._ask("DELETE", "counts")

    def fill(self, **what: int) -> None:
        """Fill the container of pictures anew: `expired`, `kept`, `homes`, `an_hour`."""
        self._ask("POST", "fill", what)

    def wait(self, milliseconds: float) -> None:
        """Let each answer wait so long from now on."""
        self._ask("POST", "latency", {"ms": milliseconds})

    def _ask(self, method: str, what: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/_stub/{what}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            return bytes(answer.read())


@contextmanager
def stub() -> Iterator[StubProcess]:
    """Run the stub as long as the block lasts."""
    command = [sys.executable, "-m", "bench.stub_blob"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            if process.stdout is None or not (line := process.stdout.readline()):
                raise BenchError("the stub did not start")
            yield StubProcess(port=int(line))
        finally:
            process.terminate()
            process.wait(10)
