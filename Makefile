# setup: environment and requirements    demo: three questions over examples/    test: the default suite
# check: lint, types, slow and browser tests, command line and server end to end    lint: ruff and mypy alone
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_HOME := $(CURDIR)/.answerable

.PHONY: setup demo test check lint format

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, this is ' + sys.version)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: setup
	ANSWERABLE_HOME=$(DEMO_HOME) $(BIN)/python -m benchmarks.demo

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

check: lint
	$(BIN)/python -m pytest -m "slow or browser or postgres"

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
