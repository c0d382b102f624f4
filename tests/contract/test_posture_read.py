"""What posture reads of an account, with the vendor's SDKs over sockets: all of it, or why not and what to grant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from azure.cosmos import PartitionKey
from azure.storage.blob.aio import BlobServiceClient
from blob_stand_in import connection
from record_stores import CosmosShelf
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from local.azure.account import Account, Container, Settings
from local.azure.blob_server import BlobServer
from local.azure.management_server import (
    CONTINUOUS_7,
    CONTINUOUS_30,
    ManagementServer,
    Subscription,
    lifecycle_rule,
    periodic,
)
from local.azure.serving import serving
from local.processes import Process, free_port
from local.servers import Ports, settings
from shared.errors import ConfigError, TransientError
from shared.posture import read_cosmos, wiring
from shared.posture.management import NO_SUBSCRIPTION, NOT_SIGNED_IN, Management
from shared.posture.read_blob import account_of, read_account
from shared.posture.settings import (
    BlobAccount,
    ChangeFeed,
    Continuous,
    CosmosContainer,
    Immutability,
    LifecycleRule,
    Periodic,
    Seen,
    StorageSettings,
    Unknown,
)

pytest_plugins = ["record_store_fixture"]


@dataclass(kw_only=True)
class Cloud:
    """A subscription with one storage account, and clients of both."""

    account: Account
    subscription: Subscription
    service: BlobServiceClient
    url: str

    def management(self, **named: Any) -> Management:
        """The management API, as one who is signed in reads it; over plain http nobody is asked to sign in."""
        made = wiring.management(named.get("subscription", self.subscription.id), named.get("group"), self.url)
        assert made is not None
        return made

    async def read(self, *containers: str, management: Management | None = None, look: int = 100) -> BlobAccount:
        names = containers or None
        return await read_account(self.service, "BLOB_DATA", names, management, look=look)


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    account = Account("shopdata")
    subscription = Subscription(storage=[Account("another"), account])
    async with AsyncExitStack() as stack:
        blobs = stack.enter_context(serving(BlobServer(account)))
        url = stack.enter_context(serving(ManagementServer(subscription)))
        service = BlobServiceClient.from_connection_string(connection(blobs, account), retry_total=0)
        await stack.enter_async_context(service)
        yield Cloud(account=account, subscription=subscription, service=service, url=url)


# ---------------------------------------------------------------- storage


async def test_everything_that_is_set_is_read(cloud: Cloud) -> None:
    rules = [
        lifecycle_rule("old", prefixes=["pictures/"], baseBlob=30, version=5),
        lifecycle_rule("off", prefixes=[], enabled=False, baseBlob=1),
    ]
    cloud.account.settings = Settings(
        soft_delete_days=14,
        container_soft_delete_days=3,
        versioning=True,
        restore_days=13,
        change_feed=True,
        change_feed_days=90,
        lifecycle=rules,
    )
    cloud.account.containers = {"pictures": Container(immutable_days=9), "plain": Container(legal_hold=True)}
    found = await cloud.read(management=cloud.management())
    assert found.settings == StorageSettings(
        versioning=True,
        permanent_delete=False,
        restore=13,
        change_feed=ChangeFeed(days=90),
        container_soft_delete=3,
        lifecycle=(LifecycleRule(name="old", prefixes=("pictures/",), deletes=frozenset({"base", "version"})),),
        soft_delete=14,
        immutable={"pictures": Immutability(days=9), "plain": None},
    )
    pictures, plain = found.containers["pictures"], found.containers["plain"]
    assert not isinstance(pictures, Unknown)
    assert not isinstance(plain, Unknown)
    assert (pictures.immutability, pictures.legal_hold) == (Immutability(days=9), False)
    assert (plain.immutability, plain.legal_hold, plain.version_level) == (None, True, False)


async def test_an_account_with_nothing_set_is_read_as_such(cloud: Cloud) -> None:
    found = await cloud.read(management=cloud.management(group=cloud.subscription.group))
    assert found.settings == StorageSettings.emulator()


async def test_the_data_plane_alone_tells_soft_delete_and_the_rest_is_unknown(cloud: Cloud) -> None:
    cloud.account.settings = Settings(soft_delete_days=7, permanent_delete=True, versioning=True)
    found = (await cloud.read()).settings
    assert (found.soft_delete, found.permanent_delete) == (7, True)
    assert {found.versioning, found.restore, found.change_feed, found.lifecycle} == {NO_SUBSCRIPTION}


async def test_copies_are_counted_among_the_first_entries_of_a_listing(cloud: Cloud) -> None:
    account = cloud.account
    account.settings = Settings(versioning=True, soft_delete_days=7)
    account.containers = {"pictures": Container()}
    for name in ("a", "a", "b", "c"):
        account.put("pictures", name, b"1")
    account.snapshot("pictures", "b")
    account.delete("pictures", "c", condition=None, snapshots=None, permanent=False)
    [old] = account.blob("pictures", "a").versions
    account.put("pictures", "a", b"2")
    account.delete_copy("pictures", "a", which="version", moment=old.version or "", permanent=False)
    container = (await cloud.read()).containers["pictures"]
    assert not isinstance(container, Unknown)
    assert container.seen == Seen(entries=7, versions=3, orphans=1, snapshots=1, deleted=1)
    container = (await cloud.read(look=2)).containers["pictures"]
    assert not isinstance(container, Unknown)
    assert container.seen == Seen(entries=2, versions=1, deleted=1, complete=False), "the current blob comes next"


async def test_an_account_with_a_hierarchical_namespace_is_listed_without_versions(cloud: Cloud) -> None:
    cloud.account.settings = Settings(hierarchical=True, soft_delete_days=7)
    cloud.account.containers = {"pictures": Container()}
    cloud.account.put("pictures", "a", b"1")
    container = (await cloud.read("pictures")).containers["pictures"]
    assert not isinstance(container, Unknown)
    assert container.seen == Seen(entries=1)
    cloud.account.settings.refused["list-deleted"] = 400
    container = (await cloud.read("pictures")).containers["pictures"]
    assert not isinstance(container, Unknown)
    assert container.seen == Seen(entries=1)


async def test_immutability_without_the_management_api_has_unknown_days(cloud: Cloud) -> None:
    cloud.account.containers = {"pictures": Container(immutable_days=9, version_level=True)}
    container = (await cloud.read("pictures")).containers["pictures"]
    assert not isinstance(container, Unknown)
    assert (container.immutability, container.version_level) == (Immutability(days=None), True)


async def test_immutability_that_the_management_api_refuses_to_tell_is_unknown_with_its_reason(cloud: Cloud) -> None:
    cloud.account.containers = {"pictures": Container(immutable_days=9)}
    cloud.subscription.refused, cloud.subscription.refused_at = 403, "/containers/"
    container = (await cloud.read("pictures", management=cloud.management())).containers["pictures"]
    assert not isinstance(container, Unknown)
    assert isinstance(container.immutability, Unknown)
    assert "403" in container.immutability.why


async def test_containers_that_the_account_refuses_to_list_leave_its_settings_known(cloud: Cloud) -> None:
    cloud.account.settings = Settings(versioning=True, refused={"list-containers": 403})
    found = await cloud.read(management=cloud.management())
    assert found.settings.versioning is True
    assert isinstance(found.containers["*"], Unknown)


@pytest.mark.parametrize(
    ("operation", "where"),
    [
        ("service-properties", "soft_delete"),
        ("container-properties", "container"),
        ("list-versions", "seen"),
        ("list-containers", "*"),
    ],
)
async def test_what_the_account_refuses_is_unknown_with_what_to_grant(cloud: Cloud, operation: str, where: str) -> None:
    cloud.account.containers = {"pictures": Container()}
    cloud.account.settings.refused[operation] = 403
    found = await (cloud.read() if where == "*" else cloud.read("pictures"))
    unknown: Any = found.containers.get("*") if where == "*" else found.containers["pictures"]
    if where == "soft_delete":
        unknown = found.settings.soft_delete
    elif where == "seen":
        unknown = unknown.seen
    assert isinstance(unknown, Unknown)
    assert "403 AuthorizationPermissionMismatch" in unknown.why
    assert unknown.remedy.startswith("grant ")


async def test_soft_delete_that_the_account_refuses_to_tell_is_told_by_the_management_api(cloud: Cloud) -> None:
    cloud.account.settings = Settings(soft_delete_days=7, refused={"service-properties": 403})
    assert (await cloud.read(management=cloud.management())).settings.soft_delete == 7


async def test_a_container_that_is_not_there_is_unknown(cloud: Cloud) -> None:
    found = await cloud.read("pictures", management=cloud.management())
    assert found.containers["pictures"] == Unknown(
        why="there is no such container", remedy="create it, or correct the policy"
    )


async def test_a_management_api_that_refuses_leaves_its_settings_unknown(cloud: Cloud) -> None:
    cloud.subscription.refused = 403
    found = (await cloud.read(management=cloud.management())).settings
    assert isinstance(found.versioning, Unknown)
    assert "403 AuthorizationFailed" in found.versioning.why
    assert "Reader" in found.versioning.remedy
    assert found.soft_delete is None


@pytest.mark.parametrize("named", [{"group": "group-2"}, {"subscription": "99999999-2222-3333-4444-555555555555"}])
async def test_a_subscription_or_group_that_is_another_is_told_with_what_to_name(
    cloud: Cloud, named: dict[str, str]
) -> None:
    found = (await cloud.read(management=cloud.management(**named))).settings
    assert isinstance(found.versioning, Unknown)
    assert "subscription" in found.versioning.remedy


async def test_an_account_that_the_subscription_has_not_is_unknown(cloud: Cloud) -> None:
    cloud.subscription.storage = cloud.subscription.storage[:1]
    found = (await cloud.read(management=cloud.management())).settings
    assert isinstance(found.versioning, Unknown)
    assert "no such account" in found.versioning.why


async def test_an_account_is_found_by_the_host_of_its_blobs_too(cloud: Cloud) -> None:
    cloud.account.settings = Settings(versioning=True)
    async with BlobServiceClient("https://shopdata.z1.blob.storage.azure.net") as service:
        assert account_of(service) == "shopdata.z1.blob.storage.azure.net"
        found = await cloud.management().storage(account_of(service), [])
    assert found.versioning is True


async def test_without_a_sign_in_all_is_unknown_and_the_identity_that_is_named_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str | None] = []

    async def identities(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(Request(scope).query_params.get("client_id"))
        await JSONResponse({"error": "no such identity"}, status_code=400)(scope, receive, send)

    with serving(identities) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", url)
        monkeypatch.setenv("IDENTITY_HEADER", "local")
        monkeypatch.setenv("AZURE_CLIENT_ID", "identity-1")
        found = await wiring.read_any("shopdata", secret=False, management=None, look=1)
    assert found.settings.soft_delete == found.containers["*"] == NOT_SIGNED_IN
    assert set(asked) == {"identity-1"}


async def test_azurite_has_nothing_to_ask_the_management_api_about(azurite: Process) -> None:
    account = settings(Ports(blob=azurite.program.port))["BLOB_BACKUP"]
    async with BlobServiceClient.from_connection_string(account) as service:
        found = await read_account(service, "BLOB_BACKUP", None, None, look=100)
    assert found.settings == StorageSettings.emulator()


async def test_servers_that_are_away_are_transient_errors(cloud: Cloud) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    away = wiring.management(cloud.subscription.id, None, nowhere)
    with pytest.raises(TransientError, match="the management API"):
        await cloud.read(management=away)
    gone = connection(nowhere, cloud.account)
    async with BlobServiceClient.from_connection_string(gone, retry_total=0) as service:
        with pytest.raises(TransientError, match="Blob storage"):
            await read_account(service, "BLOB_DATA", None, None, look=1)


# ---------------------------------------------------------------- Cosmos DB


@pytest.mark.parametrize(
    ("backup", "read"),
    [
        (CONTINUOUS_7, Continuous(days=7)),
        (CONTINUOUS_30, Continuous(days=30)),
        ({"type": "Continuous"}, Continuous(days=30)),
        (periodic(minutes=240, hours=8), Periodic(interval=timedelta(hours=4), retention=timedelta(hours=8))),
    ],
)
@pytest.mark.parametrize("endpoint", ["https://shop.documents.azure.com:443/", "https://Shop.documents.azure.com"])
async def test_the_backup_of_the_account_at_an_endpoint_is_read(
    cloud: Cloud, endpoint: str, backup: Any, read: Any
) -> None:
    cloud.subscription.cosmos = {
        "other": ("https://other.documents.azure.com:443/", CONTINUOUS_7),
        "shop": ("https://shop.documents.azure.com:443/", backup),
    }
    assert await cloud.management().backup(endpoint) == read


async def test_a_backup_that_is_being_changed_to_another_kind_is_unknown(cloud: Cloud) -> None:
    changing = {"migrationState": {"status": "InProgress", "targetType": "Continuous"}}
    backup = {**periodic(minutes=240, hours=8), **changing}
    cloud.subscription.cosmos = {"shop": ("https://shop.documents.azure.com:443/", backup)}
    assert isinstance(await cloud.management().backup("https://shop.documents.azure.com:443/"), Unknown)


async def test_a_backup_that_cannot_be_read_is_unknown(cloud: Cloud) -> None:
    assert isinstance(await cloud.management().backup("https://shop.documents.azure.com:443/"), Unknown)
    cloud.subscription.refused = 401
    assert isinstance(await cloud.management().backup("https://shop.documents.azure.com:443/"), Unknown)


@pytest.mark.parametrize(
    ("ttl", "items", "read"),
    [
        (None, [{"ttl": 5}], CosmosContainer(default_ttl=None, own_ttl=False)),
        (3600, [], CosmosContainer(default_ttl=3600, own_ttl=False)),
        (-1, [{}, {"ttl": -1}], CosmosContainer(default_ttl=-1, own_ttl=False)),
        (-1, [{}, {"ttl": 99999}], CosmosContainer(default_ttl=-1, own_ttl=True)),
    ],
)
async def test_time_to_live_is_read_of_the_container_and_of_its_items(
    cosmos_items: CosmosShelf, ttl: int | None, items: list[dict[str, int]], read: CosmosContainer
) -> None:
    database = cosmos_items.records.database
    if ttl is not None:
        await database.replace_container(cosmos_items.client, PartitionKey("/homeId"), default_ttl=ttl)
    for number, item in enumerate(items):
        await cosmos_items.client.upsert_item({"id": str(number), "homeId": f"h{number}", **item})
    name = cosmos_items.container
    found = await read_cosmos.read_account(database, "COSMOS_MAIN", cosmos_items.url, [name, "nowhere"], None)
    assert found.containers[name] == read
    assert isinstance(found.containers["nowhere"], Unknown)


@pytest.mark.parametrize(
    ("endpoint", "backup"), [("http://127.0.0.1:8081/", None), ("https://shop.documents.azure.com/", NO_SUBSCRIPTION)]
)
async def test_without_the_management_api_an_emulator_has_no_backup_and_an_account_one_that_is_unknown(
    cosmos_items: CosmosShelf, endpoint: str, backup: Any
) -> None:
    found = await read_cosmos.read_account(cosmos_items.records.database, "COSMOS_MAIN", endpoint, [], None)
    assert found.backup == backup


async def test_a_database_that_refuses_is_unknown_and_one_that_is_away_a_transient_error(
    cosmos_items: CosmosShelf,
) -> None:
    database, name = cosmos_items.records.database, cosmos_items.container
    cosmos_items.fault(status=403, count=1000, path_contains="/colls")
    found = await read_cosmos.read_account(database, "COSMOS_MAIN", cosmos_items.url, [name], None)
    assert isinstance(found.containers[name], Unknown)
    cosmos_items.heal()
    cosmos_items.fault(status=0, count=1000)
    with pytest.raises(TransientError):
        await read_cosmos.read_account(database, "COSMOS_MAIN", cosmos_items.url, [name], None)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "where",
    ["AccountName=a;AccountKey=c2VjcmV0;", "https://shop.blob.core.windows.net/?sig=secret", "http://shop", "Shop", ""],
)
async def test_a_secret_or_nonsense_in_place_of_an_account_s_name_is_refused_without_repeating_it(where: str) -> None:
    with pytest.raises(ConfigError, match="--account-env") as refused:
        await wiring.read_any(where, secret=False, management=None, look=1)
    assert "secret" not in str(refused.value).replace("is a secret", "")


async def test_a_secret_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError) as refused:
        await wiring.read_any("hunter2", secret=True, management=None, look=1)
    assert "hunter2" not in str(refused.value)


def test_a_token_is_never_sent_to_another_machine_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="https"):
        wiring.management("id", None, "http://management.example.test")
