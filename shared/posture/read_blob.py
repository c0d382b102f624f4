"""Reads what the data plane tells of a storage account: soft delete, containers, and the copies that a listing shows.

What it may not read is Unknown, with what to grant; an account that does not answer raises TransientError.
https://learn.microsoft.com/rest/api/storageservices/get-blob-service-properties
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import ContainerProperties
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from shared.errors import TransientError
from shared.posture.management import NO_SUBSCRIPTION, NOT_SIGNED_IN, Management, merged
from shared.posture.settings import BlobAccount, BlobContainer, Immutability, Seen, StorageSettings, Unknown
from shared.stores.blob import code_of, translate

MOST_CONTAINERS = 200
_REFUSED = (401, 403)
_CANNOT = (400, 409)  # what a listing answers that asks for copies which the account cannot have
# What is kept beside the current blobs: an account with a hierarchical namespace has no versions.
_COPIES: Sequence[list[str]] = (
    ["versions", "snapshots", "deleted"],
    ["deleted"],
    [],
)


async def read_account(
    service: BlobServiceClient, name: str, containers: Sequence[str] | None, management: Management | None, *, look: int
) -> BlobAccount:
    """Read an account. `containers` None: all, up to MOST_CONTAINERS.

    `name` is what it is called in the result, `look` how many entries of each container are listed for versions. Raises
    TransientError.
    """
    try:
        return await _read(service, name, containers, management, look=look)
    except AzureError as error:
        raise translate(error) from None


async def _read(
    service: BlobServiceClient, name: str, containers: Sequence[str] | None, management: Management | None, *, look: int
) -> BlobAccount:
    told, emulator = await _service(service)
    found = await _named(service, containers) if containers is not None else await _all(service)
    if emulator:
        settings = StorageSettings.emulator()
    elif management is None:
        settings = StorageSettings.unknown(NO_SUBSCRIPTION)
    else:
        readable = [container for container, about in found.items() if not isinstance(about, Unknown)]
        settings = await management.storage(account_of(service), readable)
    read: dict[str, BlobContainer | Unknown] = {}
    for container, about in found.items():
        if isinstance(about, Unknown):
            read[container] = about
            continue
        seen = await _look(service.get_container_client(container), look)
        read[container] = _container(about, seen, settings.immutable.get(container))
    return BlobAccount(name=name, settings=merged(settings, told), containers=read)


def account_of(service: BlobServiceClient) -> str:
    """The account's name, or its host where the host does not begin with it."""
    return service.account_name or str(urlsplit(service.url).hostname)


async def _service(service: BlobServiceClient) -> tuple[dict[str, Any], bool]:
    """The service's properties that count, and whether it is Azurite, which has nothing beside them."""
    answers: list[Any] = []
    try:
        found = await service.get_service_properties(raw_response_hook=answers.append, timeout=60)
    except HttpResponseError as error:
        why = _refused(error, "the role Reader on the account: a role for data alone may not read this")
        return {"soft_delete": why}, False
    http = answers[-1].http_response
    policy = found["delete_retention_policy"]
    told: dict[str, Any] = {"soft_delete": policy.days if policy.enabled else None}
    allowed = re.search(r"<AllowPermanentDelete>(true|false)<", http.text())  # the SDK drops it
    if allowed:
        told["permanent_delete"] = allowed[1] == "true"
    return told, http.headers.get("Server", "").startswith("Azurite")


async def _named(service: BlobServiceClient, names: Sequence[str]) -> dict[str, ContainerProperties | Unknown]:
    found: dict[str, ContainerProperties | Unknown] = {}
    for name in names:
        try:
            found[name] = await service.get_container_client(name).get_container_properties()
        except ResourceNotFoundError:
            found[name] = Unknown(why="there is no such container", remedy="create it, or correct the policy")
        except HttpResponseError as error:
            found[name] = _refused(error, "Storage Blob Data Reader on the account")
    return found


async def _all(service: BlobServiceClient) -> dict[str, ContainerProperties | Unknown]:
    found: dict[str, ContainerProperties | Unknown] = {}
    try:
        async for each in service.list_containers():
            if len(found) == MOST_CONTAINERS:
                why = f"only the first {MOST_CONTAINERS} containers were looked at"
                found[each.name] = Unknown(why=why, remedy="look at the others by a policy that names them")
                break
            found[each.name] = each
    except HttpResponseError as error:
        found["*"] = _refused(error, "Storage Blob Data Reader on the account")
    return found


def _container(about: ContainerProperties, seen: Seen | Unknown, told: Immutability | Unknown | None) -> BlobContainer:
    policy: Immutability | Unknown | None = None
    if about.has_immutability_policy:
        policy = told or Immutability(days=None)
    return BlobContainer(
        immutability=policy,
        legal_hold=bool(about.has_legal_hold),
        version_level=bool(about.immutable_storage_with_versioning_enabled),
        seen=seen,
    )


async def _look(container: ContainerClient, most: int) -> Seen | Unknown:
    """List the first `most` entries with all that is kept beside the current blobs."""
    for include in _COPIES:
        try:
            return await _seen(container, most, include)
        except HttpResponseError as error:
            if error.status_code not in _CANNOT or not include:
                return _refused(error, "Storage Blob Data Reader on the container")
    raise AssertionError("the last listing asks for nothing")


async def _seen(container: ContainerClient, most: int, include: list[str]) -> Seen:
    entries = versions = snapshots = deleted = 0
    gone, current = set[str](), set[str]()
    complete = True
    async for each in container.list_blobs(include=include, results_per_page=min(most, 5_000)):
        if entries == most:
            complete = False
            gone.discard(each.name)  # its current blob may come next
            break
        entries += 1
        deleted += bool(each.deleted)
        snapshots += bool(each.snapshot and not each.deleted)
        if each.version_id and not each.is_current_version:
            versions += not each.deleted
            gone.add(each.name)
        elif not each.snapshot and not each.deleted:
            current.add(each.name)
    return Seen(
        entries=entries,
        versions=versions,
        orphans=len(gone - current),
        snapshots=snapshots,
        deleted=deleted,
        complete=complete,
    )


def _refused(error: HttpResponseError, grant: str) -> Unknown:
    """Why a reading was refused. Raises TransientError for any other answer."""
    if error.status_code in _REFUSED:
        return Unknown(why=f"the account refused: {error.status_code} {code_of(error)}", remedy=f"grant {grant}")
    if isinstance(error, ClientAuthenticationError):
        return NOT_SIGNED_IN
    raise TransientError(f"Blob storage: {code_of(error)}") from None
