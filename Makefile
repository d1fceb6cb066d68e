# weft: build, test, measure. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
GO ?= go
BIN := bin/weft

.PHONY: help demo build test check p4 bench bench-p4 bench-demo bench-devices bench-engine bench-api bench-telemetry bench-vpn internet fuzz soak
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: build ## build, then show the reference network with real traffic (weft demo)
	@$(BIN) demo

build: ## bin/weft
	$(GO) build -buildvcs=auto -o $(BIN) ./cmd/weft

test: ## all tests (under 15 minutes); ends with what was skipped, and why
	@.ci/peers
	@$(GO) test -v -timeout 15m ./... 2>&1 | awk -f .ci/test.awk; status=$$?; .ci/missing; exit $$status

check: test ## test, vet, staticcheck, race detector
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -race -short -p 1 -timeout 20m ./...

p4: ## recompile p4src with the p4c backends on PATH: p4c-bm2-ss, p4c-barefoot and bfas (Tofino), p4c-dpdk
	$(GO) run ./p4src/gen

bench: bench-demo ## all benchmarks; FIGURE lines have the names that docs/benchmarks.md uses
	@$(GO) test -p 1 -run '^$$' -bench . -benchmem -timeout 60m ./... | tee /dev/stderr | awk -f .ci/figures.awk

bench-p4: ## FIGUREs of p4rt and the softswitch, beside bmv2 as root if simple_switch_grpc is on PATH
	@$(GO) test -p 1 -run '^$$' -bench 'Weft|Wild|MillionEntries|WriteFlows|Writer|VersusBMv2' -benchtime 2s -count 3 -benchmem ./p4rt ./softswitch/pipeline ./softswitch | tee /dev/stderr | awk -f .ci/figures.awk

bench-demo: build ## FIGUREs of the demo, each part a process of its own
	@$(BIN) demo --processes --json | sed 's/.*"figures":{//; s/}.*//; s/"//g' | tr ',:' '\n ' | sed 's/^/FIGURE /; s/demo_ready.*/& s/; s/agent_rss.*/& MB/'

bench-devices: ## FIGUREs of the virtual devices: what each adds to a walk, long chains, memory and database of connections
	@$(GO) test -p 1 -run '^$$' -bench '^(BenchmarkDevices|BenchmarkConnBytes)$$' ./sim ./engine ./state | tee /dev/stderr | awk -f .ci/figures.awk

ENGINE_BENCHES := Decisions|EvictHitRatio|MillionFlows|RouteFlap|TopologyShare|StatelessFlows|StatefulFlows|Victim|Restart|Standby|Move
bench-engine: ## FIGUREs of the engine at scale: rates of new flows, a million of them, edits, restarts, moves, floods
	@$(GO) test -p 1 -run '^$$' -bench '^Benchmark($(ENGINE_BENCHES))$$' -timeout 30m ./engine ./testbed/lab | tee /dev/stderr | awk -f .ci/figures.awk

bench-bgp: ## FIGUREs of learned routes: a table of the Internet from a neighbour to other edges beside a bare GoBGP server, fail-over, lookups (10 minutes, 8 GB)
	@$(GO) test -p 1 -run '^$$' -bench '^Benchmark(RIB|RouteLookup|Internet|Failover)$$' -benchtime 1x -timeout 60m ./state ./topology ./bgp | tee /dev/stderr | awk -f .ci/figures.awk

internet: ## two BIRD upstreams with a table of the Internet each, under traffic: one is lost, and comes back (root; 3 minutes, 16 GB)
	@WEFT_INTERNET=1 $(GO) test -count=1 -timeout 60m -run '^TestInternet$$' -v ./testbed/border | grep -v 'level='

bench-vpn: ## FIGUREs of VPNs: throughput beside wireguard-go alone, and how soon another edge serves when the holder is killed
	@$(GO) test -p 1 -run '^$$' -bench '^Benchmark(Tunnel|VPNFailover)$$' -benchtime 1x ./vpn ./cmd/weft | tee /dev/stderr | awk -f .ci/figures.awk

bench-telemetry: ## FIGUREs of telemetry: how fast flows leave a link that goes down, what the switch's counters cost, what all of it costs an agent, and how near to its rate a link carries
	@$(GO) test -p 1 -run '^$$' -bench '^Benchmark(LinkDown|Sample|TelemetryCost|Rate)$$' ./telemetry ./testbed/lab | tee /dev/stderr | awk -f .ci/figures.awk

bench-api: ## FIGUREs of the management API: writes and reads by 64 callers, lists among 100,000 vports, a network of 10,000 objects at once (3 minutes)
	@$(GO) test -p 1 -run '^$$' -bench '^Benchmark(Writes|Reads|ListFirstPage|Apply10k)$$' -benchtime 3x -timeout 30m ./api | tee /dev/stderr | awk -f .ci/figures.awk

bench-scale: ## FIGUREs of 1,000 edges with an agent each: 100,000 vports, 10,020 routers (9 minutes, 13 GB; not beside other work)
	@$(GO) test -p 1 -run '^$$' -bench '^BenchmarkScale$$' -benchtime 1x -timeout 60m ./engine | tee /dev/stderr | awk -f .ci/figures.awk

bench-%: # FIGUREs of one folder: bench-sim, bench-state, bench-testbed (the engine, end to end) …
	@$(GO) test -p 1 -run '^$$' -bench . -benchmem -timeout 60m ./$*/... | tee /dev/stderr | awk -f .ci/figures.awk

fuzz: ## each fuzz target for a minute, then properties of decisions on many random networks
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$p || exit 1; done; done
	WEFT_SOUNDNESS_CASES=1000000 WEFT_CASES=100000 $(GO) test -count=1 -timeout 3h -v -run 'Soundness|Dependencies|Equals' ./sim ./offload | grep -v '^=== '
	WEFT_MODEL_STEPS=10000000 $(GO) test -count=1 -timeout 1h -v -run 'Model$$' ./softswitch | grep -v '^=== '

SOAK ?= 10m
soak: ## everything fails by a seed's schedule, under traffic and changes, for SOAK=10m; WEFT_SEED=n begins with that seed
	@WEFT_SOAK=$(SOAK) $(GO) test -count=1 -timeout 0 -run '^TestSoak$$' -v ./testbed/soak
