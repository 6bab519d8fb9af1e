# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check lint bench compiled lock peers clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   a bootstrap server, three nodes and two phones on this machine call one another (no root, no network)"
	@echo "make test   all tests; as root it installs the peer programs by apt and runs the interop suites too"
	@echo "make check  the quick tests only"
	@echo "make lint   ruff, mypy --strict and the floor rules"
	@echo "make bench  every figure of the README, side by side with its peer"
	@echo "make compiled  a copy in build/compiled whose cores are machine code, for long simulations (a C compiler is needed)"
	@echo "make lock   renew requirements/*.txt from pyproject.toml"

$(VENV)/runtime: requirements/build.txt requirements/runtime.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/runtime
	$(BIN)/p2psip demo

test: $(VENV)/dev
	bash tests/run_all

check: $(VENV)/dev
	$(BIN)/python -m pytest

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks

compiled: $(VENV)/dev
	$(BIN)/python -m simulations.compiled build/compiled

peers:
	bash tests/install_peers

lock: $(VENV)/dev
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe -o requirements/runtime.txt pyproject.toml
	$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe --extra dev -o requirements/dev.txt pyproject.toml

clean:
	rm -rf $(VENV) build *.egg-info
