"""The workflows: parsed, pinned, with no more rights than they use, and with verbs and files that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

from infra import parameters

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in FILES}
WORKFLOWS = {name: YAML(typ="safe").load(text) for name, text in TEXTS.items()}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
USES = re.compile(r"uses: (?P<action>[\w-]+/[\w-]+)@(?P<sha>[0-9a-f]{40})  # (?P<tag>v\d+\.\d+\.\d+)")

jobs = pytest.mark.parametrize(
    ("name", "job"),
    [
        pytest.param(name, job, id=f"{name}-{key}")
        for name, flow in WORKFLOWS.items()
        for key, job in flow["jobs"].items()
        if "uses" not in job
    ],
)
flows = pytest.mark.parametrize("name", WORKFLOWS)


def runs(name: str) -> Iterator[str]:
    """The shell lines of a workflow."""
    for job in WORKFLOWS[name]["jobs"].values():
        for step in job.get("steps", ()):
            yield from step.get("run", "").splitlines()


def test_there_is_one_for_each_purpose() -> None:
    assert set(WORKFLOWS) == {"ci", "whatif", "deploy"}


@flows
def test_by_default_a_workflow_may_read_the_repository_and_no_more(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}


@jobs
def test_a_job_that_signs_in_to_azure_has_an_environment_and_no_other_right(name: str, job: dict[str, Any]) -> None:
    if "permissions" in job:
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
    signs_in = any(step.get("uses", "").startswith("azure/") for step in job["steps"])
    assert signs_in == ("environment" in job) == ("permissions" in job)
    assert name != "ci" or not signs_in


@jobs
def test_a_job_ends_some_time_and_its_checkout_leaves_no_token(name: str, job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 90, name
    checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == 1
    assert checkouts[0]["with"] == {"persist-credentials": False}


@flows
def test_every_action_is_pinned_by_commit_with_its_version_beside_it(name: str) -> None:
    lines = [line.strip().removeprefix("- ") for line in TEXTS[name].splitlines() if "uses:" in line]
    lines = [line for line in lines if line != "uses: ./.github/workflows/whatif.yml"]  # the same commit's own
    assert lines
    assert [line for line in lines if not USES.fullmatch(line)] == []


def test_an_action_has_one_pin_everywhere() -> None:
    pins = {match.groups() for text in TEXTS.values() for match in USES.finditer(text)}
    assert len({action for action, _, _ in pins}) == len(pins)


@flows
def test_no_secret_is_used_and_no_code_of_strangers_gets_rights(name: str) -> None:
    assert "secrets." not in TEXTS[name]
    assert "pull_request_target" not in TEXTS[name]
    assert "workflow_run" not in TEXTS[name]
    if "pull_request" in WORKFLOWS[name]["on"] and "id-token" in TEXTS[name]:
        [job] = WORKFLOWS[name]["jobs"].values()
        ours = "github.event.pull_request.head.repo.full_name == github.repository"
        assert job["if"] == f"github.event_name != 'pull_request' || {ours}"


@flows
def test_nothing_is_pasted_into_a_shell_line(name: str) -> None:
    assert [line for line in runs(name) if "${{" in line] == []


@flows
def test_a_failure_inside_a_pipe_is_a_failure(name: str) -> None:
    assert WORKFLOWS[name]["defaults"] == {"run": {"shell": "bash"}}


@flows
def test_every_verb_and_file_that_is_run_exists(name: str) -> None:
    text = "\n".join(runs(name))
    verbs = re.findall(r"\bmake ([\w-]+)", text)
    assert verbs
    assert [verb for verb in verbs if not re.search(rf"^{verb}:", MAKEFILE, re.MULTILINE)] == []
    assert [file for file in re.findall(r"\binfra/[\w/]+\.(?:sh|py|bicep)", text) if not (ROOT / file).is_file()] == []


def test_ci_does_all_that_make_check_does_on_every_python_that_is_supported() -> None:
    check = re.search(r"^check: ([^#\n]+)", MAKEFILE, re.MULTILINE)
    assert check is not None
    verbs = {verb for line in runs("ci") for verb in re.findall(r"\bmake (\w+)", line)}
    assert set(check[1].split()) <= verbs
    versions = WORKFLOWS["ci"]["jobs"]["check"]["strategy"]["matrix"]["python"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = SpecifierSet(re.search(r'^requires-python = "(.+)"$', project, re.MULTILINE)[1])  # type: ignore[index]
    assert versions == [f"3.{minor}" for minor in range(8, 20) if supported.contains(f"3.{minor}.0")]


def test_what_if_asks_with_the_parameters_that_deploy_gives() -> None:
    [asks] = WORKFLOWS["whatif"]["jobs"].values()
    gives = WORKFLOWS["deploy"]["jobs"]["deploy"]
    assert set(asks["env"]) == set(gives["env"])
    types = parameters.declared((ROOT / "infra" / "main.bicep").read_text(encoding="utf-8"))
    ours = {*parameters.settable(types), *parameters.NAMED_BY.values(), "RETENTION_STAGE"}
    assert set(asks["env"]) == ours


@pytest.mark.parametrize(("name", "job"), [("whatif", "what-if"), ("deploy", "deploy")])
def test_every_variable_that_sets_a_parameter_is_passed_on_in_alphabetical_order(name: str, job: str) -> None:
    types = parameters.declared((ROOT / "infra" / "main.bicep").read_text(encoding="utf-8"))
    named = {*parameters.NAMED_BY.values(), "RETENTION_STAGE"}
    env = WORKFLOWS[name]["jobs"][job]["env"]
    assert [(each, value) for each, value in env.items() if each not in named] == [
        (each, f"${{{{ vars.{each} }}}}") for each in sorted(parameters.settable(types))
    ]


def test_the_smoke_test_has_the_published_key_or_the_one_that_the_run_made() -> None:
    """An entry of a step's `env` goes over GITHUB_ENV, also when it is empty: so the entry names both."""
    job = WORKFLOWS["deploy"]["jobs"]["deploy"]
    steps = {step["run"].partition("|")[0].strip(): step for step in job["steps"] if "run" in step}
    key = "LEDGER_VERIFIER_KEY"
    assert steps["make smoke"]["env"][key] == f"${{{{ vars.{key} || env.{key} }}}}"
    assert steps["infra/hooks/seed.sh"]["env"] == {key: f"${{{{ vars.{key} }}}}"}
    assert key not in job["env"]


def test_a_deployment_waits_for_the_package_and_for_what_it_would_change() -> None:
    flow = WORKFLOWS["deploy"]["jobs"]
    assert flow["deploy"]["needs"] == ["package", "what-if"]
    assert flow["what-if"]["with"] == {"stage": "${{ inputs.stage }}"}
    assert flow["what-if"]["permissions"] == {"contents": "read", "id-token": "write"}
    for job in ("package", "what-if"):
        assert flow[job]["if"] == "github.ref == 'refs/heads/main'"


def test_two_deployments_of_a_stage_never_run_at_once_and_none_is_cut_short() -> None:
    assert WORKFLOWS["deploy"]["concurrency"] == {"group": "deploy-${{ inputs.stage }}", "cancel-in-progress": False}
    assert WORKFLOWS["deploy"]["on"]["workflow_dispatch"]["inputs"]["stage"]["options"] == list(parameters.STAGES)


def test_what_is_published_is_the_package_and_the_platform_builds_nothing() -> None:
    steps = WORKFLOWS["deploy"]["jobs"]["deploy"]["steps"]
    published = [step["with"] for step in steps if step.get("uses", "").startswith("azure/functions-action@")]
    assert [each["app-name"] for each in published] == [
        f"${{{{ env.SERVICE_{app}_NAME }}}}" for app in ("PIPELINE", "LEDGER", "PORTAL")
    ]
    for each in published:
        assert (each["package"], each["sku"], each["remote-build"]) == (
            ".dist/retention.zip",
            "flexconsumption",
            "false",
        )
    assert [line for line in runs("deploy") if "az functionapp deployment" in line] == []


def test_the_log_is_locked_after_all_else_went_well() -> None:
    names = [step.get("run", "") for step in WORKFLOWS["deploy"]["jobs"]["deploy"]["steps"]]
    assert "infra/hooks/lock.sh" in names[-1]
    assert names[-2] == "make smoke"


def test_dependabot_looks_where_there_is_something() -> None:
    manifests = {"pip": "*requirements*.txt", "npm": "package.json", "github-actions": ".github/workflows/*.yml"}
    updates = YAML(typ="safe").load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert {each["package-ecosystem"] for each in updates} == set(manifests)
    for each in updates:
        for folder in each.get("directories") or [each["directory"]]:
            assert list((ROOT / folder.strip("/")).glob(manifests[each["package-ecosystem"]])), folder
    assert json.loads((ROOT / "local" / "azurite" / "package.json").read_text())["dependencies"]


@pytest.mark.parametrize("page", ["SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_the_pages_about_the_project_name_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not (ROOT / link).exists()] == []
    verbs = {
        verb
        for line in re.findall(r"`make ([a-z ]+)|^make (\w+)", text, re.MULTILINE)
        for verb in "".join(line).split()
    }
    assert [verb for verb in verbs if not re.search(rf"^{verb}:", MAKEFILE, re.MULTILINE)] == []
    for name in re.findall(r"`((?:tests|shared|infra|docs)/[\w./]+)`", text):
        assert (ROOT / name).exists(), name
