// The whole deployment, as one: a resource group and all that is in it. Parameters: infra/<stage>.parameters.json.
// What other files decide is loaded, so that code, tests and docs read the same: infra/data/*.json, local/entities.json.

targetScope = 'subscription'

// ---------------------------------------------------------------- what names the deployment

@description('Names the resource group and, with subscription and place, every resource.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Region of everything.')
param location string

@description('Object id of who deploys: sets the signing seed, once. \'\': nobody.')
param deployerId string = ''

@allowed([
  'User'
  'ServicePrincipal'
])
param deployerType string = 'User'

@description('Make those governed stores whose ids are not given, as for a trial.')
param trial bool = false

// ---------------------------------------------------------------- people and programs: object ids in Entra; '' is nobody

@description('May read what the command line shows, and send messages. In a trial that is who deploys.')
param operatorsId string = trial ? deployerId : ''

@description('May read the log.')
param auditorsId string = ''

@description('May receive from topic audit, subscription siem.')
param siemId string = ''

@description('Runs the smoke test: may create a synthetic person, a home and a picture. In a trial that is who deploys.')
param smokeId string = trial ? deployerId : ''

@description('Where alerts and the budget\'s warnings go. \'\': alerts show in Azure Monitor alone.')
param alertEmail string = ''

@description('Where the alerts\' texts lead.')
param runbookUrl string = 'docs/operate.md'

// ---------------------------------------------------------------- the log

@description('The log\'s name for ever: a host and path of yours, as in log.example.com/retention. The year is added.')
@minLength(3)
param ledgerOrigin string

@description('Verifier keys of seeds that signed before, with spaces between.')
param ledgerFormerKeys string = ''

@description('For production: no deletion of the ledger\'s account, no purge of the vault, and the log\'s immutability is locked for good.')
param lockLedger bool = false

@description('The log\'s immutability is locked by now: the policy is left alone, since it refuses every change.')
param ledgerPolicyLocked bool = false

// ---------------------------------------------------------------- the governed stores

@description('Id of the storage account of governed blobs.')
param dataAccountId string = ''

@description('Id of the storage account of the backup sets.')
param backupAccountId string = ''

@description('Id of the Cosmos DB account of governed items.')
param cosmosAccountId string = ''

param cosmosDatabase string = 'retention'

@description('For a trial\'s account: pay for each request; else autoscale.')
param cosmosServerless bool = true

@description('For autoscale: request units a second at most.')
param cosmosMaxThroughput int = 1000

// ---------------------------------------------------------------- size, network, cost

@description('Private endpoints and no public access to the stores. Forces Service Bus Premium: docs/cost.md.')
param privateNetworking bool = false

@allowed([
  'Standard'
  'Premium'
])
param serviceBusSku string = 'Standard'

param zoneRedundant bool = false

@description('Instances of one app at most. Flex Consumption takes none below 40.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 40

@allowed([
  512
  2048
  4096
])
param instanceMemory int = 2048

@description('Instances of the pipeline that are kept running: [{ name: \'function:planner\', instanceCount: 1 }].')
param alwaysReady array = []

@description('Settings RETENTION_* of the pipeline (README); those that are not given have their defaults.')
param retentionSettings object = {}

@description('The code has no portal yet: its app would not start.')
param deployPortal bool = false

@description('Days that the workspace keeps logs and metrics.')
param logDays int = 90

@description('In the currency of the bill; 0: no budget.')
@minValue(0)
param monthlyBudget int = 0

// Azure takes no earlier day, and refuses another one once the budget is there: one value for good, so no utcNow().
@description('First day of the month in which the budget is made, as in 2026-12-01. \'\': no budget.')
param budgetStart string = ''

// ---------------------------------------------------------------- names

var token = uniqueString(subscription().id, environmentName, location)
var groupName = 'rg-${environmentName}'
var groupId = '${subscription().id}/resourceGroups/${groupName}'
var accountIds = '${groupId}/providers/Microsoft.Storage/storageAccounts'
var tags = { 'azd-env-name': environmentName, product: 'retention-pipeline' }

var apps = deployPortal ? ['pipeline', 'ledger', 'portal'] : ['pipeline', 'ledger']
var makeData = trial && empty(dataAccountId)
var makeBackup = trial && empty(backupAccountId)
var makeCosmos = trial && empty(cosmosAccountId)

// Ids and not outputs: a loop must know them before anything is made. Where neither trial nor an id says which account
// is meant, the name at the end is empty, which modules/roles-*.bicep refuse before anything is deployed.
var dataId = empty(dataAccountId) ? '${accountIds}/${makeData ? 'data${token}' : ''}' : dataAccountId
var backupId = empty(backupAccountId) ? '${accountIds}/${makeBackup ? 'backup${token}' : ''}' : backupAccountId
var cosmosIds = '${groupId}/providers/Microsoft.DocumentDB/databaseAccounts'
var cosmosId = empty(cosmosAccountId) ? '${cosmosIds}/${makeCosmos ? 'cosmos-${token}' : ''}' : cosmosAccountId

// Storage accounts by their keys in infra/data/accounts.json and roles.json; those with `make` are made here.
var governed = [
  { key: 'data', id: dataId, make: makeData }
  { key: 'backup', id: backupId, make: makeBackup }
]
var own = [for key in ['state', 'ledger', 'exports']: { key: key, id: '${accountIds}/${key}${token}', make: true }]
var hosts = [for app in apps: { key: 'host-${app}', id: '${accountIds}/h${app}${token}', make: true }]
var accounts = concat(governed, own, hosts)

// ---------------------------------------------------------------- group, identities, watching

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: groupName
  location: location
  tags: tags
}

module pipelineIdentity 'modules/identity.bicep' = {
  name: 'identity-pipeline'
  scope: group
  params: { name: 'id-pipeline-${token}', location: location, tags: tags }
}

module ledgerIdentity 'modules/identity.bicep' = {
  name: 'identity-ledger'
  scope: group
  params: { name: 'id-ledger-${token}', location: location, tags: tags }
}

module portalIdentity 'modules/identity.bicep' = if (deployPortal) {
  name: 'identity-portal'
  scope: group
  params: { name: 'id-portal-${token}', location: location, tags: tags }
}

// Who is meant by `who` in infra/data/roles.json. The type is said where Entra may not know the principal yet.
var principals = {
  pipeline: { id: pipelineIdentity.outputs.principalId, type: 'ServicePrincipal' }
  ledger: { id: ledgerIdentity.outputs.principalId, type: 'ServicePrincipal' }
  portal: { id: deployPortal ? portalIdentity!.outputs.principalId : '', type: 'ServicePrincipal' }
  deployer: { id: deployerId, type: deployerType }
  operators: { id: operatorsId, type: null }
  auditors: { id: auditorsId, type: null }
  siem: { id: siemId, type: null }
  smoke: { id: smokeId, type: null }
}

module monitor 'modules/monitor.bicep' = {
  name: 'monitor'
  scope: group
  params: { name: token, location: location, tags: tags, retentionDays: logDays, privateNetworking: privateNetworking }
}

// ---------------------------------------------------------------- stores, network, rights

module stores 'modules/stores.bicep' = {
  name: 'stores'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    accounts: accounts
    makeCosmos: makeCosmos
    cosmosDatabase: cosmosDatabase
    cosmosServerless: cosmosServerless
    cosmosMaxThroughput: cosmosMaxThroughput
    serviceBusSku: privateNetworking ? 'Premium' : serviceBusSku
    subscribed: !empty(siemId)
    purgeProtection: lockLedger
    zoneRedundant: zoneRedundant
    privateNetworking: privateNetworking
    workspaceId: monitor.outputs.workspaceId
  }
}

module private 'modules/private.bicep' = if (privateNetworking) {
  name: 'private'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    accounts: accounts
    cosmosId: cosmosId
    serviceBusId: stores.outputs.serviceBusId
    vaultId: stores.outputs.vaultId
    privateLinkScopeId: monitor.outputs.privateLinkScopeId
  }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    token: token
    accounts: accounts
    cosmosId: cosmosId
    cosmosDatabase: cosmosDatabase
    namespaceName: stores.outputs.serviceBusName
    vaultName: stores.outputs.vaultName
    insightsName: monitor.outputs.insightsName
    principals: principals
  }
  // Cosmos DB takes one change of an account at a time.
  dependsOn: [
    private
  ]
}

module worm 'modules/worm.bicep' = {
  name: 'worm'
  scope: group
  params: { accountName: 'ledger${token}', policyLocked: ledgerPolicyLocked, lock: lockLedger }
  // Last: under the lock no role assignment can be taken back, not even one that this deployment got wrong.
  dependsOn: [
    roles
  ]
}

// ---------------------------------------------------------------- apps, alerts, budget

var blobHost = 'blob.${environment().suffixes.storage}'
var endpoints = {
  data: 'https://${last(split(dataId, '/'))}.${blobHost}'
  backup: 'https://${last(split(backupId, '/'))}.${blobHost}'
  state: 'https://state${token}.${blobHost}'
  ledger: 'https://ledger${token}.${blobHost}'
}

module pipelineApp 'modules/functionapp.bicep' = {
  name: 'app-pipeline'
  scope: group
  params: {
    name: 'func-pipeline-${token}'
    location: location
    tags: tags
    service: 'pipeline'
    identityId: pipelineIdentity.outputs.id
    identityClientId: pipelineIdentity.outputs.clientId
    hostAccountName: 'hpipeline${token}'
    settings: union(retentionSettings, {
      APP_ROLE: 'pipeline'
      POLICY_FILE: 'policy.yaml'
      ServiceBus__fullyQualifiedNamespace: stores.outputs.fullyQualifiedNamespace
      BLOB_DATA__serviceUri: endpoints.data
      BLOB_BACKUP__serviceUri: endpoints.backup
      BLOB_STATE__serviceUri: endpoints.state
      BLOB_LEDGER__serviceUri: endpoints.ledger
      COSMOS_MAIN__accountEndpoint: roles.outputs.cosmosEndpoint
      COSMOS_MAIN_DATABASE: cosmosDatabase
      LEDGER_ORIGIN: ledgerOrigin
      AZURE_SUBSCRIPTION_ID: subscription().subscriptionId
    })
    insightsConnectionString: monitor.outputs.insightsConnectionString
    subnetId: privateNetworking ? private!.outputs.appsSubnetId : ''
    maximumInstances: maximumInstances
    instanceMemory: instanceMemory
    alwaysReady: alwaysReady
    zoneRedundant: zoneRedundant
  }
}

module ledgerApp 'modules/functionapp.bicep' = {
  name: 'app-ledger'
  scope: group
  params: {
    name: 'func-ledger-${token}'
    location: location
    tags: tags
    service: 'ledger'
    identityId: ledgerIdentity.outputs.id
    identityClientId: ledgerIdentity.outputs.clientId
    hostAccountName: 'hledger${token}'
    settings: {
      APP_ROLE: 'ledger'
      POLICY_FILE: 'policy.yaml'
      ServiceBus__fullyQualifiedNamespace: stores.outputs.fullyQualifiedNamespace
      BLOB_STATE__serviceUri: endpoints.state
      BLOB_LEDGER__serviceUri: endpoints.ledger
      LEDGER_ORIGIN: ledgerOrigin
      LEDGER_FORMER_KEYS: ledgerFormerKeys
      // A reference: the platform reads the secret with the app's identity, and no template or person sees it.
      LEDGER_SIGNING_SEED: '@Microsoft.KeyVault(VaultName=${stores.outputs.vaultName};SecretName=ledger-signing-seed)'
    }
    insightsConnectionString: monitor.outputs.insightsConnectionString
    subnetId: privateNetworking ? private!.outputs.appsSubnetId : ''
    maximumInstances: maximumInstances
    instanceMemory: instanceMemory
    zoneRedundant: zoneRedundant
  }
  dependsOn: [
    roles
  ]
}

module portalApp 'modules/functionapp.bicep' = if (deployPortal) {
  name: 'app-portal'
  scope: group
  params: {
    name: 'func-portal-${token}'
    location: location
    tags: tags
    service: 'portal'
    identityId: deployPortal ? portalIdentity!.outputs.id : ''
    identityClientId: deployPortal ? portalIdentity!.outputs.clientId : ''
    hostAccountName: 'hportal${token}'
    settings: {
      APP_ROLE: 'portal'
      BLOB_LEDGER__serviceUri: endpoints.ledger
      LEDGER_ORIGIN: ledgerOrigin
    }
    insightsConnectionString: monitor.outputs.insightsConnectionString
    subnetId: privateNetworking ? private!.outputs.appsSubnetId : ''
    maximumInstances: maximumInstances
    instanceMemory: instanceMemory
    zoneRedundant: zoneRedundant
  }
  dependsOn: [
    roles
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitor.outputs.workspaceId
    serviceBusId: stores.outputs.serviceBusId
    cosmosAccountId: cosmosId
    ledgerAccountId: '${accountIds}/ledger${token}'
    ledgerPrincipalId: ledgerIdentity.outputs.principalId
    pipelineAppName: pipelineApp.outputs.name
    ledgerAppName: ledgerApp.outputs.name
    alertEmail: alertEmail
    runbookUrl: runbookUrl
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: { location: location, tags: tags, workspaceId: monitor.outputs.workspaceId }
}

module budget 'modules/budget.bicep' = if (monthlyBudget > 0 && !empty(budgetStart)) {
  name: 'budget'
  scope: group
  params: { amount: monthlyBudget, startDate: budgetStart, alertEmail: alertEmail }
}

// ---------------------------------------------------------------- what azd, the hooks and the command line need

output AZURE_LOCATION string = location
output AZURE_SUBSCRIPTION_ID string = subscription().subscriptionId
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_KEY_VAULT_NAME string = stores.outputs.vaultName
output SERVICE_PIPELINE_NAME string = pipelineApp.outputs.name
output SERVICE_LEDGER_NAME string = ledgerApp.outputs.name
output SERVICE_PORTAL_NAME string = deployPortal ? portalApp!.outputs.name : ''

// For infra/hooks/lock.sh.
output LEDGER_ACCOUNT_NAME string = 'ledger${token}'
output LEDGER_IMMUTABLE_DAYS int = worm.outputs.days
output LEDGER_LOCK_WANTED bool = lockLedger

// Under the names of the settings.
output ServiceBus__fullyQualifiedNamespace string = stores.outputs.fullyQualifiedNamespace
output BLOB_DATA__serviceUri string = endpoints.data
output BLOB_BACKUP__serviceUri string = endpoints.backup
output BLOB_STATE__serviceUri string = endpoints.state
output BLOB_LEDGER__serviceUri string = endpoints.ledger
output COSMOS_MAIN__accountEndpoint string = roles.outputs.cosmosEndpoint
output COSMOS_MAIN_DATABASE string = cosmosDatabase
output LEDGER_ORIGIN string = ledgerOrigin
