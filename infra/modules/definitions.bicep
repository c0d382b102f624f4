// The roles of our own, where no built-in one is narrow enough: infra/data/roles.json says what each may do. They can be
// assigned in the resource groups that hold the accounts, and nowhere else.

@description('Object `definitions` of infra/data/roles.json; those with `builtIn` are Azure\'s own.')
param definitions object

@description('Ids of the resource groups in which they are assigned.')
param assignableScopes array

@description('What makes the roles\' ids and names those of this deployment: both are one tenant\'s.')
param roleSeed string

resource definition 'Microsoft.Authorization/roleDefinitions@2022-04-01' = [for item in items(definitions): if (!contains(item.value, 'builtIn')) {
  name: guid(roleSeed, item.key)
  properties: {
    roleName: '${item.value.name} ${roleSeed}'
    description: item.value.says
    type: 'CustomRole'
    permissions: [
      {
        actions: item.value.?actions ?? []
        notActions: []
        dataActions: item.value.?dataActions ?? []
        notDataActions: []
      }
    ]
    assignableScopes: assignableScopes
  }
}]
