# Every command sets up what it needs: the virtual environment from the lock file with hashes, and for tests and the
# fleet the Debian packages of RabbitMQ and PostgreSQL. `make run` needs no package beyond python3-venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --require-hashes
SERVERS := rabbitmq-server postgresql
# Arguments for pytest, like: make test T="services/devices -k range"
T ?=

.DEFAULT_GOAL := help
.PHONY: help run fleet test faults lint format bench audit migrate reference lock clean servers bench-tools test-tools

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

run: $(VENV)/runtime ## Run everything in one process with a demo world, on http://127.0.0.1:8000 (data in .data)
	@$(BIN)/python -m deploy.run

fleet: $(VENV)/runtime servers ## Run one process per service, two of licensing, on private RabbitMQ and PostgreSQL nodes
	@$(BIN)/python -m deploy.fleet

test: $(VENV)/dev servers test-tools ## Run all tests on private nodes, on several workers; T="path -k words" runs some in one
	@$(BIN)/python -m $(if $(T),pytest $(T),tests.workers)

faults: $(VENV)/dev servers test-tools ## Run the tests that take long: many more examples, real times
	@$(BIN)/python -m pytest -m long $(T)

lint: $(VENV)/dev ## Check style, types and the import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Run make format."; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/dev ## Lay out the code as lint wants it
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/dev servers bench-tools ## Measure against our own yardsticks and write docs/reference/performance.md
	@$(BIN)/python -m tests.bench

audit: $(VENV)/runtime ## Re-add the ledger and check balances, hash chains and stored files of the data in .data
	@$(BIN)/python -m deploy.audit

migrate: $(VENV)/runtime ## Bring the databases of all services to this version
	@$(BIN)/python -m deploy.migrate

reference: $(VENV)/dev ## Write anew what follows from declarations: pages of docs/reference, codes in the OpenAPI document
	@$(BIN)/python -m deploy.reference

lock: $(VENV)/dev ## Resolve the lock files anew from pyproject.toml; U="-U" takes the newest versions
	@CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile $(U) $(LOCK_OPTIONS) -o requirements.lock pyproject.toml
	@CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile $(U) $(LOCK_OPTIONS) --extra dev -o requirements-dev.lock pyproject.toml

clean: ## Remove the virtual environment and caches; data in .data stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tessera.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# No address of a package index belongs in a committed file: everyone uses the one pip is set up with.
LOCK_OPTIONS := --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Tessera needs Python 3.11 or newer; name one: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Install python3-venv and try again."; rm -rf $(VENV); exit 1; }

$(VENV)/runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing what Tessera needs into $(VENV) ..."
	@$(PIP) -r requirements.lock
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: requirements-dev.lock $(VENV)/runtime
	@echo "Installing what its tests need into $(VENV) ..."
	@$(PIP) -r requirements-dev.lock
	@touch $@

servers:
	@deploy/bare/install-debian-packages $(SERVERS)

bench-tools:
	@deploy/bare/install-debian-packages wrk

# The tutorial's commands, which a test runs; and redocly, which looks at the OpenAPI document, from its lock file.
test-tools: tests/openapi/node_modules/.package-lock.json
	@deploy/bare/install-debian-packages curl jq

tests/openapi/node_modules/.package-lock.json: tests/openapi/package-lock.json
	@command -v npm >/dev/null || deploy/bare/install-debian-packages nodejs npm
	@cd tests/openapi && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
