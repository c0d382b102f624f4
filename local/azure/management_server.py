"""Azure Resource Manager's stand-in: the reads that tell how storage and Cosmos DB accounts are set. For tests.

It shows what the `Account` objects are set to, in the service's own JSON. Anything but these reads is refused with 501
and a text. https://learn.microsoft.com/rest/api/storagerp/, https://learn.microsoft.com/rest/api/cosmos-db-resource-provider/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from local.azure.account import Account, RefusedError

_SKIP = "$skipToken"
_CONTAINER = re.compile(r"[a-z0-9$](-?[a-z0-9]){2,62}")

CONTINUOUS_7 = {"type": "Continuous", "continuousModeProperties": {"tier": "Continuous7Days"}}
CONTINUOUS_30 = {"type": "Continuous", "continuousModeProperties": {"tier": "Continuous30Days"}}


def periodic(*, minutes: int, hours: int) -> dict[str, Any]:
    """A periodic backup policy: a copy every so many minutes, kept for so many hours."""
    properties = {"backupIntervalInMinutes": minutes, "backupRetentionIntervalInHours": hours}
    return {"type": "Periodic", "periodicModeProperties": {**properties, "backupStorageRedundancy": "Local"}}


def lifecycle_rule(name: str, *, prefixes: list[str], enabled: bool = True, **actions: int) -> dict[str, Any]:
    """A lifecycle rule as the API has it; `actions` are baseBlob, version, snapshot: days until its delete."""
    by = {"baseBlob": "daysAfterModificationGreaterThan"}
    deletes = {what: {"delete": {by.get(what, "daysAfterCreationGreaterThan"): days}} for what, days in actions.items()}
    filters = {"blobTypes": ["blockBlob"], "prefixMatch": prefixes}
    definition = {"actions": deletes, "filters": filters}
    return {"enabled": enabled, "name": name, "type": "Lifecycle", "definition": definition}


@dataclass(kw_only=True)
class Subscription:
    """What the subscription holds. `cosmos` is by account name: (document endpoint, backup policy).

    `refused` is the status that every read answers whose path has `refused_at`, such as 403; None: all are answered.
    """

    id: str = "11111111-2222-3333-4444-555555555555"
    group: str = "group-1"
    storage: list[Account] = field(default_factory=list)
    cosmos: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    refused: int | None = None
    refused_at: str = ""


class ManagementServer:
    """The application."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = JSONResponse(self._answer(request, dict(request.query_params)))
        except RefusedError as error:
            body = {"error": {"code": error.code, "message": error.text}}
            response = JSONResponse(body, status_code=error.status)
        await response(scope, receive, send)

    def _answer(self, request: Request, query: Mapping[str, str]) -> Any:
        here, method, path = self.subscription, request.method, request.url.path
        if here.refused is not None and here.refused_at in path:
            raise RefusedError(here.refused, "AuthorizationFailed", "refused for the test")
        if method != "GET" or set(query) - {_SKIP} != {"api-version"}:
            raise RefusedError(501, "NotModelled", f"{method} with {sorted(query)}")
        match path.strip("/").split("/"):
            case ["subscriptions", here.id, "providers", provider, kind]:
                return _page(request, self._list(provider, kind))
            case ["subscriptions", here.id, "resourceGroups", group, "providers", provider, kind, *rest]:
                if group != here.group:
                    raise RefusedError(404, "ResourceGroupNotFound")
                if not rest:
                    return _page(request, self._list(provider, kind))
                return self._one(provider, kind, *rest)
            case ["subscriptions", other, *_] if other != here.id:
                raise RefusedError(404, "SubscriptionNotFound")
        raise RefusedError(501, "NotModelled", path)

    def _list(self, provider: str, kind: str) -> list[dict[str, Any]]:
        match provider, kind:
            case "Microsoft.Storage", "storageAccounts":
                return [
                    {"id": self._id(provider, kind, a.name), "name": a.name, "properties": _endpoints(a.name)}
                    for a in self.subscription.storage
                ]
            case "Microsoft.DocumentDB", "databaseAccounts":
                return [
                    {
                        "id": self._id(provider, kind, name),
                        "name": name,
                        "properties": {"documentEndpoint": endpoint, "backupPolicy": backup},
                    }
                    for name, (endpoint, backup) in self.subscription.cosmos.items()
                ]
            case _:
                raise RefusedError(501, "NotModelled", f"{provider}/{kind}")

    def _id(self, provider: str, kind: str, name: str) -> str:
        group = f"/subscriptions/{self.subscription.id}/resourceGroups/{self.subscription.group}"
        return f"{group}/providers/{provider}/{kind}/{name}"

    def _one(self, provider: str, kind: str, name: str, *rest: str) -> Any:
        account = next((a for a in self.subscription.storage if a.name == name), None)
        if (provider, kind) != ("Microsoft.Storage", "storageAccounts"):
            raise RefusedError(501, "NotModelled", f"{provider}/{kind}/NAME")
        if account is None:
            raise RefusedError(404, "ResourceNotFound")
        match rest:
            case ["blobServices", "default"]:
                return {"properties": _blob_service(account)}
            case ["managementPolicies", "default"]:
                if not account.settings.lifecycle:
                    raise RefusedError(404, "ManagementPolicyNotFound")
                return {"properties": {"policy": {"rules": account.settings.lifecycle}}}
            case ["blobServices", "default", "containers", container]:
                if not _CONTAINER.fullmatch(container):
                    raise RefusedError(400, "InvalidResourceName")
                return {"properties": _container(account, container)}
        raise RefusedError(501, "NotModelled", "/".join(rest))


def _page(request: Request, listed: list[dict[str, Any]]) -> dict[str, Any]:
    """One account a page, so that whoever reads the first page alone is found out."""
    skip = request.query_params.get(_SKIP, "0")
    if not re.fullmatch(r"[0-9]{1,9}", skip):
        raise RefusedError(400, "InvalidInput", f"{_SKIP} is a number")
    at = int(skip)
    more = {"nextLink": str(request.url.include_query_params(**{_SKIP: at + 1}))} if at + 1 < len(listed) else {}
    return {"value": listed[at : at + 1], **more}


def _endpoints(name: str) -> dict[str, Any]:
    return {"primaryEndpoints": {"blob": f"https://{name}.z1.blob.storage.azure.net/"}}


def _blob_service(account: Account) -> dict[str, Any]:
    settings = account.settings
    shown: dict[str, Any] = {
        "deleteRetentionPolicy": {"enabled": False},
        "containerDeleteRetentionPolicy": {"enabled": False},
        "isVersioningEnabled": settings.versioning,
    }
    if settings.soft_delete_days is not None:
        days = {"enabled": True, "days": settings.soft_delete_days}
        shown["deleteRetentionPolicy"] = {**days, "allowPermanentDelete": settings.permanent_delete}
    if settings.container_soft_delete_days is not None:
        shown["containerDeleteRetentionPolicy"] = {"enabled": True, "days": settings.container_soft_delete_days}
    if settings.restore_days is not None:
        shown["restorePolicy"] = {"enabled": True, "days": settings.restore_days}
    if settings.change_feed:
        limited = {"retentionInDays": settings.change_feed_days} if settings.change_feed_days else {}
        shown["changeFeed"] = {"enabled": True, **limited}
    return shown


def _container(account: Account, name: str) -> dict[str, Any]:
    held = account.containers.get(name)
    if held is None:
        raise RefusedError(404, "ContainerNotFound")
    shown: dict[str, Any] = {"hasLegalHold": held.legal_hold, "hasImmutabilityPolicy": held.immutable_days is not None}
    if held.immutable_days is not None:
        days = {"immutabilityPeriodSinceCreationInDays": held.immutable_days, "state": "Locked"}
        shown["immutabilityPolicy"] = {"properties": days}
    return shown
