# Everything one does with lsm-ready, one line each: `make help`.
SHELL   := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

TARGET  := $(shell uname -m)-unknown-linux-gnu
STATIC  := target/$(TARGET)/release
IMAGES  := target/images
ARCH    := amd64
NODES   ?= host vm:lsm vm:nolsm
CLUSTER := target/debug/cluster
ARCHIVES := $(IMAGES)/operator.tar,$(IMAGES)/node-probe.tar,$(IMAGES)/tetragon-v1.3.0.tar
SCENARIOS := cargo test -q -p e2e --test cluster -- --test-threads=1
comma := ,
# Archives of Tetragon's own images, for AGENT=real.
REAL := $(if $(filter real,$(AGENT)),$(wildcard $(TETRAGON_IMAGES)/*.tar))
AGENTS := $(ARCHIVES),$(IMAGES)/tetragon-v1.7.0.tar$(addprefix $(comma),$(REAL))

##@ See it
.PHONY: demo
demo: images cluster-tool ## Three-node cluster that finds out which nodes can deny through LSM BPF (KEEP=1 leaves it up)
	@ARCHIVES=$(ARCHIVES) e2e/demo.sh

##@ Test
.PHONY: test test-unit test-fake-api test-api test-kernel test-kernels test-cluster test-tetragon e2e lint bench
test: ## All tiers; SKIP="kernel cluster" leaves some out and says so
	@e2e/test.sh

test-lint lint: prerequisites ## Formatting and clippy, with warnings as errors
	cargo fmt --all --check
	cargo clippy -q --workspace --all-targets -- -D warnings

test-unit: prerequisites ## Tables and properties of every plan, verdict and parser; the programs as they are called
	cargo test -q --workspace --lib --bins -- --skip scenarios::
	cargo test -q -p lsm-ready-crds -p lsm-ready-tetragon -p kubectl-lsm -p node-probe -p lsm-ready-docs --test '*'
	cargo test -q -p lsm-ready-operator --test 'tetragon_client*'

test-fake-api: prerequisites ## Controllers against a played API server, request by request
	cargo test -q --workspace --lib -- scenarios::

test-api: prerequisites e2e/cluster e2e/helm ## CEL, admission, RBAC and field ownership on a real API server
	cargo test -q -p e2e --test api_server
	cargo test -q -p lsm-ready-operator --test api -- --test-threads=6

test-kernels test-kernel: prerequisites $(if $(filter arm64,$(ARCH)),static-arm64,static) ## Verdicts against the truth on stock kernels in virtual machines (ARCH=arm64)
	cargo run -q -p e2e --bin kernels -- --arch $(ARCH)
	$(if $(filter arm64,$(ARCH)),,cargo test -q -p e2e --test hooks --test boot_lists --test no_securityfs)

test-cluster: images cluster-tool ## The scenarios on the whole cluster
	cargo test -q -p e2e --test cluster --no-run
	$(CLUSTER) run --nodes "host vm:lsm vm:nolsm" --images $(ARCHIVES) -- $(SCENARIOS)

test-tetragon: images cluster-tool ## Tetragon's failure and its repair; AGENT=real TETRAGON_IMAGES=… with its own images
	cargo test -q -p e2e --test tetragon --no-run
	$(CLUSTER) run --nodes "host vm:lsm vm:nolsm" --images $(subst $() ,,$(AGENTS)) -- \
		cargo test -q -p e2e --test tetragon -- --test-threads=1

e2e: ## The scenarios; KUBECONFIG=… runs them on that cluster instead of on one of our own
	@if [ -n "$${KUBECONFIG:-}" ]; then e2e/cluster/build.sh >/dev/null && $(SCENARIOS); else $(MAKE) --no-print-directory test-cluster; fi

bench: images cluster-tool ## Latencies, writes at rest, memory, and what a check costs: target/bench/*.json
	@RUSTFLAGS=-Ctarget-feature=+crt-static cargo build --release --target $(TARGET) -p node-probe --example bare
	@e2e/bench-check.sh
	@ARCHIVES=$(ARCHIVES) e2e/bench.sh

##@ Build
.PHONY: prerequisites build static images crds docs
prerequisites: ## Debian or Ubuntu packages that are missing (says so first)
	@e2e/prerequisites.sh

build: prerequisites ## Everything, for development
	cargo build --workspace

static: prerequisites ## Static release binaries for the images: operator, node-probe, agent
	@RUSTFLAGS=-Ctarget-feature=+crt-static cargo build --release --target $(TARGET) -p lsm-ready-operator -p node-probe
	@RUSTFLAGS=-Ctarget-feature=+crt-static cargo build --release --target $(TARGET) -p e2e-agent

.PHONY: static-arm64
static-arm64: prerequisites
	@e2e/arm64.sh

images: static ## OCI archives in target/images; ENGINE=docker|podman|buildah builds them with that instead
	@e2e/images.sh

crds: ## config/crd/bases from the types in crds/
	cargo run -q -p lsm-ready-crds --bin crdgen -- config/crd/bases

docs: ## The pages of docs/ that follow from the code: reasons, boot parameters, names that are API
	cargo run -q -p lsm-ready-docs -- .

##@ A cluster on this machine
.PHONY: cluster-up cluster-down api-up api-down cluster-tool
cluster-tool: prerequisites e2e/cluster
	@cargo build -p e2e --bins

.PHONY: e2e/cluster e2e/helm
e2e/cluster e2e/helm: prerequisites
	@$@/build.sh >/dev/null

cluster-up: cluster-tool ## A real cluster in a network namespace (NODES="host vm:lsm vm:nolsm")
	$(CLUSTER) up --nodes "$(NODES)"

cluster-down: ## Ends the cluster and what a crash left of it
	@cargo run -q -p e2e --bin cluster -- down

api-up: prerequisites e2e/cluster ## etcd and API server only; prints the kubeconfig's path last
	@cargo run -q -p e2e --bin api -- up

api-down: ## Ends what api-up started
	@cargo run -q -p e2e --bin api -- down

##@ Other
.PHONY: help clean
help: ## This list
	@awk 'BEGIN{FS=":.*## "} /^##@/{printf "\n%s\n", substr($$0,5)} /^[a-z0-9-]+( [a-z0-9-]+)*:.*## /{split($$1,n," "); printf "  %-14s %s\n", n[1], $$2}' $(MAKEFILE_LIST)

clean: cluster-down api-down ## Ends what runs and removes what was built
	cargo clean
