# Every target is what CI runs; there is no second truth. Needed: Go, git, make and a module proxy, unless a line says otherwise.
.DEFAULT_GOAL := help
.PHONY: help build run caddy cluster test test-system race simulate simulate-store mutants fuzz bench lint rewrite proto reproducible vulnerabilities clean

BINARY    := bin/estorajed
ARGS      ?=
SEED      ?=
PROFILE   ?=
SECONDS   ?= 60
FUZZTIME  ?= 30s
VULNDB    ?=
DATA      ?= data/cluster
CADDY     := v2.11.9
VERSION    = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION   = $(shell git rev-parse -q --verify HEAD 2>/dev/null || echo unknown)
TOOL      := go tool -modfile=.ci/tools.mod
# Rooms whose tests need no daemon of their own: the others build one, and time it.
ROOMS      = $(shell go list ./... | grep -v -e /internal/acceptance -e /internal/bench -e /internal/local)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

build: ## bin/estorajed, static, stamped with version and revision
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION) -X main.revision=$(REVISION)' -o $(BINARY) ./cmd/estorajed

run: build ## build and start one node, its data in ./data; ARGS='-port 8080' for flags
	exec $(BINARY) $(ARGS)

# Built within the module cache, by Caddy's own go.mod and go.sum; 'go install' gives it no version. Newer ones may want a newer Go.
caddy: ## bin/caddy, the balancer of make cluster and of the tests; takes some two minutes, once
	@test "$$(bin/caddy version 2>/dev/null)" = $(CADDY) || { \
		echo 'building Caddy $(CADDY)'; \
		dir=$$(go mod download -json github.com/caddyserver/caddy/v2@$(CADDY) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && \
		CGO_ENABLED=0 GOWORK=off go build -C "$$dir" -trimpath -buildvcs=false \
			-ldflags '-s -w -X github.com/caddyserver/caddy/v2.CustomVersion=$(CADDY)' -o '$(CURDIR)/bin/caddy' ./cmd/caddy; \
	}

cluster: build caddy ## three nodes and Caddy on this machine, until Ctrl-C; DATA=data/cluster, ARGS='-port 8100' for other ports
	@go build -o bin/local ./internal/local
	@exec bin/local -data $(DATA) $(ARGS)

test: caddy ## all tests that need neither root nor Debian packages
	go vet ./...
	go test -timeout 15m ./...

test-system: ## power cuts, full disks and other tests that need root and Debian packages (.ci/run installs them)
	go test -tags system -count=1 -timeout 30m -run '^TestSystem' ./internal/acceptance

race: ## the tests of all rooms under the race detector, with invariants checked (needs a C compiler)
	go test -race -timeout 30m $(ROOMS)

simulate: ## a whole cluster in one process, from seeds, with all that can go wrong; SEED=42 replays one run, SECONDS=600 runs longer
	go test ./internal/simulation -run '^TestSimulation$$' -count=1 -timeout 0 -v -args -seconds=$(SECONDS) $(if $(SEED),-seed=$(SEED)) $(if $(PROFILE),-profile='$(PROFILE)')

simulate-store: ## the store alone over a simulated disk with crashes; SEED and SECONDS as above
	go test ./internal/store -run '^TestSimulation$$' -count=1 -timeout 0 -v -args -seconds=$(SECONDS) $(if $(SEED),-seed=$(SEED))

mutants: ## deliberate bugs, each of which a simulation, or a script, must catch
	go test -tags mutants -p 1 ./internal/simulation ./internal/store -run '^TestMutants$$' -count=1 -timeout 30m -v

fuzz: ## every fuzz test for FUZZTIME=30s
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
		for name in $$(cat "$$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
			echo "$$dir $$name"; \
			go test "$$dir" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; \
	done

bench: ## the figures of README.md, against bare handlers and etcd, as Markdown; ARGS='-only get' for a part
	go run ./internal/bench $(ARGS)

lint: ## format, vet, modern idioms, staticcheck, dead code, go.mod
	@test -z "$$($(TOOL) gofumpt -l . | tee /dev/stderr)" || { echo 'gofumpt would change these: $(TOOL) gofumpt -w .'; exit 1; }
	go vet -tags system,mutants ./...
	@test -z "$$(go fix -tags system,mutants -diff ./... | tee /dev/stderr)" || { echo 'there are newer idioms: go fix ./...'; exit 1; }
	$(TOOL) staticcheck -tags system,mutants ./...
	@test -z "$$($(TOOL) deadcode -tags system,mutants -test ./... | tee /dev/stderr)" || { echo 'nobody calls these'; exit 1; }
	go mod tidy -diff

rewrite: ## write golden files and the tables of README.md anew; read the diff
	go test $$(grep -rl --include='*_test.go' '"rewrite"' cmd internal | xargs -n 1 dirname | sort -u | sed 's|^|./|') -rewrite

proto: ## the code of the messages between nodes, from internal/peer/wire/peer.proto (needs protoc)
	@plugins=$$(mktemp -d) && trap 'rm -rf "$$plugins"' EXIT && \
		go build -modfile=.ci/tools.mod -o "$$plugins/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc && \
		PATH="$$plugins:$$PATH" protoc --go_out=paths=source_relative:. --go-grpc_out=paths=source_relative:. internal/peer/wire/peer.proto

reproducible: build ## build a clean clone elsewhere: the same commit must give the same bytes
	@clone=$$(mktemp -d) && trap 'rm -rf "$$clone"' EXIT && \
		git clone -q . "$$clone/elsewhere" && $(MAKE) -s -C "$$clone/elsewhere" build VERSION=$(VERSION) REVISION=$(REVISION) && \
		cmp $(BINARY) "$$clone/elsewhere/$(BINARY)" && echo "the same bytes: $$(sha256sum < $(BINARY))"

vulnerabilities: ## known vulnerabilities in what is called; VULNDB=folder where the public database cannot be reached
	$(TOOL) govulncheck $(if $(VULNDB),-db file://$(abspath $(VULNDB))) ./...

clean: ## remove what was built; ./data stays
	rm -rf bin
