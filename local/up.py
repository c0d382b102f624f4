"""`python -m local`: start and stop the local servers and the runner, together or alone.

`up` starts what does not run yet, creates the containers the app expects, and says where it listens; it is safe to
repeat. `down` ends what `up` started, and nothing else. Data stays in the folder. `azurite`, `cosmos`, `servicebus` and
`runner` start one of them in this terminal. Exit codes: 0 done, 1 a server ended or did not come up.
"""

import argparse
import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from local import servers
from local.prepare import prepare
from local.processes import Process, ProcessError, Program
from local.servers import Ports
from shared.config import Config
from shared.errors import ConfigError

_CHECK_SECONDS = 1.0
_NAMES = ("azurite", "cosmos", "servicebus", "runner")


def main() -> int:
    """Read the command line and do it; return the exit code."""
    arguments = _parser().parse_args()
    root: Path = arguments.data.resolve()
    ports = Ports(
        blob=arguments.blob_port, cosmos=arguments.cosmos_port, bus=arguments.bus_port, admin=arguments.admin_port
    )
    try:
        match arguments.command:
            case "up":
                return _up(root, ports, role=arguments.role, with_runner=arguments.with_runner, detach=arguments.detach)
            case "down":
                return _down(root)
            case alone:
                _replace_us_with(_programs(root, ports, arguments.role)[alone])
    except (ProcessError, ConfigError) as error:
        sys.stderr.write(f"{error}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    default = Ports()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, default=Path(".local"), help="folder of data, logs and pids (%(default)s)")
    common.add_argument("--blob-port", type=int, default=default.blob, help="Azurite (%(default)s)")
    common.add_argument("--cosmos-port", type=int, default=default.cosmos, help="(%(default)s)")
    common.add_argument("--bus-port", type=int, default=default.bus, help="Service Bus (%(default)s)")
    common.add_argument("--admin-port", type=int, default=default.admin, help="the runner's own (%(default)s)")
    common.add_argument("--role", choices=["all", "pipeline", "ledger"], default="all", help="the runner's APP_ROLE")
    parser = argparse.ArgumentParser(prog="python -m local", description="The local servers and the runner.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[common], help="start all, wait until ready")
    which = up.add_mutually_exclusive_group()
    which.add_argument("--with-runner", action="store_true", default=True, help="the servers and the runner (default)")
    which.add_argument("--servers-only", action="store_false", dest="with_runner", help="without the runner")
    up.add_argument("--detach", action="store_true", help="return when ready; `down` stops them")
    commands.add_parser("down", parents=[common], help="stop what `up` started in this data folder")
    for name in _NAMES:
        commands.add_parser(name, parents=[common], help="start it alone, in this terminal")
    return parser


def _programs(root: Path, ports: Ports, role: str) -> dict[str, Program]:
    return {
        "azurite": servers.azurite(root, ports.blob),
        "cosmos": servers.cosmos(root, ports.cosmos),
        "servicebus": servers.servicebus(root, ports.bus),
        "runner": servers.runner(root, ports.admin, servers.settings(ports, role=role), role=role),
    }


def _up(root: Path, ports: Ports, *, role: str, with_runner: bool, detach: bool) -> int:
    programs = _programs(root, ports, role)
    processes = tuple(Process(program, root) for name, program in programs.items() if with_runner or name != "runner")
    values = servers.settings(ports, role=role)
    servers.start_all(processes[:3])
    asyncio.run(prepare(Config(values=values)))
    # The runner when the servers are ready and hold what it expects: it connects as soon as it starts.
    servers.start_all(processes[3:])
    settings = root / "settings.json"
    settings.write_text(servers.settings_file(values))
    for process in processes:
        sys.stdout.write(f"{process.program.name:<11} {process.url:<24} pid {process.pid}  log {_short(process.log)}\n")
    sys.stdout.write(f"data in {_short(root)}\n")
    if (ports.blob, ports.cosmos, ports.bus) != (Ports().blob, Ports().cosmos, Ports().bus):
        sys.stdout.write(f"other ports than local.settings.json: export RETENTION_SETTINGS={settings}\n")
    sys.stdout.flush()
    return 0 if detach else _stay(processes)


def _stay(processes: tuple[Process, ...]) -> int:
    """Wait for Ctrl-C or SIGTERM, or until a process ends by itself; then stop all."""
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    sys.stdout.write("Ctrl-C stops them\n")
    sys.stdout.flush()
    ended: list[Process] = []
    while not ended and not told.wait(_CHECK_SECONDS):
        ended = [process for process in processes if process.pid is None]
    for process in ended:
        sys.stderr.write(f"{process.program.name} ended by itself. The end of {process.log}:\n{process.log_tail()}\n")
    for process in reversed(processes):
        process.stop()
    return 1 if ended else 0


def _down(root: Path) -> int:
    # The runner first: it must not see its servers go. The records say what runs; a name is enough to find them.
    for name in reversed(_NAMES):
        stopped = Process(Program(name=name, command=(), port=0, remedy=""), root).stop()
        sys.stdout.write(f"{name:<11} {'stopped' if stopped else 'was not running'}\n")
    return 0


def _replace_us_with(program: Program) -> None:
    os.environ.update(program.environment)
    os.execv(program.command[0], program.command)  # noqa: S606 - no shell is the point


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
