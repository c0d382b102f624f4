"""The servers and the app as five processes that may be killed, and Azurite, which may not: it loses what it said.

Two workers and a ledger, each a runner of its own with the settings of its role; the broker and the Cosmos server. The
timers are fired by hand, as the clock would, but more often.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from types import MappingProxyType

import aiohttp
from running import of_role

from local.processes import HOST, Process, Program, free_port
from local.servers import PROJECT, Ports, Stack, runner
from shared.config import Config
from shared.liveness import TIMERS

WAITS = MappingProxyType(
    {
        "RETENTION_RECOVER_AFTER": "8",  # from 600
        "RETENTION_RESEND_AFTER": "10",  # from 600
        "RETENTION_TIME_BUDGET": "3",  # from 200
        "RETENTION_UNIT": "10",  # many journals
        "RETENTION_SLICES": "4",
        "RETENTION_CONCURRENCY": "4",
    }
)
SECONDS = MappingProxyType(
    {
        "planner": 2.0,
        "watch_journals": 2.0,
        "watch_requests": 4.0,
        "ledger_seal": 3.0,
        "ledger_publish": 3.0,
        "requests_close": 15.0,
        "watch_overdue": 20.0,
        "ledger_retire": 30.0,
    }
)
"""How often each timer is fired; watch_posture and watch_metrics only look, and are fired at the end."""
CATEGORIES = ("camera-snapshots", "users", "homes", "devices", "operation-log")
KINDS = MappingProxyType(
    {"worker-1": "worker", "worker-2": "worker", "ledger": "ledger", "servicebus": "broker", "cosmos": "cosmos"}
)


def policy(text: str) -> str:
    """The policy with the smart home's categories alone, each due every minute."""
    head, *categories = text.split("\n  - id: ")
    kept = [each for each in categories if each.partition("\n")[0] in CATEGORIES]
    assert len(kept) == len(CATEGORIES)
    return re.sub(r"(?m)^    cadence: .*$", "    cadence: PT1M", "\n  - id: ".join([head, *kept]))


class Site:
    """All processes under one folder."""

    def __init__(self, root: Path) -> None:
        chance = Random()  # the ports are no part of what a seed repeats
        ports = Ports(blob=free_port(), cosmos=_port(chance), bus=_port(chance))
        self.stack = Stack(root, ports)
        file = root / "policy.yaml"
        file.write_text(policy((PROJECT / "policy.yaml").read_text()))
        self.settings = {**self.stack.settings, **WAITS, "POLICY_FILE": str(file)}
        self.config = Config(values=self.settings)
        self.apps = {
            name: Process(self._app(root / name, name, _port(chance)), root)
            for name in ("worker-1", "worker-2", "ledger")
        }
        self.victims = {**self.apps, "servicebus": self.stack.servicebus, "cosmos": self.stack.cosmos}

    def _app(self, home: Path, name: str, port: int) -> Program:
        role = "ledger" if name == "ledger" else "pipeline"
        home.mkdir()
        program = runner(home, port, of_role(role, self.settings), role=role, manual_timers=True)
        python, _, _, *options = program.command
        return replace(program, name=name, command=(python, str(Path(__file__).with_name("short_waits.py")), *options))

    def stop(self) -> None:
        """End all of them; whatever happened before."""
        for app in self.apps.values():
            with suppress(Exception):
                app.kill()
        self.stack.stop()

    async def fire(self, session: aiohttp.ClientSession, timer: str, chance: Random) -> bool:
        """Fire a timer on one of the instances that have it; whether it ended well."""
        names = ["ledger"] if timer.startswith("ledger_") else ["worker-1", "worker-2"]
        port = self.apps[chance.choice(names)].program.port
        try:
            async with session.post(f"http://{HOST}:{port}/admin/functions/{timer}") as answer:
                return answer.status == 202
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False  # it is dead, or was killed meanwhile

    @asynccontextmanager
    async def firing(self, timers: Mapping[str, float], seed: int) -> AsyncIterator[None]:
        """Fire the timers meanwhile, each at its own pace: one that hangs keeps no other."""
        task = asyncio.create_task(self._keep_firing(timers, seed))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_firing(self, timers: Mapping[str, float], seed: int) -> None:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            asyncio.TaskGroup() as all_,
        ):
            for timer, seconds in timers.items():
                all_.create_task(self._keep(session, timer, seconds, Random(f"{seed}/{timer}")))

    async def _keep(self, session: aiohttp.ClientSession, timer: str, seconds: float, chance: Random) -> None:
        while True:
            await self.fire(session, timer, chance)
            await asyncio.sleep(seconds)

    async def each_timer_once(self) -> None:
        """Fire every timer there is, until it ended well: then none is late."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
            for timer in TIMERS:
                for _ in range(5):
                    if await self.fire(session, timer, Random(timer)):
                        break
                    await asyncio.sleep(1)
                else:
                    raise AssertionError(f"timer {timer} fails again and again: {self.tails()}")

    def tails(self) -> str:
        """The ends of the apps' logs."""
        return "\n".join(f"{name}:\n{app.log_tail()}" for name, app in self.apps.items())


def _port(chance: Random) -> int:
    """A port below those that the system gives to connections, which might take it while its server is dead."""
    for _ in range(1_000):
        port = chance.randrange(15_000, 32_000)
        try:
            return _free(port)
        except OSError:
            continue
    raise AssertionError("no port is free")


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.bind((HOST, port))
    return port
