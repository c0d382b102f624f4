"""Before the demo starts: whose folder it may empty, and that it can reach no servers but its own."""

import asyncio
import json
import os

import pytest

from local import servers
from local.demo import app
from local.demo.__main__ import empty, only_local
from local.demo.show import Show, counts
from local.processes import ProcessError, start_time
from shared.config import load


def test_a_folder_of_an_earlier_demo_is_emptied(tmp_path):
    root = tmp_path / "demo"
    empty(root)
    (root / "demo.json").write_text("{}")
    (root / "old").mkdir()
    empty(root)
    assert list(root.iterdir()) == []


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(ProcessError, match="no demo put there"):
        empty(tmp_path)
    assert (tmp_path / "precious").exists()


def test_a_folder_whose_servers_run_is_left_alone(tmp_path):
    (tmp_path / "demo.json").write_text("{}")
    (tmp_path / "run").mkdir()
    record = {"pid": os.getpid(), "started": start_time(os.getpid()), "port": 1, "command": []}
    (tmp_path / "run" / "cosmos.json").write_text(json.dumps(record))
    with pytest.raises(ProcessError, match=r"cosmos still run.*make down"):
        empty(tmp_path)
    assert (tmp_path / "run" / "cosmos.json").exists()


def test_settings_that_lead_elsewhere_are_not_seen(tmp_path):
    settings = servers.settings(servers.Ports())
    real = {
        "BLOB_DATA__serviceUri": "https://real.blob.core.windows.net",
        "COSMOS_MAIN": "AccountEndpoint=https://real.documents.azure.com/",
        "RETENTION_SETTINGS": "/somewhere/real.json",
        "RETENTION_UNIT": "1",
        "PATH": "/bin",
    }
    environment = only_local(real, settings, tmp_path)
    config = load(environment)
    assert config.connection("BLOB_DATA", "serviceUri") == ("string", settings["BLOB_DATA"])
    assert config.text("COSMOS_MAIN") == settings["COSMOS_MAIN"]
    assert config.number("RETENTION_UNIT") == 1000
    assert environment["RETENTION_SETTINGS"] == str(tmp_path / "settings.json")
    assert environment["PATH"] == "/bin"


def test_a_result_that_does_not_hold_is_marked_and_remembered(capsys):
    show = Show()
    show.expect("one", held=True)
    assert show.held
    show.expect("two", held=False)
    show.expect("three", held=True)
    assert not show.held
    lines = capsys.readouterr().out.splitlines()
    assert [("did not hold" in line) for line in lines] == [False, True, False]


def test_results_go_to_standard_output_and_trouble_to_standard_error(capsys):
    show = Show()
    show.stage("Seed", "a company")
    show.failed("it broke")
    with show.progress() as progress:
        progress.add_task("blobs", total=1)
    captured = capsys.readouterr()
    assert captured.out == "\n1. Seed: a company\n"
    assert captured.err == "it broke\n"


def test_counts_read_as_words():
    assert counts({"erased": 1072, "blocked": 1, "held": 0}) == "1,072 erased, 1 blocked"
    assert counts({}) == "none"


async def test_waiting_goes_on_while_something_changes_and_ends_when_nothing_does(monkeypatch):
    monkeypatch.setattr(app, "_POLL_SECONDS", 0)
    numbers = iter(range(100))

    async def look():
        return next(numbers)

    assert await app.wait_for(look, lambda n: n == 50, what="fifty", stalled=60) == 50

    async def stuck():
        await asyncio.sleep(0)
        return 1

    with pytest.raises(app.DemoError, match="the sweeps: nothing has changed"):
        await app.wait_for(stuck, lambda _: False, what="the sweeps", stalled=0)
