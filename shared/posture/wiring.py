"""Builds what posture reads with: an account's client without any of the product's settings, and the management API.

Refused: a secret where others can read it. A key or a SAS comes in an environment variable, never as an argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from azure.cosmos.aio import DatabaseProxy
from azure.storage.blob.aio import BlobServiceClient

from shared.config import Config
from shared.errors import ConfigError
from shared.governed import Governed
from shared.policy import Policy
from shared.posture import read_blob, read_cosmos
from shared.posture.management import Management
from shared.posture.settings import Account, BlobAccount
from shared.posture.worst_case import place
from shared.stores.blob import retry_policy

LOOK = 5_000
"""Entries that are listed for versions, in each container."""

_NAME = re.compile(r"[a-z0-9]{3,24}")
_LOCAL = ("127.0.0.1", "localhost", "::1")


def management(
    subscription: str | None, group: str | None, endpoint: str | None, *, client_id: str | None = None
) -> Management | None:
    """The management API of a subscription, None where none is named. Raises ConfigError for an unsafe endpoint."""
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme != "https" and parts.hostname not in _LOCAL:
            raise ConfigError("the management endpoint must begin with https://")
    if not subscription:
        return None
    return Management(subscription=subscription, group=group, endpoint=endpoint, sign_in=lambda: _credential(client_id))


async def read_any(where: str, *, secret: bool, management: Management | None, look: int) -> BlobAccount:
    """Read the settings of any storage account, and of all its containers.

    `where` is its name or its blob endpoint, reached as whoever is signed in; with `secret` it is a connection string
    or a SAS URL. Raises ConfigError, TransientError.
    """
    async with AsyncExitStack() as stack:
        service = _with_secret(where) if secret else _signed_in(where, stack)
        await stack.enter_async_context(service)
        return await read_blob.read_account(service, read_blob.account_of(service), None, management, look=look)


async def read_all(
    policy: Policy,
    *,
    blobs: Callable[[str], BlobServiceClient | None],
    database: DatabaseProxy | None,
    cosmos_endpoint: str,
    management: Management | None,
    look: int,
) -> dict[str, Account]:
    """Read every account and container that an enforced category of the policy is in, by the account's setting.

    `blobs` gives the client of a setting, None where it is not set. Raises TransientError.
    """
    wanted: dict[str, dict[str, None]] = {}
    for category in policy.enforced():
        setting, container = place(category)
        wanted.setdefault(setting, {})[container] = None
    read: dict[str, Account] = {}
    for setting, containers in wanted.items():
        if setting.startswith("COSMOS"):
            if database is not None:
                read[setting] = await read_cosmos.read_account(
                    database, setting, cosmos_endpoint, list(containers), management
                )
        elif (service := blobs(setting)) is not None:
            read[setting] = await read_blob.read_account(service, setting, list(containers), management, look=look)
    return read


async def read_stores(app: Governed, *, management: Management | None, look: int = LOOK) -> dict[str, Account]:
    """The same of the stores that the settings connect. Raises TransientError."""
    cosmos: Any = app.stores.get("cosmos/main")
    return await read_all(
        app.policy,
        blobs=lambda setting: app.blobs(setting) if app.config.has(setting) else None,
        database=cosmos.database if cosmos is not None else None,
        cosmos_endpoint=_endpoint(app.config),
        management=management,
        look=look,
    )


def _endpoint(config: Config) -> str:
    if not config.has("COSMOS_MAIN"):
        return ""
    how, where = config.connection("COSMOS_MAIN", "accountEndpoint")
    fields = dict(part.partition("=")[::2] for part in where.split(";"))
    return where if how == "identity" else fields.get("AccountEndpoint", "")


def _signed_in(where: str, stack: AsyncExitStack) -> BlobServiceClient:
    parts = urlsplit(where)
    if _NAME.fullmatch(where):
        url = f"https://{where}.blob.core.windows.net"
    elif parts.scheme == "https" and parts.hostname and not parts.query and not parts.username:
        url = where
    else:
        raise ConfigError(
            "the account is named by its name or its https:// blob endpoint; a connection string or a SAS is a secret: "
            "put it into an environment variable and name that with --account-env"
        )
    credential = _credential(None)
    stack.push_async_callback(credential.close)
    return BlobServiceClient(url, credential=credential, retry_policy=retry_policy())


def _with_secret(secret: str) -> BlobServiceClient:
    try:
        if urlsplit(secret).scheme in {"http", "https"}:
            return BlobServiceClient(secret, retry_policy=retry_policy())
        return BlobServiceClient.from_connection_string(secret, retry_policy=retry_policy())
    except ValueError:
        raise ConfigError("the environment variable holds no connection string and no URL") from None


def _credential(client_id: str | None) -> Any:
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - slow to import, unneeded with keys

    # None, if it were passed, would stand above AZURE_CLIENT_ID
    return DefaultAzureCredential(**({"managed_identity_client_id": client_id} if client_id else {}))
