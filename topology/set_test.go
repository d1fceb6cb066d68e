package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// draw makes an object of few names and values, so that sets of them are valid now and then, and collide.
func draw(rng *rand.Rand) *Object {
	o := &Object{APIVersion: APIVersion, Metadata: Metadata{Name: fmt.Sprintf("n%d", rng.IntN(4))}}
	port := func() string { return fmt.Sprintf("n%d", rng.IntN(8)) }
	switch rng.IntN(12) {
	case 0:
		o.Kind = KindBridge
		s := new(BridgeSpec)
		if rng.IntN(3) == 0 {
			s.MACs = []MACSpec{{MAC: [6]byte{2, 0, 0, 0, 0, byte(rng.IntN(3))}, Port: port()}}
		}
		o.Spec = s
	case 1:
		o.Kind = KindRouter
		s := new(RouterSpec)
		if rng.IntN(2) == 0 {
			s.Routes = []RouteSpec{{Dst: netip.MustParsePrefix("10.0.0.0/8"), Port: port()}}
		}
		o.Spec = s
	case 2:
		o.Kind, o.Spec = KindFabric, &FabricSpec{MTU: []uint16{0, 0, 1600, 90}[rng.IntN(4)]}
		o.Metadata.Name = fmt.Sprintf("n%d", rng.IntN(2))
	case 3, 4:
		o.Kind, o.Spec = KindBinding, &BindingSpec{VPort: port(), Edge: "e", Interface: fmt.Sprintf("i%d", rng.IntN(3)), VLAN: uint16(rng.IntN(2))}
	case 5:
		o.Kind, o.Spec = KindDHCP, &DHCPSpec{DNS: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 53})}}
	default:
		o.Kind, o.Metadata.Name = KindVPort, port()
		s := &VPortSpec{Device: fmt.Sprintf("%s/n%d", []string{"bridge", "bridge", "router"}[rng.IntN(3)], rng.IntN(4))}
		if rng.IntN(2) == 0 {
			s.Peer = fmt.Sprintf("n%d", o.Metadata.Name[1]-'0'^1) // 0–1, 2–3 …
		}
		if rng.IntN(4) == 0 {
			s.DHCP = fmt.Sprintf("n%d", rng.IntN(4))
		}
		if rng.IntN(3) == 0 {
			s.Addresses = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + rng.IntN(4))}), 24)}
		}
		o.Spec = s
	}
	if o.Kind.HasID() && rng.IntN(3) > 0 {
		o.Status.ID = uint32(1 + rng.IntN(40))
	}
	return o
}

// TestApplyIsWhole: a change of a valid set is taken if and only if the whole of the outcome is valid, whatever came before; and a set that is refused, or
// changed, stays as it was.
func TestApplyIsWhole(t *testing.T) {
	taken, refused, deleted := 0, 0, 0
	reasons := map[string]int{}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 11))
		s, desired := new(Set), map[Ref]*Object{}
		for step := range 120 {
			next := maps.Clone(desired)
			var put []*Object
			var del []Ref
			for r := range desired {
				if rng.IntN(12) == 0 {
					del = append(del, r)
					delete(next, r)
				}
			}
			for range rng.IntN(4) {
				o := draw(rng)
				r := o.Ref()
				if slices.ContainsFunc(put, func(p *Object) bool { return p.Ref() == r }) {
					continue
				}
				put, next[r] = append(put, o), o
				if x, ok := o.Spec.(*VPortSpec); ok && x.Peer != "" && rng.IntN(2) == 0 { // with its other end
					q := &Object{APIVersion: APIVersion, Kind: KindVPort, Metadata: Metadata{Name: x.Peer}}
					q.Spec = &VPortSpec{Device: fmt.Sprintf("bridge/n%d", rng.IntN(4)), Peer: r.Name}
					if !slices.ContainsFunc(put, func(p *Object) bool { return p.Ref() == q.Ref() }) {
						put, next[q.Ref()] = append(put, q), q
					}
				}
			}
			before := s.All()
			got, err := s.Apply(put, del)
			_, whole := new(Set).Apply(slices.Collect(maps.Values(next)), nil)
			if (err == nil) != (whole == nil) {
				t.Fatalf("seed %d step %d: %v, but as a whole %v", seed, step, err, whole)
			}
			if !slices.Equal(before, s.All()) {
				t.Fatalf("seed %d step %d: Apply changed its receiver", seed, step)
			}
			if err != nil {
				refused++
				for _, e := range err.(Errors) {
					reasons[e.Field+" "+e.Hint]++
				}
				continue
			}
			if got.Len() != len(next) || len(got.All()) != len(next) || slices.ContainsFunc(got.All(), func(o *Object) bool { return next[o.Ref()] != o || got.Get(o.Ref()) != o }) {
				t.Fatalf("seed %d step %d: %d objects, want %d", seed, step, got.Len(), len(next))
			}
			taken++
			deleted += len(del)
			s, desired = got, next
		}
	}
	t.Logf("%d changes taken with %d deletions, %d refused for %d reasons", taken, deleted, refused, len(reasons))
	if taken < 1000 || refused < 1000 || deleted < 200 || len(reasons) < 15 {
		t.Errorf("the changes are too dull: %d taken, %d deletions, %d refused for %v", taken, deleted, refused, reasons)
	}
}

// network returns n bridges with a router, each with ten VMs bound to edges: 24 objects.
func network(n int) []*Object {
	var all []*Object
	for i := range n {
		add := func(kind Kind, name string, spec Spec) {
			all = append(all, &Object{APIVersion: APIVersion, Kind: kind, Metadata: Metadata{Name: name, Tenant: fmt.Sprintf("t%d", i)}, Spec: spec})
		}
		add(KindBridge, "lan", new(BridgeSpec))
		add(KindRouter, "r", &RouterSpec{Routes: []RouteSpec{{Dst: netip.MustParsePrefix("192.0.2.0/24"), Port: "gw"}}})
		add(KindVPort, "up", &VPortSpec{Device: "bridge/lan", Peer: "gw"})
		add(KindVPort, "gw", &VPortSpec{Device: "router/r", Peer: "up", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("2001:db8::1/64")}})
		for vm := range 10 {
			name := fmt.Sprintf("vm-%d", vm)
			add(KindVPort, name, &VPortSpec{Device: "bridge/lan"})
			add(KindBinding, name, &BindingSpec{VPort: name, Edge: fmt.Sprintf("edge-%d", vm), Interface: fmt.Sprintf("tap-%d", i)})
		}
	}
	AssignIDs(all, 0)
	return all
}

// BenchmarkApply puts one vport into a set, and all objects at once.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		all := network(n / 24)
		s, err := new(Set).Apply(all, nil)
		if err != nil {
			b.Fatal(err)
		}
		vm := *s.Get(Ref{KindVPort, "t7", "vm-3"})
		vm.Spec = &VPortSpec{Device: "bridge/lan", AdminDown: true}
		b.Run(fmt.Sprintf("One/%dkObjects", n/1000), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Apply([]*Object{&vm}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("All/%dkObjects", n/1000), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := new(Set).Apply(all, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
