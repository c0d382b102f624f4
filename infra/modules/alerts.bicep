// Every alert is a row of infra/data/alerts.json; docs/operate.md has the section that each names. Made here: one rule for
// each row, and the action group that mails. Azure Monitor evaluates them, so what is silent is seen from outside.

param location string
param tags object
param workspaceId string
param serviceBusId string
param cosmosAccountId string
param ledgerAccountId string

@description('Object id of the ledger\'s identity: alone it may read the seed, and write in the log\'s containers.')
param ledgerPrincipalId string

param pipelineAppName string
param ledgerAppName string

@description('Who gets the mail; \'\': nobody, alerts then show in Azure Monitor alone.')
param alertEmail string

@description('Address or path of the runbook; each alert\'s text ends with it and the section\'s anchor.')
param runbookUrl string = 'docs/operate.md'

var alerts = loadJsonContent('../data/alerts.json')
var resources = {
  serviceBus: serviceBusId
  cosmos: cosmosAccountId
  ledgerAccount: ledgerAccountId
  group: resourceGroup().id
}

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-retention'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'retention'
    enabled: true
    emailReceivers: empty(alertEmail) ? [] : [
      {
        name: 'operators'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource queries 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for alert in alerts.queries: {
  name: 'retention-${alert.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: alert.title
    description: '${alert.text} ${runbookUrl}#${alert.anchor}'
    severity: alert.severity
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    criteria: {
      allOf: [
        {
          query: replace(replace(replace(replace(join(alert.query, '\n'), '{pipelineApp}', pipelineAppName), '{ledgerApp}', ledgerAppName), '{ledgerIdentity}', ledgerPrincipalId), '{ledgerAccountId}', ledgerAccountId)
          timeAggregation: 'Maximum'
          metricMeasureColumn: 'Value'
          dimensions: alert.dimensions
          operator: alert.operator
          threshold: alert.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: alert.resolves
    // A table that has no rows yet is no reason to refuse the rule: the first deployment comes before the first row.
    skipQueryValidation: true
    actions: {
      actionGroups: [
        group.id
      ]
      customProperties: {
        runbook: '${runbookUrl}#${alert.anchor}'
      }
    }
  }
}]

resource metrics 'Microsoft.Insights/metricAlerts@2018-03-01' = [for alert in alerts.metrics: {
  name: 'retention-${alert.name}'
  location: 'global'
  tags: tags
  properties: {
    description: '${alert.title}. ${alert.text} ${runbookUrl}#${alert.anchor}'
    severity: alert.severity
    enabled: true
    scopes: [
      resources[alert.resource]
    ]
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: alert.name
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: alert.namespace
          metricName: alert.metric
          timeAggregation: alert.aggregation
          dimensions: alert.dimensions
          operator: alert.operator
          threshold: alert.threshold
        }
      ]
    }
    autoMitigate: true
    actions: [
      {
        actionGroupId: group.id
      }
    ]
  }
}]

resource activities 'Microsoft.Insights/activityLogAlerts@2020-10-01' = [for alert in alerts.activities: {
  name: 'retention-${alert.name}'
  location: 'global'
  tags: tags
  properties: {
    description: '${alert.title}. ${alert.text} ${runbookUrl}#${alert.anchor}'
    enabled: true
    scopes: [
      resources[alert.resource]
    ]
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'Administrative'
        }
        {
          anyOf: alert.operations
        }
      ]
    }
    actions: {
      actionGroups: [
        {
          actionGroupId: group.id
        }
      ]
    }
  }
}]
