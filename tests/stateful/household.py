"""A random neighbourhood and what the model knows of its data: for each record whose it is and when its period is over.

The rules are written down here a second time, in the simplest way; nothing of the product's listing or policy is asked.
"""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta
from world import POLICY, World, locator

PEOPLE = {
    "anna0": "anna@anna.example",
    "bob0": "Bob@bob.example",
    "cleo0": "cleo@cleo.example",
    "dora0": "dora@dora.example",  # these two have one address
    "dora1": "DORA@dora.example",
}
GUESTS = ("anna9@anna.example", "cleo9@cleo.example")  # without an account
HOMES = ("birkeveien1", "skogveien2", "tomtveien3")
SLACK = timedelta(days=1)  # the longest cadence


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What is so of one record: whose it is, and when its period is over (None: never by itself).

    `late` is one that came when somebody had asked for its erasure already: it may be gone, or be there.
    """

    category: str
    key: str
    partition: str = ""
    due: datetime | None = None
    persons: frozenset[str] = frozenset()
    home: str | None = None
    address: str | None = None
    session: str | None = None
    visitor: str | None = None
    put_at: datetime
    late: bool = False

    @property
    def id(self) -> str:
        return locator(POLICY.category(self.category), self.key, self.partition).text()


class Household:
    """Puts data into a world, and keeps the facts about it."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.facts: dict[str, Fact] = {}  # of what is there
        self.ever: list[Fact] = []  # all that was ever put there
        self.quiet: set[str] = set()  # people, homes, addresses and sessions that somebody asked to be erased
        self.number = 0

    def settle(self) -> None:
        """What there is in the beginning."""
        for who, address in PEOPLE.items():
            self.user(who, active=self.chance.choice((1, 300, 700)))
            self.newsletter(address, who)
        for home in HOMES:
            self.home(home, self.chance.sample([*PEOPLE], self.chance.choice((0, 1, 1, 2, 3))))
            for _ in range(3):
                self.something(home)
        for guest in GUESTS:
            self.newsletter(guest, None)

    # ------------------------------------------------------------ whose, and since when

    def _id(self, name: str = "x") -> str:
        self.number += 1
        return f"{name}-{self.number}"

    def _put(self, fact: Fact, content, age: timedelta = timedelta(0), **data: bytes) -> None:
        late = bool({*fact.persons, fact.home, fact.address, fact.session} & self.quiet)
        fact = replace(fact, late=late)
        self.world.records.put(POLICY.category(fact.category), content, stored=self.world.now - age, **data)
        self.facts[fact.id] = fact
        self.ever.append(fact)

    def known(self) -> list[str]:
        """People with an account for whom nobody asked anything, and whose time is not over."""
        now = self.world.now
        users = {f.key: f for f in self.facts.values() if f.category == "users"}
        return [w for w in PEOPLE if w in users and w not in self.quiet and (users[w].due or now) > now]

    def members(self, home: str) -> list[str] | None:
        """Who lives in a home; None when it is not there."""
        item = self.world.records.item(POLICY.category("homes"), home, partition=home)
        return None if item is None else item["members"]

    def addresses(self) -> dict[str, set[str]]:
        """Which users that are there have which address."""
        found: dict[str, set[str]] = {}
        for who, address in PEOPLE.items():
            if self.world.records.item(POLICY.category("users"), who, partition=who) is not None:
                found.setdefault(address.lower(), set()).add(who)
        return found

    # ------------------------------------------------------------ things

    def user(self, who: str, *, active: float, ended: bool = False) -> None:
        at = self.world.now - timedelta(days=active)
        item = {"id": who, "userId": who, "email": PEOPLE[who], "lastActiveAt": _text(at)}
        due = at + relativedelta(months=24)
        if ended:
            item["contractEndedAt"] = _text(self.world.now)
            due = min(due, self.world.now)
        fact = Fact(category="users", key=who, partition=who, due=due, persons=frozenset({who}), put_at=self.world.now)
        self._put(fact, item)

    def home(self, home: str, members: list[str]) -> None:
        for category, key in (("homes", home), ("devices", f"{home}-hub")):
            item = {"id": key, "homeId": home} | ({"members": members} if category == "homes" else {})
            self._put(Fact(category=category, key=key, partition=home, home=home, put_at=self.world.now), item)

    def something(self, home: str) -> None:
        """A picture, a camera's login, or a row of the log, some of them past their period already."""
        now = self.world.now
        at = now - timedelta(days=self.chance.choice((0, 1, 6.9, 8, 29, 31)))
        key = self._id()
        match self.chance.choice(("picture", "login", "unused login", "row", "row")):
            case "picture":
                name = f"{at:%Y-%m-%d/%H}/{home}/cam/{at:%H%M%S}-{key}.jpg"
                due = at.replace(microsecond=0) + timedelta(days=7)
                self._put(Fact(category="camera-snapshots", key=name, home=home, due=due, put_at=now), name, now - at)
            case "login":
                item = {"id": key, "homeId": home, "lastUsedAt": _text(at)}
                due = at + timedelta(days=7)
                fact = Fact(category="camera-credentials", key=key, partition=home, home=home, due=due, put_at=now)
                self._put(fact, item)
            case "unused login":
                due = at + timedelta(days=7)
                fact = Fact(category="camera-credentials", key=key, partition=home, home=home, due=due, put_at=now)
                self._put(fact, {"id": key, "homeId": home}, now - at)
            case "row":
                there = sorted({*(self.members(home) or ())} - self.quiet)
                who = self.chance.choice(there) if there else None
                item = {"id": key, "homeId": home, "at": _text(at)} | ({"userId": who} if who else {})
                due = at + timedelta(days=30)
                fact = Fact(category="operation-log", key=key, partition=home, home=home, due=due, put_at=now)
                self._put(replace(fact, persons=frozenset({who} if who else ())), item)

    def newsletter(self, address: str, who: str | None, *, out: bool = False, key: str | None = None) -> None:
        now = self.world.now
        key = key or self._id()
        item = {"id": key, "subscriberId": key, "email": address} | ({"userId": who} if who else {})
        item |= {"unsubscribedAt": _text(now)} if out else {}
        persons = frozenset({who} if who else ())
        due = now if out else None
        fact = Fact(
            category="newsletter", key=key, partition=key, due=due, persons=persons, address=address.lower(), put_at=now
        )
        self._put(fact, item)

    def course(self, address: str, who: str | None) -> None:
        now = self.world.now
        ended = now - timedelta(days=self.chance.choice((-10, 0, 89, 91)))
        key = self._id()
        item = {"id": key, "courseId": "c1", "email": address, "courseEndedAt": _text(ended)}
        item |= {"userId": who} if who else {}
        persons = frozenset({who} if who else ())
        due = ended + timedelta(days=90)
        fact = Fact(
            category="course-registrations",
            key=key,
            partition="c1",
            due=due,
            persons=persons,
            address=address.lower(),
            put_at=now,
        )
        self._put(fact, item)

    def invoice(self, who: str) -> None:
        now = self.world.now
        issued = now - timedelta(days=self.chance.choice((10, 400, 2500)))
        oslo = datetime(issued.year + 6, 1, 1, tzinfo=UTC) - timedelta(hours=1)  # Oslo is an hour ahead in winter
        key = self._id()
        fact = Fact(category="invoices", key=key, partition=who, due=oslo, persons=frozenset({who}), put_at=now)
        self._put(fact, {"id": key, "userId": who, "issuedAt": f"{issued:%Y-%m-%d}"})

    def cart(self, session: str, who: str | None) -> None:
        now = self.world.now
        item = {"id": session, "sessionId": session} | ({"userId": who} if who else {})
        category, stays = ("cart-user", timedelta(minutes=10)) if who else ("cart-guest", timedelta(seconds=60))
        persons = frozenset({who} if who else ())
        fact = Fact(category=category, key=session, partition=session, due=now + stays, persons=persons, put_at=now)
        self._put(replace(fact, session=None if who else session), item)

    def backup(self) -> None:
        at = self.world.now.replace(microsecond=0)
        name = f"{at:%Y-%m-%dT%H%M%SZ}/{self._id()}.bak"
        self._put(Fact(category="backups", key=name, due=at + timedelta(days=30), put_at=at), name)

    def web_log(self, *visitors: str) -> None:
        """One hour of the web log, a line for each visitor."""
        at = (self.world.now - timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
        name = f"{at:%Y-%m-%d/%H}.jsonl"
        lines = "".join(f'{{"ip": "{ip}", "at": "{_text(at)}", "page": "/"}}\n' for ip in visitors)
        fact = Fact(category="web-access-log", key=name, due=at + timedelta(days=14), put_at=self.world.now)
        self._put(fact, name, timedelta(hours=2), data=lines.encode())


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
