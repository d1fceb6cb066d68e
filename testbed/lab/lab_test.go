package lab_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := leftBehind(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// leftBehind tells what labs of this process left: goroutines, directories, processes.
func leftBehind() error {
	// GoBGP leaves the queue of what a peer was to be told behind when something is in it at the end.
	err := goleak.Find(goleak.IgnoreTopFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer"))
	dirs, globErr := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("weft-lab-%d-*", os.Getpid())))
	if len(dirs) > 0 {
		err = errors.Join(err, fmt.Errorf("left behind: %q", dirs))
	}
	children, readErr := filepath.Glob("/proc/self/task/*/children")
	for _, file := range children {
		if pids, _ := os.ReadFile(file); len(pids) > 0 {
			err = errors.Join(err, fmt.Errorf("left behind: processes %s", pids))
		}
	}
	return errors.Join(err, globErr, readErr)
}

// start runs a lab until the test ends, and waits until it is ready.
func start(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	l, err := lab.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("lab: %v", err)
		}
	})
	select {
	case <-l.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("lab ended: %v", err)
	case <-time.After(60 * time.Second):
		t.Fatal("lab was not ready within 60 s")
	}
	return l
}

func parseFile(t *testing.T, file string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runScenario runs a scenario on a lab and reports its legs.
func runScenario(t *testing.T, s *scenario.Scenario, l *lab.Lab) scenario.Report {
	t.Helper()
	report, err := scenario.Run(t.Context(), s, l, nil)
	if err != nil {
		t.Error(err)
	}
	for _, leg := range report.Legs {
		t.Logf("%s: %d packets, %d on the fast path, %d upcalls, %d drops, %d entries, first %.0f us, later %.0f us, took %.0f ms",
			leg.Name, leg.Packets, leg.FastPath, leg.Upcalls, leg.Drops, leg.Entries, leg.FirstPacketUS, leg.RTTUS, leg.TookMS)
	}
	return report
}

// TestScenarios runs the scenarios of testdata in memory.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel() // most of them wait most of the time
			s := parseFile(t, file)
			runScenario(t, s, start(t, lab.Config{Scenario: s}))
		})
	}
}

// TestTofinoPipeline: agents that know no other program run the one for Tofino, on targets with the ways of Stratum: no idle timeouts, one replica a clone session. What is
// of bridges, routers, connections and groups, with an agent of its own process's files once (X1, X5).
func TestTofinoPipeline(t *testing.T) {
	for _, file := range []string{"bridge", "routed", "nat", "move", "multicast"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := parseFile(t, "testdata/"+file+".txtar")
			runScenario(t, s, start(t, lab.Config{Scenario: s, Target: lab.Stratum, Reachable: file == "routed"}))
		})
	}
}

// departed is a VM that moves while packets of it, ARP requests, still wait for the agent of the edge that it leaves.
const departed = `
leg departed
ping vm1 vm2
raw vm2 arp count=3000
bind vm2 e3
raw vm2 arp count=3000
bind vm2 e2
raw vm2 arp count=3000
bind vm2 e3
ping vm2 vm1
ping vm1 vm2
-- arp --
ffffffffffff 020000000002 0806
0001 0800 06 04 0001 020000000002 0a000002 000000000000 0a000001
-- network.yaml --
apiVersion: weft/v1
kind: Bridge
metadata: {name: lan, tenant: red}
spec: {}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm1, tenant: red}
spec: {device: bridge/lan, mac: "02:00:00:00:00:01", addresses: [10.0.0.1/24, "fd00::1/64"]}
---
apiVersion: weft/v1
kind: VPort
metadata: {name: vm2, tenant: red}
spec: {device: bridge/lan, mac: "02:00:00:00:00:02", addresses: [10.0.0.2/24, "fd00::2/64"]}
-- edges --
e1
e2
e3
-- hosts --
vm1 vport=red/vm1 edge=e1
vm2 vport=red/vm2 edge=e2
`

// TestDeparted: every packet that a VM sent before it moved away is accounted for: decided, or dropped and counted.
func TestDeparted(t *testing.T) {
	s, err := scenario.Parse("departed.txtar", []byte(departed))
	if err != nil {
		t.Fatal(err)
	}
	runScenario(t, s, start(t, lab.Config{Scenario: s}))
}
