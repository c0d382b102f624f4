"""The stand-ins for what Azurite has not: they delete as the service does, and refuse what they do not model."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, ContainerClient
from blob_stand_in import connection

from local.azure.account import Account, Settings
from local.azure.blob_server import BlobServer
from local.azure.management_server import ManagementServer, Subscription
from local.azure.serving import serving

KEEPING = Settings(versioning=True, soft_delete_days=7)
EVERYTHING = ["versions", "snapshots", "deleted"]


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def container(account: Account) -> Iterator[ContainerClient]:
    with serving(BlobServer(account)) as url:
        service = BlobServiceClient.from_connection_string(connection(url, account), retry_total=0)
        with service:
            yield service.create_container("pictures")


def entries(container: ContainerClient, include: list[str] | None = None) -> list[tuple[str, bool, bool]]:
    """(name, is a version or snapshot, is deleted) of each entry, in the order listed."""
    listed = container.list_blobs(include=EVERYTHING if include is None else include, results_per_page=2)
    return [(b.name, bool(b.snapshot or (b.version_id and not b.is_current_version)), bool(b.deleted)) for b in listed]


def refusal(call: Any, *args: Any, **options: Any) -> tuple[int | None, str]:
    with pytest.raises(HttpResponseError) as refused:
        call(*args, **options)
    code: Any = refused.value.error_code
    return refused.value.status_code, str(getattr(code, "value", code))


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    ("method", "target", "body", "more"),
    [
        ("PUT", "?restype=service&comp=properties", b"<not", {}),
        ("PUT", "?restype=service&comp=properties", b"<a><DeleteRetentionPolicy><Enabled>true</Enabled><Days>x</Days></DeleteRetentionPolicy></a>", {}),
        ("POST", "?comp=batch", b"--b\r\n\r\n\r\nDELETE\r\n--b--", {"content-type": "multipart/mixed; boundary=b"}),
        ("POST", "?comp=batch", b"--b\xff\xfe--b--", {"content-type": "multipart/mixed; boundary=b"}),
        ("POST", "?comp=batch", b"--b", {"content-type": "multipart/mixed; boundary=b"}),
        ("POST", "?comp=batch", b"", {}),
        ("GET", "/pictures?restype=container&comp=list&maxresults=x", b"", {}),
        ("GET", "/pictures/a?a=1&a=2", b"", {}),
        ("GET", "/pictures/a", b"", {"x-ms-range": "bytes=0-" + "9" * 5_000}),
    ],
)  # fmt: skip
def test_request_that_cannot_be_read_is_refused_and_the_server_goes_on(
    *, account: Account, container: ContainerClient, method: str, target: str, body: bytes, more: dict[str, str]
) -> None:
    container.upload_blob("a", b"1")
    url = container.url.rpartition("/")[0] + target
    key = {"authorization": f"SharedKey {account.name}:x"}
    request = urllib.request.Request(url, data=body or None, method=method, headers=key | more)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code in {400, 501}
    refused.value.close()
    assert container.download_blob("a").readall() == b"1"


# ---------------------------------------------------------------- what deleting means


def test_without_settings_deleted_is_gone(container: ContainerClient) -> None:
    container.upload_blob("a", b"1")
    container.delete_blob("a")
    assert entries(container) == []


def test_soft_delete_keeps_the_blob_its_days_and_an_overwrite_keeps_what_was_there(
    account: Account, container: ContainerClient
) -> None:
    account.settings = Settings(soft_delete_days=7)
    container.upload_blob("a", b"1")
    container.upload_blob("a", b"2", overwrite=True)
    container.delete_blob("a")
    assert entries(container) == [("a", True, True), ("a", False, True)]
    assert entries(container, []) == []
    [*_, base] = container.list_blobs(include=["deleted"])
    assert base.remaining_retention_days in {6, 7}
    account.advance(timedelta(days=6, hours=23))
    container.get_blob_client("a").undelete_blob()
    assert entries(container, []) == [("a", False, False)]
    container.delete_blob("a", delete_snapshots="include")
    account.advance(timedelta(days=7))
    assert entries(container) == []


def test_versions_stay_until_each_is_deleted_by_its_id(account: Account, container: ContainerClient) -> None:
    account.settings = Settings(versioning=True)
    for data in (b"1", b"2"):
        container.upload_blob("a", data, overwrite=True)
    container.delete_blob("a")
    account.advance(timedelta(days=5_000))
    assert entries(container) == [("a", True, False)] * 2
    for blob in container.list_blobs(include=["versions"]):
        container.delete_blob("a", version_id=blob.version_id)
    assert entries(container) == []


def test_only_what_is_soft_deleted_goes_for_good_and_only_where_the_account_allows_it(
    account: Account, container: ContainerClient
) -> None:
    account.settings = KEEPING
    container.upload_blob("a", b"1")
    container.delete_blob("a")
    [version] = [blob.version_id for blob in container.list_blobs(include=["versions"])]
    blob = container.get_blob_client("a")
    purge = {"version_id": version, "blob_delete_type": "Permanent"}
    assert refusal(blob.delete_blob, **purge)[0] == 409
    blob.delete_blob(version_id=version)
    assert refusal(blob.delete_blob, **purge)[0] == 409
    account.settings = Settings(versioning=True, soft_delete_days=7, permanent_delete=True)
    blob.delete_blob(**purge)
    assert entries(container) == []


def test_a_snapshot_of_a_versioned_blob_makes_a_version_too(account: Account, container: ContainerClient) -> None:
    account.settings = Settings(versioning=True)
    container.upload_blob("a", b"1").create_snapshot()
    assert entries(container) == [("a", True, False), ("a", True, False), ("a", False, False)]


def test_the_current_version_cannot_be_deleted_by_its_id(account: Account, container: ContainerClient) -> None:
    account.settings = Settings(versioning=True)
    blob = container.upload_blob("a", b"1")
    version = blob.get_blob_properties().version_id
    assert refusal(blob.delete_blob, version_id=version) == (403, "OperationNotAllowedOnRootBlob")


def test_snapshots_and_leases_and_conditions_stand_in_the_way(container: ContainerClient) -> None:
    blob = container.upload_blob("a", b"1")
    blob.create_snapshot()
    assert refusal(blob.delete_blob) == (409, "SnapshotsPresent")
    other = {"etag": '"0xFF"', "match_condition": MatchConditions.IfNotModified}
    assert refusal(blob.delete_blob, **other) == (412, "ConditionNotMet")
    blob.acquire_lease()
    assert refusal(blob.delete_blob, delete_snapshots="include") == (412, "LeaseIdMissing")


def test_immutability_ends_and_a_legal_hold_does_not(account: Account, container: ContainerClient) -> None:
    container.upload_blob("a", b"1")
    account.containers["pictures"].immutable_days = 3
    assert refusal(container.delete_blob, "a") == (409, "BlobImmutableDueToPolicy")
    account.advance(timedelta(days=3))
    account.containers["pictures"].legal_hold = True
    assert refusal(container.delete_blob, "a") == (409, "BlobImmutableDueToLegalHold")
    account.containers["pictures"].legal_hold = False
    container.delete_blob("a")


def test_listings_resume_page_by_page_with_folders_too(account: Account, container: ContainerClient) -> None:
    account.settings = Settings(versioning=True)
    names = ["a/1", "a/2", "b/1", "c", "d/1", "é/ 1%"]
    for name in names * 2:
        container.upload_blob(name, b"1", overwrite=True)
    assert [name for name, *_ in entries(container)] == sorted(names * 2)
    assert sorted(b.name for b in container.walk_blobs(results_per_page=2)) == ["a/", "b/", "c", "d/", "é/"]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "wrong",
    [
        {"restore_days": 6},
        {"versioning": True, "change_feed": True, "soft_delete_days": 6, "restore_days": 6},
        {"versioning": True, "change_feed": True, "soft_delete_days": 7, "restore_days": 6, "permanent_delete": True},
        {"hierarchical": True, "versioning": True},
    ],
)
def test_settings_that_the_service_does_not_allow_together_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Settings(**wrong)


def test_what_is_not_modelled_is_refused_with_a_text(container: ContainerClient) -> None:
    blob = container.upload_blob("a", b"1")
    calls = [
        (blob.set_blob_metadata, ({"a": "b"},)),
        (blob.set_blob_tags, ({"a": "b"},)),
        (blob.download_blob, (1, 1)),
        (container.set_container_metadata, ({"a": "b"},)),
        (container.upload_blob, ("b", b"1", "AppendBlob")),
        (lambda: list(container.list_blobs(include=["tags"])), ()),
    ]
    for call, args in calls:
        status, code = refusal(call, *args)
        assert (status, code) == (501, "NotModelled"), call


def test_a_batch_deletes_no_version(account: Account, container: ContainerClient) -> None:
    account.settings = Settings(versioning=True)
    container.upload_blob("a", b"1")
    container.upload_blob("a", b"2", overwrite=True)
    [old, _] = [blob.version_id for blob in container.list_blobs(include=["versions"])]
    [answer] = container.delete_blobs({"name": "a", "version_id": old}, raise_on_any_failure=False)
    assert answer.status_code == 400


def test_another_account_s_key_is_refused(account: Account) -> None:
    with serving(BlobServer(account)) as url:
        named = connection(url, account).replace(f"AccountName={account.name}", "AccountName=other")
        with BlobServiceClient.from_connection_string(named, retry_total=0) as service:
            assert refusal(service.get_service_properties) == (403, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (
            "/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.Storage/storageAccounts?api-version=1",
            200,
        ),
        ("/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.Storage/storageAccounts", 501),
        ("/subscriptions/11111111-2222-3333-4444-555555555555/providers/Microsoft.KeyVault/vaults?api-version=1", 501),
        ("/subscriptions/other/providers/Microsoft.Storage/storageAccounts?api-version=1", 404),
        ("/tenants?api-version=1", 501),
    ],
)
def test_the_management_api_answers_the_reads_that_it_models_and_nothing_else(path: str, status: int) -> None:
    with serving(ManagementServer(Subscription())) as url:
        try:
            with urllib.request.urlopen(url + path, timeout=10) as answer:
                said, body = answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            said, body = error.code, json.load(error)
    assert said == status
    assert body.keys() == ({"value"} if status == 200 else {"error"})
