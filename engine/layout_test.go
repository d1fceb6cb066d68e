package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
	"github.com/weft-sdn/weft/packet"
)

func tables(t *testing.T) *offload.Tables {
	t.Helper()
	info, err := p4src.Info()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	ts, err := offload.NewTables(schema)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

var (
	gateway4 = netip.MustParseAddr("10.0.1.1")
	gateway6 = netip.MustParseAddr("fd00:1::1")
	vtep     = func(n byte) []netip.Addr {
		return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, n}), netip.MustParseAddr("2001:db8::1")}
	}
)

func baseView() *view {
	v := newView(Edge{ID: "e1", VTEPs: vtep(1)}, []Uplink{{
		Port: 256, MAC: packet.MAC{2, 1}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("fd00:1::2")},
		Gateway: []netip.Addr{gateway4, gateway6},
	}})
	v.puntRate = 1000
	v.nextHop[gateway4], v.nextHop[gateway6] = packet.MAC{2, 9}, packet.MAC{2, 9}
	return v
}

// change makes one random change of a view of 12 vports at three edges, and returns the subjects that it concerns.
func change(r *rand.Rand, v *view) map[subject]struct{} {
	touched := map[subject]struct{}{}
	groups := func(of flow.VPortID) {
		for g, members := range v.groups {
			if slices.Contains(members, of) {
				touched[groupSubject(g)] = struct{}{}
			}
		}
	}
	switch r.IntN(4) {
	case 0: // an edge comes, or changes its addresses
		e := []Edge{{ID: "e2", VTEPs: vtep(2)[:1], Tunnel: offload.VXLAN}, {ID: "e3", VTEPs: vtep(3), Tunnel: offload.GRE}}[r.IntN(2)]
		if r.IntN(2) == 0 {
			e.Multicast = sets4
		}
		if r.IntN(3) == 0 {
			e.VTEPs = e.VTEPs[:1]
		}
		v.edges[e.ID] = e
		touched[peerSubject(e.ID)] = struct{}{}
	case 1: // a gateway answers, or its MAC changes
		v.nextHop[gateway6] = packet.MAC{2, byte(r.IntN(3))}
		if len(v.links) > 1 && r.IntN(2) == 0 {
			v.nextHop[v.links[1].Gateway[0]] = packet.MAC{2, 8}
		}
		for id := range v.edges {
			touched[peerSubject(id)] = struct{}{}
		}
		for g := range v.groups {
			touched[groupSubject(g)] = struct{}{}
		}
	case 2: // a flood domain
		g := flow.Dest(100 + r.IntN(3))
		delete(v.groups, g)
		if r.IntN(3) > 0 {
			v.groups[g] = nil
			for id := flow.VPortID(1); id <= 12; id++ {
				if r.IntN(2) == 0 {
					v.groups[g] = append(v.groups[g], id)
				}
			}
		}
		touched[groupSubject(g)] = struct{}{}
	default: // a vport comes, moves or goes; sometimes two swap
		for range 1 + r.IntN(2) {
			id := flow.VPortID(1 + r.IntN(12))
			delete(v.places, id)
			if r.IntN(3) > 0 {
				at := place{edge: []string{"e1", "e2", "e3"}[r.IntN(3)]}
				if at.edge == "e1" {
					at.at = offload.Attachment{Port: uint16(id), VLAN: uint16(r.IntN(2) * 5)}
				}
				v.places[id] = at
			}
			delete(v.dhcp, id)
			if r.IntN(2) == 0 {
				v.dhcp[id] = struct{}{}
			}
			touched[vportSubject(id)] = struct{}{}
			groups(id)
		}
	}
	return touched
}

// census reduces entities to what does not depend on which local numbers were given: how many there are of each table.
func census(l *layout) map[string]int {
	n := map[string]int{}
	l.entities(func(e p4rt.Entity) {
		switch e := e.(type) {
		case *p4rt.Entry:
			n[e.Table.Name]++
		case *p4rt.MulticastGroup:
			n["groups"]++
		}
	})
	return n
}

// TestLayoutDependsOnStateAlone: by changes in any order, the target comes to hold what the last view asks for: no more, no less, nothing inserted
// twice; and numbers are given back.
func TestLayoutDependsOnStateAlone(t *testing.T) {
	ts := tables(t)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 100 {
		l := newLayout(ts, newLocals(new(residents), func(uint16) {}))
		v := baseView()
		v.self.Multicast = []netip.Prefix{{}, sets4, sets6}[i%3]
		if i%2 == 0 { // another uplink, whose gateway answers late
			v.links = append(v.links, Uplink{Port: 257, MAC: packet.MAC{2, 2}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.2.2")}, Gateway: []netip.Addr{netip.MustParseAddr("10.0.2.1")}})
		}
		listens := subscribed(l)
		held := map[p4rt.Key]p4rt.Entity{}
		update := func(touched map[subject]struct{}) {
			t.Helper()
			stages, confirm := l.rebuild(v, touched)
			if len(l.lacks) > 0 {
				t.Fatal(l.lacks)
			}
			for _, stage := range stages {
				apply(t, held, stage)
			}
			for _, f := range confirm {
				f()
			}
		}
		update(map[subject]struct{}{{kind: subjectSelf}: {}})
		for range 40 {
			update(change(r, v))
			total := 0
			l.entities(func(e p4rt.Entity) {
				if e.Key().Kind == p4rt.KindMeterCell {
					return // always there
				}
				total++
				if have, ok := held[e.Key()]; !ok || !same(have, e) {
					t.Fatalf("%v: installed %v, want %v", e.Key(), have, e)
				}
			})
			if len(held) != total {
				t.Fatalf("%d entries installed, want %d", len(held), total)
			}
			fresh := newLayout(ts, newLocals(new(residents), func(uint16) {}))
			afresh := subscribed(fresh)
			fresh.rebuild(v, fresh.all(v))
			if !maps.Equal(afresh, listens) {
				t.Fatalf("listens to %v, a fresh start to %v", listens, afresh)
			}
			if d := cmp.Diff(census(fresh), census(l)); d != "" {
				t.Fatalf("what is held differs from what a fresh start holds (-fresh +held):\n%s", d)
			}
			stages, _ := l.rebuild(v, l.all(v))
			for _, stage := range stages {
				if len(stage) != 0 {
					t.Fatalf("a layout differs from itself: %v", stage[0])
				}
			}
		}
		clear(v.places)
		clear(v.groups)
		clear(v.edges)
		update(l.all(v))
		if n := l.n.vports.References(1) + l.n.peers.References("e2"); n != 0 {
			t.Errorf("%d references are left of what is gone", n)
		}
		if len(listens) > 0 {
			t.Errorf("still listens to %v", listens)
		}
		for i := range uint16(maxVPorts) {
			if id := l.n.ingress(i); id != 0 {
				t.Errorf("local number %d still stands for vport %d", i, id)
			}
		}
	}
}

func apply(t *testing.T, held map[p4rt.Key]p4rt.Entity, stage []p4rt.Update) {
	t.Helper()
	for _, u := range stage {
		key := u.Entity.Key()
		if key.Kind == p4rt.KindMeterCell {
			if u.Op != p4rt.Modify {
				t.Fatalf("%v of %v: a meter is always there", u.Op, u.Entity)
			}
			continue
		}
		_, ok := held[key]
		if ok == (u.Op == p4rt.Insert) {
			t.Fatalf("%v of %v: present %v", u.Op, u.Entity, ok)
		}
		if u.Op == p4rt.Delete {
			delete(held, key)
		} else {
			held[key] = u.Entity
		}
	}
}

// TestMoveCostsOneDestination: a vport that moves changes its own location, port map and replicas, not those of others (O1).
func TestMoveCostsOneDestination(t *testing.T) {
	l := newLayout(tables(t), newLocals(new(residents), func(uint16) {}))
	v := baseView()
	v.edges["e2"] = Edge{ID: "e2", VTEPs: vtep(2)[:1], Tunnel: offload.VXLAN}
	for id := flow.VPortID(1); id <= 1000; id++ {
		v.places[id] = place{edge: "e2"}
	}
	l.rebuild(v, l.all(v))
	v.places[7] = place{edge: "e1", at: offload.Attachment{Port: 3}}
	stages, _ := l.rebuild(v, map[subject]struct{}{vportSubject(7): {}})
	if len(l.lacks) > 0 {
		t.Fatal(l.lacks)
	}
	changed := 0
	for _, stage := range stages {
		changed += len(stage)
	}
	// Two locations (from vports, from tunnels), its replica, its rates of punts and floods, and of what it sends and gets, and port_map for untagged and priority-tagged frames.
	if changed != 9 {
		t.Errorf("%d updates, want 9", changed)
	}
}

// TestPathsWhereSomethingIs: what an edge to which nothing here refers sends is let in, whoever it is for; paths to it are there as long as a vport or a member of a group is known to
// live there, and what refers to an edge is what is rebuilt when that moves.
func TestPathsWhereSomethingIs(t *testing.T) {
	l := newLayout(tables(t), newLocals(new(residents), func(uint16) {}))
	v := baseView()
	for i := range byte(100) {
		id := fmt.Sprintf("e%d", 2+i)
		v.edges[id] = Edge{ID: id, VTEPs: vtep(2 + i)[:1], Tunnel: offload.VXLAN}
	}
	v.places[1], v.places[2], v.places[3] = place{edge: "e1", at: offload.Attachment{Port: 1}}, place{edge: "e2"}, place{edge: "e3"}
	v.groups[100] = []flow.VPortID{1, 2}
	l.rebuild(v, l.all(v))
	want := func(when string, paths int) {
		t.Helper()
		n := census(l)
		if n["egress.underlay"] != paths || n["ingress.peer"] != paths*offload.Buckets || n["ingress.peer_list_v4"] != len(v.edges) {
			t.Errorf("%s: %d paths, want %d; %d entries of peer; %d of %d edges are let in", when, n["egress.underlay"], paths, n["ingress.peer"], n["ingress.peer_list_v4"], len(v.edges))
		}
	}
	want("at first", 2)
	v.places[3] = place{edge: "e4"}
	l.rebuild(v, map[subject]struct{}{vportSubject(3): {}})
	want("after a move", 2)
	if l.n.peers.References("e3") != 0 || l.n.peers.References("e4") == 0 {
		t.Error("the edge that was left still has its number, or the other has none")
	}
	v.places[2] = place{edge: "e1", at: offload.Attachment{Port: 2}}
	l.rebuild(v, map[subject]struct{}{vportSubject(2): {}, groupSubject(100): {}})
	want("after the last one of an edge came here", 1)

	moved := v.edges["e4"]
	moved.VTEPs = vtep(200)[:1]
	v.edges["e4"] = moved
	touched := map[subject]struct{}{peerSubject("e4"): {}}
	l.rebuild(v, touched)
	if len(touched) != 2 {
		t.Errorf("%v rebuilt when an edge moved, want it and the vport there", touched)
	}
	want("after an edge moved", 1)
	moved = v.edges["e50"]
	moved.VTEPs = vtep(201)[:1]
	v.edges["e50"] = moved
	touched = map[subject]struct{}{peerSubject("e50"): {}}
	l.rebuild(v, touched)
	if len(touched) != 1 {
		t.Errorf("%v rebuilt when an edge moved to which nothing refers, want it alone", touched)
	}
	delete(v.places, 3)
	l.rebuild(v, map[subject]struct{}{vportSubject(3): {}})
	want("at last", 0)
}

// TestFloodRateIsOneCell: a rate that changes or goes sets the vport's cell of the meter and nothing else, one of a vport that lives elsewhere nothing at all.
func TestFloodRateIsOneCell(t *testing.T) {
	l := newLayout(tables(t), newLocals(new(residents), func(uint16) {}))
	v := baseView()
	v.edges["e2"] = Edge{ID: "e2", VTEPs: vtep(2)[:1], Tunnel: offload.VXLAN}
	v.places[1], v.places[2] = place{edge: "e1", at: offload.Attachment{Port: 1}}, place{edge: "e2"}
	l.rebuild(v, l.all(v))
	set := func(id flow.VPortID, rate int64) (cells []*p4rt.MeterCell) {
		t.Helper()
		if v.floods[id] = rate; rate == 0 {
			delete(v.floods, id)
		}
		stages, _ := l.rebuild(v, map[subject]struct{}{vportSubject(id): {}})
		for _, stage := range stages {
			for _, u := range stage {
				cell, ok := u.Entity.(*p4rt.MeterCell)
				if !ok || u.Op != p4rt.Modify {
					t.Fatalf("%v of %v", u.Op, u.Entity)
				}
				cells = append(cells, cell)
			}
		}
		return cells
	}
	for _, rate := range []int64{50, 60, 0} {
		cells := set(1, rate)
		if len(cells) != 1 || (cells[0].Config == nil) != (rate == 0) || rate != 0 && (cells[0].Config.CIR != rate || cells[0].Config.CBurst != rate) {
			t.Errorf("rate %d: %v", rate, cells)
		}
		if again := set(1, rate); len(again) != 0 {
			t.Errorf("rate %d once more: %v", rate, again)
		}
	}
	if cells := set(2, 50); len(cells) != 0 {
		t.Errorf("of a vport elsewhere: %v", cells)
	}
}

// TestDHCPCostsTwo: a vport that gets a DHCP resource gets an entry of each IP version, and loses them with it; one that lives elsewhere gets none.
func TestDHCPCostsTwo(t *testing.T) {
	l := newLayout(tables(t), newLocals(new(residents), func(uint16) {}))
	v := baseView()
	v.edges["e2"] = Edge{ID: "e2", VTEPs: vtep(2)[:1], Tunnel: offload.VXLAN}
	v.places[1], v.places[2] = place{edge: "e1", at: offload.Attachment{Port: 1}}, place{edge: "e2"}
	l.rebuild(v, l.all(v))
	for _, want := range []p4rt.Op{p4rt.Insert, p4rt.Delete} {
		for _, id := range []flow.VPortID{1, 2} {
			if want == p4rt.Insert {
				v.dhcp[id] = struct{}{}
			} else {
				delete(v.dhcp, id)
			}
		}
		stages, _ := l.rebuild(v, map[subject]struct{}{vportSubject(1): {}, vportSubject(2): {}})
		n := 0
		for _, u := range slices.Concat(stages...) {
			n++
			if e, ok := u.Entity.(*p4rt.Entry); !ok || e.Table.Name != "ingress.punt_class" || u.Op != want {
				t.Errorf("%v %v", u.Op, u.Entity)
			}
		}
		if n != 2 {
			t.Errorf("%d updates, want 2", n)
		}
	}
}

// TestFlowsSpreadOverAddresses: an edge with several tunnel addresses and uplinks gets its flows over every pair of them, in equal shares (E12).
func TestFlowsSpreadOverAddresses(t *testing.T) {
	ts := tables(t)
	l := newLayout(ts, newLocals(new(residents), func(uint16) {}))
	v := baseView()
	v.self.VTEPs = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")}
	second := v.links[0]
	second.Port, second.Gateway = 257, []netip.Addr{netip.MustParseAddr("10.0.2.1")}
	v.links = append(v.links, second)
	v.nextHop[second.Gateway[0]] = packet.MAC{2, 8}
	v.edges["e2"] = Edge{ID: "e2", VTEPs: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.2")}, Tunnel: offload.VXLAN}
	v.places[1] = place{edge: "e2"}
	if l.rebuild(v, l.all(v)); len(l.lacks) > 0 {
		t.Fatal(l.lacks)
	}
	peer := l.parts[peerSubject("e2")]
	if len(peer.paths) != 8 { // 2 own addresses, 2 of the peer, 2 uplinks
		t.Fatalf("%d paths, want 8", len(peer.paths))
	}
	share, ports := map[string]int{}, map[string]int{}
	l.entities(func(e p4rt.Entity) {
		entry, ok := e.(*p4rt.Entry)
		if ok && entry.Table.Name == "ingress.peer" {
			share[entry.Params[0].String()]++
			ports[entry.Params[1].String()]++
		}
	})
	if len(share) != 8 || len(ports) != 2 {
		t.Errorf("buckets go over %d paths and %d uplinks, want 8 and 2", len(share), len(ports))
	}
	for path, n := range share {
		if n != offload.Buckets/8 {
			t.Errorf("path %s has %d of %d buckets", path, n, offload.Buckets)
		}
	}
}

// TestOneEntryForTwo: an address that two edges give, or one edge twice, and an interface that goes by two names, are one entry, which stays while
// anybody asks for it; with two, a target refuses the second, and no reconcile can want both.
func TestOneEntryForTwo(t *testing.T) {
	l, v, held := newLayout(tables(t), newLocals(new(residents), func(uint16) {})), baseView(), map[p4rt.Key]p4rt.Entity{}
	update := func(touched ...subject) {
		t.Helper()
		set := map[subject]struct{}{}
		for _, s := range touched {
			set[s] = struct{}{}
		}
		stages, _ := l.rebuild(v, set)
		if len(l.lacks) > 0 {
			t.Fatal(l.lacks)
		}
		for _, stage := range stages {
			apply(t, held, stage)
		}
		seen := map[p4rt.Key]bool{}
		l.entities(func(e p4rt.Entity) {
			k := e.Key()
			if seen[k] {
				t.Errorf("wanted twice: %v", e)
			}
			seen[k] = true
			if have, ok := held[k]; k.Kind != p4rt.KindMeterCell && (!ok || !same(have, e)) {
				t.Errorf("installed %v, want %v", have, e)
			}
		})
	}
	update(subject{kind: subjectSelf})
	own := len(held)
	twice := append(vtep(2)[:1:1], vtep(2)[0])
	v.edges["e2"] = Edge{ID: "e2", VTEPs: twice, Tunnel: offload.VXLAN}
	update(peerSubject("e2"))
	v.edges["e3"] = Edge{ID: "e3", VTEPs: vtep(2)[:1], Tunnel: offload.VXLAN} // e2 by its new name
	update(peerSubject("e3"))
	v.places[1], v.places[2] = place{edge: "e1", at: offload.Attachment{Port: 1}}, place{edge: "e1", at: offload.Attachment{Port: 1}}
	update(vportSubject(1))
	update(vportSubject(2))
	delete(v.places, 1)
	update(vportSubject(1))
	delete(v.edges, "e2")
	update(peerSubject("e2"))
	delete(v.places, 2)
	delete(v.edges, "e3")
	update(vportSubject(2), peerSubject("e3"))
	if len(held) != own {
		t.Errorf("%d entries are left, want %d", len(held), own)
	}
}

// TestKeptTagsAreOneEntry: a vport that is alone on an interface gets one entry where tags are kept, and loses it with that; one with a tag of its own, and one that lives
// elsewhere, get none.
func TestKeptTagsAreOneEntry(t *testing.T) {
	l := newLayout(tables(t), newLocals(new(residents), func(uint16) {}))
	v := baseView()
	v.edges["e2"] = Edge{ID: "e2", VTEPs: vtep(2)[:1], Tunnel: offload.VXLAN}
	v.places[1], v.places[2], v.places[3] = place{edge: "e1", at: offload.Attachment{Port: 1}}, place{edge: "e1", at: offload.Attachment{Port: 1, VLAN: 5}}, place{edge: "e2"}
	l.rebuild(v, l.all(v))
	updates := func() (ops []p4rt.Op) {
		t.Helper()
		stages, _ := l.rebuild(v, map[subject]struct{}{vportSubject(1): {}, vportSubject(2): {}, vportSubject(3): {}})
		for _, stage := range stages {
			for _, u := range stage {
				if e, ok := u.Entity.(*p4rt.Entry); !ok || e.Table.Name != "ingress.port_tags" {
					t.Errorf("%v of %v", u.Op, u.Entity)
				}
				ops = append(ops, u.Op)
			}
		}
		return ops
	}
	for id := range v.places {
		v.tags[id] = struct{}{}
	}
	if ops := updates(); !slices.Equal(ops, []p4rt.Op{p4rt.Insert}) {
		t.Errorf("with tags kept: %v", ops)
	}
	clear(v.tags)
	if ops := updates(); !slices.Equal(ops, []p4rt.Op{p4rt.Delete}) {
		t.Errorf("with tags dropped: %v", ops)
	}
}
