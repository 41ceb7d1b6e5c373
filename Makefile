# Everything a newcomer needs: `make run` shows the system at work, `make test` proves it.
# Needed on the machine: Python 3.11, git, make. All else comes from the hash-locked requirements into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python on the path that is new enough; name another with `make setup PYTHON=...`.
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3 python; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$candidate; exit; }; \
	done; echo python3)
BIN := .venv/bin
DATABASES ?= sqlite
SEED ?= 1
SCHEDULES ?= 300
MESSAGES ?= 100000
FUZZ_ARGS ?=
WORKERS ?= 2
# For tests that bring their own servers or processes: much of its time each waits for one of these.
WORKERS_OWN ?= $(shell expr $(WORKERS) + $(WORKERS) / 2)
PYTEST_ARGS ?=
SIMULATE_ARGS ?=
CRASH_ARGS ?=
CHAOS_ARGS ?=
MINUTES ?= 5

# Folders whose tests share no process, port or database and may run side by side.
PURE := $(wildcard tests/unit tests/rules tests/golden)
# Folders whose tests bring their own servers and databases, on ports and in directories of their own: side by
# side, a file at a time.
OWN := $(wildcard tests/contract tests/simulation)
# Folders whose tests start whole federations of processes, each with a home and ports of its own: two at a time,
# after all others.
WHOLE := $(wildcard tests/crash tests/e2e)
with_tests = $(sort $(foreach folder,$(1),$(if $(shell find $(folder) -name 'test_*.py' -print -quit),$(folder))))

##@ Use it
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\nVariables: DATABASES=sqlite|postgres (run), SEED=N (simulate), PYTEST_ARGS=... (test), PYTHON=... (setup)\n'

run: setup ## Start three regions, the bridge and two gateways, and walk through the main story.
	@DATABASES=$(DATABASES) $(BIN)/tanqiao demo --databases $(DATABASES)

down: setup ## Stop what `make run` left up; its data stay.
	@$(BIN)/tanqiao down

##@ Prove it
test: check test-pure test-own test-whole ## All checks and all tests, on SQLite and PostgreSQL.

test-pure: setup
	$(if $(call with_tests,$(PURE)),$(BIN)/pytest -n $(WORKERS) --dist worksteal $(call with_tests,$(PURE)) $(PYTEST_ARGS))

test-own: setup test-pure
	$(if $(call with_tests,$(OWN)),$(BIN)/pytest -n $(WORKERS_OWN) --dist loadfile $(call with_tests,$(OWN)) $(PYTEST_ARGS))

# Last even under `make -j`: processes that start and stop want no more neighbours than each other.
test-whole: setup test-own
	$(if $(call with_tests,$(WHOLE)),$(BIN)/pytest -n $(WORKERS) --dist worksteal $(call with_tests,$(WHOLE)) $(PYTEST_ARGS))

test-long: setup ## The tests that take longest: `.ci/run` runs them after `make test`.
	$(BIN)/pytest -n $(WORKERS_OWN) --dist worksteal -m long tests $(PYTEST_ARGS)

rules: setup ## The table of every rule with what carries it and its cases; then every case file of every pack.
	$(BIN)/python -m tanqiao_region.rules_table --require-complete
	$(BIN)/pytest tests/rules $(PYTEST_ARGS)

model: setup ## Every reachable state of the transfer protocol, honest and with each party lying.
	$(BIN)/python -m tanqiao.testing.model

simulate: setup ## The seeded protocol simulation: make simulate SEED=42 SCHEDULES=3000
	$(BIN)/python -m tanqiao.testing.simulation $(SEED) $(SCHEDULES) $(SIMULATE_ARGS)

crash: setup ## The crash matrix: every write and every send, one after the other and in pairs; writes docs/crash-matrix.md.
	$(BIN)/python -m tests.crash $(CRASH_ARGS)

chaos: setup ## Processes that die at random behind bad wires, writers and a reader meanwhile: make chaos MINUTES=5
	$(BIN)/python -m tests.chaos $(MINUTES) $(CHAOS_ARGS)

mutants: setup ## One-line faults of the protocol, and which check catches each.
	$(BIN)/python -m tests.simulation.mutants

fuzz: setup ## Messages that no honest party sends, at real servers: make fuzz SEED=42 MESSAGES=100000
	$(BIN)/python -m tests.fuzz $(SEED) $(MESSAGES) $(FUZZ_ARGS)

bench: setup ## Measured rates beside their limits, as ratios.
	$(BIN)/python -m tests.bench

bench-full: setup ## Checks on 1, 10 and 50 million claims, search over 100,000 records; FULL="--claims 1000000 --minutes 20".
	$(BIN)/python -m tests.bench.full $(FULL)

##@ Keep it
setup: ## Make .venv from the hash-locked requirements; does nothing when it is up to date.
	@$(PYTHON) scripts/setup_environment.py

# The types take longest: the other checks are made beside them.
CHECKS := check-types check-format check-lint check-imports check-protos check-drift
check: setup ## Format, lint, types, imports, protos, drift.
	@$(MAKE) --no-print-directory -j $(WORKERS) $(CHECKS)

check-format: setup
	$(BIN)/ruff format --check --quiet .

check-lint: setup
	$(BIN)/ruff check --quiet .

check-types: setup
	$(BIN)/mypy

check-imports: setup
	$(BIN)/lint-imports

check-protos: setup
	$(BIN)/python scripts/check_protos.py

check-drift: setup
	$(BIN)/python scripts/generate_api.py --check
	$(BIN)/python -m scripts.generate_docs --check

format: setup ## Format the code and mend what the linter can mend by itself.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: setup ## Write shared/tanqiao/api again from proto/.
	$(BIN)/python scripts/generate_api.py

docs: setup ## Write the pages of docs/ that are made from the code.
	$(BIN)/python -m scripts.generate_docs

release-protos: setup ## Write proto/released/v1.binpb, what later changes of the wire are compared with.
	$(BIN)/python scripts/check_protos.py --release

lock: setup ## Resolve the dependencies again and write both lock files (needs the network).
	$(BIN)/python scripts/lock_requirements.py

clean: ## Remove .venv, caches and build results; a federation's data in .tanqiao stay.
	rm -rf .venv .setup.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help run down test test-pure test-own test-whole test-long rules model simulate crash chaos mutants fuzz bench bench-full setup check check-format check-lint check-types \
	check-imports check-protos check-drift format generate docs release-protos lock clean
