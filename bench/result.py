"""One figure of a measurement, with every repetition's sample: what the scenarios hand over. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Result:
    """A figure: `name` is a path such as `ledger/append`, `unit` such as `events/s`, `samples` one per repetition."""

    name: str
    unit: str
    samples: tuple[float, ...]


def hand_over(results: Iterable[Result]) -> None:
    """Print the figures as one line of JSON, for the process that collects them."""
    json.dump([asdict(result) for result in results], sys.stdout)
    sys.stdout.write("\n")
