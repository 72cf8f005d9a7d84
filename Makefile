# Everything that is done to this repository by hand or by CI. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Arguments for the tests that a target runs: make test-unit ARGS=output::
ARGS ?=
CARGO ?= cargo
target := $(or $(CARGO_TARGET_DIR),target)

# The integration tests but those that need a cluster.
tests := $(filter-out cluster,$(basename $(notdir $(wildcard tests/*.rs))) $(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs)))

# Shell scripts by name or first line; those of the test cluster have a rule of their own, lint-cluster.
scripts = $$(git ls-files -co --exclude-standard | grep -v '^tests/cluster/' | while read -r file; do \
	case $$file in *.sh) echo "$$file" ;; \
	*) head -c 80 "$$file" 2>/dev/null | head -n 1 | grep -qaE '^\#!.*sh( |$$)' && echo "$$file" || true ;; esac; done)

include tests/cluster/cluster.mk

.PHONY: help prerequisites build package fmt lint lint-fmt lint-rust lint-deny lint-scripts \
	test test-unit test-servers test-scripts test-e2e demo bench

help: ## List the targets
	@echo 'usage: make TARGET [CLUSTER=NAME] [ARGS=...]'
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s '|'
	@echo 'The test cluster, a real one-node Kubernetes (default CLUSTER=dev):'
	@printf '  %s\n' 'cluster-up     Start it, and build what it needs' 'cluster-down   End it and remove all that it had' \
		'cluster-env    Print what a shell evaluates to use it: eval "$$(make -s cluster-env)"'
	@echo 'Tests use another cluster with PG_UPGRADE_TEST_CONTEXT=kind-x.'

prerequisites: ## Install what building and testing need (Debian, root); elsewhere say what is missing
	@tests/prerequisites.sh

build: ## Build the plugin for development: target/debug/kubectl-pg_upgrade
	$(CARGO) build --locked

package: ## Build the release archive and a krew manifest for it: target/package
	@krew/package.sh $(ARGS)

fmt: ## Format the Rust code
	$(CARGO) fmt

lint: lint-fmt lint-scripts lint-rust lint-cluster lint-deny ## Run every linter; nothing is changed

lint-fmt:
	$(CARGO) fmt --check

lint-rust:
	$(CARGO) clippy --locked --all-targets -- -D warnings

# Advisories need a database from the network, so that check is left to whoever has it: cargo deny check advisories.
lint-deny:
	"$$(.ci/cargo-deny)" --log-level warn check bans licenses sources

lint-scripts:
	shellcheck -x -P SCRIPTDIR $(scripts)

test: test-unit test-servers test-scripts test-e2e ## Run every test: unit, servers, scripts, cluster

test-unit: ## Run the tests that need nothing but Rust
	$(CARGO) test --locked --lib --bins $(addprefix --test ,$(tests)) $(ARGS)

test-servers: ## Run the checks against real PostgreSQL servers and pg_upgrade --check, without a cluster (root)
	$(CARGO) test --locked --lib -- --ignored $(ARGS)

test-scripts: ## Run the pod scripts against real PostgreSQL servers, without a cluster (root)
	tests/scripts/run.sh $(ARGS)

# More tests at once than processors: most of their time is waiting.
test-e2e: export RUST_TEST_THREADS ?= 4

# The tests refuse any cluster that PG_UPGRADE_TEST_CONTEXT does not name, so that nobody's current context is ever used.
test-e2e: ## Run the plugin against a real cluster, which is started when it is not up (root)
ifdef PG_UPGRADE_TEST_CONTEXT
	$(CARGO) test --locked --test cluster -- $(ARGS)
else
	@$(MAKE) --no-print-directory cluster-up CLUSTER=$(CLUSTER)
	@eval "$$(tests/cluster/env.sh)"; export PG_UPGRADE_TEST_CONTEXT=pg-upgrade-$(CLUSTER); set -x; \
		$(CARGO) test --locked --test cluster -- $(ARGS)
endif

# The test cluster's tests of itself come after those of the plugin.
test-cluster: test-e2e

demo: ## Upgrade a PostgreSQL with applications before your eyes (root)
	@tests/demo/run.sh $(ARGS)

bench: ## Measure outage and preflight on the test cluster (root)
	@tests/bench/run.sh $(ARGS)
