package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// dump tells all that a simulation can read.
func dump(s *Snapshot) []string {
	var out []string
	for v := range s.VPorts() {
		out = append(out, fmt.Sprintf("vport %d %s dev %d/%d peer %d mac %v ll %v addrs %v mtu %d down %v ext %v", v.ID, v.Name, v.Kind, v.Device, v.Peer, v.MAC, v.LinkLocal, v.Addrs, v.MTU, v.AdminDown, v.Exterior))
	}
	for b := range s.Bridges() {
		out = append(out, fmt.Sprintf("bridge %d %s ports %v drop %v subnets %v members %v", b.ID, b.Name, b.Ports, b.DropUnknown, b.Subnets, s.GroupMembers(b.Group())))
		macs := map[string]string{}
		for m, p := range b.macs {
			macs[packet.MACFromUint64(uint64(m)).String()] = fmt.Sprint(p)
		}
		for a, m := range b.neigh {
			macs[a.String()] = m.String()
		}
		for _, k := range slices.Sorted(maps.Keys(macs)) {
			out = append(out, fmt.Sprintf("bridge %d %s is %s", b.ID, k, macs[k]))
		}
	}
	for r := range s.Routers() {
		out = append(out, fmt.Sprintf("router %d %s ports %v", r.ID, r.Name, r.Ports))
		for route := range r.Routes.All() {
			out = append(out, fmt.Sprintf("router %d %v %d", r.ID, route, route.Origin))
		}
	}
	return out
}

// randomObjects draws a network of few names, so that later draws replace and remove earlier objects, and references are often open.
func randomObjects(rng *rand.Rand, n int) []*Object {
	mac := func() packet.MAC { return packet.MAC{2, 0, 0, 0, 0, byte(rng.IntN(9))} }
	prefix := func() netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(rng.IntN(3)), byte(1 + rng.IntN(5))}), 24)
	}
	var objects []*Object
	for range n {
		i := rng.IntN(5)
		o := &Object{APIVersion: APIVersion, Metadata: Metadata{Name: fmt.Sprintf("n%d", i)}}
		switch k := rng.IntN(10); {
		case k == 0:
			o.Kind, o.Status.ID = KindBridge, uint32(1+i)
			o.Spec = &BridgeSpec{UnknownUnicast: []string{"drop", ""}[rng.IntN(2)], MACs: []MACSpec{{MAC: mac(), Port: fmt.Sprintf("n%d", rng.IntN(5))}}}
		case k == 1:
			o.Kind, o.Status.ID = KindRouter, uint32(11+i)
			o.Spec = &RouterSpec{Routes: []RouteSpec{{Dst: prefix().Masked(), Port: fmt.Sprintf("n%d", rng.IntN(5))}, {Dst: netip.MustParsePrefix("0.0.0.0/0"), Kind: "reject"}}}
		case k == 2:
			o.Kind, o.Metadata.Name = KindFabric, "f"
			o.Spec = &FabricSpec{MTU: uint16(1400 + rng.IntN(3)*100)}
		default:
			o.Kind, o.Status.ID = KindVPort, uint32(21+i)
			s := &VPortSpec{Device: fmt.Sprintf("%s/n%d", []string{"bridge", "router"}[rng.IntN(2)], rng.IntN(5)), Addresses: []netip.Prefix{prefix()}, AdminDown: rng.IntN(5) == 0}
			if rng.IntN(2) == 0 {
				s.MAC = mac()
			}
			if p := rng.IntN(5); p != i && rng.IntN(2) == 0 {
				s.Peer = fmt.Sprintf("n%d", p)
			}
			o.Spec = s
		}
		objects = append(objects, o)
	}
	return objects
}

// TestHistoryDoesNotMatter: a snapshot depends on the objects that are there, never on the order in which they came, went and were changed.
// The changed dependencies cover every difference between one snapshot and the next.
func TestHistoryDoesNotMatter(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 3))
		s, desired := new(Snapshot), map[Ref]*Object{}
		for step := range 12 {
			var c Changes
			for _, o := range randomObjects(rng, 1+rng.IntN(6)) {
				if rng.IntN(4) == 0 {
					c.Delete = append(c.Delete, o.Ref())
				} else if !slices.ContainsFunc(c.Put, func(p *Object) bool { return p.Ref() == o.Ref() }) {
					c.Put = append(c.Put, o)
				}
			}
			for _, r := range c.Delete {
				delete(desired, r)
			}
			for _, o := range c.Put {
				desired[o.Ref()] = o
			}
			before := dump(s)
			next, deps := s.With(c)
			if d := cmp.Diff(before, dump(s)); d != "" {
				t.Fatalf("seed %d step %d: With changed its receiver\n%s", seed, step, d)
			}
			all := slices.Collect(maps.Values(desired))
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			fresh, _ := new(Snapshot).With(Changes{Put: all})
			if d := cmp.Diff(dump(fresh), dump(next)); d != "" {
				t.Fatalf("seed %d step %d: not as built at once (-) but (+)\n%s", seed, step, d)
			}
			checkDeps(t, s, next, deps)
			s = next
		}
	}
}

// checkDeps checks by trial that what differs is among deps.
func checkDeps(t *testing.T, a, b *Snapshot, deps []Dep) {
	t.Helper()
	has := func(want Dep) {
		t.Helper()
		if !slices.ContainsFunc(deps, func(d Dep) bool { return d.Affects(want) }) {
			t.Fatalf("%v changed, but only %v are said to have", want, deps)
		}
	}
	for id := range flow.VPortID(30) {
		if x, y := a.VPort(id), b.VPort(id); (x == nil) != (y == nil) || x != nil && (x.Device != y.Device || x.Peer != y.Peer || x.MAC != y.MAC || x.MTU != y.MTU || x.AdminDown != y.AdminDown || !slices.Equal(x.Addrs, y.Addrs)) {
			has(VPortDep(id))
		}
		dev := DeviceID(id)
		if !slices.Equal(a.GroupMembers(flow.Dest(id)), b.GroupMembers(flow.Dest(id))) {
			has(GroupDep(dev))
		}
		if y := b.Bridge(dev); y != nil && y.Zone != slices.Min(b.Domain(dev)) {
			t.Fatalf("zone of bridge %d: %d of %v", dev, y.Zone, b.Domain(dev))
		}
		if x, y := a.Bridge(dev), b.Bridge(dev); x != nil && y != nil {
			if x.Zone != y.Zone {
				has(DeviceDep(dev))
			}
			for i := range byte(9) {
				m := packet.MAC{2, 0, 0, 0, 0, i}
				p, _ := x.FDB(m)
				if q, _ := y.FDB(m); p != q {
					has(FDBDep(dev, m))
				}
			}
		}
		x, y := a.Router(dev), b.Router(dev)
		for i := range byte(15) {
			addr := netip.AddrFrom4([4]byte{10, 0, i / 5, 1 + i%5})
			fa := flow.AddrOf(addr)
			if x != nil && y != nil {
				if m, n := x.Routes.Lookup(&fa, &fa, false), y.Routes.Lookup(&fa, &fa, false); !slices.Equal(m.Routes, n.Routes) {
					has(RouteDep(dev, &fa, false, m.DstBits))
				}
			}
			if p, q := a.Bridge(dev), b.Bridge(dev); p != nil && q != nil {
				m, _ := p.Neighbour(addr)
				if n, _ := q.Neighbour(addr); m != n {
					has(BridgeNeighbourDep(dev, addr))
				}
			}
		}
	}
}

// TestLearnedTables: what is learnt outlives a change of configuration, never overrides a seed, and is forgotten on demand.
func TestLearnedTables(t *testing.T) {
	s, err := Load("net.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	objects, _ := Decode("net.yaml", []byte(small))
	AssignIDs(objects, 0)
	web, vm, r := DeviceID(1), flow.VPortID(3), DeviceID(2)
	seeded, learnt := packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{2, 0, 0, 0, 0, 0x77}
	addr := netip.MustParseAddr("10.0.0.77")
	route := Route{Dst: netip.MustParsePrefix("192.0.2.0/24"), Via: netip.MustParseAddr("10.0.0.9"), Port: 5, Origin: OriginLearned, Weight: 1}
	s, deps := s.With(Changes{
		FDB:              []FDBEntry{{web, learnt, vm}, {web, seeded, 4}},
		BridgeNeighbours: []BridgeNeighbour{{web, addr, learnt}},
		Neighbours:       []Neighbour{{5, addr, learnt, NeighbourOK}},
		Routes:           []LearnedRoute{{Router: r, Route: route}},
	})
	if len(deps) != 5 {
		t.Errorf("deps %v", deps)
	}
	s, _ = s.With(Changes{Put: objects})
	b := s.Bridge(web)
	if p, ok := b.FDB(learnt); !ok || p != vm {
		t.Errorf("learnt MAC at %v, %v", p, ok)
	}
	if p, _ := b.FDB(seeded); p != vm || !b.SeededMAC(seeded) {
		t.Errorf("seeded MAC at %v", p)
	}
	if m, ok := b.Neighbour(addr); !ok || m != learnt {
		t.Errorf("neighbour %v %v", m, ok)
	}
	if m, st := s.Neighbour(5, addr); m != learnt || st != NeighbourOK {
		t.Errorf("neighbour of the port %v %v", m, st)
	}
	dst := flow.AddrOf(netip.MustParseAddr("192.0.2.1"))
	if m := s.Router(r).Routes.Lookup(&dst, &dst, false); len(m.Routes) != 1 || m.Routes[0] != route {
		t.Errorf("route %v", m.Routes)
	}
	s, _ = s.With(Changes{
		FDB: []FDBEntry{{Bridge: web, MAC: learnt}}, BridgeNeighbours: []BridgeNeighbour{{Bridge: web, Addr: addr}},
		Neighbours: []Neighbour{{Port: 5, Addr: addr}}, Routes: []LearnedRoute{{Router: r, Route: route, Delete: true}},
	})
	_, macOK := s.Bridge(web).FDB(learnt)
	_, neighOK := s.Bridge(web).Neighbour(addr)
	_, st := s.Neighbour(5, addr)
	if m := s.Router(r).Routes.Lookup(&dst, &dst, false); macOK || neighOK || st != NeighbourAbsent || m.Routes[0] == route {
		t.Errorf("not forgotten: %v %v %v %v", macOK, neighOK, st, m.Routes)
	}
}

// TestLearntAddrs: a bridge tells the addresses of each MAC, and of which MACs it does not know any more where they are; an earlier snapshot stays as it is.
func TestLearntAddrs(t *testing.T) {
	s, err := Load("net.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	web, vm := DeviceID(1), flow.VPortID(3)
	a, b := packet.MAC{2, 0, 0, 0, 0, 0x77}, packet.MAC{2, 0, 0, 0, 0, 0x78}
	x, y, z := netip.MustParseAddr("10.0.0.77"), netip.MustParseAddr("fe80::77"), netip.MustParseAddr("fe80::78")
	at := func(s *Snapshot) string {
		lost := map[netip.Addr]packet.MAC{}
		for addr, m := range s.Bridge(web).LostAddrs() {
			lost[addr] = m
		}
		sorted := func(m packet.MAC) []netip.Addr {
			return slices.SortedFunc(slices.Values(s.Bridge(web).LearntAddrs(m)), netip.Addr.Compare)
		}
		return fmt.Sprintf("%v %v lost %v", sorted(a), sorted(b), lost)
	}
	first, _ := s.With(Changes{FDB: []FDBEntry{{web, a, vm}}, BridgeNeighbours: []BridgeNeighbour{{web, x, a}, {web, y, a}, {web, z, a}}})
	moved, _ := first.With(Changes{BridgeNeighbours: []BridgeNeighbour{{web, x, b}, {web, y, a}}})
	gone, _ := moved.With(Changes{FDB: []FDBEntry{{Bridge: web, MAC: a}}, BridgeNeighbours: []BridgeNeighbour{{Bridge: web, Addr: x}, {Bridge: web, Addr: z}}})
	for i, tt := range []struct {
		is   *Snapshot
		want string
	}{
		{first, fmt.Sprintf("[%v %v %v] [] lost map[]", x, y, z)}, {moved, fmt.Sprintf("[%v %v] [%v] lost map[%v:%v]", y, z, x, x, b)},
		{gone, fmt.Sprintf("[%v] [] lost map[%v:%v]", y, y, a)},
	} {
		if got := at(tt.is); got != tt.want {
			t.Errorf("step %d: %s, want %s", i, got, tt.want)
		}
	}
}

// TestLearnedMany: of so many routes that change at once, dependencies tell the first bits, and any result that relied on one of the routes is affected.
func TestLearnedMany(t *testing.T) {
	objects, err := Decode("net.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	AssignIDs(objects, 0)
	s, _ := new(Snapshot).With(Changes{Put: objects})
	const r = DeviceID(2)
	var c Changes
	for i := range manyRoutes {
		v4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(i>>13), byte(i >> 5), byte(i << 3), 0}), 21)
		v6 := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x2a, byte(i >> 13), byte(i >> 5), byte(i << 3)}), 29)
		for _, p := range []netip.Prefix{v4, v6} {
			c.Routes = append(c.Routes, LearnedRoute{Router: r, Route: Route{Dst: p, Port: 5, Origin: OriginLearned, Weight: 1}})
		}
	}
	short := netip.MustParsePrefix("48.0.0.0/6")
	c.Routes = append(c.Routes, LearnedRoute{Router: r, Route: Route{Dst: short, Port: 5, Origin: OriginLearned, Weight: 1}})
	next, deps := s.With(c)
	if n := next.Router(r).Routes.Len() - s.Router(r).Routes.Len(); n != len(c.Routes) {
		t.Errorf("%d routes more, want %d", n, len(c.Routes))
	}
	if len(deps) > 1024 {
		t.Errorf("%d dependencies changed", len(deps))
	}
	for i := range c.Routes {
		p := c.Routes[i].Route.Dst
		a := flow.AddrOf(p.Addr())
		relied := RouteDep(r, &a, p.Addr().Is6(), uint8(p.Bits()))
		if !slices.ContainsFunc(deps, func(d Dep) bool { return d.Affects(relied) }) {
			t.Fatalf("what relied on %v is not affected", p)
		}
	}
	other := flow.AddrOf(netip.MustParseAddr("9.9.9.9"))
	if relied := RouteDep(r, &other, false, 24); slices.ContainsFunc(deps, func(d Dep) bool { return d.Affects(relied) }) {
		t.Error("what relied on another destination is affected")
	}
}

// TestPutAgain: an object that is put again changes nothing; one that differs changes what differs.
func TestPutAgain(t *testing.T) {
	decode := func(edit ...string) []*Object {
		objects, err := Decode("net.yaml", []byte(strings.NewReplacer(edit...).Replace(small)))
		if err != nil {
			t.Fatal(err)
		}
		AssignIDs(objects, 0)
		return objects
	}
	s, deps := new(Snapshot).With(Changes{Put: decode()})
	if len(deps) == 0 {
		t.Fatal("no dependency changed at first")
	}
	id := func(kind Kind, tenant, name string) uint32 {
		n, ok := s.ID(Ref{kind, tenant, name})
		if !ok {
			t.Fatalf("no %s %s", kind, name)
		}
		return n
	}
	web, r, vm := DeviceID(id(KindBridge, "acme", "web")), DeviceID(id(KindRouter, "acme", "r")), flow.VPortID(id(KindVPort, "acme", "vm"))
	all := new(flow.Addr)
	for _, tt := range []struct {
		name string
		edit []string
		want []Dep
	}{
		{"the same", nil, nil},
		{"labels", []string{"tier: front", "tier: back", "name: r,", "name: r, labels: {a: b},", "name: vm,", "name: vm, labels: {a: b},"}, nil},
		{"mode", []string{"unknownUnicast: drop", "unknownUnicast: flood"}, []Dep{DeviceDep(web)}},
		{"seed", []string{`{mac: "02:00:00:00:00:09"`, `{mac: "02:00:00:00:00:0a"`}, []Dep{FDBDep(web, packet.MAC{2, 0, 0, 0, 0, 9}), FDBDep(web, packet.MAC{2, 0, 0, 0, 0, 10})}},
		{"gateway", []string{"via: 10.0.0.9", "via: 10.0.0.8"}, []Dep{RouteDep(r, all, false, 0)}},
		{"moved", []string{"vlan: 7", "vlan: 8"}, []Dep{BindingDep(vm)}},
	} {
		next, deps := s.With(Changes{Put: decode(tt.edit...)})
		if !slices.Equal(deps, tt.want) {
			t.Errorf("%s: changed %v, want %v", tt.name, deps, tt.want)
		}
		if tt.want == nil {
			if d := cmp.Diff(dump(s), dump(next)); d != "" {
				t.Errorf("%s:\n%s", tt.name, d)
			}
		}
	}
	next, deps := s.With(Changes{Delete: []Ref{{KindBinding, "acme", "vm"}}, Put: decode()})
	if d := cmp.Diff(dump(s), dump(next)); d != "" || !slices.Equal(deps, []Dep{BindingDep(vm)}) {
		t.Errorf("deleted and put: changed %v\n%s", deps, d)
	}
}
