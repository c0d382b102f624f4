"""Shared fixtures: no network for unit tests, the local servers for the others, and the console script.

The servers are child processes on free ports with their data in temporary folders, started once per test run and only
when a test asks. Tests share them: a test uses containers, databases and sessions of its own. A test that kills or
restarts a server starts its own (`local.servers.running`).
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_socket

from cli import main as command_line
from cli import settings
from local import servers
from local.processes import Process, free_port
from shared.config import SETTINGS

UNIT = Path(__file__).parent / "unit"
hypothesis.settings.register_profile("no-deadline", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("no-deadline")


@pytest.fixture(autouse=True)
def _network_cut(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let unit tests open no socket, except the pair by which an event loop wakes itself."""
    if not request.path.is_relative_to(UNIT):
        yield
        return
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture
def retention(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """The console script in this process, in an empty folder and environment: (exit code, stdout, stderr)."""
    for name in (settings.FILE_VARIABLE, *(setting.name for setting in SETTINGS)):
        monkeypatch.setenv(name, "")  # so that what a command sets is undone too
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["retention", *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Stack]:
    """All three servers; `stack.settings` are the app's settings that reach them."""
    stack = servers.Stack(tmp_path_factory.mktemp("stack"), servers.Ports.free())
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Azurite alone; `servers.settings(servers.Ports(blob=azurite.program.port))` has its connection strings."""
    root = tmp_path_factory.mktemp("azurite")
    with servers.running(servers.azurite(root, free_port()), root) as process:
        yield process


@pytest.fixture(scope="session")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Return the Cosmos server alone."""
    root = tmp_path_factory.mktemp("cosmos")
    with servers.running(servers.cosmos(root, free_port()), root) as process:
        yield process


@pytest.fixture(scope="session")
def servicebus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Return the Service Bus server alone, with the product's entities."""
    root = tmp_path_factory.mktemp("servicebus")
    with servers.running(servers.servicebus(root, free_port()), root) as process:
        yield process
