# Everything that one does with lsm-ready, one line each: `make help`.
SHELL   := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

TARGET  := $(shell uname -m)-unknown-linux-gnu
IMAGES  := target/images
ARCH    := amd64
NODES   ?= host vm:lsm vm:nolsm
RIG     := target/debug/rig
comma   := ,
ARCHIVES := $(IMAGES)/operator.tar,$(IMAGES)/node-probe.tar,$(IMAGES)/tetragon-v1.3.0.tar,$(IMAGES)/tetragon-v1.7.0.tar
# Archives of Tetragon's own images, for AGENT=real.
REAL    := $(if $(filter real,$(AGENT)),$(wildcard $(TETRAGON_IMAGES)/*.tar))

# Always the whole workspace: with a part of it, cargo compiles the dependencies again with other features.
TEST    := cargo test -q --workspace
STATIC  := release/build.sh
ON_A_CLUSTER = $(RIG) cluster run --nodes "host vm:lsm vm:nolsm" --images $(ARCHIVES)$(addprefix $(comma),$(REAL)) --
SCENARIOS := $(TEST) --test cluster -- --test-threads=1

# Optimized, because it runs thousands of histories.
SIMULATION := cargo run -q --profile simulation -p lsm-ready-simulation
HISTORIES  ?= 1000000
FIRST      ?= 1000000

# The tests that need nothing but their own crate, by the names that cargo gives them.
UNIT_CRATES := crds tetragon cleanup kubectl-lsm node-probe e2e/agent docs/generator
UNIT_FILES := $(wildcard $(UNIT_CRATES:%=%/tests/*.rs) $(UNIT_CRATES:%=%/tests/*/main.rs) \
	operator/tests/tetragon_client*.rs operator/tests/tetragon_client*/main.rs)
# Of these, three need an API server.
UNIT_TESTS := $(filter-out api cleanup fleet,$(sort $(basename $(notdir $(patsubst %/main.rs,%,$(UNIT_FILES))))))

##@ See it
.PHONY: demo
demo: images rig ## A three-node cluster finds out which nodes can deny through LSM BPF (KEEP=1 leaves it up)
	@cargo build -q --workspace --bin kubectl-lsm_ready
	@$(RIG) api build --helm
	@ARCHIVES=$(ARCHIVES) e2e/demo.sh

##@ Test
.PHONY: test test-reproducible test-lint test-unit test-fake-api test-simulation simulate mutants test-api test-monitoring test-scale test-faults test-kernel test-kernels test-cluster test-tetragon e2e lint bench bench-scale bench-cluster
test: ## All tiers, one after the other (SKIP="kernel cluster" leaves some out and says so)
	@e2e/test.sh

test-lint: prerequisites ## Formatting, clippy with warnings as errors, and licences, versions and sources of all crates
	cargo fmt --all --check
	cargo clippy -q --workspace --all-targets -- -D warnings
	release/deny.sh licenses bans sources

lint: test-lint ## The same as test-lint

test-unit: prerequisites ## Tables and properties of every plan, verdict and parser; the programs as they are called
	$(TEST) --lib --bins $(UNIT_TESTS:%=--test %) -- --skip scenarios::

test-fake-api: prerequisites ## Controllers against a scripted API server, request by request
	$(TEST) --lib -- scenarios::

test-simulation: prerequisites ## 20,000 histories of the operator against a simulated API server, in virtual time
	$(SIMULATION) --bin simulation -- --histories 20000

simulate: prerequisites ## A million other histories (HISTORIES=number, FIRST=first seed)
	$(SIMULATION) --bin simulation -- --histories $(HISTORIES) --first $(FIRST)

mutants: prerequisites ## Puts mistakes into a copy of the operator: the simulation must find each
	$(SIMULATION) --bin mutants

# With GOGC, the API servers take more memory and less of the processors.
test-api: rig-program ## CEL, admission, RBAC, field ownership and the Helm chart on a real API server
	$(RIG) api build --helm
	GOGC=400 $(TEST) --test api_server --test api --test cleanup --test chart --test fleet -- --test-threads=16

test-monitoring: rig-program ## Metrics, alerts and dashboard with a real Prometheus; what Argo CD and Flux say of our objects
	$(RIG) api build --monitoring
	$(TEST) --test monitoring -- --test-threads=4

test-scale: static rig-program ## 1,000 nodes: all labels right, no writes at rest and after a restart, memory
	$(RIG) api build
	cargo build -q --workspace --bin bench
	target/debug/bench smoke

test-faults: rig-program ## Killed, paused and frozen API servers, etcds and operators, and 20 seeds of the simulation (SCENARIO=name, SEED=number)
	$(RIG) api build
	LSM_READY_LOG=$${LSM_READY_LOG:-error} $(TEST) --test faults

test-kernels: $(if $(filter arm64,$(ARCH)),,static) rig ## Verdicts against the truth on stock kernels in virtual machines (ARCH=arm64: emulated arm64)
	$(RIG) kernels compare --arch $(ARCH)
	$(if $(filter arm64,$(ARCH)),,$(TEST) --test hooks --test boot_lists --test no_securityfs)

test-kernel: test-kernels ## The same as test-kernels

test-cluster: images rig ## The scenarios on a whole cluster, and those of test-tetragon on the same one
	$(TEST) --test cluster --test tetragon --no-run
	$(ON_A_CLUSTER) $(TEST) --test cluster --test tetragon -- --test-threads=1

test-tetragon: images rig ## Tetragon's failure and its repair (AGENT=real TETRAGON_IMAGES=FOLDER: with its own images)
	$(TEST) --test tetragon --no-run
	$(ON_A_CLUSTER) $(TEST) --test tetragon -- --test-threads=1

# The packages of npm, by the versions and checksums of package-lock.json.
BROWSER := target/browser
CHROMIUM ?= $(or $(shell command -v chromium google-chrome | head -n 1),/usr/bin/chromium)
.PHONY: browser report-pages test-report report-pictures
browser:
	@e2e/prerequisites.sh browser

$(BROWSER)/node_modules/.package-lock.json: kubectl-lsm/tests/browser/package-lock.json | browser
	mkdir -p $(BROWSER)
	cp kubectl-lsm/tests/browser/.npmrc kubectl-lsm/tests/browser/*.json $(BROWSER)
	npm ci --silent --prefix $(BROWSER)

report-pages: prerequisites browser $(BROWSER)/node_modules/.package-lock.json
	cargo build -q --workspace --example report
	target/debug/examples/report target/report
	cp kubectl-lsm/tests/browser/*.js $(BROWSER)

test-report: report-pages ## The HTML report in Chromium: layout, axe, keyboard, hostile texts, 5,000 nodes
	REPORTS=$(CURDIR)/target/report CHROMIUM=$(CHROMIUM) node --test --test-reporter spec $(BROWSER)/report.test.js

report-pictures: report-pages ## The pictures of the report in docs/images, of a fleet that is not there
	mkdir -p docs/images
	REPORTS=$(CURDIR)/target/report PICTURES=docs/images CHROMIUM=$(CHROMIUM) node $(BROWSER)/pictures.js

test-reproducible: images ## A second build of our own crates, elsewhere, has the same images
	release/reproduce.sh

e2e: rig ## The scenarios on the cluster of KUBECONFIG, or on one of our own
	@if [ -n "$${KUBECONFIG:-}" ]; then $(RIG) api build && $(SCENARIOS); else $(MAKE) --no-print-directory test-cluster; fi

# Both parts and the table, also if a part fails.
bench: ## Everything that users wait for and pay: a table, and target/bench/*.json
	@failed=; \
	for part in bench-scale bench-cluster; do \
		$(MAKE) --no-print-directory $$part || failed="$$failed $$part"; \
	done; \
	$(BENCH) report || failed="$$failed report"; \
	if [ -n "$$failed" ]; then echo "make bench:$$failed failed"; exit 1; fi

# Optimised, as what it measures, and beside which it stands.
BENCH := target/$(TARGET)/release/bench
bench-scale: static rig-program ## Thousands of nodes beside raw patches, bare lists and NFD (ARGS="--only latency --nodes 1000")
	@$(RIG) api build
	@$(STATIC) -p lsm-ready-bench
	@$(BENCH) scale $(ARGS)

bench-cluster: images rig ## Three nodes: latencies, writes at rest, memory, what a check costs, the demonstration
	@$(STATIC) -p node-probe --example bare
	@cargo build -q --workspace --bin kubectl-lsm_ready
	@$(RIG) api build --helm
	@$(RIG) bench --images $(ARCHIVES)

##@ Build
.PHONY: prerequisites build rig rig-program static guest images images-arm64 reproducible advisories crds docs chart site
prerequisites: ## Installs Debian or Ubuntu packages that are missing (says so first)
	@e2e/prerequisites.sh

build: prerequisites ## Everything, for development
	cargo build --workspace

rig: rig-program guest ## The program that runs clusters, API servers and virtual machines: target/debug/rig

# For API servers alone. It does not wait for a build of release programs.
rig-program: prerequisites
	@cargo build --workspace --bin rig

# Each line apart: what one needs must not change what the other is built with.
static: prerequisites guest ## Static release programs for the images: operator, node-probe, test agent
	@$(STATIC) -p lsm-ready-operator -p node-probe
	@$(STATIC) -p e2e-agent

guest: prerequisites ## The static program that is the first process of every virtual machine
	@$(STATIC) -p e2e-guest

images: $(if $(filter arm64,$(ARCH)),images-arm64,static rig) ## OCI archives and their SBOMs in target/images (ENGINE=docker|podman|buildah builds them with that instead; ARCH=arm64: cross-compiled)
	@$(if $(filter arm64,$(ARCH)),:,$(RIG) image build)

images-arm64: rig-program
	@release/images-arm64.sh

reproducible: images ## A second build of everything, elsewhere, has the same images (as long as the first build)
	release/reproduce.sh full

advisories: ## Known vulnerabilities and unmaintained crates among the dependencies (needs the network)
	release/deny.sh advisories

crds: ## config/crd/bases, from the types in crds/
	cargo run -q -p lsm-ready-crds --bin crdgen -- config/crd/bases

docs: ## Pages and files that follow from the code: docs/, the chart's copies, its table of values
	cargo run -q -p lsm-ready-docs -- .

chart: docs rig-program ## charts/lsm-ready with its copies of config/, as a package in target/chart
	@$(RIG) api build --helm
	target/e2e/bin/helm4/helm package charts/lsm-ready --destination target/chart

site: ## The pages as a site: target/site (builds mdBook the first time, some minutes)
	docs/site.sh

##@ A cluster on this machine
.PHONY: cluster-up cluster-down api-up api-down
cluster-up: rig ## A real cluster in a network namespace (NODES="host vm:lsm vm:nolsm")
	$(RIG) cluster up --nodes "$(NODES)"

cluster-down: rig ## Ends the cluster and what a crash left of it
	@$(RIG) cluster down

api-up: rig-program ## etcd and API server only; prints the path of the kubeconfig last
	@$(RIG) api up

api-down: rig-program ## Ends what api-up started
	@$(RIG) api down

##@ lsm-ready on the cluster of your kubeconfig
.PHONY: install uninstall
install: ## Applies config/default (images: docs/install.md)
	kubectl apply -k config/default

uninstall: ## Removes lsm-ready and everything that it left on Nodes and DaemonSets (ARGS=--dry-run: says what)
	cargo run -q -p kubectl-lsm -- cleanup --yes $(ARGS)

##@ Other
.PHONY: help clean
help: ## This list
	@awk 'BEGIN {FS=":.*## "} /^##@/ {printf "\n%s\n", substr($$0,5)} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

clean: cluster-down api-down ## Ends what runs and removes what was built
	cargo clean
