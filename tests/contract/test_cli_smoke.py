"""`retention smoke` against the local servers and the app's own functions: when all is kept, and each way it is not."""

import asyncio
import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from blob_stand_in import connection
from running import Running, ended, running

from local.azure.account import Account, Container, RefusedError
from local.azure.blob_server import Answer, BlobServer
from local.azure.serving import serving
from shared.config import DEVELOPMENT_SEED, Config
from shared.liveness import TIMERS
from shared.policy_file import load
from shared.posture.watch import NAME as POSTURE
from shared.wiring import Product

OFTEN = [name for name, interval in TIMERS.items() if interval <= timedelta(hours=1)]
OURS = ("FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "APP_ROLE")
ROOT = Path(__file__).parents[2]
POLICY = load(ROOT / "policy.yaml")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Empty stores, the app, and the settings as `azd env get-values --output json` prints them after a deployment."""
    with running(tmp_path_factory.mktemp("smoke"), RETENTION_RECOVER_AFTER="3") as it:  # what waited goes on soon
        outputs = {name: value for name, value in it.stack.settings.items() if name not in OURS}
        deployed = {
            "AZURE_ENV_NAME": "dev",
            "AZURE_LOCATION": "norwayeast",
            "SERVICE_PIPELINE_NAME": "func-1",
            **outputs,
        }
        (it.home / "deployed.json").write_text(json.dumps(deployed))
        yield it


@contextmanager
def clock(world: Running, but: str = "") -> Iterator[None]:
    """Let every timer fire again and again, but those of once a day, as the platform would within minutes."""
    names = [name for name in OFTEN if name != but]
    over = threading.Event()

    def fire() -> None:
        while not over.wait(1):
            world.fire(*names)

    thread = threading.Thread(target=fire)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children end at SIGINT. A shell that starts the tests in the background has it ignored, and they inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def forget_posture(world: Running) -> None:
    """As if the pipeline had not looked yet."""
    async with Product(Config(values=world.stack.settings)) as product:
        await product.own("heartbeats").delete(POSTURE)


def smoke(world: Running, *more: str, timeout: int = 60, **settings: str) -> tuple[int, str, str]:
    given = {"RETENTION_SETTINGS": str(world.home / "deployed.json"), **settings}
    return world.retention("smoke", "--timeout", str(timeout), *more, **given)


def line(out: str, step: str) -> str:
    return next(each for each in out.splitlines() if re.match(rf"(ok|FAILED) +{step} ", each))


def stored(world: Running) -> list[str]:
    """Every record that the categories of the policy hold."""

    async def look() -> list[str]:
        async with Product(Config(values=world.stack.settings)) as app:
            database: Any = app.stores["cosmos/main"]
            found = []
            for category in POLICY.categories:
                place = category.store
                if place.kind == "cosmos":
                    items = database.database.get_container_client(place.container).read_all_items()
                    found += [f"{place.container}/{item['id']}" async for item in items]
                elif place.kind == "blob":
                    blobs = app.blobs(f"BLOB_{place.account.upper()}").get_container_client(place.container)
                    found += [f"{place.container}/{blob.name}" async for blob in blobs.list_blobs()]
            return found

    return asyncio.run(look())


def request_of(text: str) -> str:
    found = re.search(r"request ([0-9a-f-]{36})", text)
    assert found is not None, text
    return found[1]


def unfinished(world: Running) -> list[str]:
    """The requests that are not done."""
    found = json.loads(world.retention("request", "list", "--json")[1])["requests"]
    return [each["request"] for each in found if each["state"] != "done"]


def lefts(out: str) -> list[str]:
    return re.findall(r"^ +left: (.+)$", out, re.MULTILINE)


# ---------------------------------------------------------------- all is kept


def test_a_person_is_created_erased_and_proven_and_nothing_of_them_stays(world: Running) -> None:
    with clock(world):
        code, out, err = smoke(world)
    assert code == 0, out + err
    assert out.splitlines()[-1] == "fine"
    assert line(out, "posture").endswith("fine: what the stores are set to keeps every promise that is enforced")
    assert f"{len(TIMERS)} on time" in line(out, "timers")
    person = line(out, "person")
    assert "users: 1 erased" in person
    assert "homes: 1 " in person
    assert "camera-snapshots: 1 erased" in person
    assert stored(world) == []
    assert "the key it finds, its own seed's" in line(out, "log")
    assert "LEDGER_SIGNING_SEED" in err
    shown = world.retention("audit", "show", "--json", "--request", request_of(person))[1]
    ends = [e["index"] for e in json.loads(shown)["events"] if e["event"]["type"] == "retention.request.completed"]
    assert [f"entry {index} says that the request was completed" in line(out, "log") for index in ends] == [True]
    assert "smoke-" not in shown


def test_json_is_one_document_and_the_published_key_is_the_one_that_counts(world: Running) -> None:
    key = published(world)
    with clock(world):
        code, out, err = smoke(world, "--json", LEDGER_VERIFIER_KEY=key, LEDGER_SIGNING_SEED="")
    assert code == 0, err
    found = json.loads(out)
    assert (found["fine"], found["left"]) == (True, [])
    assert [step["step"] for step in found["steps"]] == ["timers", "posture", "person", "log"]
    assert found["request"] in found["steps"][2]["saw"]
    assert "sound by LEDGER_VERIFIER_KEY" in found["steps"][3]["saw"]
    assert stored(world) == []


def published(world: Running) -> str:
    """The public key of this year's log."""
    config = Config(values={**world.stack.settings, "LEDGER_SIGNING_SEED": DEVELOPMENT_SEED})
    return Product(config).signer(str(datetime.now(UTC).year)).verifier.vkey


# ---------------------------------------------------------------- something is not kept


def test_nobody_is_created_while_the_timers_do_not_run(world: Running) -> None:
    code, out, _ = smoke(world, timeout=2)  # they have run before: that says nothing of what is deployed now
    assert code == 1
    assert "not on time after 2 s: " in line(out, "timers")
    assert "ledger_seal" in line(out, "timers")
    assert line(out, "timers").endswith("(#timers)")
    assert "nobody was created" in line(out, "person")
    assert out.splitlines()[-1] == "NOT FINE"
    assert stored(world) == []


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("interruptible")
def test_an_erasure_that_does_not_come_and_an_interruption_are_told_with_what_they_leave(world: Running) -> None:
    assert world.retention("pause", "erasures", "--by", "operations", "--reason", "a test")[0] == 0
    with clock(world):
        # 1. interrupted while it waits: what may be left is said on the way out
        child = world.start("smoke", "--timeout", "60", RETENTION_SETTINGS=str(world.home / "deployed.json"))
        while len(made := stored(world)) < 3 or not (waiting := unfinished(world)):
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        code, out, err = ended(child)
        assert code != 0
        assert "person" not in out
        assert sorted(re.findall(r"^may be left: (.+)$", err, re.MULTILINE)) == sorted(made)
        assert f"`retention request show {waiting[0]}`" in err

        # 2. not done in time: a step that failed, and the log is checked all the same
        code, out, err = smoke(world, timeout=12)
        assert code == 1, err
        person = line(out, "person")
        assert "not done after 12 s" in person
        assert person.endswith("(#requests)")
        assert sorted([*lefts(out), *made]) == sorted(stored(world))
        assert len(lefts(out)) == 3
        assert f"`retention request show {request_of(person)}`" in out
        assert re.search(r"the policy's own sweep takes them after \d{4}-", out)
        assert line(out, "log").startswith("ok")

        # 3. both requests wait no longer, and nothing is left
        assert world.retention("resume", "erasures", "--by", "operations")[0] == 0
        for request in (waiting[0], request_of(person)):
            assert world.retention("request", "status", request, "--follow")[0] == 0
    assert stored(world) == []


def test_a_log_that_another_key_signed_is_not_sound(world: Running) -> None:
    name, _, _ = published(world).partition("+")
    other = Product(Config(values={**world.stack.settings, "LEDGER_SIGNING_SEED": "A" * 43 + "="}))
    key = other.signer(name.rpartition("/")[2]).verifier.vkey
    with clock(world):
        code, out, _ = smoke(world, "--no-person", LEDGER_VERIFIER_KEY=key)
    assert code == 1
    assert "NOT SOUND by LEDGER_VERIFIER_KEY" in line(out, "log")
    assert "(#ledger)" in line(out, "log")


class Unwritable(BlobServer):
    """An account in which the caller may read and not write. Its settings are not to be had: it is no emulator."""

    def _blob(self, method: str, *more: Any) -> Answer:
        if method == "PUT":
            raise RefusedError(403, "AuthorizationPermissionMismatch")
        return super()._blob(method, *more)


def test_what_was_created_is_erased_again_when_a_store_refuses_the_rest(world: Running) -> None:
    account = Account("shopdata")
    account.containers["camera-snapshots"] = Container()
    with serving(Unwritable(account)) as url, clock(world):
        code, out, err = smoke(world, BLOB_DATA=connection(url, account))
    assert code == 3, out + err
    assert "no useful answer: Blob storage camera-snapshots: AuthorizationPermissionMismatch" in err
    assert "left" not in err
    assert stored(world) == []
    assert line(out, "timers").startswith("ok")


def test_what_the_caller_may_not_read_of_the_stores_settings_the_pipelines_own_look_tells(world: Running) -> None:
    account = Account("shopdata")
    account.containers |= {name: Container() for name in ("camera-snapshots", "web-access-log")}
    with serving(BlobServer(account)) as url:
        world.fire(*OFTEN)
        asyncio.run(forget_posture(world))
        with clock(world, but="watch_posture"):
            unknown, told, _ = smoke(world, "--no-person", BLOB_DATA=connection(url, account))
        world.fire("watch_posture")
        with clock(world):
            code, out, err = smoke(world, "--no-person", BLOB_DATA=connection(url, account))
    assert unknown == 1
    posture = line(told, "posture")  # the account's settings are unknown: told, and the test goes on
    assert posture.startswith("FAILED")
    assert "(#posture)" in posture
    assert re.search(r"^ +unknown: BLOB_DATA: .*; do: ", told, re.MULTILINE)
    assert line(told, "log").startswith("ok")
    assert code == 0, out + err
    assert re.search(
        r"^ok +posture +fine by the pipeline's own look at \d{4}-.* 1 finding would be unknown$", out, re.MULTILINE
    )


# ---------------------------------------------------------------- refused before anything is created


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"COSMOS_MAIN_DATABASE": "another"}, "there is no container users, homes: "),
        ({"LEDGER_SIGNING_SEED": ""}, "set LEDGER_VERIFIER_KEY"),
        ({"POLICY_FILE": "nobody.yaml"}, "no enforced category of users"),
    ],
    ids=["containers", "key", "policy"],
)
def test_what_cannot_be_tested_is_refused_with_what_to_do_and_nobody_is_created(
    world: Running, tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    text = (ROOT / "policy.yaml").read_text().replace("    identifies: {email: email}\n", "")
    (tmp_path / "nobody.yaml").write_text(text)
    given = {name: value.replace("nobody.yaml", str(tmp_path / "nobody.yaml")) for name, value in settings.items()}
    code, out, err = smoke(world, timeout=1, **given)
    assert (code, out) == (2, "")
    assert said in err
    assert "--no-person" in err or "LEDGER" in said
    assert stored(world) == []


@pytest.mark.parametrize("more", [(), ("--no-person",)], ids=["person", "no-person"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"LEDGER_VERIFIER_KEY": "no-key"}, "setting LEDGER_VERIFIER_KEY: the verifier key is not of the form"),
        ({"LEDGER_VERIFIER_KEY": "KEY no-key"}, "setting LEDGER_VERIFIER_KEY: the verifier key is not of the form"),
        ({"LEDGER_SIGNING_SEED": "no-seed"}, "setting LEDGER_SIGNING_SEED must be"),
        ({"LEDGER_FORMER_KEYS": "no-key"}, "setting LEDGER_FORMER_KEYS: the verifier key is not of the form"),
    ],
    ids=["no-key", "second-is-no-key", "no-seed", "no-former-key"],
)
def test_a_key_that_is_none_is_refused_before_anything_is_waited_for_or_created(
    world: Running, settings: dict[str, str], said: str, more: tuple[str, ...]
) -> None:
    given = {name: value.replace("KEY", published(world)) for name, value in settings.items()}
    with clock(world):
        code, out, err = smoke(world, *more, **given)
    assert (code, out) == (2, "")
    assert said in err
    assert "waiting for" not in err
    assert stored(world) == []


def test_what_a_hold_keeps_is_told_with_the_request_that_waits_for_a_person(world: Running) -> None:
    """The last one here: the hold stays."""
    why = ("--owner", "legal", "--reason", "a dispute", "--by", "operations")
    assert world.retention("hold", "add", "--category", "camera-snapshots", *why)[0] == 0
    with clock(world):
        while '"in_force": "yes"' not in world.retention("hold", "list", "--json")[1]:
            time.sleep(0.5)
        code, out, _ = smoke(world)
    assert code == 1
    assert "needs attention: some records had to stay: 1 held" in line(out, "person")
    assert lefts(out) == stored(world)
    assert [each.partition("/")[0] for each in lefts(out)] == ["camera-snapshots"]


def test_every_section_that_a_step_names_is_in_the_runbook() -> None:
    titles = re.findall(r"^## (.+)$", (ROOT / "docs" / "operate.md").read_text(encoding="utf-8"), re.MULTILINE)
    sections = {title.lower().replace(" ", "-") for title in titles}
    source = (ROOT / "cli" / "smoke.py").read_text(encoding="utf-8")
    named = set(re.findall(r'see="([a-z-]+)"', source))
    assert named == {"posture", "timers", "requests", "ledger"}
    assert named <= sections
