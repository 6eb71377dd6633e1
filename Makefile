VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or newer: install that, or say where it is with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "$(PYTHON) cannot make virtual environments: install the Debian package python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Two sizes of one environment: what it takes to run, and what it takes to work on it.
$(VENV)/.run $(VENV)/.dev: $(VENV)/.%: requirements/%.txt pyproject.toml | $(BIN)/pip
	@echo "installing $< into $(VENV), which takes a minute or two"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: $(if $(wildcard $(VENV)/.dev),$(VENV)/.dev,$(VENV)/.run) ## watch 12 simulated engines wear out; DEMO_SECONDS=30 ends by itself
	@$(BIN)/spoolwatch-simulate fleet $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

.PHONY: check
check: $(VENV)/.dev ## format, lint, types, import rules, security
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive shared edge_agent aggregator simulators models
	$(BIN)/python requirements/audit.py

# Tests start programs by the hundred; each would compile all of its modules anew.
unexport PYTHONDONTWRITEBYTECODE

# In memory, where there is enough of it, no test waits for a disk: a quarter of the time of those that write to a store.
# What is said of power cuts does not depend on it: these are played from a record of what was synced.
SHM_MB := $(shell df --output=avail --block-size=1M /dev/shm 2>/dev/null | tail -1)
ifeq ($(shell test 0$(SHM_MB) -ge 4096 && echo enough),enough)
test: export PYTEST_DEBUG_TEMPROOT ?= /dev/shm
endif

# Three, for two cores: with two a quarter of the time went by in waiting for programs that tests start.
.PHONY: test
test: $(VENV)/.dev ## every test of CI, with coverage; installs Debian packages that it needs
	tests/system-packages.sh
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not long" --cov --cov-report=term:skip-covered --cov-fail-under=90

.PHONY: test-long
test-long: $(VENV)/.dev ## the tests that take longer than CI may
	tests/system-packages.sh long
	$(BIN)/pytest -m long

ROUNDS ?= 20
SEED ?= 1
STORE ?= sqlite

.PHONY: crash-matrix
crash-matrix: $(VENV)/.dev ## seeded faults against real programs: make crash-matrix ROUNDS=200 SEED=1 STORE=postgresql
	tests/system-packages.sh
	@$(BIN)/python -m tests.crash_matrix --rounds $(ROUNDS) --seed $(SEED) --store $(STORE)

.PHONY: contracts
contracts: $(VENV)/.dev ## write docs/asyncapi.json, docs/openapi.json and docs/permissions.md from the code
	$(BIN)/python -m shared.asyncapi docs/asyncapi.json
	$(BIN)/python -m aggregator.api.openapi docs/openapi.json
	$(BIN)/python -m aggregator.permissions docs/permissions.md

.PHONY: pictures
pictures: $(VENV)/.dev ## take the pictures of docs/maintenance.md anew, of simulated engines
	@PYTHONPATH=. $(BIN)/python docs/take_pictures.py

.PHONY: bench-ingest
bench-ingest: $(VENV)/.dev ## how many records the centre commits and acknowledges, beside a bare aiomqtt loop
	@$(BIN)/python -m benchmarks.ingest

ENGINES ?= 10000
PREDICTIONS ?= 10000000
CLIENTS ?= 50

.PHONY: bench-pages
bench-pages: $(VENV)/.dev ## first view of the fleet page over 10,000 engines, and what fifty open pages take
	@$(BIN)/python -m benchmarks.pages

.PHONY: bench-api
bench-api: $(VENV)/.dev ## how fast the API answers over a fleet that has flown for long: make bench-api ENGINES=1000 PREDICTIONS=200000
	@$(BIN)/python -m benchmarks.api --engines $(ENGINES) --predictions $(PREDICTIONS) --clients $(CLIENTS)

.PHONY: bench-planner
bench-planner: $(VENV)/.dev ## what a plan by expected loss is worth in money, on simulated fleets whose failures are known
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.planner

.PHONY: bench-outbox
bench-outbox: $(VENV)/.dev ## how fast rows become durable at the agent, on one core, and what the agent takes of its gateway
	@$(BIN)/python -m benchmarks.outbox

AGENT ?= $(BIN)/spoolwatch-agent

.PHONY: bench-footprint
bench-footprint: $(VENV)/.dev ## memory, CPU, start and flash of an agent by source: make bench-footprint AGENT=FILE
	@$(BIN)/python -m benchmarks.footprint --agent $(AGENT)

.PHONY: bench-catch-up
bench-catch-up: $(VENV)/.dev ## how fast a gateway catches up after an outage, and what live rows feel of it
	@$(BIN)/python -m benchmarks.catch_up

.PHONY: bench-bridge
bench-bridge: $(VENV)/.dev ## the same outages against Mosquitto's bridge and against Spoolwatch: what is lost, twice, late
	@$(BIN)/python -m benchmarks.bridge

.PHONY: bench-latency
bench-latency: $(VENV)/.dev ## how long a row takes from its source to its commit at the centre
	@$(BIN)/python -m benchmarks.latency

.PHONY: bench-inference
bench-inference: $(VENV)/.dev ## how long one prediction takes, beside the same network in plain numpy
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.inference

.PHONY: rul-predictions
rul-predictions: $(VENV)/.dev ## predict the C-MAPSS test sets with every committed seed: make rul-predictions DATA=FOLDER
	@test -n "$(DATA)" || { echo "say where the C-MAPSS files are: make rul-predictions DATA=FOLDER" >&2; exit 1; }
	@$(BIN)/python -m benchmarks.rul --data "$(DATA)"

.PHONY: deb
deb: $(VENV)/.dev ## build Debian packages of agent and aggregator into dist/
	@deploy/build-deb.sh

ARCH ?= aarch64

.PHONY: bundle
bundle: $(VENV)/.dev ## pack the agent with its wheels for a gateway without a network into dist/: make bundle ARCH=aarch64
	@deploy/build-bundle.sh $(ARCH)

PIN := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate pyproject.toml requirements/build.in

.PHONY: requirements
requirements: $(VENV)/.dev ## pin the dependencies again, with hashes
	$(PIN) --extra agent --extra opcua -o requirements/agent.txt
	$(PIN) --extra agent --extra opcua --extra aggregator --extra simulators -o requirements/run.txt
	$(PIN) --all-extras -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate requirements/train.in \
	  -o requirements/train.txt

# Training has an environment of its own: TensorFlow is large, wants Python 3.11, and nothing else needs it.
TRAIN := .venv-train
TRAIN_PYTHON ?= python3.11

$(TRAIN)/.installed: requirements/train.txt
	@$(TRAIN_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "training needs Python 3.11: install it, or say where it is with TRAIN_PYTHON=..." >&2; exit 1; }
	test -x $(TRAIN)/bin/pip || $(TRAIN_PYTHON) -m venv $(TRAIN)
	$(TRAIN)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/train.txt
	@touch $@

.PHONY: train
train: ## train the RUL model again from the C-MAPSS files: make train DATA=FOLDER
	@test -n "$(DATA)" || { echo "say where the C-MAPSS files are: make train DATA=FOLDER" >&2; exit 1; }
	@$(MAKE) --no-print-directory $(TRAIN)/.installed
	@PYTHONPATH=. TF_CPP_MIN_LOG_LEVEL=3 $(TRAIN)/bin/python -m models.cli train --data "$(DATA)" $(TRAIN_FLAGS)

.PHONY: train-all
train-all: TRAIN_FLAGS = --all
train-all: train ## train all seeds with their folds and the DCNN baseline: make train-all DATA=FOLDER; takes hours, goes on where it was stopped
	@PYTHONPATH=. TF_CPP_MIN_LOG_LEVEL=3 $(TRAIN)/bin/python -m benchmarks.rul.dcnn --data "$(DATA)"

.PHONY: release
release: $(TRAIN)/.installed ## put what was trained into the registry, with its card and pictures
	@PYTHONPATH=. $(TRAIN)/bin/python -m models.cli release
