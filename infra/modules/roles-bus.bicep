// Who may send to and receive from each queue, topic and subscription: list `bus` of infra/data/roles.json.

param namespaceName string

@description('The topic that rows with `subscription` belong to.')
param topicName string

param rows array
param definitions object

@description('By `who`: id and type of the principal; an empty id: nobody.')
param principals object

param roleSeed string

// Rows of those who are there. Lists and not conditions on each resource: what a condition leaves out has a name too, and
// names must differ. One who has two parts, as one person has in a trial, gets an assignment once: Azure refuses a second.
var all = filter(rows, row => !empty(principals[row.who].id))
var once = filter(all, row => first(filter(all, other => other.?queue == row.?queue && other.?topic == row.?topic && other.?subscription == row.?subscription && other.role == row.role && principals[other.who].id == principals[row.who].id)) == row)
var queueRows = filter(once, row => contains(row, 'queue'))
var topicRows = filter(once, row => contains(row, 'topic'))
var subscriptionRows = filter(once, row => contains(row, 'subscription'))

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [for row in queueRows: {
  parent: namespace
  name: row.queue
}]

resource topics 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = [for row in topicRows: {
  parent: namespace
  name: row.topic
}]

resource topic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = {
  parent: namespace
  name: topicName
}

resource subscriptions 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' existing = [for row in subscriptionRows: {
  parent: topic
  name: row.subscription
}]

resource onQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in queueRows: {
  scope: queues[i]
  name: guid(queues[i].id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].?type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]

resource onTopic 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in topicRows: {
  scope: topics[i]
  name: guid(topics[i].id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].?type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]

resource onSubscription 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (row, i) in subscriptionRows: {
  scope: subscriptions[i]
  name: guid(subscriptions[i].id, principals[row.who].id, row.role)
  properties: {
    principalId: principals[row.who].id
    principalType: principals[row.who].?type
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', definitions[row.role].?builtIn ?? guid(roleSeed, row.role))
    description: row.why
  }
}]
