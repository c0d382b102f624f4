"""Creates what the app needs and Azure gets by infrastructure code: its own containers, and those of the policy.

For local servers and emulators, which start empty: the Blob containers of `OWN_CONTAINERS`, and for every category of
the policy (planned ones too) its Blob container, or its Cosmos container with its partition key. What is there already
stays as it is, so it is safe to repeat. Refused: a connection by identity, which is a real account's.
"""

import asyncio

from azure.core.exceptions import ResourceExistsError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from shared.config import Config
from shared.containers import OWN_CONTAINERS
from shared.errors import ConfigError
from shared.policy_file import load
from shared.policy_terms import BlobStore, CosmosStore


async def prepare(config: Config) -> None:
    """Create the containers and the database that are missing.

    Raises:
        ConfigError: a connection is missing, or is one by identity.
    """
    stores = [category.store for category in load(config.policy_file).categories]
    blobs = [(own.account, own.name) for own in OWN_CONTAINERS]
    blobs += [(f"BLOB_{s.account.upper()}", s.container) for s in stores if isinstance(s, BlobStore)]
    items = {s.container: s.partition_key for s in stores if isinstance(s, CosmosStore)}
    await asyncio.gather(
        *(
            _blob_containers(_string(config, setting, "serviceUri"), [name for s, name in blobs if s == setting])
            for setting in sorted({setting for setting, _ in blobs})
        ),
        _cosmos_containers(
            _string(config, "COSMOS_MAIN", "accountEndpoint"), config.text("COSMOS_MAIN_DATABASE"), items
        ),
    )


async def _blob_containers(connection: str, names: list[str]) -> None:
    async with BlobServiceClient.from_connection_string(connection) as service:
        for name in sorted(set(names)):
            try:
                await service.create_container(name)
            except ResourceExistsError:
                continue


async def _cosmos_containers(connection: str, database: str, partition_keys: dict[str, str]) -> None:
    async with CosmosClient.from_connection_string(connection, enable_endpoint_discovery=False) as client:
        proxy = await client.create_database_if_not_exists(database)
        for name, path in sorted(partition_keys.items()):
            await proxy.create_container_if_not_exists(name, PartitionKey(path=path))


def _string(config: Config, setting: str, identity_property: str) -> str:
    how, where = config.connection(setting, identity_property)
    if how == "identity":
        message = f"setting {setting} reaches a real account by identity: its containers are made by infra/, not here"
        raise ConfigError(message)
    return where
