package main

import (
	"strings"
	"testing"

	"github.com/weft-sdn/weft/agent"
)

// TestPrintFlows: the tables of flows.
func TestPrintFlows(t *testing.T) {
	list := agent.FlowList{Flows: []agent.Flow{
		{Edge: "nic1", VPort: agent.Named{Name: "acme/web"}, Match: "dst=192.0.2.0/24", Guards: "ttl > 1", Action: "forward", To: &agent.Named{Name: "all of bridge acme/app"},
			At: []string{"nic1:1", "nic2:1", "nic3:1"}, Lane: "wild", Packets: 12, Bytes: 1200, AgeSeconds: 3725.4, Rewrite: "ttl_dec=1"},
		{Edge: "nic10", VPort: agent.Named{Name: "acme/web"}, Match: "*", Action: "drop", Lane: "class"},
	}, Evicted: []agent.Eviction{{Edge: "nic1", Reason: "limit", Why: "the edge had nearly maxFlows", Flows: 7}}}
	for form, want := range map[string]string{
		"table": `EDGE   VPORT     TO                      AT                        LANE   PACKETS  AGE     MATCH
nic1   acme/web  all of bridge acme/app  nic1:1,nic2:1 and 1 more  wild   12       1h2m5s  dst=192.0.2.0/24
nic10  acme/web  drop                    -                         class  0        0s      *

nic1 has evicted 7 flows, since the edge had nearly maxFlows
`,
		"wide": `EDGE   VPORT     ACTION   TO                      AT                    LANE   PACKETS  BYTES  AGE     MATCH             GUARDS   REWRITE
nic1   acme/web  forward  all of bridge acme/app  nic1:1,nic2:1,nic3:1  wild   12       1200   1h2m5s  dst=192.0.2.0/24  ttl > 1  ttl_dec=1
nic10  acme/web  drop     -                       -                     class  0        0      0s      *                 -        -

nic1 has evicted 7 flows, since the edge had nearly maxFlows
`,
	} {
		var b strings.Builder
		if err := printFlows(&b, list, form); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%swant\n%s", form, err, b.String(), want)
		}
	}
}

// TestPrintDrops: the table of drops.
func TestPrintDrops(t *testing.T) {
	list := agent.DropList{Drops: []agent.Drop{
		{Edge: "nic1", VPort: &agent.Named{ID: 3, Name: "acme/web"}, Reason: "filtered", Packets: 12},
		{Edge: "nic10", From: "underlay", Reason: "unknown_peer", Packets: 3},
	}}
	const want = `EDGE   VPORT       REASON        PACKETS
nic1   acme/web    filtered      12
nic10  (underlay)  unknown_peer  3
`
	var b strings.Builder
	if err := printDrops(&b, list, "table"); err != nil || b.String() != want {
		t.Errorf("%v\n%swant\n%s", err, b.String(), want)
	}
}
