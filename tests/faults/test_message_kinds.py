"""Every kind of message, delivered twice, to two workers at once, and in any order: one effect each.

The effect is counted: what truly went, the events in the log, the documents, the holds, the receipts. A kind that is
new in `shared.message_forms` fails here until it is told what a message of it does.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from disturbances import wander
from orders import OPS
from promises import OWN, assert_whole
from world import MOST_DELIVERIES, START, Message, World

from shared import messages
from shared.errors import RetentionError
from shared.message_forms import FORMS
from shared.model import utc_text
from shared.plan import Caps
from shared.requests.documents import State

KINDS = tuple(form.model_fields["type"].annotation.__args__[0] for form in FORMS)
QUEUE = {"work": "work", "slice": "sweeps", "doorbell": "ledger"}
ONCE = ("retention.record.erased", "retention.record.left")
REASON = {"reason": "dora wants it so"}
WHO = {"requested_by": "the person", "identity_verified_by": "the office"}
FIXED = {kind: UUID(int=number + 1, version=4) for number, kind in enumerate(KINDS)}


class Town(World):
    """A world in which something is there for a message of each kind to do, none in the way of another."""

    def __init__(self) -> None:
        super().__init__(sweeping=False, caps=Caps(absolute=2))
        self.bodies: dict[str, bytes] = {}

    async def say(self, kind: str, **fields: object) -> str:
        """Send a message and have its work done."""
        number = str(uuid4())
        await self.queues["requests"].send(messages.compose(kind, id=number, **fields), message_id=number)
        await self.drain()
        return number

    def body(self, kind: str, **fields: object) -> None:
        self.bodies[kind] = messages.compose(kind, id=str(FIXED[kind]), **fields)

    async def settle(self) -> "Town":
        self.neighbourhood()
        for who in ("ella", "finn"):
            self.user(who)
        await self.say("erase", subject={"user_id": "ella"}, **WHO)
        self.user("ella")  # a restore brought her back
        self.body("replay", by=OPS, backup_began=utc_text(START - timedelta(hours=1)))
        self.body("erase", subject={"user_id": "anna"}, **WHO)
        self.body("restrict", subject={"user_id": "bob"}, **WHO)
        self.body("hold", by=OPS, category="invoices", owner="legal", **REASON)
        held = await self.say("hold", by=OPS, category="cart-guest", owner="legal", **REASON)
        self.body("release", by=OPS, hold=held, **REASON)
        waiting = await self.say("erase", subject={"user_id": "dora"}, **WHO)
        self.user("dora")
        self.body("retry", by=OPS, request=waiting)
        nobody = await self.say("erase", subject={"email": "dora@nowhere.example"}, **WHO)
        self.body("resolve", by=OPS, request=nobody, **REASON)
        self.body("pause", by=OPS, category="web-access-log", **REASON)
        await self.say("pause", by=OPS, category="newsletter", **REASON)
        self.body("resume", by=OPS, category="newsletter")
        await self.queues["requests"].send(b"nonsense", message_id="nonsense")
        await self.drain()
        [parked] = [each async for each in self.own["parking"].list()]
        self.body("dismiss", by=OPS, parked=parked.name.rpartition("/")[2][:12], **REASON)
        self.put("backups", f"{START - timedelta(days=40):%Y-%m-%dT%H%M%SZ}/all.bak", age=timedelta(days=40))
        self.body("run", categories=["backups"])
        for number in range(3):
            at = utc_text(START - timedelta(days=40))
            self.put("operation-log", {"id": f"birkeveien-old-{number}", "homeId": "tomtveien", "at": at})
        await self.planner.tick(only=["operation-log"])
        current = await self.runs.current("operation-log")
        self.body("approve", by=OPS, run=current.value.run)
        self.picture("skogveien", days=9, number=8)
        await self.planner.tick(only=["camera-snapshots"])
        self.bodies["slice"] = self.queues["sweeps"].messages.pop().body
        await self.ask(FIXED["work"], user_id="finn")
        await self.deliver("requests")
        self.bodies["work"] = self.queues["work"].messages.pop().body
        self.bodies["doorbell"] = messages.doorbell("0" * 32)
        assert not any(queue.messages for name, queue in self.queues.items() if name != "ledger")
        return self

    async def take(self, kind: str) -> None:
        """Deliver a message of the kind, again as long as it fails."""
        self.later(seconds=2)
        message = Message(body=self.bodies[kind], message_id=kind, session_id=None)
        for _ in range(MOST_DELIVERIES):
            try:
                return await self.handle(QUEUE.get(kind, "requests"), message)
            except RetentionError as error:
                self.errors.append(error)
        raise AssertionError(f"failed in every delivery: {self.errors[-1]}")

    async def take_and_lose(self, kind: str) -> None:
        """Deliver a message of the kind once: its lock is lost, so nobody delivers it to this worker again."""
        message = Message(body=self.bodies[kind], message_id=kind, session_id=None)
        try:
            await self.handle(QUEUE.get(kind, "requests"), message)
        except RetentionError as error:
            self.errors.append(error)

    async def effect(self) -> dict[str, object]:
        """What came of it all in the end, after every request has closed."""
        self.sweeping = True
        self.planner = replace(self.planner, caps=Caps())  # nothing more waits for anybody
        await self.rest()
        await assert_whole(self)
        alone = {each.id: each.state for each in await self.documents()}
        self.later(days=31)
        await self.closer.close_due()
        await self.rest()
        holds = (await self.gate.holds.all())[0]
        known = {str(each) for each in FIXED.values()}
        events = [e for e in await self.events() if e["data"].get("category") not in OWN]
        about = Counter(
            (
                e["type"],
                e["data"].get("category"),
                e["data"].get("request") if e["data"].get("request") in known else "",
            )
            for e in events
            if not e["type"].startswith(("retention.record.", "retention.run.completed"))
        )
        records = Counter((e["type"], e["data"]["category"]) for e in events if e["type"] in ONCE)
        went = Counter(r.locator.text() for r, answer in self.records.done if answer in ("deleted", "left"))
        return {
            "events": about,
            "records": records,
            "went": went,
            "left": self.everything(),
            "documents": Counter(alone.values()),
            "mine": {name: state for name, state in alone.items() if name in known},
            "holds": Counter((h.kind, h.over(self.now), h.in_force) for h in holds),
            "receipts": len([each async for each in self.own["receipts"].list()]),
            "parked": len([each async for each in self.own["parking"].list()]),
        }


async def after(kinds: Sequence[str]) -> dict[str, object]:
    """The effect of messages of these kinds, delivered in this order."""
    town = await Town().settle()
    for kind in kinds:
        await town.take(kind)
    return await town.effect()


@pytest.fixture(scope="module")
def each_once() -> list[dict[str, object]]:
    """With the replay before the erasure of Finn, and after: then it is one of those that are done again."""
    first = [each for each in KINDS if each != "work"]
    return [asyncio.run(after(KINDS)), asyncio.run(after(["work", *first]))]


async def test_there_is_a_message_of_every_kind_and_each_does_something(each_once: list[dict]) -> None:
    once = each_once[0]
    town = await Town().settle()
    assert set(town.bodies) == set(KINDS), "say here what a message of a new kind does"
    assert set(once["mine"].values()) == {State.DONE}
    assert set(once["mine"]) == {str(FIXED[kind]) for kind in ("erase", "restrict", "work")}
    assert set(once["went"].values()) == {1, 2}, "Ella goes twice, everything else once"
    assert once["left"]["users"] == ["bob", "cleo"]
    assert once["receipts"] >= 4
    for kind in ("hold", "release", "pause", "resume", "dismiss", "retry"):  # without one there is less
        less = await after([each for each in KINDS if each != kind])
        assert sum(less["events"].values()) < sum(once["events"].values()), kind


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_that_is_delivered_again_has_one_effect(kind: str, each_once: list[dict]) -> None:
    town = await Town().settle()
    for each in KINDS:
        await town.take(each)
        if each == kind:
            await town.take(each)
    await town.drain()
    await town.take(kind)  # and again when its work is done
    assert await town.effect() in each_once


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_that_two_workers_have_at_once_has_one_effect(
    kind: str, seed: int, each_once: list[dict]
) -> None:
    """Its lock was lost while the first still worked: should that fail, only the second has the message again.

    A queue never delivers one message to two again and again. Workers that did so in step would take the request's
    document from each other until both had used up their deliveries.
    """
    town = await Town().settle()
    for each in KINDS:
        if each != kind:
            await town.take(each)
    town.steps.turn = wander(seed, (0, 0, 1, 2, 7))
    await asyncio.gather(town.take_and_lose(kind), town.take(kind))
    town.steps.turn = None
    assert await town.effect() in each_once


@pytest.mark.parametrize("kind", KINDS)
async def test_any_two_messages_in_the_other_order_have_the_same_effect(kind: str, each_once: list[dict]) -> None:
    """First of all, and last of all: before and after each of the others."""
    others = [each for each in KINDS if each != kind]
    assert await after([kind, *reversed(others)]) in each_once
    assert await after([*others, kind]) in each_once


@pytest.mark.parametrize("seed", range(8))
async def test_messages_in_any_order_some_twice_some_at_once_have_one_effect_each(
    seed: int, each_once: list[dict]
) -> None:
    chance = random.Random(seed)
    kinds = [*KINDS, *chance.sample(KINDS, 6)]
    chance.shuffle(kinds)
    town = await Town().settle()
    while kinds:
        some = [kinds.pop() for _ in range(min(len(kinds), chance.choice((1, 1, 2, 3))))]
        town.steps.turn = wander(chance.getrandbits(32), (0, 0, 1, 2, 7))
        await asyncio.gather(*(town.take(kind) for kind in some))
        town.steps.turn = None
    assert await town.effect() in each_once


# ---------------------------------------------------------------- orders that are about the same


async def test_a_release_that_overtakes_its_hold_is_parked_and_the_hold_keeps() -> None:
    world = World(sweeping=False)
    hold = str(uuid4())
    release = messages.compose("release", id=str(uuid4()), by=OPS, hold=hold, **REASON)
    place = messages.compose("hold", id=hold, by=OPS, category="invoices", owner="legal", **REASON)
    for body in (release, place):
        await world.queues["requests"].send(body, message_id=str(uuid4()))
    await world.rest()
    assert [each.id for each in await world.gate.holds.read()] == [hold]
    assert len([each async for each in world.own["parking"].list()]) == 1


async def test_a_resumption_that_overtakes_its_pause_leaves_the_category_paused() -> None:
    world = World(sweeping=False)
    for kind, more in (("resume", {}), ("pause", REASON)):
        body = messages.compose(kind, id=str(uuid4()), by=OPS, category="newsletter", **more)
        await world.queues["requests"].send(body, message_id=str(uuid4()))
    await world.rest()
    assert await world.control.paused("newsletter")
