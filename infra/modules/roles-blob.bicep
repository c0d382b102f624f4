// Who may do what on one storage account: the rows of infra/data/roles.json that name it, and no other.

@description('The account\'s key in infra/data/roles.json: data, backup, state, ledger, exports, host-<role>.')
param account string

@description('Its name on Azure. Empty: neither trial makes it nor is an id given.')
@minLength(3)
param accountName string

@description('List `blob` of infra/data/roles.json: roles on a container.')
param containerRows array

@description('Lists `host` and `settings`: roles on an account.')
param accountRows array

param definitions object

@description('By `who`: id and type of the principal; an empty id: nobody.')
param principals object

param roleSeed string

// This account's rows, of those who are there. Lists and not conditions on each resource: what a condition leaves out has
// a name too, and names must differ. One who has two parts, as one person has in a trial, gets an assignment once: Azure
// refuses a second.
var containerAll = filter(containerRows, row => row.account == account && !empty(principals[row.who].id))
var containerOnce = filter(containerAll, row => first(filter(containerAll, other => other.container == row.container && other.role == row.role && principals[other.who].id == principals[row.who].id)) == row)
var accountAll = filter(accountRows, row => row.account == account && !empty(principals[row.who].id))
var accountOnce = filter(accountAll, row => first(filter(accountAll, other => other.role == row.role && principals[other.who].id == principals[row.who].id)) == row)

resource store 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: accountName
}

resource service 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' existing = {
  parent: store
  name: 'default'
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = [for row in containerOnce: {
  parent: service
  name: row.container
}]

resource onContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in containerOnce: {
  scope: containers[i]
  name: guid(containers[i].id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].?type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]

resource onAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for row in accountOnce: {
  scope: store
  name: guid(store.id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].?type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]
