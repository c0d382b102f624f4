// Who may read and who may set the seed: list `vault` of infra/data/roles.json. The seed is the vault's only secret.

param vaultName string
param rows array
param definitions object

@description('By `who`: id and type of the principal; an empty id: nobody.')
param principals object

param roleSeed string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource onVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for row in rows: if (!empty(principals[row.who].id)) {
  scope: vault
  name: guid(vault.id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].?type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]
