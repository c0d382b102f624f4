"""The settings of a deployment, as `azd env get-values --output json` prints them: one object of texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.config import load
from shared.errors import ConfigError

DEPLOYED = {
    "AZURE_ENV_NAME": "dev",
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "BLOB_DATA__serviceUri": "https://stdata.blob.core.windows.net/",
    "COSMOS_MAIN__accountEndpoint": "https://cosmos.documents.azure.com:443/",
    "COSMOS_MAIN_DATABASE": "smarthome",
    "LEDGER_ORIGIN": "example.com/retention",
}


def written(tmp_path: Path, value: object) -> Path:
    file = tmp_path / "deployed.json"
    file.write_text(json.dumps(value))
    return file


def test_a_deployments_outputs_are_settings_by_their_own_names(tmp_path: Path) -> None:
    config = load({}, written(tmp_path, DEPLOYED))
    assert config.connection("BLOB_DATA", "serviceUri") == ("identity", DEPLOYED["BLOB_DATA__serviceUri"])
    assert config.text("LEDGER_ORIGIN") == "example.com/retention"
    assert config.values["AZURE_SUBSCRIPTION_ID"] == DEPLOYED["AZURE_SUBSCRIPTION_ID"]


def test_the_environment_goes_over_them(tmp_path: Path) -> None:
    config = load({"LEDGER_ORIGIN": "example.org/other"}, written(tmp_path, DEPLOYED))
    assert config.text("LEDGER_ORIGIN") == "example.org/other"


@pytest.mark.parametrize(
    "value",
    [
        {"AZURE_ENV_NAME": "dev"},
        {"LEDGER_ORIGIN": {"type": "String", "value": "example.com/retention"}},
        ["LEDGER_ORIGIN"],
        {},
    ],
    ids=["nothing of ours", "outputs with types", "a list", "nothing"],
)
def test_another_document_is_refused_with_what_to_write(tmp_path: Path, value: object) -> None:
    with pytest.raises(ConfigError, match="azd env get-values --output json"):
        load({}, written(tmp_path, value))
