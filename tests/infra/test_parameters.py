"""The stages' parameter files fit main.bicep: each gives what exists, and all that nobody else gives."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from bicep import BicepError, read
from on_paper import MAIN
from stages import BROUGHT, BY_AZD, GIVEN, INFRA, STORAGE, deployed, made, parameters_of

from infra.parameters import NAMED_BY, STAGES, declared
from shared.config import SETTINGS

TEXT = MAIN.read_text(encoding="utf-8")
PARAMETERS = {each.name: each for each in read(MAIN).of("param")}
FILES = {stage: json.loads((INFRA / f"{stage}.parameters.json").read_text()) for stage in STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_s_file_is_an_arm_parameter_file_of_known_parameters(stage: str) -> None:
    assert "deploymentParameters.json#" in FILES[stage]["$schema"]
    assert FILES[stage]["contentVersion"] == "1.0.0.0"
    assert FILES[stage]["parameters"].keys() - PARAMETERS.keys() == set()


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_without_default_is_in_the_file_or_filled_in_by_azd(stage: str) -> None:
    needed = {name for name, each in PARAMETERS.items() if each.value is None and not each.type.endswith("?")}
    assert needed - FILES[stage]["parameters"].keys() - NAMED_BY.keys() == set()


def test_what_azd_fills_in_are_parameters() -> None:
    assert NAMED_BY.keys() == BY_AZD.keys()
    assert NAMED_BY.keys() <= PARAMETERS.keys()


def test_the_script_that_makes_a_deployment_s_parameters_sees_the_same_ones() -> None:
    assert declared(TEXT) == {name: each.type for name, each in PARAMETERS.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_s_file_names_nobody_and_holds_no_secret(stage: str) -> None:
    text = json.dumps(FILES[stage])
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|@(?!Microsoft)|AccountKey|/subscriptions/", text)
    assert not {each for each in FILES[stage]["parameters"] if re.search(r"seed|secret|password", each, re.IGNORECASE)}


def test_prod_locks_the_ledger_and_closes_the_stores_and_dev_does_neither() -> None:
    prod, dev = parameters_of("prod"), parameters_of("dev")
    assert (prod["lockLedger"], prod["privateNetworking"], prod["zoneRedundant"]) == (True, True, True)
    assert (dev["lockLedger"], dev["privateNetworking"]) == (False, False)


def test_prod_makes_no_trial_stores_and_no_synthetic_person() -> None:
    prod = parameters_of("prod")
    assert prod["trial"] is False
    assert prod.get("smokeId", "") == ""
    assert prod.get("ledgerPolicyLocked", False) is False  # a new deployment makes the policy before it is locked


@pytest.mark.parametrize("missing", ["ledgerOrigin", "dataAccountId", "backupAccountId", "cosmosAccountId"])
def test_prod_as_it_stands_asks_for_what_only_its_owner_knows(missing: str) -> None:
    with pytest.raises(BicepError, match="minLength"):
        made("prod", **{missing: ""})


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"unknown": 1}, "no parameter unknown"),
        ({"serviceBusSku": "Basic"}, "allowed"),  # it has no topics and no duplicate detection
        ({"maximumInstances": 10}, "minValue"),
        ({"privateNetworking": "yes"}, "no bool"),
        ({"environmentName": ""}, "minLength"),
    ],
)
def test_a_wrong_parameter_is_refused(over: dict[str, Any], says: str) -> None:
    with pytest.raises(BicepError, match=says):
        made("dev", **over)


def test_a_parameter_that_is_not_given_is_missed() -> None:
    from on_paper import Deployment

    with pytest.raises(BicepError, match="parameter location is not given"):
        Deployment({name: value for name, value in {**GIVEN, **BROUGHT}.items() if name != "location"})


def test_the_outputs_are_the_settings_that_the_command_line_reads() -> None:
    known = {each.name for each in SETTINGS}
    outputs = deployed("dev").outputs
    settings = {name for name in outputs if name.split("__")[0] in known}
    assert settings >= {
        "ServiceBus__fullyQualifiedNamespace",
        "BLOB_DATA__serviceUri",
        "BLOB_BACKUP__serviceUri",
        "BLOB_STATE__serviceUri",
        "BLOB_LEDGER__serviceUri",
        "COSMOS_MAIN__accountEndpoint",
        "COSMOS_MAIN_DATABASE",
        "LEDGER_ORIGIN",
    }
    assert "LEDGER_SIGNING_SEED" not in outputs


def test_two_environments_share_no_name() -> None:
    one, other = made("portal"), made("portal", environmentName="second")
    names = [{each.name for each in deployment.of(STORAGE)} for deployment in (one, other)]
    assert len(names[0]) == len(one.of(STORAGE))
    assert not names[0] & names[1]
    assert all(3 <= len(name) <= 24 and re.fullmatch(r"[a-z0-9]+", name) for name in names[0] | names[1])
