# Two commands matter: `make run` starts the gateway, `make test` passes its tests. Both set up
# what they need under this folder (.venv, target) on a machine that has Rust, Python and make.

PYTHON ?= python3
VENV := $(CURDIR)/.venv
VENV_PYTHON := $(VENV)/bin/python
# pyo3 links against the interpreter behind the venv; a pyenv shim is not one.
export PYO3_PYTHON := $(VENV_PYTHON)
export MOZAIKS_TEST_PYTHON := $(VENV_PYTHON)
CARGO ?= cargo
RUN_ARGS ?= serve --dev

.PHONY: run build test setup check fmt lint doc test-rust test-python test-js deny conformance conformance-update bench clean help

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

run: setup ## Start the gateway in development mode
	$(CARGO) run --quiet --bin mozaiks -- $(RUN_ARGS)

build: setup ## The binary that is shipped: target/dist/mozaiks
	$(CARGO) build --profile dist --bin mozaiks --bin docstore --workspace

setup: $(VENV)/.ready

$(VENV)/.ready: scripts/check-python.sh python-sdk/pyproject.toml python-sdk/requirements-dev.txt
	@sh scripts/check-python.sh $(PYTHON)
	[ -x $(VENV_PYTHON) ] || $(PYTHON) -m venv $(VENV)
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check -r python-sdk/requirements-dev.txt
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e python-sdk
	@touch $@

test: setup check test-rust test-python test-js conformance ## Everything that CI runs

check: fmt lint doc

fmt: setup
	$(CARGO) fmt --all --check
	$(VENV)/bin/ruff format --check python-sdk runtime bench scripts
	$(VENV)/bin/ruff check python-sdk runtime bench scripts

lint: setup
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	cd python-sdk && $(VENV)/bin/mypy

doc: setup
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

test-rust: setup
	$(CARGO) test --workspace

test-python: setup
	cd python-sdk && $(VENV_PYTHON) -m pytest -q

test-js: setup ## The JavaScript client, against the gateway itself and in a browser where there is one
	$(CARGO) build --bin mozaiks
	cd clients/js && npm ci --no-audit --no-fund --loglevel=error
	cd clients/js && MOZAIKS_BIN="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/debug/mozaiks" npm test

deny: ## Licences, advisories and sources of the dependencies (needs cargo-deny)
	$(CARGO) deny --offline check licenses bans sources

conformance: setup ## PyMongo's own tests against the embedded store
	bash scripts/conformance.sh

bench: setup ## Load and micro benchmarks; see bench/README.md
	bash bench/run.sh

conformance-update: setup
	bash scripts/conformance.sh --update

clean:
	$(CARGO) clean
	rm -rf $(VENV)
