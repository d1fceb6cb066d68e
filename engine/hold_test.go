package engine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestUnknownStationWaits (B1): at a bridge that drops unknown unicast, a frame to a MAC that is not known waits until it is learnt, wherever that was, and then goes
// there. One that is not learnt in time has the frame dropped, and an entry for the next ones, which goes when the MAC is learnt.
func TestUnknownStationWaits(t *testing.T) {
	other := packet.MAC{2, 0, 0, 0, 0, 9}
	for _, tt := range []struct{ src, dst string }{{"10.0.1.2", "10.0.1.9"}, {"fd00:1::2", "fd00:1::9"}} {
		for _, inTime := range []bool{true, false} {
			c := detached(t, idleStore(t))
			var err error
			if c.snap, err = topology.Load("network.yaml", []byte(strings.Replace(network, "name: lan, tenant: red}, spec: {}", "name: lan, tenant: red}, spec: {unknownUnicast: drop}", 1))); err != nil {
				t.Fatal(err)
			}
			c.view.places[vportOf(t, c, "vm2")] = place{edge: "e1", at: offload.Attachment{Port: 2}}
			id := vportOf(t, c, "vm1")
			lan := c.snap.VPort(id).Device
			fromVM1(t, c, other, netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst), 1)
			if c.holds.n != 1 || c.flows.len() != 0 || c.a.counts.drops.Load() != 0 {
				t.Fatalf("%s: %d held, %d flows, %d dropped, want 1 held", tt.dst, c.holds.n, c.flows.len(), c.a.counts.drops.Load())
			}
			if !inTime {
				c.retry(c.now() + learnTime/2)
				if c.holds.n != 1 {
					t.Errorf("%s: given up after half the time", tt.dst)
				}
				c.retry(c.now() + learnTime + time.Millisecond)
				if got, ok := act(t, c); !ok || got != offload.Drop || c.drops.sums[dropKey{id, sim.DropUnknownMAC.String()}] != 1 {
					t.Errorf("%s, in vain: flow %v, act %v, drops %v", tt.dst, ok, got, c.drops.sums)
				}
				fromVM1(t, c, packet.MAC{2, 0, 0, 0, 0, 8}, netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst), 1)
				if c.holds.n != 1 {
					t.Errorf("%s: a frame to another station does not wait", tt.dst)
				}
			}
			next, deps := c.snap.With(topology.Changes{FDB: []topology.FDBEntry{{Bridge: lan, MAC: other, Port: vportOf(t, c, "vm2")}}})
			c.world(state.Change{View: &state.View{Topology: next}, Deps: deps})
			if got, ok := act(t, c); !ok || got != offload.Forward {
				t.Errorf("%s, learnt: flow %v, act %v", tt.dst, ok, got)
			}
			if inTime && (c.holds.n != 0 || len(c.holds.from) != 0 || len(c.drops.sums) != 0) {
				t.Errorf("%s: %d held, dropped %v", tt.dst, c.holds.n, c.drops.sums)
			}
		}
	}
}
