"""The whole product on local servers, with a wire before each that a test can cut: see `wire`.

`stage` starts the servers and one runner, which reaches them by the wires alone. The test looks at them without a wire:
the functions below `stage` say what a Product's stores and log hold.
"""

import threading
import urllib.error
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from running import fire, servers
from wire import Wire, wire

from local.processes import Process, free_port
from local.servers import Ports, Stack, runner, settings
from shared.config import Config
from shared.ledger.log import years
from shared.ledger.reader import Live, entries
from shared.ledger.verify import verify
from shared.wiring import Product

TIMERS = ("planner", "watch_journals", "watch_requests", "ledger_seal", "ledger_publish")
QUICK = {"RETENTION_RECOVER_AFTER": "5", "RETENTION_RESEND_AFTER": "5"}
"""After a crash or an outage others take over in seconds, where the defaults wait for ten minutes."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    stack: Stack
    wires: dict[str, Wire]
    runner: Process
    resources: ExitStack
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def config(self) -> Config:
        return Config(values=self.stack.settings)

    def tick(self) -> None:
        """Let the timers fire again and again from now on, each for itself."""
        for timer in TIMERS:
            thread = threading.Thread(target=self._fire_on, args=(timer,), daemon=True)
            thread.start()
            self.resources.callback(thread.join)
        self.resources.callback(self.stopping.set)

    def _fire_on(self, timer: str) -> None:
        while not self.stopping.wait(0.5):
            try:
                fire(self.runner, timer, seconds=300)
            except urllib.error.HTTPError:  # the function failed: it fires again
                continue
            except OSError:  # the runner ends
                self.stopping.wait(1)


@contextmanager
def stage(root: Path) -> Iterator[Stage]:
    """Servers and a runner of the app, whose timers fire by hand."""
    with ExitStack() as resources:
        stack = resources.enter_context(servers(root))
        wires = {name: resources.enter_context(wire(getattr(stack.ports, name))) for name in ("blob", "cosmos", "bus")}
        ports = Ports(**{name: each.port for name, each in wires.items()}, admin=free_port())
        app = Process(runner(root, ports.admin, {**settings(ports), **QUICK}, manual_timers=True), root)
        resources.callback(app.stop)
        yield Stage(stack=stack, wires=wires, runner=app, resources=resources)


async def logged(product: Product) -> list[dict]:
    """Every event of the sealed logs, each of which verifies."""
    found = []
    for year in await years(product.ledger):
        live = Live(ledger=product.ledger, year=year)
        report = await verify(live, product.signer(year).verifier)
        assert report.sound, [str(each) for each in report.findings]
        found += [event async for _, event in entries(live)]
    return found


def kinds(events: list[dict]) -> Counter[tuple[str, str]]:
    """How many events there are of each type and category, each id counted once."""
    once = {event["id"]: event for event in events}
    return Counter((event["type"], event["data"].get("category", "")) for event in once.values())


async def left(product: Product, setting: str, container: str) -> list[str]:
    """The names of the blobs of a container."""
    return [blob.name async for blob in product.blobs(setting).get_container_client(container).list_blobs()]


async def ids(product: Product, container: str) -> set[str]:
    """The ids of the items of a container."""
    database = product.stores["cosmos/main"].database  # type: ignore[attr-defined]
    found = database.get_container_client(container).query_items("SELECT c.id FROM c")
    return {item["id"] async for item in found}


async def put(product: Product, container: str, *items: dict) -> None:
    """Write items."""
    database = product.stores["cosmos/main"].database  # type: ignore[attr-defined]
    for item in items:
        await database.get_container_client(container).upsert_item(item)


async def finished(product: Product, category: str, since: datetime) -> bool:
    """Whether a run of the category that was started since has ended."""
    held = await product.runs.current(category)
    return held is not None and held.value.started >= since and held.value.finished is not None
