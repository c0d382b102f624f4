"""Strict stand-ins for what Azurite has not: soft delete, versions, immutability, and the management API. For tests.

`blob_server` speaks a subset of the Blob service's REST API over `account`, `management_server` the reads of Azure
Resource Manager that tell a storage or Cosmos DB account's settings. Both refuse what they do not model, with a text.
"""
