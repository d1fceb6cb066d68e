package engine

import (
	"maps"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/sim"
	"github.com/weft-sdn/weft/state"
)

// TestDropCounts: what the target counts of an entry that drops is added once, also when the target begins anew; of entries that do not drop, and of vports that are gone, nothing is.
func TestDropCounts(t *testing.T) {
	c := detached(t, runStore(t, state.Config{Embedded: &state.EmbeddedConfig{Dir: t.TempDir(), FastTimers: true, UnsafeNoFsync: true}}))
	vm := vportOf(t, c, "vm1")
	entries := map[offload.Act]uint64{}
	for i, act := range []offload.Act{offload.Drop, offload.Forward} {
		m := offload.Megaflow{Key: flow.Key{Ingress: vm, EtherType: 0x0800, DstPort: uint16(i)}, Act: act}
		m.Mask = flow.ExactMask(0x0800)
		m.Mask.SrcMAC = packet.MAC{}
		placed, _, err := c.placer.Place(m, 1)
		if err != nil {
			t.Fatal(err)
		}
		entries[act] = placed.Hash
		c.flows.add(placed, nil, 0, passage{}).drop = sim.DropFiltered
	}
	want := func(n uint64) {
		t.Helper()
		if !maps.Equal(c.drops.sums, map[dropKey]uint64{{vm, "filtered"}: n}) {
			t.Errorf("%v, want %d", c.drops.sums, n)
		}
	}
	c.dropped(vm, sim.DropFiltered)
	want(1)
	c.count(entries[offload.Drop], amount{Packets: 5}, c.now())
	c.count(entries[offload.Forward], amount{Packets: 7}, c.now())
	want(6)
	c.count(entries[offload.Drop], amount{Packets: 5}, c.now())
	c.count(entries[offload.Drop], amount{Packets: 8}, c.now())
	want(9)
	c.count(entries[offload.Drop], amount{Packets: 7}, c.now()) // one that was asked for before the last
	c.usage.audited = c.now()
	c.count(entries[offload.Drop], amount{Packets: 9}, c.usage.audited-1) // before the target was restarted
	c.count(entries[offload.Drop], amount{Packets: 2}, c.usage.audited)   // of a target that was restarted
	want(11)
	c.lose(vm+1000, dropInVain)
	c.sweepDrops()
	want(11)
}

// TestDropsOutliveTarget: what a target dropped of what no vport sent stays counted when it begins again at 0, whether it is known that it did or not, and what it counts in two
// places is one count.
func TestDropsOutliveTarget(t *testing.T) {
	d := newDrops()
	for _, step := range []struct {
		pushed  bool
		counted []Drop
		want    uint64
	}{
		{counted: []Drop{{From: "vports", Reason: "unknown port", Packets: 5}}, want: 5},
		{counted: []Drop{{From: "vports", Reason: "unknown port", Packets: 4}, {From: "vports", Reason: "unknown port", Packets: 3}}, want: 7},
		{counted: []Drop{{From: "vports", Reason: "unknown port", Packets: 1}}, want: 8}, // restarted meanwhile
		{counted: nil, want: 8},
		{pushed: true, counted: []Drop{{From: "vports", Reason: "unknown port", Packets: 2}}, want: 10},
		{pushed: true, counted: []Drop{{From: "vports", Reason: "unknown port", Packets: 9}}, want: 19}, // more than before, and yet anew
	} {
		if step.pushed {
			d.restarted()
		}
		got := d.lost(step.counted)
		if want := (Drop{From: "vports", Reason: "unknown port", Packets: step.want}); len(got) != 1 || got[0] != want {
			t.Errorf("%+v: %+v, want %+v", step, got, want)
		}
	}
}
