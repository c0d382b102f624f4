"""Child processes that outlive the command that started them: start, probe, stop, kill, find again.

A process is known by its pid and its start time, written to `ROOT/run/NAME.json`; a record whose start time does not
match is stale and is never signalled, so that a reused pid cannot cost a stranger its life. What a process prints goes
to `ROOT/logs/NAME.log`. Everything listens on the loopback address only. Refused: to start on a port that is taken,
and to start twice with two different command lines.
"""

import contextlib
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
_POLL_SECONDS = 0.05
_TAIL_LINES = 20


class ProcessError(Exception):
    """A local server could not be started, found or stopped. The message says what to do."""


class PortBusyError(ProcessError):
    """Another program holds the port. Stop it, or choose another port with the option named in the message."""


class NotReadyError(ProcessError):
    """The process ended, or did not answer in time. The message ends with the last lines of its log."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, where it listens and how to see that it does.

    `environment` is added to our own, less the variables NAME and NAME__* for each NAME in `not_inherited`. `path` is
    asked for by HTTP: any status below 500 means ready; with `path` None an accepted TCP connection does. `remedy`
    completes the sentence "or ..." of a busy port.
    """

    name: str
    command: tuple[str, ...]
    port: int
    remedy: str
    path: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    not_inherited: frozenset[str] = frozenset()


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def start_time(pid: int) -> str | None:
    """Return a text that is equal for the same process only, or None when there is none (a zombie is none)."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The command name may hold anything, spaces and parentheses too: what follows its last ")" is regular.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None


class Process:
    """One program under one root folder: at most one instance of it runs."""

    def __init__(self, program: Program, root: Path) -> None:
        """Name the program and the folder that holds its log and its record; nothing is started yet."""
        self.program = program
        self.log = root / "logs" / f"{program.name}.log"
        self._record = root / "run" / f"{program.name}.json"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, for people."""
        return f"http://{HOST}:{self.program.port}/" if self.program.path else f"{HOST}:{self.program.port}"

    @property
    def pid(self) -> int | None:
        """The pid of the running instance, whoever started it, or None."""
        found = self._recorded()
        return found[0] if found else None

    def start(self) -> bool:
        """Start the program, without waiting for it; return False when this very command runs already.

        Raises:
            PortBusyError: somebody else listens there.
            ProcessError: it runs with another command line, or the executable is missing.
        """
        if found := self._recorded():
            if found[1] == list(self.program.command):
                return False
            message = (
                f"{self.program.name} runs already (pid {found[0]}) with other options: stop it first, `make down`"
            )
            raise ProcessError(message)
        self._refuse_busy_port()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._record.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"--- {shlex.join(self.program.command)}\n".encode())
            log.flush()
            try:
                self._child = subprocess.Popen(
                    self.program.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**self._inherited(), "PYTHONUNBUFFERED": "1", **self.program.environment},
                    # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop it in order.
                    start_new_session=True,
                )
            except OSError as error:
                message = f"{self.program.name} cannot be started: {error}"
                raise ProcessError(message) from error
        record = {
            "pid": self._child.pid,
            "started": start_time(self._child.pid),
            "port": self.program.port,
            "command": list(self.program.command),
        }
        draft = self._record.with_suffix(".new")
        draft.write_text(json.dumps(record, indent=2) + "\n")
        draft.replace(self._record)
        return True

    def wait_ready(self, seconds: float = 30) -> None:
        """Wait until it answers.

        Raises:
            NotReadyError: it ended, or `seconds` have passed.
        """
        deadline = time.monotonic() + seconds
        while True:
            if self.pid is None:
                message = f"{self.program.name} ended before it was ready"
                break
            if self.answers():
                return
            if time.monotonic() > deadline:
                message = f"{self.program.name} did not answer on {self.url} within {seconds:.0f} s"
                break
            time.sleep(_POLL_SECONDS)
        message = f"{message}. The end of {self.log}:\n{self.log_tail()}"
        raise NotReadyError(message)

    def answers(self) -> bool:
        """Say whether the port answers now as the program should."""
        try:
            if self.program.path is None:
                with socket.create_connection((HOST, self.program.port), timeout=1):
                    return True
            connection = http.client.HTTPConnection(HOST, self.program.port, timeout=1)
            with contextlib.closing(connection):
                connection.request("GET", self.program.path)
                return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False

    def stop(self, seconds: float = 15) -> bool:
        """End it: SIGTERM, and SIGKILL when it still runs after `seconds`; return False when it did not run."""
        if self.pid is None:
            self._record.unlink(missing_ok=True)
            return False
        self._signal(signal.SIGTERM)
        if not self._gone_within(seconds):
            self.kill()
        self._record.unlink(missing_ok=True)
        return True

    def kill(self) -> None:
        """End it at once with SIGKILL, as a crash would, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        if not self._gone_within(10):
            message = f"{self.program.name} (pid {self.pid}) survives SIGKILL"
            raise ProcessError(message)
        self._record.unlink(missing_ok=True)

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])

    def _inherited(self) -> dict[str, str]:
        names = self.program.not_inherited
        return {name: value for name, value in os.environ.items() if name.partition("__")[0] not in names}

    def _recorded(self) -> tuple[int, list[str]] | None:
        if self._child is not None:
            self._child.poll()  # reaps our own child, so that its end is seen
        try:
            record = json.loads(self._record.read_text())
            pid, started, command = int(record["pid"]), record["started"], list(record["command"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # a torn or foreign record proves nothing about any process
        return (pid, command) if started is not None and start_time(pid) == started else None

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.pid is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _refuse_busy_port(self) -> None:
        with socket.socket() as probe:
            # As the servers do: a port in TIME_WAIT from an earlier run is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.program.port))
            except OSError as error:
                message = (
                    f"{self.program.name}: port {self.program.port} of {HOST} is taken by another program. "
                    f"Stop that program, or {self.program.remedy}"
                )
                raise PortBusyError(message) from error
