// Key Vault for one secret, the seed that signs the log's checkpoints. Key Vault holds no Ed25519 keys, so the seed is a
// secret. No template knows it: a hook makes it, once, after provisioning. The ledger's identity alone reads it.

@minLength(3)
@maxLength(24)
param name string
param location string
param tags object

@description('A deleted vault stays its 90 days whatever anybody does: as for production. It cannot be turned off again.')
param purgeProtection bool

param privateNetworking bool
param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: {
      family: 'A'
      name: 'standard'
    }
    tenantId: tenant().tenantId
    // Roles (infra/data/roles.json), not access policies.
    enableRbacAuthorization: true
    // A lost seed cannot be made again, and the log could then not be signed on. It tells of no person, so keeping it is right.
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // null where it is not asked for: Azure takes no false.
    enablePurgeProtection: purgeProtection ? true : null
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: privateNetworking ? 'Deny' : 'Allow'
    }
  }
}

// Who read the seed, and when: an alert compares it with the ledger's identity.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'workspace'
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

output name string = vault.name
output id string = vault.id
