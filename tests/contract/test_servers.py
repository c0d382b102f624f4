"""Starting, finding, stopping and killing the local servers; `python -m local`; the settings that go with them."""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.cosmos import CosmosClient
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.storage.blob import BlobServiceClient

from local import servers
from local.processes import HOST, NotReadyError, PortBusyError, Process, ProcessError, Program, free_port, start_time

ROOT = servers.PROJECT


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Process]:
    """A program that is quick to start."""
    process = Process(_web(free_port()), tmp_path)
    yield process
    process.stop()


def _web(port: int) -> Program:
    command = (sys.executable, "-m", "http.server", "--bind", HOST, str(port))
    return Program(name="web", command=command, port=port, path="/", remedy="choose another with --web-port")


def _record(root: Path) -> Path:
    return root / "run" / "web.json"


def test_the_committed_settings_are_those_of_the_default_ports() -> None:
    assert (ROOT / "local.settings.json").read_text() == servers.settings_file(servers.settings(servers.Ports()))


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((ROOT / "local/azurite/package-lock.json").read_text())["packages"]
    assert packages["node_modules/azurite"]["version"] == "3.37.0"
    assert all("resolved" not in package for package in packages.values())
    assert all("integrity" in package for path, package in packages.items() if path)


def test_a_started_program_answers_is_found_by_others_and_started_once(web: Process, tmp_path: Path) -> None:
    assert web.start()
    web.wait_ready()
    assert not web.start()
    assert Process(web.program, tmp_path).pid == web.pid


def test_a_stopped_program_is_gone_and_stopping_again_does_nothing(web: Process, tmp_path: Path) -> None:
    web.start()
    pid = web.pid
    web.wait_ready()
    assert web.stop()
    assert not web.stop()
    assert web.pid is None
    assert start_time(pid or 0) is None
    assert not _record(tmp_path).exists()


def test_a_program_that_ignores_sigterm_is_killed_after_the_deadline(tmp_path: Path) -> None:
    port = free_port()
    code = f"import signal, socket; signal.signal(signal.SIGTERM, signal.SIG_IGN); s = socket.create_server(('{HOST}', {port})); signal.pause()"
    deaf = Process(Program(name="deaf", command=(sys.executable, "-c", code), port=port, remedy="-"), tmp_path)
    deaf.start()
    deaf.wait_ready()
    assert deaf.stop(seconds=0.5)
    assert deaf.pid is None


def test_a_stale_record_of_a_reused_pid_never_costs_the_stranger(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        web = Process(_web(free_port()), tmp_path)
        record = {"pid": stranger.pid, "started": "0", "port": web.program.port, "command": list(web.program.command)}
        _record(tmp_path).parent.mkdir()
        _record(tmp_path).write_text(json.dumps(record))
        assert web.pid is None
        assert not web.stop()
        assert stranger.poll() is None
        stranger.communicate(b"\n")
        assert stranger.returncode == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_torn_record_means_that_nothing_runs(tmp_path: Path, text: str) -> None:
    _record(tmp_path).parent.mkdir()
    _record(tmp_path).write_text(text)
    assert Process(_web(free_port()), tmp_path).pid is None


def test_a_busy_port_is_told_with_the_port_and_the_remedy(web: Process) -> None:
    with (
        http.server.HTTPServer((HOST, web.program.port), http.server.BaseHTTPRequestHandler),
        pytest.raises(PortBusyError, match=rf"web: port {web.program.port} .*choose another with --web-port"),
    ):
        web.start()


def test_other_options_than_those_it_runs_with_are_refused(web: Process, tmp_path: Path) -> None:
    web.start()
    with pytest.raises(ProcessError, match="other options"):
        Process(_web(free_port()), tmp_path).start()


def test_a_program_that_ends_at_once_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit('this went wrong')")
    process = Process(Program(name="short", command=command, port=free_port(), remedy="-"), tmp_path)
    process.start()
    with pytest.raises(NotReadyError, match=r"(?s)ended before it was ready.*this went wrong"):
        process.wait_ready()


def test_a_program_that_never_answers_is_told_after_the_deadline(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import signal; print('thinking', flush=True); signal.pause()")
    process = Process(Program(name="mute", command=command, port=free_port(), remedy="-"), tmp_path)
    process.start()
    with pytest.raises(NotReadyError, match="did not answer"):
        process.wait_ready(1)
    process.kill()
    assert process.pid is None


def test_one_that_fails_takes_those_with_it_that_were_started_for_it(web: Process, tmp_path: Path) -> None:
    bad = Program(name="bad", command=(sys.executable, "-c", ""), port=free_port(), remedy="-")
    with pytest.raises(NotReadyError):
        servers.start_all((web,), (Process(bad, tmp_path),))
    assert web.pid is None


def test_azurite_serves_the_four_accounts_to_the_vendors_client(azurite: Process) -> None:
    values = servers.settings(servers.Ports(blob=azurite.program.port))
    for name, account in servers.ACCOUNTS.items():
        with BlobServiceClient.from_connection_string(values[name]) as client:
            assert client.account_name == account
            container = client.create_container("is-it-there")
            container.upload_blob("a/b", b"bytes")
            assert container.download_blob("a/b").readall() == b"bytes"
            container.delete_container()


def test_what_azurite_holds_survives_a_clean_stop(tmp_path: Path) -> None:
    process = Process(servers.azurite(tmp_path, free_port()), tmp_path)
    connection = servers.settings(servers.Ports(blob=process.program.port))["BLOB_DATA"]
    process.start()
    try:
        process.wait_ready()
        with BlobServiceClient.from_connection_string(connection) as client:
            client.create_container("kept").upload_blob("a", b"bytes")
        process.stop()
        process.start()
        process.wait_ready()
        with BlobServiceClient.from_connection_string(connection) as client:
            assert client.get_blob_client("kept", "a").download_blob().readall() == b"bytes"
    finally:
        process.stop()


def test_the_stack_is_reached_by_its_settings(stack: servers.Stack) -> None:
    with BlobServiceClient.from_connection_string(stack.settings["BLOB_STATE"]) as client:
        assert client.get_account_information()["sku_name"]
    account = dict(part.split("=", 1) for part in stack.settings["COSMOS_MAIN"].rstrip(";").split(";"))
    cosmos = CosmosClient(account["AccountEndpoint"], credential=account["AccountKey"], enable_endpoint_discovery=False)
    cosmos.create_database_if_not_exists("reached")
    with ServiceBusClient.from_connection_string(stack.settings["ServiceBus"]) as bus:
        assert bus.fully_qualified_namespace == f"{HOST}:{stack.ports.bus}"
        assert ServiceBusMessage("x").body_type


def _local(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)


def _port_options(ports: servers.Ports) -> list[str]:
    return [
        *("--blob-port", str(ports.blob), "--cosmos-port", str(ports.cosmos)),
        *("--bus-port", str(ports.bus), "--admin-port", str(ports.admin)),
    ]  # fmt: skip


def test_up_and_down_can_be_repeated_and_tell_the_settings_of_other_ports(tmp_path: Path) -> None:
    ports = servers.Ports.free()
    up = ["up", "--servers-only", "--detach", "--data", str(tmp_path), *_port_options(ports)]
    try:
        first, second = _local(*up), _local(*up)
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        assert first.stdout == second.stdout
        assert f"http://{HOST}:{ports.blob}/" in first.stdout
        assert f"export RETENTION_SETTINGS={tmp_path / 'settings.json'}" in first.stdout
        values: dict[str, Any] = json.loads((tmp_path / "settings.json").read_text())["Values"]
        assert values == servers.settings(ports)
        other = _local(
            "up", "--servers-only", "--detach", "--data", str(tmp_path), *_port_options(servers.Ports.free())
        )
        assert other.returncode == 1
        assert "make down" in other.stderr
    finally:
        down = _local("down", "--data", str(tmp_path))
    assert down.returncode == 0
    assert down.stdout.count("stopped") == 3
    assert _local("down", "--data", str(tmp_path)).stdout.count("was not running") == 4
    for port in (ports.blob, ports.cosmos, ports.bus):
        socket.create_server((HOST, port), reuse_port=False).close()


def test_up_in_the_foreground_stops_all_when_it_is_told_to(tmp_path: Path) -> None:
    options = ["--servers-only", "--data", str(tmp_path), *_port_options(servers.Ports.free())]
    command = [sys.executable, "-m", "local", "up", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        guard = threading.Timer(60, up.kill)
        guard.start()
        for line in up.stdout:
            if "Ctrl-C" in line:
                up.send_signal(signal.SIGINT)
        guard.cancel()
        assert up.wait(30) == 0
    assert not list((tmp_path / "run").glob("*.json"))


def test_a_server_started_alone_replaces_the_command_so_that_the_pid_is_its_own(tmp_path: Path) -> None:
    port = free_port()
    options = ["--data", str(tmp_path), "--blob-port", str(port)]
    command = [sys.executable, "-m", "local", "azurite", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as alone:
        assert alone.stdout is not None
        guard = threading.Timer(60, alone.kill)
        guard.start()
        for line in alone.stdout:
            if f"{HOST}:{port}" in line and "listens" in line:
                os.kill(alone.pid, signal.SIGTERM)
        guard.cancel()
        # Azurite announces itself a moment before it listens to signals.
        assert alone.wait(30) in {0, -signal.SIGTERM}
