# weft: build, test, measure. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
GO ?= go
BIN := bin/weft

.PHONY: help build test check p4 bench bench-p4 fuzz
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-6s %s\n", $$1, $$2}'

build: ## bin/weft
	$(GO) build -buildvcs=auto -o $(BIN) ./cmd/weft

test: ## all tests (under 15 minutes); ends with what was skipped, and why
	@$(GO) test -v -timeout 15m ./... 2>&1 | awk -f .ci/test.awk; status=$$?; .ci/missing; exit $$status

check: test ## test, vet, staticcheck, race detector
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -race -short ./...

p4: ## recompile p4src with p4c (needs p4c-bm2-ss on PATH)
	$(GO) run ./p4src/gen

bench: ## benchmarks; FIGURE lines repeat what they measured besides time
	$(GO) test -run '^$$' -bench . -benchmem ./... | tee /dev/stderr | awk -f .ci/figures.awk

bench-p4: ## the softswitch's figures: packets, ternary lookups, inserts, memory
	$(GO) test -run '^$$' -bench 'Weft|Wild|MillionEntries|WriteFlows' -benchtime 2s -count 3 ./softswitch/pipeline ./softswitch | tee /dev/stderr | awk -f .ci/figures.awk

fuzz: ## each fuzz target for a minute
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$p || exit 1; done; done
