# One verb for each thing a developer does; CI runs the same verbs (.ci/run). `make` alone lists them.
# A second run installs nothing: the stamps below are newer than the files they depend on.

PYTHON ?= python3
VENV := .venv
INFRA := .venv-infra
BIN := $(VENV)/bin
RELEASE := .venv-release
PEERS := .venv-peers
AZURITE := local/azurite
SERVERS := $(BIN)/python -m local
PORTS := $(if $(BLOB_PORT),--blob-port $(BLOB_PORT)) $(if $(COSMOS_PORT),--cosmos-port $(COSMOS_PORT)) \
         $(if $(BUS_PORT),--bus-port $(BUS_PORT)) $(if $(ADMIN_PORT),--admin-port $(ADMIN_PORT))
DATA ?= .local
ROLE ?= all
EXTRAS := cli,local,dev

.DEFAULT_GOAL := help
.PHONY: help install up down demo test faults lint types docs check infra smoke lock-log lock package sbom audit parameters bench bench-peers clean
.DELETE_ON_ERROR:

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.python-stamp $(VENV)/.node-stamp $(AZURITE)/node_modules/.stamp ## install everything into .venv and local/azurite

up: install ## start the local servers and the runner (DATA=, ROLE=, BLOB_PORT=, COSMOS_PORT=, BUS_PORT=, ADMIN_PORT=)
	@$(SERVERS) up --detach --data $(DATA) --role $(ROLE) $(PORTS)

down: $(VENV)/.python-stamp ## stop them; the data stays
	@$(SERVERS) down --data $(DATA)

demo: install ## the whole main job on a small company's data (SIZE= for more)
	@$(BIN)/python -m local.demo $(if $(SIZE),--size $(SIZE))

test: install ## all tests, a file at a time on each core
	$(BIN)/python -m pytest -n auto --dist loadfile

faults: install ## what fails, at length: faults, protocol, fuzz; then 210 processes killed (RETENTION_KILLS=, RETENTION_KILL_SEED=)
	RETENTION_FAULTS=long $(BIN)/python -m pytest --timeout 1800 -n auto --dist loadfile tests/faults tests/protocol \
	  tests/fuzz tests/contract/test_contract_suites_elsewhere.py
	RETENTION_FAULTS=long $(BIN)/python -m pytest -s tests/kills

lint: $(VENV)/.python-stamp ## ruff: rules and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.python-stamp ## mypy, strict
	$(BIN)/mypy

infra: $(INFRA)/.stamp ## the Bicep files: syntax, checkov, and the compiler where it is at hand
	@$(INFRA)/bin/python infra/check.py

docs: $(VENV)/.python-stamp ## the generated parts of docs/
	@$(BIN)/python -m docs.build

check: lint types infra test ## what CI checks

# The settings of a deployment by azd, but where RETENTION_SETTINGS names a file. No secret is among them.
smoke: $(VENV)/.python-stamp ## test a deployment with a synthetic person (RETENTION_SETTINGS=, else azd's; OPTIONS=--no-person)
	@if [ -z "$$RETENTION_SETTINGS" ]; then \
	  command -v azd >/dev/null || { \
	    echo 'No azd here, which knows the deployment: set RETENTION_SETTINGS to a settings file, or install azd.' >&2; \
	    exit 1; }; \
	  mkdir -p $(DATA) && azd env get-values --output json > $(DATA)/deployed.json || exit; \
	  export RETENTION_SETTINGS=$(DATA)/deployed.json; \
	fi; $(BIN)/retention smoke $(OPTIONS)

# For good, and so by hand, after a green smoke test: the workflow does it then too.
lock-log: ## lock the immutability of the log where lockLedger asks for it (azd's values)
	@set -a; values=$$(azd env get-values) && eval "$$values" && infra/hooks/lock.sh

# What is deployed is locked with its hashes; the tools that make a release are in an environment of their own.
lock: $(RELEASE)/.stamp ## requirements.lock from requirements.txt (UPGRADE=1: the newest of everything)
	@$(RELEASE)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) \
	  --output-file requirements.lock requirements.txt

package: $(RELEASE)/.stamp ## what is deployed, from the lock: .dist/app, and the same as .dist/retention.zip
	@$(RELEASE)/bin/python -m infra.package

sbom: package ## the package's bill of materials: .dist/sbom.cdx.json (CycloneDX)
	@$(RELEASE)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-format JSON \
	  --output-file .dist/sbom.cdx.json .dist/requirements.txt

audit: package ## look up known vulnerabilities of what is in the package
	@$(RELEASE)/bin/pip-audit --strict --disable-pip --require-hashes --requirement .dist/requirements.txt

parameters: ## infra/main.parameters.json for one deployment (RETENTION_STAGE=dev|prod; see infra/parameters.py)
	@$(PYTHON) infra/parameters.py

# 20 to 30 minutes, on a machine that does nothing else: the figures are worth as much as its quiet.
bench: install ## measure, and write docs/performance.md (NAMES= of bench/, OPTIONS=--quick|--strict)
	@$(BIN)/python -m bench $(NAMES) $(OPTIONS)

# The vendor's command line, to compare with: apart, because it brings a few hundred packages.
bench-peers: $(PEERS)/.stamp ## install what the bench compares with, into .venv-peers

clean: ## stop the servers; remove what was installed and the local data
	@if [ -x $(BIN)/python ]; then $(SERVERS) down --data $(DATA); fi
	rm -rf $(VENV) $(INFRA) $(RELEASE) $(PEERS) .dist $(AZURITE)/node_modules $(DATA) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.python-stamp: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo 'Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is not. Install one, then: make install PYTHON=python3.13' >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo 'This Python cannot make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv).' >&2; \
	  exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

$(RELEASE)/.stamp: infra/release-requirements.txt
	@$(PYTHON) -m venv $(RELEASE)
	@$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check --requirement infra/release-requirements.txt
	@touch $@

$(PEERS)/.stamp: bench/peers-requirements.txt
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement bench/peers-requirements.txt
	@touch $@

# The tools of `make infra` have a virtual environment of their own: checkov pins many packages.
$(INFRA)/.stamp: infra/requirements.txt
	@$(PYTHON) -m venv $(INFRA)
	$(INFRA)/bin/python -m pip install --quiet --disable-pip-version-check --requirement infra/requirements.txt
	@touch $@

# Azurite wants Node 20 or later: the machine's, else one from PyPI inside .venv.
$(VENV)/.node-stamp: | $(VENV)/.python-stamp
	@if command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null; \
	then echo "Node: the machine's, $$(node --version)"; \
	else \
	  echo 'Node: none of version 20 or later with npm here; installing one into $(VENV)'; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS),node]'; \
	fi
	@touch $@

$(AZURITE)/node_modules/.stamp: $(AZURITE)/package-lock.json $(AZURITE)/.npmrc | $(VENV)/.node-stamp
	cd $(AZURITE) && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --loglevel=error
	@touch $@
