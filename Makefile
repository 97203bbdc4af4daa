# Everything runs in the virtual environment .venv, made once from requirements/lock.txt.
PYTHON ?= python3
# locked: the published torch, with CUDA's libraries. cpu: the same version without them, from PyTorch's own index.
# Anything else is what pip is to install as torch and torchvision: files of your own, another index.
TORCH ?= locked
CPU_INDEX := https://download.pytorch.org/whl/cpu
BIN := .venv/bin
DEMO := work_dirs/demo
# one process a core, at most four; tests of a file stay in one, since they share what it has started
PARALLEL := -n auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test lint fast slow audit clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'make PYTHON=python3.12 ... chooses another Python, make TORCH=cpu ... a torch without CUDA (2 GB, not 6.3)'

demo: .venv/.installed  ## pretrain a small FSFM on generated faces; again: show the result
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
	@$(PYTHON) -c '' 2>/dev/null || \
	    { echo "There is no $(PYTHON) that runs here; choose one with: make PYTHON=python3 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "fsfm_mm needs Python 3.10 or newer; choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into .venv, once: $(if $(filter locked,$(TORCH)),6.3 GB (2 GB with: make TORCH=cpu),about 2 GB) and some minutes"
	$(PYTHON) -m venv .venv
ifeq ($(TORCH),locked)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements/lock.txt
else
	grep -E '^torch(vision)?==' requirements/lock.txt >.venv/torch.txt
	grep -vE '^(torch|torchvision|triton|nvidia-.*|cuda-.*)==' requirements/lock.txt >.venv/others.txt
	$(BIN)/python -m pip install --disable-pip-version-check $(if $(filter cpu,$(TORCH)),--index-url $(CPU_INDEX) -r .venv/torch.txt,$(TORCH))
	$(BIN)/python -m pip list --disable-pip-version-check --format=freeze | grep '^torch' >.venv/torch.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r .venv/others.txt --constraint .venv/torch.txt
endif
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

audit: .venv/.installed  ## known vulnerabilities of the locked packages (needs a network)
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv-audit/bin/pip-audit --no-deps --disable-pip -r requirements/lock.txt

clean:  ## remove the environment and all results
	rm -rf .venv .venv-audit work_dirs build *.egg-info
