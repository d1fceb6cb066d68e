package main

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/agent"
)

// TestTop: rates by vport and by flow, the greatest first; of a flow that is new, or counts anew, all that it has.
func TestTop(t *testing.T) {
	flow := func(vport, match string, packets uint64) agent.Flow {
		return agent.Flow{Edge: "nic1", VPort: agent.Named{Name: vport}, Match: match, Action: "forward", To: &agent.Named{Name: "acme/web"}, Packets: packets, Bytes: 100 * packets}
	}
	before := []agent.Flow{flow("acme/a", "x", 100), flow("acme/a", "y", 50), flow("acme/b", "x", 1000)}
	now := []agent.Flow{flow("acme/a", "x", 120), flow("acme/a", "y", 10), flow("acme/b", "x", 1000), flow("acme/c", "x", 4)}
	for by, want := range map[string]string{
		byVPort: `EDGE  VPORT   BITS/S  PACKETS/S  FLOWS  OF PORT      OF RATE
nic1  acme/a  12k     15         2      12% of 100k  25% of 48k
nic1  acme/c  1.6k    2          1      -            10% of 16k
`,
		byFlow: `EDGE  VPORT   TO        BITS/S  PACKETS/S  FLOW
nic1  acme/a  acme/web  8k      10         x
nic1  acme/a  acme/web  4k      5          y
`,
	} {
		var b strings.Builder
		if err := printTop(&b, topRows(before, now, 2*time.Second, by), 2, by, bounds{map[string]uint64{"nic1 acme/a": 100e3}, map[string]uint64{"acme/a": 48e3, "acme/c": 16e3}}); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%swant\n%s", by, err, b.String(), want)
		}
	}
}

// TestShortMatch: which packets a flow has fits a column.
func TestShortMatch(t *testing.T) {
	for match, want := range map[string]string{
		"dst_mac=02:00:00:0a:01:fe ether_type=0x0800 src=10.0.0.11 dst=203.0.113.10 proto=6 frag=0 sport=28494 dport=80": "tcp 10.0.0.11:28494 > 203.0.113.10:80",
		"dst_mac=02:00:00:0d:01:fe ether_type=0x86dd src=::/1 dst=fd00:10::11 proto=58 frag=0 sport=0x8100/0xff00":       "icmp ::/1 > fd00:10::11",
		"ether_type=0x86dd dst=fd00::1 proto=17 dport=53":                                                                "udp any > [fd00::1]:53",
		"dst=10.0.0.0/8":                "ip any > 10.0.0.0/8",
		"proto=47":                      "ip/47 any > any",
		"dst_mac=02:00:00:0a:01:12":     "dst_mac=02:00:00:0a:01:12",
		"dst_mac=03:00:00:00:00:00/0x1": "dst_mac=03:00:00:00:00:00/0x1",
	} {
		if got := shortMatch(match); got != want {
			t.Errorf("%s: %s, want %s", match, got, want)
		}
	}
}
