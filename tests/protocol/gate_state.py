"""The values of the gate's model: what may be weakened, what is explored, and what a state is."""

from dataclasses import dataclass
from typing import NamedTuple

NONE = frozenset[int]()
ACCOUNTS = {"erased", "gone", "replaced"}
"""What may be said of a record whose listed version was deleted."""

STAYS = {"held", "blocked"}
LOOKED = {"gone": "gone", "new": "replaced"}
SENDS_LATER = {"create", "touch", "touch read", "holds", "look", "delete"}
BEGUN_LATER = {"holds first", "read", "idle", "dead"}
ANSWERS = {"deleted": "erased", "missing": "gone", "changed": "renewed", "leased": "blocked"}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The protocol where all is False. Each flag takes one of its steps away, or puts it elsewhere."""

    settles_whatever_is_there: bool = False  # without If-Match
    recovers_by_a_look: bool = False  # and does not ask for a deletion
    keeps_without_waiting: bool = False  # recovery calls a record held or blocked at once
    keeps_without_a_look: bool = False  # recovery calls held what a hold covers
    holds_before_intent: bool = False
    never_touches: bool = False  # recovery sends without a new version of the journal
    settles_before_deleting: bool = False
    sends_at_any_age: bool = False  # an attempt sends however long ago it began
    renewed_whatever_was_tried: bool = False
    never_corrects: bool = False
    corrects_no_silence: bool = False  # who came again, what it had no answer for, where the journal is cleared
    blocked_at_once: bool = False  # though an earlier deletion may be on its way
    gives_up_in_silence: bool = False  # leaves the journal's version as it is
    trusts_what_stayed: bool = False  # another worker was there, and what was held or blocked is said all the same


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is explored. `units` are the journals' records, `workers` the unit of each worker who begins one.

    `recoveries` is how many may be at work at once. `covered` are the records that the hold is about.
    """

    units: tuple[tuple[int, ...], ...] = ((0,),)
    workers: tuple[int, ...] = (0,)
    recoveries: int = 1
    covered: frozenset[int] = NONE
    app: frozenset[int] = NONE  # records that the app renews or writes anew, once
    strangers: frozenset[int] = NONE  # records that somebody else may delete
    leases: frozenset[int] = NONE  # records that are leased at first; the lease may end
    lost: bool = True  # answers may be lost
    attempts: int = 0  # how often one attempt asks; 0: any number of times
    waits: bool = False  # a hold that looks at the open journals
    rules: Rules = Rules()

    @property
    def records(self) -> int:
        """How many there are."""
        return 1 + max(r for unit in self.units for r in unit)

    def start(self) -> "State":
        """Nothing has happened."""
        workers = [Worker(at="holds first", unit=unit) for unit in self.workers]
        return State(
            records=("old",) * self.records,
            took=(("", -1),) * self.records,
            leased=self.leases,
            hold=Hold(),
            units=(Unit(),) * len(self.units),
            workers=(*workers, *[IDLE] * self.recoveries),
            ghosts=frozenset(),
            corrections=(),
        )


class Unit(NamedTuple):
    """A unit of work's journal. `young`: its latest version was written less than five minutes ago."""

    state: str = "absent"
    young: bool = False
    said: tuple[str, ...] = ()


class Hold(NamedTuple):
    """A hold. `noted` are the units open when it looked, `done` those it has seen settled, `late` (unit, record)."""

    at: str = "none"
    done: int = 0
    noted: tuple[int, ...] = ()
    late: frozenset[tuple[int, int]] = frozenset()
    told: frozenset[tuple[int, int]] = frozenset()  # by the gate's own notes


class Worker(NamedTuple):
    """A worker at the call that it waits for. Ordinals are places in its unit.

    `current`: nobody has written the journal since its version was read or written here. `old`: the attempt is too old
    to send. `slept`: five minutes passed while it waited for a deletion. `late`: they passed since it began at all. `out`
    has not reached the store yet.
    """

    at: str
    unit: int = -1
    recovery: bool = False
    again: bool = False
    quiet: bool = False
    current: bool = False
    old: bool = False
    slept: bool = False
    late: bool = False
    outcomes: tuple[str, ...] = ()
    kept: frozenset[int] = NONE
    unsure: frozenset[int] = NONE
    tried: frozenset[int] = NONE
    silent: frozenset[int] = NONE  # asked for in this attempt, without an answer
    out: frozenset[int] = NONE
    answers: tuple[str, ...] = ()
    asked: int = 0  # how often, in this attempt
    said: tuple[str, ...] | None = None

    @property
    def left(self) -> frozenset[int]:
        """The records without an outcome."""
        return frozenset(n for n, each in enumerate(self.outcomes) if not each)


IDLE = Worker(at="idle", recovery=True)
DEAD = Worker(at="dead")


class State(NamedTuple):
    """All of it. `took`: whether the listed version was deleted by the gate, how far the hold was then, for which unit."""

    records: tuple[str, ...]  # "old": as it was listed; "new", "gone"
    took: tuple[tuple[str, int], ...]
    leased: frozenset[int]
    hold: Hold
    units: tuple[Unit, ...]
    workers: tuple[Worker, ...]
    ghosts: frozenset[tuple[int, int]]  # (unit, record): nobody waits for these any more, and they may still arrive
    corrections: tuple[tuple[int, int, str], ...]


def kind(before: State, label: tuple, after: State) -> tuple:
    """What a step is to the one who takes it: what that worker knew and knows then, and how its journal stood."""
    who, *what = label
    if not isinstance(who, int):
        return (*label, before.hold.at, tuple(w.at for w in before.workers))
    unit = max(before.workers[who].unit, after.workers[who].unit)
    return (*what, before.workers[who], after.workers[who], before.units[unit], before.hold.at)
