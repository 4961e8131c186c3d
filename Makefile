# `make help` lists the targets. Environments are made by scripts/setup when their requirements have
# changed, from a machine with nothing but Python; a warm run costs nothing.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
# Test processes. Two cores are what CI has.
WORKERS ?= 2
# How many seeds of the simulation, and the first of them.
SEEDS ?= 1000
FROM ?= 1
# Further arguments for pytest, such as: make test PYTEST="-k campaign"
PYTEST ?=
# Further arguments for the demo and the benchmark, such as: make demo ARGS="--help"
ARGS ?=

RUNTIME := .venv/.runtime
DEV := .venv/.dev
BENCH := .venv/.bench
MUTATION := .venv/.mutation
GOOSEBIT := .venv-goosebit/.goosebit

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(RUNTIME): requirements/runtime.txt requirements/setup.txt pyproject.toml
	@scripts/setup runtime
$(DEV): requirements/dev.txt requirements/setup.txt pyproject.toml
	@scripts/setup dev
	@touch $(RUNTIME)
$(BENCH): requirements/bench.txt requirements/setup.txt pyproject.toml
	@scripts/setup bench
$(MUTATION): requirements/mutation.txt requirements/setup.txt pyproject.toml
	@scripts/setup mutation
$(GOOSEBIT): requirements/goosebit.txt requirements/setup.txt
	@scripts/setup goosebit

.PHONY: setup
setup: $(RUNTIME) ## Make .venv with overair in it (.venv/bin/overair)

.PHONY: demo
demo: $(RUNTIME) ## Run whole campaigns over 200 simulated devices, 36 sleepers and 60 in cells, then stay up
	@$(BIN)/overair demo $(ARGS)

.PHONY: tools
tools:
	@scripts/setup tools

.PHONY: test
test: $(DEV) tools ## Run every test, on SQLite and PostgreSQL
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(PYTEST)

.PHONY: test-fast
test-fast: $(DEV) ## Run the tests that take no longer than a few seconds
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m 'not slow and not swupdate' $(PYTEST)

.PHONY: lint
lint: $(DEV) ## Check style, banned calls and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: $(DEV) ## Format the code, and mend what can be mended safely
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

.PHONY: types
types: $(DEV) ## Check types (mypy --strict)
	$(BIN)/mypy

.PHONY: imports
imports: $(DEV) ## Check that imports go down, room by room
	$(BIN)/lint-imports --no-logo

.PHONY: docs
docs: $(DEV) ## Write what is made from the code: settings, state diagrams, OpenAPI
	$(BIN)/python scripts/docs.py

.PHONY: docs-check
docs-check: $(DEV)
	$(BIN)/python scripts/docs.py --check

.PHONY: openapi
openapi: $(DEV) ## Write openapi/ from the routes
	$(BIN)/python scripts/docs.py openapi/overair.json

.PHONY: bench
bench: $(BENCH) $(GOOSEBIT) ## Measure polls and updates a second, beside goosebit
	$(BIN)/python -m bench $(ARGS)

.PHONY: crash
crash: $(DEV) ## Kill servers 200 times, freeze them, fill disks, step clocks; then nothing may be lost
	CRASH_ROUNDS=$${CRASH_ROUNDS:-200} $(BIN)/pytest -s -m crash tests/crash $(PYTEST)

.PHONY: simulation
simulation: $(DEV) ## Run the whole system under seeds, on all cores: make simulation SEEDS=1000 FROM=1
	$(BIN)/overair simulation run --seeds $(SEEDS) --from $(FROM) $(ARGS)

.PHONY: mutation
mutation: $(MUTATION) ## Change the core's rules in one place at a time; the tests must notice 90 in 100
	nice -n 10 $(BIN)/python -m scripts.mutation --jobs $(WORKERS) $(ARGS)

.PHONY: fuzz
fuzz: $(DEV) ## Run the property tests long, 5000 examples each, and the decoders with inputs from new seeds
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -n $(WORKERS) -m 'not slow and not swupdate' tests/core tests/protocols tests/api tests/devices/lwm2m/test_dtls.py $(PYTEST)

.PHONY: pins
pins: $(DEV) ## Write requirements/*.txt from *.in (UPGRADE=1 for the newest versions)
	scripts/pins $(if $(UPGRADE),--upgrade)

.PHONY: ci
ci: ## Everything that must pass before a change lands, with the time each stage took
	@scripts/stages lint types imports docs-check test

.PHONY: clean
clean: ## Remove the environments and what tools leave behind
	rm -rf .venv .venv-goosebit build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache \
		.pytest_cache .hypothesis .mutation .import_linter_cache overair-demo src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
