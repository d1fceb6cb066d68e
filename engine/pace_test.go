package engine

import (
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/p4rt"
)

// TestPace: a vport that goes on with new flows when it has its share of the tables has few of its packets handed up, once, and as many as before when it has been calm; one with a
// few such flows is left alone.
func TestPace(t *testing.T) {
	c := newChanging(t, "{match: {protocols: [udp], srcPorts: [1-65535], dstPorts: [1-65535]}, action: accept}")
	resize(t, c.core, map[string]int64{"ingress.flow_wild_v4": 1, "ingress.flow_exact_v4": 2, "ingress.flow_wild_v6": 1, "ingress.flow_exact_v6": 2})
	rates := func() (all []int64) {
		for _, u := range c.w.sent {
			for _, x := range flatten(u.stages) {
				if m, ok := x.Entity.(*p4rt.MeterCell); ok {
					all = append(all, m.Config.CIR)
				}
			}
		}
		c.w.sent = nil
		return all
	}
	next := uint16(0)
	send := func(n int) {
		for range n {
			next++
			src, dst := "10.0.1.2", "10.0.1.3"
			if next%2 == 0 {
				src, dst = "fd00:1::2", "fd00:1::3"
			}
			fromVM1(t, c.core, vm2MAC, netip.MustParseAddr(src), netip.MustParseAddr(dst), next)
		}
	}
	send(overShareMost)
	if got := rates(); len(got) != 0 {
		t.Fatalf("a vport with few flows over its share is slowed to %v", got)
	}
	c.sweepPace(c.now())
	send(10 * overShareMost)
	if got := rates(); len(got) != 1 || got[0] != slowPunts {
		t.Fatalf("rates %v were set, want %d once", got, slowPunts)
	}
	c.sweepPace(c.now() + slowFor/2)
	if got := rates(); len(got) != 0 {
		t.Errorf("it is let go with %v, too soon", got)
	}
	c.sweepPace(c.now() + 2*slowFor)
	if got := rates(); len(got) != 1 || got[0] != c.a.cfg.PuntRate {
		t.Errorf("rates %v were set when it was calm, want %d", got, c.a.cfg.PuntRate)
	}
	c.sweepPace(c.now() + 2*slowFor)
	c.view.speaks[vportOf(t, c.core, "vm1")] = nil
	send(10 * overShareMost)
	if got := rates(); len(got) != 0 {
		t.Errorf("a port with sessions is slowed to %v", got)
	}
	if len(c.pace.slowed)+len(c.pace.over)+len(c.view.paces) != 0 {
		t.Error("something is left of it")
	}
}
