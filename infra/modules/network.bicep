// For privateNetworking: one network, a subnet that the apps go out by, a subnet of private endpoints, and the DNS zones
// by which the names of the services lead to these endpoints.

param name string
param location string
param tags object

@description('Names of the private DNS zones.')
param zones array

// Default rules: nothing comes in from outside the network. The apps only go out.
resource appsRules 'Microsoft.Network/networkSecurityGroups@2024-07-01' = {
  name: 'nsg-apps-${name}'
  location: location
  tags: tags
  properties: {
    securityRules: []
  }
}

resource endpointsRules 'Microsoft.Network/networkSecurityGroups@2024-07-01' = {
  name: 'nsg-endpoints-${name}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'services-from-the-network'
        properties: {
          description: 'HTTPS, and AMQP over TLS. Peered networks, of people and of who deploys, count as the network.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: 'VirtualNetwork'
          destinationPortRanges: [
            '443'
            '5671'
          ]
        }
      }
      {
        name: 'nothing-else'
        properties: {
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        '10.80.0.0/22'
      ]
    }
    subnets: [
      {
        // Flex Consumption asks for this delegation. A /24 has room for the instances of all three apps.
        name: 'apps'
        properties: {
          addressPrefix: '10.80.0.0/24'
          networkSecurityGroup: {
            id: appsRules.id
          }
          delegations: [
            {
              name: 'flex'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: '10.80.1.0/24'
          defaultOutboundAccess: false
          // Else the rules above would not count for private endpoints.
          privateEndpointNetworkPolicies: 'Enabled'
          networkSecurityGroup: {
            id: endpointsRules.id
          }
        }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [for each in zones: {
  name: each
  location: 'global'
  tags: tags
}]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (each, i) in zones: {
  parent: zone[i]
  name: 'vnet-${name}'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}]

output appsSubnetId string = '${network.id}/subnets/apps'
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
