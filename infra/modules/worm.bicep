// The log's container can be added to and never altered: not by the ledger, not by an owner of the subscription once the
// policy is locked. Head, staging, latest checkpoint and cursor change with each round, so container audit-state stays free.

param accountName string

@description('The policy of audit-log is locked by now, so that it can only be made longer, and it is left alone here.')
param policyLocked bool

@description('A lock against deletion of the account, as for production.')
param lock bool

// As old as the youngest of a year's log is when policy row audit-log drops it (infra/build.py). More would keep the log
// beyond its own promise, less would let its end be altered before.
var days = loadJsonContent('../data/log.json').immutableDays

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: accountName
}

resource service 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' existing = {
  parent: account
  name: 'default'
}

resource log 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = {
  parent: service
  name: 'audit-log'
}

// A template can make and change an unlocked policy. Locking is an action of its own, done by infra/hooks/lock.sh where
// lockLedger asks for it; a locked policy refuses what is written here, even the same days: then policyLocked.
resource policy 'Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies@2025-01-01' = if (!policyLocked) {
  parent: log
  name: 'default'
  properties: {
    immutabilityPeriodSinceCreationInDays: days
    // Tiles and checkpoints are whole when they are created; nothing is appended to.
    allowProtectedAppendWrites: false
    allowProtectedAppendWritesAll: false
  }
}

resource deletion 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  scope: account
  name: 'ledger'
  properties: {
    level: 'CanNotDelete'
    notes: 'The audit log. Whoever wants to delete this takes the lock off first, which the activity log shows.'
  }
}

output days int = days
