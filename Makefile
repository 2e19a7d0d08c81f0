# Two commands do all the rest on a fresh Debian or Ubuntu with a Rust toolchain: `make demo` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# `make test LOCKED=--locked` refuses a Cargo.lock that does not fit, as the check of a change does.
LOCKED ?=

# RocksDB is by far the largest part of a first build: some half an hour of processor time. clang compiles it
# faster than gcc, and ccache compiles it once: both profiles give it the same flags (see Cargo.toml), so the
# release build of the demo and the dev build of the tests share the objects, and so does every later target
# folder. The words must stay the same from call to call, since another compiler makes Cargo build it again. A CC or
# CXX of your own is kept. Recursive on purpose: looked up only after the set-up has run.
ifeq ($(origin CC),default)
CC = $(if $(shell command -v ccache),$(if $(shell command -v clang),ccache clang,cc),cc)
endif
ifeq ($(origin CXX),default)
CXX = $(if $(shell command -v ccache),$(if $(shell command -v clang++),ccache clang++,c++),c++)
endif
export CC CXX

# The Python of the set-up's environment, also for tests that run the phone in docs/device-protocol.
export PHONE_PYTHON ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tocsin/python/bin/python

# A folder named by CARGO_TARGET_DIR is honoured, as Cargo itself does.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

# The long forms that `make verify` runs: kills of the running server, and kills of a process that only stores.
KILLS ?= 200

# Steps run in the order in which they are named; Cargo uses all processors by itself.
.NOTPARALLEL:
.PHONY: help setup setup-bench setup-tests demo run deb test format lint docs unit deny audit bench prove verify

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what a build needs and say what was missing.
	@scripts/setup

setup-bench:
	@scripts/setup bench

setup-tests:
	@scripts/setup python

demo: setup ## Watch real logins go through, against doubles of Apple, Google and Twilio. KEEP=1 leaves it up.
	$(CARGO) build $(LOCKED) --release -p tocsin-api -p tocsin-loadtest
	$(TARGET_DIR)/release/tocsin-loadtest demo

run: setup ## Serve a trial on loopback, with doubles of Apple and Google. CONFIG=FILE serves that one.
	$(CARGO) build $(LOCKED) --release -p tocsin-api -p tocsin-loadtest
	$(CARGO) build $(LOCKED) --release -p tocsin-mock --example world
	scripts/run $(TARGET_DIR)/release

deb: setup ## Build a Debian package into the target folder.
	$(CARGO) build $(LOCKED) --profile dist -p tocsin-api
	scripts/package-deb $(TARGET_DIR)/dist/tocsin $(TARGET_DIR)

test: setup-tests lint docs unit ## Check everything: formatting, lints, documentation, all tests.

format:
	$(CARGO) fmt --all --check

lint: format deny ## Check formatting, lints and, where cargo-deny is installed, dependencies.
	$(CARGO) clippy $(LOCKED) --workspace --all-targets --all-features -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --workspace --no-deps --all-features

unit:
	$(CARGO) test $(LOCKED) --workspace --all-features --no-fail-fast

# Needs no network; `make audit` asks the public list of known faults, which changes by itself.
deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(CARGO) deny check --hide-inclusion-graph bans licenses sources; \
	else \
	    echo "cargo-deny is not installed: licences and bans go unchecked (cargo install --locked cargo-deny)"; \
	fi

audit: ## Check dependencies against the public list of known faults. Needs cargo-deny and the network.
	$(CARGO) deny check advisories

bench: setup-bench ## Measure ours beside the bare libraries; the table goes into bench/RESULTS.md.
	$(CARGO) build $(LOCKED) --release -p tocsin-api
	rm -rf $(TARGET_DIR)/criterion $(TARGET_DIR)/tmp/bench-figures
	$(CARGO) bench $(LOCKED) -p tocsin-bench
	$(TARGET_DIR)/release/tocsin-bench results $(TARGET_DIR) bench/RESULTS.md

# `make prove PROVE="full-flow --runs 1"` measures one target once.
prove: setup ## Hold the release build against its targets of speed; some half an hour. PROVE names targets and options.
	$(CARGO) build $(LOCKED) --release -p tocsin-api -p tocsin-loadtest
	$(TARGET_DIR)/release/tocsin-loadtest prove --keep bench/proved.json --page bench/RESULTS.md $(PROVE)

verify: setup-tests ## Run the tests in their long forms, with what they measured.
	TOCSIN_KILLS=$(KILLS) TOCSIN_STORAGE_KILLS=$(KILLS) PROPTEST_CASES=4096 \
	    $(CARGO) test $(LOCKED) --workspace --all-features --no-fail-fast -- --show-output
