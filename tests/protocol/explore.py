"""Explores a protocol's states exhaustively: each reachable one once, breadth first, so that a counterexample is a shortest.

A model is a first state and a pure function from a state to its successors, each with a label that says who did what.
Refused with TooManyError: a model that has more states than the test allows, because a search that was cut short shows
nothing.
"""

import random
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

OURS = 0.8  # of the steps of a walk by chance, where a worker can go on

Label = tuple[Any, ...]
State = Hashable
Edge = tuple[Label, State]


class Model(Protocol):
    """What is explored: `bounds.start()` is its first state, `broken` says why a state must not be, or nothing."""

    bounds: Any

    def successors(self, state: Any, /) -> Iterable[Edge]: ...
    def broken(self, state: Any, /) -> str: ...


class TooManyError(Exception):
    """The model has more states than were allowed."""


@dataclass(frozen=True, kw_only=True)
class Explored:
    """What a search found. `trace` are the labels that lead to the first broken state, with `why`; else all is seen."""

    states: int
    steps: int
    why: str = ""
    trace: tuple[Label, ...] = ()

    def __str__(self) -> str:
        text = f"{self.states} states, {self.steps} steps"
        return f"{text}: {self.why}\n  " + "\n  ".join(map(told, self.trace)) if self.why else text


def shown(text: object) -> None:
    """Print a figure: `pytest -s` shows it."""
    print(text)  # noqa: T201 - the number of states is what an exploration shows


def told(label: Label) -> str:
    """A label as a line of a trace."""
    return " ".join(map(str, label))


def explore(model: Model, *, most: int = 2_000_000) -> Explored:
    """Search all states, or up to the first that is broken."""
    start = model.bounds.start()
    came: dict[State, tuple[State, Label] | None] = {start: None}
    waiting = deque([start])
    steps = 0
    while waiting:
        state = waiting.popleft()
        why = model.broken(state)
        if why:
            return Explored(states=len(came), steps=steps, why=why, trace=_way(came, state))
        for label, after in model.successors(state):
            steps += 1
            if after not in came:
                came[after] = (state, label)
                waiting.append(after)
        if len(came) > most:
            raise TooManyError(f"more than {most} states")
    return Explored(states=len(came), steps=steps)


def _way(came: dict[State, tuple[State, Label] | None], state: State) -> tuple[Label, ...]:
    labels = []
    while (step := came[state]) is not None:
        state, label = step
        labels.append(label)
    return tuple(reversed(labels))


def taken(model: Model, trace: Iterable[Label]) -> list[Edge]:
    """The walk whose labels a trace has."""
    walk: list[Edge] = []
    at = model.bounds.start()
    for label in trace:
        walk.append(next(edge for edge in model.successors(at) if edge[0] == label))
        at = walk[-1][1]
    return walk


def graph(model: Model, *, most: int = 200_000) -> dict[State, list[Edge]]:
    """Every state with its successors, in the order in which they are found."""
    found: dict[State, list[Edge]] = {}
    start = model.bounds.start()
    waiting = deque([start])
    seen = {start}
    while waiting:
        state = waiting.popleft()
        found[state] = list(model.successors(state))
        for _, after in found[state]:
            if after not in seen:
                seen.add(after)
                waiting.append(after)
        if len(seen) > most:
            raise TooManyError(f"more than {most} states")
    return found


def covering(
    of: dict[State, list[Edge]], kind: Callable[[Any, Label, Any], Hashable] | None = None, *, longest: int = 400
) -> Iterator[list[Edge]]:
    """Walks from the first state that take every step of the graph at least once, or one step of each kind."""
    states = list(of)
    number = {state: n for n, state in enumerate(states)}
    after = [[number[edge[1]] for edge in edges] for edges in of.values()]
    came = _came(after)
    kinds = [
        [kind(state, *edge) if kind else (n, m) for m, edge in enumerate(edges)]
        for n, (state, edges) in enumerate(of.items())
    ]
    left = {each for row in kinds for each in row}
    for first in reversed(range(len(states))):  # the farthest first: its way covers much of the others
        while not left.isdisjoint(kinds[first]):
            walk = []
            at = first
            while came[at] is not None:
                walk.append(came[at])
                at = came[at][0]
            walk.reverse()
            left.difference_update(kinds[one][step] for one, step in walk)
            at = first
            while len(walk) < longest and (new := [n for n, each in enumerate(kinds[at]) if each in left]):
                left.discard(kinds[at][new[0]])
                walk.append((at, new[0]))
                at = after[at][new[0]]
            if walk:
                yield [of[states[one]][step] for one, step in walk]


def _came(after: list[list[int]]) -> list[tuple[int, int] | None]:
    """By which step of which state each was found first."""
    came: list[tuple[int, int] | None] = [None] * len(after)
    seen = {0}
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        for step, other in enumerate(after[state]):
            if other not in seen:
                seen.add(other)
                came[other] = (state, step)
                waiting.append(other)
    return came


def stuck(of: dict[State, list[Edge]], goal: Callable[[Any], bool]) -> list[State]:
    """The states from which no state that `goal` asks for can be reached."""
    before: dict[State, list[State]] = {state: [] for state in of}
    for state, edges in of.items():
        for _, after in edges:
            before[after].append(state)
    waiting = deque(state for state in of if goal(state))
    good = set(waiting)
    while waiting:
        for state in before[waiting.popleft()]:
            if state not in good:
                good.add(state)
                waiting.append(state)
    return [state for state in of if state not in good]


def wandering(model: Model, *, seed: int, longest: int) -> list[Edge]:
    """A walk by chance, in which few die and little else happens: so that workers come far."""
    chance = random.Random(seed)
    walk: list[Edge] = []
    at = model.bounds.start()
    while len(walk) < longest and (edges := list(model.successors(at))):
        ours = [edge for edge in edges if isinstance(edge[0][0], int) and edge[0][1] != "dies"]
        walk.append(chance.choice(ours if ours and chance.random() < OURS else edges))
        at = walk[-1][1]
    return walk


def put(items: tuple, at: int, item: object) -> tuple:
    """The items of a state with another one at a place."""
    return (*items[:at], item, *items[at + 1 :])
