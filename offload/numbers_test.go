package offload_test

import (
	"math/rand/v2"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// TestNumbersGoOn: who places the same megaflows anew, in another order and beside others, with the numbers that the target's entries tell, makes the same entries.
func TestNumbersGoOn(t *testing.T) {
	r := random{rand.New(rand.NewPCG(21, 22))}
	tables := newTables(t)
	s := &shelf{t, map[p4rt.Key]p4rt.Entity{}}
	first := offload.NewPlacer(tables, 100)
	var all []*offload.Placed
	place := func(p *offload.Placer, m offload.Megaflow) *offload.Placed {
		placed, stages, err := p.Place(m, uint16(m.Key.Ingress))
		if err != nil {
			return nil
		}
		if p == first {
			s.apply(stages)
		}
		return placed
	}
	draw := func() (m offload.Megaflow) {
		var f packet.Frame
		for packet.Parse(r.frame(r.mac(), r.mac()), &f) != nil {
		}
		return r.megaflow(&f, 1+7*2)
	}
	for range 400 {
		if placed := place(first, draw()); placed != nil {
			all = append(all, placed)
		}
		if n := len(all); n > 10 && r.IntN(3) == 0 { // so that numbers are not in order of placing
			i := r.IntN(n)
			stages, confirm := first.Remove(all[i])
			if s.apply(stages); confirm != nil {
				confirm()
			}
			all[i] = all[n-1]
			all = all[:n-1]
		}
	}
	var entries []*p4rt.Entry
	for _, e := range s.held {
		entries = append(entries, e.(*p4rt.Entry))
	}
	again := offload.NewPlacer(tables, 100)
	again.Reserve(tables.NumbersOf(entries))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, x := range all {
		if i%3 == 0 {
			place(again, draw())
		}
		placed := place(again, first.Megaflow(x))
		if placed == nil {
			t.Fatalf("%+v is not placed again", first.Megaflow(x))
		}
		want, got := first.Entry(x), again.Entry(placed)
		if got.Key() != want.Key() || !got.SameEffect(want) {
			t.Fatalf("entry %v, want %v", got, want)
		}
	}
	again.Unreserve()
	wanted := map[p4rt.Key]bool{}
	for e := range again.Beside() {
		wanted[e.Key()] = true
	}
	for e := range first.Beside() {
		if !wanted[e.Key()] {
			t.Errorf("%v is not wanted any more", e)
		}
	}
}

// TestStaleNumbers: a number that any entry of the target has is given to nobody else before the target has that entry no more, be it that the entry which says what the number is for is gone: an
// agent may end between the two.
func TestStaleNumbers(t *testing.T) {
	r := random{rand.New(rand.NewPCG(23, 24))}
	tables := newTables(t)
	lanes := map[offload.Lane]int{}
	for range 300 {
		before := offload.NewPlacer(tables, 100)
		var f packet.Frame
		for packet.Parse(r.frame(r.mac(), r.mac()), &f) != nil {
		}
		const local = 1
		m := r.megaflow(&f, 1)
		if r.IntN(4) == 0 {
			m.Mask, m.Key.EtherType, m.Rewrite, m.Tracked, m.Guards.MinTTL = flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast(), EtherType: 0xffff}, 0x88b5, flow.Rewrite{}, false, 0
		}
		placed, _, err := before.Place(m, local)
		if err != nil {
			t.Fatal(err)
		}
		lanes[placed.Lane]++
		stale := before.Entry(placed) // alone: scope, source and port are gone already
		numbers := tables.NumbersOf([]*p4rt.Entry{stale})
		again := offload.NewPlacer(tables, 100)
		again.Reserve(numbers)
		other := m
		other.Key.DstMAC, other.Key.Ingress = r.mac(), 2
		local2 := uint16(2)
		if placed.Lane == offload.LaneClass {
			if _, has := numbers.Locals[local]; !has {
				t.Fatalf("%v tells no number of a vport", stale)
			}
			continue
		}
		next, _, err := again.Place(other, local2)
		if err != nil {
			t.Fatal(err)
		}
		if got, had := again.Entry(next).Match[0].Value, stale.Match[0].Value; next.Lane != offload.LaneClass && got == had {
			t.Fatalf("%v is there, and scope %v is given to another vport", stale, got)
		}
	}
	if len(lanes) != 4 {
		t.Errorf("lanes %v, want all", lanes)
	}
	for _, e := range []*p4rt.Entry{
		tables.KnownSource(9, packet.MAC{2, 1}), tables.Scope(9, packet.MAC{2, 1}, 3), tables.LocalCopy(offload.Attachment{Port: 1}, 9), tables.DHCPPunted(9)[0], tables.PortMap(offload.Attachment{Port: 1}, 9)[0],
	} {
		if _, has := tables.NumbersOf([]*p4rt.Entry{e}).Locals[9]; !has {
			t.Errorf("%v does not tell number 9", e)
		}
	}
	if n := tables.NumbersOf([]*p4rt.Entry{tables.PeerCopy(9)}).Locals; len(n) != 0 {
		t.Errorf("a path's copy tells numbers %v of vports", n)
	}
}

// TestWithheldNumbers: a number that is withheld, or reserved for a key that does not come, is given to nobody before it is free again; one that is reserved, to its key.
func TestWithheldNumbers(t *testing.T) {
	ids := offload.NewIDs[string](4)
	ids.Reserve("late", 3)
	ids.Reserve("never", 1)
	ids.Reserve("other", 3) // taken
	ids.Withhold(2)
	ids.Withhold(3) // which is somebody's
	want := func(key string, id uint16, ok bool) {
		t.Helper()
		if got, _, is := ids.Acquire(key); got != id || is != ok {
			t.Errorf("%s gets %d, %v, want %d, %v", key, got, is, id, ok)
		}
	}
	want("first", 4, true)
	want("second", 0, false)
	want("late", 3, true)
	want("second", 0, false)
	ids.Unreserve()
	got := map[uint16]bool{}
	for _, key := range []string{"second", "third"} {
		id, _, ok := ids.Acquire(key)
		got[id] = ok
	}
	if !got[1] || !got[2] || len(got) != 2 {
		t.Errorf("free again are %v, want 1 and 2", got)
	}
	want("fourth", 0, false)
}
