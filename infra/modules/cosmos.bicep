// Cosmos DB for a trial: an account, a database and the categories' containers (infra/data/cosmos.json). The product keeps
// nothing of its own in it.

param name string
param location string
param tags object
param database string

@description('Rows of infra/data/cosmos.json: name, partition key, and the paths that the pipeline queries.')
param containers array

@description('Pay for each request; else autoscale, shared by the containers.')
param serverless bool

@description('Autoscale: request units a second at most, a multiple of 1000.')
@minValue(1000)
param maxThroughput int

param zoneRedundant bool
param privateNetworking bool
param workspaceId string

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: name
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    // One region: what is erased is erased at once, everywhere.
    locations: [
      {
        locationName: location
        failoverPriority: 0
        isZoneRedundant: zoneRedundant
      }
    ]
    enableMultipleWriteLocations: false
    enableAutomaticFailover: false
    consistencyPolicy: {
      // An erasure looks for what others wrote, without their session: a weaker look could miss the newest record.
      defaultConsistencyLevel: 'Strong'
    }
    // Seven days, the shorter of the two tiers. Within them an account of before an erasure can be restored. The policy
    // lets backups keep what was erased for 30 days (row 13); posture adds these seven where a promise allows none.
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: {
        tier: 'Continuous7Days'
      }
    }
    capabilities: [for each in (serverless ? ['EnableServerless'] : []): {
      name: each
    }]
    // Off: it keeps a second copy of every item, which deletes reach later.
    enableAnalyticalStorage: false
    enableFreeTier: false
    // Identities alone, each with its data roles.
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    networkAclBypass: 'None'
    ipRules: []
  }
}

resource db 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: database
  properties: {
    resource: {
      id: database
    }
    options: serverless ? {} : {
      autoscaleSettings: {
        maxThroughput: maxThroughput
      }
    }
  }
}

// No defaultTtl, on none of them: what it deletes leaves no event, asks for no hold, and comes back when it is turned off.
resource container 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = [for each in containers: {
  parent: db
  name: each.name
  properties: {
    resource: {
      id: each.name
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: [
          each.partitionKey
        ]
      }
      // Just what is queried: each path more costs at every write and delete. The key's own path is for queries within
      // one partition; _ts and id are always indexed.
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [for path in union(['${each.partitionKey}/?'], each.indexed): {
          path: path
        }]
        excludedPaths: [
          {
            path: '/*'
          }
        ]
      }
    }
  }
}]

// Data plane logs hold the keys of items, which are ids of people and homes: not collected. Who changed the account is.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: account
  name: 'workspace'
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'ControlPlaneRequests'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'Requests'
        enabled: true
      }
    ]
  }
}

output name string = account.name
