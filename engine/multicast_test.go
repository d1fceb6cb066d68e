package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
)

var (
	sets4 = netip.MustParsePrefix("239.192.0.0/14")
	sets6 = netip.MustParsePrefix("ff05:0:0:7::/104")
)

// subscribed is what a layout listens to, kept up to date: groups and uplinks.
func subscribed(l *layout) map[netip.Addr]uint16 {
	all := map[netip.Addr]uint16{}
	l.subscribe = func(port uint16, group netip.Addr, wanted bool) {
		if delete(all, group); wanted {
			all[group] = port
		}
	}
	return all
}

func TestSetAddr(t *testing.T) {
	for _, c := range []struct {
		within string
		set    flow.Dest
		want   string // "": the range does not reach that far
	}{
		{"239.192.0.0/14", 1, "239.192.0.1"},
		{"239.192.0.0/14", 0x3ffff, "239.195.255.255"},
		{"239.192.0.0/14", 0x40000, ""},
		{"239.0.0.0/8", 0xffffff, "239.255.255.255"},
		{"239.1.2.0/24", 255, "239.1.2.255"},
		{"239.1.2.0/24", 256, ""},
		{"ff05:0:0:7::/104", 0xffffff, "ff05:0:0:7::ff:ffff"},
		{"ff05::/64", 0xabcdef, "ff05::ab:cdef"},
		{"ff05::1:0/120", 7, "ff05::1:7"},
		{"ff05::1:0/120", 256, ""},
	} {
		got, ok := setAddr(netip.MustParsePrefix(c.within), c.set)
		if ok != (c.want != "") || ok && got != netip.MustParseAddr(c.want) {
			t.Errorf("set %d within %s: %v, %v; want %s", c.set, c.within, got, ok, c.want)
		}
	}
	if a, ok := setAddr(netip.Prefix{}, 1); ok {
		t.Errorf("without a range: %v", a)
	}
}

// setsView is an edge with two members of set 100, others at e2 and e3, which share its range, and at e4, which does not.
func setsView(within netip.Prefix) *view {
	v := baseView()
	v.self.Multicast, v.self.Tunnel = within, offload.VXLAN
	for id, sets := range map[string]netip.Prefix{"e2": within, "e3": within, "e4": {}} {
		v.edges[id] = Edge{ID: id, VTEPs: []netip.Addr{vtep(id[1] - '0')[0], netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: id[1]})}, Tunnel: offload.VXLAN, Multicast: sets}
	}
	v.places[1], v.places[2] = place{edge: "e1", at: offload.Attachment{Port: 1}}, place{edge: "e1", at: offload.Attachment{Port: 2}}
	v.places[3], v.places[4], v.places[5] = place{edge: "e2"}, place{edge: "e3"}, place{edge: "e4"}
	v.groups[100] = []flow.VPortID{1, 2, 3, 4, 5}
	return v
}

// replicas counts the copies of the larger group of a layout: all of what a vport sends, sources included.
func replicas(l *layout) (most int) {
	l.entities(func(e p4rt.Entity) {
		if g, ok := e.(*p4rt.MulticastGroup); ok {
			most = max(most, len(g.Replicas))
		}
	})
	return most
}

// terminated counts the addresses at which tunnels end.
func terminated(l *layout) int {
	n := census(l)
	return n["ingress.tunnel_term_v4"] + n["ingress.tunnel_term_v6"]
}

// TestSetsByMulticast: one copy serves all edges with the same range and encapsulation, each other one has its own; the edge listens while it has a member.
func TestSetsByMulticast(t *testing.T) {
	for _, within := range []netip.Prefix{sets4, sets6} {
		v := setsView(within)
		l := newLayout(tables(t), newLocals(new(residents), func(uint16) {}))
		listens := subscribed(l)
		touch := func(s ...subject) {
			t.Helper()
			touched := map[subject]struct{}{}
			for _, one := range s {
				touched[one] = struct{}{}
			}
			if l.rebuild(v, touched); len(l.lacks) > 0 {
				t.Fatal(l.lacks)
			}
		}
		group, _ := setAddr(within, 100)
		l.rebuild(v, l.all(v))
		own := len(tunnels) * len(v.self.VTEPs)
		if got := replicas(l); got != 2+2 {
			t.Errorf("%v: %d copies, want two here, one by multicast, one to e4", within, got)
		}
		if !maps.Equal(listens, map[netip.Addr]uint16{group: 256}) || terminated(l) != own+1 {
			t.Errorf("%v: listens to %v, %d addresses terminated", within, listens, terminated(l))
		}
		e3 := v.edges["e3"]
		e3.Tunnel = offload.GRE // wants what the others are not sent
		v.edges["e3"] = e3
		touch(peerSubject("e3"))
		if got := replicas(l); got != 2+3 {
			t.Errorf("%v: %d copies with another encapsulation at e3", within, got)
		}
		delete(v.places, 3) // e2 has no member any more
		touch(vportSubject(3), groupSubject(100))
		if got := replicas(l); got != 2+2 {
			t.Errorf("%v: %d copies without e2", within, got)
		}
		delete(v.places, 1)
		delete(v.places, 2)
		touch(vportSubject(1), vportSubject(2), groupSubject(100))
		if len(listens) > 0 || terminated(l) != own {
			t.Errorf("%v: without members listens to %v, %d addresses terminated", within, listens, terminated(l))
		}
		v.places[1], v.places[3] = place{edge: "e1", at: offload.Attachment{Port: 1}}, place{edge: "e2"}
		delete(v.nextHop, map[bool]netip.Addr{true: gateway4, false: gateway6}[within.Addr().Is4()]) // of the range's family no router answers
		touch(vportSubject(1), vportSubject(3), groupSubject(100), peerSubject("e2"), peerSubject("e3"), peerSubject("e4"))
		if got := replicas(l); got != 1+3 || len(listens) > 0 {
			t.Errorf("%v: %d copies by the other family, listens to %v", within, got, listens)
		}
	}
}

// TestSetsBeyondTheTable: a vport is in a set for each bridge that is linked to its own, so that there may be more sets than there is room for addresses. What is too much is left out
// and told, and the target is not given more than it holds; one that goes makes room.
func TestSetsBeyondTheTable(t *testing.T) {
	v := setsView(sets4)
	for d := flow.Dest(101); d < 100+maxSets+2; d++ {
		v.groups[d] = []flow.VPortID{1}
	}
	l := newLayout(tables(t), newLocals(new(residents), func(uint16) {}))
	listens := subscribed(l)
	l.rebuild(v, l.all(v))
	own, room := len(tunnels)*len(v.self.VTEPs), maxSets
	l.entities(func(e p4rt.Entity) {
		if e, ok := e.(*p4rt.Entry); ok && e.Table.Name == "ingress.tunnel_term_v4" {
			room = min(maxSets, int(e.Table.Size)-len(tunnels)) // beside the edge's own address
		}
	})
	if len(listens) != room || terminated(l) != own+room || len(l.lacks) != maxSets+2-room {
		t.Fatalf("listens to %d sets, %d addresses terminated, %d lacks: %v", len(listens), terminated(l), len(l.lacks), l.lacks)
	}
	delete(v.groups, 100)
	_, confirm := l.rebuild(v, map[subject]struct{}{groupSubject(100): {}})
	for _, f := range confirm {
		f()
	}
	left := map[subject]struct{}{}
	for s := range l.lacks {
		left[s] = struct{}{}
	}
	if l.rebuild(v, left); len(listens) != room || len(l.lacks) != maxSets+1-room {
		t.Errorf("listens to %d sets, %d lacks", len(listens), len(l.lacks))
	}
}

// TestSetsKeepTheirPaths: an agent that begins anew goes on with the numbers that the target has for the paths of sets.
func TestSetsKeepTheirPaths(t *testing.T) {
	ts := tables(t)
	v := setsView(sets4)
	for d := flow.Dest(101); d < 140; d++ {
		v.groups[d] = v.groups[100]
	}
	before := newLayout(ts, newLocals(new(residents), func(uint16) {}))
	before.rebuild(v, before.all(v))
	var entries []*p4rt.Entry
	had := map[p4rt.Key]p4rt.Entity{}
	before.entities(func(e p4rt.Entity) {
		had[e.Key()] = e
		if e, ok := e.(*p4rt.Entry); ok {
			entries = append(entries, e)
		}
	})
	n := newLocals(new(residents), func(uint16) {})
	for d := flow.Dest(100); d < 105; d++ { // some sets are gone: their numbers stay free until their entries are gone
		delete(v.groups, d)
	}
	n.reserve(ts.NumbersOf(entries), v)
	after := newLayout(ts, n)
	after.rebuild(v, after.all(v))
	after.entities(func(e p4rt.Entity) {
		if old, was := had[e.Key()]; !was || !same(old, e) {
			t.Errorf("%v is new, or differs", e.Key())
		}
	})
}

// delivered counts how often a frame for set 100 from one edge gets to another: by copies to its tunnel addresses, and by multicast if it listens there to that encapsulation.
func delivered(t *testing.T, from, to *layout, sender, receiver *Edge) (n int) {
	t.Helper()
	listens := map[netip.Addr]bool{}
	for _, p := range to.parts {
		if p.wanted != nil {
			listens[p.wanted.dst] = true
		}
	}
	dst := map[uint32]netip.Addr{}
	for name, id := range from.n.paths.All() {
		dst[1<<15|uint32(id)] = name.dst
	}
	from.entities(func(e p4rt.Entity) {
		g, ok := e.(*p4rt.MulticastGroup)
		if !ok {
			return
		}
		for _, r := range g.Replicas {
			if at := dst[r.Instance]; slices.Contains(receiver.VTEPs, at) || listens[at] && sender.Tunnel == receiver.Tunnel {
				n++
			}
		}
	})
	return n
}

// TestSetsArriveOnce: whatever ranges edges name, also while a range is made wider edge by edge, what one sends for a set gets to each other once.
func TestSetsArriveOnce(t *testing.T) {
	ts := tables(t)
	wider, other := netip.MustParsePrefix("239.192.0.0/12"), netip.MustParsePrefix("239.1.0.0/16")
	all := map[string]Edge{}
	for i, is := range []struct {
		within netip.Prefix
		tunnel offload.Tunnel
	}{{sets4, offload.VXLAN}, {sets4, offload.VXLAN}, {wider, offload.VXLAN}, {wider, offload.VXLAN}, {other, offload.VXLAN}, {netip.Prefix{}, offload.VXLAN}, {sets4, offload.GRE}, {wider, offload.GRE}, {sets6, offload.VXLAN}} {
		id := fmt.Sprintf("e%d", i+1)
		all[id] = Edge{ID: id, VTEPs: []netip.Addr{vtep(byte(i + 1))[0], netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i + 1)})}, Tunnel: is.tunnel, Multicast: is.within}
	}
	layouts := map[string]*layout{}
	for id, e := range all {
		v := baseView()
		v.self, v.edges = e, maps.Clone(all)
		delete(v.edges, id)
		for n := range len(all) {
			at := place{edge: fmt.Sprintf("e%d", n+1)}
			if at.edge == id {
				at.at = offload.Attachment{Port: 1}
			}
			v.places[flow.VPortID(n+1)] = at
			v.groups[100] = append(v.groups[100], flow.VPortID(n+1))
		}
		l := newLayout(ts, newLocals(new(residents), func(uint16) {}))
		if l.rebuild(v, l.all(v)); len(l.lacks) > 0 {
			t.Fatal(l.lacks)
		}
		layouts[id] = l
	}
	for from, sender := range all {
		for to, receiver := range all {
			if from == to {
				continue
			}
			if n := delivered(t, layouts[from], layouts[to], &sender, &receiver); n != 1 {
				t.Errorf("from %s (%v, %v) to %s (%v, %v) %d times", from, sender.Multicast, sender.Tunnel, to, receiver.Multicast, receiver.Tunnel, n)
			}
		}
	}
}
