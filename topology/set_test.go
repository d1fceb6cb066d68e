package topology

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
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

// drawTrunks is draw for bridges, most of which are VLAN-aware, and what is at them.
func drawTrunks(rng *rand.Rand) *Object {
	o := &Object{APIVersion: APIVersion, Metadata: Metadata{Name: fmt.Sprintf("n%d", rng.IntN(2))}}
	vlans := func() []VLANRange {
		return [][]VLANRange{{{10, 10}}, {{10, 11}, {20, 20}}, {{20, 20}}, nil}[rng.IntN(4)]
	}
	port := fmt.Sprintf("n%d", rng.IntN(6))
	switch rng.IntN(6) {
	case 0, 1:
		s := &BridgeSpec{VLANs: vlans()}
		if rng.IntN(3) == 0 {
			s.MACs = []MACSpec{{MAC: [6]byte{2, 0, 0, 0, 0, byte(rng.IntN(3))}, Port: port, VLAN: uint16(rng.IntN(2) * 10)}}
		}
		if rng.IntN(8) == 0 {
			o.Metadata.Name += ".10" // what a part may be called
		}
		o.Kind, o.Spec = KindBridge, s
	case 2:
		o.Kind, o.Spec = KindBinding, &BindingSpec{VPort: port, Edge: "e", Interface: fmt.Sprintf("i%d", rng.IntN(3)), VLAN: uint16(rng.IntN(8) / 7)}
	default:
		o.Kind, o.Metadata.Name = KindVPort, port
		s := &VPortSpec{Device: fmt.Sprintf("bridge/n%d", rng.IntN(2))}
		if rng.IntN(3) == 0 {
			s.Peer = fmt.Sprintf("n%d", port[1]-'0'^1)
		}
		switch rng.IntN(5) {
		case 0:
			s.VLAN = uint16(10 * (1 + rng.IntN(2)))
		case 1, 2, 3:
			s.VLANs, s.Native = vlans(), uint16(rng.IntN(2)*10)
		}
		o.Spec = s
	}
	return o
}

// drawConvenience returns an object of those that chains are made of: routers and vports with such, few enough that they refer to one another.
func drawConvenience(rng *rand.Rand) *Object {
	o := &Object{APIVersion: APIVersion, Metadata: Metadata{Name: fmt.Sprintf("n%d", rng.IntN(3))}}
	some := func(names ...string) (out []string) {
		for _, n := range names {
			if rng.IntN(2) == 0 {
				out = append(out, n)
			}
		}
		return out
	}
	host := netip.MustParseAddr
	switch rng.IntN(9) {
	case 0:
		o.Kind, o.Spec = KindBridge, &BridgeSpec{}
	case 1:
		o.Kind, o.Spec = KindRouter, &RouterSpec{Filters: FilterSpec{Ingress: append(some("own"), "")[0], Egress: append(some("own"), "")[0]}}
	case 2, 3, 4:
		s := &VPortSpec{Device: []string{"bridge/n0", "router/n0", "router/n1"}[rng.IntN(3)], Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + rng.IntN(9))}), 32)}}
		if rng.IntN(2) == 0 {
			s.Addresses = append(s.Addresses, netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(1 + rng.IntN(9))}), 128))
		}
		if strings.HasPrefix(s.Device, "bridge") || rng.IntN(5) == 0 {
			s.SecurityGroups, s.Filters.Egress = some("n0", "n1"), append(some("own"), "")[0]
		}
		o.Kind, o.Spec, o.Metadata.Name = KindVPort, s, fmt.Sprintf("p%d", rng.IntN(5))
	case 5:
		s := &SecurityGroupSpec{Ingress: []SecurityRule{{Protocols: []Protocol{6}, Ports: []PortRange{{80, 80}}, Groups: some("n0", "n1")}}}
		if rng.IntN(2) == 0 {
			s.Egress = []SecurityRule{{Addresses: []AddrSpec{hostSpec(host("192.0.2.1"))}}}
		}
		o.Kind, o.Spec, o.Metadata.Name = KindSecurityGroup, s, fmt.Sprintf("n%d", rng.IntN(2))
	case 6:
		s := &FloatingIPSpec{VPort: fmt.Sprintf("p%d", rng.IntN(5)), Router: fmt.Sprintf("n%d", rng.IntN(2)), Outside: []string{fmt.Sprintf("p%d", rng.IntN(5))}}
		s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + rng.IntN(3))})}
		if rng.IntN(3) == 0 {
			s.Addresses = append(s.Addresses, host("2001:db8::1"))
		}
		s.Inside = append(some(fmt.Sprintf("p%d", rng.IntN(5))), "")[0]
		o.Kind, o.Spec = KindFloatingIP, s
	case 7:
		o.Kind, o.Spec = KindSNATGateway, &SNATGatewaySpec{Router: fmt.Sprintf("n%d", rng.IntN(2)), Outside: []string{fmt.Sprintf("p%d", rng.IntN(5))}, Sources: []AddrSpec{hostSpec(host("10.0.0.1"))}}
	case 8:
		o.Kind, o.Spec, o.Metadata.Name = KindChain, &ChainSpec{Rules: []RuleSpec{{Action: []string{"accept", "continue"}[rng.IntN(2)]}}}, []string{"own", "floatingip.n0.in"}[rng.IntN(8)/7]
	}
	return o
}

// checkParts checks that the parts of a set are what follows from the other objects, and nothing else; and returns those.
func checkParts(t *testing.T, s *Set) (whole []*Object) {
	t.Helper()
	parts := map[Ref]string{}
	for _, o := range s.All() {
		if o.Status.Of != "" {
			parts[o.Ref()] = o.Status.Of
			continue
		}
		whole = append(whole, o)
	}
	for _, o := range whole {
		made := partsOf(o, s)
		if o.Status.Expanded != made.instead || !reflect.DeepEqual(o.Status.Filters, made.filters) {
			t.Fatalf("%v is expanded: %v, with %d parts; it runs %+v, want %+v", o.Ref(), o.Status.Expanded, len(made.parts), o.Status.Filters, made.filters)
		}
		for _, p := range made.parts {
			if got := s.Get(p.Ref()); got == nil || !reflect.DeepEqual(got.Spec, p.Spec) || parts[p.Ref()] != o.Ref().String() {
				t.Fatalf("%v: part %v is %+v of %q", o.Ref(), p.Ref(), got, parts[p.Ref()])
			}
			delete(parts, p.Ref())
		}
	}
	if len(parts) > 0 {
		t.Fatalf("parts of nothing: %v", parts)
	}
	return whole
}

// TestApplyIsWhole: a change of a valid set is taken if and only if the whole of the outcome is valid, whatever came before; and a set that is refused, or
// changed, stays as it was.
func TestApplyIsWhole(t *testing.T) {
	t.Run("any", func(t *testing.T) {
		if taken, deleted, refused, _ := applyIsWhole(t, draw); taken < 1000 || refused < 1000 || deleted < 200 {
			t.Error("the changes are too dull")
		}
	})
	t.Run("convenience", func(t *testing.T) {
		taken, deleted, refused, parts := applyIsWhole(t, drawConvenience)
		if taken < 1000 || refused < 1000 || deleted < 200 || parts[KindChain] < 1000 || parts[KindAddressGroup] < 500 {
			t.Errorf("the changes are too dull: %d, %d, %d, %v", taken, refused, deleted, parts)
		}
	})
	t.Run("trunks", func(t *testing.T) {
		taken, deleted, refused, parts := applyIsWhole(t, drawTrunks)
		if taken < 1000 || refused < 1000 || deleted < 200 || parts[KindBridge] < 1000 || parts[KindVPort] < 1000 || parts[KindBinding] < 200 {
			t.Error("the changes are too dull")
		}
	})
}

func applyIsWhole(t *testing.T, draw func(*rand.Rand) *Object) (taken, deleted, refused int, parts map[Kind]int) {
	parts = map[Kind]int{}
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
			all := checkParts(t, got)
			if len(all) != len(next) || len(got.All()) != got.Len() || slices.ContainsFunc(all, func(o *Object) bool { return next[o.Ref()].Spec != o.Spec || got.Get(o.Ref()) != o }) {
				t.Fatalf("seed %d step %d: %d objects, want %d", seed, step, got.Len(), len(next))
			}
			for _, o := range got.All() {
				if o.Status.Of == "" {
					continue
				}
				if _, err := got.Apply(nil, []Ref{o.Ref()}); err == nil {
					t.Fatalf("seed %d step %d: %v, a part of %s, could be deleted", seed, step, o.Ref(), o.Status.Of)
				}
				parts[o.Kind]++
			}
			taken++
			deleted += len(del)
			s, desired = got, next
		}
	}
	t.Logf("%d changes taken with %d deletions and parts %v, %d refused for %d reasons", taken, deleted, parts, refused, len(reasons))
	if len(reasons) < 15 {
		t.Errorf("the changes are refused for few reasons: %v", reasons)
	}
	return taken, deleted, refused, parts
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
