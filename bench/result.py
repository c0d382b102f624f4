"""One figure of a measurement, with every repetition's sample: what the scenarios hand over. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Result:
    """A figure: `name` is a path such as `ledger/append`, `unit` such as `events/s`, `samples` one per repetition."""

    name: str
    unit: str
    samples: tuple[float, ...]
