#!/bin/sh
# `make lock-log`, after a green smoke test, or the end of the workflow: locks the immutability of the log where the
# parameter lockLedger asks for it. Nobody can undo this, Microsoft neither: until its days are over, no tile goes and the
# account that holds one stays.
#
# A locked policy takes no template any more, not even the same days: the parameter ledgerPolicyLocked must be true from
# then on. What a failure leaves: a policy that is locked, or not; run this again.
set -eu

fail() {
  echo "lock: $1" >&2
  exit 1
}

[ "${LEDGER_LOCK_WANTED:-}" = true ] || [ "${LEDGER_LOCK_WANTED:-}" = True ] || exit 0
for name in AZURE_RESOURCE_GROUP LEDGER_ACCOUNT_NAME LEDGER_IMMUTABLE_DAYS; do
  eval "value=\${$name:-}"
  [ -n "$value" ] || fail "$name is not set: it is an output of infra/main.bicep"
done

policy() {
  az storage container immutability-policy show --account-name "$LEDGER_ACCOUNT_NAME" --container-name audit-log \
    --resource-group "$AZURE_RESOURCE_GROUP" --query "$1" --output tsv | tr -d '\r"'
}

state=$(policy state)
days=$(policy immutabilityPeriodSinceCreationInDays)
[ "$days" = "$LEDGER_IMMUTABLE_DAYS" ] || fail "the policy has ${days:-no} days, not $LEDGER_IMMUTABLE_DAYS: nothing was locked"
case $state in
  Unlocked)
    az storage container immutability-policy lock --account-name "$LEDGER_ACCOUNT_NAME" --container-name audit-log \
      --resource-group "$AZURE_RESOURCE_GROUP" --if-match "$(policy etag)" --output none || fail "it was not locked"
    echo "lock: audit-log is immutable for $days days from each blob's creation, for good"
    ;;
  Locked) echo "lock: audit-log is locked already" ;;
  *) fail "the policy's state is ${state:-unknown}" ;;
esac
if [ -n "${AZURE_ENV_NAME:-}" ] && command -v azd >/dev/null; then
  azd env set LEDGER_POLICY_LOCKED true
else
  echo "lock: set the variable LEDGER_POLICY_LOCKED to true before provisioning again"
fi
