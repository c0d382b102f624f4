// Who may send to and receive from each queue, topic and subscription: list `bus` of infra/data/roles.json.

param namespaceName string

@description('The topic that rows with `subscription` belong to.')
param topicName string

param rows array
param definitions object

@description('By `who`: id and type of the principal; an empty id: nobody.')
param principals object

param roleSeed string

// One who has two parts, as one person has in a trial, gets an assignment once: Azure refuses a second.
var keys = [for row in rows: '${row.?queue ?? ''}/${row.?topic ?? ''}/${row.?subscription ?? ''} ${row.role} ${principals[row.who].id}']

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [for row in rows: {
  parent: namespace
  name: row.?queue ?? 'none'
}]

resource topics 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = [for row in rows: {
  parent: namespace
  name: row.?topic ?? 'none'
}]

resource topic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = {
  parent: namespace
  name: topicName
}

resource subscriptions 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' existing = [for row in rows: {
  parent: topic
  name: row.?subscription ?? 'none'
}]

resource onQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in rows: if (contains(row, 'queue') && !empty(principals[row.who].id) && indexOf(keys, keys[i]) == i) {
  scope: queues[i]
  name: guid(queues[i].id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]

resource onTopic 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in rows: if (contains(row, 'topic') && !empty(principals[row.who].id) && indexOf(keys, keys[i]) == i) {
  scope: topics[i]
  name: guid(topics[i].id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]

resource onSubscription 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in rows: if (contains(row, 'subscription') && !empty(principals[row.who].id) && indexOf(keys, keys[i]) == i) {
  scope: subscriptions[i]
  name: guid(subscriptions[i].id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]
