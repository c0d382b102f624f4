"""`python -m bench.cold_start`: the import of `function_app` in each role, against the import of the SDKs it uses.

Each figure is the CPU time of one import in a fresh process, compiled files at hand:

- app: `import function_app`, as the host's worker does it;
- azure: the vendor's SDKs alone, of those that the app has loaded by then: each module that our own code imports;
- packages: all of requirements.txt that the app has loaded by then: pydantic, ruamel.yaml, cryptography and so on too.

A process that imports them in this order says first what the app has loaded, so that nothing is in the comparison that
the app does without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from bench.measure import ROOT
from bench.result import Result
from bench.scenario import main

ROLES = ("pipeline", "ledger", "all")
REPETITIONS = 7
AZURE = (
    "azure.functions",
    "azure.storage.blob.aio",
    "azure.cosmos.aio",
    "azure.servicebus.aio",
    "azure.identity.aio",
    "azure.mgmt.storage.aio",
    "azure.mgmt.cosmosdb.aio",
    "azure.monitor.opentelemetry",
)
OTHERS = (
    "aiohttp",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "pydantic.main",
    "ruamel.yaml",
    "dateutil.relativedelta",
)
"""What our own code imports of the other packages: `pydantic` alone loads nothing, its BaseModel does."""

_LOADED = "import function_app, json, sys; print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]))"
_TIMED = "import sys, time; began = time.process_time()\nimport {names}\nprint(time.process_time() - began)"


def _python(code: str, environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own program


def _seconds(modules: Sequence[str], environment: Mapping[str, str]) -> float:
    return float(_python(_TIMED.format(names=", ".join(modules)), environment))


def run(*, quick: bool) -> list[Result]:
    """Measure; a few seconds where `quick`."""
    roles, repetitions = (ROLES[1:2], 1) if quick else (ROLES, REPETITIONS)
    samples: dict[str, list[float]] = {}
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory(prefix="retention-bench-") as compiled:
        for role in roles:
            environment = {**inherited, "PYTHONPYCACHEPREFIX": compiled, "APP_ROLE": role}
            loaded = json.loads(_python(_LOADED, environment, *AZURE, *OTHERS))  # compiles all of it besides
            contestants = {
                "app": ["function_app"],
                "azure": [name for name in loaded if name in AZURE],
                "packages": loaded,
            }
            for _ in range(repetitions):
                for name, modules in contestants.items():
                    spent = 1_000 * _seconds(modules, environment)
                    samples.setdefault(f"cold-start/{role}/{name}", []).append(spent)
    return [Result(name=name, unit="ms of CPU", samples=tuple(each)) for name, each in samples.items()]


if __name__ == "__main__":
    main(run)
