package engine

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
)

// resize gives an agent's core a placer whose tables have other sizes, by name.
func resize(t *testing.T, c *core, sizes map[string]int64) {
	t.Helper()
	info, err := p4src.Info()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range info.Tables {
		if n, ok := sizes[table.Preamble.Name]; ok {
			table.Size = n
		}
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := offload.NewTables(schema)
	if err != nil {
		t.Fatal(err)
	}
	c.placer = offload.NewPlacer(tables, 90)
}

// laneFlows counts the flows in each lane.
func laneFlows(c *core) map[offload.Lane]int {
	n := map[offload.Lane]int{}
	for f := range c.flows.all() {
		n[f.placed.Lane]++
	}
	return n
}

// TestWildLaneFull: where the wild lane has no room, each flow of a wide pattern gets an exact entry of its own, once, and is found there.
func TestWildLaneFull(t *testing.T) {
	for _, tt := range []struct{ src, first, second string }{{"10.0.1.2", "192.0.2.1", "11.0.0.1"}, {"fd00:1::2", "2001:db8::1", "fd01::1"}} {
		c := detached(t, idleStore(t))
		resize(t, c, map[string]int64{"ingress.flow_wild_v4": 1, "ingress.flow_wild_v6": 1})
		src := netip.MustParseAddr(tt.src)
		fromVM1(t, c, gwMAC, src, netip.MustParseAddr(tt.first), 1)
		if n := laneFlows(c); c.flows.len() != 1 || n[offload.LaneWild] != 1 {
			t.Fatalf("%s: lanes %v, want one wild flow", tt.first, n)
		}
		second := netip.MustParseAddr(tt.second)
		for range 2 {
			for port := range uint16(3) {
				fromVM1(t, c, gwMAC, src, second, port)
			}
		}
		if n := laneFlows(c); n[offload.LaneExact] != 3 || n[offload.LaneWild] != 1 {
			t.Errorf("%s: lanes %v, want 3 exact flows and the wild one", tt.second, n)
		}
		for f := range c.flows.all() {
			if f.placed.Lane == offload.LaneExact {
				c.forgetFlow(f.placed.Key, f.placed.Mask())
			}
		}
		if n := laneFlows(c); n[offload.LaneExact] != 0 || n[offload.LaneWild] != 1 {
			t.Errorf("%s: lanes %v are left, want the wild flow alone", tt.second, n)
		}
	}
}

// TestShareIsCounted: the flows of a vport that has its share of the tables are decided one by one, counted.
func TestShareIsCounted(t *testing.T) {
	c := detached(t, idleStore(t))
	resize(t, c, map[string]int64{"ingress.flow_wild_v4": 1, "ingress.flow_exact_v4": 2})
	src := netip.MustParseAddr("10.0.1.2")
	for i := range byte(6) {
		fromVM1(t, c, gwMAC, src, netip.AddrFrom4([4]byte{11 + 16*i, 0, 0, 1}), uint16(i))
	}
	if s := c.a.Stats(); s.Flows != 2 || s.OverShare != 4 || s.NotInstalled != 4 {
		t.Errorf("%d flows, %d over the share, %d not installed; want 2, 4 and 4", s.Flows, s.OverShare, s.NotInstalled)
	}
}
