"""`python -m local.demo [--size N] [--seed N]`: the whole main job on an invented company's data, from nothing.

Starts the local servers and the runner on free ports, tells the story (`local.demo.story`), stops them. Results go to
standard output, progress to standard error. The data folder is emptied at the start, and stays afterwards.
Refused: to empty a folder that no demo made, or whose servers run. Settings of the environment that would lead
anywhere but to the demo's own servers are not seen.
Exit codes: 0 everything held, 1 it did not or could not be told, 2 wrong arguments, 130 interrupted.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import ClientError
from azure.core.exceptions import AzureError

from local import servers
from local.demo import proof
from local.demo.app import App, DemoError
from local.demo.seed import Seed, make_seed
from local.demo.show import Show, shorten
from local.demo.story import Story
from local.prepare import prepare
from local.processes import Process, ProcessError, Program
from shared.config import SETTINGS, load
from shared.errors import RetentionError
from shared.wiring import Product

_MARK = "demo.json"
_NAMES = ("azurite", "cosmos", "servicebus", "runner")
_INTERRUPTED = 130


def main() -> int:
    """Read the command line, tell the story, stop the servers; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=_positive, default=1, help="how many times as many homes (1)")
    parser.add_argument("--seed", type=int, default=1, help="the number that all of the data follows from (1)")
    parser.add_argument(
        "--data", type=Path, default=servers.PROJECT / ".local" / "demo", help="its folder (.local/demo)"
    )
    arguments = parser.parse_args()
    root: Path = arguments.data.resolve()
    # SIGTERM as Ctrl-C: the servers are stopped in both cases. A shell may have started us with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    show = Show()
    try:
        empty(root)
        seed = make_seed(datetime.now(UTC), number=arguments.seed, size=arguments.size)
        (root / _MARK).write_text(json.dumps({"seed": arguments.seed, "size": arguments.size, "as_of": str(seed.now)}))
        return 0 if _on_servers(root, seed, show) else 1
    except KeyboardInterrupt:
        show.failed("interrupted; the servers are stopped")
        return _INTERRUPTED
    except (AzureError, ClientError, DemoError, ProcessError, RetentionError) as error:
        show.failed(str(error))
        return 1


def empty(root: Path) -> None:
    """Make `root` an empty folder.

    Raises:
        ProcessError: servers run on it, or what is in it was not made by a demo.
    """
    running = [name for name in _NAMES if Process(Program(name=name, command=(), port=0, remedy=""), root).pid]
    if running:
        message = f"{', '.join(running)} still run on {root}: stop them first, make down DATA={root}"
        raise ProcessError(message)
    if root.exists():
        if any(root.iterdir()) and not (root / _MARK).is_file():
            message = f"{root} holds what no demo put there: name another folder"
            raise ProcessError(message)
        shutil.rmtree(root)
    root.mkdir(parents=True)


def only_local(environment: Mapping[str, str], settings: Mapping[str, str], root: Path) -> dict[str, str]:
    """The environment under which the app reaches the demo's servers and nothing else, whatever was set before.

    A connection by identity (`BLOB_DATA__serviceUri`) would go before ours, and so would a settings file of the user.
    """
    ours = {setting.name for setting in SETTINGS}
    kept = {name: value for name, value in environment.items() if name.partition("__")[0] not in ours}
    return {**kept, **settings, "RETENTION_SETTINGS": str(root / "settings.json")}


def _on_servers(root: Path, seed: Seed, show: Show) -> bool:
    """Start what the story needs, tell it, and stop everything, whatever happened."""
    stack = servers.Stack(root, servers.Ports.free())
    environment = only_local(os.environ, stack.settings, root)
    (root / "settings.json").write_text(servers.settings_file(stack.settings))
    os.environ.clear()
    os.environ.update(environment)
    runner = Process(servers.runner(root, stack.ports.admin, stack.settings, manual_timers=True), root)
    show.title(f"The retention pipeline on the data of an invented smart-home company, {seed.now:%Y-%m-%d %H:%M} UTC")
    show.stage("Start", "local servers that speak the real protocols, and the app's own functions against them")
    try:
        stack.start()
        runner.start()
        held = asyncio.run(_watched(seed, show, stack, runner))
    except BaseException:
        show.failed(f"stopping the servers; their logs stay in {shorten(root / 'logs')}")
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C would leave servers behind
        for process in (runner, *reversed(stack.processes)):
            process.stop()
    if not held:
        show.failed(f"the servers' logs: {shorten(root / 'logs')}")
    return held


async def _watched(seed: Seed, show: Show, stack: servers.Stack, runner: Process) -> bool:
    """Tell the story as long as all servers run."""
    processes = (*stack.processes, runner)
    for process in processes:
        show.line(f"{process.program.name:<11} {process.url:<24} log {shorten(process.log)}")
    story = asyncio.create_task(_tell(seed, show, stack, runner))
    ended = asyncio.create_task(_first_ended(processes))
    try:
        await asyncio.wait({story, ended}, return_when=asyncio.FIRST_COMPLETED)
        if story.done():
            return story.result()
        process = ended.result()
        message = f"{process.program.name} ended by itself. The end of {process.log}:\n{process.log_tail()}"
        raise DemoError(message)
    finally:
        story.cancel()
        ended.cancel()
        await asyncio.gather(story, ended, return_exceptions=True)


async def _first_ended(processes: tuple[Process, ...]) -> Process:
    while True:
        for process in processes:
            if process.pid is None:
                return process
        await asyncio.sleep(1)


async def _tell(seed: Seed, show: Show, stack: servers.Stack, runner: Process) -> bool:
    begun, root = time.monotonic(), stack.root
    config = load(os.environ)
    await prepare(config)
    async with Product(config) as product:
        app = App(product, stack.settings, runner.url)
        story = Story(seed=seed, settings=stack.settings, app=app, show=show, root=root)
        await story.store()
        await asyncio.to_thread(runner.wait_ready)
        await story.sweep()
        await story.erase()
        logs = await proof.log_stage(product, app, show, root)
        await proof.count_stage(seed, story.asked, stack.settings, logs, show)
        await proof.damage_stage(logs, story.leaver_request, show, root)
        proof.receipt_stage(logs, story.leaver_request, show)
    proof.further_stage(logs, story.leaver_request, show, root, time.monotonic() - begun)
    return show.held


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        message = "write a whole number from 1 on"
        raise argparse.ArgumentTypeError(message)
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
