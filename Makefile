# Everything a user, a developer or CI runs; `make` alone lists it. Nothing is installed outside $(VENV).

PYTHON ?= python3
VENV ?= .venv
DEMO ?= zkmargin-demo
WORKERS ?= 2
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 300
SHARDS ?=
SIGNING_KEY ?=
# Coverage counts memory too, and does not follow into the processes of a cluster.
COVERING := $(filter-out %_memory.py %_cluster.py,$(wildcard $(addprefix tests/test_,golden*.py verif*.py \
	batch_checks.py statement_checks.py field_group.py shared_sums.py exact.py protocol_algebra.py transcript.py srs.py \
	srs_points.py srs_files.py circuit_*.py universe.py hostile_snapshots.py workers.py witness.py limits.py encoders.py \
	margin_many.py public_values.py delta_norm.py breach.py secp256k1.py signers.py components_*.py policies_*.py \
	span_*.py chain_*.py venue_*.py second_chain.py second_venue_verifier.py)))
BENCH_ARGS ?=
BIN := $(VENV)/bin

# The lock holds for the build backend too; pip 25.3 and newer read that from the second name.
# `make CONSTRAINTS= ...` takes the newest versions that pyproject.toml allows instead.
CONSTRAINTS ?= constraints.txt
export PIP_CONSTRAINT := $(CONSTRAINTS)
export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP_INSTALL := $(BIN)/python -m pip install -qq

USER_READY := $(VENV)/.installed
DEV_READY := $(VENV)/.installed-dev
BENCH_READY := $(VENV)/.installed-bench
CONTRACTS_READY := $(VENV)/.installed-contracts
PEERS_READY := $(VENV)/.installed-peers
WEB_READY := $(VENV)/.installed-web
DOCS_READY := $(VENV)/.installed-docs

.DELETE_ON_ERROR:
.PHONY: help demo test conformance assurance contracts analysis artefacts web page docs shells units test-tools image golden coverage lowest lint types layers wheel pythons release bench bench-peers soak \
	venue-million smoke dev lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

demo: $(USER_READY)  ## from an example market to an accepted proof, and what must fail does
	@$(BIN)/zkmargin demo --folder $(DEMO)

test: $(DEV_READY)  ## the whole test suite
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

conformance: $(DEV_READY)  ## only the tests against published data in $ZKMARGIN_CONFORMANCE_DATA
	@test -n "$$ZKMARGIN_CONFORMANCE_DATA" || { echo "error: ZKMARGIN_CONFORMANCE_DATA names no folder" >&2; exit 1; }
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m conformance $(PYTEST_ARGS)

assurance: $(CONTRACTS_READY)  ## what takes hours, in shards that can be resumed (SHARDS="a b" runs these; see tests/assurance.py)
	$(PIP_INSTALL) --editable '.[assurance]'
	FUZZ_SECONDS=$(FUZZ_SECONDS) WORKERS=$(WORKERS) $(BIN)/python tests/assurance.py $(SHARDS)

contracts: $(CONTRACTS_READY)  ## compile the contracts again and compare bytes; test them on two EVMs (needs node and npm)
	$(BIN)/python -m contracts.build --check
	$(BIN)/pytest -n $(WORKERS) --dist loadfile contracts/tests $(PYTEST_ARGS)

analysis: $(CONTRACTS_READY)  ## slither over the contracts, in an environment of its own: what it finds fails
	@$(PYTHON) -m venv $(VENV)/slither && unset PIP_CONSTRAINT PIP_BUILD_CONSTRAINT && \
	$(VENV)/slither/bin/python -m pip install -qq -r contracts/analysis-requirements.txt
	contracts/analyse.sh $(abspath $(VENV))/slither/bin/slither

artefacts: $(CONTRACTS_READY)  ## write the compiled contracts that the package ships
	$(BIN)/python -m contracts.build

web: $(WEB_READY)  ## build the verifier page and the TypeScript client again, compare bytes; test in node and Chromium (needs npm and chromium)
	$(BIN)/python -m web.build --check
	$(BIN)/python -m web.client.describe --check
	$(BIN)/pytest -n $(WORKERS) --dist loadfile web/tests $(PYTEST_ARGS)

page: $(WEB_READY)  ## write the verifier page that the package ships
	$(BIN)/python -m web.build

shells: $(DEV_READY) test-tools  ## completion in bash, zsh and fish, and the manual pages as man reads them (needs zsh, fish and man)
	ZKMARGIN_TOOLS=required $(BIN)/pytest -q tests/test_shells.py

units: $(DEV_READY) test-tools  ## deploy/: the units as systemd reads them, run as they stand (needs systemd-analyze)
	ZKMARGIN_TOOLS=required $(BIN)/pytest -q tests/test_deploy.py

# apt's systemd package starts nothing here: its programs are all that is wanted.
test-tools:
	@missing=; for tool in zsh fish man systemd-analyze; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; [ -z "$$missing" ] || \
	{ [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq install -y --no-install-recommends zsh fish man-db systemd >/dev/null; } || \
	{ echo "error: what a user's machine has is tried as it is: apt install zsh fish man-db systemd (missing:$$missing)" >&2; exit 1; }

BUILDER ?= $(firstword $(foreach tool,podman buildah docker,$(if $(shell command -v $(tool)),$(tool))))
image:  ## the venue's service as a container image, of this folder (needs podman, buildah or docker; BASE=IMAGE: on another base)
	@[ -n "$(BUILDER)" ] || { echo "error: a builder of images is needed: apt install buildah" >&2; exit 1; }
	$(BUILDER) build $(if $(BASE),--build-arg BASE=$(BASE)) -f deploy/Containerfile -t zkmargin .

docs: $(DOCS_READY)  ## the documentation site in build/docs, references made anew; every warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs

golden: $(DEV_READY)  ## compare every golden file with what its generator makes (WRITE=FAMILY makes one's again)
	$(BIN)/python tests/goldens.py $(if $(WRITE),--write $(WRITE))

coverage: $(DEV_READY)  ## every line and branch of verifier, circuits, transcript, encodings and setup, of chain and venue too
	$(BIN)/coverage run -m pytest -q $(COVERING)
	$(BIN)/coverage report

lowest:  ## the test suite with the lowest versions that pyproject.toml allows, in an environment of its own
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; unset PIP_CONSTRAINT PIP_BUILD_CONSTRAINT; \
	$(PYTHON) -m venv "$$tmp/venv"; "$$tmp/venv/bin/python" -m pip install -qq uv; \
	"$$tmp/venv/bin/uv" pip install -q --python "$$tmp/venv/bin/python" --resolution lowest-direct --editable '.[dev]'; \
	"$$tmp/venv/bin/python" -m pytest -q -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

lint: $(DEV_READY)  ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_READY)  ## mypy strict over the packages, tests, benchmarks and what tests the pages
	@$(PIP_INSTALL) --editable '.[dev,web]'
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/mypy -p benchmarks
	MYPYPATH=web/tests:tests $(BIN)/mypy web

layers: $(DEV_READY)  ## every folder imports only from the folders below it
	$(BIN)/lint-imports --no-cache

wheel: $(DEV_READY)  ## wheel and sdist in dist/, used from a clean environment outside this folder
	bash .ci/wheel $(BIN)/python

pythons: $(DEV_READY)  ## a fast part of the suite on Python 3.12 and 3.13, where this machine has them
	bash .ci/pythons $(BIN)/python 3.11 3.12 3.13

release: $(DEV_READY)  ## dist/ with wheel, sdist, SBOM, hashes and (SIGNING_KEY=...) signatures, of a clean commit
	@$(PIP_INSTALL) 'cyclonedx-bom>=7,<8'
	SIGNING_KEY="$(SIGNING_KEY)" bash .ci/release $(abspath $(BIN)/python)

bench: $(BENCH_READY)  ## the benchmarks beside their peers (minutes); docs/benchmarks.md has the options for BENCH_ARGS
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-peers: $(PEERS_READY)  ## native bb with Noir and snarkjs with circom on our statement, bb's Solidity verifier, beside ours (node, npm)
	$(BIN)/python -m benchmarks.peers $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.peers.gas

MILLION ?= 1000000
venue-million: $(BENCH_READY)  ## a venue of a million accounts, proved and verified once (minutes, gigabytes); goes on where it was stopped
	$(BIN)/python -m benchmarks.venue --accounts $(MILLION) --digit-bits 16 --folder .venue-$(MILLION)

soak: $(DEV_READY)  ## a venue and three makers for half an hour: latency, memory, CPU and losses into docs/soak.md
	$(BIN)/python tests/soak.py $(SOAK_ARGS)

smoke: $(DEV_READY)  ## the benchmarks small and once: that they work, not how fast
	$(BIN)/python -m benchmarks --quick

dev: $(DEV_READY)  ## install for development: $(VENV) with all tools, locked versions

lock:  ## rewrite constraints.txt with the newest versions that pyproject.toml allows
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; unset PIP_CONSTRAINT PIP_BUILD_CONSTRAINT; \
	$(PYTHON) -m venv "$$tmp/venv"; "$$tmp/venv/bin/python" -m pip install -qq '.[dev,bench,evm,web,docs,assurance]' 'hatchling>=1.26' editables; \
	{ sed '/^#/!d' constraints.txt; "$$tmp/venv/bin/python" -m pip freeze --exclude zkmargin; } > "$$tmp/lock"; \
	cp "$$tmp/lock" constraints.txt

clean:  ## remove the environment, caches, build output and the demo's files
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache $(DEMO)
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

$(USER_READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "error: zkmargin needs Python 3.11 or newer as $(PYTHON); name one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing zkmargin into $(VENV) (the first time takes a minute) ..."
	@$(PYTHON) -m venv $(VENV) || \
	{ echo "error: $(PYTHON) -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PIP_INSTALL) --editable .
	@touch $@

$(DEV_READY): $(USER_READY)
	@echo "Adding the development tools to $(VENV) ..."
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

$(DOCS_READY): $(DEV_READY)
	@echo "Adding what the documentation is built with to $(VENV) ..."
	@$(PIP_INSTALL) --editable '.[dev,docs]'
	@touch $@

$(BENCH_READY): $(DEV_READY)
	@echo "Adding what the benchmarks compare with to $(VENV) ..."
	@$(PIP_INSTALL) --editable '.[dev,bench]'
	@touch $@

$(CONTRACTS_READY): $(DEV_READY) contracts/package-lock.json
	@command -v npm >/dev/null || { echo "error: the contracts' tools need node and npm" >&2; exit 1; }
	@echo "Adding the contracts' tools to $(VENV) and contracts/node_modules ..."
	@$(PIP_INSTALL) --editable '.[evm]'
	@cd contracts && npm ci --silent --no-audit --no-fund
	@touch $@

$(PEERS_READY): $(CONTRACTS_READY) benchmarks/peers/package-lock.json
	@echo "Adding general provers to benchmarks/peers/node_modules (280 MB) ..."
	@cd benchmarks/peers && npm ci --silent --no-audit --no-fund
	@touch $@

$(WEB_READY): $(DEV_READY) web/package-lock.json
	@command -v npm >/dev/null || { echo "error: the page's tools need node and npm" >&2; exit 1; }
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get -qq install -y chromium >/dev/null; } || \
	{ echo "error: the page is tested in Chromium: apt install chromium" >&2; exit 1; }
	@echo "Adding the page's tools to $(VENV) and web/node_modules ..."
	@$(PIP_INSTALL) --editable '.[dev,web]'
	@cd web && npm ci --silent --no-audit --no-fund
	@touch $@
