"""What goes wrong in the tests' world: a write or send that fails, a death or a rival at any call.

The writes of a scene are counted in an undisturbed run, so that a write added to the code is tested without anybody
adding it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from writes import Site, traced

from shared.errors import RetentionError
from shared.stores.memory import Fault, MemoryObjects


class CrashError(BaseException):
    """The process dies here: nothing of the product catches it."""


class Steps:
    """Calls `turn` before and after each call of a store or queue; `turn` may raise, wait, or run somebody else."""

    def __init__(self) -> None:
        self.turn: Callable[[str], Awaitable[None]] | None = None

    async def take(self, name: str) -> None:
        if self.turn is not None:
            await self.turn(name)

    def around(self, inner):
        """The store or queue with steps between its calls."""
        return _Stepping(inner, self)


class _Stepping:
    def __init__(self, inner, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def __getattr__(self, method):
        call = getattr(self._inner, method)

        async def one(*args, **options):
            await self._steps.take(f"before {method}")
            answer = await call(*args, **options)
            await self._steps.take(f"after {method}")
            return answer

        async def many(*args, **options):
            await self._steps.take(f"before {method}")
            for each in [each async for each in call(*args, **options)]:
                yield each
                await self._steps.take(f"after {method}")

        return many if method in ("list", "expired", "of_scope") else one


class Countdown:
    """A turn for `Steps`: before the `at`-th call something happens, once; what is after one is before the next."""

    def __init__(self, at: int, then: Callable[[], Awaitable[None]]) -> None:
        self.at = at
        self.then = then
        self.taken = 0

    async def __call__(self, name: str) -> None:
        self.taken += name.startswith("before")
        if self.taken == self.at and name.startswith("before"):
            await self.then()


def wander(seed: int, most: tuple[int, ...]) -> Callable[[str], Awaitable[None]]:
    """A turn that lets others run first, as often as chance says: one of `most`, each time."""
    turns = random.Random(seed)

    async def turn(_: str) -> None:
        for _ in range(turns.choice(most)):
            await asyncio.sleep(0)

    return turn


async def die() -> None:
    raise CrashError


async def dies(_: Any) -> None:
    """`die`, as what happens in a world."""
    await die()


def die_at(world: Any, step: str) -> None:
    """Whoever comes to this step of `Steps` dies there: once."""

    async def turn(name: str) -> None:
        if name == step:
            world.steps.turn = None
            await die()

    world.steps.turn = turn


async def disturbed(build, work, at: int, then) -> tuple[Any, Countdown]:
    """The world after `work` at whose `at`-th step `then` happened in it."""
    world = await build()
    world.steps.turn = turn = Countdown(at, partial(then, world))
    with suppress(RetentionError, CrashError):
        await work(world)
    world.steps.turn = None
    return world, turn


def steps(build, work) -> range:
    """The steps of undisturbed work."""
    return range(1, asyncio.run(disturbed(build, work, 0, dies))[1].taken + 1)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """One thing that goes wrong: the nth write of a store, or the nth send to a queue; how it goes wrong.

    `sites` are the calls in the product's source that it comes from.
    """

    where: str
    kind: str
    nth: int
    name: str
    how: str = ""
    sites: frozenset[Site] = field(default=frozenset(), compare=False)

    def __str__(self) -> str:
        return f"{self.where}-{self.kind}-{self.nth}-{self.name}-{self.how}"


HOWS = ("unapplied", "applied", "repeated")
"""Not done; done and the answer lost; done, the answer lost, and repeated by the vendor's client, which is refused."""


@dataclass(kw_only=True)
class Scene:
    """A world built, and the work in it that is to be broken."""

    build: Callable[[], Awaitable[Any]]
    work: Callable[[Any], Awaitable[None]]

    def all_broken(self) -> list[Broken]:
        """Each write and send of one undisturbed run, going wrong in each way there is."""

        async def run() -> tuple[Any, dict[str, Counter[str]], dict[str, int]]:
            world = await self.build()
            before = {name: Counter(k for k, _ in s.writes) for name, s in world.own.items()}
            sent = {name: queue.sends for name, queue in world.queues.items()}
            with traced():
                await self.work(world)
            return world, before, sent

        world, before, sent = asyncio.run(run())
        cases = []
        for where, store in world.own.items():
            if where in ("tiles", "state"):  # the ledger's own writes have their own tests
                continue
            seen = Counter()
            for (kind, name), sites in zip(store.writes, store.writes.sites, strict=True):
                seen[kind] += 1
                if seen[kind] > before[where][kind] and (where, kind) != ("journals", "delete"):
                    nth = seen[kind] - before[where][kind]
                    cases.append(Broken(where=where, kind=kind, nth=nth, name=_plain(name), sites=sites))
        for where, queue in world.queues.items():
            for nth, sites in enumerate(queue.sites[sent[where] :], start=1):
                cases.append(Broken(where=where, kind="send", nth=nth, name="", sites=sites))
        ways = [replace(each, how=how) for each in cases for how in HOWS]
        return [each for each in ways if each.how != "repeated" or each.kind in ("create", "replace")]

    async def broken_world(self, broken: Broken) -> Any:
        """The world in which it went wrong; the host saw the error, or the product coped."""
        world = await self.build()
        self.arm(world, broken)
        await self.work(world)
        return world

    @staticmethod
    def arm(world: Any, broken: Broken) -> None:
        """Let it go wrong when its time comes."""
        if broken.kind == "send":
            world.queues[broken.where].arm(nth=broken.nth, applied=broken.how == "applied")
        else:
            _arm(world.own[broken.where], broken)


def _arm(store: MemoryObjects, broken: Broken) -> None:
    if broken.how != "repeated":
        store.arm(Fault(write=broken.kind, applied=broken.how == "applied", nth=broken.nth))
        return
    method = getattr(store, broken.kind)
    left = broken.nth

    async def repeating(name, *args, **options):
        nonlocal left
        left -= 1
        if left == 0:
            await method(name, *args, **options)  # the one below is refused: the name is taken, the version another
        return await method(name, *args, **options)

    setattr(store, broken.kind, repeating)


def _plain(name: str) -> str:
    """An object's name without what is random in it, for a test's id."""
    parts = name.removesuffix(".json").split("/")
    return "/".join(p if len(p) < 20 else "…" for p in parts)
