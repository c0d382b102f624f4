// One topic of local/entities.json and its subscriptions.

param namespaceName string

@description('A row of Topics in local/entities.json.')
param topic object

@description('Somebody receives. A subscription that nobody reads fills the topic, until the log cannot be published.')
param subscribed bool

@description('The time after which nothing expires.')
param never string

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource made 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' = {
  parent: namespace
  name: topic.Name
  properties: {
    // The log publishes at least once, each event with its index: subscribers tell a repeat by it.
    requiresDuplicateDetection: topic.Properties.RequiresDuplicateDetection
    defaultMessageTimeToLive: never
    autoDeleteOnIdle: never
    maxSizeInMegabytes: 5120
    enablePartitioning: false
    supportOrdering: true
  }
}

@batchSize(1)
resource subscription 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' = [for each in topic.Subscriptions: if (subscribed) {
  parent: made
  name: each.Name
  properties: {
    lockDuration: each.Properties.LockDuration
    maxDeliveryCount: each.Properties.MaxDeliveryCount
    requiresSession: each.Properties.RequiresSession
    defaultMessageTimeToLive: never
    deadLetteringOnMessageExpiration: true
    deadLetteringOnFilterEvaluationExceptions: true
    autoDeleteOnIdle: never
  }
}]
