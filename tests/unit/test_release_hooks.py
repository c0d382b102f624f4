"""The hooks of a deployment, run by a real shell against stand-ins for az and azd that refuse what they do not model."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from shared.config import load
from shared.ledger.checkpoint import Signer, parse_vkey

HOOKS = Path(__file__).parents[2] / "infra" / "hooks"
AZ = """
import json, os, pathlib, stat, sys

world = pathlib.Path(os.environ["WORLD"])
state = json.loads(world.read_text())
state["calls"].append(sys.argv[1:])


def end(code=0, text=""):
    world.write_text(json.dumps(state))
    sys.stdout.write(text)
    sys.exit(code)


known = {
    ("keyvault", "secret", "list"): {"--vault-name", "--query", "--output"},
    ("keyvault", "secret", "list-versions"): {"--vault-name", "--name", "--query", "--output"},
    ("keyvault", "secret", "set"): {"--vault-name", "--name", "--file", "--encoding", "--output"},
    ("functionapp", "restart"): {"--name", "--resource-group", "--output"},
    ("rest",): {"--method", "--url", "--output"},
    ("storage", "container", "immutability-policy", "show"):
        {"--account-name", "--container-name", "--resource-group", "--query", "--output"},
    ("storage", "container", "immutability-policy", "lock"):
        {"--account-name", "--container-name", "--resource-group", "--if-match", "--output"},
}
verb = tuple(sys.argv[1:len(sys.argv) - 2 * len([each for each in sys.argv if each.startswith("--")])])
names, values = sys.argv[1 + len(verb)::2], sys.argv[2 + len(verb)::2]
given = dict(zip(names, values))
if verb not in known or set(given) != known[verb]:
    sys.stderr.write(f"az stand-in: not modelled: {sys.argv[1:]}")
    end(64)
if state["failing"].get(" ".join(verb), 0):
    state["failing"][" ".join(verb)] -= 1
    end(1)
secrets, policy = state["secrets"], state["policy"]
match verb[-1]:
    case "list":
        if given["--query"] != "[].name" or given["--output"] != "tsv":
            end(64)
        end(text="".join(name + state["newline"] for name in secrets))
    case "list-versions":
        if given["--query"] != "length(@)" or given["--output"] != "tsv":
            end(64)
        end(text=f"{len(secrets[given['--name']])}{state['newline']}")
    case "set":
        if given["--output"] != "none" or given["--encoding"] != "utf-8":
            end(64)  # else az would print the secret, or store another text
        file = pathlib.Path(given["--file"])
        state["modes"] = [stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)]
        secrets.setdefault(given["--name"], []).extend([file.read_text()] * (1 + state["rivals"]))
        end()
    case "restart":
        end()
    case "rest":
        site = "/subscriptions/subscription/resourceGroups/group/providers/Microsoft.Web/sites/ledger-app"
        refresh = "/config/configreferences/appsettings/refresh?api-version=2022-03-01"
        end(0 if (given["--method"], given["--url"]) == ("post", site + refresh) and secrets else 64)
    case "show":
        if given["--container-name"] != "audit-log" or given["--output"] != "tsv":
            end(64)
        end(text="" if policy is None else f"{policy[given['--query']]}{state['newline']}")
    case "lock":
        if given["--if-match"] != policy["etag"].strip('"') or policy["state"] != "Unlocked":
            end(1)
        policy["state"] = "Locked"
        end()
"""
AZD = """
import json, os, pathlib, sys

world = pathlib.Path(os.environ["WORLD"])
state = json.loads(world.read_text())
if sys.argv[1:3] != ["env", "set"] or len(sys.argv) != 5:
    sys.exit(64)
state["azd"][sys.argv[3]] = sys.argv[4]
world.write_text(json.dumps(state))
"""
OUTPUTS = {
    "AZURE_KEY_VAULT_NAME": "vault",
    "AZURE_SUBSCRIPTION_ID": "subscription",
    "AZURE_RESOURCE_GROUP": "group",
    "SERVICE_LEDGER_NAME": "ledger-app",
    "LEDGER_ORIGIN": "log.example.com/retention",
    "LEDGER_ACCOUNT_NAME": "ledgeraccount",
    "LEDGER_IMMUTABLE_DAYS": "1095",
    "LEDGER_LOCK_WANTED": "true",
}


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """What az and azd see and change, in a file; and the hooks run against it."""

    folder: Path

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "world.json").read_text()))

    def change(self, **parts: Any) -> None:
        (self.folder / "world.json").write_text(json.dumps({**self.state, **parts}))

    def run(self, hook: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(HOOKS / hook)],
            env={
                "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
                "TMPDIR": str(self.folder / "tmp"),
                "WORLD": str(self.folder / "world.json"),
                "RETENTION": str(Path(sys.executable).parent / "retention"),
                "SEED_TRIES": "3",
                "SEED_WAIT": "0",
                **OUTPUTS,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def verbs(self) -> list[str]:
        return [" ".join(takewhile(lambda each: not each.startswith("--"), call)) for call in self.state["calls"]]


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "bin").mkdir()
    for name, program in (("az", AZ), ("azd", AZD)):
        path = tmp_path / "bin" / name
        path.write_text(f"#!{sys.executable}\n{program}")
        path.chmod(0o755)
    policy = {"state": "Unlocked", "immutabilityPeriodSinceCreationInDays": 1095, "etag": '"8d5"'}
    start = {"secrets": {}, "calls": [], "failing": {}, "azd": {}, "newline": "\n", "rivals": 0, "policy": policy}
    (tmp_path / "world.json").write_text(json.dumps(start))
    return Cloud(folder=tmp_path)


# ---------------------------------------------------------------- the parameters


def test_a_budget_begins_in_the_month_of_the_first_deployment_and_stays(cloud: Cloud) -> None:
    project = cloud.folder / "project"
    shutil.copytree(HOOKS.parent, project / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    hook = str(project / "infra" / "hooks" / "parameters.sh")
    written = project / "infra" / "main.parameters.json"
    first = cloud.run(hook, PYTHON=sys.executable)
    assert first.returncode == 0, first.stderr
    start = cloud.state["azd"]["BUDGET_START"]
    assert start in {f"{datetime.now(UTC):%Y-%m}-01", f"{datetime.now(UTC) - timedelta(days=1):%Y-%m}-01"}
    assert json.loads(written.read_text())["parameters"]["budgetStart"] == {"value": start}
    cloud.change(azd={})
    later = cloud.run(hook, PYTHON=sys.executable, BUDGET_START="2025-03-01")
    assert later.returncode == 0, later.stderr
    assert cloud.state["azd"] == {}
    assert json.loads(written.read_text())["parameters"]["budgetStart"] == {"value": "2025-03-01"}


# ---------------------------------------------------------------- the seed


def test_an_empty_vault_gets_a_seed_that_the_ledger_takes_and_its_public_key_is_said(cloud: Cloud) -> None:
    ran = cloud.run("seed.sh", AZURE_ENV_NAME="dev")
    assert ran.returncode == 0, ran.stderr
    [seed] = cloud.state["secrets"]["ledger-signing-seed"]
    key = ran.stdout.splitlines()[-1]
    settings = {"APP_ROLE": "ledger", "LEDGER_SIGNING_SEED": seed, "BLOB_LEDGER__serviceUri": "https://a.example"}
    taken = load(settings).signing_seed()
    assert Signer(name=parse_vkey(key).name, seed=taken).verifier.vkey == key
    assert key.startswith("log.example.com/retention/2")
    assert cloud.state["azd"] == {"LEDGER_VERIFIER_KEY": key}
    assert cloud.verbs()[-2:] == ["rest", "functionapp restart"]


def test_the_seed_is_in_no_argument_and_no_output_and_its_file_is_private_and_gone(cloud: Cloud) -> None:
    ran = cloud.run("seed.sh", AZURE_ENV_NAME="dev")
    [seed] = cloud.state["secrets"]["ledger-signing-seed"]
    assert len(base64.b64decode(seed, validate=True)) == 32
    assert seed not in ran.stdout + ran.stderr + json.dumps(cloud.state["calls"]) + json.dumps(cloud.state["azd"])
    assert cloud.state["modes"] == [0o600, 0o700]
    assert list((cloud.folder / "tmp").iterdir()) == []


def test_two_vaults_get_two_seeds(cloud: Cloud) -> None:
    cloud.run("seed.sh")
    [first] = cloud.state["secrets"]["ledger-signing-seed"]
    cloud.change(secrets={})
    cloud.run("seed.sh")
    assert cloud.state["secrets"]["ledger-signing-seed"] != [first]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_seed_that_is_there_stays(cloud: Cloud, newline: str) -> None:
    cloud.change(secrets={"other": ["x"], "ledger-signing-seed": ["theirs"]}, newline=newline)
    ran = cloud.run("seed.sh")
    assert (ran.returncode, ran.stdout) == (0, "seed: the vault has one, which stays\n")
    assert cloud.state["secrets"]["ledger-signing-seed"] == ["theirs"]
    assert cloud.verbs() == ["keyvault secret list"]


def test_in_a_workflow_the_key_of_a_new_seed_goes_to_the_later_steps_and_it_is_said_what_to_set(cloud: Cloud) -> None:
    file = cloud.folder / "github-env"
    file.write_text("OTHER=1\n")
    ran = cloud.run("seed.sh", GITHUB_ENV=str(file))
    assert ran.returncode == 0, ran.stderr
    [key] = [line for line in ran.stdout.splitlines() if line.startswith("log.example.com/retention/2")]
    parse_vkey(key)
    assert file.read_text() == f"OTHER=1\nLEDGER_VERIFIER_KEY={key}\n"
    assert "variable LEDGER_VERIFIER_KEY" in ran.stdout


def test_a_key_is_for_the_later_steps_even_if_this_one_fails_after_the_seed_was_set(cloud: Cloud) -> None:
    cloud.change(failing={"rest": 1})
    file = cloud.folder / "github-env"
    assert cloud.run("seed.sh", GITHUB_ENV=str(file)).returncode == 1
    assert file.read_text().startswith("LEDGER_VERIFIER_KEY=log.example.com/retention/2")


def test_a_workflow_whose_vault_has_a_seed_and_whose_variable_is_empty_is_told_what_to_set(cloud: Cloud) -> None:
    cloud.change(secrets={"ledger-signing-seed": ["theirs"]})
    file = cloud.folder / "github-env"
    ran = cloud.run("seed.sh", GITHUB_ENV=str(file), LEDGER_VERIFIER_KEY="")
    assert ran.returncode == 0
    assert "set the GitHub environment's variable LEDGER_VERIFIER_KEY" in ran.stdout
    assert not file.exists()
    given = cloud.run("seed.sh", GITHUB_ENV=str(file), LEDGER_VERIFIER_KEY="log.example.com/retention/2026+a+b")
    assert given.stdout == "seed: the vault has one, which stays\n"
    assert not file.exists()


def test_a_new_seed_under_a_variable_that_names_another_key_is_told(cloud: Cloud) -> None:
    file = cloud.folder / "github-env"
    ran = cloud.run("seed.sh", GITHUB_ENV=str(file), LEDGER_VERIFIER_KEY="log.example.com/retention/2026+a+b")
    assert ran.returncode == 0
    assert "variable LEDGER_VERIFIER_KEY" in ran.stdout


def test_a_secret_of_a_longer_name_is_no_seed(cloud: Cloud) -> None:
    cloud.change(secrets={"ledger-signing-seed-old": ["x"]})
    assert cloud.run("seed.sh").returncode == 0
    assert len(cloud.state["secrets"]["ledger-signing-seed"]) == 1


def test_a_vault_that_answers_late_is_asked_again_and_its_seed_stays(cloud: Cloud) -> None:
    cloud.change(failing={"keyvault secret list": 2}, secrets={"ledger-signing-seed": ["theirs"]})
    assert cloud.run("seed.sh").returncode == 0
    assert cloud.state["secrets"]["ledger-signing-seed"] == ["theirs"]


def test_a_vault_that_gives_no_list_gets_no_seed(cloud: Cloud) -> None:
    cloud.change(failing={"keyvault secret list": 99})
    ran = cloud.run("seed.sh")
    assert ran.returncode == 1
    assert "gave no list" in ran.stderr
    assert set(cloud.verbs()) == {"keyvault secret list"}


def test_a_seed_that_the_vault_does_not_take_is_gone_and_no_key_is_said(cloud: Cloud) -> None:
    cloud.change(failing={"keyvault secret set": 1})
    ran = cloud.run("seed.sh")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert list((cloud.folder / "tmp").iterdir()) == []


def test_nothing_is_set_when_no_public_key_can_be_made(cloud: Cloud) -> None:
    ran = cloud.run("seed.sh", RETENTION="/bin/false")
    assert ran.returncode == 1
    assert cloud.verbs() == ["keyvault secret list"]


def test_a_rival_that_made_a_seed_at_the_same_moment_is_told(cloud: Cloud) -> None:
    cloud.change(rivals=1)
    ran = cloud.run("seed.sh")
    assert ran.returncode == 1
    assert "has 2 versions" in ran.stderr


def test_a_restart_that_fails_is_told_after_the_key(cloud: Cloud) -> None:
    cloud.change(failing={"functionapp restart": 1})
    ran = cloud.run("seed.sh", AZURE_ENV_NAME="dev")
    assert ran.returncode == 1
    assert "az functionapp restart --name ledger-app --resource-group group" in ran.stderr
    assert cloud.state["azd"]["LEDGER_VERIFIER_KEY"] == ran.stdout.splitlines()[-1]


def test_a_seed_that_the_platform_does_not_look_up_is_told_after_the_key(cloud: Cloud) -> None:
    cloud.change(failing={"rest": 1})
    ran = cloud.run("seed.sh", AZURE_ENV_NAME="dev")
    assert ran.returncode == 1
    assert "config/configreferences/appsettings/refresh" in ran.stderr
    assert cloud.state["azd"]["LEDGER_VERIFIER_KEY"] == ran.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "name",
    ["AZURE_KEY_VAULT_NAME", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "SERVICE_LEDGER_NAME", "LEDGER_ORIGIN"],
)
def test_a_missing_output_is_named_before_anything_is_done(cloud: Cloud, name: str) -> None:
    ran = cloud.run("seed.sh", **{name: ""})
    assert ran.returncode == 1
    assert name in ran.stderr
    assert cloud.state["calls"] == []


# ---------------------------------------------------------------- the lock


@pytest.mark.parametrize("wanted", ["true", "True"])
def test_the_log_is_locked_where_that_is_wanted_and_azd_remembers_it(cloud: Cloud, wanted: str) -> None:
    ran = cloud.run("lock.sh", LEDGER_LOCK_WANTED=wanted, AZURE_ENV_NAME="prod")
    assert ran.returncode == 0, ran.stderr
    assert cloud.state["policy"]["state"] == "Locked"
    assert cloud.state["azd"] == {"LEDGER_POLICY_LOCKED": "true"}


@pytest.mark.parametrize("wanted", ["", "false", "False", "1"])
def test_nothing_is_looked_at_or_locked_where_it_is_not_wanted(cloud: Cloud, wanted: str) -> None:
    ran = cloud.run("lock.sh", LEDGER_LOCK_WANTED=wanted)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert cloud.state["calls"] == []


def test_a_log_that_is_locked_is_left_alone(cloud: Cloud) -> None:
    cloud.change(policy={**cloud.state["policy"], "state": "Locked"})
    ran = cloud.run("lock.sh")
    assert ran.returncode == 0
    assert "locked already" in ran.stdout
    assert "LEDGER_POLICY_LOCKED" in ran.stdout
    assert not any(verb.endswith("lock") for verb in cloud.verbs())


@pytest.mark.parametrize(
    "policy",
    [
        None,
        {"state": "Unlocked", "immutabilityPeriodSinceCreationInDays": 36500, "etag": '"8d5"'},
        {"state": "Odd", "immutabilityPeriodSinceCreationInDays": 1095, "etag": '"8d5"'},
    ],
)
def test_a_policy_that_is_not_the_one_deployed_is_not_locked(cloud: Cloud, policy: dict[str, Any] | None) -> None:
    cloud.change(policy=policy)
    assert cloud.run("lock.sh").returncode == 1
    assert cloud.state["policy"] == policy


# ---------------------------------------------------------------- the stand-in, and the shell


def test_the_stand_in_refuses_what_it_does_not_model(cloud: Cloud) -> None:
    for arguments in (
        ["keyvault", "secret", "show", "--name", "x"],
        ["keyvault", "secret", "list", "--vault-name", "v"],
    ):
        environment = {**os.environ, "WORLD": str(cloud.folder / "world.json")}
        ran = subprocess.run(
            [str(cloud.folder / "bin" / "az"), *arguments], env=environment, capture_output=True, check=False
        )
        assert ran.returncode == 64


@pytest.mark.parametrize("hook", sorted(HOOKS.glob("*.sh")), ids=lambda path: path.name)
def test_a_hook_can_be_run_and_stops_at_the_first_failure(hook: Path) -> None:
    lines = hook.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/sh"
    assert "set -eu" in lines
    assert not any("set -x" in line for line in lines)
    assert os.access(hook, os.X_OK)
    subprocess.run(["/bin/sh", "-n", str(hook)], check=True)


# ---------------------------------------------------------------- make smoke


def smoke(folder: Path, tools: tuple[str, ...], **environment: str) -> subprocess.CompletedProcess[str]:
    """`make smoke` with a `retention` that says its settings file, and with no program but these."""
    project = folder / "project"
    (project / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(HOOKS.parents[1] / "Makefile", project)
    for name in ("pyproject.toml", "requirements.txt", ".venv/.python-stamp"):
        (project / name).touch()
    retention = project / ".venv" / "bin" / "retention"
    retention.write_text('#!/bin/sh\necho "$1 with $RETENTION_SETTINGS"\n')
    retention.chmod(0o755)
    path = folder / "tools"
    path.mkdir()
    for name in ("make", "mkdir", *tools):
        (path / name).symlink_to(shutil.which(name, path=f"{folder / 'bin'}:/usr/bin:/bin") or "")
    return subprocess.run(
        [str(path / "make"), "--silent", "smoke"],
        cwd=project,
        env={"PATH": str(path), "WORLD": str(folder / "world.json"), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_make_smoke_without_azd_and_without_settings_says_what_to_do(cloud: Cloud) -> None:
    ran = smoke(cloud.folder, ())
    assert ran.returncode != 0
    assert ran.stdout == ""
    assert "set RETENTION_SETTINGS to a settings file, or install azd" in ran.stderr
    assert "not found" not in ran.stderr


def test_make_smoke_with_settings_asks_no_azd(cloud: Cloud) -> None:
    ran = smoke(cloud.folder, (), RETENTION_SETTINGS="mine.json")
    assert (ran.returncode, ran.stdout) == (0, "smoke with mine.json\n")


def test_make_smoke_ends_where_azd_has_no_values(cloud: Cloud) -> None:
    ran = smoke(cloud.folder, ("azd",))  # the stand-in, which models `env set` alone
    assert ran.returncode != 0
    assert ran.stdout == ""
    assert "install azd" not in ran.stderr
