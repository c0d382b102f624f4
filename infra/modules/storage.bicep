// One storage account and its containers, set so that what is deleted is gone: whatever would keep a deleted blob, an
// earlier content or a name is off, and says why. `retention posture` reads the same settings from the real account.

@minLength(3)
@maxLength(24)
param name string
param location string
param tags object

@description('Names of the containers.')
param containers array

@description('Copies in three zones of the region.')
param zoneRedundant bool

@description('No way in but by private endpoints.')
param privateNetworking bool

@description('Who read, wrote and deleted what, by name. For accounts whose blob names tell of nobody.')
param resourceLogs bool = false

param workspaceId string

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    // One region: a copy in another one is erased later than the first, at a time that nobody promises.
    name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    // Identities alone, each with its roles: a key could do everything, and would be nobody.
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    isLocalUserEnabled: false
    isSftpEnabled: false
    isNfsV3Enabled: false
    // Directories would be renamed and deleted whole: the layouts and the walker are made for flat names.
    isHnsEnabled: false
    // Object replication keeps copies that no sweep reaches; at least it cannot lead to another company.
    allowCrossTenantReplication: false
    allowedCopyScope: 'AAD'
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: privateNetworking ? 'Deny' : 'Allow'
      bypass: 'None'
    }
  }
}

resource service 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    // Off: it would keep each deleted blob for its days, to be restored by anybody who may. "Erased" would be untrue.
    deleteRetentionPolicy: {
      enabled: false
      allowPermanentDelete: false
    }
    // Off: a container taken away by hand would stay for its days, with all that is in it.
    containerDeleteRetentionPolicy: {
      enabled: false
    }
    // Off: each delete and each correction would leave a version that no clock removes.
    isVersioningEnabled: false
    // Off: the containers could be set back to before an erasure.
    restorePolicy: {
      enabled: false
    }
    // Off: it keeps the names of changed blobs, and names of governed blobs hold the ids of homes.
    changeFeed: {
      enabled: false
    }
    // Off: it makes reads write, and nothing here goes by the time of the last read.
    lastAccessTimeTrackingPolicy: {
      enable: false
    }
  }
}

// No lifecycle rules (managementPolicies) anywhere: they delete days late, without an event, and whatever is held.

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = [for each in containers: {
  parent: service
  name: each
  properties: {
    publicAccess: 'None'
  }
}]

// Resource logs keep the names of blobs longer than the blobs live: where names tell of somebody, numbers alone are kept.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: service
  name: 'workspace'
  properties: {
    workspaceId: workspaceId
    logs: [for category in (resourceLogs ? ['StorageRead', 'StorageWrite', 'StorageDelete'] : []): {
      category: category
      enabled: true
    }]
    metrics: [
      {
        category: 'Transaction'
        enabled: true
      }
    ]
  }
}

output name string = account.name
