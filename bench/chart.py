"""docs/performance.svg: bars with their spread, drawn from the figures alone. Readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from xml.sax.saxutils import escape

from bench.figures import Figures, number

WIDTH, MARGIN, GAP = 1000, 24, 32
LABEL, VALUE = 170, 92
"""The room for a bar's name and for its figure."""

ROW, HEAD, FOOT = 26, 46, 26
STYLE = """
    .paper { fill: #ffffff; }
    text { fill: #0f172a; font: 13px system-ui, sans-serif; }
    .head { font-weight: 600; font-size: 14px; }
    .small { fill: #475569; font-size: 12px; }
    .value { text-anchor: start; }
    .name { text-anchor: end; }
    .ours { fill: #0369a1; }
    .other { fill: #94a3b8; }
    .axis { stroke: #94a3b8; }
    .spread { stroke: #0f172a; stroke-width: 1.5; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; }
      text { fill: #e6edf3; }
      .small { fill: #9ba7b4; }
      .ours { fill: #0ea5e9; }
      .other { fill: #64748b; }
      .axis { stroke: #64748b; }
      .spread { stroke: #e6edf3; }
    }
  """


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Bars under a heading: (name, figure, whether it is ours). `unit` says what is drawn, and what is better."""

    head: str
    unit: str
    bars: Sequence[tuple[str, str, bool]]

    @property
    def height(self) -> int:
        """The room it takes."""
        return HEAD + ROW * len(self.bars) + FOOT


def _contest(prefix: str, *, peers: bool) -> list[tuple[str, str, bool]]:
    rows = [("ours, with evidence", "ours", True), ("raw SDK, none", "raw", False)]
    rows += [("az delete-batch", "az", False)] if peers else []
    return [(text, f"{prefix}/{name}", own) for text, name, own in [*rows, ("a loop", "loop", False)]]


FAST = "records a second; longer is better"
PANELS: tuple[tuple[Panel, Panel], ...] = (
    (
        Panel(
            head="The client's CPU, on the stub",
            unit="microseconds a picture; shorter is better",
            bars=[
                ("ours, with evidence", "sweep-cpu/ours/sweep/client CPU", True),
                ("raw SDK, names", "sweep-cpu/raw names/8 at once/client CPU", False),
                ("raw SDK, blobs", "sweep-cpu/raw/4 at once/client CPU", False),
                ("a loop", "sweep-cpu/single/0 ms/client CPU", False),
            ],
        ),
        Panel(
            head="Erasing a person",
            unit="seconds; shorter is better",
            bars=[
                ("10 pictures, ours", "erasure/10/ours", True),
                ("raw deletes", "erasure/10/raw", False),
                ("20,000 pictures, ours", "erasure/20000/ours", True),
                ("raw deletes", "erasure/20000/raw", False),
            ],
        ),
    ),
    (
        Panel(head="Pictures on Azurite", unit=FAST, bars=_contest("blobs/0ms", peers=True)),
        Panel(head="The same, 20 ms away", unit=FAST, bars=_contest("blobs/20ms", peers=True)),
    ),
    (
        Panel(head="Cosmos DB server, a key for many", unit=FAST, bars=_contest("items/shared/0ms", peers=False)),
        Panel(head="The same, 20 ms away", unit=FAST, bars=_contest("items/shared/20ms", peers=False)),
    ),
    (
        Panel(head="Cosmos DB server, a key each", unit=FAST, bars=_contest("items/apart/0ms", peers=False)),
        Panel(head="The same, 20 ms away", unit=FAST, bars=_contest("items/apart/20ms", peers=False)),
    ),
    (
        Panel(
            head="Workers on the stub, 20 ms away",
            unit=FAST,
            bars=[(f"{n} worker{'s' if n > 1 else ''}", f"workers/{n}", True) for n in (1, 2, 4)],
        ),
        Panel(
            head="Peak memory on the stub",
            unit="MB; shorter is better",
            bars=[(f"{n:,} expired", f"growth/expired/{n}/memory", True) for n in (2_000, 20_000, 100_000, 400_000)],
        ),
    ),
)


def draw(figures: Figures) -> str:
    """The picture."""
    wide = (WIDTH - 2 * MARGIN - GAP) // 2
    parts: list[str] = []
    top = MARGIN
    for left, right in PANELS:
        parts += _panel(left, figures, MARGIN, top, wide)
        parts += _panel(right, figures, MARGIN + wide + GAP, top, wide)
        top += max(left.height, right.height)
    body = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" '
        f'aria-label="What the pipeline costs, measured">\n  <style>{STYLE}</style>\n'
        f'  <rect class="paper" width="{WIDTH}" height="{top}"/>\n{body}\n</svg>\n'
    )


def _panel(panel: Panel, figures: Figures, left: int, top: int, wide: int) -> list[str]:
    found = [(name, figures.samples(figure), own) for name, figure, own in panel.bars]
    longest = max((max(samples) for _, samples, _ in found if samples), default=1.0)
    scale = (wide - LABEL - VALUE) / longest
    start = left + LABEL
    parts = [
        f'<text class="head" x="{left}" y="{top + 16}">{escape(panel.head)}</text>',
        f'<text class="small" x="{left}" y="{top + 34}">{escape(panel.unit)}</text>',
        f'<path class="axis" d="M{start} {top + HEAD - 4} V{top + HEAD + ROW * len(found) + 2}"/>',
    ]
    for n, (name, samples, own) in enumerate(found):
        middle = top + HEAD + ROW * n + ROW // 2
        parts.append(f'<text class="name" x="{start - 8}" y="{middle + 4}">{escape(name)}</text>')
        if not samples:
            parts.append(f'<text class="small" x="{start + 8}" y="{middle + 4}">not measured</text>')
            continue
        value, least, most = median(samples), min(samples), max(samples)
        kind = "ours" if own else "other"
        parts.append(
            f'<rect class="{kind}" x="{start}" y="{middle - 8}" width="{value * scale:.1f}" height="16" rx="2"/>'
        )
        if len(samples) > 1:
            low, high = start + least * scale, start + most * scale
            ends = f"M{low:.1f} {middle - 4} v8 M{high:.1f} {middle - 4} v8"
            parts.append(f'<path class="spread" d="M{low:.1f} {middle} H{high:.1f} {ends}"/>')
        parts.append(f'<text class="value" x="{start + most * scale + 8:.1f}" y="{middle + 4}">{number(value)}</text>')
    return parts
