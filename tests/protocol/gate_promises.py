"""What must hold of each state of the gate's model, and what must stay within reach of it."""

from gate_state import ACCOUNTS, Bounds, State, Unit


class Promises:
    """The promises, for what is explored."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    def broken(self, s: State) -> str:
        """Why this state must not be; nothing if it may."""
        for number, unit in enumerate(s.units):
            if unit.said:
                why = self._untrue(s, number, unit)
                if why:
                    return why
        return self._late(s)

    def whole(self, s: State) -> bool:
        """Every unit that was begun has said what became of its records, and nobody is at work."""
        return all(
            (unit.said or unit.state == "absent") and self._at_rest(s, number) for number, unit in enumerate(s.units)
        )

    def _at_rest(self, s: State, number: int) -> bool:
        busy = any(w.unit == number and w.at not in ("dead", "idle") for w in s.workers)
        return not busy and not any(unit == number for unit, _ in s.ghosts)

    def _untrue(self, s: State, number: int, unit: Unit) -> str:
        rest = self._at_rest(s, number)
        for n, r in enumerate(self.bounds.units[number]):
            word, mine = unit.said[n], s.took[r][1] == number
            more = [each[2] for each in s.corrections if each[:2] == (number, r)]
            words = [word, *more]
            if words.count("erased") > int(mine):
                return f"record {r}: erased is said {words.count('erased')} times, and happened {int(mine)} times"
            if s.records[r] == "old" and set(words) & (ACCOUNTS | {"renewed"}):
                return f"record {r} is as it was, and {words} is said of it"
            if rest and mine and not set(words) & ACCOUNTS:
                return f"record {r} was deleted by unit {number}, which says {words}"
            if rest and len(more) > 1:
                return f"record {r} is corrected more than once: {words}"
        return ""

    def _late(self, s: State) -> str:
        """Once a hold is in force, and nobody is at work, what it covers and went all the same is counted."""
        if s.hold.at != "in force" or not all(self._at_rest(s, n) and s.units[n].said for n in range(len(s.units))):
            return ""
        for r in sorted(self.bounds.covered):
            when, unit = s.took[r]
            counted = {each for _, each in s.hold.late | s.hold.told}
            if when == "in force" and (unit, r) not in s.hold.told:
                return f"record {r} went when the hold was in force, and is not counted"
            if when in ("looks", "waits") and unit in s.hold.noted and r not in counted:
                return f"record {r} went while the hold waited for its unit, and is not counted"
        return ""
