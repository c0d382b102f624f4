#!/bin/sh
# After provisioning: makes the log's signing seed where the vault has none, and says its public key, to be published.
#
# The seed is 32 random bytes in base64. It is in a file of its own until the vault has it, and nowhere else: not in a
# variable, an argument, a log. Whoever deploys may set it and see that there is one, not read it. A seed that is there
# stays: this never writes over one. What a failure leaves: before the set nothing; after it a seed whose key was said.
set -eu
umask 077
cd "$(dirname "$0")/../.."

SECRET=ledger-signing-seed
RETENTION=${RETENTION:-.venv/bin/retention}
TRIES=${SEED_TRIES:-20}
WAIT=${SEED_WAIT:-15}

fail() {
  echo "seed: $1" >&2
  exit 1
}

for name in AZURE_KEY_VAULT_NAME AZURE_SUBSCRIPTION_ID AZURE_RESOURCE_GROUP SERVICE_LEDGER_NAME LEDGER_ORIGIN; do
  eval "value=\${$name:-}"
  [ -n "$value" ] || fail "$name is not set: it is an output of infra/main.bicep"
done
if [ ! -x "$RETENTION" ]; then
  make --silent .venv/.python-stamp >&2 || fail "the command line could not be installed"
fi

# A role assignment takes minutes to work: an answer that failed says nothing about what is in the vault.
tried=1
until names=$(az keyvault secret list --vault-name "$AZURE_KEY_VAULT_NAME" --query '[].name' --output tsv); do
  [ "$tried" -lt "$TRIES" ] || fail "the vault gave no list of its secrets (where its network is closed, run this inside)"
  tried=$((tried + 1))
  sleep "$WAIT"
done
if printf '%s\n' "$names" | tr -d '\r' | grep -qx "$SECRET"; then
  echo "seed: the vault has one, which stays"
  if [ -n "${GITHUB_ENV:-}" ] && [ -z "${LEDGER_VERIFIER_KEY:-}" ]; then
    echo "seed: set the GitHub environment's variable LEDGER_VERIFIER_KEY, or the smoke test has no key to check the log"
    echo "with: the key of this log that you published. The summary of the run that made the seed says it."
  fi
  exit 0
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
dd if=/dev/urandom bs=32 count=1 2>/dev/null | base64 | tr -d '\n' >"$folder/seed"
key=$("$RETENTION" audit key --origin "$LEDGER_ORIGIN" <"$folder/seed") || fail "no public key: nothing was set"

az keyvault secret set --vault-name "$AZURE_KEY_VAULT_NAME" --name "$SECRET" --file "$folder/seed" --encoding utf-8 \
  --output none || fail "the vault did not take the seed; if a deleted one has its name, recover that one"
rm -f "$folder/seed"

echo "seed: made. Publish this key of the log, where an auditor finds it without asking you:"
echo "$key"
if [ -n "${AZURE_ENV_NAME:-}" ] && command -v azd >/dev/null; then
  azd env set LEDGER_VERIFIER_KEY "$key" || echo "seed: keep the key yourself: azd did not" >&2
fi
if [ -n "${GITHUB_ENV:-}" ]; then  # for the smoke test of this run; no other run knows it
  printf 'LEDGER_VERIFIER_KEY=%s\n' "$key" >>"$GITHUB_ENV"
  echo "Before the next run, set the GitHub environment's variable LEDGER_VERIFIER_KEY to it."
  [ -z "${LEDGER_VERIFIER_KEY:-}" ] ||
    echo "It holds another key by now, of another seed: add this one to it, or the smoke test finds the log not sound."
fi
versions=$(az keyvault secret list-versions --vault-name "$AZURE_KEY_VAULT_NAME" --name "$SECRET" --query 'length(@)' \
  --output tsv | tr -d '\r')
[ "$versions" = 1 ] || fail "the vault has ${versions:-unknown} versions of it, not 1: another run made one too (docs/operate.md)"

# The app settings name the secret. The platform remembers for a day that there was none: it is told to look again, and
# the app to start again.
refresh="/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/$AZURE_RESOURCE_GROUP/providers/Microsoft.Web/sites"
refresh="$refresh/$SERVICE_LEDGER_NAME/config/configreferences/appsettings/refresh?api-version=2022-03-01"
az rest --method post --url "$refresh" --output none || fail "have the seed looked up: az rest --method post --url \"$refresh\""
az functionapp restart --name "$SERVICE_LEDGER_NAME" --resource-group "$AZURE_RESOURCE_GROUP" --output none ||
  fail "restart it: az functionapp restart --name $SERVICE_LEDGER_NAME --resource-group $AZURE_RESOURCE_GROUP"
