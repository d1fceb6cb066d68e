package engine

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	p4 "github.com/p4lang/p4runtime/go/p4/v1"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt/p4rttest"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// programmed runs what an agent's core needs to program a target, until it does; stop ends it.
func programmed(t *testing.T, c *core, target *p4rttest.Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	c.start(ctx, func(int64, []state.Lack) {})
	ended := make(chan struct{}, 3)
	for _, run := range []func(context.Context) error{c.a.session.Run, c.a.writer.Run, c.a.decide} {
		go func() {
			_ = run(ctx)
			ended <- struct{}{}
		}()
	}
	select {
	case <-c.a.Ready():
	case <-ctx.Done():
		t.Fatal("the target is not programmed")
	}
	return func() {
		cancel()
		for range 3 {
			<-ended
		}
		c.effects.wait()
	}
}

// restarted is the core of an agent on a target, with a network of which vm1's packets meet a chain.
func restarted(t *testing.T, store *state.Store, target *p4rttest.Server, rules string) *core {
	t.Helper()
	c := detachedFrom(t, store, target.Dial)
	stored(t, store, vportOf(t, c, "vm1"), vportOf(t, c, "vm2"))
	var err error
	if c.snap, err = topology.Load("network.yaml", []byte(strings.Replace(strings.Replace(guarded, "RULES", rules, 1), "vm1, tenant: red}, spec: {", "vm1, tenant: red}, spec: {filters: {ingress: guard}, ", 1))); err != nil {
		t.Fatal(err)
	}
	lan, _ := c.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
	c.snap, _ = c.snap.With(topology.Changes{FDB: []topology.FDBEntry{{Bridge: topology.DeviceID(lan), MAC: vm1MAC, Port: vportOf(t, c, "vm1")}}, BridgeNeighbours: []topology.BridgeNeighbour{
		{Bridge: topology.DeviceID(lan), Addr: netip.MustParseAddr("10.0.1.2"), MAC: vm1MAC}, {Bridge: topology.DeviceID(lan), Addr: netip.MustParseAddr("fd00:1::2"), MAC: vm1MAC},
	}})
	c.view.places[vportOf(t, c, "vm2")] = place{edge: "e1", at: offload.Attachment{Port: 2}}
	c.rebuild(c.layout.all(c.view))
	return c
}

// TestTakeOver (K7): an agent that starts anew goes on with what its predecessor left in the target and in the database: nothing that is right is written, be it an entry or what
// it refers to; what is not right any more is put right, and rules for vports that are not here are left alone.
func TestTakeOver(t *testing.T) {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	target := p4rttest.NewServer()
	defer target.Close()
	const rules = "{match: {protocols: [udp], srcPorts: [1003]}, action: drop}, {match: {protocols: [udp], srcPorts: [1-65535]}, action: accept}"
	c := restarted(t, store, target, rules)
	stop := programmed(t, c, target)
	call := func(c *core, f func()) {
		t.Helper()
		if err := c.a.mail.call(c.ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	fixed := target.View().Entries
	const flows = 16
	call(c, func() {
		for port := range uint16(8) {
			fromVM1(t, c, vm2MAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.1.3"), 1000+port)
			fromVM1(t, c, vm2MAC, netip.MustParseAddr("fd00:1::2"), netip.MustParseAddr("fd00:1::3"), 1000+port)
		}
	})
	var installed uint64
	for open := 1; open > 0 && c.ctx.Err() == nil; {
		call(c, func() { installed, open = uint64(c.flows.len()), len(c.target.open) })
	}
	if n := target.View().Entries - fixed; installed < 4 || n < int(installed) {
		t.Fatalf("%d flows were installed, of %d packets; %d entries", installed, flows, n)
	}
	call(c, c.rules.flush)
	for c.a.counts.ruleBlocks.Load() == 0 {
		c.effects.wait()
		call(c, func() {})
	}
	stop()
	before := target.View()

	again := restarted(t, store, target, rules)
	stop = programmed(t, again, target)
	if s := again.a.Stats(); s.Adopted != installed || s.Flows != installed {
		t.Errorf("%d flows were taken over, want %d", s.Adopted, installed)
	}
	written := func() (updates []*p4.Update) { // but rates, which are set at each begin
		for _, w := range target.View().Writes[len(before.Writes):] {
			for _, u := range w.Updates {
				if u.Entity.GetMeterEntry() == nil {
					updates = append(updates, u)
				}
			}
		}
		return updates
	}
	if w := written(); len(w) > 0 || target.View().Entries != before.Entries {
		t.Errorf("written to a target that held what it should: %v; %d entries, want %d", w, target.View().Entries, before.Entries)
	}
	stop()

	changed := restarted(t, store, target, strings.Replace(rules, "1003]}, action: drop", "1003]}, action: accept", 1))
	stop = programmed(t, changed, target)
	defer stop()
	if len(written()) == 0 {
		t.Error("a rule is another by now, and nothing was written")
	}
	call(changed, func() {
		for f := range changed.flows.all() {
			if m := changed.placer.Megaflow(f.placed); m.Act != offload.Forward {
				t.Errorf("a flow goes on as before: %+v", m)
			}
		}
	})
}

// TestRulesFollow (K7): what the database has of a vport's flows is used where the vport comes to.
func TestRulesFollow(t *testing.T) {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	target := p4rttest.NewServer()
	defer target.Close()
	const rules = "{match: {protocols: [udp], srcPorts: [1-65535]}, action: accept}"
	c := restarted(t, store, target, rules)
	defer programmed(t, c, target)()
	vm1 := vportOf(t, c, "vm1")
	call := func(f func()) {
		t.Helper()
		if err := c.a.mail.call(c.ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	var want int
	call(func() {
		fromVM1(t, c, vm2MAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.1.3"), 1000)
		fromVM1(t, c, vm2MAC, netip.MustParseAddr("fd00:1::2"), netip.MustParseAddr("fd00:1::3"), 1000)
		want = c.flows.len()
		c.rules.flush()
	})
	for c.a.counts.ruleBlocks.Load() == 0 {
		c.effects.wait()
		call(func() {})
	}
	call(func() {
		c.rules.leave(vm1)
		for _, f := range c.flows.from(vm1) {
			c.remove(f)
		}
		bind(c, vm1, false)
		if n := c.flows.len(); n != 0 || want == 0 {
			t.Errorf("%d flows of a vport that left, %d before", n, want)
		}
		bind(c, vm1, true)
		c.rules.arrive(vm1)
	})
	for n := 0; n != want && c.ctx.Err() == nil; {
		c.effects.wait()
		call(func() { n = c.flows.len() })
	}
	if s := c.a.Stats(); int(s.Adopted) != want || int(s.Upcalls) != 0 {
		t.Errorf("%d flows were taken over, want %d", s.Adopted, want)
	}
}

// TestNumbersAreWithheld: the number of a vport that left while no agent ran is not given to another before the target's entries for it are gone.
func TestNumbersAreWithheld(t *testing.T) {
	store := runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}})
	const rules = "{match: {protocols: [udp], srcPorts: [1-65535]}, action: accept}"
	target := p4rttest.NewServer()
	defer target.Close()
	c := restarted(t, store, target, rules)
	stop := programmed(t, c, target)
	had := map[uint16]bool{}
	_ = c.a.mail.call(c.ctx, func() {
		for _, local := range c.locals.vports.All() {
			had[local] = true
		}
	})
	stop()
	again := restarted(t, store, target, rules)
	vm2 := vportOf(t, again, "vm2")
	delete(again.view.places, vportOf(t, again, "vm1")) // it left, and another is at another port
	again.view.places[vm2] = place{edge: "e1", at: offload.Attachment{Port: 9}}
	again.rebuild(again.layout.all(again.view))
	stop = programmed(t, again, target)
	defer stop()
	_ = again.a.mail.call(again.ctx, func() {
		local, ok := again.locals.vports.Lookup(vm2)
		if !ok || had[local] || len(had) != 2 {
			t.Errorf("the vport at a new port has number %d; the target had %v", local, had)
		}
	})
}

// TestNoPacketBeforeTakeOver: a packet-in that comes before the numbers are the target's is not taken for another vport's.
func TestNoPacketBeforeTakeOver(t *testing.T) {
	c := detached(t, idleStore(t))
	c.start(t.Context(), func(int64, []state.Lack) {})
	local, _ := c.locals.vports.Lookup(vportOf(t, c, "vm1"))
	frame := packet.AppendUDP(nil, &packet.UDP{SrcMAC: packet.MAC{2, 77}, DstMAC: vm2MAC, Src: netip.MustParseAddr("10.0.1.77"), Dst: netip.MustParseAddr("10.0.1.3"), SrcPort: 1000, DstPort: 2, TTL: 9})
	c.a.queue.push(earlyPacket{port: 1, vport: local, reason: flow.ReasonMissSource, data: frame})
	handleQueued(c)
	if s := c.a.Stats(); len(c.effects.busy) != 0 || s.Upcalls != 0 || s.Departed != 1 {
		t.Errorf("effects %v, %d upcalls, %d departed", c.effects.busy, s.Upcalls, s.Departed)
	}
}

// handleQueued has what waits in the queue decided by a worker and taken by the agent, as a running one does.
func handleQueued(c *core) {
	w := newWorker(c.a)
	for {
		b, _ := c.a.workers.take(context.Background(), c.a.queue)
		if b == nil {
			return
		}
		w.decide(b)
		b.done <- struct{}{}
		c.a.handleAll(nil, <-c.a.workers.order)
	}
}

// TestStaleLocals: a number under which the target has something that vports' frames meet is no other vport's before that is gone, though nothing gives frames the number any more.
func TestStaleLocals(t *testing.T) {
	n := newLocals(new(residents), func(uint16) {})
	n.reserve(&offload.Numbers{Locals: map[uint16]struct{}{1: {}, 2: {}}}, baseView())
	var r references
	if local, err := n.vport(&r, 7, false, 1); err != nil || local != 3 {
		t.Errorf("number %d, %v, want 3", local, err)
	}
}
