"""The invented company's data: what is stored, and since when. Deterministic for one seed number and one `now`. Pure.

Six weeks of operation log, two weeks of camera pictures, 45 nightly backups, what the web site and the sales leave
behind (`local.demo.sales`), and the story's people (`Cast`).
Every age keeps an hour's distance from the period that decides over it, so that no record turns due while the demo
runs. All names are invented; addresses and numbers are from ranges that belong to nobody.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

from local.demo import sales
from local.demo.records import Blob, Item

HOMES = 12  # at size 1; the first ones are the story's
PICTURE_DAYS, PICTURES_A_DAY = 14, 9  # a camera
LOG_DAYS, LOG_ROWS_A_DAY = 42, 3  # a home
NIGHTS = 45
_HOUR = timedelta(hours=1)
_GIVEN = (
    "Aksel", "Birte", "Dagny", "Eilert", "Frida", "Gaute", "Hedvig", "Idun", "Jarle", "Kaia", "Leif", "Marit",
    "Nils", "Oda", "Peder", "Ragna", "Sigve", "Tiril", "Ulrik", "Vigdis", "Yngve", "Åse",
)  # fmt: skip
_FAMILY = (
    "Brattli", "Fossheim", "Granvik", "Haugdal", "Isdal", "Kvernmo", "Lindset", "Myrstad", "Nordvoll", "Solbakk",
    "Tveitnes", "Ulvedal",
)  # fmt: skip
_STREETS = ("Bakkeveien", "Fjordgata", "Granstien", "Havnegata", "Lyngveien", "Tunet")
_CAMERAS = ("living-room", "hall", "garden")
_LOG_TEXTS = ("front door unlocked", "heating set to 21 degrees", "alarm switched on", "alarm switched off")
_FRACTIONS = ("", ".5", ".25", ".000", ".123456", ".999")


@dataclass(frozen=True, kw_only=True)
class Cast:
    """The people of the story, by user id, and a home."""

    alone: str
    leaver: str
    pair: tuple[str, str]
    contract_ended: str
    inactive: str
    empty_home: str


@dataclass(frozen=True, kw_only=True)
class Seed:
    """Everything that is stored before the story begins at `now`."""

    now: datetime
    cast: Cast
    blobs: tuple[Blob, ...]
    items: tuple[Item, ...]

    @property
    def records(self) -> list[Blob | Item]:
        """Everything, in one list."""
        return [*self.blobs, *self.items]

    def user(self, user_id: str) -> Mapping[str, Any]:
        """The user's record."""
        return next(i.body for i in self.items if i.container == "users" and i.body["userId"] == user_id)


def make_seed(now: datetime, *, number: int = 1, size: int = 1) -> Seed:
    """Invent the company as of `now` (aware, UTC): `HOMES` times `size` homes, from the random seed `number`."""
    chance = random.Random(number)
    now = now.replace(microsecond=0)
    homes = [_home(chance, index) for index in range(HOMES * size)]
    homes[5]["members"] = []
    users = [_user(chance, home, now) for home in homes for _ in range(home.pop("rooms"))]
    users = [user for user in users if user["homeId"] != homes[5]["homeId"]]
    for home in homes:
        home["members"] = [user["userId"] for user in users if user["homeId"] == home["homeId"]]
    for user in users:
        del user["homeId"]  # membership lives in the home alone
    first = [home["members"] for home in homes]
    cast = Cast(
        alone=first[0][0],
        leaver=first[1][0],
        pair=(first[2][0], first[2][1]),
        contract_ended=first[3][0],
        inactive=first[4][0],
        empty_home=homes[5]["homeId"],
    )
    by_id = {user["userId"]: user for user in users}
    by_id[cast.contract_ended]["contractEndedAt"] = _text(now - timedelta(days=1))
    by_id[cast.inactive]["lastActiveAt"] = _text(now - relativedelta(months=25))
    pictures = [picture for home in homes for picture in _pictures(chance, home, now)]
    due = next(n for n, p in enumerate(pictures) if p.home == homes[6]["homeId"] and _age(now, p) > timedelta(days=8))
    pictures[due] = replace(pictures[due], leased=True)
    items = [Item(container="users", partition=user["userId"], body=user) for user in users]
    items += [Item(container="homes", partition=home["homeId"], body=home) for home in homes]
    items += [item for home in homes for item in _devices(chance, home)]
    items += [item for home in homes for item in _log(chance, home, now)]
    items += [item for home in homes for item in _logins(chance, home, now)]
    items += sales.carts(chance, [user["userId"] for user in users[-5:]])  # who stay: the story is about the first
    items += [*sales.courses(chance, users, now), *sales.newsletter(chance, users, now)]
    items += sales.invoices(chance, users, now)
    blobs = [*pictures, *_backups(now), *sales.web_log(chance, now), *_strange(homes[7]["homeId"], now)]
    return Seed(now=now, cast=cast, blobs=tuple(blobs), items=tuple(items))


# ---------------------------------------------------------------- homes, users, devices


def _home(chance: random.Random, index: int) -> dict[str, Any]:
    """A home; `rooms` is the number of people that will live there: the story needs 1, 2, 2, 1, 2 in the first."""
    home_id = f"home-{chance.getrandbits(32):08x}"
    return {
        "id": home_id,
        "homeId": home_id,
        "address": f"{chance.choice(_STREETS)} {chance.randint(1, 80)}",
        "gatewayIp": f"203.0.113.{index % 254 + 1}",
        "rooms": (1, 2, 2, 1, 2)[index] if index < 5 else chance.randint(1, 2),  # noqa: PLR2004 - as long as the tuple
    }


def _user(chance: random.Random, home: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    user_id = f"user-{chance.getrandbits(32):08x}"
    given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
    return {
        "id": user_id,
        "userId": user_id,
        "homeId": home["homeId"],
        "email": f"{given}.{family}.{user_id[-4:]}@example.com".lower().replace("å", "a"),
        "name": f"{given} {family}",
        "address": home["address"],
        "phone": f"+47 000 {chance.randint(10000, 99999)}",
        "lastActiveAt": _text(now - timedelta(minutes=chance.randint(5, 40_000))),
    }


def _devices(chance: random.Random, home: Mapping[str, Any]) -> Iterator[Item]:
    kinds = ["gateway", *(f"camera/{name}" for name in _cameras(home)), *chance.sample(["lock", "heater", "alarm"], 2)]
    for kind in kinds:
        body = {"id": f"device-{chance.getrandbits(32):08x}", "homeId": home["homeId"], "kind": kind}
        if kind == "gateway":
            body["ip"] = home["gatewayIp"]
        yield Item(container="devices", partition=home["homeId"], body=body)


# ---------------------------------------------------------------- what piles up


def _pictures(chance: random.Random, home: Mapping[str, Any], now: datetime) -> Iterator[Blob]:
    for camera in _cameras(home):
        for number, age in enumerate(_ages(chance, PICTURE_DAYS, PICTURES_A_DAY, period=timedelta(days=7))):
            yield _picture(home["homeId"], camera, now - age, number)


def _picture(home: str, camera: str, taken: datetime, number: int) -> Blob:
    name = f"{taken:%Y-%m-%d}/{taken:%H}/{home}/{camera}/{taken:%H%M%S}-{number:04d}.jpg"
    return Blob(container="camera-snapshots", name=name, taken=taken, home=home, camera=camera)


def _log(chance: random.Random, home: Mapping[str, Any], now: datetime) -> Iterator[Item]:
    for number, age in enumerate(_ages(chance, LOG_DAYS, LOG_ROWS_A_DAY, period=timedelta(days=30))):
        body = {
            "id": f"log-{number:05d}",
            "homeId": home["homeId"],
            # Writers differ in how they spell fractions of a second: text order is not quite the order of time.
            "at": f"{now - age:%Y-%m-%dT%H:%M:%S}{chance.choice(_FRACTIONS)}Z",
            "text": chance.choice(_LOG_TEXTS),
        }
        if home["members"] and chance.random() < 0.4:  # noqa: PLR2004 - the others are the gateway's own rows
            body["userId"] = chance.choice(home["members"])
        yield Item(container="operation-log", partition=home["homeId"], body=body)


def _logins(chance: random.Random, home: Mapping[str, Any], now: datetime) -> Iterator[Item]:
    """A login for each camera: used today, used last month, never used."""
    for camera in _cameras(home):
        body = {
            "id": f"login-{camera}",
            "homeId": home["homeId"],
            "user": camera,
            "secret": f"{chance.getrandbits(64):x}",
        }
        used = chance.choice((timedelta(hours=5), timedelta(days=30), None))
        if used is not None:
            body["lastUsedAt"] = _text(now - used)
        untouched = chance.choice((timedelta(), timedelta(days=9))) if used is None else timedelta()
        yield Item(container="camera-credentials", partition=home["homeId"], body=body, untouched=untouched)


def _backups(now: datetime) -> Iterator[Blob]:
    hour = 22 if now.hour in (1, 2, 3) else 2  # never near now: a set turns due at the hour at which it was taken
    for night in range(1, NIGHTS + 1):
        taken = (now - timedelta(days=night)).replace(hour=hour, minute=15, second=0)
        for name in ("users.json", "homes.json", "operation-log.json"):
            yield Blob(container="backups", name=f"{taken:%Y-%m-%dT%H%M%SZ}/{name}", taken=taken)


def _strange(home: str, now: datetime) -> Iterator[Blob]:
    """Names that no layout explains, and one whose clock was ahead: to be reported, and left alone."""
    old, ahead = now - timedelta(days=10), now + timedelta(days=3)
    yield Blob(container="camera-snapshots", name="readme.txt")
    yield Blob(container="camera-snapshots", name=f"{old:%Y}-02-30/10/{home}/hall/101500-0000.jpg")
    yield Blob(container="camera-snapshots", name=f"{old:%Y-%m-%d}/{old:%H}/{home}/hall/copies/{old:%H%M%S}-0000.jpg")
    yield Blob(container="backups", name="restore-test/notes.txt")
    # It says nothing true of when it was taken, so its age counts from when it was stored: today.
    yield _picture(home, "hall", ahead, 0)


# ---------------------------------------------------------------- ages


def _ages(chance: random.Random, days: int, each_day: int, *, period: timedelta) -> Iterator[timedelta]:
    """Ages of at least ten minutes and up to `days`, none within an hour of `period`."""
    for day in range(days):
        for _ in range(each_day):
            age = timedelta(days=day, seconds=chance.randint(600, 86_399))
            yield age + 2 * _HOUR if abs(age - period) < _HOUR else age


def _age(now: datetime, blob: Blob) -> timedelta:
    return now - blob.taken if blob.taken else timedelta()


def _cameras(home: Mapping[str, Any]) -> tuple[str, ...]:
    return _CAMERAS[: 1 + int(home["homeId"][-1], 16) % 2]


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
