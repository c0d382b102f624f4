// Log Analytics and Application Insights: where metrics, logs and the alerts over them live.
// Nobody sends with a key: local authentication is off, and each app's identity may publish (infra/data/roles.json).

param name string
param location string
param tags object

@description('Days that the workspace keeps what it gets.')
@minValue(30)
@maxValue(730)
param retentionDays int

@description('Telemetry comes in by a private endpoint alone; people still query from anywhere, with their own rights.')
param privateNetworking bool

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-${name}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    // No daily cap: a workspace that stops at a cap stops the alerts with it. The budget warns of the cost.
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
    publicNetworkAccessForIngestion: privateNetworking ? 'Disabled' : 'Enabled'
    // Alert rules do not depend on this. Reading takes a role on the workspace, whatever the network.
    publicNetworkAccessForQuery: 'Enabled'
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${name}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
    // Addresses of callers are personal data: they stay masked.
    DisableIpMasking: false
    publicNetworkAccessForIngestion: privateNetworking ? 'Disabled' : 'Enabled'
    publicNetworkAccessForQuery: 'Enabled'
  }
}

// Azure Monitor takes private endpoints by a scope of its own. The endpoint (group id azuremonitor) stands with the others.
resource linkScope 'Microsoft.Insights/privateLinkScopes@2021-09-01' = if (privateNetworking) {
  name: 'ampls-${name}'
  location: 'global'
  tags: tags
  properties: {
    accessModeSettings: {
      ingestionAccessMode: 'PrivateOnly'
      queryAccessMode: 'Open'
    }
  }
}

resource linkedWorkspace 'Microsoft.Insights/privateLinkScopes/scopedResources@2021-09-01' = if (privateNetworking) {
  parent: linkScope
  name: 'workspace'
  properties: {
    linkedResourceId: workspace.id
  }
}

resource linkedInsights 'Microsoft.Insights/privateLinkScopes/scopedResources@2021-09-01' = if (privateNetworking) {
  parent: linkScope
  name: 'insights'
  properties: {
    linkedResourceId: insights.id
  }
  // The scope takes one change at a time.
  dependsOn: [
    linkedWorkspace
  ]
}

output workspaceId string = workspace.id
output insightsId string = insights.id
output insightsName string = insights.name
// It names where to send to. With local authentication off, its key opens nothing.
output insightsConnectionString string = insights.properties.ConnectionString
output privateLinkScopeId string = privateNetworking ? linkScope.id : ''
