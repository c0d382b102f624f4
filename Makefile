# One verb for each thing a developer does; CI runs the same verbs (.ci/run). `make` alone lists them.
# A second run installs nothing: the stamps below are newer than the files they depend on.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AZURITE := local/azurite
SERVERS := $(BIN)/python -m local
PORTS := $(if $(BLOB_PORT),--blob-port $(BLOB_PORT)) $(if $(COSMOS_PORT),--cosmos-port $(COSMOS_PORT)) \
         $(if $(BUS_PORT),--bus-port $(BUS_PORT)) $(if $(ADMIN_PORT),--admin-port $(ADMIN_PORT))
DATA ?= .local
ROLE ?= all
EXTRAS := cli,local,dev

.DEFAULT_GOAL := help
.PHONY: help install up down demo test lint types docs check clean
.DELETE_ON_ERROR:

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.python-stamp $(VENV)/.node-stamp $(AZURITE)/node_modules/.stamp ## install everything into .venv and local/azurite

up: install ## start the local servers and the runner (DATA=, ROLE=, BLOB_PORT=, COSMOS_PORT=, BUS_PORT=, ADMIN_PORT=)
	@$(SERVERS) up --detach --data $(DATA) --role $(ROLE) $(PORTS)

down: $(VENV)/.python-stamp ## stop them; the data stays
	@$(SERVERS) down --data $(DATA)

demo: install ## the whole main job on a small company's data (SIZE= for more)
	@$(BIN)/python -m local.demo $(if $(SIZE),--size $(SIZE))

test: install ## all tests
	$(BIN)/python -m pytest

lint: $(VENV)/.python-stamp ## ruff: rules and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.python-stamp ## mypy, strict
	$(BIN)/mypy

docs: $(VENV)/.python-stamp ## the generated parts of docs/
	@$(BIN)/python -m docs.build

check: lint types test ## what CI checks

clean: ## stop the servers; remove what was installed and the local data
	@if [ -x $(BIN)/python ]; then $(SERVERS) down --data $(DATA); fi
	rm -rf $(VENV) $(AZURITE)/node_modules $(DATA) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.python-stamp: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo 'Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is not. Install one, then: make install PYTHON=python3.13' >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo 'This Python cannot make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv).' >&2; \
	  exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
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
