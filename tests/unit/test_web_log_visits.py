"""A visit's lines leave the web server's log on request: of those who name address and times, and of nobody else."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from world import LINES, POLICY, START, World

from shared import messages
from shared.model import utc_text

LOG = POLICY.category("web-access-log")
HOUR = START - timedelta(days=2)
NAME = f"{HOUR:%Y-%m-%d/%H}.jsonl"
ME, OTHER = "192.0.2.7", "198.51.100.1"


def a_line(ip: str, minute: int) -> bytes:
    return json.dumps({"at": utc_text(HOUR + timedelta(minutes=minute)), "ip": ip, "page": "/"}).encode() + b"\n"


MINE, THEIRS = a_line(ME, 5) + a_line(ME, 55), a_line(OTHER, 5)
VISIT = {"ip": ME, "since": utc_text(HOUR), "until": utc_text(HOUR + timedelta(minutes=30))}


@pytest.fixture
def world() -> World:
    world = World()
    world.neighbourhood()
    world.records.put(LOG, NAME, data=MINE + THEIRS, stored=HOUR)
    return world


async def ask(world: World, **fields: object) -> str:
    request = str(uuid4())
    body = messages.compose("erase", id=request, requested_by="x", identity_verified_by="y", **fields)
    await world.queues["requests"].send(body, message_id=request)
    await world.rest()
    return request


async def test_the_lines_of_the_visit_leave_and_the_log_says_so_without_naming_it(world: World) -> None:
    request = await ask(world, subject={"visit": VISIT})
    assert world.records.data(LOG, NAME) == a_line(ME, 55) + THEIRS
    events = [e for e in await world.events() if (e["data"].get("cause") or {}).get("request") == request]
    assert [(e["type"], e["data"]["category"]) for e in events] == [("retention.record.left", "web-access-log")]
    assert ME not in json.dumps(await world.events())
    assert not [line for line in LINES.texts if ME in line]


async def test_a_persons_erasure_takes_the_lines_of_the_visit_that_they_name(world: World) -> None:
    await ask(world, subject={"user_id": "anna"}, visit=VISIT)
    assert world.records.data(LOG, NAME) == a_line(ME, 55) + THEIRS
    assert "anna" not in world.keys("users")


async def test_without_address_and_times_nothing_of_the_log_is_touched(world: World) -> None:
    await ask(world, subject={"user_id": "anna"})
    assert world.records.data(LOG, NAME) == MINE + THEIRS
    assert "anna" not in world.keys("users")


async def test_a_log_that_the_store_does_not_rewrite_stays_and_a_person_must_look(world: World) -> None:
    world.records.block(LOG, NAME, "blob-type")
    request = await ask(world, subject={"visit": VISIT})
    assert world.records.data(LOG, NAME) == MINE + THEIRS
    held = await world.requests.load(request)
    assert held is not None
    assert held.value.state == "needs_attention"
