// One app on Flex Consumption: its plan (each app has one of its own there), the site, and its settings. The code is the
// same for all; APP_ROLE in the settings chooses the functions.

param name string
param location string
param tags object

@description('Which service of azure.yaml is deployed here: pipeline, ledger or portal.')
param service string

param identityId string
param identityClientId string

@description('The app\'s own storage account, with container app-package: the host\'s locks, and the code.')
param hostAccountName string

@description('The settings that the role reads: shared/config.py.')
param settings object

param insightsConnectionString string

@description('The subnet to go out by; \'\': none.')
param subnetId string

@minValue(40)
@maxValue(1000)
param maximumInstances int

@allowed([
  512
  2048
  4096
])
param instanceMemory int

@description('Instances that are kept running, as in [{ name: \'function:planner\', instanceCount: 1 }].')
param alwaysReady array = []

param zoneRedundant bool

// What the platform reads: the host's storage, its triggers' sign-in, telemetry. No key, no connection string with one.
var platform = {
  AzureWebJobsStorage__accountName: hostAccountName
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsDisableHomepage: 'true'
  ServiceBus__credential: 'managedidentity'
  ServiceBus__clientId: identityClientId
  AZURE_CLIENT_ID: identityClientId
  // With local authentication off, this names where telemetry goes and opens nothing.
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  // The worker sends its own telemetry (functions/telemetry.py), so the host does not send its log lines again.
  PYTHON_ENABLE_OPENTELEMETRY: 'true'
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource site 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': service })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // The site itself stays reachable, private networking or not: pipeline and ledger have no HTTP function, and a
    // Flex app closed by a private endpoint is reported not to sync its triggers after a deployment
    // (github.com/Azure/Azure-Functions/issues/2635), which for this product would mean that nothing is deleted.
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    // The identity that reads @Microsoft.KeyVault(...) settings.
    keyVaultReferenceIdentity: identityId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      remoteDebuggingEnabled: false
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${hostAccountName}.blob.${environment().suffixes.storage}/app-package'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstances
        instanceMemoryMB: instanceMemory
        alwaysReady: alwaysReady
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: site
  name: 'appsettings'
  properties: union(settings, platform)
}

// Deployments sign in by Entra: no user names and passwords of the site, neither by FTP nor at the deployment endpoint.
resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: site
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: site
  name: 'scm'
  properties: {
    allow: false
  }
}

output name string = site.name
