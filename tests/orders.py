"""Orders to the sweeps as messages, and rows of a log for them to find."""

from datetime import timedelta
from uuid import uuid4

from world import World

from shared import audit, messages

LOG = "operation-log"
OPS = "dora of operations"  # a name that may reach neither an event nor a log


def order(world: World, kind: str, *, again: str | None = None, **fields: object):
    """An order as intake reads it; `again` is the id of one that is delivered again."""
    fields |= {"by": OPS} if kind != "run" else {}
    fields |= {"reason": "dora wants to look"} if kind == "pause" else {}
    return messages.parse(messages.compose(kind, id=again or str(uuid4()), **fields), now=world.now)


async def approve(world: World, run: str, *, again: str | None = None) -> None:
    await world.control.approve(order(world, "approve", run=run, again=again), world.now)


async def pause(world: World, category: str = LOG, *, again: str | None = None) -> None:
    await world.control.pause(order(world, "pause", category=category, again=again), world.now)


async def resume(world: World, category: str = LOG, *, again: str | None = None) -> None:
    await world.control.resume(order(world, "resume", category=category, again=again), world.now)


def rows(world: World, number: int, *, first: int = 0) -> None:
    """So many rows that are due, of a home that the world need not know."""
    at = f"{world.now - timedelta(days=40):%Y-%m-%dT%H:%M:%SZ}"
    for each in range(first, first + number):
        world.put(LOG, {"id": f"birkeveien-{each}", "homeId": "birkeveien", "at": at})


def told(events: list[dict], *kinds: audit.EventType) -> list[dict]:
    """What the events of these kinds say, in order."""
    return [each["data"] for each in events if each["type"] in kinds]
