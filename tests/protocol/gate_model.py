"""The gate's protocol as a pure function: a state, and what may happen next. docs/adr/0001-gate-protocol.md is its text.

A worker is where it waits for one call of a store; carrying that call out, and all that the worker does until its next
one, is one step. So any order of the calls of all workers is explored, a worker may sleep at any call for as long as it
likes, and it may die there.

What happens besides: a deletion reaches its store at any time after it was sent, record by record; its answer is lost;
its worker dies and it still arrives; the app renews a record or writes it anew; a stranger deletes it; a lease comes or
goes; a hold is placed, looks at the open journals and says that it is in force; five minutes pass; the ledger takes a
settled journal away.

Assumed, as the ADR does: what was sent reaches its store before the journal's latest version is five minutes old, or
never, but for what a worker still waits for; such a worker does not die before it has said what came of it.

Not in here: which bytes an event has, laws (they keep a record as a hold does), members who leave, more than one store, the
number of attempts (any), the time that an attempt takes (at any time it may be too old to send), keys, the doorbell.
"""

from collections.abc import Iterator
from itertools import combinations

from explore import Edge, put
from gate_state import ANSWERS, LOOKED, NONE, STAYS, State, Unit, Worker
from gate_world import World


class Gate(World):
    """The successors of a state, within bounds."""

    def successors(self, state: State) -> Iterator[Edge]:
        """Every step that may come next."""
        yield from self._world(state)
        yield from self._hold(state)
        for number, worker in enumerate(state.workers):
            if worker.at not in ("dead", "idle") and not worker.slept:
                yield (number, "dies"), self._dies(state, number)
            yield from self._work(state, number, worker)

    # ------------------------------------------------------------ a worker

    def _work(self, s: State, number: int, w: Worker) -> Iterator[Edge]:
        """The call that a worker waits for is carried out, and it goes on to its next one."""
        match w.at:
            case "dead":
                return
            case "idle":
                for unit in range(len(s.units)):
                    if s.units[unit].state == "open":
                        yield (
                            (number, "recovers", unit),
                            self._put(s, number, Worker(at="read", unit=unit, recovery=True)),
                        )
            case "delete":
                yield from self._deleting(s, number, w)
            case "look" | "look back":
                yield (number, w.at), self._looked(s, number, w, answered=True)
                if self.bounds.lost and w.at == "look":  # looking back is repeated until there is an answer
                    yield (number, "look, no answer"), self._looked(s, number, w, answered=False)
            case _:
                step = getattr(self, "_" + w.at.replace(" ", "_"))
                yield (number, w.at), step(s, number, w)

    def _size(self, w: Worker) -> int:
        return len(self.bounds.units[w.unit])

    def _covered(self, s: State, w: Worker) -> frozenset[int]:
        if s.hold.at == "none":
            return NONE
        return frozenset(n for n, r in enumerate(self.bounds.units[w.unit]) if r in self.bounds.covered)

    def _writes(self, s: State, w: Worker, number: int, unit: Unit) -> State:
        """The journal is written: the versions that the others know are old."""
        workers = tuple(
            each._replace(current=n == number) if each.unit == w.unit and (each.current or n == number) else each
            for n, each in enumerate(s.workers)
        )
        return s._replace(units=put(s.units, w.unit, unit), workers=workers)

    # the first worker

    def _holds_first(self, s: State, number: int, w: Worker) -> State:
        kept = self._covered(s, w) if self.rules.holds_before_intent else NONE
        return self._put(s, number, w._replace(at="create", outcomes=("",) * self._size(w), kept=kept))

    def _create(self, s: State, number: int, w: Worker) -> State:
        s = self._writes(s, w, number, Unit(state="open", young=True))
        w = w._replace(at="holds", current=True)
        if self.rules.holds_before_intent:
            return self._kept(s, number, w, w.kept)
        return self._put(s, number, w)

    # recovery, and whoever comes again

    def _read(self, s: State, number: int, w: Worker) -> State:
        if s.units[w.unit].state != "open":
            return self._ends(s, number)
        return self._put(s, number, w._replace(at="now", current=True, outcomes=("",) * self._size(w)))

    def _now(self, s: State, number: int, w: Worker) -> State:
        quiet = (w.current and not s.units[w.unit].young) or self.rules.keeps_without_waiting
        at = "touch" if w.left and not self.rules.never_touches else "holds"
        if at == "holds":
            return self._put(s, number, self._repeated(w, quiet))
        return self._put(s, number, w._replace(at=at, quiet=quiet, old=False))

    def _touch(self, s: State, number: int, w: Worker) -> State:
        if not w.current:
            quiet = self.rules.keeps_without_waiting
            return self._put(s, number, w._replace(at="touch read", quiet=quiet))
        s = self._writes(s, w, number, s.units[w.unit]._replace(young=True))
        return self._put(s, number, self._repeated(w._replace(current=True, slept=False), w.quiet))

    def _touch_read(self, s: State, number: int, w: Worker) -> State:
        if s.units[w.unit].state != "open":
            return self._ends(s, number)
        return self._put(s, number, w._replace(at="touch", current=True, old=False))

    def _repeated(self, w: Worker, quiet: bool) -> Worker:
        every = frozenset(range(self._size(w)))
        return w._replace(
            at="holds",
            again=True,
            quiet=False,
            kept=NONE,
            answers=(),
            silent=NONE,
            unsure=NONE if quiet else every,
            tried=every,
        )

    # holds, looks, deletions

    def _holds(self, s: State, number: int, w: Worker) -> State:
        return self._kept(s, number, w, self._covered(s, w) & w.left)

    def _kept(self, s: State, number: int, w: Worker, kept: frozenset[int]) -> State:
        if w.again and self.rules.recovers_by_a_look:
            return self._put(s, number, w._replace(at="look", kept=w.left))
        if kept and w.again and not self.rules.keeps_without_a_look:
            return self._put(s, number, w._replace(at="look", kept=kept))
        found = tuple("held" if n in kept else each for n, each in enumerate(w.outcomes))
        return self._asks(s, number, w._replace(kept=kept, outcomes=found))

    def _looked(self, s: State, number: int, w: Worker, *, answered: bool) -> State:
        found = list(w.outcomes)
        for n in w.kept if answered else ():
            there = s.records[self.bounds.units[w.unit][n]]
            if there != "old":
                found[n] = LOOKED[there]
            elif w.at == "look" and n not in w.unsure:
                found[n] = "held"
            elif w.at == "look" and self.rules.recovers_by_a_look:
                found[n] = "blocked"
        w = w._replace(outcomes=tuple(found))
        return self._asks(s, number, w) if w.at == "look" else self._corrects(s, number, w)

    def _asks(self, s: State, number: int, w: Worker) -> State:
        """Sends what is left, if it may; else the attempt is over."""
        ask = w.left - w.kept
        if ask and self.rules.settles_before_deleting and w.at != "settle":
            return self._put(s, number, w._replace(at="settle", answers=("",) * self._size(w)))
        often = self.bounds.attempts
        if ask and (not w.old or self.rules.sends_at_any_age) and (not often or w.asked < often):
            more = w.asked + 1 if often else 0
            return self._put(s, number, w._replace(at="delete", out=ask, answers=("",) * self._size(w), asked=more))
        return self._over(s, number, w)

    def _over(self, s: State, number: int, w: Worker) -> State:
        w = w._replace(kept=NONE, unsure=w.unsure & w.left, old=False, answers=(), asked=0)
        if w.left and self.rules.gives_up_in_silence:
            return self._ends(s, number)
        return self._put(s, number, w._replace(at="give up" if w.left else "settle"))

    def _deleting(self, s: State, number: int, w: Worker) -> Iterator[Edge]:
        records = self.bounds.units[w.unit]
        for n in sorted(w.out):
            after, answer = self._reaches(s, w.unit, records[n])
            reached = w._replace(out=w.out - {n}, answers=put(w.answers, n, answer))
            yield (number, "delete reaches", n), self._put(after, number, reached)
        asked = w.left - w.kept
        if not w.out:
            yield (number, "delete"), self._answered(s, number, w, NONE)
        if self.bounds.lost:
            reached = sorted(asked - w.out)
            for many in range(len(reached) + 1):
                for some in combinations(reached, many):
                    silent = w.out | set(some)
                    if silent:
                        unheard = self._answered(s, number, w, silent, again=True)
                        yield (number, "delete, no answer", *sorted(silent)), unheard
                        unheard = self._answered(s, number, w, silent, again=False)
                        yield (number, "delete, no answer, a long wait", *sorted(silent)), unheard

    def _answered(self, s: State, number: int, w: Worker, silent: frozenset[int], *, again: bool = True) -> State:
        """What is not out any more has an answer, but for those that are silent. `again`: those are asked for again."""
        asked = w.left - w.kept
        found = list(w.outcomes)
        for n in asked - silent:
            outcome = ANSWERS[w.answers[n]]
            if outcome == "renewed" and n in w.tried and not self.rules.renewed_whatever_was_tried:
                outcome = "replaced"
            if not (outcome == "blocked" and n in w.unsure) or self.rules.blocked_at_once:
                found[n] = outcome
        if not w.slept:  # else what it waited for has reached the store by now, or never will
            s = self._leaves(s, w)
        w = w._replace(
            outcomes=tuple(found),
            unsure=w.unsure | silent,
            tried=w.tried | silent,
            silent=w.silent | silent,
            out=NONE,
            answers=(),
        )
        if silent and again:
            return self._asks(s, number, w)
        if not silent and w.left - w.kept and again:  # it said blocked, and that is not final yet: asked for again
            return self._asks(s, number, w)
        return self._over(s, number, w)

    # the end

    def _settle(self, s: State, number: int, w: Worker) -> State:
        unit = s.units[w.unit]
        fits = unit.state in ("open", "settled") if self.rules.settles_whatever_is_there else w.current
        if not fits:
            return self._put(s, number, w._replace(at="settle read"))
        if self.rules.settles_before_deleting and w.left:
            said = tuple(each or "erased" for each in w.outcomes)
            s = self._writes(s, w, number, Unit(state="settled", said=said))
            return self._put(s, number, w._replace(at="delete", out=w.left - w.kept, answers=("",) * self._size(w)))
        s = self._writes(s, w, number, Unit(state="settled", said=w.outcomes))
        return self._ends(s, number)

    def _settle_read(self, s: State, number: int, w: Worker) -> State:
        if s.units[w.unit].state != "open":
            return self._put(s, number, w._replace(at="settle said"))
        drop = set() if self.rules.trusts_what_stayed else {"held", "blocked", "renewed"}
        known = tuple("" if each in drop else each for each in w.outcomes)
        return self._put(s, number, w._replace(at="now", current=True, outcomes=known, old=False))

    def _settle_said(self, s: State, number: int, w: Worker) -> State:
        unit = s.units[w.unit]
        return self._corrects(s, number, w._replace(said=unit.said if unit.state == "settled" else None))

    def _give_up(self, s: State, number: int, w: Worker) -> State:
        if not w.current:
            return self._put(s, number, w._replace(at="give up read"))
        return self._ends(self._writes(s, w, number, s.units[w.unit]._replace(young=True)), number)

    def _give_up_read(self, s: State, number: int, w: Worker) -> State:
        if s.units[w.unit].state == "open":
            return self._put(s, number, w._replace(at="give up", current=True))
        return self._put(s, number, w._replace(at="give up said"))

    def _give_up_said(self, s: State, number: int, w: Worker) -> State:
        unit = s.units[w.unit]
        w = w._replace(said=unit.said if unit.state == "settled" else None, kept=w.left & w.unsure)
        return self._put(s, number, w._replace(at="look back")) if w.kept else self._corrects(s, number, w)

    def _wrong(self, w: Worker) -> tuple[tuple[int, str], ...]:
        """What this worker did that was said otherwise."""
        silent = NONE if self.rules.corrects_no_silence else w.silent
        lost = silent if w.said is None and w.again else w.tried
        return tuple(
            (n, each)
            for n, each in enumerate(w.outcomes)
            if each == "erased" or (n in lost and each in ("gone", "replaced"))
            if w.said is None or w.said[n] in STAYS
        )

    def _corrects(self, s: State, number: int, w: Worker) -> State:
        # Less than five minutes after it began nobody can have called final what stays: what was cleared needs no word.
        if self.rules.never_corrects or not self._wrong(w) or (w.said is None and not w.late):
            return self._ends(s, number)
        return self._put(s, number, w._replace(at="correct"))

    def _correct(self, s: State, number: int, w: Worker) -> State:
        records = self.bounds.units[w.unit]
        more = [(w.unit, records[n], word) for n, word in self._wrong(w)]
        s = s._replace(corrections=tuple(sorted((*s.corrections, *more))))
        return self._put(s, number, w._replace(at="holds late"))

    def _holds_late(self, s: State, number: int, w: Worker) -> State:
        records = self.bounds.units[w.unit]
        late = {(w.unit, records[n]) for n, _ in self._wrong(w) if n in self._covered(s, w)}
        return self._ends(s._replace(hold=s.hold._replace(told=s.hold.told | late)), number)
