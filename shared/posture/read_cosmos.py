"""Reads what the data plane tells of a Cosmos DB account: the containers' time to live, and whether items have a ttl.

What it may not read is Unknown, with what to grant; an account that does not answer raises TransientError.
https://learn.microsoft.com/azure/cosmos-db/time-to-live
"""

from __future__ import annotations

from collections.abc import Sequence

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.cosmos.aio import ContainerProxy, DatabaseProxy

from shared.posture.management import NO_SUBSCRIPTION, NOT_SIGNED_IN, Management
from shared.posture.settings import CosmosAccount, CosmosContainer, Unknown
from shared.stores.blob import code_of
from shared.stores.cosmos_records import translate

_REFUSED = (401, 403)


async def read_account(
    database: DatabaseProxy, name: str, endpoint: str, containers: Sequence[str], management: Management | None
) -> CosmosAccount:
    """Read the account at `endpoint` and these containers of its database; `name` is what the result calls it."""
    try:
        read = {each: await _container(database.get_container_client(each)) for each in containers}
    except AzureError as error:
        raise translate(error) from None
    if management is not None:
        return CosmosAccount(name=name, backup=await management.backup(endpoint), containers=read)
    emulator = endpoint.startswith("http:")  # the service itself speaks https alone
    return CosmosAccount(name=name, backup=None if emulator else NO_SUBSCRIPTION, containers=read)


async def _container(container: ContainerProxy) -> CosmosContainer | Unknown:
    try:
        ttl = (await container.read()).get("defaultTtl")
    except ResourceNotFoundError:
        return Unknown(why="there is no such container", remedy="create it, or correct the policy")
    except HttpResponseError as error:
        return _refused(error)
    own: bool | Unknown = False
    if ttl == -1:  # else no item's ttl counts, or each item goes anyway
        own = await _own_ttl(container)
    return CosmosContainer(default_ttl=ttl, own_ttl=own)


async def _own_ttl(container: ContainerProxy) -> bool | Unknown:
    try:
        async for _ in container.query_items("SELECT c._ts FROM c WHERE c.ttl > 0", max_item_count=1):  # -1: never
            return True
    except HttpResponseError as error:
        return _refused(error)
    return False


def _refused(error: HttpResponseError) -> Unknown:
    """Why a reading was refused. Raises the error for any other answer."""
    if error.status_code in _REFUSED:
        remedy = "grant Cosmos DB Built-in Data Reader on the account"
        return Unknown(why=f"the account refused: {error.status_code} {code_of(error)}", remedy=remedy)
    if isinstance(error, ClientAuthenticationError):
        return NOT_SIGNED_IN
    raise error
