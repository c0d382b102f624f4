// All that holds something: storage accounts, Cosmos DB for a trial, Service Bus, Key Vault. Each is a module of its own.

param token string
param location string
param tags object

@description('Storage accounts: key, id, and `make` where it is made here.')
param accounts array

param makeCosmos bool
param cosmosDatabase string
param cosmosServerless bool
param cosmosMaxThroughput int
param serviceBusSku string
param subscribed bool
param purgeProtection bool
param zoneRedundant bool
param privateNetworking bool
param workspaceId string

var facts = loadJsonContent('../data/accounts.json')

module account 'storage.bicep' = [for each in accounts: if (each.make) {
  name: 'storage-${each.key}'
  params: {
    name: last(split(each.id, '/'))
    location: location
    tags: tags
    // The rest are the apps' own accounts: the host's locks, and the package it runs.
    containers: contains(facts, each.key) ? facts[each.key].containers : ['app-package']
    zoneRedundant: zoneRedundant
    privateNetworking: privateNetworking
    // In the ledger's account names are places in the log and ids of requests, and who touched it must be known.
    resourceLogs: each.key == 'ledger'
    workspaceId: workspaceId
  }
}]

module cosmos 'cosmos.bicep' = if (makeCosmos) {
  name: 'cosmos'
  params: {
    name: 'cosmos-${token}'
    location: location
    tags: tags
    database: cosmosDatabase
    containers: loadJsonContent('../data/cosmos.json')
    serverless: cosmosServerless
    maxThroughput: cosmosMaxThroughput
    zoneRedundant: zoneRedundant
    privateNetworking: privateNetworking
    workspaceId: workspaceId
  }
}

module bus 'servicebus.bicep' = {
  name: 'servicebus'
  params: {
    name: 'sb-${token}'
    location: location
    tags: tags
    sku: serviceBusSku
    subscribed: subscribed
    privateNetworking: privateNetworking
    workspaceId: workspaceId
  }
}

module vault 'vault.bicep' = {
  name: 'vault'
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    purgeProtection: purgeProtection
    privateNetworking: privateNetworking
    workspaceId: workspaceId
  }
}

output serviceBusId string = bus.outputs.id
output serviceBusName string = bus.outputs.name
output fullyQualifiedNamespace string = bus.outputs.fullyQualifiedNamespace
output vaultId string = vault.outputs.id
output vaultName string = vault.outputs.name
