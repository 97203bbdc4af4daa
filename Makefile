# Everything runs in the virtual environment .venv, made once from requirements/lock.txt.
PYTHON ?= python3
BIN := .venv/bin
DEMO := work_dirs/demo
# one process a core, at most four; tests of a file stay in one, since they share what it has started
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test lint fast slow audit clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/:/' | column -t -s: 2>/dev/null || true

demo: .venv/.installed  ## pretrain a small FSFM on generated faces (about two minutes); again: show the result
	$(BIN)/python tools/train.py configs/fsfm/fsfm_demo.py --work-dir $(DEMO) --resume

test: lint fast slow  ## the whole check: lint, types, fast tests, slow tests

lint: .venv/.installed  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fast: .venv/.installed  ## tests of about three minutes
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

slow: .venv/.installed  ## the other tests
	$(BIN)/python -m pytest -m slow $(PARALLEL)

.venv/.installed: requirements/lock.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "fsfm_mm needs Python 3.10 or newer; choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

audit: .venv/.installed  ## known vulnerabilities of the locked packages (needs a network)
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv-audit/bin/pip-audit --no-deps --disable-pip -r requirements/lock.txt

clean:  ## remove the environment and all results
	rm -rf .venv .venv-audit work_dirs build *.egg-info
