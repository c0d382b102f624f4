// A monthly budget on the resource group. It warns; it stops nothing: a pipeline that stops keeps data too long.

targetScope = 'resourceGroup'

@description('In the currency of the subscription\'s bill; above 0.')
param amount int

@description('The first day of a month, as in 2026-01-01. Azure takes none that is long past.')
param startDate string

@description('Who gets the mail; \'\': the owners of the subscription and the group.')
param alertEmail string

var emails = empty(alertEmail) ? [] : [alertEmail]
var roles = empty(alertEmail) ? ['Owner'] : []

resource budget 'Microsoft.Consumption/budgets@2023-11-01' = {
  name: 'retention-monthly'
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: {
      startDate: startDate
    }
    notifications: {
      actual80: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: emails
        contactRoles: roles
      }
      actual100: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 100
        thresholdType: 'Actual'
        contactEmails: emails
        contactRoles: roles
      }
      forecast120: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 120
        thresholdType: 'Forecasted'
        contactEmails: emails
        contactRoles: roles
      }
    }
  }
}
