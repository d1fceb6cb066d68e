package lab_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/testbed/lab"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// TestDrainUntil (N4): a member that drains until a time keeps its connections until then and gets no others; then they end, on all edges, and others stay.
func TestDrainUntil(t *testing.T) {
	file := parseFile(t, "testdata/lb-pool.txtar")
	parsed := func(steps, files string) *scenario.Scenario {
		t.Helper()
		s, err := scenario.Parse("drain.txtar", []byte(steps+files+"-- network.yaml --\n"+string(file.Network)+"-- hosts --\n"+poolHosts))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const ask = `leg ask
udp c1 vm1:53 count=1
udp c1 vm2:53 count=1
udp c1 vm3:53 count=1
udp c1 203.0.113.80:53 count=30
udp c2 203.0.113.80:53 count=30
udp c1 [2001:db8:113::80]:53 count=30
udp c2 [2001:db8:113::80]:53 count=30
`
	begin := parsed(ask, "")
	l := start(t, lab.Config{Scenario: begin})
	store, err := l.Store("e2")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	runScenario(t, begin, l)
	before := byMember(t, store)
	if before[1] < 10 || before[2] < 10 || before[3] < 10 {
		t.Fatalf("connections by member %v", before)
	}
	drain := func(until3 time.Time, steps string) {
		t.Helper()
		field := fmt.Sprintf(", drainUntil: %s}", until3.Format(time.RFC3339Nano))
		members := strings.NewReplacer(".3}", ".3"+field, `::3"}`, `::3"`+field).Replace(
			`[{address: 10.1.0.1}, {address: 10.1.0.2}, {address: 10.1.0.3}, {address: "fd01::1"}, {address: "fd01::2"}, {address: "fd01::3"}]`)
		runScenario(t, parsed("apply drain.yaml\n"+steps,
			"-- drain.yaml --\n{apiVersion: weft/v1, kind: Pool, metadata: {name: any, tenant: acme}, spec: {members: "+members+"}}\n"), l)
	}
	drain(time.Now().Add(time.Hour).UTC(), ask+"counters vm3 udp_received <= +2\n") // long enough, however slow the machine is
	drains := byMember(t, store)
	if drains[3] != before[3] || drains[1] <= before[1] || drains[2] <= before[2] {
		t.Errorf("while it drains: connections by member %v, before %v", drains, before)
	}
	until3 := time.Now().Add(3 * time.Second).UTC()
	drain(until3, "")
	until(ctx, t, func() string { return fmt.Sprintf("connections by member %v", byMember(t, store)) }, func() bool { return byMember(t, store)[3] == 0 })
	if early := time.Until(until3); early > 0 {
		t.Errorf("its connections ended %v early", early)
	} else if late := time.Since(until3); late > 5*time.Second {
		t.Errorf("its connections ended %v late", late)
	}
	if after := byMember(t, store); after[1] != drains[1] || after[2] != drains[2] {
		t.Errorf("others ended too: %v, before %v", after, drains)
	}
	runScenario(t, parsed(ask+"counters vm3 udp_received <= +1\n", ""), l) // it stays out
}
