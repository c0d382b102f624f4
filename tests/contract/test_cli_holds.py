"""`retention hold` against the local servers and the app's own functions: a sweep spares what is held, until release."""

import asyncio
import json
import time

from running import Running
from test_cli import world

from shared.config import Config
from shared.wiring import Product

__all__ = ["world"]

WHY = ("--owner", "legal", "--reason", "a dispute", "--by", "operations")


def listed(world: Running, hold: str, *more: str, until: str) -> dict:
    """The hold as the list has it, once its `in_force` (or its end) is there."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        code, out, err = world.retention("hold", "list", "--all", "--json", *more)
        assert code == 0, err
        found = next((each for each in json.loads(out)["holds"] if each["id"] == hold), None)
        if found and (found["in_force"] == until or (until == "ended" and found["ended"])):
            return found
        time.sleep(0.2)
    raise AssertionError(world.app.log_tail())


def rows(world: Running) -> int:
    async def count() -> int:
        async with Product(Config(values=world.stack.settings)) as app:
            log = app.stores["cosmos/main"].database.get_container_client("operation-log")
            return len([each async for each in log.read_all_items()])

    return asyncio.run(count())


def swept(world: Running) -> None:
    assert world.retention("run", "operation-log")[0] == 0
    end = time.monotonic() + 60
    while time.monotonic() < end:  # the run message is taken up, and its run comes to its end
        world.fire("planner")
        found = json.loads(world.retention("status", "--json")[1])
        log = next(each for each in found["categories"] if each["category"] == "operation-log")
        if log["run"] not in (None, getattr(world, "last", None)) and log["finished"]:
            world.last = log["run"]
            return
    raise AssertionError(world.app.log_tail())


def test_what_is_held_stays_in_a_sweep_and_goes_after_the_release(world: Running) -> None:
    code, out, err = world.retention("hold", "add", "--category", "operation-log", *WHY)
    assert code == 0
    hold = out.strip()
    assert "retention hold list" in err
    found = listed(world, hold, until="yes")
    assert (found["category"], found["too_late"], found["ended"]) == ("operation-log", 0, None)
    before = rows(world)
    assert before
    swept(world)
    assert rows(world) == before
    assert world.retention("hold", "release", hold, "--by", "operations", "--reason", "settled")[0] == 0
    listed(world, hold, until="ended")
    swept(world)
    assert rows(world) == 0


def test_a_hold_of_a_person_is_listed_without_their_name_unless_asked(world: Running) -> None:
    hold = world.retention("hold", "add", "--user-id", "anna", *WHY)[1].strip()
    assert "target" not in listed(world, hold, until="yes")
    assert listed(world, hold, "--show-targets", until="yes")["target"] == "anna"
    assert "anna" not in world.retention("hold", "list")[1]


def test_a_hold_of_no_category_of_the_policy_is_refused_before_it_is_sent(world: Running) -> None:
    code, out, err = world.retention("hold", "add", "--category", "nothing", *WHY)
    assert (code, out) == (2, "")
    assert "no such category" in err
