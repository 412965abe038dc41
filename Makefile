# Everything a person types. Each target sets up .venv by itself first; `make` alone lists them.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
BENCH := .ci/bench

# One thread each: the test workers share the cores, and the frameworks inside them must not fight over them.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# Two test workers. Groups keep a framework's tests in one of them; not an option for every run of pytest, because
# pytest-benchmark takes it for a distributed run and measures nothing.
WORKERS := -n 2 --dist loadgroup

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'For example: make sweep ARGS="framework=pytorch,keras batch_size=1,32,full"'

# --- using it --------------------------------------------------------------------------------------------------------

.PHONY: sweep
sweep: venv ## run the default sweep and report on it; ARGS="..." passes overrides
	@$(BENCH) sweep $(ARGS)

.PHONY: resume
resume: venv ## run what is missing of DIR=results/<sweep> (default: the latest); ARGS="--retry oom" does failed runs again
	@$(BENCH) sweep --resume $(or $(DIR),results/latest) $(ARGS)

.PHONY: smoke
smoke: venv ## run a small, real sweep (under a minute)
	@$(BENCH) sweep experiment=smoke $(ARGS)

.PHONY: plan
plan: venv ## say what a sweep would run and how long it would take; ARGS as for sweep
	@$(BENCH) plan $(ARGS)

.PHONY: report
report: venv ## rebuild tables, figures and report of DIR=results/<sweep> (default: the latest)
	@$(BENCH) report $(DIR)

.PHONY: compare
compare: venv ## compare sweeps: A=results/<old> B=results/<new>; C=... for a third, ARGS="--fail-on-regression 5%" for CI
	@$(BENCH) compare $(A) $(B) $(C) $(ARGS)

.PHONY: doctor
doctor: venv ## say what is installed, which devices work and what will disturb timing
	@$(BENCH) doctor

# --- working on it ---------------------------------------------------------------------------------------------------

.PHONY: venv
venv: ## set up .venv (PYTHON=... chooses the interpreter)
	@.ci/setup-venv $(PYTHON)

.PHONY: test
test: lint types contracts notebooks unit ## everything that must be green before a commit is pushed

.PHONY: lint
lint: venv ## style and format of the code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: venv ## static types
	@$(BIN)/mypy

.PHONY: contracts
contracts: venv ## import contracts: arrows only point down
	@$(BIN)/lint-imports --no-logo

.PHONY: unit
unit: venv ## the tests; ARGS="..." passes options to pytest
	@$(PYTEST) $(WORKERS) $(ARGS)

.PHONY: parity
parity: venv ## every engine on the whole grid of the parity bars, of which `unit` runs a sample (many minutes)
	@$(PYTEST) $(WORKERS) -m grid $(ARGS) tests/contract

.PHONY: faults
faults: venv ## every fault there is, a row each: killed, crashed, damaged, full, twice (many minutes); ARGS="--only NAME"
	@$(BIN)/python -m tests.faults $(ARGS)
	@$(PYTEST) $(WORKERS) -m faults tests

.PHONY: notebooks
notebooks: venv ## execute the notebooks, and check that they equal their .py
	@.ci/notebooks

.PHONY: bench
bench: venv ## time a step of every loop under pytest-benchmark (minutes); ARGS="--only pytorch -k fused" for a part
	@$(BIN)/python -m tests.benchmarks.steps $(ARGS)

.PHONY: bench-report
bench-report: venv ## time and memory of a report on 10,000 runs
	@$(BIN)/python -m tests.benchmarks.report_10k $(ARGS)

.PHONY: bench-aa
bench-aa: venv ## real false alarms: one cell against itself, 200 times (ten minutes on a quiet machine)
	@$(BIN)/python -m tests.benchmarks.real_aa $(ARGS)

.PHONY: bench-planted
bench-planted: venv ## real slowdowns of 5 % and 2 %, planted in an engine, 100 times (85 minutes, alone)
	@$(BIN)/python -m tests.benchmarks.planted $(ARGS)

.PHONY: bench-precision
bench-precision: venv ## coverage of intervals that were looked at in order to stop, simulated
	@$(BIN)/python -m tests.benchmarks.precision $(ARGS)

.PHONY: bench-overhead
bench-overhead: venv ## the harness's throughput against a bare loop of the same engine
	@$(BIN)/python -m tests.benchmarks.overhead $(ARGS)

.PHONY: bench-loops
bench-loops: venv ## every loop against its idiomatic one and against a floor in C, on one thread (many minutes)
	@$(BIN)/python -m tests.benchmarks.loops $(ARGS)

.PHONY: bench-memory
bench-memory: venv ## what every loop holds beyond its framework, on a thousand and on a million rows
	@$(BIN)/python -m tests.benchmarks.memory $(ARGS)

.PHONY: bench-statistics
bench-statistics: venv ## false alarms, coverage and power of the statistics, on simulated noise (a minute)
	@$(BIN)/python -m tests.benchmarks.statistics $(ARGS)

.PHONY: bench-scale
bench-scale: venv ## ten million rows against one million: time per sample, memory, status (alone on 24 GB; long)
	@$(BIN)/python -m tests.benchmarks.scale $(ARGS)

.PHONY: bench-steadiness
bench-steadiness: venv ## false alarms, power and pace of the steady-state classification, on simulated runs
	@$(BIN)/python -m tests.benchmarks.steadiness $(ARGS)

.PHONY: clean
clean: ## remove .venv, caches and builds; results stay
	@rm -rf .venv build dist htmlcov outputs multirun .coverage .hypothesis .benchmarks
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
