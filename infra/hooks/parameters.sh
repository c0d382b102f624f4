#!/bin/sh
# Before azd reads them: the parameters of this deployment, from the stage's file. infra/parameters.py says how.
set -eu
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python3}" infra/parameters.py --azd
