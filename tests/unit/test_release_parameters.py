"""A deployment's parameters and outputs go through unchanged, and azd is told what the rest of the repository says."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from infra import outputs, parameters
from shared.config import load
from shared.errors import ConfigError

ROOT = Path(__file__).parents[2]
BICEP = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")

NO_ORIGINS = [
    "https://log.example.net/a",
    "log.example.net/a/",
    "log.example.net",
    "a.example.net/b c",
    "a.example.net/b+c",
]

# ---------------------------------------------------------------- parameters and outputs

TYPES = parameters.declared(BICEP)
WHOLE = {"ledgerOrigin": {"value": "log.example.net/a"}, "trial": {"value": True}}
STAGE = {
    "$schema": "s",
    "contentVersion": "1.0.0.0",
    "parameters": {**WHOLE, "alertEmail": {"value": "a@example.com"}},
}
STAGES = {
    stage: json.loads((ROOT / "infra" / f"{stage}.parameters.json").read_text(encoding="utf-8"))
    for stage in parameters.STAGES
}
OWNERS = {
    "LEDGER_ORIGIN": "log.example.net/a",
    "DATA_ACCOUNT_ID": "/subscriptions/s/data",
    "BACKUP_ACCOUNT_ID": "/subscriptions/s/backup",
    "COSMOS_ACCOUNT_ID": "/subscriptions/s/cosmos",
}
"""What only the owner of a production deployment knows."""
NAMES = {
    "AZURE_ENV_NAME": "trial",
    "AZURE_LOCATION": "norwayeast",
    "AZURE_PRINCIPAL_ID": "11111111-1111-4111-8111-111111111111",
    "AZURE_PRINCIPAL_TYPE": "ServicePrincipal",
}


@pytest.mark.parametrize("stage", parameters.STAGES)
def test_each_stages_file_and_what_names_the_deployment_are_parameters_of_main_bicep(stage: str) -> None:
    given = {**NAMES, **(OWNERS if stage == "prod" else {})}
    made = parameters.merged(STAGES[stage], TYPES, given, azd=False)
    assert set(STAGES[stage]["parameters"]) | set(parameters.NAMED_BY) == set(made["parameters"]) <= set(TYPES)
    assert made["parameters"]["environmentName"] == {"value": "trial"}


def test_a_variable_sets_its_parameter_over_the_stages_file_with_the_parameters_type() -> None:
    environment = {
        **NAMES,
        "ALERT_EMAIL": "b@example.com",
        "PRIVATE_NETWORKING": "true",
        "LOG_DAYS": " 30 ",
        "SIEM_ID": " ",
    }
    made = parameters.merged(STAGE, TYPES, environment, azd=False)["parameters"]
    assert made["alertEmail"] == {"value": "b@example.com"}
    assert made["privateNetworking"] == {"value": True}
    assert made["logDays"] == {"value": 30}
    assert "siemId" not in made


def test_objects_come_from_the_stages_file_alone_so_that_no_setting_of_the_command_line_is_taken_for_one() -> None:
    assert TYPES["retentionSettings"] == "object"
    assert "RETENTION_SETTINGS" not in parameters.settable(TYPES)


def test_a_variable_that_an_output_has_too_means_the_same() -> None:
    """Outputs are kept by azd as variables: the next run would take one for the parameter."""
    both = set(parameters.settable(TYPES)) & set(re.findall(r"^output (\w+)", BICEP, re.MULTILINE))
    for name in both:
        parameter = parameters.settable(TYPES)[name]
        assert re.search(rf"^output {name} \w+ = {parameter}$", BICEP, re.MULTILINE), name


def test_azd_fills_in_what_names_the_deployment() -> None:
    made = parameters.merged(STAGE, TYPES, {}, azd=True)["parameters"]
    assert {name: made[name]["value"] for name in parameters.NAMED_BY} == {
        name: f"${{{source}}}" for name, source in parameters.NAMED_BY.items()
    }


@pytest.mark.parametrize(
    ("stage", "environment", "azd", "said"),
    [
        (STAGE, {**NAMES, "LOG_DAYS": "many"}, False, "LOG_DAYS must be a whole number"),
        (STAGE, {**NAMES, "LOG_DAYS": "true"}, False, "LOG_DAYS must be a whole number"),
        (STAGE, {**NAMES, "PRIVATE_NETWORKING": "yes"}, False, "PRIVATE_NETWORKING must be true or false"),
        (STAGE, {**NAMES, "AZURE_LOCATION": ""}, False, "set AZURE_LOCATION"),
        ({"parameters": {"nobody": {"value": 1}}}, NAMES, False, "nobody"),
        ({"parameters": {**WHOLE, "alertEmail": {"value": "${HOME}"}}}, NAMES, True, "azd would replace"),
    ],
)
def test_parameters_that_would_be_wrong_are_refused(
    stage: object, environment: dict[str, str], azd: bool, said: str
) -> None:
    with pytest.raises(parameters.ParametersError, match=re.escape(said)):
        parameters.merged(stage, TYPES, environment, azd=azd)


@pytest.mark.parametrize("azd", [False, True])
@pytest.mark.parametrize("missing", OWNERS)
def test_prod_without_what_only_its_owner_knows_is_refused_by_the_variables_name(missing: str, azd: bool) -> None:
    parameters.merged(STAGES["prod"], TYPES, {**NAMES, **OWNERS}, azd=azd)
    for given in ({}, {missing: " "}):
        rest = {name: value for name, value in OWNERS.items() if name != missing}
        with pytest.raises(parameters.ParametersError, match=rf"^set {missing}: ") as caught:
            parameters.merged(STAGES["prod"], TYPES, {**NAMES, **rest, **given}, azd=azd)
        assert [name for name in rest if name in str(caught.value)] == []


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(parameters.ParametersError) as caught:
        parameters.merged(STAGES["prod"], TYPES, NAMES, azd=False)
    assert [name for name in OWNERS if f"set {name}: " not in str(caught.value)] == []


def test_a_trial_needs_no_stores_of_ones_own() -> None:
    given = {**NAMES, "TRIAL": "true", "LEDGER_ORIGIN": "log.example.net/a"}
    assert parameters.merged(STAGES["prod"], TYPES, given, azd=False)["parameters"]["trial"] == {"value": True}
    with pytest.raises(parameters.ParametersError, match="set COSMOS_ACCOUNT_ID: "):
        parameters.merged(STAGES["dev"], TYPES, {**NAMES, "TRIAL": "false"}, azd=False)


@pytest.mark.parametrize("name", [*NO_ORIGINS, "log.example.net/retention", "dev.example.com/a/b-2"])
def test_a_name_for_the_log_that_the_app_would_refuse_is_refused_here(name: str) -> None:
    given = {**NAMES, "LEDGER_ORIGIN": name}
    try:
        load({"LEDGER_ORIGIN": name}).text("LEDGER_ORIGIN")
    except ConfigError:
        with pytest.raises(parameters.ParametersError, match=r"^LEDGER_ORIGIN must be a host and a path"):
            parameters.merged(STAGE, TYPES, given, azd=False)
    else:
        assert parameters.merged(STAGE, TYPES, given, azd=False)["parameters"]["ledgerOrigin"] == {"value": name}


@pytest.mark.parametrize("azd", [False, True])
@pytest.mark.parametrize("wrong", ["Group", "user", "serviceprincipal"])
def test_who_deploys_is_a_user_or_a_service_principal(wrong: str, azd: bool) -> None:
    with pytest.raises(parameters.ParametersError, match=r"^AZURE_PRINCIPAL_TYPE must be User or ServicePrincipal$"):
        parameters.merged(STAGE, TYPES, {**NAMES, "AZURE_PRINCIPAL_TYPE": wrong}, azd=azd)
    allowed = re.search(r"@allowed\(\[([^\]]+)\]\)\nparam deployerType", BICEP)
    assert allowed is not None
    assert tuple(re.findall(r"'(\w+)'", allowed[1])) == parameters.DEPLOYERS


def script(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """infra/parameters.py, as make and the hook run it, on copies of the stages' files."""
    for file in ("main.bicep", "dev.parameters.json", "prod.parameters.json"):
        shutil.copy(ROOT / "infra" / file, folder)
    command = [sys.executable, str(ROOT / "infra" / "parameters.py"), "--infra", str(folder)]
    return subprocess.run(command, env={**NAMES, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("given", [{}, {"LEDGER_ORIGIN": "log.example.com/retention"}], ids=["dev", "docs"])
def test_an_examples_name_for_the_log_is_taken_and_it_is_said_that_it_is_for_ever(
    tmp_path: Path, given: dict[str, str]
) -> None:
    ran = script(tmp_path, **given)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "main.parameters.json").is_file()
    name = given.get("LEDGER_ORIGIN", "dev.example.com/retention")
    assert f"the log's name is {name}, the example's, and is for ever" in ran.stderr
    assert "LEDGER_ORIGIN" in ran.stderr


def test_a_name_of_ones_own_is_not_remarked_upon(tmp_path: Path) -> None:
    ran = script(tmp_path, LEDGER_ORIGIN="log.notexample.com/retention")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_prod_as_it_stands_writes_no_file(tmp_path: Path) -> None:
    ran = script(tmp_path, RETENTION_STAGE="prod")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "set LEDGER_ORIGIN: " in ran.stderr
    assert not (tmp_path / "main.parameters.json").exists()


def test_the_stage_chooses_the_file_and_no_other_stage_is_taken(tmp_path: Path) -> None:
    (tmp_path / "main.bicep").write_text(BICEP)
    for stage in parameters.STAGES:
        entry = {**WHOLE, "alertEmail": {"value": f"{stage}@example.com"}}
        (tmp_path / f"{stage}.parameters.json").write_text(json.dumps({"parameters": entry}))
    for stage in parameters.STAGES:
        parameters.write(tmp_path, {**NAMES, "RETENTION_STAGE": stage}, azd=False)
        made = json.loads((tmp_path / "main.parameters.json").read_text())
        assert made["parameters"]["alertEmail"] == {"value": f"{stage}@example.com"}
    assert "stage dev" in parameters.write(tmp_path, NAMES, azd=True)
    for stage in ("test", "../dev", "main"):
        with pytest.raises(parameters.ParametersError, match="RETENTION_STAGE"):
            parameters.write(tmp_path, {**NAMES, "RETENTION_STAGE": stage}, azd=False)


OUTPUT_BICEP = "output AZURE_LOCATION string = 'x'\noutput BLOB_DATA__serviceUri string = 'y'\noutput DAYS int = 1\n"


def test_outputs_are_texts_under_the_names_of_the_bicep_file_whatever_case_azure_answers_in() -> None:
    answer = {"azurE_LOCATION": {"value": "x"}, "bloB_DATA__serviceUri": {"value": "y"}, "days": {"value": 3}}
    found = outputs.settings(answer, OUTPUT_BICEP)
    assert found == {"AZURE_LOCATION": "x", "BLOB_DATA__serviceUri": "y", "DAYS": "3"}


@pytest.mark.parametrize(
    ("change", "said"),
    [({"days": None}, "DAYS"), ({"more": {"value": 1}}, "more"), ({"days": {"type": "securestring"}}, "no value")],
)
def test_other_outputs_are_refused(change: dict[str, dict[str, str] | None], said: str) -> None:
    answer = {"AZURE_LOCATION": {"value": "x"}, "BLOB_DATA__serviceUri": {"value": "y"}, "days": {"value": 3}}
    changed = {name: entry for name, entry in {**answer, **change}.items() if entry is not None}
    with pytest.raises(outputs.OutputsError, match=said):
        outputs.settings(changed, OUTPUT_BICEP)


def test_every_output_of_main_bicep_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = re.findall(r"^output (\w+)", BICEP, re.MULTILINE)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({name: {"value": "v"} for name in names})))
    assert outputs.main() == 0
    assert json.loads(capsys.readouterr().out) == dict.fromkeys(names, "v")


# ---------------------------------------------------------------- azd

AZD = YAML(typ="safe").load((ROOT / "azure.yaml").read_text(encoding="utf-8"))


def test_azd_deploys_the_package_that_is_made_here_and_builds_nothing_itself() -> None:
    for service in AZD["services"].values():
        assert service == {
            "project": ".", "dist": ".dist/app", "language": "python", "host": "function", "remoteBuild": False,
        }  # fmt: skip


def test_azd_finds_each_service_by_the_tag_of_an_app_and_there_is_an_output_for_it() -> None:
    bicep = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "infra").rglob("*.bicep"))
    assert "azd-service-name" in bicep
    for service in AZD["services"]:
        assert f"output SERVICE_{service.upper()}_NAME" in bicep


def test_azds_hooks_are_files_of_ours_or_verbs_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"preup", "preprovision", "prepackage", "predeploy", "postprovision"} == set(AZD["hooks"])
    for hook in AZD["hooks"].values():
        assert hook["shell"] == "sh"
        verb = re.fullmatch(r"make (\w+)", hook["run"])
        assert re.search(rf"^{verb[1]}:", makefile, re.MULTILINE) if verb else (ROOT / hook["run"]).is_file()


def test_what_the_hooks_read_of_a_deployment_are_outputs_of_main_bicep() -> None:
    declared = set(re.findall(r"^output (\w+)", BICEP, re.MULTILINE))
    for hook in sorted((ROOT / "infra" / "hooks").glob("*.sh")):
        for names in re.findall(r"^for name in (.+); do$", hook.read_text(encoding="utf-8"), re.MULTILINE):
            assert set(names.split()) <= declared, hook.name
