"""`retention posture` as people run it: the screen, --json, each exit code; on an account alone and on a policy."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob import BlobServiceClient
from blob_stand_in import connection

from local.azure.account import Account, Container, Settings
from local.azure.blob_server import BlobServer
from local.azure.management_server import CONTINUOUS_7, CONTINUOUS_30, ManagementServer, Subscription
from local.azure.serving import serving
from local.processes import Process, free_port
from local.servers import COSMOS_KEY, Ports
from local.servers import settings as local_settings

COMMON = """
    row: 1
    clause: "1"
    says: Records go.
    role: controller
    legal_basis: consent
    on_request: erase
    cadence: PT10M
"""
POLICY = f"""
version: 1
organisation: A shop
categories:
  - id: pictures
    status: enforced{COMMON}
    store: {{kind: blob, account: data, container: pictures, layout: "{{taken:%Y-%m-%d}}/{{name}}"}}
    rules: [{{id: pictures-7-days, start: {{from: name, field: taken}}, period: P7D}}]
  - id: log
    status: enforced{COMMON}
    store: {{kind: cosmos, account: main, container: log, partition_key: /homeId}}
    rules: [{{id: log-30-days, start: {{from: field, field: at}}, period: P30D}}]
  - id: backups
    status: planned{COMMON}
    store: {{kind: blob, account: backup, container: backups, layout: "{{taken:%Y-%m-%d}}/{{name}}"}}
    rules: [{{id: backups-30-days, start: {{from: name, field: taken}}, period: P30D}}]
"""


@dataclass(kw_only=True)
class Cloud:
    """A storage account and a subscription that has it; `run` is the command with what reaches them."""

    account: Account
    subscription: Subscription
    management: tuple[str, ...]
    run: Callable[..., tuple[int, str, str]]

    def of_account(self, *more: str) -> tuple[int, str, str]:
        return self.run("posture", "--account-env", "SHOP", *more)


@pytest.fixture
def cloud(retention: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    account = Account("shopdata")
    account.containers["pictures"] = Container()
    subscription = Subscription(storage=[account])
    with ExitStack() as stack:
        url = stack.enter_context(serving(BlobServer(account)))
        arm = stack.enter_context(serving(ManagementServer(subscription)))
        monkeypatch.setenv("SHOP", connection(url, account))
        management = ("--subscription", subscription.id, "--management", arm)
        yield Cloud(account=account, subscription=subscription, management=management, run=retention)


# ---------------------------------------------------------------- any account


def test_an_account_that_deletes_for_good_is_fine(cloud: Cloud) -> None:
    code, out, err = cloud.of_account(*cloud.management)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "account shopdata, 1 container",
        "a deleted blob is gone",
        "a promise of 7 d is really: 7 d",
        "",
        "fine: by its settings, deleted is deleted here",
        "not read: backup vaults, object replication",
    ]


def test_a_promise_of_7_days_is_really_14_and_the_remedy_is_named(cloud: Cloud) -> None:
    cloud.account.settings = Settings(soft_delete_days=7)
    code, out, _ = cloud.of_account(*cloud.management)
    assert code == 1
    assert "a deleted blob can be brought back for 7 days\na promise of 7 d is really: 14 d\n" in out
    assert "BREAKS   shopdata: soft delete: " in out
    assert "do: switch soft delete for blobs off" in out


def test_versions_and_a_container_s_own_hold_are_told(cloud: Cloud) -> None:
    cloud.account.settings = Settings(versioning=True)
    out = cloud.of_account(*cloud.management)[1]
    assert "a deleted blob stays as a version, without end" in out
    assert "pipeline" not in out
    cloud.account.settings = Settings()
    cloud.account.containers["pictures"].legal_hold = True
    out = cloud.of_account(*cloud.management, "--promise", "P30D")[1]
    assert "a promise of 30 d is really: 30 d\na promise of 30 d in container pictures is really: no end\n" in out


def test_without_the_management_api_it_says_what_it_knows_and_what_to_name(cloud: Cloud) -> None:
    cloud.account.settings = Settings(soft_delete_days=7)
    code, out, _ = cloud.of_account()
    assert code == 1
    assert "a promise of 7 d is really: at least 14 d" in out
    assert "UNKNOWN  shopdata: versioning, point-in-time restore, " in out
    assert "--subscription ID" in out


def test_json_is_one_document_with_the_same_verdict(cloud: Cloud) -> None:
    cloud.account.settings = Settings(soft_delete_days=7, versioning=True)
    code, out, _ = cloud.of_account(*cloud.management, "--json")
    found = json.loads(out)
    assert code == 1
    assert (found["fine"], found["sure"], found["really"], found["kept"], found["no_end"]) == (
        False, True, "no end", None, True,
    )  # fmt: skip
    assert [finding["settings"] for finding in found["findings"]] == [["soft delete"], ["versioning"]]
    assert found["read"]["settings"]["soft_delete"] == 7


def test_an_account_that_refuses_everything_is_unknown_and_never_fine(cloud: Cloud) -> None:
    refused = dict.fromkeys(("service-properties", "list-containers"), 403)
    cloud.account.settings = Settings(refused=refused)
    cloud.subscription.refused = 403
    code, out, _ = cloud.of_account(*cloud.management)
    assert code == 1
    assert out.count("403") == 3
    assert "whether a deleted blob is gone could not be read" in out
    assert "do: grant Storage Blob Data Reader on the account" in out


def test_an_account_or_a_management_api_that_is_away_ends_with_3(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    code, out, err = cloud.of_account("--subscription", cloud.subscription.id, "--management", nowhere)
    assert (code, out) == (3, "")
    assert "no useful answer: the management API" in err
    monkeypatch.setenv("SHOP", connection(nowhere, cloud.account))
    code, out, err = cloud.of_account()
    assert (code, out) == (3, "")
    assert "no useful answer: Blob storage" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--account", "AccountName=a;AccountKey=aHVudGVyMg==;"), "--account-env"),
        (("--account-env", "NOWHERE"), "no variable NOWHERE"),
        (("--account", "shop", "--account-env", "SHOP"), "twice"),
        (("--account-env", "SHOP", "--promise", "7 days"), "write P7D"),
        (("--account-env", "SHOP", "--management", "http://example.test"), "https://"),
    ],
)
def test_wrong_use_ends_with_2_and_repeats_no_secret(cloud: Cloud, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = cloud.run("posture", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "aHVudGVyMg" not in err


# ---------------------------------------------------------------- the policy's stores


@dataclass(kw_only=True)
class Shop:
    """The cloud, and a policy whose stores are in it: pictures in the account, the log in Cosmos DB."""

    cloud: Cloud
    cosmos: str
    database: str

    def run(self, *more: str) -> tuple[int, str, str]:
        return self.cloud.run("posture", *self.cloud.management, *more)

    def ttl(self, seconds: int) -> None:
        async def change() -> None:
            async with CosmosClient(self.cosmos, credential=COSMOS_KEY, enable_endpoint_discovery=False) as client:
                database = client.get_database_client(self.database)
                await database.replace_container("log", PartitionKey("/homeId"), default_ttl=seconds)

        asyncio.run(change())


@pytest.fixture
def shop(cloud: Cloud, cosmos: Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shop:
    url, database = cosmos.url, f"shop-{uuid4()}"

    async def create() -> None:
        async with CosmosClient(url, credential=COSMOS_KEY, enable_endpoint_discovery=False) as client:
            made = await client.create_database(database)
            await made.create_container("log", PartitionKey("/homeId"))

    asyncio.run(create())
    (tmp_path / "policy.yaml").write_text(POLICY)
    cloud.subscription.cosmos = {"shop": (url, CONTINUOUS_30)}
    values: dict[str, Any] = {
        "POLICY_FILE": str(tmp_path / "policy.yaml"),
        "BLOB_DATA": os.environ["SHOP"],
        "COSMOS_MAIN": f"AccountEndpoint={url};AccountKey={COSMOS_KEY};",
        "COSMOS_MAIN_DATABASE": database,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Shop(cloud=cloud, cosmos=url, database=database)


def test_a_policy_that_its_stores_keep_is_fine_also_with_backups_that_it_allows(shop: Shop) -> None:
    code, out, err = shop.run()
    assert (code, err) == (0, "")
    rows = [line.split("  ") for line in out.splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows[1:4]] == [
        ["pictures-7-days", "P7D", "7 d 10 min"],
        ["log-30-days", "P30D", "30 d 10 min"],
        ["backups-30-days", "P30D", "planned: nothing deletes it yet"],
    ]
    assert "note     COSMOS_MAIN: backup: continuous backup can restore erased items for 30 days" in out
    assert out.rstrip().endswith("fine: what the stores are set to keeps every promise that is enforced")


def test_broken_promises_are_told_with_their_reasons_and_end_with_1(shop: Shop) -> None:
    shop.cloud.account.settings = Settings(soft_delete_days=7)
    shop.ttl(3600)
    code, out, _ = shop.run()
    assert code == 1
    assert re.search(r"^pictures-7-days +P7D +14 d 10 min +soft delete 7 d$", out, re.MULTILINE)
    assert "BREAKS   BLOB_DATA: soft delete: " in out
    assert "BREAKS   COSMOS_MAIN/log: time to live: time to live deletes each item 1 h after" in out
    assert "of log-30-days" in out
    assert out.rstrip().endswith("NOT FINE: 2 promises broken, 0 settings unknown")


def test_json_tells_each_rule_finding_and_setting(shop: Shop) -> None:
    shop.cloud.account.settings = Settings(soft_delete_days=7)
    shop.cloud.subscription.cosmos = {"shop": (shop.cosmos, CONTINUOUS_7)}
    code, out, _ = shop.run("--json")
    found = json.loads(out)
    assert (code, found["fine"]) == (1, False)
    pictures = found["rules"][0]
    assert (pictures["rule"], pictures["promised"], pictures["really"], pictures["adds"]) == (
        "pictures-7-days", "P7D", "14 d 10 min", 7 * 86_400,
    )  # fmt: skip
    assert found["stores"]["BLOB_DATA"]["settings"]["soft_delete"] == 7
    assert found["stores"]["COSMOS_MAIN"]["backup"] == {"days": 7}


def test_without_a_subscription_the_rest_is_unknown_and_ends_with_1(shop: Shop) -> None:
    code, out, _ = shop.cloud.run("posture")
    assert code == 1
    assert "7 d 10 min or more" in out
    assert "UNKNOWN  BLOB_DATA: versioning, point-in-time restore, " in out


def test_a_store_that_is_not_connected_is_unknown_and_one_that_is_away_ends_with_3(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BLOB_DATA")
    code, out, _ = shop.run()
    assert code == 1
    assert "UNKNOWN  BLOB_DATA: account: no connection to the account is set" in out
    monkeypatch.setenv("COSMOS_MAIN", f"AccountEndpoint=http://127.0.0.1:{free_port()}/;AccountKey={COSMOS_KEY};")
    code, out, err = shop.run()
    assert (code, out) == (3, "")
    assert "Cosmos DB" in err


def test_on_the_local_servers_the_shop_s_promises_are_kept(
    shop: Shop, azurite: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = local_settings(Ports(blob=azurite.program.port))["BLOB_DATA"]
    with BlobServiceClient.from_connection_string(value) as service, suppress(ResourceExistsError):
        service.create_container("pictures")
    monkeypatch.setenv("BLOB_DATA", value)
    code, out, _ = shop.cloud.run("posture")
    assert (code, out.splitlines()[-1][:5]) == (0, "fine:")
