package engine

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
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

// TestTenantHolds: however many ports a tenant has packets wait and neighbours be asked for from, others have as much room; and a question that no packet waits for counts, until it ends.
func TestTenantHolds(t *testing.T) {
	c := detached(t, idleStore(t))
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); c.effects.wait() })
	c.start(ctx, func(int64, []state.Lack) {})
	vm := vportOf(t, c, "vm1")
	at := func(i int) neighbour {
		return neighbour{port: 77, addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
	}
	for i := range 2 * maxHeldFrom {
		c.carryOut([]sim.Effect{{Kind: sim.AskNeighbour, Port: at(i).port, Addr: at(i).addr}}, vm)
	}
	if c.holds.n != maxHeldFrom || len(c.effects.busy) != maxHeldFrom {
		t.Errorf("one port has %d neighbours asked for, %d under way, want %d", c.holds.n, len(c.effects.busy), maxHeldFrom)
	}
	if c.hold(awaited{neighbour: at(1 << 20)}, []byte{1}, vm, 1) {
		t.Error("and a packet waits beyond that")
	}
	const ports = 2 * maxHeld / maxHeldFrom // of nobody that the snapshot has: one tenant
	for in := range ports {
		for i := range maxHeldFrom {
			c.hold(awaited{neighbour: at((in+2)<<12 | i)}, []byte{1}, flow.VPortID(1000+in), 1)
		}
	}
	if of := c.holds.of[""]; of < maxHeld/2-maxHeldFrom || of > maxHeld/2 {
		t.Errorf("one tenant has %d that wait, want half of what there is room for", of)
	}
	for range askAttempts + 1 {
		for _, w := range c.holds.wanted {
			w.next = 0
		}
		c.retry(c.now())
	}
	if c.holds.n != 0 || len(c.holds.from)+len(c.holds.of) != 0 {
		t.Errorf("%d still wait, of ports %v, of tenants %v", c.holds.n, c.holds.from, c.holds.of)
	}
}

// TestHoldShares: packets of some ports that wait leave room for those of others.
func TestHoldShares(t *testing.T) {
	c := detached(t, idleStore(t))
	const ports = 16
	for in := range flow.VPortID(ports) {
		for i := range uint32(2 * maxHeldFrom) {
			c.hold(awaited{fragment: fragmented{ingress: in + 1000, id: i}}, []byte{1}, in+1000, 1)
		}
	}
	if c.holds.n != ports*maxHeldFrom {
		t.Errorf("%d are held, want %d", c.holds.n, ports*maxHeldFrom)
	}
	if !c.hold(awaited{conn: conntrack.Key{Zone: 1}}, []byte{1}, 99, 1) {
		t.Error("a packet of another port is dropped")
	}
}
