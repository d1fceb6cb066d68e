package engine

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// sizedTable gives a table of a pipeline another size.
func sizedTable(t *testing.T, ts *offload.Tables, name string, size int64) *p4rt.Table {
	t.Helper()
	table, err := ts.Schema.Table(name)
	if err != nil {
		t.Fatal(err)
	}
	table.Size = size
	return table
}

// TestFixedTablesHoldWhatTheyCan: whatever changes, the target is never asked to hold more than its tables do, deletes that it has not acknowledged included; what has no room is named, and has
// it when there is some.
func TestFixedTablesHoldWhatTheyCan(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	lacked := map[string]int{}
	for i := range 100 {
		ts := tables(t)
		name, size := "ingress.punt_class", int64(17+1+r.IntN(8))
		switch i % 4 {
		case 1:
			name, size = "ingress.port_map", int64(1+r.IntN(4))
		case 2:
			name, size = "ingress.location", int64(1+r.IntN(20))
		case 3:
			name, size = "ingress.peer", int64(offload.Buckets)
		}
		table := sizedTable(t, ts, name, size)
		l := newLayout(ts, newLocals(new(residents), func(uint16) {}))
		v := baseView()
		subscribed(l)
		held := map[p4rt.Key]p4rt.Entity{}
		entries := func() (n int64) {
			for _, e := range held {
				if x, ok := e.(*p4rt.Entry); ok && x.Table == table {
					n++
				}
			}
			return n
		}
		var waits []func()
		answer := func() {
			for _, f := range waits {
				f()
			}
			waits = nil
		}
		update := func(touched map[subject]struct{}) {
			t.Helper()
			stages, confirm := l.rebuild(v, touched)
			for _, stage := range stages {
				apply(t, held, stage)
				if entries() > size {
					t.Fatalf("%s has room for %d entries, and is to hold %d", name, size, entries())
				}
			}
			waits = append(waits, confirm...)
			if r.IntN(2) == 0 {
				answer()
			}
		}
		update(map[subject]struct{}{{kind: subjectSelf}: {}})
		for range 40 {
			update(change(r, v))
			for _, why := range l.lacks {
				if !strings.Contains(why, name) {
					t.Fatalf("lack %q, want one for %s", why, name)
				}
				lacked[name]++
			}
		}
		clear(v.places)
		clear(v.groups)
		clear(v.edges)
		update(l.all(v))
		answer()
		if len(l.lacks)+len(l.room.short) > 0 || l.room.leaving[table] != 0 || l.room.held[table] != entries() {
			t.Fatalf("%s: lacks %v of nothing; counted %d, leaving %d, held %d", name, l.lacks, l.room.held[table], l.room.leaving[table], entries())
		}
	}
	if len(lacked) != 4 {
		t.Errorf("not every table was full: %v", lacked)
	}
}

// TestNoRoomToPunt: a vport of which some packets are the agent's, for whose entries punt_class has no room, works on: its flows have no entries, so that all of its packets come up. It is told
// so, and over when there is room.
func TestNoRoomToPunt(t *testing.T) {
	for _, tt := range []struct{ src, dst string }{{"10.0.1.2", "10.0.1.9"}, {"fd00:1::2", "fd00:1::9"}} {
		c := detached(t, idleStore(t))
		var told []state.Lack
		c.start(t.Context(), func(_ int64, l []state.Lack) { told = l })
		w := served(c)
		table := sizedTable(t, c.a.tables, "ingress.punt_class", int64(len(c.a.tables.AlwaysPunted())+1))
		vm1, lan := vportOf(t, c, "vm1"), bridgeOf(t, c)
		c.snap, _ = c.snap.With(topology.Changes{FDB: []topology.FDBEntry{{Bridge: lan, MAC: packet.MAC{2, 9}, Port: vportOf(t, c, "vm2")}}})
		send := func() {
			fromVM1(t, c, packet.MAC{2, 9}, netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst), 1)
		}
		if send(); c.flows.len() != 1 {
			t.Fatalf("%d flows before, want 1", c.flows.len())
		}
		c.view.dhcp[vm1] = struct{}{}
		c.rebuild(map[subject]struct{}{vportSubject(vm1): {}})
		if send(); c.flows.len() != 0 {
			t.Errorf("%s: %d flows have entries that may handle what is the agent's", tt.src, c.flows.len())
		}
		for len(w.sent) > 0 {
			w.answer(t, false)
		}
		c.settle()
		if len(told) != 1 || told[0].Object != "vport/red/vm1" || !strings.Contains(told[0].Why, table.Name) {
			t.Errorf("told %v, want a lack of vm1 in %s", told, table.Name)
		}
		if _, here := c.locals.vports.Lookup(vm1); !here {
			t.Error("the vport is not there at all")
		}
		table.Size += 2
		c.layout.room.freed = true
		c.tick()
		for len(w.sent) > 0 {
			w.answer(t, false)
		}
		if send(); c.flows.len() != 1 || len(told) != 0 {
			t.Errorf("%s: %d flows, told %v, once there is room", tt.src, c.flows.len(), told)
		}
	}
}

func bridgeOf(t *testing.T, c *core) topology.DeviceID {
	t.Helper()
	id, ok := c.snap.ID(topology.Ref{Kind: topology.KindBridge, Tenant: "red", Name: "lan"})
	if !ok {
		t.Fatal("no bridge")
	}
	return topology.DeviceID(id)
}

// TestRefusedIsALack: an entry that the target does not take, whatever its tables are said to hold, is a lack of what wants it. All else goes on: configuration is acknowledged, numbers come
// back, and the entry is tried again until the target takes it.
func TestRefusedIsALack(t *testing.T) {
	c := detached(t, idleStore(t))
	var acks []int64
	var told []state.Lack
	c.start(t.Context(), func(r int64, l []state.Lack) { acks, told = append(acks, r), l })
	now := c.now()
	c.clock = func() (at time.Duration) { return now }
	w := served(c)
	vm1 := vportOf(t, c, "vm1")
	bind(c, vm1, false)
	bind(c, vm1, true)
	c.mark(7)
	c.target.freed = append(c.target.freed, freed{c.target.seq, func() {}})
	w.answer(t, true) // for good
	if len(acks) != 0 || !c.target.broken {
		t.Fatalf("acknowledged %v, broken %v, before a reconcile", acks, c.target.broken)
	}
	var entry *p4rt.Entry
	for _, e := range c.layout.parts[vportSubject(vm1)].entries() {
		if entry = e; e.Table.Name == "ingress.location" {
			break
		}
	}
	failed := func() []*p4rt.UpdateError {
		return []*p4rt.UpdateError{{Update: p4rt.Update{Op: p4rt.Insert, Entity: entry}, Result: p4rt.Result{Outcome: p4rt.Full}}}
	}
	c.prepare()
	c.reconciled(p4rt.Report{Failed: failed()})
	c.serve()
	if !slices.Equal(acks, []int64{7}) || len(c.target.open) != 0 || len(c.target.freed) != 0 || c.target.broken {
		t.Errorf("acknowledged %v, %d open, %d numbers not free, broken %v", acks, len(c.target.open), len(c.target.freed), c.target.broken)
	}
	if len(told) != 1 || told[0].Object != "vport/red/vm1" {
		t.Fatalf("told %v, want a lack of vm1", told)
	}
	for _, refused := range []bool{true, false} {
		now += time.Hour
		c.retryRefused()
		if len(w.sent) != 1 || w.sent[0].stages[0][0].Entity.Key() != entry.Key() {
			t.Fatalf("sent %v, want the entry once more", w.sent)
		}
		c.retryRefused()
		w.answer(t, refused)
		if c.target.broken || (len(told) == 1) != refused {
			t.Errorf("refused %v: broken %v, told %v", refused, c.target.broken, told)
		}
	}
	now += time.Hour
	if c.retryRefused(); len(w.sent) != 0 {
		t.Error("tried again though the target has it")
	}
	c.prepare()
	c.reconciled(p4rt.Report{Failed: failed()})
	c.serve()
	bind(c, vm1, false) // which ends the lack
	w.answer(t, false)
	if len(told) != 0 {
		t.Errorf("told %v of what is gone", told)
	}
}

// TestRefusedFlowGoes: a flow entry that a reconcile can not bring to the target is no flow any more.
func TestRefusedFlowGoes(t *testing.T) {
	c := detached(t, idleStore(t))
	c.start(t.Context(), func(int64, []state.Lack) {})
	served(c)
	fromVM1(t, c, gwMAC, netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("192.0.2.1"), 1)
	var flows []*installedFlow
	for f := range c.flows.all() {
		flows = append(flows, f)
	}
	if len(flows) != 1 || flows[0].ingress() == flow.VPortID(0) {
		t.Fatalf("%d flows, want 1", len(flows))
	}
	c.prepare()
	c.reconciled(p4rt.Report{Failed: []*p4rt.UpdateError{{Update: p4rt.Update{Op: p4rt.Insert, Entity: c.placer.Entry(flows[0].placed)}, Result: p4rt.Result{Outcome: p4rt.Full}}}})
	c.serve()
	if c.flows.len() != 0 || len(c.lacks) != 0 {
		t.Errorf("%d flows are left, lacks %v", c.flows.len(), c.lacks)
	}
}
