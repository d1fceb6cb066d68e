package engine

import (
	"math/rand/v2"
	"net/netip"
	"testing"

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

func baseView() *View {
	return &View{
		Self: Edge{ID: "e1", VTEPs: vtep(1)},
		Links: []Uplink{{Port: 256, MAC: packet.MAC{2, 1}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("fd00:1::2")},
			Gateway: []netip.Addr{gateway4, gateway6}}},
		NextHop: map[netip.Addr]packet.MAC{gateway4: {2, 9}, gateway6: {2, 9}},
		Places:  map[flow.VPortID]Place{}, Groups: map[flow.Dest][]flow.VPortID{},
	}
}

// randomView binds some of 12 vports at three edges, two of which this edge may know, and floods among them.
func randomView(r *rand.Rand) *View {
	v := baseView()
	for _, e := range []Edge{{ID: "e2", VTEPs: vtep(2)[:1], Tunnel: offload.VXLAN}, {ID: "e3", VTEPs: vtep(3), Tunnel: offload.GRE}} {
		if r.IntN(3) > 0 {
			v.Edges = append(v.Edges, e)
		}
	}
	if r.IntN(4) == 0 {
		delete(v.NextHop, gateway6)
	}
	for id := flow.VPortID(1); id <= 12; id++ {
		if r.IntN(3) > 0 {
			v.Places[id] = Place{Edge: []string{"e1", "e2", "e3"}[r.IntN(3)], Attachment: offload.Attachment{Port: uint16(id), VLAN: uint16(r.IntN(2) * 5)}}
		}
	}
	for g := flow.Dest(100); g < 103; g++ {
		if r.IntN(3) > 0 {
			for id := flow.VPortID(1); id <= 12; id++ {
				if r.IntN(2) == 0 {
					v.Groups[g] = append(v.Groups[g], id)
				}
			}
		}
	}
	return v
}

// TestDiffDependsOnStateAlone: applying diffs along any history gives what the last view asks for; a second diff is empty; inserts of one key come once.
func TestDiffDependsOnStateAlone(t *testing.T) {
	ts := tables(t)
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		n := newNames()
		installed := new(layout)
		for i := range installed {
			installed[i] = map[p4rt.Key]p4rt.Entity{}
		}
		held := map[p4rt.Key]p4rt.Entity{}
		for range 6 {
			want, err := compute(ts, n, randomView(r))
			if err != nil {
				t.Fatal(err)
			}
			for _, stage := range want.diff(installed) {
				apply(t, held, stage)
			}
			installed = want
			total := 0
			for i := range want {
				for key, e := range want[i] {
					total++
					if have, ok := held[key]; !ok || !same(have, e) {
						t.Fatalf("%v: installed %v, want %v", key, have, e)
					}
				}
			}
			if len(held) != total {
				t.Fatalf("%d entries installed, want %d", len(held), total)
			}
			for _, stage := range want.diff(want) {
				if len(stage) != 0 {
					t.Fatalf("a layout differs from itself: %v", stage[0])
				}
			}
		}
	}
}

func apply(t *testing.T, held map[p4rt.Key]p4rt.Entity, stage []p4rt.Update) {
	t.Helper()
	for _, u := range stage {
		key := u.Entity.Key()
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
	ts := tables(t)
	n := newNames()
	v := baseView()
	v.Edges = []Edge{{ID: "e2", VTEPs: vtep(2)[:1], Tunnel: offload.VXLAN}}
	for id := flow.VPortID(1); id <= 1000; id++ {
		v.Places[id] = Place{Edge: "e2", Attachment: offload.Attachment{Port: 1, VLAN: uint16(id)}}
	}
	before, err := compute(ts, n, v)
	if err != nil {
		t.Fatal(err)
	}
	v.Places[7] = Place{Edge: "e1", Attachment: offload.Attachment{Port: 3}}
	after, err := compute(ts, n, v)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, stage := range after.diff(before) {
		changed += len(stage)
	}
	// Two locations (from vports, from tunnels), its replica, and port_map for untagged and priority-tagged frames.
	if changed != 5 {
		t.Errorf("%d updates, want 5", changed)
	}
}

// TestUnderlayAnswers: ARP, ND and ping for own addresses and VTEPs are answered, others are not; gateways are learnt, strangers are not.
func TestUnderlayAnswers(t *testing.T) {
	v := baseView()
	var sent [][]byte
	learnt := map[netip.Addr]packet.MAC{}
	u := newUnderlay(v.Self, v.Links, func(_ uint16, f []byte) { sent = append(sent, append([]byte{}, f...)) },
		func(a netip.Addr, m packet.MAC) { learnt[a] = m })
	gw := packet.MAC{2, 9}
	receive := func(frame []byte) int {
		t.Helper()
		sent = nil
		var f packet.Frame
		if err := packet.Parse(frame, &f); err != nil {
			t.Fatal(err)
		}
		u.receive(256, &f)
		return len(sent)
	}
	for _, c := range []struct {
		name  string
		frame []byte
		want  int
	}{
		{"ARP for the link address", packet.AppendARPRequest(nil, gw, gateway4, netip.MustParseAddr("10.0.1.2")), 1},
		{"ARP for the VTEP", packet.AppendARPRequest(nil, gw, gateway4, v.Self.VTEPs[0]), 1},
		{"ARP for another", packet.AppendARPRequest(nil, gw, gateway4, netip.MustParseAddr("10.0.1.9")), 0},
		{"NS for the VTEP", packet.AppendNS(nil, gw, gateway6, v.Self.VTEPs[1]), 1},
		{"NS for another", packet.AppendNS(nil, gw, gateway6, netip.MustParseAddr("fd00:1::9")), 0},
	} {
		if got := receive(c.frame); got != c.want {
			t.Errorf("%s: %d answers, want %d", c.name, got, c.want)
		}
	}
	if learnt[gateway4] != gw || learnt[gateway6] != gw {
		t.Errorf("learnt %v", learnt)
	}
	receive(packet.AppendARPRequest(nil, packet.MAC{2, 66}, netip.MustParseAddr("10.0.1.9"), netip.MustParseAddr("10.0.1.2")))
	if len(learnt) != 2 {
		t.Errorf("a stranger was learnt: %v", learnt)
	}
	sent = nil
	u.solicit(false)
	if len(sent) != 0 {
		t.Errorf("%d requests for known gateways", len(sent))
	}
	u.solicit(true)
	if len(sent) != 2 {
		t.Errorf("%d requests, want one a family", len(sent))
	}
}
