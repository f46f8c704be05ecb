# Everything starts from a bare checkout and Python 3.11+: each target builds what it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

# Human-labelled rows for tests and benchmarks; without the folder those skip and say so.
ifneq ($(wildcard ../shared/data/README.md),)
export RLAIF_EVAL_DATA ?= $(abspath ../shared/data)
endif
ifneq ($(wildcard ../shared/peers/README.md),)
export RLAIF_PEERS ?= $(abspath ../shared/peers)
endif

.PHONY: demo test test-long mutants check bench clean

demo: $(VENV)/.local
	$(BIN)/rlaif demo

test: $(VENV)/.dev $(VENV)/.browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not long"

test-long: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/python -m pytest -m "long"

mutants: $(VENV)/.dev
	$(BIN)/python -m tests.training.mutants

check: $(VENV)/.dev
	$(BIN)/ruff format --check rlaif tests benchmarks
	$(BIN)/ruff check rlaif tests benchmarks
	$(BIN)/mypy

bench: $(VENV)/.dev
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[local]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.local

# Browser tests need a Chromium; where none can be had they skip and say so.
$(VENV)/.browser: | $(VENV)/bin/python
	command -v chromium >/dev/null || (apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium) \
		>/dev/null 2>&1 || echo "no Chromium can be installed here: browser tests will skip"
	touch $@
