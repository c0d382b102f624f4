"""The values of the ledger's model: what may be weakened, what is explored, and what a state is."""

from dataclasses import dataclass
from typing import NamedTuple

Log = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The protocol where all is False. Each flag takes one of its steps away, or puts it elsewhere."""

    journals_before_head: bool = False
    swaps_whatever_is_there: bool = False  # without If-Match
    clears_before_the_swap: bool = False  # journals, before the head includes them
    believes_a_refusal: bool = False  # and does not look whose head it is
    stages_under_one_name: bool = False  # the same bytes under the same name
    sweeps_what_is_young: bool = False  # staging objects that the head may come to name
    never_compares: bool = False  # the sealer, with what was signed
    never_notes: bool = False  # the sealer, the size that is about to be signed
    moves_before_sending: bool = False  # the publisher its cursor


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is explored. `journals` may settle; `deaths` is how many die in all; `set_back`: the head is, once."""

    journals: int = 2
    appenders: int = 2
    sealers: int = 0
    publishers: int = 0
    deaths: int = 1
    repeats: int = 1
    set_back: bool = False
    rules: Rules = Rules()

    def start(self) -> "State":
        """Nothing has happened."""
        kinds = ["append"] * self.appenders + ["seal"] * self.sealers + ["publish"] * self.publishers
        return State(
            journals=("absent",) * self.journals,
            head=None,
            staging=frozenset(),
            workers=tuple(Worker(kind=kind) for kind in kinds),
            deaths=self.deaths,
            repeats=self.repeats,
        )


class Head(NamedTuple):
    """The head: what the log is, the staging object that holds it, the journals that may still be there."""

    log: Log = ()
    staged: int | None = None
    appended: Log = ()


class Worker(NamedTuple):
    """A worker at the call that it waits for. `current`: nobody changed since what its next swap is conditional on."""

    kind: str
    at: str = "rests"
    head: Head | None = None
    current: bool = False
    listed: Log = ()
    batch: Log = ()
    name: int | None = None
    latest: Log | None = None
    first: int = 0
    orphans: tuple[int, ...] = ()


class State(NamedTuple):
    """All of it. `staging`: name, content, and whether the head was written since. `signed`: every checkpoint ever."""

    journals: tuple[str, ...]
    head: Head | None
    staging: frozenset[tuple[int, Log, bool]]
    workers: tuple[Worker, ...]
    deaths: int = 0
    repeats: int = 0
    latest: Log | None = None
    newest: int = 0  # the largest size that was noted before it was signed
    signed: frozenset[Log] = frozenset()
    cursor: int = 0
    published: frozenset[tuple[int, int]] = frozenset()
    back: bool = False
    fault: str = ""


def kind(before: State, label: tuple, after: State) -> tuple:
    """What a step is to the one who takes it: what that worker knew, what it does next, and what head there was."""
    who, *what = label
    if not isinstance(who, int):
        return label
    return (*what, before.workers[who], after.workers[who].at, before.head)


def prefix(one: Log, other: Log) -> bool:
    """Whether a log begins with another."""
    return other[: len(one)] == one
