"""What the replays of both protocols share: how walks are taken, and the error that says where code and model part."""

from collections.abc import Callable, Iterable
from typing import Any

from explore import Edge, shown


class DivergedError(AssertionError):
    """The code does otherwise than the model."""


async def walked(walks: Iterable[list[Edge]], replay: Callable[[], Any]) -> int:
    """Have the code take each walk, in a replay of its own; how many they are."""
    number = steps = 0
    for walk in walks:
        await replay().walk(walk)
        number, steps = number + 1, steps + len(walk)
    shown(f"{number} walks, {steps} steps")
    return number
