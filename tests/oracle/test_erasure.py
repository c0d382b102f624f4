"""The oracle against erasures under the shipped policy: neighbourhoods at random, one request after the other."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from naive_erasure import Company, place
from ruamel.yaml import YAML
from world import POLICY, START, World

from shared import messages
from shared.requests.documents import State

EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "120"))
PLAIN = YAML(typ="safe", pure=True).load(Path(__file__).parents[2] / "policy.yaml")
PEOPLE = ("anna", "Anna", "bob 2", "çelik", "d/ora", "ann")
HOMES = ("birk", "birk/1", "birk 1", "skog%", "Birk")
ADDRESSES = ("a@x.example", "A@X.example", "b+c@x.example", "ÅSE@x.example", "åse@x.example", "guest@x.example")
SESSIONS = ("s1", "s2", "S1")
IPS = ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:DB8:0:0::1", "192.0.2.70")


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def some(chance: Random, **fields: Any) -> dict[str, Any]:
    """The fields, of which one or the other is missing or null."""
    kept = {name: value for name, value in fields.items() if chance.random() < 0.85}
    return kept | {name: None for name in fields.keys() - kept.keys() if chance.random() < 0.5}


def neighbourhood(chance: Random) -> dict[str, list[dict[str, Any]]]:
    """Records by category; every field that tells whose one is may be somebody else's, or nobody's."""

    def who() -> str:
        return chance.choice(PEOPLE)

    def home() -> str:
        return chance.choice(HOMES)

    def address() -> str:
        return chance.choice(ADDRESSES)

    def rows(most: int, make: Any) -> list[dict[str, Any]]:
        return [{"id": f"r{n}", **make()} for n in range(chance.randrange(most))]

    def issued() -> Any:
        year = chance.randrange(2017, 2027)
        ends = (f"{year}-12-31", f"{year}-12-31T22:59:59Z", f"{year}-12-31T23:00:00Z", f"{year}-06-01T12:00:00+02:00")
        return chance.choice((*ends, "last spring"))

    found: dict[str, list[dict[str, Any]]] = {
        "users": [
            {
                "id": user,
                "userId": user,
                "lastActiveAt": text(START),
                **some(chance, email=chance.choice((address(), address(), " ", 7))),
            }
            for user in PEOPLE
            if chance.random() < 0.7
        ],
        "homes": [
            {"id": each, "homeId": each, "members": [who() for _ in range(chance.choice((0, 1, 1, 2, 3)))]}
            for each in HOMES
            if chance.random() < 0.7
        ],
        "devices": rows(6, lambda: {"homeId": home()}),
        "camera-credentials": rows(6, lambda: {"homeId": home(), "lastUsedAt": text(START)}),
        "operation-log": rows(12, lambda: {"homeId": home(), "at": text(START), **some(chance, userId=who())}),
        "cart-guest": rows(
            8, lambda: {"sessionId": chance.choice(SESSIONS), **some(chance, userId=chance.choice((who(), None)))}
        ),
        "course-registrations": rows(8, lambda: {"courseId": "c", **some(chance, userId=who(), email=address())}),
        "newsletter": rows(
            8, lambda: {"subscriberId": "l", **some(chance, userId=who(), email=chance.choice((address(), 7)))}
        ),
        "invoices": rows(8, lambda: {"userId": who(), **some(chance, issuedAt=issued())}),
    }
    pictures = (START - timedelta(hours=chance.randrange(200)) for _ in range(chance.randrange(10)))
    names = [f"{at:%Y-%m-%d/%H}/{home()}/cam/{at:%H%M%S}-{who()}.jpg" for at in pictures]
    found["camera-snapshots"] = [{"name": name, "data": name.encode()} for name in [*names, f"stray/{home()}"]]
    found["web-access-log"] = [log(chance, START.replace(hour=hour)) for hour in range(8, 13)]
    found["backups"] = [{"name": "2026-02-20T000000Z/everything", "data": b"anna"}]
    return found


def log(chance: Random, hour: datetime) -> dict[str, Any]:
    """An hour of the web server's log, with lines that nobody can read."""
    lines = []
    for _ in range(chance.randrange(8)):
        at = text(hour + timedelta(seconds=chance.choice((0, 1, 1800, 1801, 3599))))
        line = json.dumps({"ip": chance.choice(IPS), "at": at, "page": chance.choice(PEOPLE)}).encode()
        lines.append(chance.choice((line, line, line, line + b"\r", b"", b"\xff{", line[:-4])) + b"\n")
    data = b"".join(lines)
    return {"name": f"{hour:%Y-%m-%d/%H}.jsonl", "data": data.rstrip(b"\n") if chance.random() < 0.3 else data}


def asked(chance: Random) -> dict[str, Any]:
    """The fields of an erase message."""
    since = START.replace(hour=chance.randrange(8, 13)) + timedelta(seconds=chance.choice((0, 1, 1800)))
    until = since + timedelta(seconds=chance.choice((0, 1, 1799, 3600, 7200)))
    visit = {"ip": chance.choice(IPS), "since": text(since), "until": text(until)}
    subjects: tuple[dict[str, Any], ...] = (
        {"user_id": chance.choice(PEOPLE)},
        {"email": chance.choice(ADDRESSES)},
        {"home_id": chance.choice(HOMES)},
        {"session_id": chance.choice(SESSIONS)},
        {"visit": visit},
    )
    [subject] = chance.choices(subjects, (8, 6, 4, 1, 1))
    more: dict[str, Any] = {}
    if "visit" not in subject and chance.random() < 0.4:
        more["visit"] = visit
    if "home_id" in subject and chance.random() < 0.5:
        more["decision_on_members"] = "they agreed: the office"
    return {"subject": subject, **more}


def company_of(world: World, records: dict[str, list[dict[str, Any]]]) -> Company:
    """The oracle's own copy of the records."""
    company = Company(policy=PLAIN, now=START)
    for category in company.categories():
        for each in records.get(category["id"], []):
            held = each if "name" in each else {"item": each, "touched": START}
            company.records.setdefault(place(category), []).append({"stored": START, **held})
    return company


def left_in(world: World) -> dict[Any, Any]:
    """Everything that the stores hold, by container."""
    tables = world.records._tables.items()
    found = {
        (k, c): {key: held.data if k == "blob" else held.fields for key, held in t.items()} for (k, _, c), t in tables
    }
    return {where: held for where, held in found.items() if held}


def left_of(company: Company) -> dict[Any, Any]:
    """The same of the oracle's copy."""
    keys = {c["store"]["container"]: c["store"].get("partition_key", "/")[1:] for c in company.categories()}
    found = {
        (kind, container): {
            ("", r["name"]) if "name" in r else (r["item"][keys[container]], r["item"]["id"]): r.get(
                "data", r.get("item")
            )
            for r in records
        }
        for (kind, container), records in company.records.items()
    }
    return {where: held for where, held in found.items() if held}


@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate]
)
@given(seed=st.integers(0, 2**64))
def test_erasures_leave_exactly_what_the_oracle_says(seed: int) -> None:
    asyncio.run(_erase(Random(seed)))


async def _erase(chance: Random) -> None:
    world = World(sweeping=False, unit=chance.choice((1, 2, 5)))
    records = neighbourhood(chance)
    for category, each in ((category, each) for category, held in records.items() for each in held):
        if "name" in each:
            world.records.put(POLICY.category(category), each["name"], data=each["data"])
        else:
            world.records.put(POLICY.category(category), each)
    company = company_of(world, records)
    assert left_in(world) == left_of(company)
    for _ in range(3):
        fields = asked(chance)
        number = str(UUID(int=chance.getrandbits(128), version=4))
        who = {"requested_by": "the person", "identity_verified_by": "the office"}
        body = messages.compose("erase", id=number, **fields, **who)
        await world.queues["requests"].send(body, message_id=number)
        await world.rest()
        after = company.erased(fields["subject"], decided="decision_on_members" in fields, visit=fields.get("visit"))
        document = await world.document(number)
        left = after or company
        assert left_in(world) == left_of(left), (fields, document.reason)
        question = after is None or company.open_questions(fields["subject"], after)
        assert document.state is (State.NEEDS_ATTENTION if question else State.DONE), (fields, document.reason)
        company = left
