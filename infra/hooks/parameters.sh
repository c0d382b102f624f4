#!/bin/sh
# Before azd reads them: the parameters of this deployment, from the stage's file. infra/parameters.py says how.
set -eu
cd "$(dirname "$0")/../.."

# A budget's first month can never be changed, so it is chosen once, and kept with the environment.
if [ -z "${BUDGET_START:-}" ] && command -v azd >/dev/null; then
  BUDGET_START=$(date -u +%Y-%m-01)
  export BUDGET_START
  azd env set BUDGET_START "$BUDGET_START"
fi
exec "${PYTHON:-python3}" infra/parameters.py --azd
