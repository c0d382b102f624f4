// One private endpoint, and its names in the private DNS zones (made by network.bicep, in the same resource group).

param name string
param location string
param tags object
param subnetId string

@description('Id of what the endpoint leads to. An account elsewhere needs the right to approve connections there.')
param targetId string

@description('Which part of it: blob, Sql, namespace, vault, azuremonitor.')
param group string

param zones array

resource endpoint 'Microsoft.Network/privateEndpoints@2024-07-01' = {
  name: 'pep-${name}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: name
        properties: {
          privateLinkServiceId: targetId
          groupIds: [
            group
          ]
        }
      }
    ]
  }
}

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-07-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [for zone in zones: {
      name: replace(zone, '.', '-')
      properties: {
        privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zone)
      }
    }]
  }
}
