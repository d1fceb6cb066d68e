package main

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/agent"
)

// TestPrintInterfaces: the tables of interfaces: one that is up, one that flaps, one that nobody has told of for long, and one of which nothing was told.
func TestPrintInterfaces(t *testing.T) {
	now := time.Unix(1e9, 0)
	list := agent.InterfaceList{
		Interfaces: []agent.Interface{
			{Edge: "nic1", Name: "Ethernet0", Port: 256, As: "uplink", State: "up", Admin: "UP", Oper: "UP", Speed: 25e9, LastChange: now.Add(-3725 * time.Second), Updated: now.Add(-2 * time.Second), Flaps: 3,
				Rates: &agent.Rates{InBits: 1.25e6, OutBits: 999}, Counters: map[string]uint64{"in-errors": 2, "out-discards": 3, "in-pkts": 7, "in-octets": 700}},
			{Edge: "nic1", Name: "Ethernet4", Port: 1, As: "vm1", State: "down", Held: true, Admin: "UP", Oper: "UP"},
			{Edge: "nic1", Name: "Ethernet8", Port: 2, State: "unknown", Stale: true, Oper: "DOWN", Updated: now.Add(-time.Hour)},
			{Edge: "nic10", Name: "p9", Port: 9, State: "unknown", Stale: true},
		},
		Telemetry: []agent.Telemetry{{Edge: "nic1", Connected: true}, {Edge: "nic10", Address: "sw10:9339", Error: "the target says nothing for 15s"}},
	}
	for form, want := range map[string]string{
		"table": `EDGE   INTERFACE  PORT  AS      STATE    SPEED  IN    OUT  ERRORS  CHANGED
nic1   Ethernet0  256   uplink  up       25G    1.2M  999  5       1h2m ago
nic1   Ethernet4  1     vm1     held     -      -     -    -       -
nic1   Ethernet8  2     -       stale    -      -     -    -       -
nic10  p9         9     -       unknown  -      -     -    -       -

nic10: the switch's gNMI server at sw10:9339: the target says nothing for 15s
`,
		"wide": `EDGE   INTERFACE  PORT  AS      STATE    SPEED  IN    OUT  ERRORS  CHANGED   ADMIN  OPER  IN-PKTS  OUT-PKTS  IN-BYTES  OUT-BYTES  FLAPS  RESETS  UPDATED
nic1   Ethernet0  256   uplink  up       25G    1.2M  999  5       1h2m ago  UP     UP    7        -         700       -          3      0       2s ago
nic1   Ethernet4  1     vm1     held     -      -     -    -       -         UP     UP    -        -         -         -          0      0       -
nic1   Ethernet8  2     -       stale    -      -     -    -       -         -      DOWN  -        -         -         -          0      0       1h0m ago
nic10  p9         9     -       unknown  -      -     -    -       -         -      -     -        -         -         -          0      0       -

nic10: the switch's gNMI server at sw10:9339: the target says nothing for 15s
`,
	} {
		var b strings.Builder
		if err := printInterfaces(&b, list, nil, form, now); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%swant\n%s", form, err, b.String(), want)
		}
	}
	var b strings.Builder
	if err := printInterfaces(&b, list, map[string]string{"nic1:vm1": "20M,5M"}, "table", now); err != nil || !strings.Contains(b.String(), "CHANGED   RATE\n") || !strings.Contains(b.String(), "  -         20M,5M\n") {
		t.Errorf("with rates: %v\n%s", err, b.String())
	}
	for n, want := range map[float64]string{0: "0", 999: "999", 1000: "1k", 1.5e9: "1.5G", 400e9: "400G", 1e12: "1T"} {
		if got := bits(n); got != want {
			t.Errorf("%v: %s, want %s", n, got, want)
		}
	}
}
