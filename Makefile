# `make` alone lists what there is. Everything needs Python 3.11 or newer, and nothing else.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SCENE ?= sample_data/field.tif
OUT ?= out/demo
# One process a core, but each loads torch: eight are enough, and memory is not endless.
TEST_WORKERS ?= logical
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test night bench lint style format clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP)  ## segment the sample field and say where the map is
	$(BIN)/agriseg segment $(SCENE) -o $(OUT) --report
	@printf '\nThe results are in %s; open them in QGIS:\n' '$(OUT)'
	@find '$(OUT)' -type f \( -name '*.tif' -o -name '*.gpkg' -o -name '*.html' -o -name '*.qgz' \) | sort | sed 's/^/  /'

# The tests run side by side, so each process gets one thread of its own for numpy and torch.
# mypy is one of the tests: it uses one core for a minute where it has no cache.
# Bytecode is kept, whatever the environment says: the tests start some hundred interpreters.
test: style  ## check style and types, and run all tests
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(TEST_WORKERS) --maxprocesses 8 --dist worksteal $(PYTEST_ARGS)

night: $(STAMP)  ## kill runs, workers and schedulers at random for two minutes, and what else takes long
	$(BIN)/python -m pytest tests/pipeline -m night -q -p no:xdist $(PYTEST_ARGS)

bench: $(STAMP)  ## measure speed and memory, and print the table
	$(BIN)/python -m pytest tests/benchmarks -m bench -s -p no:xdist $(PYTEST_ARGS)

lint: style  ## check style and types
	$(BIN)/mypy --strict agriseg

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was made, except the environment (rm -rf .venv)
	rm -rf out/demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# A python counts only if it starts (a version manager's stub may not), is new enough, and can
# make environments. PYTHON=/path/to/python3 takes the choice away.
$(STAMP): pyproject.toml
	@if [ ! -x $(BIN)/python ]; then \
	  for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
	    if "$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	      echo "making $(VENV) with $$python"; \
	      "$$python" -m venv $(VENV) && break; \
	      exit 1; \
	    fi; \
	  done; \
	  if [ ! -x $(BIN)/python ]; then \
	    echo "agriseg needs Python 3.11 or newer with its venv module (on Debian and Ubuntu:" >&2; \
	    echo "apt install python3-venv), and found none. PYTHON=/path/to/python3 names one." >&2; \
	    exit 1; \
	  fi; \
	fi
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	@touch $@
