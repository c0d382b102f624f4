"""A contest: contestants on the same servers with the same data, each so many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from bench.measure import Cost, say


def rotate(what: str, contestants: Sequence[str], times: int, once: Callable[[str], Cost]) -> dict[str, list[Cost]]:
    """Every contestant so many times, in an order that rotates from one repetition to the next."""
    found: dict[str, list[Cost]] = {name: [] for name in contestants}
    for number in range(times):
        turn = number % len(contestants)
        for name in [*contestants[turn:], *contestants[:turn]]:
            found[name].append(once(name))
        rates = ", ".join(f"{n} {median(c.deleted / c.seconds for c in costs):,.0f}/s" for n, costs in found.items())
        say(f"{what}, {number + 1} of {times}: {rates}")
    return found


def fastest(concurrency: Sequence[int], once: Callable[[int], Cost]) -> int:
    """At which concurrency it takes the least time; where there is no choice, nothing is tried."""
    return concurrency[0] if len(concurrency) == 1 else min(concurrency, key=lambda n: once(n).seconds)
