# make demo   the whole job on small models: law PDF and instructions in, merged adapter and comparison out
# make test   the tests;  make lint   style, types and spelling;  make setup   the installation alone
# make fuzz   damaged files against every reader, for MINUTES=10
PYTHON ?= python3
VENV ?= .venv
FAMILY ?= tiny-mistral
LAW ?=
BASE ?=

# Threads that wait asleep, not spinning: several times faster for small models on a machine that has other work too.
export OMP_WAIT_POLICY ?= PASSIVE

BIN := $(VENV)/bin
READY := $(VENV)/.leylora-installed
WORKERS ?= 2
MINUTES ?= 10
SEED ?= 0

.PHONY: setup demo test fuzz lint format clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "leylora needs Python 3.11 or newer; name one with: make PYTHON=python3.11 setup" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/python scripts/demo.py --family '$(FAMILY)' $(if $(LAW),--law '$(LAW)') $(if $(BASE),--base '$(BASE)')

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

fuzz: $(READY)
	$(BIN)/python tests/fuzz/fuzz.py $(MINUTES) $(SEED)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell *.md LORA/README.md benchmarks/README.md docs train scripts
	$(BIN)/python docs/check.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf data/build .pytest_cache .mypy_cache .ruff_cache .hypothesis
