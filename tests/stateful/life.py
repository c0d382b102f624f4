"""Lives of a neighbourhood at random: what people, operations, the host and bad luck do, one step after the other.

A life is made of numbered steps. Each draws its chances from the seed and its number alone, so that a life can be lived
again without some of its steps: `shortest` uses that to make a failure small.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from askers import BY, IP, PAUSED, Askers
from disturbances import Countdown, CrashError, die, wander
from household import GUESTS, HOMES, PEOPLE
from world import POLICY, World

from shared.errors import RetentionError, TransientError
from shared.ledger.log import years
from shared.ledger.seal import seal
from shared.plan import Caps

OUTAGES = (
    ("read",), ("create",), ("replace",), ("send",), ("list",),
    ("of_scope", "expired", "divide", "find", "values", "empty"),
    ("of_scope", "expired", "divide", "find", "values", "empty", "read", "create", "replace", "send"),
)  # fmt: skip


class Life(Askers):
    """A world and everybody in it."""

    def __init__(self, seed: int, world: Callable[..., World] = World) -> None:
        chance = random.Random(seed)
        caps = Caps(absolute=chance.choice((3, 6, 100_000)), factor=3, floor=3)
        super().__init__(world(unit=chance.choice((1, 2, 5)), caps=caps), chance)
        self.seed = seed
        self.world.hurry = lambda: self.chance.random() < 0.2
        self.ways = {
            self.delivers: 40, self.fires_timers: 12, self.time_passes: 10, self.much_time_passes: 2,
            self.data_appears: 20, self.moves: 6, self.changes: 4, self.delivers_two_at_once: 8,
            self.asks: 5, self.asks_for_something_else: 3, self.asks_for_a_home: 3, self.restricts: 2,
            self.sends_again: 4, self.loses_a_message: 3, self.holds: 4, self.releases: 2,
            self.retries: 2, self.resolves: 2, self.pauses: 2, self.resumes: 2, self.approves: 4, self.runs: 2,
            self.restores: 2, self.dismisses: 1, self.talks_nonsense: 1, self.closes: 3, self.looks: 1,
            self.somebody_leases: 1, self.calms_down: 1,
        }  # fmt: skip

    # ------------------------------------------------------------ what the world does

    async def data_appears(self) -> None:
        home, known = self.household, self.household.known()
        who = self.chance.choice(known) if known else None
        address = PEOPLE[who] if who else self.chance.choice(GUESTS)
        match self.chance.randrange(9):
            case 0 | 1 | 2 | 3:
                home.something(self.chance.choice(HOMES))
            case 4:
                home.newsletter(address, self.chance.choice((who, None)), out=self.chance.random() < 0.3)
            case 5:
                home.course(address, self.chance.choice((who, None)))
            case 6:
                home.cart(self._session(), self.chance.choice((who, None)))
            case 7:
                home.web_log(*self.chance.choices(IP, k=3))
                home.backup()
            case 8 if who:
                home.invoice(who)

    async def moves(self) -> None:
        home, known = self.chance.choice(HOMES), self.household.known()
        there = self.household.members(home)
        if there is not None and known:
            who = self.chance.choice(known)
            after = [each for each in there if each != who] if who in there else [*there, who]
            self.household.home(home, after)

    async def changes(self) -> None:
        """Somebody's contract ends, or somebody who was away for long is back."""
        if known := self.household.known():
            ended = self.chance.random() < 0.4
            self.household.user(self.chance.choice(known), active=self.chance.choice((0, 0, 729)), ended=ended)

    async def somebody_leases(self) -> None:
        fact = self.chance.choice([*self.household.facts.values()])
        self.world.records.block(POLICY.category(fact.category), fact.key, partition=fact.partition)

    async def time_passes(self) -> None:
        self.world.later(minutes=self.chance.choice((1, 5, 20, 90)))

    async def much_time_passes(self) -> None:
        self.world.later(days=self.chance.choice((1, 8, 32)))

    # ------------------------------------------------------------ what the host does

    def _pop(self) -> tuple[str, object] | None:
        queue = self.chance.choice(("sweeps", "requests", "requests", "work", "work", "ledger"))
        waiting = self.world.queues[queue].messages
        return (queue, waiting.pop(self.chance.randrange(len(waiting)))) if waiting else None

    async def delivers(self) -> None:
        if popped := self._pop():
            queue, message = popped
            failed = await self._undergo(lambda: self.world.handle(queue, message))
            if failed or self.chance.random() < 0.1:  # or it could not be completed
                self.world.queues[queue].messages.append(message)

    async def delivers_two_at_once(self) -> None:
        """Two messages at the same time, or one twice: its lock was lost."""
        first = self._pop()
        second = first if self.chance.random() < 0.5 else self._pop()
        both = [each for each in (first, second) if each]
        if self.chance.random() < 0.7:
            self.world.steps.turn = wander(self.chance.getrandbits(32), (0, 0, 1, 2, 7))
        else:
            self.world.steps.turn = Countdown(self.chance.randrange(1, 60), die)
        with_timers = [self.world.timers()] if self.chance.random() < 0.3 else []
        work = [self.world.handle(queue, message) for queue, message in both]
        ended = await asyncio.gather(*work, *with_timers, return_exceptions=True)
        self.world.steps.turn = None
        for error in ended:
            if isinstance(error, BaseException):
                self._expect(error)
        again = {id(m): (q, m) for (q, m), end in zip(both, ended, strict=False) if isinstance(end, BaseException)}
        for queue, message in again.values():
            self.world.queues[queue].messages.append(message)

    async def fires_timers(self) -> None:
        await self._undergo(self.world.timers)

    async def closes(self) -> None:
        await self._undergo(self._close)

    async def _close(self) -> None:
        await self._seal()
        await self.world.closer.close_due()
        await self._seal()

    async def _seal(self) -> None:
        await self.world.append()
        await self.world.deliver("ledger")
        for year in await years(self.world.ledger):
            await seal(self.world.ledger, year, self.world.signer(year))

    async def looks(self) -> None:
        await self._undergo(lambda: self.world.overseer.watch(self.world.now))

    async def sends_again(self) -> None:
        if self.sent:
            await self.world.queues["requests"].send(self.chance.choice(self.sent), message_id=self._id())

    async def loses_a_message(self) -> None:
        waiting = self.world.queues[self.chance.choice(("sweeps", "work", "ledger"))].messages
        if waiting:
            waiting.pop(self.chance.randrange(len(waiting)))

    async def _undergo(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Do the work; now and then something goes wrong in it. Returns whether it failed."""
        match self.chance.randrange(6):
            case 0:
                self.world.steps.turn = Countdown(self.chance.randrange(1, 60), die)
            case 1:
                self.world.steps.turn = self._outage(
                    self.chance.choice(OUTAGES), self.chance.choice(("before", "after"))
                )
            case 2:
                for nth in range(1, self.chance.choice((1, 6))):
                    self.world.records.fail(nth=nth, applied=self.chance.random() < 0.5)
        try:
            await work()
        except BaseException as error:  # noqa: BLE001 - what is not ours is raised again
            self._expect(error)
            return True
        finally:
            self.world.steps.turn = None
        return False

    def _outage(self, methods: Sequence[str], when: str) -> Callable[[str], Awaitable[None]]:
        """From some call on these methods answer nothing, for a while: before they do anything, or after it."""
        first = self.chance.randrange(1, 30)
        last = first + self.chance.choice((0, 3, 100))
        calls = 0

        async def turn(name: str) -> None:
            nonlocal calls
            said, _, method = name.partition(" ")
            calls += said == when
            if said == when and first <= calls <= last and method in methods:
                raise TransientError(f"no answer ({'applied' if when == 'after' else 'unapplied'})")

        return turn

    def _expect(self, error: BaseException) -> None:
        """Only errors of ours, and a death, are what the host may see."""
        if not isinstance(error, RetentionError | CrashError):
            raise error
        self.world.errors.append(error)

    # ------------------------------------------------------------ the whole of it

    async def calms_down(self) -> None:
        """Nothing goes wrong any more, and what waits for somebody is resumed and approved, until all is at rest."""
        hurry, self.world.hurry = self.world.hurry, lambda: False
        for category, _, key, partition in [(f.category, f, f.key, f.partition) for f in self.household.facts.values()]:
            self.world.records.block(POLICY.category(category), key, None, partition=partition)
        for name in PAUSED:
            await self._send("resume", by=BY, category=name)
        for days in (0, 1):
            self.world.later(days=days, minutes=1)
            await self._rest()
        self.world.hurry = hurry

    async def _rest(self) -> None:
        for _ in range(80):
            for _ in range(4):  # at one moment: what is finished is not due again
                await self.world.timers()
                for _ in range(5):
                    await self.world.deliver()
                await self.world.deliver_dead()
                await self.approves()
                if await self.world.at_rest():
                    return
            self.world.later(minutes=5)
        raise AssertionError(f"work is left for ever: {[str(each) for each in self.world.errors[-3:]]}")

    async def live(self, steps: Sequence[int]) -> None:
        """Live through these steps. Raises AssertionError at the first one after which something is wrong."""
        self.chance.seed(f"{self.seed}/begin")
        self.household.settle()
        for number in steps:
            await self.way(number)()
            assert not self.truth.wrong, self.truth.wrong

    def way(self, number: int) -> Callable[[], Awaitable[None]]:
        """What happens in a step."""
        self.chance.seed(f"{self.seed}/{number}")
        [way] = self.chance.choices([*self.ways], [*self.ways.values()])
        return way


def shortest(fails: Callable[[list[int]], bool], steps: list[int]) -> list[int]:
    """Leave steps out as long as it still fails (delta debugging)."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fails(fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    return steps
