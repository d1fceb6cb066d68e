package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
)

// TestNoMeterIsLeft (Q1): where an edge has no meter left for a link, flows pass it without, and that is told; they have it as soon as there is one.
func TestNoMeterIsLeft(t *testing.T) {
	s := newSharing(t)
	s.configure("{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: red}, spec: {}}")
	served(s.core)
	links, others := s.placer.Links(), flow.VPortID(1_000_000)
	for n := others; !links.Full(); n++ {
		links.Acquire(flow.LinkSetOf(n))
	}
	s.configure(strings.Replace(limitedNetwork, "device: bridge/lan, rate: 8M", `device: bridge/lan, mac: "`+vm1MAC.String()+`"`, 1) +
		`---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: red}, spec: {device: bridge/wan, mac: "02:00:00:00:00:77"}}
`)
	s.link = vportOf(t, s.core, "in")
	s.view.places = map[flow.VPortID]place{vportOf(t, s.core, "vm1"): {edge: "e1", at: offload.Attachment{Port: 1}}, vportOf(t, s.core, "vm2"): {edge: "e1", at: offload.Attachment{Port: 2}}}
	s.rebuild(s.layout.all(s.view))
	if all := s.lackList(); len(all) != 2 || all[0].Object != "vport/red/out" && all[1].Object != "vport/red/out" || !strings.Contains(all[0].Why, "too many links") {
		t.Errorf("what the edge can't do: %v", all)
	}
	send := func() {
		fromVM1(t, s.core, packet.MAC{2, 0, 0, 0, 0, 0x77}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), 7)
	}
	send()
	passes := func() (over []flow.LinkSet) {
		for f := range s.flows.all() {
			over = append(over, s.placer.Megaflow(f.placed).Links)
		}
		return over
	}
	if over, n := passes(), s.a.Stats(); len(over) != 1 || !over[0].IsZero() || n.Unmetered == 0 || n.NotInstalled != 0 {
		t.Errorf("flows with meters of %v, %d decided to have none, %d not installed", over, n.Unmetered, n.NotInstalled)
	}
	for n := range flow.VPortID(2) { // each way takes one
		free, _ := links.Release(flow.LinkSetOf(others + n))
		links.Confirm(free)
	}
	s.linkRates.sweep()
	if over := passes(); slices.Contains(over, flow.LinkSet{}) {
		t.Error("the flow goes on without a meter")
	}
	send() // where it could not be decided without a packet
	if over := passes(); len(over) != 1 || over[0] != flow.LinkSetOf(s.link) || len(s.lacks) != 0 {
		t.Errorf("flows with meters of %v, want %d; lacks %v", over, s.link, s.lacks)
	}
}
