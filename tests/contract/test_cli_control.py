"""Approval, pause and resumption by the console script, against the local servers and the app's own functions."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from running import Running, running
from test_cli import NOW, seed

from shared.config import Config
from shared.wiring import Product

WHO = "dora of operations"
PICTURES, LOG = "camera-snapshots", "operation-log"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Three pictures and two lines of the log are due; a run may find two records."""
    with running(tmp_path_factory.mktemp("control"), seed, RETENTION_CAP="2") as it:
        yield it


def planned(world: Running, category: str) -> dict[str, Any]:
    code, out, err = world.retention("plan", category, "--json")
    assert code == 0, err
    return json.loads(out)["categories"][0]


def until(world: Running, category: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The category's line of status, once it is so."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        world.fire("planner")
        found = json.loads(world.retention("status", "--json")[1])
        line = next(each for each in found["categories"] if each["category"] == category)
        if holds(line):
            return line
    raise AssertionError(world.app.log_tail())


def pictures(world: Running) -> int:
    async def count() -> int:
        async with Product(Config(values=world.stack.settings)) as app:
            container = app.blobs("BLOB_DATA").get_container_client(PICTURES)
            return len([each async for each in container.list_blobs()])

    return asyncio.run(count())


def old_rows(world: Running) -> None:
    """Two more lines of the log that are due."""

    async def write() -> None:
        async with Product(Config(values=world.stack.settings)) as app:
            container = app.stores["cosmos/main"].database.get_container_client(LOG)
            for number in range(2):
                item = {
                    "id": f"row-{number}",
                    "homeId": "home-b",
                    "at": f"{NOW - timedelta(days=45):%Y-%m-%dT%H:%M:%SZ}",
                }
                await container.upsert_item(item)

    asyncio.run(write())


def test_a_run_that_finds_too_much_waits_and_goes_on_when_it_is_approved(world: Running) -> None:
    found = planned(world, PICTURES)
    assert (found["due_now"], found["cap"], found["over_cap"], found["complete"]) == (3, 2, True, False)
    assert "more than its cap: a run waits for approval" in world.retention("plan", PICTURES)[1]
    assert world.retention("run", PICTURES)[0] == 0
    run = until(world, PICTURES, lambda line: line["approval"] == "waiting")["run"]
    before = pictures(world)
    code, out, _ = world.retention("status")
    assert code == 1
    assert run in out
    assert planned(world, PICTURES)["waits_for_approval"] == run
    code, _, err = world.retention("run", PICTURES)
    assert code == 0
    assert f"a run found more than its cap: nothing starts before `retention approve {run}`" in err
    assert pictures(world) == before
    assert world.retention("approve", run, "--by", WHO, "--json")[0] == 0
    until(world, PICTURES, lambda line: line["run"] == run and line["finished"])
    assert pictures(world) == before - 3


def test_a_paused_category_says_so_everywhere_and_goes_on_after_its_resumption(world: Running) -> None:
    assert world.retention("pause", LOG, "--by", WHO, "--reason", "a look")[0] == 0
    until(world, LOG, lambda line: line["pause"] is not None)
    assert planned(world, LOG)["paused_since"] is not None
    told = f"nothing starts before `retention resume {LOG}`"
    assert told in world.retention("plan", LOG)[1]
    assert told in world.retention("run", LOG)[2]
    old_rows(world)
    assert planned(world, LOG)["due_now"] == 2
    assert world.retention("resume", LOG, "--by", WHO)[0] == 0
    until(world, LOG, lambda line: line["pause"] is None)
    assert world.retention("run", LOG)[0] == 0
    until(world, LOG, lambda line: line["finished"] and line["expired"] == 2)
    assert planned(world, LOG)["due_now"] == 0


def test_the_log_tells_of_the_orders_and_names_nobody(world: Running) -> None:
    wanted = {f"retention.run.{each}" for each in ("needs_approval", "approved", "completed")}
    wanted |= {"retention.category.paused", "retention.category.resumed"}
    end = time.monotonic() + 60
    out = ""
    while not wanted <= set(out.replace('"', " ").split()):
        assert time.monotonic() < end, out
        world.fire("watch_journals", "ledger_seal")
        out = world.retention("audit", "show", "--tail", "1000", "--json")[1]
    assert "dora" not in out
