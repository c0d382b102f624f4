"""The command line as a whole: which commands, settings and exit codes there are, and what each failure becomes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from ledger_world import World

from cli import main as command_line
from cli import settings
from cli.sweeps import Standing, _Row
from shared import messages
from shared.errors import ChangedError, ConfigError, IntegrityError, PermanentError, TransientError
from shared.ledger.reader import download
from shared.policy_file import load

Retention = Callable[..., tuple[int, str, str]]
SOMEBODY = ("--requested-by", "the person", "--identity-verified-by", "support")
ID = "11111111-1111-4111-8111-111111111111"


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    group = group or typer.main.get_command(command_line.app)
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        else:
            yield (*path, name), each


def test_the_commands_are_these() -> None:
    assert {" ".join(path) for path, _ in commands()} == {
        "plan",
        "run",
        "approve",
        "pause",
        "resume",
        "status",
        "parking list",
        "parking show",
        "parking dismiss",
        "posture",
        "smoke",
        "hold add",
        "hold list",
        "hold release",
        "request erase",
        "request restrict",
        "request list",
        "request show",
        "request status",
        "request receipt",
        "request retry",
        "request resolve",
        "request replay",
        "audit verify",
        "audit download",
        "audit show",
        "audit receipt",
        "audit key",
        "policy check",
        "policy show",
        "policy schema",
    }


def test_every_command_takes_json_and_says_its_exit_codes() -> None:
    for path, command in commands():
        assert any("--json" in each.opts for each in command.params), path
        assert "Exit codes: 0 " in " ".join(command.help.split()), path


def test_help_lists_the_exit_codes_and_no_arguments_shows_help(retention: Retention) -> None:
    code, out, err = retention("--help")
    assert (code, err) == (0, "")
    assert all(text in out for text in ("0: fine", "1: the answer is bad", "2: wrong", "3: a store", "4: no request"))
    shown = retention()
    assert "Usage: retention" in shown[1] + shown[2]


def test_azure_s_packages_are_imported_only_where_they_serve() -> None:
    code = "import cli.main, sys; print([name for name in sys.modules if name.split('.')[0] == 'azure'])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (TransientError("Blob storage x/y: gone"), 3, "no useful answer: Blob storage x/y: gone"),
        (IntegrityError("two heads"), 1, "evidence contradicts itself: two heads"),
        (ConfigError("setting X is missing"), 2, "setting X is missing"),
        (PermanentError("refused"), 2, "refused"),
        (ChangedError("another was faster"), 2, "another was faster"),
    ],
)
def test_an_expected_failure_is_one_line_on_stderr_and_its_exit_code(
    error: Exception, code: int, said: str, retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(settings, "with_product", fail)
    ended, out, err = retention("status")
    assert (ended, out) == (code, "")
    assert err.startswith(said)
    assert len(err.splitlines()) == 1


# ---------------------------------------------------------------- settings


def test_the_environment_goes_over_the_file_that_the_option_names(retention: Retention, tmp_path: Path) -> None:
    policy = tmp_path / "bad.yaml"
    policy.write_text("nope: 1")
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"Values": {"POLICY_FILE": str(policy)}}))
    assert retention("plan", "web-statistics")[0] == 0
    code, out, err = retention("--settings", str(file), "plan", "web-statistics")
    assert (code, out) == (2, "")
    assert f"{policy}:1: nope" in err
    assert retention("--settings", str(file), "policy", "show")[0] == 2


def test_local_settings_in_the_current_folder_serve_without_being_named(retention: Retention, tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"POLICY_FILE": "/nowhere/p.yaml"}}')
    code, _, err = retention("plan", "users")
    assert code == 2
    assert "/nowhere/p.yaml: cannot be read" in err


@pytest.mark.parametrize("text", ["{", "[]", '{"Values": 1}', '{"values": {}}'])
def test_a_settings_file_that_is_none_is_refused_by_name(text: str, retention: Retention, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(text)
    code, out, err = retention("--settings", "s.json", "status")
    assert (code, out) == (2, "")
    assert err.startswith("s.json: no settings file")


# ---------------------------------------------------------------- what needs no store


def test_plan_lists_planned_categories_as_planned_without_any_store(retention: Retention) -> None:
    code, out, err = retention("plan", "web-statistics", "exports", "--json")
    assert (code, err) == (0, "dry run: nothing was written or deleted\n")
    assert [(each["category"], each["status"], each["due_now"]) for each in json.loads(out)["categories"]] == [
        ("web-statistics", "planned", None),
        ("exports", "planned", None),
    ]
    assert retention("plan", "web-statistics")[1].splitlines()[1].split()[:2] == ["web-statistics", "PLANNED"]


def test_a_count_that_stopped_at_its_bound_says_or_more() -> None:
    users = load(Path(__file__).parents[2] / "policy.yaml").category("users")
    since = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert _Row(category=users, due=1000, oldest=since, complete=False, strange={"odd": 2}).cells() == (
        "users",
        "1,000 or more",
        "",
        "2026-01-02 03:04Z",
        "2 odd",
    )
    assert _Row(category=users, due=1000, strange={}).cells() == ("users", "1,000", "", "", "-")


def test_plan_says_of_a_category_what_keeps_it_from_a_run_and_the_remedy() -> None:
    users = load(Path(__file__).parents[2] / "policy.yaml").category("users")
    since = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)

    def row(due: int, **more: Any) -> _Row:
        standing = Standing(category="users", cap=7, **{"paused": None, "waiting": None, **more})
        return _Row(category=users, due=due, standing=standing)

    assert row(7).cells()[1:3] == ("7", "7")
    assert (row(7).over, row(7).notes()) == (False, [])
    assert (row(8).over, row(8).notes()) == (True, ["users: more than its cap: a run waits for approval"])
    paused, waiting = row(8, paused=since), row(8, waiting="users-1")
    assert paused.notes() == [
        "users: paused since 2026-01-02 03:04:00Z: nothing starts before `retention resume users`"
    ]
    assert waiting.notes() == [
        "users: a run found more than its cap: nothing starts before `retention approve users-1`"
    ]
    assert (paused.value()["paused_since"], waiting.value()["waits_for_approval"]) == (since, "users-1")
    assert (paused.value()["cap"], paused.value()["over_cap"]) == (7, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "nope"), "no category nope"),
        (("run",), "name categories, or give --all"),
        (("run", "users", "--all"), "name categories, or give --all"),
        (("run", "nope"), "no category nope"),
        (("run", "users", "web-statistics"), "only planned, not carried out yet: web-statistics"),
        (("run", "devices"), "no run of their own: devices"),
        (("run", "journals"), "no run of their own: journals"),
        (("approve", "a run", "--by", "ops"), "retention.run: give the id of the run"),
        (("pause", "users", "--by", "ops"), "--reason"),
        (("resume", "users"), "--by"),
        (("request", "erase", *SOMEBODY), "give exactly one"),
        (("request", "erase", "--user-id", "a", "--email", "a@b.test", *SOMEBODY), "give exactly one"),
        (("request", "erase", "--user-id", "a", "--requested-by", "x"), "--identity-verified-by"),
        (("request", "erase", "--email", "no address", *SOMEBODY), "retention.subject.email: give one e-mail address"),
        (("request", "erase", "--user-id", "a", *SOMEBODY, "--id", "7"), "UUID"),
        (("request", "erase", "--user-id", "a", *SOMEBODY, "--received-at", "2026-01-01"), "RFC 3339 with an offset"),
        (("request", "erase", "--user-id", "a", *SOMEBODY, "--received-at", "2999-01-01T00:00:00Z"), "not in the fut"),
        (("request", "status", "7"), "UUID"),
        (("policy", "show", "nope"), "no category or promise nope"),
        (("policy", "check", "nowhere"), "nowhere: cannot be read"),
        (("audit", "verify", "nowhere"), "nowhere: there is no such folder"),
        (("audit", "verify", "."), "holds no log"),
        (("audit", "verify", ".", "--year", "2026"), "a folder holds one"),
        (("audit", "show", ".", "--tail", "0"), "--tail"),
        (("bogus",), "No such command"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_is_wrong(
    arguments: tuple[str, ...], said: str, retention: Retention
) -> None:
    code, out, err = retention(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_print_gives_the_message_that_intake_reads_and_sends_nothing(retention: Retention) -> None:
    arguments = ("--email", "kari@example.test", *SOMEBODY, "--id", ID, "--received-at", "2026-01-31T10:30:00+01:00")
    code, out, err = retention("request", "erase", *arguments, "--print")
    assert (code, err) == (0, "")
    message = messages.parse(out.encode(), now=datetime.now(UTC))
    assert isinstance(message, messages.Erase)
    assert (str(message.id), message.subject.email) == (ID, "kari@example.test")
    assert json.loads(out)["retention"]["received_at"] == "2026-01-31T09:30:00Z"
    assert retention("request", "erase", *arguments, "--print", "--json") == (0, out, "")


# ---------------------------------------------------------------- a log in a folder


@pytest.fixture
def log(tmp_path: Path) -> tuple[Path, str]:
    """A sound log of 300 entries in a folder, and its key."""
    world = World()

    async def write() -> None:
        for number in range(30):
            await world.settle(f"intent-{number:02d}", 10)
        await world.work()
        await download(world.live(), tmp_path / "log", verifiers=[world.signer().verifier])

    asyncio.run(write())
    return tmp_path / "log", world.signer().verifier.vkey


def test_a_sound_log_verifies_with_a_key_from_elsewhere_and_without_a_warning(
    log: tuple[Path, str], retention: Retention, tmp_path: Path
) -> None:
    folder, vkey = log
    code, out, err = retention("audit", "verify", str(folder), "--key", vkey)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "sound: from the first entry to the signature"
    (tmp_path / "keys").write_text(f"other.example/2020+00\n{vkey}\n")
    assert "verifier key" in retention("audit", "verify", str(folder), "--key", "keys")[2]
    (tmp_path / "keys").write_text(f"{vkey}\n")
    code, out, err = retention("audit", "verify", str(folder), "--key", "keys", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["sound"], found["size"], found["events"], found["findings"]) == (True, 300, 300, [])
    assert found["keys"] == [vkey]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_a_missing_one(
    log: tuple[Path, str], retention: Retention, make: Callable[[Path], None]
) -> None:
    folder, vkey = log
    for name in ("checkpoint", "tile/entries/000"):
        (folder / name).rename(folder / "kept")
        make(folder / name)
        code, out, _ = retention("audit", "verify", str(folder), "--key", vkey)
        assert code == 1
        assert f"{name}: is missing" in out
        (Path.unlink if make is os.mkfifo else Path.rmdir)(folder / name)
        (folder / "kept").rename(folder / name)


def test_a_key_from_the_log_s_own_folder_is_used_with_a_warning(log: tuple[Path, str], retention: Retention) -> None:
    folder, _ = log
    code, _, err = retention("audit", "verify", str(folder))
    assert code == 0
    assert "warning: the key is the folder's own verifier.key" in err
    (folder / "verifier.key").unlink()
    code, out, err = retention("audit", "verify", str(folder))
    assert (code, out) == (2, "")
    assert "no key to check with" in err


def test_the_published_key_of_the_settings_is_taken_before_the_folder_s_own(
    log: tuple[Path, str], retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, vkey = log
    other = World().signer("2027").verifier.vkey
    monkeypatch.setenv("LEDGER_VERIFIER_KEY", other)
    code, out, err = retention("audit", "verify", str(folder))
    assert (code, err) == (1, "")
    assert "checkpoint: the note carries no signature of this key" in out
    monkeypatch.setenv("LEDGER_VERIFIER_KEY", f"{other} {vkey}")
    assert retention("audit", "verify", str(folder))[0] == 0


def test_one_changed_byte_is_a_finding_with_its_leaf_and_event(log: tuple[Path, str], retention: Retention) -> None:
    folder, vkey = log
    bundle = folder / "tile/entries/000"
    data = bytearray(bundle.read_bytes())
    data[data.index(b"intent-07/3")] ^= 1
    bundle.write_bytes(data)
    code, out, _ = retention("audit", "verify", str(folder), "--key", vkey, "--json")
    assert code == 1
    found = json.loads(out)
    assert found["sound"] is False
    assert [(each["path"], each["leaf"]) for each in found["findings"]] == [("tile/entries/000", 73)]
    code, out, _ = retention("audit", "verify", str(folder), "--key", vkey)
    assert code == 1
    assert "WRONG    tile/entries/000, leaf 73, event " in out
    assert out.splitlines()[-1] == "NOT SOUND: 1 finding"


def test_a_folder_whose_checkpoint_is_gone_is_a_finding(log: tuple[Path, str], retention: Retention) -> None:
    folder, vkey = log
    (folder / "checkpoint").unlink()
    code, out, _ = retention("audit", "verify", str(folder), "--key", vkey)
    assert code == 1
    assert "checkpoint: is missing" in out
    assert retention("audit", "show", str(folder))[0] == 2


def test_show_lists_the_latest_events_or_those_asked_for(log: tuple[Path, str], retention: Retention) -> None:
    folder, _ = log
    code, out, err = retention("audit", "show", str(folder), "--tail", "3")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["index", "297", "298", "299"]
    assert "3 of 300 entries" in err
    found = json.loads(retention("audit", "show", str(folder), "--tail", "2", "--json")[1])
    assert [each["event"]["id"] for each in found["events"]] == ["intent-29/8", "intent-29/9"]
    assert retention("audit", "show", str(folder), "--category", "users")[1].splitlines()[1:] == []


def test_a_log_that_is_none_is_told_without_a_traceback(log: tuple[Path, str], retention: Retention) -> None:
    folder, _ = log
    (folder / "tile/entries/000").write_bytes(b"\xff" * 100)
    code, out, err = retention("audit", "show", str(folder), "--tail", "300")
    assert (code, out) == (1, "")
    assert err.startswith("evidence contradicts itself: ")
