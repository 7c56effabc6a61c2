# Two commands: `make quickstart` (a table and a page from nothing) and `make test` (the whole suite).
# Both make the environment in .venv from requirements.lock first; a second call finds it ready.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
BASELINES := bm25 me5-small
READY := $(VENV)/.ready

.PHONY: quickstart test lint lock gate screenshots sample-results clean help

help:
	@echo "make quickstart  environment, BM25 and me5-small on the packaged sample in 16 languages, and the page"
	@echo "make test        environment, then the whole test suite"
	@echo "make gate        the sample's results anew, held against the committed ones"
	@echo "make lint        ruff"
	@echo "make screenshots the README's pictures, from the committed results (needs Chromium)"
	@echo "make sample-results  results/sample anew: baselines, the boosted method and its ablations"
	@echo "make lock        write requirements.lock anew from what pip resolves today"
	@echo "make clean       remove the environment and built pages (not the cache, not results)"

quickstart: $(READY)
	@echo "==> Running BM25 and me5-small on the packaged sample in 16 languages (the first time it fetches the model)"
	$(BIN)/mdrbench run bm25 me5-small --data sample --langs all
	@echo "==> Rendering results/ and the published figures"
	$(BIN)/mdrbench report

test: $(READY)
	@echo "==> Running the whole test suite (about 10 minutes on 2 cores)"
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# torch goes first: with 2.13.0 in place no other package pulls in another build of it.
$(READY): requirements.lock pyproject.toml
	@echo "==> Making the environment in $(VENV) from requirements.lock (some minutes, once)"
	@$(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), sys.version' || \
	  { echo "Python 3.11 is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(READY)
	@echo "==> The environment is ready: $(BIN)/mdrbench"

lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0
	.venv-lock/bin/python -m pip install --quiet --editable ".[dev]"
	{ sed -n '/^#/p' requirements.lock; \
	  .venv-lock/bin/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf .venv-lock

screenshots: $(READY)
	$(BIN)/python docs/screenshots.py

# From an empty cache, so that times and versions are those of this machine and this code.
sample-results: $(READY)
	rm -rf results/sample
	cache=$$(mktemp -d) && \
	  $(BIN)/mdrbench run $(BASELINES) --data sample --cache $$cache --quiet && \
	  $(BIN)/mdrbench ablate boosted-sample --data sample --all --cache $$cache --quiet && \
	  rm -rf $$cache
	$(BIN)/mdrbench verify results/sample --data sample

# Every committed number is derived anew from its files; then the systems are measured again. BM25 must be the same to the
# last digit. Encoders differ in single topics between processors and precisions: a drop counts that the test confirms.
gate: $(READY)
	@echo "==> Verifying results/sample, measuring it anew, and holding the two against each other (some minutes)"
	$(BIN)/mdrbench verify results/sample --data sample
	now=$$(mktemp -d) && \
	  $(BIN)/mdrbench run $(BASELINES) boosted-sample --data sample --cache $$now/cache --results $$now/results --quiet && \
	  $(BIN)/mdrbench check $$now/results/sample/bm25.json --against results/sample/bm25.json --tolerance 1e-9 && \
	  $(BIN)/mdrbench check $$now/results/sample/*.json --against results --statistical --allow-changed conventions && \
	  rm -rf $$now

clean:
	rm -rf $(VENV) .venv-lock site/public build dist
