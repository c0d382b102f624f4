"""Clients of the stand-in for accounts that Azurite does not model: versions, soft delete, refusals, odd answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from azure.storage.blob.aio import BlobServiceClient

from local.azure.account import Account
from local.azure.blob_server import BlobServer
from local.azure.serving import serving
from local.servers import AZURITE_KEY


def connection(url: str, account: Account) -> str:
    """The connection string of an account that `serving` serves at the URL."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={account.name};AccountKey={AZURITE_KEY};"
        f"BlobEndpoint={url}/{account.name};"
    )


@asynccontextmanager
async def served(server: BlobServer, **options: Any) -> AsyncIterator[BlobServiceClient]:
    """A client of the server's account, which is served meanwhile."""
    with serving(server) as url:
        text = connection(url, server.account)
        async with BlobServiceClient.from_connection_string(text, **options) as service:
            yield service
