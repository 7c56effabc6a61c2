# `make quickstart` shows a table and a page from nothing. `make test-fast` and `make test` run the tests.
# Each makes the environment in .venv from requirements.lock first. A second call finds it ready.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
BASELINES := bm25 me5-small
READY := $(VENV)/.ready
QUICKSTART := build/quickstart
# a crashed worker is not replaced: after that, pytest-xdist 3.8 waits for ever
ON_TWO_CORES := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: quickstart test test-fast lint dist lock gate screenshots sample-results clean help

help:
	@echo "make quickstart      make the environment, run BM25 and me5-small on the packaged sample, build the site"
	@echo "make test-fast       run the fast tests of every room (about 2 minutes)"
	@echo "make test            run the whole test suite (about 11 minutes on 2 cores)"
	@echo "make lint            check style and types: ruff and mypy"
	@echo "make gate            measure the sample again and check it against the committed results"
	@echo "make dist            build and check the wheel and the sdist, and try the wheel in an empty environment"
	@echo "make screenshots     make the README's pictures from the committed results (needs Chromium)"
	@echo "make sample-results  make results/sample again: baselines, the boosted method and its ablations"
	@echo "make lock            write requirements.lock again from what pip resolves today"
	@echo "make clean           remove the environment and everything built (not the cache, not results)"

quickstart: $(READY)
	@echo "==> Running BM25 and me5-small on the packaged sample in 16 languages (the first run fetches the model)"
	$(BIN)/mdrbench run bm25 me5-small --data sample --langs all --results $(QUICKSTART)/results
	@echo "==> Building the site from these results and the published figures"
	$(BIN)/mdrbench report --results $(QUICKSTART)/results --out $(QUICKSTART)/site

test: $(READY)
	@echo "==> Running the whole test suite (about 11 minutes on 2 cores)"
	$(BIN)/python -m pytest $(ON_TWO_CORES)

test-fast: $(READY)
	@echo "==> Running the fast tests of every room (about 2 minutes on 2 cores)"
	$(BIN)/python -m pytest $(ON_TWO_CORES) -m "not slow and not medium"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

# What the release workflow does: build, check the metadata and the README, install the wheel where nothing else is.
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python .ci/check-dist dist
	bash .ci/try-wheel dist/*.whl

# torch goes first: if 2.13.0 is installed, no other package pulls in another build of it.
$(READY): requirements.lock pyproject.toml
	@echo "==> Making the environment in $(VENV) from requirements.lock (some minutes, once; pip shows its progress)"
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), sys.version' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "$$(grep '^torch==' requirements.lock)"
	$(PIP) install --requirement requirements.lock
	$(PIP) install --quiet --no-deps --editable .
	@touch $(READY)
	@echo "==> The environment is ready: $(BIN)/mdrbench"

lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0
	.venv-lock/bin/python -m pip install --quiet --editable ".[dev]"
	{ sed -n '/^#/p' requirements.lock; \
	  .venv-lock/bin/python -m pip freeze --all --exclude-editable --exclude pip | \
	    sed "s/+cpu$$//; /^fasttext-wheel==/s/$$/; python_version < '3.12'/"; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf .venv-lock

screenshots: $(READY)
	$(BIN)/python docs/screenshots.py

# The cache is empty, so that times and versions are those of this machine and this code.
sample-results: $(READY)
	rm -rf results/sample
	cache=$$(mktemp -d) && \
	  $(BIN)/mdrbench run $(BASELINES) --data sample --cache $$cache --quiet && \
	  $(BIN)/mdrbench ablate boosted-sample --data sample --all --cache $$cache --quiet && \
	  rm -rf $$cache
	$(BIN)/mdrbench verify results/sample --data sample

# Derives every committed number again from its files, then measures the systems again. BM25 must agree to the last digit.
# Encoders differ in single topics between processors and precisions, so a drop counts only if the test confirms it.
gate: $(READY)
	@echo "==> Verifying results/sample, measuring it again and comparing the two (some minutes)"
	$(BIN)/mdrbench verify results/sample --data sample
	now=$$(mktemp -d) && \
	  $(BIN)/mdrbench run $(BASELINES) boosted-sample --data sample --cache $$now/cache --results $$now/results --quiet && \
	  $(BIN)/mdrbench check $$now/results/sample/bm25.json --against results/sample/bm25.json --tolerance 1e-9 && \
	  $(BIN)/mdrbench check $$now/results/sample/*.json --against results --statistical --allow-changed conventions && \
	  rm -rf $$now

clean:
	rm -rf $(VENV) .venv-lock site/public build dist
