"""What only the management API tells of an account: versioning, restore, lifecycle rules, backup tier. Reads only.

The vendor's management libraries are an optional extra, `posture`, and are imported when they are first needed. What
they are not there for, or not allowed to read, is Unknown, with what to install or grant.
https://learn.microsoft.com/rest/api/storagerp/, https://learn.microsoft.com/rest/api/cosmos-db-resource-provider/
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy

from shared.errors import TransientError
from shared.posture.settings import (
    ChangeFeed,
    Continuous,
    Immutability,
    LifecycleRule,
    Periodic,
    StorageSettings,
    Unknown,
)
from shared.stores.blob import code_of

NO_SUBSCRIPTION = Unknown(
    why="only the management API tells, and no subscription is named",
    remedy="name it: --subscription ID, or AZURE_SUBSCRIPTION_ID; the role Reader is enough",
)
NOT_SIGNED_IN = Unknown(why="nobody is signed in", remedy="az login, or set AZURE_CLIENT_ID")
_REFUSED = (401, 403)
_DAYS = {"Continuous7Days": 7, "Continuous30Days": 30}

ManagementError = (TransientError, HttpResponseError)


@dataclass(frozen=True, kw_only=True)
class Management:
    """A subscription, as far as the sign-in may read it.

    `group` limits the look to a resource group. `endpoint` is the management API of another cloud than the public one;
    to one over plain http (a local stand-in) no token is sent. `sign_in` makes the credential when it is needed.
    """

    subscription: str
    group: str | None
    endpoint: str | None
    sign_in: Callable[[], Any]

    async def storage(self, account: str, containers: Sequence[str]) -> StorageSettings:
        """The settings of the storage account of this name, or of this host, which a domain of one's own can be.

        Raises TransientError when nothing answers.
        """
        from azure.mgmt.storage.aio import StorageManagementClient  # noqa: PLC0415 - slow to import, seldom needed

        try:
            async with self._client(StorageManagementClient) as client:
                found = await self._find(client.storage_accounts, lambda each: account in _names(each))
                return await _storage(client, _group(found), str(found.name), containers)
        except (AzureError, _NotFoundError) as error:
            return StorageSettings.unknown(_why(error))

    async def backup(self, endpoint: str) -> Continuous | Periodic | Unknown:
        """How the Cosmos DB account at this endpoint is backed up. Raises TransientError when nothing answers."""
        from azure.mgmt.cosmosdb.aio import CosmosDBManagementClient  # noqa: PLC0415 - slow to import, seldom needed

        here = _host(endpoint)
        try:
            async with self._client(CosmosDBManagementClient) as client:
                found = await self._find(client.database_accounts, lambda each: _host(each.document_endpoint) == here)
        except (AzureError, _NotFoundError) as error:
            return _why(error)
        return _backup(found.backup_policy)

    @asynccontextmanager
    async def _client(self, build: Any) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            more: dict[str, Any] = {"retry_total": 2}
            if self.endpoint is not None:
                more |= {"base_url": self.endpoint, "credential_scopes": [f"{self.endpoint.rstrip('/')}/.default"]}
            credential: Any = None
            if urlsplit(self.endpoint or "https:").scheme == "http":
                more["authentication_policy"] = SansIOHTTPPolicy[Any, Any]()
                credential = _NOBODY
            else:
                credential = self.sign_in()
                stack.push_async_callback(credential.close)
            yield await stack.enter_async_context(build(credential, self.subscription, **more))

    async def _find(self, accounts: Any, wanted: Callable[[Any], bool]) -> Any:
        """The account that is wanted. Raises _NotFoundError."""
        listed = accounts.list_by_resource_group(self.group) if self.group else accounts.list()
        async for each in listed:
            if wanted(each):
                return each
        raise _NotFoundError


class _NotFoundError(Exception):
    """The subscription, as far as it may be read, has no such account."""


class _Nobody:
    """Stands where a client insists on a credential, and none is sent."""

    async def get_token(self, *_: str, **__: Any) -> Any:
        message = "no token for a plain http endpoint"
        raise ClientAuthenticationError(message)

    async def close(self) -> None:
        """Nothing to close."""


_NOBODY = _Nobody()


def _why(error: Exception) -> Unknown:
    """What to do about a failed reading. Raises TransientError where nothing answered."""
    if isinstance(error, _NotFoundError | ResourceNotFoundError):  # the group or the subscription may be missing too
        return Unknown(
            why="the subscription has no such account, or the sign-in may not see it",
            remedy="name the subscription of the account, and grant Reader on it",
        )
    if isinstance(error, HttpResponseError) and error.status_code in _REFUSED:
        return Unknown(
            why=f"the management API refused: {error.status_code} {_code(error)}",
            remedy="grant the sign-in the role Reader on the account, its resource group or the subscription",
        )
    if isinstance(error, ClientAuthenticationError):
        return NOT_SIGNED_IN
    assert isinstance(error, AzureError)  # noqa: S101 - the callers catch no other
    raise TransientError(f"the management API: {_code(error)}") from None


def _code(error: AzureError) -> str:
    """The code in the answer, such as AuthorizationFailed; the kind of error where there is none."""
    return getattr(getattr(error, "error", None), "code", None) or code_of(error)


# ---------------------------------------------------------------- reading the answers


def _group(account: Any) -> str:
    """An account's resource group: its resource id holds it."""
    parts = str(account.id).split("/")
    return parts[[part.lower() for part in parts].index("resourcegroups") + 1]


def _names(account: Any) -> set[str]:
    """What a storage account is called: its name, the host of its blobs, and a domain of its owner's."""
    names = {account.name}
    if account.primary_endpoints:
        names.add(_host(account.primary_endpoints.blob)[0])
    if account.custom_domain:
        names.add(account.custom_domain.name)
    return names


def _host(endpoint: str | None) -> tuple[str, int]:
    """Host and port: an endpoint is written with its port and without."""
    parts = urlsplit(endpoint or "")
    return parts.hostname or "", parts.port or 443


async def _storage(client: Any, group: str, account: str, containers: Sequence[str]) -> StorageSettings:
    service = await client.blob_services.get_service_properties(group, account)
    lifecycle = await _lifecycle(client, group, account)
    settings = replace(_service(service), lifecycle=lifecycle)
    return replace(settings, immutable={name: await _immutable(client, group, account, name) for name in containers})


def _service(service: Any) -> StorageSettings:
    kept, restore, feed = service.delete_retention_policy, service.restore_policy, service.change_feed
    whole = service.container_delete_retention_policy
    return StorageSettings(
        versioning=bool(service.is_versioning_enabled),
        permanent_delete=bool(kept and kept.allow_permanent_delete),
        restore=restore.days if restore and restore.enabled else None,
        change_feed=ChangeFeed(days=feed.retention_in_days) if feed and feed.enabled else None,
        container_soft_delete=whole.days if whole and whole.enabled else None,
        lifecycle=(),
        soft_delete=kept.days if kept and kept.enabled else None,
    )


async def _lifecycle(client: Any, group: str, account: str) -> tuple[LifecycleRule, ...] | Unknown:
    try:
        found = await client.management_policies.get(group, account, "default")
    except ResourceNotFoundError:  # it has none
        return ()
    except HttpResponseError as error:
        return _why(error)
    return tuple(_rule(rule) for rule in found.policy.rules if rule.enabled is not False)


def _rule(rule: Any) -> LifecycleRule:
    actions = rule.definition.actions
    kinds = {"base": actions.base_blob, "version": actions.version, "snapshot": actions.snapshot}
    deletes = frozenset(kind for kind, action in kinds.items() if action and action.delete)
    prefixes = rule.definition.filters.prefix_match if rule.definition.filters else None
    return LifecycleRule(name=rule.name, prefixes=tuple(prefixes or ()), deletes=deletes)


async def _immutable(client: Any, group: str, account: str, container: str) -> Immutability | Unknown | None:
    try:
        found = await client.blob_containers.get(group, account, container)
    except HttpResponseError as error:
        return None if isinstance(error, ResourceNotFoundError) else _why(error)
    policy = found.immutability_policy
    days = policy.immutability_period_since_creation_in_days if policy else None
    return Immutability(days=days) if days else None


def _backup(policy: Any) -> Continuous | Periodic | Unknown:
    """A policy of a kind that this version does not know is Unknown."""
    migration = getattr(policy, "migration_state", None)
    if migration and str(getattr(migration.status, "value", migration.status)) == "InProgress":
        return Unknown(why="the account's backup is being changed to another kind", remedy="look again afterwards")
    kind = str(getattr(policy, "type", "") or "").rpartition(".")[2].lower()
    if kind == "continuous":
        tier = policy.continuous_mode_properties.tier if policy.continuous_mode_properties else "Continuous30Days"
        count = _DAYS.get(str(getattr(tier, "value", tier)))
        return Continuous(days=count) if count else Unknown(why=f"backup tier {tier} is new", remedy="tell us of it")
    if kind == "periodic" and policy.periodic_mode_properties:
        about = policy.periodic_mode_properties
        return Periodic(
            interval=timedelta(minutes=about.backup_interval_in_minutes or 0),
            retention=timedelta(hours=about.backup_retention_interval_in_hours or 0),
        )
    return Unknown(why="the account's backup policy is of no known kind", remedy="look at it in the portal")


def merged(read: StorageSettings, told: Mapping[str, Any]) -> StorageSettings:
    """What the management API told, with what the data plane told (`told`) where that is known."""
    known = {name: value for name, value in told.items() if not isinstance(value, Unknown)}
    unread = {name: value for name, value in told.items() if isinstance(getattr(read, name), Unknown)}
    return replace(read, **{**unread, **known})
