"""The ledger's protocol as a pure function: a state, and what may happen next. docs/adr/0002-log-on-blob-storage.md is its text.

Appenders, sealers and a publisher, each at the call of a store that it waits for; any order of all calls, and any of
them dies anywhere, as often as the bounds allow. Journals settle at any time, each with one event. The vendor's client
may repeat a swap that went through, and report the refusal. Where the bounds say so, head and latest checkpoint are once
set back to what they were, as a restored container is, and other journals follow.

A log is the tuple of its journals, in place of hashes and tiles: a tree of a size is that prefix, and a consistency proof
is a comparison. Not in here: full bundles and tiles (they repeat what the head commits), bounds of a batch, dropping a year,
a head that is set back while a sealer is between its check and its signature.
"""

from collections.abc import Iterator
from itertools import pairwise

from explore import Edge, put
from ledger_state import Bounds, Head, State, Worker, prefix


class Ledger:
    """The successors of a state, within bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.rules = bounds.rules

    def successors(self, s: State) -> Iterator[Edge]:
        """Every step that may come next."""
        for j, state in enumerate(s.journals):
            if state == "absent" and all(each != "absent" for each in s.journals[:j]):
                yield ("gate", "settles", j), s._replace(journals=put(s.journals, j, "settled"))
        if self.bounds.set_back and not s.back and s.head and not any(w.at != "rests" for w in s.workers):
            for size in range(len(s.head.log)):
                log = s.head.log[:size]
                latest = max((each for each in s.signed if len(each) <= size), key=len, default=None)
                head = Head(log=log, staged=0 if log else None)
                staging = frozenset({(0, log, False)} if log else ())
                yield (
                    ("somebody", "sets back to", size),
                    s._replace(head=head, latest=latest, staging=staging, back=True),
                )
        for number, w in enumerate(s.workers):
            if w.at != "rests" and s.deaths:
                dead = s._replace(deaths=s.deaths - 1)
                yield (number, "dies"), self._set(dead, number, Worker(kind=w.kind))
            yield from self._work(s, number, w)

    def _work(self, s: State, number: int, w: Worker) -> Iterator[Edge]:
        if w.at == "rests":
            at = {"append": "head", "seal": "latest", "publish": "cursor"}[w.kind]
            if w.kind == "append" and self.rules.journals_before_head:
                at = "list"
            yield (number, "begins"), self._set(s, number, w._replace(at=at))
            return
        if w.at == "clear":
            for j in w.listed:
                cleared = s._replace(journals=put(s.journals, j, "gone"))
                left = tuple(each for each in w.listed if each != j)
                at = "clear" if left else self._cleared(w)
                yield (number, "clear", j), self._set(cleared, number, w._replace(listed=left, at=at))
            return
        if w.at in ("swap", "finish") and s.repeats and self._fits(w):
            done = self._swapped(s, w)._replace(repeats=s.repeats - 1)
            yield (number, w.at, "repeated"), self._refused(done, number, w)
        step = getattr(self, "_" + w.at.replace(" ", "_"))
        yield (number, w.at), step(s, number, w)

    def _set(self, s: State, number: int, w: Worker) -> State:
        return s._replace(workers=put(s.workers, number, w))

    def _rests(self, s: State, number: int) -> State:
        return self._set(s, number, Worker(kind=s.workers[number].kind))

    def _again(self, s: State, number: int, w: Worker) -> State:
        """A loser starts again."""
        if w.kind == "append":
            at = "list" if self.rules.journals_before_head else "head"
            return self._set(s, number, Worker(kind=w.kind, at=at))
        return self._set(s, number, Worker(kind=w.kind, at="head", latest=w.latest))

    def _halts(self, s: State, number: int, why: str) -> State:
        """An integrity error: right where somebody set the head back, a fault of the protocol else."""
        s = self._rests(s, number)
        return s if s.back else s._replace(fault=f"worker {number} halts: {why}")

    # ------------------------------------------------------------ the head, ready

    def _head(self, s: State, number: int, w: Worker) -> State:
        w = w._replace(head=s.head or Head(), current=True)
        if s.head is None:
            return self._ready(s, number, w)
        if w.head.staged is not None:
            return self._set(s, number, w._replace(at="staging"))
        return self._finishes(s, number, w)

    def _staging(self, s: State, number: int, w: Worker) -> State:
        found = [log for name, log, _ in s.staging if name == w.head.staged]
        if not found:
            return self._set(s, number, w._replace(at="head again"))
        if found[0] != w.head.log:
            return self._halts(s, number, "the staging object is not the head's")
        return self._finishes(s, number, w)

    def _head_again(self, s: State, number: int, w: Worker) -> State:
        if w.current:
            return self._halts(s, number, "the staging object that the head names is gone")
        return self._again(s, number, w)

    def _finishes(self, s: State, number: int, w: Worker) -> State:
        if not w.head.appended:
            return self._ready(s, number, w)
        return self._set(s, number, w._replace(at="clear", listed=w.head.appended))

    def _cleared(self, w: Worker) -> str:
        return "swap" if self.rules.clears_before_the_swap and w.batch else "finish"

    def _finish(self, s: State, number: int, w: Worker) -> State:
        if not self._fits(w):
            return self._again(s, number, w)
        s = self._swapped(s, w)
        return self._ready(s, number, w._replace(head=s.head, current=True))

    def _ready(self, s: State, number: int, w: Worker) -> State:
        if w.kind == "seal":
            return self._compare(s, number, w)
        if self.rules.journals_before_head:
            return self._stages(s, number, w)
        return self._set(s, number, w._replace(at="list", listed=(), batch=()))

    # ------------------------------------------------------------ append

    def _list(self, s: State, number: int, w: Worker) -> State:
        listed = tuple(j for j, state in enumerate(s.journals) if state == "settled")
        w = w._replace(listed=listed, batch=())
        return self._set(s, number, w._replace(at="read")) if listed else self._rests(s, number)

    def _read(self, s: State, number: int, w: Worker) -> State:
        j = w.listed[0]
        batch = (*w.batch, j) if s.journals[j] == "settled" else w.batch
        w = w._replace(listed=w.listed[1:], batch=batch)
        if w.listed:
            return self._set(s, number, w)
        if self.rules.journals_before_head:
            return self._set(s, number, w._replace(at="head"))
        return self._stages(s, number, w)

    def _stages(self, s: State, number: int, w: Worker) -> State:
        return self._set(s, number, w._replace(at="stage")) if w.batch else self._rests(s, number)

    def _stage(self, s: State, number: int, w: Worker) -> State:
        log = (*w.head.log, *w.batch)
        taken = {name for name, _, _ in s.staging} | {each.name for each in s.workers}
        taken |= {each.head.staged for each in s.workers if each.head} | {n for each in s.workers for n in each.orphans}
        name = min(set(range(len(taken) + 1)) - taken)
        if self.rules.stages_under_one_name:
            name = 100 + sum(each * 10**n for n, each in enumerate(log))
        staging = frozenset({each for each in s.staging if each[0] != name} | {(name, log, False)})
        if self.rules.clears_before_the_swap:
            return self._set(s._replace(staging=staging), number, w._replace(at="clear", name=name, listed=w.batch))
        return self._set(s._replace(staging=staging), number, w._replace(at="swap", name=name))

    def _fits(self, w: Worker) -> bool:
        return w.current or self.rules.swaps_whatever_is_there

    def _swapped(self, s: State, w: Worker) -> State:
        """The head is changed; what the others read of it is old, and so are the staging objects that there are."""
        if w.at == "finish":
            head = w.head._replace(appended=())
        else:
            head = Head(log=(*w.head.log, *w.batch), staged=w.name, appended=w.batch)
        fault = s.fault
        if s.head and not prefix(s.head.log, head.log):
            fault = f"the head was {s.head.log} and is {head.log}"
        workers = tuple(each._replace(current=False) if each.head else each for each in s.workers)
        staging = frozenset((name, log, True) for name, log, _ in s.staging)
        return s._replace(head=head, workers=workers, staging=staging, fault=fault)

    def _swap(self, s: State, number: int, w: Worker) -> State:
        if not self._fits(w):
            return self._refused(s, number, w)
        s = self._swapped(s, w)
        old = w.head.staged
        if old is None:
            return self._again(s, number, w)
        return self._set(s, number, w._replace(at="drop", name=old, batch=(), current=False))

    def _refused(self, s: State, number: int, w: Worker) -> State:
        if w.at == "finish":
            return self._again(s, number, w)
        if self.rules.believes_a_refusal:
            return self._set(s, number, w._replace(at="drop", current=False))
        return self._set(s, number, w._replace(at="names", current=False))

    def _names(self, s: State, number: int, w: Worker) -> State:
        ours = s.head is not None and s.head.staged == w.name
        old = w.head.staged
        if ours and old is None:
            return self._again(s, number, w)
        return self._set(s, number, w._replace(at="drop", name=old if ours else w.name, batch=()))

    def _drop(self, s: State, number: int, w: Worker) -> State:
        s = s._replace(staging=frozenset(each for each in s.staging if each[0] != w.name))
        return self._again(s, number, w)

    # ------------------------------------------------------------ seal

    def _latest(self, s: State, number: int, w: Worker) -> State:
        if w.kind == "publish":
            size = len(s.latest or ())
            if w.first > size:
                return self._halts(s, number, "the cursor is ahead of the checkpoint")
            if w.first == size:
                return self._rests(s, number)
            at = "move" if self.rules.moves_before_sending else "send"
            return self._set(s, number, w._replace(at=at, latest=s.latest))
        return self._set(s, number, w._replace(at="head", latest=s.latest))

    def _compare(self, s: State, number: int, w: Worker) -> State:
        log = w.head.log
        if w.latest == log or (w.latest is None and not log):
            return self._rests(s, number)
        return self._set(s, number, w._replace(at="newest"))

    def _newest(self, s: State, number: int, w: Worker) -> State:
        if s.newest > len(w.head.log) and not self.rules.never_compares:
            return self._halts(s, number, "a larger log was signed before")
        return self._set(s, number, w._replace(at="numbered"))

    def _numbered(self, s: State, number: int, w: Worker) -> State:
        log, old = w.head.log, len(w.latest or ())
        since = [each for each in s.signed if old <= len(each) <= len(log)]
        since += [w.latest] if w.latest is not None else []
        if not self.rules.never_compares and not all(prefix(each, log) for each in since):
            return self._halts(s, number, "the log is another than was signed")
        return self._set(s, number, w._replace(at="sign" if self.rules.never_notes else "note"))

    def _note(self, s: State, number: int, w: Worker) -> State:
        return self._set(s._replace(newest=max(s.newest, len(w.head.log))), number, w._replace(at="sign"))

    def _sign(self, s: State, number: int, w: Worker) -> State:
        log = w.head.log
        if any(len(each) == len(log) and each != log for each in s.signed):
            return self._halts(s, number, "another checkpoint of this size stands there")
        return self._set(s._replace(signed=s.signed | {log}), number, w._replace(at="make latest"))

    def _make_latest(self, s: State, number: int, w: Worker) -> State:
        if s.latest != w.latest:
            return self._set(s, number, Worker(kind=w.kind, at="latest"))
        return self._set(s._replace(latest=w.head.log), number, Worker(kind=w.kind, at="sweep"))

    def _sweep(self, s: State, number: int, w: Worker) -> State:
        named = s.head.staged if s.head else None
        young = self.rules.sweeps_what_is_young
        orphans = tuple(sorted(name for name, _, old in s.staging if name != named and (old or young)))
        return self._set(s, number, w._replace(at="sweep one", orphans=orphans)) if orphans else self._rests(s, number)

    def _sweep_one(self, s: State, number: int, w: Worker) -> State:
        s = s._replace(staging=frozenset(each for each in s.staging if each[0] != w.orphans[0]))
        if w.orphans[1:]:
            return self._set(s, number, w._replace(orphans=w.orphans[1:]))
        return self._rests(s, number)

    # ------------------------------------------------------------ publish

    def _cursor(self, s: State, number: int, w: Worker) -> State:
        return self._set(s, number, w._replace(at="latest", first=s.cursor))

    def _send(self, s: State, number: int, w: Worker) -> State:
        news = frozenset((n, w.latest[n]) for n in range(w.first, len(w.latest)))
        s = s._replace(published=s.published | news)
        return (
            self._rests(s, number) if self.rules.moves_before_sending else self._set(s, number, w._replace(at="move"))
        )

    def _move(self, s: State, number: int, w: Worker) -> State:
        if s.cursor != w.first:
            return self._set(s, number, Worker(kind=w.kind, at="cursor"))
        s = s._replace(cursor=len(w.latest))
        return (
            self._set(s, number, w._replace(at="send")) if self.rules.moves_before_sending else self._rests(s, number)
        )

    # ------------------------------------------------------------ what must hold

    def broken(self, s: State) -> str:
        """Why this state must not be; nothing if it may."""
        if s.fault:
            return s.fault
        log = s.head.log if s.head else ()
        if len(set(log)) < len(log):
            return f"a journal stands twice in the log: {log}"
        if not s.back and any(state == "gone" and j not in log for j, state in enumerate(s.journals)):
            return f"a journal was cleared and is not in the log: {log}"
        signed = sorted(s.signed, key=len)
        for one, other in pairwise(signed):
            if not prefix(one, other):
                return f"two histories are signed: {one}, {other}"
        if not s.back and s.latest is not None and not prefix(s.latest, log):
            return f"the latest checkpoint {s.latest} is not of the log {log}"
        told = [each for each in s.published if not any(each[0] < len(c) and c[each[0]] == each[1] for c in s.signed)]
        if told:
            return f"published, and not signed: {told}"
        seen = {n for n, _ in s.published}
        sent = not self.rules.moves_before_sending or all(w.at == "rests" for w in s.workers)
        if sent and not set(range(s.cursor)) <= seen:
            return "the cursor has gone past what was published"
        return ""

    def whole(self, s: State) -> bool:
        """Every journal that settled stands in the log, is cleared, signed and published; nobody is at work."""
        log = s.head.log if s.head else ()
        done = all(state == "gone" for state in s.journals) and all(w.at == "rests" for w in s.workers)
        done = done and (not self.bounds.sealers or s.latest == log)
        return done and (not self.bounds.publishers or s.cursor == len(log))
