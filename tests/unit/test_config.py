"""The settings: defaults, ranges, refusals that name the setting, and the development seed that signs only locally."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from shared.config import DEVELOPMENT_SEED, SETTINGS, Config, load
from shared.errors import ConfigError

SEED = base64.b64encode(bytes(range(32))).decode()
LOCAL = "BlobEndpoint=http://127.0.0.1:10000/ledger;AccountKey=local-key;"
AZURE = "DefaultEndpointsProtocol=https;AccountName=ledger;AccountKey=azure-key;EndpointSuffix=core.windows.net"
NO_ORIGINS = [
    "https://log.example.com/retention",
    "//log.example.com/retention",
    "https:/log.example.com",
    "log.example.com/retention/",
    "log.example.com//retention",
    "/retention",
    "log.example.com",
    "log.example.com/a b",
    "log.example.com/a+b",
    "log.example.com/a?b",
    "log.example.com/a\x7f",
    "log.example.com/å",
    ".example.com/a",
]
NUMBERS = {setting.name: setting.default for setting in SETTINGS if (setting.default or "").isdigit()}


def settings(**values: str) -> Config:
    return Config(values=values)


def test_every_setting_has_its_own_name_and_a_meaning() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names)
    assert all(setting.meaning for setting in SETTINGS)
    assert [setting.name for setting in SETTINGS if setting.secret] == ["LEDGER_SIGNING_SEED"]


def test_a_setting_that_is_missing_empty_or_blank_is_its_default() -> None:
    for values in ({}, {"POLICY_FILE": ""}, {"POLICY_FILE": "  "}):
        assert settings(**values).text("POLICY_FILE") == "policy.yaml"
    assert settings(POLICY_FILE=" other.yaml ").text("POLICY_FILE") == "other.yaml"


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting.default is None])
def test_a_setting_without_a_default_is_asked_for_by_name_and_meaning(setting: object) -> None:
    with pytest.raises(ConfigError) as caught:
        settings().text(setting.name)
    assert setting.name in str(caught.value)
    assert setting.meaning in str(caught.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_numbers_default_is_in_its_range(name: str) -> None:
    assert settings().number(name) == int(NUMBERS[name] or "")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "ten", "٣", "²", "9" * 12, "0x10"])
def test_a_number_out_of_range_or_of_another_form_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"setting {name} must be a whole number from 1 to "):
        settings(**{name: text}).number(name)


@pytest.mark.parametrize("role", ["pipeline", "ledger", "all"])
def test_the_three_roles_are_accepted(role: str) -> None:
    assert settings(APP_ROLE=role).role == role


@pytest.mark.parametrize("role", ["portal", "Pipeline", "pipeline,ledger", "*"])
def test_no_other_role_is_accepted(role: str) -> None:
    with pytest.raises(ConfigError, match="APP_ROLE must be pipeline, ledger or all"):
        settings(APP_ROLE=role).role  # noqa: B018 - the property raises


def test_a_connection_is_by_identity_where_an_endpoint_is_given() -> None:
    both = settings(BLOB_DATA=AZURE, BLOB_DATA__serviceUri="https://data.example")
    assert both.connection("BLOB_DATA", "serviceUri") == ("identity", "https://data.example")
    assert settings(BLOB_DATA=AZURE).connection("BLOB_DATA", "serviceUri") == ("string", AZURE)
    with pytest.raises(ConfigError, match="BLOB_DATA"):
        settings(BLOB_DATA__serviceUri=" ").connection("BLOB_DATA", "serviceUri")


def test_a_connection_is_there_when_it_is_set_in_either_way() -> None:
    assert settings(BLOB_DATA=AZURE).has("BLOB_DATA")
    assert settings(BLOB_DATA__serviceUri="https://data.example").has("BLOB_DATA")
    assert not settings(BLOB_DATA=" ", BLOB_DATA__serviceUri="", BLOB_DATAX=AZURE).has("BLOB_DATA")
    assert not settings(COSMOS_MAIN_DATABASE="smarthome").has("COSMOS_MAIN")


def test_a_connections_own_identity_goes_before_the_apps() -> None:
    values = {"AZURE_CLIENT_ID": "app", "BLOB_DATA__clientId": "data"}
    assert settings(**values).client_id("BLOB_DATA") == "data"
    assert settings(**values).client_id("BLOB_STATE") == "app"
    assert settings().client_id("BLOB_STATE") is None


def test_the_seed_is_32_bytes() -> None:
    assert settings(LEDGER_SIGNING_SEED=SEED, BLOB_LEDGER=AZURE).signing_seed() == bytes(range(32))


@pytest.mark.parametrize("seed", ["short", SEED[:-4], SEED + "AAAA", "æøå" * 15, SEED.replace("A", " ", 1), "="])
def test_another_seed_is_refused_and_not_repeated(seed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(LEDGER_SIGNING_SEED=seed, BLOB_LEDGER=LOCAL).signing_seed()
    assert str(caught.value) == "setting LEDGER_SIGNING_SEED must be the base64 of exactly 32 bytes"


@pytest.mark.parametrize("end", [")", ""])
def test_a_vaults_reference_that_was_not_resolved_is_told_as_that_and_not_repeated(end: str) -> None:
    reference = f"@Microsoft.KeyVault(SecretUri=https://kv-1.vault.azure.net/secrets/ledger-signing-seed{end}"
    with pytest.raises(ConfigError) as caught:
        settings(LEDGER_SIGNING_SEED=reference, BLOB_LEDGER=AZURE).signing_seed()
    said = str(caught.value)
    assert said.startswith("setting LEDGER_SIGNING_SEED: the vault's reference was not resolved")
    for cause in ("identity", "role on the vault", "secret's name"):
        assert cause in said
    assert "config/configreferences/appsettings/refresh" in said
    assert "docs/operate.md#seed" in said
    assert "base64" not in said
    assert "kv-1" not in said


@pytest.mark.parametrize("name", ["log.example.com/retention", "dev.example/a/b-2", "LOG.example/a_b.c~d"])
def test_a_logs_name_is_a_host_and_a_path(name: str) -> None:
    assert settings(LEDGER_ORIGIN=f" {name}\n").text("LEDGER_ORIGIN") == name


@pytest.mark.parametrize("name", NO_ORIGINS)
def test_another_name_of_a_log_is_refused_because_it_is_for_ever(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^setting LEDGER_ORIGIN: a log's name is a host and a path"):
        settings(LEDGER_ORIGIN=name).text("LEDGER_ORIGIN")


def test_the_development_seed_signs_a_local_log_and_no_other() -> None:
    assert len(settings(LEDGER_SIGNING_SEED=DEVELOPMENT_SEED, BLOB_LEDGER=LOCAL).signing_seed()) == 32
    sneaky = LOCAL.replace("127.0.0.1:10000", "127.0.0.1.example.com") + "QueueEndpoint=http://127.0.0.1:1/q;"
    spelled_otherwise = DEVELOPMENT_SEED[:-2] + "F="
    with pytest.raises(ConfigError, match="public development seed"):
        settings(LEDGER_SIGNING_SEED=spelled_otherwise, BLOB_LEDGER=sneaky).signing_seed()
    for real in ({"BLOB_LEDGER": AZURE}, {"BLOB_LEDGER": LOCAL, "BLOB_LEDGER__serviceUri": "https://127.0.0.1/"}):
        with pytest.raises(ConfigError, match="public development seed"):
            settings(LEDGER_SIGNING_SEED=DEVELOPMENT_SEED, **real).signing_seed()


def test_role_pipeline_gets_no_seed_whatever_its_settings_hold() -> None:
    with pytest.raises(ConfigError, match="role pipeline signs nothing"):
        settings(APP_ROLE="pipeline", LEDGER_SIGNING_SEED=SEED, BLOB_LEDGER=AZURE).signing_seed()


def test_the_environment_goes_before_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": {"APP_ROLE": "ledger", "RETENTION_UNIT": 7}}))
    config = load({"APP_ROLE": "pipeline", "HOME": "/home/kari"}, file)
    assert (config.role, config.number("RETENTION_UNIT")) == ("pipeline", 7)
    assert "HOME" not in config.values
    assert load({}, file).role == "ledger"
    assert load({"BLOB_DATA__serviceUri": "https://data.example"}).has("BLOB_DATA")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"Values": []}', '{"Values": 7}', "\ufeff{}"])
def test_a_settings_file_of_another_form_is_refused_by_its_name(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "local.settings.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"local\.settings\.json"):
        load({}, file)


def test_printing_the_settings_shows_no_secret() -> None:
    config = settings(LEDGER_SIGNING_SEED=SEED, BLOB_LEDGER=AZURE)
    assert SEED not in repr(config)
    assert "azure-key" not in repr(config)
