"""docs/performance.md and docs/performance.svg, made of bench/results.json alone: `python -m bench.report`.

In the page only what stands between the marks `<!-- NAME -->` and `<!-- /NAME -->` is made here; the rest says what
was measured and how, and has no figure of a run. A test holds both files to the results that are committed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bench.chart import draw
from bench.figures import RESULTS, Figures, decode, middle, number, spread
from bench.result import Result
from bench.targets import TARGETS

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "performance.md", DOCS / "performance.svg"
ABOUT: Mapping[str, str] = {
    "cpu": "CPU:",
    "cores": "cores:",
    "python": "Python",
    "platform": "on",
    "sdks": "with",
}
NAMES: Mapping[str, str] = {
    "ours": "**ours**: plan and sweep, with evidence",
    "ours-planned": "ours, the sweep alone",
    "ours-unlogged": "ours, documents in memory",
    "raw": "raw SDK at its best, no evidence",
    "az": "`az storage blob delete-batch`",
    "loop": "a loop of single deletes",
}


def machine(figures: Figures) -> str:
    """On what, and when, each scenario ran; a line for each machine that there was."""
    machines: dict[str, list[str]] = {}
    for name, ran in figures.ran.items():
        about = "; ".join(f"{text} {ran.machine[key]}" for key, text in ABOUT.items())
        machines.setdefault(about, []).append(f"`{name}`")
    lines = [f"- {about}: {', '.join(names)}." for about, names in machines.items()]
    rows = [[f"`{name}`", f"{ran.when} UTC", f"{ran.seconds:.0f} s"] for name, ran in figures.ran.items()]
    return "\n".join([*lines, "", _table(["Scenario", "When", "Took"], rows)])


def targets(figures: Figures) -> str:
    """Every target, met or missed."""
    rows = []
    for target in TARGETS:
        verdict = figures.verdict(target)
        rows.append(
            [
                target.text,
                middle(verdict.samples),
                spread(verdict.samples),
                f"{'≥' if target.least else '≤'} {number(target.bound)}",
                f"**{verdict.word}**" if verdict.met is False else verdict.word,
            ]
        )
    return _table(["Target", "Measured", "Spread", "Bound", ""], rows)


def contest(figures: Figures, prefix: str, requests: str) -> str:
    """The contestants side by side."""
    rows = []
    for name, text in NAMES.items():
        rates = figures.samples(f"{prefix}/{name}")
        if rates is None:
            if name == "az" and prefix.startswith("blobs"):
                rows.append([text, "not installed: `make bench-peers`", "", "", "", ""])
            continue
        cells = [figures.samples(f"{prefix}/{name}/{what}") for what in ("cpu", "memory")]
        asked = figures.samples(f"{requests}/{name}/requests")
        if best := figures.samples(f"{prefix}/{name}/concurrency"):
            text = f"{text}, {middle(best)} calls at once"  # noqa: PLW2901 - the same text, with more said
        rows.append(
            [text, middle(rates), spread(rates), *map(middle, cells), middle(asked)],
        )
    return _table(["", "Records/s", "Spread", "Client CPU, ms a record", "Peak memory, MB", "Requests a record"], rows)


def plain(figures: Figures, *prefixes: str) -> str:
    """Every figure of these prefixes."""
    rows = [
        [f"`{each.name}`", middle(each.samples), spread(each.samples), each.unit]
        for each in figures.each()
        if each.name.startswith(prefixes)
    ]
    return _table(["Figure", "Median", "Spread", "Unit"], rows)


def grid(figures: Figures, prefix: str) -> str:
    """Figures named `<prefix>/<who>/<what>`: a row for each who, a column for each what; then those without a what."""
    found: dict[str, dict[str, Result]] = {}
    for each in figures.each():
        who, _, what = each.name.removeprefix(f"{prefix}/").rpartition("/")
        if each.name.startswith(f"{prefix}/") and who:
            found.setdefault(who, {})[what] = each
    columns = {what: each.unit for one in found.values() for what, each in one.items()}
    rows = [
        [who, *(middle(one[what].samples if what in one else None) for what in columns)] for who, one in found.items()
    ]
    heads = ["", *(f"{what}, {unit}" for what, unit in columns.items())]
    single = [each for each in figures.each() if each.name.startswith(f"{prefix}/") and each.name.count("/") == 1]
    lines = [
        [each.name.removeprefix(f"{prefix}/"), middle(each.samples), spread(each.samples), each.unit] for each in single
    ]
    return f"{_table(heads, rows)}\n\n{_table(['Figure', 'Median', 'Spread', 'Unit'], lines)}"


TABLES: Mapping[str, Callable[[Figures], str]] = {
    "machine": machine,
    "targets": targets,
    "blobs-0": lambda figures: contest(figures, "blobs/0ms", "blobs"),
    "blobs-20": lambda figures: contest(figures, "blobs/20ms", "blobs"),
    "shared-0": lambda figures: contest(figures, "items/shared/0ms", "items/shared"),
    "shared-20": lambda figures: contest(figures, "items/shared/20ms", "items/shared"),
    "apart-0": lambda figures: contest(figures, "items/apart/0ms", "items/apart"),
    "apart-20": lambda figures: contest(figures, "items/apart/20ms", "items/apart"),
    "sweep-cpu": lambda figures: grid(figures, "sweep-cpu"),
    "growth": lambda figures: plain(figures, "growth/"),
    "erasure": lambda figures: plain(figures, "erasure/"),
    "workers": lambda figures: plain(figures, "workers/"),
    "ledger": lambda figures: plain(figures, "ledger-through/", "log-code/", "verify/"),
    "cold-start": lambda figures: plain(figures, "cold-start/"),
}


def with_tables(text: str, figures: Figures) -> str:
    """The page with its tables as they are now. Raises KeyError for a mark that nothing makes."""

    def made(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- {name} -->\n{TABLES[name](figures)}\n<!-- /{name} -->"

    return re.sub(r"<!-- (?P<name>[a-z0-9-]+) -->.*?<!-- /(?P=name) -->", made, text, flags=re.DOTALL)


def outputs() -> dict[Path, str]:
    """Both files, as they must be now."""
    figures = decode(RESULTS.read_text(encoding="utf-8"))
    return {PAGE: with_tables(PAGE.read_text(encoding="utf-8"), figures), PICTURE: draw(figures)}


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Write both."""
    for path, text in outputs().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
