"""Random lives of a neighbourhood: requests, runs, moves, holds, lost and repeated messages, faults and deaths, by seed.

After each life, what must hold is compared with a model that knows only who asked to go and who moved where.
"""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from disturbances import Countdown, CrashError, die
from promises import assert_whole
from world import POLICY, World

from shared import messages
from shared.errors import ChangedError, ExistsError, RetentionError
from shared.requests.documents import State
from shared.stores.memory import Fault

PEOPLE = [f"{name}{number}" for name in ("anna", "bob", "cleo", "dora") for number in range(2)]
HOMES = ["birkeveien1", "skogveien2", "tomtveien3", "tomtveien4"]
STEPS = 120
HELD = ("operation-log", "devices", "users", "homes")


class Life:
    """A world and somebody who does things in it at random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = World(unit=self.chance.choice((1, 2, 5)))
        self.asked: dict[str, str] = {}  # person -> request
        self.bodies: list[bytes] = []
        self.holds: dict[str, tuple[str, str]] = {}
        self.rows = 0
        self.world.hurry = lambda: self.chance.random() < 0.2
        self.world.records.before_delete = self._nothing_held_is_asked_for
        for person in PEOPLE:
            self.world.user(person)
        for home in HOMES:
            self.world.home(home, *self.chance.sample(PEOPLE, self.chance.choice((0, 1, 1, 2, 3))), old_rows=1)

    def _nothing_held_is_asked_for(self, records) -> None:
        for record in records:
            for kind, target in self.holds.values():
                assert kind != "category" or record.category != target
                assert kind != "home" or record.scope is None or record.scope.id != target

    # ------------------------------------------------------------ what people do

    def settled(self) -> list[str]:
        """People who never asked to go, and whom the company still knows."""
        return [each for each in PEOPLE if each not in self.asked and each in self.world.keys("users")]

    def members(self, home: str) -> list[str] | None:
        item = self.world.records.item(POLICY.category("homes"), home, partition=home)
        return None if item is None else item["members"]

    async def moves(self) -> None:
        home = self.chance.choice(HOMES)
        there = self.members(home)
        if there is not None and self.settled():
            who = self.chance.choice(self.settled())
            after = [each for each in there if each != who] if who in there else [*there, who]
            self.world.put("homes", {"id": home, "homeId": home, "members": after})

    async def writes_a_row(self) -> None:
        home = self.chance.choice(HOMES)
        there = set(self.members(home) or ()) & set(self.settled())
        if there:
            self.rows += 1
            at = self.world.now - timedelta(days=self.chance.choice((0, 29, 31)))
            row = {"id": f"row{self.rows}", "homeId": home, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
            self.world.put("operation-log", row | {"userId": self.chance.choice(sorted(there))})

    async def asks(self) -> None:
        if not self.settled():
            return
        who = self.chance.choice(self.settled())
        subject = self.chance.choice(({"user_id": who}, {"email": f"{who}@{who}.EXAMPLE"}))
        self.asked[who] = await self.world.ask(UUID(int=self.chance.getrandbits(128), version=4), **subject)
        self.bodies.append(self.world.queues["requests"].messages[-1].body)

    async def asks_again(self) -> None:
        if self.bodies:
            body = self.chance.choice(self.bodies)
            await self.world.queues["requests"].send(body, message_id=f"again{self.chance.random()}")

    async def asks_for_a_home(self) -> None:
        await self.world.ask(UUID(int=self.chance.getrandbits(128), version=4), home_id=self.chance.choice(HOMES))

    async def talks_nonsense(self) -> None:
        await self.world.queues["requests"].send(b'{"retention": "anna0"}', message_id=f"{self.chance.random()}")

    async def forces_a_run(self) -> None:
        run = messages.run(request=UUID(int=self.chance.getrandbits(128), version=4), categories=())
        await self.world.queues["requests"].send(run, message_id=f"{self.chance.random()}")

    async def holds_or_releases(self) -> None:
        if self.holds and self.chance.random() < 0.6:
            hold = self.chance.choice(sorted(self.holds))
            await self.world.release(hold)
            del self.holds[hold]
            return
        hold = f"hold-{self.chance.getrandbits(32):x}"
        kind = self.chance.choice(("category", "home"))
        target = self.chance.choice(HELD if kind == "category" else HOMES)
        await self.world.hold(hold, kind, target)
        self.holds[hold] = (kind, target)

    # ------------------------------------------------------------ what the host and the world do

    async def delivers(self) -> None:
        queue = self.chance.choice(("sweeps", "requests", "work", "work", "ledger"))
        waiting = self.world.queues[queue].messages
        if waiting:
            message = waiting.pop(self.chance.randrange(len(waiting)))
            await self._undergo(lambda: self.world.handle(queue, message), lambda: waiting.append(message))
            if self.chance.random() < 0.1:
                waiting.append(message)  # it could not be completed

    async def fires_timers(self) -> None:
        await self._undergo(self.world.timers, lambda: None)

    async def loses_a_message(self) -> None:
        waiting = self.world.queues[self.chance.choice(("sweeps", "work", "ledger"))].messages
        if waiting:
            waiting.pop(self.chance.randrange(len(waiting)))

    async def lets_time_pass(self) -> None:
        self.world.later(minutes=self.chance.choice((1, 5, 20)))

    async def _undergo(self, work: Callable[[], Awaitable[None]], again: Callable[[], None]) -> None:
        """Do the work; now and then something goes wrong in it, and the host delivers again."""
        match self.chance.randrange(5):
            case 0:
                self.world.steps.turn = Countdown(self.chance.randrange(1, 60), die)
            case 1:
                fault = Fault(write=self.chance.choice(("create", "replace")), applied=self.chance.random() < 0.5)
                self.world.own[self.chance.choice(("journals", "runs", "requests", "keys", "register"))].arm(fault)
            case 2:
                for nth in range(1, self.chance.choice((1, 6))):
                    self.world.records.fail(nth=nth, applied=self.chance.random() < 0.5)
        try:
            await work()
        except (RetentionError, ChangedError, ExistsError, CrashError) as error:
            self.world.errors.append(error)
            again()
        self.world.steps.turn = None

    async def live(self) -> None:
        ways = {
            self.delivers: 40,
            self.fires_timers: 12,
            self.lets_time_pass: 12,
            self.moves: 8,
            self.writes_a_row: 8,
            self.asks: 4,
            self.asks_again: 3,
            self.asks_for_a_home: 2,
            self.loses_a_message: 3,
            self.holds_or_releases: 4,
            self.forces_a_run: 2,
            self.talks_nonsense: 1,
        }
        for _ in range(STEPS):
            [way] = self.chance.choices([*ways], [*ways.values()])
            await way()
        for hold in list(self.holds):
            await self.world.release(hold)
            del self.holds[hold]
        self.world.hurry = lambda: False
        await self.world.rest()


@pytest.mark.parametrize("seed", range(25))
async def test_a_life_at_random_ends_as_the_model_says(seed):
    life = Life(seed)
    world = life.world
    await life.live()
    await assert_whole(world)
    gone = [each for each, request in life.asked.items() if (await world.document(request)).state is State.DONE]
    assert not set(gone) & set(world.keys("users"))
    stayed = [each for each in await world.documents() if each.reason.startswith("some records had to stay")]
    for home in HOMES:
        there = life.members(home)
        if home in {each for document in stayed for each in document.homes or ()}:
            continue  # a hold or a lease kept some of it, and a person has been told
        if there is None:
            assert not [each for each in world.keys("devices") if each.startswith(home)], "left behind by a home"
            assert not [each for each in world.keys("camera-snapshots") if home in each]
        else:
            assert not set(gone) & set(there)
            assert f"{home}-hub" in world.keys("devices"), "taken from a home that is there"
    rows = POLICY.category("operation-log")
    for key in world.keys("operation-log"):
        found = [world.records.item(rows, key, partition=home) for home in HOMES]
        assert not {each["userId"] for each in found if each and "userId" in each} & set(gone)
    kept = [each for each in PEOPLE if each not in life.asked]
    assert set(kept) <= set(world.keys("users")), "erased without being asked"
