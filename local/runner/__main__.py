"""`python -m local.runner`: run the app of a folder until SIGTERM or Ctrl-C.

Settings come from the environment and, for what it leaves out, from the settings file, as with the platform's own
tools. `ready` is printed on standard output when everything listens; the log goes to standard error.
Exit codes: 0 stopped cleanly, 1 calls had to be cut off at the stop, 2 the app or its settings hold what is not run.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from functools import cache, partial
from pathlib import Path

from aiohttp import web
from azure.identity.aio import DefaultAzureCredential
from azure.servicebus.aio import ServiceBusClient

from local.processes import HOST
from local.runner import admin
from local.runner.app import AppError, Function, Queue, Timer, bus_options, load
from local.runner.queues import QueueLoop, queue_loop
from local.runner.timers import TimerLoop, TimerStatus

_log = logging.getLogger("runner")
_CUT_OFF_SECONDS = 5.0


def main() -> int:
    """Read the command line and run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.runner", description="Run the Functions app locally.")
    parser.add_argument("--project", type=Path, default=Path(), help="the folder with function_app.py and host.json")
    parser.add_argument("--settings", type=Path, help="default: $RETENTION_SETTINGS, else PROJECT/local.settings.json")
    parser.add_argument("--role", choices=["all", "pipeline", "ledger"], help="sets APP_ROLE")
    parser.add_argument("--admin-port", type=int, default=7071)
    parser.add_argument("--data", type=Path, help="a folder to remember the timers' next times in")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds that running calls get at the stop")
    parser.add_argument("--manual-timers", action="store_true", help="timers fire by the admin door only")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("azure").setLevel(logging.ERROR)
    project = arguments.project.resolve()
    try:
        read_settings(arguments.settings or Path(os.environ.get("RETENTION_SETTINGS", project / "local.settings.json")))
        if arguments.role:
            os.environ["APP_ROLE"] = arguments.role
        runner = Runner(project, arguments.data, manual_timers=arguments.manual_timers)
        return asyncio.run(runner.serve(arguments.admin_port, arguments.grace))
    except AppError as error:
        sys.stderr.write(f"runner: {error}\n")
        return 2


def read_settings(path: Path) -> None:
    """Put the file's values into the environment where it has none of the name; a missing file has no values.

    Raises:
        AppError: the file is not a settings file, or is encrypted.
    """
    if not path.is_file():
        return
    try:
        content = json.loads(path.read_text())
        values = {str(key): str(value) for key, value in content["Values"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f'{path} is not a settings file ({{"IsEncrypted": false, "Values": {{...}}}})'
        raise AppError(message) from error
    if content.get("IsEncrypted"):
        message = f"{path} is encrypted: only plain settings are read here"
        raise AppError(message)
    for key, value in values.items():
        os.environ.setdefault(key, value)


class Runner:
    """The app of one folder with everything that fires it."""

    def __init__(self, project: Path, data: Path | None, *, manual_timers: bool) -> None:
        """Load the app.

        Raises:
            AppError: it holds what is not run here.
        """
        self._functions = load(project, os.environ)
        self._options = bus_options(project)
        self._status = TimerStatus(data)
        self._manual_timers = manual_timers

    async def serve(self, admin_port: int, grace: float) -> int:
        """Run until told to stop; return the exit code.

        Raises:
            AppError: the admin port is taken.
        """
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        timers = {
            function.name: TimerLoop(function, function.trigger, self._status, stopping)
            for function in self._functions
            if isinstance(function.trigger, Timer)
        }
        queues = [
            queue_loop(function, trigger, partial(_connect, trigger.connection), self._options, stopping)
            for function in self._functions
            if isinstance(trigger := function.trigger, Queue)
        ]
        names = frozenset(function.name for function in self._functions)
        application = admin.build(names, timers, lambda: all(queue.ready.is_set() for queue in queues))
        door = web.AppRunner(application, shutdown_timeout=grace, access_log=None)
        await door.setup()
        try:
            await web.TCPSite(door, HOST, admin_port).start()
        except OSError as error:
            message = f"port {admin_port} of {HOST} is taken: choose another one with --admin-port"
            raise AppError(message) from error
        try:
            return await self._run(timers, queues, stopping, grace)
        finally:
            await door.cleanup()

    async def _run(
        self, timers: dict[str, TimerLoop], queues: list[QueueLoop], stopping: asyncio.Event, grace: float
    ) -> int:
        loops: list[QueueLoop | TimerLoop] = [*queues, *([] if self._manual_timers else timers.values())]
        tasks = [asyncio.create_task(each.run()) for each in loops]
        announcement = asyncio.create_task(_announce(self._functions, queues))
        stop = asyncio.create_task(stopping.wait())
        try:
            # A loop ends only when told to, or by a fault of ours, which must not leave a function silently dead.
            await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            _log.info("stopping: nothing new is taken")
            # As on the platform, the app is not told, and its clients end with the process: no news to an operator.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            stopping.set()
            ended, late = await asyncio.wait(tasks, timeout=grace) if tasks else (set(), set())
            for loop in ended:
                loop.result()
        finally:
            for task in (announcement, stop, *tasks):
                task.cancel()
            await asyncio.wait({announcement, stop, *tasks}, timeout=_CUT_OFF_SECONDS)
        if late:
            _log.error("%d functions did not end within %.0f s and are cut off", len(late), grace)
            logging.shutdown()
            # At once: a handler that hangs in a thread would hold an orderly exit for ever.
            os._exit(1)
        return 0


async def _announce(functions: list[Function], queues: list[QueueLoop]) -> None:
    for queue in queues:
        await queue.ready.wait()
    _log.info("listening: %s", ", ".join(sorted(function.name for function in functions)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _connect(name: str) -> ServiceBusClient:
    """Return a client for the connection `name`: a connection string, or a namespace with our identity."""
    # No retries inside the SDK: the loop comes back itself, and says so.
    text = os.environ.get(name)
    if text is not None:
        return ServiceBusClient.from_connection_string(text, retry_total=0)
    namespace = os.environ[f"{name}__fullyQualifiedNamespace"]
    return ServiceBusClient(namespace, _credential(), retry_total=0)


@cache
def _credential() -> DefaultAzureCredential:
    return DefaultAzureCredential()


if __name__ == "__main__":
    sys.exit(main())
