// Who may send telemetry: list `telemetry` of infra/data/roles.json.

param insightsName string
param rows array
param definitions object

@description('By `who`: id and type of the principal; an empty id: nobody.')
param principals object

param roleSeed string

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource onInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for row in rows: if (!empty(principals[row.who].id)) {
  scope: insights
  name: guid(insights.id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].?type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]
