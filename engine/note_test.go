package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestNotes: what somebody should know of is recorded, about the object that it concerns, as the edge's word: each once, with how often it was.
func TestNotes(t *testing.T) {
	store := idleStore(t)
	c := detached(t, store)
	c.start(t.Context(), func(int64, []state.Lack) {})
	vm1 := vportOf(t, c, "vm1")
	bridge := c.snap.VPort(vm1).Device
	mac := packet.MustParseMAC("02:00:00:00:00:99")
	learn := sim.Effect{Kind: sim.Learn, Device: bridge, MAC: mac, Port: vm1}
	c.effects.done(learn, state.RefusedPinned)
	c.effects.done(learn, state.RefusedPinned)
	c.effects.done(learn, state.RefusedFull)
	c.effects.done(learn, state.LearntNew)   // nobody needs to know
	c.effects.done(learn, state.RefusedGone) // it is on its way
	c.effects.done(sim.Effect{Kind: sim.LearnBridgeNeighbour, Device: bridge, MAC: mac}, state.RefusedSeed)
	c.effects.done(sim.Effect{Kind: sim.LearnBridgeNeighbour, Device: bridge, MAC: mac, Port: vm1}, state.RefusedFull)
	c.noteFull("table x is nearly full")
	c.noteFull("table x is nearly full") // within a minute
	before := map[subject]string{peerSubject("e9"): "no path"}
	c.lacks = map[subject]string{vportSubject(vm1): "no such interface"}
	c.noteLacks(before)
	c.noteLacks(c.lacks) // the same as before
	c.a.noteRefusal(3, fmt.Errorf("table full"))

	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	self := c.view.self.ID
	want := []string{
		"Normal Applied edge/e9 x1", "Warning MACPinned bridge/red/" + c.snap.Bridge(bridge).Name + " x2", "Warning NotApplied vport/red/vm1 x1",
		"Warning TableFull edge/" + self + " x1", "Warning TargetRefused edge/" + self + " x1", "Warning TooManyAddresses vport/red/vm1 x1", "Warning TooManyMACs vport/red/vm1 x1",
	}
	var got []string
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		all, _, err := store.Events(ctx, state.EventFilter{Source: self})
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, e := range all {
			got = append(got, fmt.Sprintf("%s %s %s x%d", e.Type, e.Reason, e.Object, e.Count))
		}
		if slices.Sort(got); slices.Equal(got, want) {
			return
		}
	}
	t.Errorf("events are\n%q\nwant\n%q", got, want)
}

// TestNoteOfMember: that a member of a pool went down, or came back, is recorded, with the reason.
func TestNoteOfMember(t *testing.T) {
	store := idleStore(t)
	c := detached(t, store)
	snap, err := topology.Load("pool.yaml", []byte("{apiVersion: weft/v1, kind: Pool, metadata: {name: web, tenant: acme}, spec: {members: [{address: \"fd00::1\", port: 80}]}}"))
	if err != nil {
		t.Fatal(err)
	}
	c.snap = snap
	id, _ := snap.ID(topology.Ref{Kind: topology.KindPool, Tenant: "acme", Name: "web"})
	w := &watching{c: c, pool: topology.DeviceID(id), found: map[topology.MemberKey]state.Health{}}
	m := topology.MemberAt(netip.MustParseAddr("fd00::1"), 80)
	w.Found(m, true, "connection refused")
	w.Found(m, false, "")
	if n := store.EventStats(); n.Noted != 2 || n.Dropped != 0 {
		t.Errorf("%+v", n)
	}
}
