"""What people ask and what operations order in a life at random, as messages on queue `requests`.

Each method sends at most one kind of message about somebody drawn by chance, and tells the model who was meant.
"""

import random
from datetime import timedelta
from uuid import UUID

from household import GUESTS, HOMES, PEOPLE, Fact, Household
from truth import Asked, Truth
from world import POLICY, World

from shared import messages
from shared.requests.documents import RequestDocument, State
from shared.runs import ERASURES

BY = "dora of operations"
IP = ("203.0.113.7", "203.0.113.8")
ALWAYS = {"since": "2020-01-01T00:00:00Z", "until": "2040-01-01T00:00:00Z"}
PAUSED = (ERASURES, "operation-log", "camera-snapshots", "newsletter")
HELD = ("operation-log", "devices", "users", "homes", "newsletter", "invoices", "cart-guest", "scope-keys")


class Askers:
    """Whoever writes messages. `sent` are the bodies of all of them."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.household = Household(world, chance)
        self.truth = Truth(world, self.household)
        self.sent: list[bytes] = []
        self.restored: list[Fact] = []  # what backups brought back, and the replay must take again

    # ------------------------------------------------------------ what people ask

    def _id(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    async def _send(self, kind: str, **fields: object) -> str:
        fields = {"id": self._id()} | fields
        body = messages.compose(kind, **fields)
        self.sent.append(body)
        await self.world.queues["requests"].send(body, message_id=self._id())
        return str(fields["id"])

    def _session(self) -> str:
        return f"cleo-session-{self.chance.randrange(4)}"

    async def _ask(self, subject: dict, *, visitor: str | None = None, **more: object) -> None:
        if visitor:
            more["visit"] = {"ip": visitor, **ALWAYS}
        request = await self._send("erase", subject=subject, requested_by=BY, identity_verified_by=BY, **more)
        asked = Asked(subjects=[subject], decided="decision_on_members" in more)
        asked.visitors |= {visitor} if visitor else set()
        asked.visitors |= {subject["visit"]["ip"]} if "visit" in subject else set()
        self.truth.asked[request] = asked

    async def asks(self) -> None:
        if known := self.household.known():
            who = self.chance.choice(known)
            visitor = self.chance.choice((None, None, *IP))
            subject = {"user_id": who} if self.chance.random() < 0.6 else {"email": PEOPLE[who].upper()}
            self.household.quiet |= {who, PEOPLE[who].lower()}
            await self._ask(subject, visitor=visitor)

    async def asks_for_something_else(self) -> None:
        guest, session, ip = self.chance.choice(GUESTS), self._session(), self.chance.choice(IP)
        visit = {"ip": ip, **ALWAYS}
        nobody = self.chance.choice(
            ({"user_id": "cleo77"}, {"email": "cleo@nowhere.example"}, {"home_id": "tomtveien77"})
        )
        subject = self.chance.choice(({"email": guest}, {"session_id": session}, {"visit": visit}, nobody))
        self.household.quiet |= {guest} if "email" in subject else {session} if "session_id" in subject else set()
        await self._ask(subject)

    async def asks_for_a_home(self) -> None:
        home = self.chance.choice(HOMES)
        decided = {"decision_on_members": "they were told"} if self.chance.random() < 0.4 else {}
        self.household.quiet |= {home}
        await self._ask({"home_id": home}, **decided)

    async def restricts(self) -> None:
        subject = self.chance.choice((
            {"user_id": self.chance.choice([*PEOPLE])}, {"home_id": self.chance.choice(HOMES)},
            {"email": self.chance.choice([*PEOPLE.values(), *GUESTS])}, {"session_id": self._session()},
        ))  # fmt: skip
        await self._send("restrict", subject=subject, requested_by=BY, identity_verified_by=BY, until=self._end())

    # ------------------------------------------------------------ what operations order

    def _end(self) -> str | None:
        """When a hold ends; in the past it is refused, or over at once."""
        days = self.chance.choice((None, None, 1, 40, -1))
        return None if days is None else f"{self.world.now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"

    async def holds(self) -> None:
        fact = self.chance.choice([*self.household.facts.values()])
        record = {"category": fact.category, "key": fact.key} | (
            {"partition": fact.partition} if fact.partition else {}
        )
        target = self.chance.choice((
            {"user_id": self.chance.choice([*PEOPLE])}, {"home_id": self.chance.choice(HOMES)},
            {"category": self.chance.choice(HELD)}, {"record": record},
        ))  # fmt: skip
        await self._send("hold", by=BY, owner="legal", reason="a dispute", until=self._end(), **target)

    async def releases(self) -> None:
        if holds := sorted(hold["id"] for hold in self.truth.holds()):
            await self._send("release", by=BY, hold=self.chance.choice(holds), reason="settled")

    async def _waiting(self) -> list[RequestDocument]:
        return [each for each in await self.world.documents() if each.state is State.NEEDS_ATTENTION]

    async def retries(self) -> None:
        if found := await self._waiting():
            await self._send("retry", by=BY, request=self.chance.choice(found).id)

    async def resolves(self) -> None:
        if found := await self._waiting():
            request = self.chance.choice(found)
            known = self.household.known()
            subject = None
            if request.scope is None and known and request.id in self.truth.asked and self.chance.random() < 0.7:
                who = self.chance.choice(known)
                self.household.quiet |= {who, PEOPLE[who].lower()}
                subject = {"user_id": who}
                self.truth.asked[request.id].subjects.append(subject)
            self.truth.given_up |= set(request.scopes())
            await self._send("resolve", by=BY, request=request.id, reason="we asked", subject=subject)

    async def pauses(self) -> None:
        await self._send("pause", by=BY, category=self.chance.choice(PAUSED), reason="a look")

    async def resumes(self) -> None:
        await self._send("resume", by=BY, category=self.chance.choice(PAUSED))

    async def approves(self) -> None:
        for category in POLICY.enforced():
            current = await self.world.runs.current(category.id)
            if current and current.value.approval == "waiting":
                await self._send("approve", by=BY, run=current.value.run)

    async def runs(self) -> None:
        await self._send("run", categories=self.chance.choice(([], ["operation-log"], ["users", "homes"])))

    async def restores(self) -> None:
        """An old backup comes back with everything of somebody who was erased, and operations replay the register."""
        now = self.world.now
        gone = {s.id: at for s, at in self.truth.erased.items() if s.id in PEOPLE and at > now - timedelta(days=20)}
        there = self.household.addresses()
        shared = {
            address for address in PEOPLE.values() if sum(a.lower() == address.lower() for a in PEOPLE.values()) > 1
        }
        gone = {
            w: at for w, at in gone.items() if w not in there.get(PEOPLE[w].lower(), ()) and PEOPLE[w] not in shared
        }
        noted = {entry.scope[1] async for entry in self.world.register.entries()}
        if gone := {who: at for who, at in gone.items() if who in noted}:
            who = self.chance.choice(sorted(gone))
            self.household.user(who, active=10)
            self.household.newsletter(PEOPLE[who], who)
            self.restored += self.household.ever[-2:]
            began = gone[who] - timedelta(hours=1)
            await self._send("replay", by=BY, backup_began=f"{began:%Y-%m-%dT%H:%M:%SZ}")
            await self.world.handle("requests", self.world.queues["requests"].messages.pop())

    async def dismisses(self) -> None:
        names = sorted(self.world.own["parking"]._objects)
        if names:
            parked = self.chance.choice(names).rpartition("/")[2][:16]
            await self._send("dismiss", by=BY, parked=parked, reason="settled")

    async def talks_nonsense(self) -> None:
        queue = self.world.queues[self.chance.choice(("requests", "work", "sweeps"))]
        await queue.send(b'{"retention": "anna0"}', message_id=self._id())
