"""A scenario as a program, `python -m bench.NAME [--quick]`: measure, and hand the figures over as a line of JSON."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Protocol

from bench.result import Result


class Scenario(Protocol):
    """Measures; a little of everything where `quick`."""

    def __call__(self, *, quick: bool) -> Iterable[Result]:
        """All figures."""
        ...


def ending() -> None:
    """Let SIGTERM end this process as Ctrl-C does: the servers it started are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def main(run: Scenario) -> None:
    """Run the scenario, and print its figures for the process that collects them."""
    ending()
    options = argparse.ArgumentParser(description="Measure one scenario of the bench; its figures come as JSON.")
    options.add_argument("--quick", action="store_true", help="a little of everything, to see that it works")
    json.dump([asdict(result) for result in run(quick=options.parse_args().quick)], sys.stdout)
    sys.stdout.write("\n")
