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

// One who has two parts, as one person has in a trial, gets an assignment once: Azure refuses a second.
var containerKeys = [for row in containerRows: '${row.account}/${row.container} ${row.role} ${principals[row.who].id}']
var accountKeys = [for row in accountRows: '${row.account} ${row.role} ${principals[row.who].id}']

resource store 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: accountName
}

resource service 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' existing = {
  parent: store
  name: 'default'
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = [for row in containerRows: {
  parent: service
  name: row.container
}]

resource onContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in containerRows: if (row.account == account && !empty(principals[row.who].id) && indexOf(containerKeys, containerKeys[i]) == i) {
  scope: containers[i]
  name: guid(containers[i].id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]

resource onAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in accountRows: if (row.account == account && !empty(principals[row.who].id) && indexOf(accountKeys, accountKeys[i]) == i) {
  scope: store
  name: guid(store.id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]
