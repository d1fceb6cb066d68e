package offload_test

import (
	"errors"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
)

// TestLinkNumbers: a link's number follows from its port, so that it is the same with another history, unless another has it; it is nobody's else until it is given back.
func TestLinkNumbers(t *testing.T) {
	links := sized(t, nil).NewLinks()
	const size = 4096
	number := func(port flow.VPortID) uint16 {
		t.Helper()
		set := flow.LinkSetOf(port)
		id, ok := links.Acquire(set)
		if !ok || id == 0 || id >= size || links.Set(id) != set || links.Number(set) != id {
			t.Fatalf("port %d has number %d, %v, which is %d's", port, id, ok, links.Set(id))
		}
		return id
	}
	a := number(77)
	if again := sized(t, nil).NewLinks(); func() uint16 { again.Acquire(flow.LinkSetOf(5)); id, _ := again.Acquire(flow.LinkSetOf(77)); return id }() != a {
		t.Error("port 77 has another number in another history")
	}
	two, again := flow.LinkSetOf(77, 5), sized(t, nil).NewLinks()
	if x, _ := links.Acquire(two); x == 0 || x == a || links.Set(x) != two || links.Number(flow.LinkSetOf(77)) != a {
		t.Errorf("number %d of two links, %d of one", x, a)
	} else if y, _ := again.Acquire(flow.LinkSetOf(5, 77)); x != y {
		t.Errorf("two links have number %d, and %d in another history", x, y)
	}
	b := number(77 + size - 1)
	if a == b {
		t.Fatalf("two links have number %d", a)
	}
	number(77)
	if _, last := links.Release(flow.LinkSetOf(77)); last {
		t.Error("the last of two references")
	}
	if _, last := links.Release(flow.LinkSetOf(77)); !last || links.Number(flow.LinkSetOf(77)) != 0 {
		t.Error("a reference is left")
	}
	if c := number(77 + 2*(size-1)); c == a || c == b {
		t.Errorf("number %d, which the target may still have for another", c)
	}
	links.Confirm(a)
	if d := number(77 + 3*(size-1)); d != a {
		t.Errorf("number %d, want %d, which is free", d, a)
	}
	for port := flow.VPortID(1); ; port++ {
		if _, ok := links.Acquire(flow.LinkSetOf(1e6 + port)); !ok {
			if port < size-6 {
				t.Errorf("no number after %d", port)
			}
			break
		}
	}
}

// TestPlaceLinks: a path over a link that has a rate has rewrites of its own, with or without new MACs; a flow whose link changes has its entry modified, and the number goes with the last of them.
func TestPlaceLinks(t *testing.T) {
	tables := newTables(t)
	p := offload.NewPlacer(tables, 100)
	key := func(mac byte) flow.Key {
		return flow.Key{Ingress: 7, SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, mac}, EtherType: 0x88b5}
	}
	mask := flow.Mask{Ingress: flow.MaxID, DstMAC: packet.Broadcast()}
	actions := func(stages [][]p4rt.Update) (out []string) {
		for _, stage := range stages {
			for _, u := range stage {
				if e, ok := u.Entity.(*p4rt.Entry); ok && e.Table.Name == "egress.l2_rewrite" {
					out = append(out, u.Op.String()+" "+e.Action.Name)
				}
			}
		}
		return out
	}
	is := func(what string, stages [][]p4rt.Update, err error, want ...string) {
		t.Helper()
		got := actions(stages)
		if err != nil || len(got) != len(want) || len(got) == 1 && got[0] != want[0] {
			t.Errorf("%s: %v, %v, want %v", what, got, err, want)
		}
	}
	m := offload.Megaflow{Key: key(2), Mask: mask, Act: offload.Forward, Dest: 9, Links: flow.LinkSetOf(300)}
	bridged, stages, err := p.Place(m, 1)
	is("bridged", stages, err, "insert egress.keep_macs")
	m.Key = key(3)
	m.Rewrite = flow.Rewrite{SetMACs: true, SrcMAC: packet.MAC{2, 1}, DstMAC: packet.MAC{2, 2}}
	routed, stages, err := p.Place(m, 1)
	is("routed", stages, err, "insert egress.set_macs")
	m.Key, m.Links = key(4), flow.LinkSet{}
	open, stages, err := p.Place(m, 1)
	is("the same without a link", stages, err, "insert egress.set_macs")
	if got := p.Megaflow(bridged).Links; got != flow.LinkSetOf(300) {
		t.Errorf("links %d, want 300", got)
	}
	if got := p.Megaflow(open); got != m {
		t.Errorf("%+v, want %+v", got, m)
	}
	m = p.Megaflow(routed)
	m.Links = flow.LinkSet{}
	stages, confirm, err := p.Replace(routed, m)
	is("it loses the link", stages, err, "delete egress.set_macs")
	if confirm != nil {
		confirm()
	}
	if p.Links().References(flow.LinkSetOf(300)) != 1 {
		t.Errorf("%d references to the link, want 1", p.Links().References(flow.LinkSetOf(300)))
	}
	stages, confirm = p.Remove(bridged)
	is("it goes", stages, nil, "delete egress.keep_macs")
	number := uint16(0)
	if confirm(); p.Links().Number(flow.LinkSetOf(300)) != number {
		t.Error("the link has a number still")
	}
	full := offload.NewPlacer(tables, 100)
	for port := flow.VPortID(1); ; port++ {
		if _, ok := full.Links().Acquire(flow.LinkSetOf(port)); !ok {
			break
		}
	}
	m = p.Megaflow(open)
	m.Links = flow.LinkSetOf(1 << 20)
	if _, _, err := full.Place(m, 1); !errors.Is(err, offload.ErrNoID) {
		t.Errorf("no number is left: %v", err)
	}
}
