package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// world is a random network: bridges, some linked, routers in a tree, hosts, uplinks, routes and neighbours from few addresses, so that they collide.
type world struct {
	rng     *rand.Rand
	snap    *topology.Snapshot
	objects []*topology.Object
	ports   []flow.VPortID // exterior
	macs    []packet.MAC
	next    uint32
}

func (w *world) add(kind topology.Kind, spec topology.Spec) *topology.Object {
	w.next++
	o := &topology.Object{
		APIVersion: topology.APIVersion, Kind: kind, Spec: spec, Status: topology.Status{ID: w.next},
		Metadata: topology.Metadata{Name: "n" + strconv.Itoa(int(w.next)), Tenant: "t"},
	}
	w.objects = append(w.objects, o)
	return o
}

func device(o *topology.Object) string {
	if o.Kind == topology.KindBridge {
		return "bridge/" + o.Metadata.Name
	}
	return "router/" + o.Metadata.Name
}

// addr draws an address from a narrow range of one family.
func (w *world) addr(v6 bool) netip.Addr {
	a, b := byte(w.rng.IntN(3)), byte(1+w.rng.IntN(30))
	if v6 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: a, 15: b})
	}
	return netip.AddrFrom4([4]byte{10, 0, a, b})
}

func (w *world) prefix(v6 bool) netip.Prefix {
	base := 32
	if v6 {
		base = 128
	}
	p, _ := w.addr(v6).Prefix(max(0, base-w.rng.IntN(18)))
	if w.rng.IntN(5) == 0 {
		p, _ = w.addr(v6).Prefix(0)
	}
	return p
}

func (w *world) mac() packet.MAC {
	return packet.MAC{2, 0, 0, 0, byte(w.rng.IntN(2)), byte(w.rng.IntN(256))}
}

func (w *world) link(a, b *topology.Object) {
	p := w.add(topology.KindVPort, &topology.VPortSpec{Device: device(a)})
	q := w.add(topology.KindVPort, &topology.VPortSpec{Device: device(b), Peer: p.Metadata.Name})
	p.Spec.(*topology.VPortSpec).Peer = q.Metadata.Name
	for _, x := range []struct{ o, dev *topology.Object }{{p, a}, {q, b}} {
		if x.dev.Kind == topology.KindRouter {
			w.routerPort(x.o.Spec.(*topology.VPortSpec))
		}
	}
}

// routerPort gives a router port a MAC, addresses and now and then an MTU.
func (w *world) routerPort(s *topology.VPortSpec) {
	s.MAC = w.mac()
	w.macs = append(w.macs, s.MAC, s.MAC, s.MAC)
	s.Addresses = []netip.Prefix{netip.PrefixFrom(w.addr(false), 20+w.rng.IntN(13)), netip.PrefixFrom(w.addr(true), 108+w.rng.IntN(21))}
	if w.rng.IntN(3) == 0 {
		s.MTU = uint16(1280 + w.rng.IntN(200))
	}
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 7))}
	var bridges, routers []*topology.Object
	for range 1 + w.rng.IntN(3) {
		b := w.add(topology.KindBridge, &topology.BridgeSpec{UnknownUnicast: []string{"flood", "drop"}[w.rng.IntN(4)/3]})
		if len(bridges) > 0 && w.rng.IntN(3) == 0 {
			w.link(b, bridges[w.rng.IntN(len(bridges))])
		}
		bridges = append(bridges, b)
	}
	for range 1 + w.rng.IntN(3) {
		r := w.add(topology.KindRouter, &topology.RouterSpec{})
		for _, other := range routers {
			if w.rng.IntN(2) == 0 {
				w.link(r, other)
			}
		}
		for _, b := range bridges {
			if w.rng.IntN(2) == 0 {
				w.link(r, b)
			}
		}
		routers = append(routers, r)
		if w.rng.IntN(2) == 0 {
			s := &topology.VPortSpec{Device: device(r)}
			w.routerPort(s)
			w.ports = append(w.ports, flow.VPortID(w.add(topology.KindVPort, s).Status.ID))
		}
	}
	for _, b := range bridges {
		for range 1 + w.rng.IntN(3) {
			s := &topology.VPortSpec{Device: device(b), AdminDown: w.rng.IntN(20) == 0}
			if w.rng.IntN(2) == 0 {
				s.MAC = w.mac()
				s.Addresses = []netip.Prefix{netip.PrefixFrom(w.addr(false), 24), netip.PrefixFrom(w.addr(true), 112)}
				w.macs = append(w.macs, s.MAC)
			}
			w.ports = append(w.ports, flow.VPortID(w.add(topology.KindVPort, s).Status.ID))
		}
	}
	w.routes(routers)
	w.snap, _ = new(topology.Snapshot).With(topology.Changes{Put: w.objects})
	w.learn()
	return w
}

// routes gives routers random routes through their ports.
func (w *world) routes(routers []*topology.Object) {
	for _, r := range routers {
		var ports []string
		for _, o := range w.objects {
			if s, ok := o.Spec.(*topology.VPortSpec); ok && s.Device == device(r) {
				ports = append(ports, o.Metadata.Name)
			}
		}
		spec := r.Spec.(*topology.RouterSpec)
		for range 4 + w.rng.IntN(14) {
			v6 := w.rng.IntN(2) == 0
			s := topology.RouteSpec{Dst: w.prefix(v6), Weight: uint8(w.rng.IntN(3))}
			if w.rng.IntN(5) == 0 {
				s.Src = w.prefix(v6)
			}
			switch k := w.rng.IntN(8); {
			case k == 0:
				s.Kind = "reject"
			case k == 1:
				s.Kind = "blackhole"
			case len(ports) == 0:
				continue
			default:
				s.Port = ports[w.rng.IntN(len(ports))]
				if s.Via = w.peerAddr(s.Port, v6); !s.Via.IsValid() && w.rng.IntN(2) == 0 {
					s.Via = w.addr(v6)
				}
			}
			spec.Routes = append(spec.Routes, s)
		}
	}
}

// peerAddr returns the address of the router port that a port is linked to.
func (w *world) peerAddr(port string, v6 bool) netip.Addr {
	for _, o := range w.objects {
		if s, ok := o.Spec.(*topology.VPortSpec); ok && s.Peer == port {
			for _, a := range s.Addresses {
				if a.Addr().Is6() == v6 {
					return a.Addr()
				}
			}
		}
	}
	return netip.Addr{}
}

// allAddrs returns all that addr can draw.
func allAddrs() []netip.Addr {
	var all []netip.Addr
	for a := range byte(3) {
		for b := byte(1); b <= 30; b++ {
			all = append(all, netip.AddrFrom4([4]byte{10, 0, a, b}), netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: a, 15: b}))
		}
	}
	return all
}

// learn fills tables as traffic would have.
func (w *world) learn() {
	var c topology.Changes
	for b := range w.snap.Bridges() {
		for range 4 {
			if len(b.Ports) > 0 {
				m := w.mac()
				w.macs = append(w.macs, m)
				c.FDB = append(c.FDB, topology.FDBEntry{Bridge: b.ID, MAC: m, Port: b.Ports[w.rng.IntN(len(b.Ports))]})
			}
		}
		for _, a := range allAddrs() {
			if w.rng.IntN(3) > 0 {
				c.BridgeNeighbours = append(c.BridgeNeighbours, topology.BridgeNeighbour{Bridge: b.ID, Addr: a, MAC: w.macs[w.rng.IntN(len(w.macs))]})
			}
		}
	}
	for r := range w.snap.Routers() {
		for _, p := range r.Ports {
			for _, a := range allAddrs() {
				if w.rng.IntN(4) > 0 {
					c.Neighbours = append(c.Neighbours, topology.Neighbour{Port: p, Addr: a, MAC: w.mac(), State: topology.NeighbourOK})
				}
			}
		}
	}
	w.snap, _ = w.snap.With(c)
}

// knownSources returns source MACs for which the guard KnownSource holds at a vport.
func (w *world) knownSources(p flow.VPortID) []packet.MAC {
	v := w.snap.VPort(p)
	if v.Kind == topology.DeviceRouter {
		return []packet.MAC{{2, 9, 9, 9, 9, byte(w.rng.IntN(255))}}
	}
	var known []packet.MAC
	for _, m := range w.macs {
		if at, ok := w.snap.Bridge(v.Device).FDB(m); ok && at == p {
			known = append(known, m)
		}
	}
	return known
}

// shot is a packet by what the pipeline matches and guards.
type shot struct {
	key flow.Key
	ttl uint8
	len int // of the IP packet
	df  bool
}

func (w *world) shot() shot {
	s := shot{ttl: uint8(w.rng.IntN(6)), len: 40 + w.rng.IntN(60), df: w.rng.IntN(2) == 0}
	if w.rng.IntN(4) > 0 {
		s.ttl = 64
	}
	if w.rng.IntN(6) == 0 {
		s.len = 1250 + w.rng.IntN(250)
	}
	k := &s.key
	k.Ingress = w.ports[w.rng.IntN(len(w.ports))]
	k.SrcMAC = w.mac()
	if known := w.knownSources(k.Ingress); len(known) > 0 {
		k.SrcMAC = known[w.rng.IntN(len(known))]
	}
	k.DstMAC = w.dstMAC(k.Ingress)
	v6 := w.rng.IntN(2) == 0
	k.EtherType = packet.EtherTypeIPv4
	if v6 {
		k.EtherType = packet.EtherTypeIPv6
	}
	k.Src, k.Dst = flow.AddrOf(w.addr(v6)), flow.AddrOf(w.addr(v6))
	k.Proto = []uint8{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP, 99}[w.rng.IntN(4)]
	if k.Proto != 99 {
		k.SrcPort, k.DstPort = uint16(w.rng.Uint32()), uint16(w.rng.Uint32())
	}
	return s
}

// dstMAC aims at a router port next to the vport most of the time.
func (w *world) dstMAC(in flow.VPortID) packet.MAC {
	v := w.snap.VPort(in)
	switch x := w.rng.IntN(12); {
	case x == 0:
		return w.mac()
	case x == 1:
		return packet.Broadcast()
	case x < 4:
		return w.macs[w.rng.IntN(len(w.macs))]
	case v.Kind == topology.DeviceRouter:
		return v.MAC
	}
	var near []packet.MAC
	for _, p := range w.snap.Bridge(v.Device).Ports {
		if q := w.snap.VPort(w.snap.VPort(p).Peer); q != nil && q.Kind == topology.DeviceRouter {
			near = append(near, q.MAC)
		}
	}
	if len(near) == 0 {
		return w.macs[w.rng.IntN(len(w.macs))]
	}
	return near[w.rng.IntN(len(near))]
}

// frame builds the packet. Fields that a key has and its packet can't are dropped: the key is read back.
func (s *shot) frame(buf []byte) []byte {
	k := &s.key
	b := append(buf[:0], k.DstMAC[:]...)
	b = append(b, k.SrcMAC[:]...)
	b = binary.BigEndian.AppendUint16(b, k.EtherType)
	switch k.EtherType {
	case packet.EtherTypeIPv4:
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(s.len))
		word := uint16(0)
		if s.df {
			word = 0x4000
		}
		switch packet.Frag(k.Frag) {
		case packet.FragFirst:
			word |= 0x2000
		case packet.FragLater:
			word |= 7
		}
		b = append(b, 0, 1, byte(word>>8), byte(word), s.ttl, k.Proto, 0, 0)
		b = append(append(b, k.Src[12:]...), k.Dst[12:]...)
	case packet.EtherTypeIPv6:
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(s.len-40))
		b = append(b, k.Proto, s.ttl)
		b = append(append(b, k.Src[:]...), k.Dst[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, k.SrcPort)
	b = binary.BigEndian.AppendUint16(b, k.DstPort)
	return append(b, make([]byte, 24)...)
}

func randomKey(rng *rand.Rand) flow.Key {
	var b [16]byte
	fill := func() [16]byte {
		binary.BigEndian.PutUint64(b[:8], rng.Uint64())
		binary.BigEndian.PutUint64(b[8:], rng.Uint64())
		return b
	}
	k := flow.Key{Src: fill(), Dst: fill(), Proto: uint8(rng.Uint32()), Frag: uint8(rng.IntN(3)), SrcPort: uint16(rng.Uint32()), DstPort: uint16(rng.Uint32())}
	k.EtherType = []uint16{packet.EtherTypeIPv4, packet.EtherTypeIPv6, 0x88b5}[rng.IntN(3)]
	m := fill()
	copy(k.DstMAC[:], m[:])
	return k
}

// mutate returns a packet of the same megaflow, guards held: wildcarded bits are drawn anew or taken from another shot of the same network.
func (w *world) mutate(s shot, r *Result) shot {
	k := randomKey(w.rng)
	if w.rng.IntN(2) == 0 {
		k = w.shot().key // collides with routes and tables more often
	}
	inv := func(m, a, b flow.Key) flow.Key { // bits of m from a, others from b
		x, y := a.And(flow.Mask(m)), b.And(invert(flow.Mask(m)))
		return flow.Key(flow.Mask(x).Or(flow.Mask(y)))
	}
	v := s
	v.key = inv(flow.Key(r.Mask), s.key, k)
	v.key.Ingress = s.key.Ingress
	if r.Mask.SrcMAC.IsZero() {
		v.key.SrcMAC = s.key.SrcMAC
		if known := w.knownSources(s.key.Ingress); len(known) > 0 {
			v.key.SrcMAC = known[w.rng.IntN(len(known))]
		}
	}
	if w.rng.IntN(2) == 0 {
		v.ttl = r.Guards.MinTTL + 1 + uint8(w.rng.IntN(3))
	}
	v.df = w.rng.IntN(2) == 0
	v.len = 40 + w.rng.IntN(1400)
	if r.Guards.MaxLen != 0 && w.rng.IntN(2) == 0 {
		v.len = int(r.Guards.MaxLen)
	}
	return v
}

func invert(m flow.Mask) flow.Mask {
	for i := range m.Src {
		m.Src[i], m.Dst[i] = ^m.Src[i], ^m.Dst[i]
	}
	for i := range m.SrcMAC {
		m.SrcMAC[i], m.DstMAC[i] = ^m.SrcMAC[i], ^m.DstMAC[i]
	}
	m.Ingress, m.EtherType, m.Proto, m.Frag, m.SrcPort, m.DstPort = ^m.Ingress, ^m.EtherType, ^m.Proto, ^m.Frag, ^m.SrcPort, ^m.DstPort
	return m
}

// TestSoundness (E4): a packet that agrees with another in the bits that were read, and meets the guards, has the same outcomes. Number of packets:
// WEFT_SOUNDNESS_CASES, WEFT_SOUNDNESS_SEED. That bits which were read matter is tested too: flipping one changes the outcome often enough.
func TestSoundness(t *testing.T) {
	cases := envInt(t, "WEFT_SOUNDNESS_CASES", 20_000)
	seed := uint64(envInt(t, "WEFT_SOUNDNESS_SEED", 1))
	const perWorld, mutants = 40, 5
	var a, b Result
	var sim Simulator
	var stats struct{ installable, routed, twoRouters, v6, reject, group, mutants, needed, tried, wild int }
	var f packet.Frame
	var buf, vbuf []byte
	for n := 0; n < cases; n += perWorld {
		w := newWorld(seed*1_000_003 + uint64(n))
		for i := range perWorld {
			s := w.shot()
			buf = s.frame(buf)
			if err := packet.Parse(buf, &f); err != nil {
				t.Fatal(err)
			}
			s.key = flow.KeyOf(&f, s.key.Ingress)
			sim.Simulate(w.snap, &f, s.key.Ingress, 0, &a)
			if len(a.Outcomes) == 0 {
				t.Fatalf("seed %d world %d packet %d: no outcome", seed, n, i)
			}
			if !a.Installable {
				continue
			}
			stats.installable++
			stats.wild += a.Mask.Wild()
			o := a.Outcomes[0]
			count(&stats.routed, o.Rewrite.TTLDec > 0)
			count(&stats.twoRouters, o.Rewrite.TTLDec > 1)
			count(&stats.v6, o.Rewrite.TTLDec > 0 && s.key.Is6())
			count(&stats.reject, o.Reject)
			count(&stats.group, o.Verdict == Forward && w.snap.IsGroup(o.Dest))
			for range mutants {
				v := w.mutate(s, &a)
				vbuf = v.frame(vbuf)
				if packet.Parse(vbuf, &f) != nil || f.IsARP() || f.IsND() || a.Guards.Check(&f) != flow.ReasonNone {
					continue
				}
				vk := flow.KeyOf(&f, v.key.Ingress)
				if !a.Mask.Matches(s.key, vk) {
					continue // the packet can't have such a key
				}
				stats.mutants++
				sim.Simulate(w.snap, &f, v.key.Ingress, 0, &b)
				if !slices.Equal(a.Outcomes, b.Outcomes) || a.Mask != b.Mask || !b.Installable || a.Guards != b.Guards {
					explain(t, w, &sim, s, v)
					t.Fatalf("seed %d world %d packet %d: same megaflow, but other outcome", seed, n, i)
				}
			}
			// One bit that was read, of the routed ones' destination prefix: the last.
			if bits, ok := a.Mask.Dst.PrefixLen(s.key.EtherType); ok && bits > 0 {
				stats.tried++
				v := s
				if s.key.Is4() {
					bits += 96
				}
				v.key.Dst[(bits-1)/8] ^= 1 << (7 - (bits-1)%8)
				vbuf = v.frame(vbuf)
				if err := packet.Parse(vbuf, &f); err != nil {
					t.Fatal(err)
				}
				sim.Simulate(w.snap, &f, v.key.Ingress, 0, &b)
				count(&stats.needed, !slices.Equal(a.Outcomes, b.Outcomes) || a.Mask != b.Mask)
			}
		}
	}
	t.Logf("%d packets: %+v; %d wild bits of %d on average", cases, stats, stats.wild/max(stats.installable, 1), flow.KeyBits)
	for name, x := range map[string]int{"installable": stats.installable * 3, "routed": stats.routed * 12, "by two routers": stats.twoRouters * 200, "IPv6": stats.v6 * 25, "rejected": stats.reject * 50, "flooded": stats.group * 25, "mutants": stats.mutants} {
		if x < cases {
			t.Errorf("too few packets were %s: %+v", name, stats)
		}
	}
	if stats.needed*2 < stats.tried {
		t.Errorf("masks are wider than they should be: the last bit of the destination mattered in %d of %d", stats.needed, stats.tried)
	}
}

func count(n *int, b bool) {
	if b {
		*n++
	}
}

func explain(t *testing.T, w *world, sim *Simulator, shots ...shot) {
	for i := range shots {
		var f packet.Frame
		r := Result{Trace: new(Trace)}
		if err := packet.Parse(shots[i].frame(nil), &f); err != nil {
			t.Fatal(err)
		}
		sim.Simulate(w.snap, &f, shots[i].key.Ingress, 0, &r)
		t.Logf("\n%v%v", r.Trace, fmt.Sprintf("%+v", r.Outcomes))
	}
}

func envInt(t *testing.T, name string, def int) int {
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
