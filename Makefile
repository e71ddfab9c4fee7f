# Everything runs in .venv, which the locked environment fills: nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
CAN_REHEARSE := .venv/.can-rehearse
SEED := <<cookiecutter.project_slug>>
# The security gate runs with what the seed pins, in an environment of its own: .venv may hold other versions.
GATE := .venv/gate
GATE_PYTHON ?= $(BIN)/python
# A module of tests stays with one worker: its fixtures are made once, its tests may go on from one another.
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder
UV_VERSION := $(shell sed -n '/^name = "uv"$$/{n;s/^version = "\(.*\)"$$/\1/p;}' uv.lock)
export UV_PYTHON_DOWNLOADS := never
# Every job and endpoint of a rehearsal is a new process: it should not compile what it imports.
export UV_COMPILE_BYTECODE := 1
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help install rehearse test test-fast lint format benchmark clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A virtual environment without pip in it, because Debian ships the two in separate packages.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@echo "installing the locked environment into .venv"
	@$(PYTHON) -m venv --without-pip .venv
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# A rehearsal needs neither the SageMaker SDK nor the linters: half the size.
$(CAN_REHEARSE): pyproject.toml uv.lock | $(BIN)/uv
	@$(BIN)/uv sync --locked --inexact --extra rehearsal --no-default-groups --quiet
	@touch $@

$(READY): pyproject.toml uv.lock | $(BIN)/uv
	@$(BIN)/uv sync --locked --all-extras --quiet
	@touch $@ $(CAN_REHEARSE)

$(GATE)/.ready: $(SEED)/requirements-security.txt | $(READY)
	@$(BIN)/uv venv --quiet --clear --python $(GATE_PYTHON) $(GATE)
	@$(BIN)/uv pip install --quiet --python $(GATE)/bin/python --require-hashes -r "$<"
	@touch $@

install: $(READY) ## install the locked environment

rehearse: $(CAN_REHEARSE) ## render the default answers, publish to the embedded AWS, and prove the result
	@$(BIN)/sagemaker-seed rehearse --output build

test: lint ## everything that CI checks
	@$(BIN)/pytest $(WORKERS)

test-fast: $(READY) ## the tests that take less than a minute
	@$(BIN)/pytest $(WORKERS) -m "not slow"

lint: $(READY) $(GATE)/.ready ## style, types and CloudFormation templates
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONDONTWRITEBYTECODE=1 $(GATE)/bin/python "$(SEED)/security/scan.py" --accepted product/cloudformation/accepted.json product/cloudformation/*.yaml

format: $(READY) ## put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

benchmark: $(READY) ## what the project promises about speed, measured
	@for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

clean: ## remove what was built, and the environment
	rm -rf build .venv .pytest_cache .mypy_cache .ruff_cache
