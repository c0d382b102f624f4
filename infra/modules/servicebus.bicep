// Service Bus, with the queues and topics of local/entities.json: the local broker and Microsoft's emulator read the same
// file. Premium is a fixed price each hour for its capacity, Standard is nearly nothing when idle; only Premium takes
// private endpoints.

param name string
param location string
param tags object

@allowed([
  'Standard'
  'Premium'
])
param sku string

@description('Somebody receives from the topic\'s subscription.')
param subscribed bool

param privateNetworking bool
param workspaceId string

var wanted = loadJsonContent('../../local/entities.json').UserConfig.Namespaces[0]
// The longest time that Service Bus knows. A request that expired would be a promise broken in silence.
var never = 'P10675199DT2H48M5.4775807S'
// Names of queues, callers and addresses. Not the errors' log: its texts can name a session, which is the id of a person.
var logs = sku == 'Premium' ? ['OperationalLogs', 'RuntimeAuditLogs', 'VNetAndIPFilteringLogs'] : ['OperationalLogs']

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
    tier: sku
    capacity: sku == 'Premium' ? 1 : null
  }
  properties: {
    // Identities alone, each with its role on a queue or topic.
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'
  }
}

// One at a time: a namespace refuses changes of entities that come at once.
@batchSize(1)
resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for each in wanted.Queues: {
  parent: namespace
  name: each.Name
  properties: {
    lockDuration: each.Properties.LockDuration
    // Then the dead-letter queue, which the app reads too: it is parked, audited and alarmed.
    maxDeliveryCount: each.Properties.MaxDeliveryCount
    requiresDuplicateDetection: each.Properties.RequiresDuplicateDetection
    duplicateDetectionHistoryTimeWindow: each.Properties.DuplicateDetectionHistoryTimeWindow
    requiresSession: each.Properties.RequiresSession
    defaultMessageTimeToLive: never
    // A sender can give a message an end of its own: even then it is not lost, it is parked.
    deadLetteringOnMessageExpiration: true
    autoDeleteOnIdle: never
    maxSizeInMegabytes: 5120
    enablePartitioning: false
  }
}]

@batchSize(1)
module topic 'topic.bicep' = [for each in wanted.Topics: {
  name: 'topic-${each.Name}'
  params: {
    namespaceName: namespace.name
    topic: each
    subscribed: subscribed
    never: never
  }
  dependsOn: [
    queue
  ]
}]

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: namespace
  name: 'workspace'
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [for category in logs: {
      category: category
      enabled: true
    }]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

output name string = namespace.name
output id string = namespace.id
output fullyQualifiedNamespace string = split(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':')[0]
