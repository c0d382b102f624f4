// For privateNetworking: the network, and a private endpoint for every store, for Service Bus, the vault and Azure Monitor.
// Not for the apps: modules/functionapp.bicep says why.

param token string
param location string
param tags object

@description('Storage accounts: key and id. Accounts that were there before get an endpoint too.')
param accounts array

param cosmosId string
param serviceBusId string
param vaultId string
param privateLinkScopeId string

var blobZone = 'privatelink.blob.${environment().suffixes.storage}'
var cosmosZone = 'privatelink.documents.azure.com'
var busZone = 'privatelink.servicebus.windows.net'
var vaultZone = 'privatelink.vaultcore.azure.net'
var monitorZones = [
  'privatelink.monitor.azure.com'
  'privatelink.oms.opinsights.azure.com'
  'privatelink.ods.opinsights.azure.com'
  'privatelink.agentsvc.azure-automation.net'
]

module network 'network.bicep' = {
  name: 'network'
  params: {
    name: token
    location: location
    tags: tags
    zones: concat([blobZone, cosmosZone, busZone, vaultZone], monitorZones)
  }
}

module blob 'endpoint.bicep' = [for each in accounts: {
  name: 'endpoint-${each.key}'
  params: {
    name: '${each.key}-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointsSubnetId
    targetId: each.id
    group: 'blob'
    zones: [blobZone]
  }
}]

module cosmos 'endpoint.bicep' = {
  name: 'endpoint-cosmos'
  params: {
    name: 'cosmos-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointsSubnetId
    targetId: cosmosId
    group: 'Sql'
    zones: [cosmosZone]
  }
}

module bus 'endpoint.bicep' = {
  name: 'endpoint-bus'
  params: {
    name: 'bus-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointsSubnetId
    targetId: serviceBusId
    group: 'namespace'
    zones: [busZone]
  }
}

module vault 'endpoint.bicep' = {
  name: 'endpoint-vault'
  params: {
    name: 'vault-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointsSubnetId
    targetId: vaultId
    group: 'vault'
    zones: [vaultZone]
  }
}

module monitor 'endpoint.bicep' = {
  name: 'endpoint-monitor'
  params: {
    name: 'monitor-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointsSubnetId
    targetId: privateLinkScopeId
    group: 'azuremonitor'
    zones: concat(monitorZones, [blobZone])
  }
}

output appsSubnetId string = network.outputs.appsSubnetId
