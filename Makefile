# Everything that a user or a contributor runs. `make quickstart` and `make test` set up what they need.
.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-long test-gp lint check chaos bench bench-pages race race-peers docs audit ui clean

# The first interpreter that TensorFlow has wheels for.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
MINUTES ?= 20
STAMP := .venv/.installed

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "whosehand needs Python 3.11, 3.12 or 3.13 with venv; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Installing into .venv (about 2 GB, some minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

install: $(STAMP)  ## install into .venv

quickstart: $(STAMP)  ## the main job end to end on the embedded corpus
	$(BIN)/whosehand sweep experiments/quickstart.yaml
	$(BIN)/whosehand promote quickstart
	@echo "Whose hand wrote these pages? The model has never seen them; a file's first number is its writer."
	$(BIN)/whosehand identify --model whosehand-quickstart $$($(BIN)/whosehand data pages experiments/quickstart.yaml --subset test --limit 4)
	@echo
	@echo "Done. Look at every trial, its curves, confusion matrix and model:   make ui"
	@echo "The sweep's own record is in mlruns/sweeps/quickstart, the pages in data/hands."
	@echo "Next, on real handwriting: README.md, 'On real handwriting'."

test: $(STAMP)  ## the tests of every promise, in some minutes
	@$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder

.venv/.installed-gp: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[gp]" \
		|| echo "PyTorch could not be installed here: the tests of engine.sampler gp are skipped." >&2
	@touch $@

test-long: $(STAMP)  ## the long tests: real trainings, kills, fuzz, executed documents
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile -m long

test-gp: .venv/.installed-gp  ## the tests of engine.sampler gp, which needs PyTorch (large)
	@$(BIN)/python -m pytest --numprocesses=2 -m long tests/search/engines/optuna

lint: $(STAMP)  ## ruff, format check, mypy strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache --no-logo

check: lint test  ## lint and test: what CI runs first, then test-long

chaos: $(STAMP)  ## faults in everything that writes, for 20 minutes (MINUTES=60 for longer)
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES)

bench: $(STAMP)  ## the benchmarks behind docs/results.md
	@$(BIN)/python -m benchmarks

bench-pages: $(STAMP)  ## how well lines are found on pages, trouble by trouble
	@$(BIN)/python -m benchmarks.bench_pages

.venv/.installed-peers: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[peers]"
	@touch $@

race-peers: .venv/.installed-peers  ## race Optuna's and KerasTuner's users against whosehand, 12 minutes a run (RACE_PEERS="--seeds 1")
	@$(BIN)/python -m benchmarks.peers.race $(RACE_PEERS)

race: $(STAMP)  ## race the engines on recorded curves (RACE="experiments/dhsd.yaml --seeds 50"), or on a made-up table
	@$(BIN)/python -m benchmarks.race $(RACE)

.venv/.installed-docs: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	@touch $@

docs: .venv/.installed-docs  ## the docs as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "build/site/index.html"

.venv/.installed-audit: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[audit]"
	@touch $@

audit: .venv/.installed-audit  ## what is installed, as a CycloneDX bill in build/, and its known vulnerabilities (needs internet)
	@mkdir -p build
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-file build/bill_of_materials.json $(BIN)/python
	@echo "build/bill_of_materials.json"
	@$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

ui: $(STAMP)  ## the MLflow UI on this folder's store
	@$(BIN)/whosehand ui

clean:  ## remove the environment and the caches, keep mlruns and data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
