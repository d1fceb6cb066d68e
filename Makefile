# weft: build, test, measure. `make` lists the targets.
GO ?= go
BIN := bin/weft

.PHONY: help test check p4 fuzz bench
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

test: ## all tests (under 15 minutes)
	$(GO) test ./...

check: test ## tests, vet, staticcheck, race detector
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -race -short ./...

p4: ## recompile p4src with p4c (needs p4c-bm2-ss on PATH)
	$(GO) run ./p4src/gen

bench: ## benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: ## each fuzz target for a minute
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$p || exit 1; done; done
