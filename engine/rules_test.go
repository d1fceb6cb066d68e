package engine

import (
	"math/rand/v2"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
)

// TestRulesAreStored (K7): what the database has after a write is every flow that there is, and not many more; flows that come and go find room in blocks that are there; of a vport
// that left nothing is written any more.
func TestRulesAreStored(t *testing.T) {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	c := detached(t, store)
	stored(t, store, 5)
	r := rand.New(rand.NewPCG(31, 32))
	all := map[uint16]*installedFlow{}
	flush := func() {
		for c.rules.flush(); len(c.rules.dirty) > 0 || c.rules.busy; c.rules.flush() {
			c.effects.wait()
			c.a.mail.deliver()
		}
	}
	id := flow.VPortID(5)
	for i := range 4000 {
		port := uint16(r.IntN(1000))
		if f := all[port]; f != nil {
			c.rules.remove(f)
			delete(all, port)
		} else {
			m := offload.Megaflow{Key: flow.Key{Ingress: id, DstMAC: vm2MAC, EtherType: packet.EtherTypeIPv4, SrcPort: port}, Mask: flow.ExactMask(packet.EtherTypeIPv4)}
			m.Mask.SrcMAC = packet.MAC{}
			placed, _, err := c.placer.Place(m, 1)
			if err != nil {
				t.Fatal(err)
			}
			all[port] = &installedFlow{placed: placed}
			c.rules.add(all[port])
			defer c.placer.Remove(placed)
		}
		if i%500 != 499 {
			continue
		}
		flush()
		stored, blocks := c.a.loadRules(t.Context(), id)
		ports := map[uint16]bool{}
		for _, s := range stored {
			ports[s.Key.SrcPort] = true
		}
		for port := range all {
			if !ports[port] {
				t.Fatalf("after %d changes: the flow of port %d is not stored", i, port)
			}
		}
		if n := len(stored); n > len(all)*staleShare/(staleShare-1)+blockSize || len(blocks) > 1000/blockSize+2 {
			t.Errorf("after %d changes: %d rules are stored for %d flows, in up to %d blocks", i, n, len(all), blocks)
		}
	}
	c.rules.leave(id)
	if stored, _ := c.a.loadRules(t.Context(), id); len(stored) == 0 && c.snap.VPort(id) != nil {
		t.Error("what is stored of a vport that left is gone")
	}
	for _, f := range all {
		c.rules.remove(f)
	}
	if flush(); len(c.rules.of) != 0 {
		t.Errorf("%d vports are left", len(c.rules.of))
	}
}

// stored has the database know vports, so that flow rules of them are kept.
func stored(t *testing.T, store *state.Store, vports ...flow.VPortID) {
	t.Helper()
	for _, id := range vports {
		if _, err := store.Client().Put(t.Context(), "/weft/vport/"+id.String(), "1"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRulesAreKeptUntilRead (K7): an agent that has not taken over yet, and had to give up what it had installed until then, does not take the rules out of the database that it is going to read.
func TestRulesAreKeptUntilRead(t *testing.T) {
	c := detached(t, idleStore(t))
	c.start(t.Context(), c.ack)
	c.rules.mark(&ruleBlock{vport: 1}) // its flows are gone
	if c.tick(); c.rules.busy || len(c.rules.dirty) != 1 {
		t.Error("rules are written before they were read")
	}
	c.begun = true
	if c.tick(); !c.rules.busy || len(c.rules.dirty) != 0 {
		t.Error("rules are not written")
	}
}
