"""The invented company's web site and sales: carts, courses, newsletter, invoices, the web server's log. Pure.

As in the rest of the seed no record turns due within an hour, save carts, which say for how long they seem fresh.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from local.demo.records import Blob, Item

WEB_LOG_DAYS, WEB_LOG_HOURS = 18, (8, 12, 20)
_PEOPLE = 12  # without an account: at courses, and on the newsletter's list
_WARES = ("smoke detector", "door lock", "camera", "gateway", "motion sensor")
_PAGES = ("/", "/products", "/courses", "/support")
_FRESH, _GUEST_LEFT, _USER_LEFT = timedelta(minutes=-30), timedelta(minutes=5), timedelta(minutes=15)

User = Mapping[str, Any]


def carts(chance: random.Random, shoppers: Sequence[str]) -> Iterator[Item]:
    """Carts that guests left five minutes ago and users a quarter of an hour ago, and carts that are still filled.

    The fresh ones seem touched half an hour from now: they stay fresh for as long as somebody watches the demo.
    """
    owners: list[tuple[dict[str, Any], timedelta]] = [({}, _GUEST_LEFT)] * 6
    owners += [({"userId": None}, _GUEST_LEFT)] * 2
    owners += [({}, _FRESH)] * 4
    owners += [({"userId": user}, _FRESH) for user in shoppers]
    owners += [({"userId": user}, _USER_LEFT) for user in shoppers[:3]]
    for owner, untouched in owners:
        session = f"session-{chance.getrandbits(64):016x}"
        body = {"id": session, "sessionId": session, "items": chance.sample(_WARES, 2), **owner}
        yield Item(container="cart-sessions", partition=session, body=body, untouched=untouched)


def courses(chance: random.Random, users: Sequence[User], now: datetime) -> Iterator[Item]:
    """Courses that ended long ago, a month ago, and that are still to come; with and without accounts."""
    for age in (timedelta(days=200), timedelta(days=30), timedelta(days=-14)):
        course = f"course-{chance.getrandbits(32):08x}"
        people = [*chance.sample(users, 4), *(_stranger(chance) for _ in range(_PEOPLE // 3))]
        people.append(users[0])  # the story's first
        for number, person in enumerate({person["email"]: person for person in people}.values()):
            body = {
                "id": f"registration-{number:02d}",
                "courseId": course,
                "name": person["name"],
                "email": person["email"].capitalize() if number % 2 else person["email"],
                "employer": chance.choice(("Fjellheim Elektro", "Nordlys Drift", "Vestby Bygg")),
                "courseEndedAt": _text(now - age),
            }
            if "userId" in person and number % 3:  # the others registered before they had an account
                body["userId"] = person["userId"]
            yield Item(container="course-registrations", partition=course, body=body)


def newsletter(chance: random.Random, users: Sequence[User], now: datetime) -> Iterator[Item]:
    """Subscribers with and without an account; every fourth has unsubscribed."""
    people = [*users[::2], *(_stranger(chance) for _ in range(_PEOPLE))]
    for number, person in enumerate(people):
        subscriber = f"subscriber-{chance.getrandbits(32):08x}"
        body = {"id": subscriber, "subscriberId": subscriber, "email": person["email"]}
        if "userId" in person and number % 3:
            body["userId"] = person["userId"]
        if number % 4 == 3:  # noqa: PLR2004 - any of the four
            body["unsubscribedAt"] = _text(now - timedelta(hours=chance.randint(2, 400)))
        yield Item(container="newsletter", partition=subscriber, body=body)


def invoices(chance: random.Random, users: Sequence[User], now: datetime) -> Iterator[Item]:
    """Invoices of this year and of seven before it: some writers give a date, some a time."""
    for user in users:
        for age in chance.sample(range(8), 3):
            day = f"{now.year - age}-{chance.randint(1, 12):02d}-{chance.randint(2, 27):02d}"
            body = {
                "id": f"invoice-{chance.getrandbits(32):08x}",
                "userId": user["userId"],
                "issuedAt": f"{day}T09:15:00Z" if chance.random() < 0.5 else day,  # noqa: PLR2004 - half of them
                "amount": 99 * chance.randint(1, 12),
            }
            yield Item(container="invoices", partition=user["userId"], body=body)


def web_log(chance: random.Random, now: datetime) -> Iterator[Blob]:
    """A few hours of each day of the web server's log, a line for each page that a visitor asked for."""
    for day in range(WEB_LOG_DAYS):
        for hour in WEB_LOG_HOURS:
            begun = (now - timedelta(days=day)).replace(hour=hour, minute=0, second=0)
            if begun > now or abs(now - begun - timedelta(days=14)) < timedelta(hours=1):
                continue
            lines = [
                {
                    "at": _text(begun + timedelta(minutes=minute)),
                    "ip": f"198.51.100.{chance.randint(1, 254)}",
                    "page": chance.choice(_PAGES),
                    "result": chance.choice((200, 200, 200, 404)),
                }
                for minute in range(0, 60, 12)
            ]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            yield Blob(container="web-access-log", name=f"{begun:%Y-%m-%d}/{begun:%H}.jsonl", taken=begun, text=text)


def _stranger(chance: random.Random) -> User:
    number = chance.getrandbits(32)
    return {"name": "Somebody Else", "email": f"somebody.{number:08x}@example.com"}


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
