"""What happens around the gate's workers: the app, strangers, leases, the hold, the ledger, time, and deletions that arrive."""

from collections.abc import Iterator

from explore import Edge, put
from gate_promises import Promises
from gate_state import BEGUN_LATER, DEAD, IDLE, SENDS_LATER, Bounds, State, Worker


class World(Promises):
    """What happens without a worker, within bounds, and what a deletion does."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self.rules = bounds.rules

    # ------------------------------------------------------------ the world around

    def _world(self, s: State) -> Iterator[Edge]:
        for r, version in enumerate(s.records):
            if r in self.bounds.app and version != "new":
                yield ("app", "writes", r), self._becomes(s, r, "new")
            if r in self.bounds.strangers and version == "old":
                yield ("stranger", "deletes", r), self._becomes(s, r, "gone")
            if r in s.leased:
                yield ("lease", "ends", r), s._replace(leased=s.leased - {r})
        for unit, r in sorted(s.ghosts):
            after, _ = self._reaches(s, unit, r)
            yield ("late", "delete", unit, r), after._replace(ghosts=s.ghosts - {(unit, r)})
        for number, unit in enumerate(s.units):
            if unit.state == "settled":
                yield (
                    ("ledger", "clears", number),
                    s._replace(units=put(s.units, number, unit._replace(state="cleared"))),
                )
            after = self._pass(s, number)
            if after != s:
                yield ("minutes", "pass", number), after

    def _pass(self, s: State, number: int) -> State:
        """Five minutes, for one journal and all who are at work on it."""
        unit = s.units[number]
        if unit.state not in ("absent", "open"):
            return s
        workers = tuple(self._passes(w) if w.unit == number else w for w in s.workers)
        ghosts = frozenset(g for g in s.ghosts if g[0] != number)
        return s._replace(units=put(s.units, number, unit._replace(young=False)), workers=workers, ghosts=ghosts)

    @staticmethod
    def _passes(w: Worker) -> Worker:
        if w.at in SENDS_LATER:
            w = w._replace(old=True, slept=w.slept or (w.at == "delete" and bool(w.out)))
        return w if w.at in BEGUN_LATER else w._replace(late=True)

    def _reaches(self, s: State, unit: int, r: int) -> tuple[State, str]:
        """A conditional deletion reaches the store: what it does, and answers."""
        if s.records[r] != "old":
            return s, "missing" if s.records[r] == "gone" else "changed"
        if r in s.leased:
            return s, "leased"
        took = put(s.took, r, (s.hold.at, unit))
        return self._becomes(s, r, "gone")._replace(took=took), "deleted"

    def _becomes(self, s: State, r: int, version: str) -> State:
        """The listed version never comes back, so what is on its way to it does nothing any more."""
        ghosts = frozenset(g for g in s.ghosts if g[1] != r)
        return s._replace(records=put(s.records, r, version), ghosts=ghosts)

    def _leaves(self, s: State, w: Worker) -> State:
        """Nobody waits any more for what this worker sent."""
        records = self.bounds.units[w.unit]
        more = {(w.unit, records[n]) for n in w.out if s.records[records[n]] == "old"}
        return s._replace(ghosts=s.ghosts | more) if more else s

    def _dies(self, s: State, number: int) -> State:
        return self._ends(self._leaves(s, s.workers[number]), number)

    def _put(self, s: State, number: int, worker: Worker) -> State:
        return s._replace(workers=put(s.workers, number, worker))

    def _ends(self, s: State, number: int) -> State:
        return self._put(s, number, IDLE if s.workers[number].recovery else DEAD)

    # ------------------------------------------------------------ the hold

    def _hold(self, s: State) -> Iterator[Edge]:
        hold, covered = s.hold, self.bounds.covered
        if hold.at == "none" and covered:
            yield ("hold", "is placed"), s._replace(hold=hold._replace(at="looks"))
        if not self.bounds.waits:
            return
        if hold.at == "looks":
            unit = hold.done
            seen = s.units[unit].state == "open" and bool(covered & set(self.bounds.units[unit]))
            noted = (*hold.noted, unit) if seen else hold.noted
            last = unit + 1 == len(s.units)
            after = hold._replace(at="waits" if last else "looks", done=0 if last else unit + 1, noted=noted)
            yield ("hold", "looks at", unit), s._replace(hold=after)
        if hold.at == "waits":
            if hold.done == len(hold.noted):
                yield ("hold", "is in force"), s._replace(hold=hold._replace(at="in force"))
            elif s.units[hold.noted[hold.done]].state != "open":
                unit = hold.noted[hold.done]
                gone = {(unit, r) for r in self.bounds.units[unit] if r in covered and s.records[r] != "old"}
                known = {r for _, r in hold.late}
                late = hold.late | {each for each in gone if each[1] not in known}
                yield ("hold", "counts", unit), s._replace(hold=hold._replace(done=hold.done + 1, late=late))
