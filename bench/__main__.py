"""`python -m bench [NAMES] [--quick] [--strict] [--out FILE]`, or `make bench`: measure, and say how it stands.

Each scenario runs in a process of its own, one after the other. The figures go to bench/results.json, and from there to
docs/performance.md and its picture; those of scenarios that are not named stay as they were. `--quick` does a little of
everything, to see that it works: its figures mean nothing, and go nowhere but to `--out`.

Exit codes: 0 measured, whatever the targets say; 1 a target is missed, with `--strict`; 2 a scenario failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import report
from bench.figures import RESULTS, Figures, Ran, decode, encode, middle, number, spread
from bench.measure import ROOT
from bench.result import Result
from bench.scenario import ending
from bench.targets import TARGETS

SCENARIOS = (
    "sweep_cpu",
    "blobs_azurite",
    "items_cosmos",
    "growth",
    "erasure",
    "workers",
    "log_code",
    "ledger_through",
    "verify",
    "cold_start",
)
SDKS = ("azure-storage-blob", "azure-cosmos", "azure-servicebus")


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = [line.partition(":")[2].strip() for line in about.read_text().splitlines() if "model name" in line]
        cpu = lines[0] if lines else cpu
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "sdks": ", ".join(f"{name} {version(name)}" for name in SDKS),
    }


def measure(name: str, *, quick: bool) -> Ran | None:
    """Run one scenario; None where it failed, which it has said itself."""
    sys.stderr.write(f"{name}\n")
    sys.stderr.flush()
    began, when = time.monotonic(), datetime.now(UTC)
    command = [sys.executable, "-m", f"bench.{name}", *(["--quick"] if quick else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:  # noqa: S603 - our own program
        try:
            said = child.communicate()[0]
        except BaseException:
            child.terminate()
            child.wait()
            raise
    seconds = time.monotonic() - began
    if child.returncode:
        sys.stderr.write(f"  failed: exit code {child.returncode}\n")
        return None
    found = [Result(name=f["name"], unit=f["unit"], samples=tuple(f["samples"])) for f in json.loads(said)]
    sys.stderr.write(f"  {len(found)} figures in {seconds:.0f} s\n")
    return Ran(
        when=f"{when:%Y-%m-%d %H:%M}",
        seconds=round(seconds, 1),
        quick=quick,
        machine=machine(),
        figures=tuple(found),
    )


def table(figures: Figures) -> str:
    """Every figure, then every target."""
    rows = [("figure", "median", "spread", "unit")]
    rows += [(each.name, middle(each.samples), spread(each.samples), each.unit) for each in figures.each()]
    lines = _columns(rows)
    judged = [("target", "measured", "spread", "bound", "")]
    for target in TARGETS:
        verdict = figures.verdict(target)
        bound = f"{'>=' if target.least else '<='} {number(target.bound)}"
        judged.append(
            (
                target.text.replace("`", ""),
                middle(verdict.samples),
                spread(verdict.samples),
                bound,
                verdict.word,
            )
        )
    return "\n".join([*lines, "", *_columns(judged), ""])


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def earlier(chosen: list[str]) -> dict[str, Ran]:
    """What the file has of scenarios that are not measured now."""
    if not RESULTS.exists():
        return {}
    return {name: ran for name, ran in decode(RESULTS.read_text()).ran.items() if name not in chosen}


def main() -> int:
    """Measure, write, tell."""
    ending()
    options = argparse.ArgumentParser(prog="bench", description="Measure what the pipeline costs.")
    options.add_argument("names", nargs="*", choices=[*SCENARIOS, []], help="which scenarios; without one: all")
    options.add_argument("--quick", action="store_true", help="a little of everything, in a few minutes")
    options.add_argument("--strict", action="store_true", help="exit with 1 where a target is missed")
    options.add_argument("--out", type=Path, help="where the results go, in place of bench/results.json")
    given = options.parse_args()
    chosen = list(given.names) or list(SCENARIOS)
    ran = {name: measure(name, quick=given.quick) for name in chosen}
    found = {name: one for name, one in ran.items() if one is not None}
    kept = {} if given.quick or given.out else earlier(chosen)
    every = kept | found
    figures = Figures(ran={name: every[name] for name in SCENARIOS if name in every})
    out = given.out or (None if given.quick else RESULTS)
    if out is not None:
        out.write_text(encode(figures))
    if out == RESULTS:
        report.main()
    sys.stdout.write(table(figures))
    if len(found) < len(chosen):
        return 2
    return int(given.strict and any(figures.verdict(target).met is False for target in TARGETS))


if __name__ == "__main__":
    sys.exit(main())
