"""Figures as they are kept in bench/results.json, and how the targets stand by them. Pure.

The median stands for a figure; its spread is its least and its greatest sample. A ratio of two figures is taken sample
by sample where both have as many, each from the same repetition; else of the medians.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.result import Result
from bench.targets import Target

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One scenario's run: when (UTC), for how many seconds, on which machine, and what it found."""

    when: str
    seconds: float
    quick: bool
    machine: Mapping[str, str]
    figures: tuple[Result, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A target beside what was measured: `samples` of the figure or ratio. None: what it needs was not measured."""

    target: Target
    samples: tuple[float, ...] | None

    @property
    def value(self) -> float | None:
        """What is compared with the bound."""
        return median(self.samples) if self.samples else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.target.bound if self.target.least else self.value <= self.target.bound

    @property
    def word(self) -> str:
        """What a table says."""
        return {True: "met", False: "missed", None: "not measured"}[self.met]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All runs, by scenario."""

    ran: Mapping[str, Ran] = field(default_factory=dict)

    def each(self) -> Iterator[Result]:
        """Every figure."""
        for one in self.ran.values():
            yield from one.figures

    def samples(self, name: str) -> tuple[float, ...] | None:
        """The samples of the figure of that name."""
        return next((result.samples for result in self.each() if result.name == name), None)

    def ratio(self, name: str, to: str) -> tuple[float, ...] | None:
        """One figure over another; None where one of them was not measured."""
        ours, theirs = self.samples(name), self.samples(to)
        if not ours or not theirs:
            return None
        if len(ours) == len(theirs):
            return tuple(a / b for a, b in zip(ours, theirs, strict=True))
        return (median(ours) / median(theirs),)

    def verdict(self, target: Target) -> Verdict:
        """How a target stands."""
        if target.to is None:
            return Verdict(target=target, samples=self.samples(target.figure))
        samples = self.ratio(target.figure, target.to)
        if samples and target.worst:
            samples = (min(self.samples(target.figure) or ()) / max(self.samples(target.to) or ()),)
        return Verdict(target=target, samples=samples)


def encode(figures: Figures) -> str:
    """The text of results.json."""
    ran = {
        name: {
            "when": one.when,
            "seconds": one.seconds,
            "quick": one.quick,
            "machine": dict(one.machine),
            "figures": [{"name": r.name, "unit": r.unit, "samples": list(map(_short, r.samples))} for r in one.figures],
        }
        for name, one in figures.ran.items()
    }
    return json.dumps(ran, indent=1) + "\n"


def decode(text: str) -> Figures:
    """Read what encode wrote."""
    value: dict[str, Any] = json.loads(text)
    return Figures(
        ran={
            name: Ran(
                when=one["when"],
                seconds=one["seconds"],
                quick=one["quick"],
                machine=one["machine"],
                figures=tuple(
                    Result(name=each["name"], unit=each["unit"], samples=tuple(each["samples"]))
                    for each in one["figures"]
                ),
            )
            for name, one in value.items()
        }
    )


def number(value: float) -> str:
    """A figure as people read it: three digits that count."""
    if abs(value) >= 1000:  # noqa: PLR2004 - no fraction counts there
        return f"{value:,.0f}"
    return f"{value:.3g}"


def middle(samples: Sequence[float] | None) -> str:
    """The median, where anything was measured."""
    return number(median(samples)) if samples else ""


def spread(samples: Sequence[float] | None) -> str:
    """The least and the greatest, where there are several."""
    return f"{number(min(samples))} to {number(max(samples))}" if samples and len(samples) > 1 else ""


def _short(value: float) -> float:
    return float(f"{value:.6g}")
