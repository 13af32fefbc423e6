# Koinon. `make` alone lists what there is.
#
# GOFLAGS is one set for every go command, in hack/env.sh too: a change of any of them
# compiles Kubernetes anew.
export GOFLAGS := -buildvcs=false -trimpath -tags=grpcnotrace -gcflags=all=-dwarf=false
LDFLAGS = $(shell hack/ldflags.sh)

DIR     ?= .playground
MEMBERS ?= 2

# Packages that link k8s.io/kubernetes: their tests run without -race, which would compile
# all of it a second time.
LINKS_KUBERNETES = {{$$p := .ImportPath}}{{range .Deps}}{{if eq . "k8s.io/kubernetes/pkg/api/legacyscheme"}}{{$$p}}{{end}}{{end}}
KUBE_LINKED = $(shell go list -f '$(LINKS_KUBERNETES)' ./pkg/... ./cmd/...)
RACE_PACKAGES = $(filter-out $(KUBE_LINKED),$(shell go list . ./pkg/... ./cmd/... ./hack/... ./test/simulation ./test/integration/simulated ./test/tunnelscenarios | grep -v /pkg/generated))

# Suites against real servers in which the engine is part of the test's process: the race detector
# sees it. Of the servers it sees nothing: they are processes.
ENGINE_SUITES = ./test/integration/propagation

.DEFAULT_GOAL := help
.PHONY: help build build-edge build-helm image-agent up down status test test-fast test-unit test-race test-raced test-unraced test-integration test-credentials test-propagation-race test-histories test-faults test-faults-long test-store test-minor test-kubectl test-kubefed test-kueue test-node test-edge test-relays test-tunnel-scale fuzz-tunnel soak-aggregated bench bench-store bench-propagation bench-proxy bench-tunnel bench-edge test-bench-propagation test-bench-proxy test-bench-tunnel generate verify lint clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build all binaries into bin/ (about ten minutes the first time)
	@mkdir -p bin
	go build -ldflags "$(LDFLAGS)" -o bin/ ./cmd/...
	CGO_ENABLED=0 go build -ldflags "$(LDFLAGS)" -o bin/ ./cmd/koinon-ipam
	@for name in kubectl kube-apiserver kube-controller-manager etcd; do ln -sf koinon-playground bin/$$name; done
	@ln -sf kubectl-koinon bin/kubectl_complete-koinon

# What edge nodes run on.
EDGE_PLATFORMS ?= linux/amd64 linux/arm64 linux/arm windows/amd64

build-edge: ## Build koinon-edgehub for what edge nodes run on, into bin/edge (EDGE_PLATFORMS="linux/arm64")
	@set -e; for platform in $(EDGE_PLATFORMS); do \
		echo "==> $$platform"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0 go build -ldflags "$(LDFLAGS)" -o "bin/edge/$$platform/" ./cmd/koinon-edgehub; \
	done

build-helm: ## Build the stock helm, which tests run, into bin/
	@mkdir -p bin
	cd test/clients/helm && go build -ldflags '-s -w' -o ../../../bin/helm .

image-agent: ## Build the container image of koinon-agent with buildah, podman or docker (IMAGE=registry.example/koinon-agent:v1 PLATFORMS="linux/amd64 linux/arm64")
	hack/image.sh "$(IMAGE)" $(PLATFORMS)

up: build ## Start Koinon with two real member clusters, deploy the examples, show what landed where
	bin/koinon-playground up --dir $(DIR) --members $(MEMBERS)

status: ## Show what runs of the playground
	bin/koinon-playground status --dir $(DIR)

down: ## Stop the playground and remove all it made
	bin/koinon-playground down --dir $(DIR)

# go vet of all packages, which finds more, is a part of lint: each go test would have all that its packages are
# made of analysed anew, once with the race detector and once without.
VETTED = -vet=off

test: ## Everything that CI checks; goes on after a failure, and says what took how long
	@hack/test.sh build verify test-raced test-unraced test-integration test-node

test-unit: test-race test-unraced ## Unit tests, with the race detector where Kubernetes itself is not linked

test-race: ## Unit tests of all that does not link k8s.io/kubernetes, with the race detector
	go test $(VETTED) -race -timeout 30m $(RACE_PACKAGES)

test-raced: ## test-race and test-faults at once: the one works while the other waits
	go test $(VETTED) -race -count=1 -timeout 30m ./test/storefaults/... $(RACE_PACKAGES)

test-unraced: ## Unit tests of the rest, without it
	go test $(VETTED) -timeout 30m $(KUBE_LINKED)

# The packages that take longest begin first, so that nothing is waited for at the end.
LONGEST = ./test/integration/proxy ./test/integration/propagation ./test/integration/aggregated

test-integration: build build-helm ## Tests against real servers: Koinon, kube-apiserver, MariaDB and Galera if installed
	go test $(VETTED) -count=1 -timeout 30m -p 2 $(LONGEST) $$(go list ./test/... | grep -Ev '/test/(storefaults|simulation|integration/simulated|tunnelscenarios)')

test-credentials: build ## Credentials of members with a key management service that is killed and rotated, and in dumps of MariaDB (about three minutes)
	KOINON_LONG=1 go test -count=1 -timeout 30m -v -run 'Credential' ./test/integration/members

test-propagation-race: build ## Propagation to real clusters with the race detector: the engine runs in the tests (about twelve minutes)
	go test -race -count=1 -timeout 40m -p 1 $(ENGINE_SUITES)

test-histories: ## Many random histories of the engine and simulated members, with the race detector (KOINON_SEED, KOINON_HISTORIES)
	KOINON_LONG=1 go test -race -v -count=1 -timeout 4h -run 'Histories|NothingCrosses' ./test/integration/simulated

test-faults: ## Break databases, networks and servers under the store and check what it answered
	go test $(VETTED) -race -count=1 -timeout 20m -p 1 ./test/storefaults/...

test-faults-long: ## The same with two minutes of load in each test (KOINON_LONG_SECONDS for more)
	KOINON_LONG=1 go test -race -v -count=1 -timeout 4h -p 1 ./test/storefaults/...

test-store: ## Kill copies at every step, and Kubernetes' own storage tests against every kind of store (about ten minutes)
	KOINON_LONG=1 go test -race -count=1 -timeout 30m -v -run TestServersRefuse ./pkg/storage/admin
	KOINON_LONG=1 go test -count=1 -timeout 60m -v ./test/storesuite

soak-aggregated: build ## Write through a real host for 45 s while connections and replicas move; no write may fail
	KOINON_SOAK_SECONDS=45 go test -count=1 -timeout 20m -v -run NoWriteFails ./test/integration/aggregated

test-minor: build ## What arrives in members, and a host, of Kubernetes 1.34 (builds that first, ten minutes)
	cd test/minors/kubernetes-1.34 && go build -ldflags "$$(../../../hack/ldflags.sh go.mod)" -o ../../../bin/minors/ .
	KOINON_KUBERNETES=$(CURDIR)/bin/minors/kubernetes-1.34 go test -count=1 -timeout 40m -p 1 ./test/integration/arrives ./test/integration/propagation ./test/integration/aggregated

test-kubefed: build ## What KubeFed's own controller-manager does to cells (builds that first; KOINON_STEADY=3m looks longer)
	cd test/clients/kubefed && go build -o ../../../bin/clients/kubefed-controller-manager sigs.k8s.io/kubefed/cmd/controller-manager
	KOINON_KUBEFED=$(CURDIR)/bin/clients/kubefed-controller-manager go test -count=1 -timeout 30m -v -run StockBinary ./test/integration/cellaccess

test-kueue: build ## Kueue's MultiKueue sends Jobs to a member that it finds in a ClusterProfile (builds Kueue first)
	hack/kueue.sh bin/clients/kueue
	KOINON_KUEUE=$(CURDIR)/bin/clients/kueue go test -count=1 -timeout 30m -v ./test/integration/multikueue

test-node: ## The edge hub on a real node that loses the cloud and its power, if this machine can have one; else says why not (after make build)
	@hack/test-node.sh

test-edge: build ## A real node, kubelet and containerd: without the cloud, restarted, returned; exec, logs and the like through tunnels; as root, with what hack/edge-packages.sh installs
	go build -ldflags "$(LDFLAGS)" -o bin/ k8s.io/kubernetes/cmd/kubelet k8s.io/kubernetes/cmd/kube-proxy
	go test -count=1 -timeout 30m -exec "$(CURDIR)/hack/own-machine.sh" -run RealNode -p 1 ./test/integration/edgenode ./test/integration/proxy

test-tunnel-scale: ## The tunnel's scenarios in full: 1,000 agents, 10,000 connections, hostile peers, links that are cut for minutes (KOINON_SEED; about ten minutes)
	KOINON_LONG=1 go test -count=1 -timeout 60m -v ./test/tunnelscenarios

# How long each parser is fuzzed.
FUZZTIME ?= 60s

fuzz-tunnel: ## Fuzz every parser of the tunnel that faces the network, one after the other (FUZZTIME=60s each)
	@set -e; for package in $$(grep -lr '^func Fuzz' --include='*_test.go' pkg/tunnel | xargs -n1 dirname | sort -u); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\).*/\1/p' $$package/*_test.go); do \
			echo "==> $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$package; \
		done; \
	done

test-relays: build ## Prometheus and metrics-server read kubelets through the tunnel (downloads the one, builds the other)
	hack/relay-clients.sh bin/clients
	KOINON_RELAYS=$(CURDIR)/bin/clients go test -count=1 -timeout 30m -v ./test/integration/nodes

# Versions of kubectl that test/clients/kubectl has.
KUBECTLS ?= 1.28 1.29 1.30 1.31 1.32 1.33 1.34 1.35

test-kubectl: build ## What the proxies' tests do with kubectl, with older ones (builds those first; KUBECTLS="1.28 1.31")
	@set -e; for minor in $(KUBECTLS); do \
		echo "==> kubectl $$minor"; \
		(cd test/clients/kubectl && go build -modfile=$$minor.mod -ldflags "$$(../../../hack/ldflags.sh $$minor.mod)" -o ../../../bin/clients/kubectl-$$minor .); \
		KOINON_KUBECTL=$(CURDIR)/bin/clients/kubectl-$$minor go test -count=1 -timeout 30m -skip 'Helm|AnswersThrough|Informer' ./test/integration/proxy; \
	done

test-fast: ## The inner loop: unit tests without the race detector
	go test ./pkg/... .

bench: build ## Measure against CRDs in a stock kube-apiserver, then the stores, and print the tables
	go run ./test/bench
	go run ./test/storebench

bench-store: ## Measure the stores only: ours, upstream Kine's and etcd under the same load (under 20 minutes)
	go run ./test/storebench

bench-propagation: build ## Measure what propagation to hundreds of simulated members costs (about 40 minutes)
	go run ./test/propagationbench

test-bench-propagation: build ## Run every row of that at a small scale (about four minutes)
	KOINON_LONG=1 go test -count=1 -timeout 20m -v -run EveryRow ./test/propagationbench

bench-proxy: build ## Measure what a member costs through the proxies beside the member itself
	go run ./test/proxybench

bench-edge: build ## Measure what the edge hub costs and adds, and how long a node takes from power until its pods are ready (as root, else without that): _output/bench-edge.md (about fifty minutes)
	@mkdir -p _output
	go run ./test/edgebench --markdown _output/bench-edge.md
	@if [ "$$(id -u)" = 0 ]; then \
		go build -ldflags "$(LDFLAGS)" -o bin/ k8s.io/kubernetes/cmd/kubelet && \
		KOINON_BENCH=3 KOINON_BENCH_MARKDOWN=$(CURDIR)/_output/bench-edge-power-on.md go test -count=1 -timeout 30m -exec "$(CURDIR)/hack/own-machine.sh" -run RealNodePowerOn -v ./test/integration/edgenode; \
	else echo "power-on is not measured: it takes a real node, which takes root"; fi

bench-tunnel: ## Measure the tunnel beside direct connections and upstream's konnectivity, which this builds: _output/bench-tunnel.md (about eleven minutes)
	@mkdir -p _output
	go run ./test/tunnelbench --markdown _output/bench-tunnel.md

test-bench-tunnel: ## Run every row of that at a small scale, with konnectivity (about two minutes)
	KOINON_LONG=1 go test -count=1 -timeout 20m -v -run EveryRow ./test/tunnelbench

test-bench-proxy: build ## Run every row of that at a small scale (about three minutes)
	KOINON_LONG=1 go test -count=1 -timeout 20m -v -run EveryRow ./test/proxybench

generate: ## Write generated code and manifests
	hack/update-codegen.sh
	hack/update-crds.sh

verify: lint ## Check formatting, go vet, go.mod and that generated files are up to date
	hack/verify-codegen.sh
	hack/verify-crds.sh

lint: ## Report what go vet, gofmt and go mod tidy find
	hack/verify-gofmt.sh
	go mod tidy -diff
	go vet ./...

clean: ## Remove the binaries
	rm -rf bin
