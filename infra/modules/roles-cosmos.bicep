// Who may do what in Cosmos DB: its own data roles by container (lists `cosmosDefinitions` and `cosmos` of
// infra/data/roles.json), and who may read the account's settings (list `settings`).

@description('The account\'s name. Empty: neither trial makes it nor is an id given.')
@minLength(3)
param accountName string

param database string

@description('Lists `cosmos` and `settings` of infra/data/roles.json.')
param rows array
param settingsRows array

param definitions object
param cosmosDefinitions object

@description('By `who`: id and type of the principal; an empty id: nobody.')
param principals object

param roleSeed string

// Rows of those who are there. Lists and not conditions on each resource: what a condition leaves out has a name too, and
// names must differ. One who has two parts, as one person has in a trial, gets an assignment once: Azure refuses a second.
var all = filter(rows, row => !empty(principals[row.who].id))
var once = filter(all, row => first(filter(all, other => other.container == row.container && other.role == row.role && principals[other.who].id == principals[row.who].id)) == row)
var settingsAll = filter(settingsRows, row => row.account == 'cosmos' && !empty(principals[row.who].id))
var settingsOnce = filter(settingsAll, row => first(filter(settingsAll, other => other.role == row.role && principals[other.who].id == principals[row.who].id)) == row)

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: accountName
}

// One at a time: the account refuses changes that come at once.
@batchSize(1)
resource definition 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2025-04-15' = [for item in items(cosmosDefinitions): {
  parent: account
  name: guid(account.id, roleSeed, item.key)
  properties: {
    roleName: '${item.value.name} ${roleSeed}'
    type: 'CustomRole'
    assignableScopes: [
      account.id
    ]
    permissions: [
      {
        dataActions: item.value.dataActions
      }
    ]
  }
}]

@batchSize(1)
resource onContainer 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = [for row in once: {
  parent: account
  name: guid(account.id, database, row.container, row.role, principals[row.who].id)
  properties: {
    principalId: principals[row.who].id
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${guid(account.id, roleSeed, row.role)}'
    scope: empty(row.container) ? account.id : '${account.id}/dbs/${database}/colls/${row.container}'
  }
  dependsOn: [
    definition
  ]
}]

resource onAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for row in settingsOnce: {
  scope: account
  name: guid(account.id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].?type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]

output endpoint string = account.properties.documentEndpoint
