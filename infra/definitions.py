"""The roles that are assigned: Azure's own by their ids, and our own where none of those is narrow enough.

What each request asks for is the vendor's word: https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory
and https://learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_COSMOS = "Microsoft.DocumentDB/databaseAccounts"
_ITEMS = f"{_COSMOS}/sqlDatabases/containers"
_SEE_CONTAINER = ["Microsoft.Storage/storageAccounts/blobServices/containers/read"]
_SEND_BATCHES = [*_SEE_CONTAINER, "Microsoft.Storage/storageAccounts/blobServices/containers/write"]
"""https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory: what a batch asks for."""


DEFINITIONS: Mapping[str, Mapping[str, Any]] = {
    "reader": {
        "builtIn": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "name": "Reader",
        "says": "the settings of a resource, none of its data",
    },
    "blob-reader": {
        "builtIn": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        "name": "Storage Blob Data Reader",
        "says": "list and read blobs",
    },
    "blob-contributor": {
        "name": "Retention Blob Contributor",
        "says": "list, read, write and delete blobs, in batches too; delete no container, as the built-in role may",
        "actions": _SEND_BATCHES,
        "dataActions": [f"{_BLOBS}/read", f"{_BLOBS}/write", f"{_BLOBS}/delete"],
    },
    "blob-owner": {
        "builtIn": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "name": "Storage Blob Data Owner",
        "says": "everything on blobs: what the Functions host asks for on its own storage",
    },
    "blob-eraser": {
        "name": "Retention Blob Eraser",
        # Whether a batch takes blobs/write besides containers/write is untried; to take lines out of a log takes it.
        "says": "list, read and delete blobs and their versions, in batches; write over one, to take lines out of it",
        "actions": _SEND_BATCHES,
        "dataActions": [
            f"{_BLOBS}/read",
            f"{_BLOBS}/write",
            f"{_BLOBS}/delete",
            f"{_BLOBS}/deleteBlobVersion/action",
            f"{_BLOBS}/permanentDelete/action",
        ],
    },
    "blob-writer": {
        "name": "Retention Blob Writer",
        "says": "list, read, create and write over blobs; delete none",
        "actions": _SEE_CONTAINER,
        "dataActions": [f"{_BLOBS}/read", f"{_BLOBS}/write"],
    },
    "blob-clearer": {
        "name": "Retention Blob Clearer",
        "says": "list, read and delete blobs; create and change none",
        "actions": [],
        "dataActions": [f"{_BLOBS}/read", f"{_BLOBS}/delete"],
    },
    "blob-creator": {
        "name": "Retention Blob Creator",
        "says": "list, read and create blobs; write over and delete none",
        "actions": [],
        "dataActions": [f"{_BLOBS}/read", f"{_BLOBS}/add/action"],
    },
    "cosmos-settings": {
        "name": "Retention Cosmos Settings Reader",
        "says": "the settings of a Cosmos DB account; Reader could also read its read-only keys",
        "actions": [f"{_COSMOS}/read"],
        "dataActions": [],
    },
    "blob-keeper": {
        "name": "Retention Blob Keeper",
        "says": "list, read, create and delete blobs; write over none",
        "actions": [],
        "dataActions": [f"{_BLOBS}/read", f"{_BLOBS}/add/action", f"{_BLOBS}/delete"],
    },
    "bus-receiver": {
        "builtIn": "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
        "name": "Azure Service Bus Data Receiver",
        "says": "receive and settle messages",
    },
    "bus-sender": {
        "builtIn": "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
        "name": "Azure Service Bus Data Sender",
        "says": "send messages",
    },
    "secret-reader": {
        "builtIn": "4633458b-17de-408a-b874-0445c86b69e6",
        "name": "Key Vault Secrets User",
        "says": "read secrets",
    },
    "secret-setter": {
        "name": "Retention Seed Setter",
        "says": "set a secret, and see that there is one; read none",
        "actions": [],
        "dataActions": [
            "Microsoft.KeyVault/vaults/secrets/setSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ],
    },
    "metrics-publisher": {
        "builtIn": "3913510d-42f4-4e42-8a64-420c390055eb",
        "name": "Monitoring Metrics Publisher",
        "says": "send telemetry",
    },
}
"""Roles of Azure RBAC: built-in ones by their id, and our own where no built-in one is narrow enough."""

COSMOS_DEFINITIONS: Mapping[str, Mapping[str, Any]] = {
    "cosmos-metadata": {
        "name": "Retention Metadata Reader",
        "says": "which containers and partitions there are",
        "dataActions": [f"{_COSMOS}/readMetadata"],
    },
    "cosmos-eraser": {
        "name": "Retention Item Eraser",
        "says": "query, read and delete items; create and change none",
        # To query by an SDK takes both: https://learn.microsoft.com/azure/cosmos-db/reference-data-plane-security
        "dataActions": [f"{_ITEMS}/executeQuery", f"{_ITEMS}/readChangeFeed", f"{_ITEMS}/items/delete"],
    },
    "cosmos-leaver": {
        "name": "Retention Member Remover",
        "says": "replace an item, to take a member out of a home",
        "dataActions": [f"{_ITEMS}/items/replace"],
    },
    "cosmos-seeder": {
        "name": "Retention Trial Seeder",
        "says": "create and read items: the smoke test's synthetic person",
        "dataActions": [f"{_ITEMS}/items/create", f"{_ITEMS}/items/read"],
    },
}
"""Roles of Cosmos DB's own data plane."""
