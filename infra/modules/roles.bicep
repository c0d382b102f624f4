// Who may do what: every role of our own and every assignment there is are rows of infra/data/roles.json (docs/trust.md
// shows them). A module for each kind of resource, deployed to the resource group that the resource is in.

param token string

@description('Storage accounts: key and id.')
param accounts array

param cosmosId string
param cosmosDatabase string
param namespaceName string
param vaultName string
param insightsName string

@description('By `who` of the rows: id and type of the principal; an empty id: nobody.')
param principals object

var roles = loadJsonContent('../data/roles.json')
var group = resourceGroup().id
// Resource groups of accounts that were there before.
var elsewhere = [for each in accounts: join(take(split(each.id, '/'), 5), '/')]

module definitions 'definitions.bicep' = {
  name: 'role-definitions'
  params: {
    definitions: roles.definitions
    roleSeed: token
    assignableScopes: union([group], elsewhere, [join(take(split(cosmosId, '/'), 5), '/')])
  }
}

module blob 'roles-blob.bicep' = [for each in accounts: {
  name: 'roles-${each.key}-${token}'
  scope: resourceGroup(split(each.id, '/')[2], split(each.id, '/')[4])
  params: {
    account: each.key
    accountName: last(split(each.id, '/'))
    containerRows: roles.blob
    accountRows: concat(roles.host, roles.settings)
    definitions: roles.definitions
    principals: principals
    roleSeed: token
  }
  dependsOn: [
    definitions
  ]
}]

module cosmos 'roles-cosmos.bicep' = {
  name: 'roles-cosmos-${token}'
  scope: resourceGroup(split(cosmosId, '/')[2], split(cosmosId, '/')[4])
  params: {
    accountName: last(split(cosmosId, '/'))
    database: cosmosDatabase
    rows: roles.cosmos
    settingsRows: roles.settings
    definitions: roles.definitions
    cosmosDefinitions: roles.cosmosDefinitions
    principals: principals
    roleSeed: token
  }
  // After the other roles: Cosmos DB refuses a principal that Entra has not told it of yet, which takes minutes.
  dependsOn: [
    blob
    bus
    vault
    telemetry
  ]
}

module bus 'roles-bus.bicep' = {
  name: 'roles-servicebus'
  params: {
    namespaceName: namespaceName
    topicName: 'audit'
    rows: roles.bus
    definitions: roles.definitions
    principals: principals
    roleSeed: token
  }
  dependsOn: [
    definitions
  ]
}

module vault 'roles-vault.bicep' = {
  name: 'roles-vault'
  params: {
    vaultName: vaultName
    rows: roles.vault
    definitions: roles.definitions
    principals: principals
    roleSeed: token
  }
  dependsOn: [
    definitions
  ]
}

module telemetry 'roles-telemetry.bicep' = {
  name: 'roles-telemetry'
  params: {
    insightsName: insightsName
    rows: roles.telemetry
    definitions: roles.definitions
    principals: principals
    roleSeed: token
  }
  dependsOn: [
    definitions
  ]
}

output cosmosEndpoint string = cosmos.outputs.endpoint
