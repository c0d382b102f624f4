"""The console script as a child process, against the local servers and the app's own functions, right and wrong.

These tests read counts of whole containers, so they have servers of their own.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from running import Running, ended, running

from local.processes import free_port
from shared.config import Config
from shared.containers import OWN_CONTAINERS
from shared.runs import Runs
from shared.wiring import Product

NOW = datetime.now(UTC)
SOMEBODY = ("--requested-by", "the person", "--identity-verified-by", "support")


async def finish(world: Running, category: str) -> None:
    """Let the planner tick until the category's run is finished."""
    end = time.monotonic() + 60
    async with Product(Config(values=world.stack.settings)) as app:
        runs = Runs(objects=app.own("runs"))
        while not ((held := await runs.current(category)) and held.value.finished):
            assert time.monotonic() < end, world.app.log_tail()
            await asyncio.to_thread(world.fire, "planner")


def own_objects(world: Running) -> list[str]:
    async def names() -> list[str]:
        async with Product(Config(values=world.stack.settings)) as app:
            return [f"{own.name}/{entry.name}" for own in OWN_CONTAINERS async for entry in app.own(own.name).list()]

    return asyncio.run(names())


async def seed(config: Config) -> None:
    """Anna alone in home-a, Bob in home-b; three pictures and two lines have expired, and one name is odd."""
    async with Product(config) as app:
        pictures = app.blobs("BLOB_DATA").get_container_client("camera-snapshots")
        for days in (0, 8, 9, 10):
            at = NOW - timedelta(days=days, minutes=5)
            await pictures.upload_blob(f"{at:%Y-%m-%d}/{at:%H}/home-b/hall/{at:%H%M%S}-1.jpg", b"picture")
        await pictures.upload_blob("an odd name", b"picture")
        database = app.stores["cosmos/main"].database
        for user, home in (("anna", "home-a"), ("bob", "home-b")):
            items = {
                "users": {"userId": user, "email": f"{user}@example.test", "lastActiveAt": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"},
                "homes": {"homeId": home, "members": [user]},
                "operation-log": {"homeId": home, "at": f"{NOW - timedelta(days=45):%Y-%m-%dT%H:%M:%SZ}", "text": "-"},
            }
            for container, item in items.items():
                await database.get_container_client(container).upsert_item({"id": user, **item})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("cli"), seed) as it:
        yield it


def test_plan_counts_what_is_due_and_strange_and_writes_nothing(world: Running) -> None:
    before = own_objects(world)
    code, out, err = world.retention("plan", "camera-snapshots", "users", "devices", "--json")
    assert code == 0
    rows = {each["category"]: each for each in json.loads(out)["categories"]}
    pictures = rows["camera-snapshots"]
    assert (pictures["due_now"], pictures["complete"], pictures["strange"]) == (3, True, {"outside the layout": 1})
    assert (rows["users"]["due_now"], rows["devices"]["goes_with"]) == (0, ["homes"])
    assert "dry run" in err
    assert own_objects(world) == before


def test_run_queues_a_run_that_status_shows_when_it_is_finished(world: Running) -> None:
    code, out, err = world.retention("run", "operation-log", "--json")
    assert code == 0
    assert (json.loads(out)["queue"], json.loads(out)["categories"]) == ("requests", ["operation-log"])
    assert "queued" in err
    asyncio.run(finish(world, "operation-log"))
    found = json.loads(world.retention("status", "--json")[1])
    log = next(each for each in found["categories"] if each["category"] == "operation-log")
    assert log["run"].startswith("operation-log-")
    assert log["finished"] is not None
    assert log["open_slices"] == 0


def test_a_person_is_erased_and_the_log_proves_it(world: Running, tmp_path: Path) -> None:
    # 1. the request, and how it stands: without naming anybody
    code, out, err = world.retention("request", "erase", "--email", "anna@example.test", *SOMEBODY)
    request = out.strip()
    assert (code, out) == (0, f"{request}\n")
    assert f"request {request}" in err
    code, out, err = world.retention("request", "status", request, "--follow")
    assert code == 0
    assert re.search(r"^state +done, in backups until \d{4}-\d\d-\d\d ", out, re.MULTILINE)
    assert "1 erased" in next(line for line in out.splitlines() if "users" in line)
    assert "anna" not in out + err

    # 2. the log, live and in a folder, once the last journal is appended
    for _ in range(60):
        world.fire("watch_journals", "ledger_seal", "ledger_publish")
        if "request.completed" in world.retention("audit", "show", "--request", request)[1]:
            break
    copy = world.start("audit", "download", str(tmp_path / "copy"))
    code, out, err = world.retention("audit", "verify", "--json")
    assert (code, json.loads(out)["sound"]) == (0, True)
    assert "LEDGER_SIGNING_SEED" in err
    vkey = json.loads(out)["keys"][0]
    assert ended(copy)[0] == 0
    code, out, _ = world.retention("audit", "show", "--request", request, "--json")
    events = [each["event"] for each in json.loads(out)["events"]]
    assert code == 0
    assert {event["data"]["category"] for event in events if event["type"] == "retention.record.erased"} >= {"users"}
    assert "retention.request.completed" in [event["type"] for event in events]
    assert "anna" not in out
    assert world.retention("audit", "verify", str(tmp_path / "copy"), "--key", vkey)[0] == 0

    # 3. one changed byte
    bundle = next(path for path in (tmp_path / "copy/tile/entries").rglob("*") if path.is_file())
    data = bytearray(bundle.read_bytes())
    data[data.index(request.encode())] ^= 1
    bundle.write_bytes(data)
    code, out, _ = world.retention("audit", "verify", str(tmp_path / "copy"), "--key", vkey)
    assert code == 1
    assert "WRONG    tile/entries/000.p/" in out
    assert out.splitlines()[-1] == "NOT SOUND: 1 finding"


def test_what_needs_a_person_is_told_by_status_and_request_status_with_exit_code_1(world: Running) -> None:
    bad, sent = str(uuid4()), str(uuid4())
    bad_body = {
        "retention": {"version": 1, "type": "erase", "id": bad, "subject": {"user_id": "bob"}, "requested_by": 7}
    }
    world.send(json.dumps(bad_body).encode())
    code, out, _ = world.retention(
        "request", "erase", "--email", "nobody@example.test", *SOMEBODY, "--id", sent, "--json"
    )
    assert (code, json.loads(out)) == (0, {"id": sent, "type": "erase", "queue": "requests"})
    undecided = world.start("request", "status", sent, "--follow", "--json")
    parked = world.start("request", "status", bad, "--follow", "--json")
    code, out, _ = ended(undecided)
    assert (code, json.loads(out)["state"]) == (1, "needs_attention")
    assert json.loads(out)["reason"] == "the e-mail address matches nobody"
    code, out, _ = ended(parked)
    assert (code, json.loads(out)["state"]) == (1, "parked")
    assert "retention.requested_by: say who asked" in json.loads(out)["parked"][0]["reason"]
    assert "bob" not in out
    code, out, _ = world.retention("status")
    assert code == 1
    assert f"ATTENTION request {sent} needs a person" in out
    assert f" of request {bad} is parked, from queue requests" in out


def test_what_is_not_there_is_told_apart_from_what_does_not_answer(world: Running) -> None:
    blob, cosmos = f":{world.stack.ports.blob}/", f":{world.stack.ports.cosmos}/"
    nowhere = f":{free_port()}/"
    no_state = {"BLOB_STATE": world.stack.settings["BLOB_STATE"].replace(blob, nowhere)}
    no_cosmos = {"COSMOS_MAIN": world.stack.settings["COSMOS_MAIN"].replace(cosmos, nowhere)}
    cases = [
        (4, "", world.start("request", "status", str(uuid4()))),
        (3, "no useful answer: Blob storage retentionstate/", world.start("status", "--json", **no_state)),
        (3, "no useful answer: Cosmos DB", world.start("plan", "users", "--json", **no_cosmos)),
        (2, "setting COSMOS_MAIN is no connection string", world.start("plan", "users", COSMOS_MAIN="rubbish")),
        (2, "setting BLOB_STATE is missing", world.start("status", RETENTION_SETTINGS="")),
        (2, "there is no log of 1999", world.start("audit", "verify", "--year", "1999")),
    ]
    for code, said, child in cases:
        found = ended(child)
        assert found[0] == code, found
        assert said in found[2]
        assert not found[1] or code == 4
