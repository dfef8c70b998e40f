# setup: environment and requirements    demo: three questions over examples/    test: the default suite
# check: lint, types, slow, browser and database tests    lint: ruff and mypy alone
# servers: what has to do with rows or vectors, on PostgreSQL and Milvus instead of SQLite and FAISS    long: what takes many minutes
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVER_TESTS := tests/rag/test_store.py tests/rag/test_filter.py tests/rag/test_retrieve.py tests/rag/test_pipeline.py \
	tests/rag/index/test_vector_index.py tests/ingest/test_run.py tests/ingest/test_changes.py \
	$(addprefix tests/api/test_,ask.py documents.py search.py server.py) tests/eval/test_suite_run.py tests/eval/test_generate.py
DEMO := ANSWERABLE_HOME=$(CURDIR)/.answerable $(BIN)/answerable
# The third is not answered anywhere in examples/
DEMO_QUESTIONS := "How many days of paid annual leave do full-time employees have in 2026?" \
	"What supply voltage does the Skua 400 need?" \
	"How much does the company contribute to the cost of childcare?"

.PHONY: setup demo test check servers long lint format

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, this is ' + sys.version)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: setup
	$(DEMO) models pull
	$(DEMO) ingest examples
	@for question in $(DEMO_QUESTIONS); do printf '\n> %s\n' "$$question"; $(DEMO) ask "$$question" || exit 1; done
	@printf '\nAsk your own: ANSWERABLE_HOME=.answerable $(BIN)/answerable ask "..."\n'

test: setup
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations=20

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

check: lint
	$(BIN)/python -m pytest -m "(slow or browser or postgres) and not long" --durations=20

servers: setup
	ANSWERABLE_TEST_BACKEND=servers $(BIN)/python -m pytest --durations=10 $(SERVER_TESTS)

long: setup
	ANSWERABLE_TEST_SCALE=1 ANSWERABLE_TEST_COPY=2500 $(BIN)/python -m pytest -m long
	ANSWERABLE_TEST_QUESTIONS=40 $(BIN)/python -m pytest -m slow tests/eval/test_backends.py
	ANSWERABLE_TEST_BACKEND=servers $(BIN)/python -m pytest $(sort $(SERVER_TESTS) tests/api tests/eval)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
