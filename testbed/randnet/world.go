package randnet

import (
	"math/rand/v2"
	"net/netip"
	"strconv"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// World is a random network: bridges, some linked, routers in a tree, hosts, uplinks, routes, neighbours and, in every third, chains of rules, some of which
// translate, and pools, from few addresses, so that they collide.
// Not safe for concurrent use.
type World struct {
	Snap  *topology.Snapshot
	Ports []flow.VPortID // exterior

	rng     *rand.Rand
	flaws   *rand.Rand // draws what is wrong with packets, so that all else is the same without
	objects []*topology.Object
	macs    []packet.MAC // known somewhere
	learnt  topology.Changes
	next    uint32

	translates bool // see Translate
}

// Objects returns the network as it is written. Read-only.
func (w *World) Objects() []*topology.Object { return w.objects }

func (w *World) add(kind topology.Kind, spec topology.Spec) *topology.Object {
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
func (w *World) addr(v6 bool) netip.Addr {
	a, b := byte(w.rng.IntN(3)), byte(1+w.rng.IntN(30))
	if v6 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: a, 15: b})
	}
	return netip.AddrFrom4([4]byte{10, 0, a, b})
}

func (w *World) prefix(v6 bool) netip.Prefix {
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

func (w *World) mac() packet.MAC {
	return packet.MAC{2, 0, 0, 0, byte(w.rng.IntN(2)), byte(w.rng.IntN(256))}
}

func (w *World) link(a, b *topology.Object) {
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
func (w *World) routerPort(s *topology.VPortSpec) {
	s.MAC = w.mac()
	w.macs = append(w.macs, s.MAC, s.MAC, s.MAC)
	s.Addresses = []netip.Prefix{netip.PrefixFrom(w.addr(false), 20+w.rng.IntN(13)), netip.PrefixFrom(w.addr(true), 108+w.rng.IntN(21))}
	if w.rng.IntN(3) == 0 {
		s.MTU = uint16(1280 + w.rng.IntN(200))
	}
	s.AdminDown = w.rng.IntN(40) == 0
}

// singleHosts gives a router exterior ports with one host each, all in one prefix.
func (w *World) singleHosts(r *topology.Object) {
	p4, p6, first := w.addr(false), w.addr(true), w.rng.IntN(28)
	for i := range 2 + w.rng.IntN(2) {
		s := &topology.VPortSpec{Device: device(r)}
		w.routerPort(s)
		s.SingleHost = true
		a4, a6 := p4.AsSlice(), p6.AsSlice()
		a4[3], a6[15] = byte(2+(first+9*i)%28), byte(2+(first+5*i)%28)
		x, _ := netip.AddrFromSlice(a4)
		y, _ := netip.AddrFromSlice(a6)
		s.Addresses = []netip.Prefix{netip.PrefixFrom(x, 27), netip.PrefixFrom(y, 123)}
		w.Ports = append(w.Ports, flow.VPortID(w.add(topology.KindVPort, s).Status.ID))
	}
}

// New draws a network: the same one for the same seed.
func New(seed uint64) *World {
	w := &World{rng: rand.New(rand.NewPCG(seed, 7)), flaws: rand.New(rand.NewPCG(seed, 8))}
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
			w.Ports = append(w.Ports, flow.VPortID(w.add(topology.KindVPort, s).Status.ID))
		}
		if w.rng.IntN(8) == 0 {
			w.singleHosts(r)
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
			w.Ports = append(w.Ports, flow.VPortID(w.add(topology.KindVPort, s).Status.ID))
		}
	}
	w.routes(routers)
	if w.rng.IntN(3) == 0 {
		w.chains()
	}
	w.Snap, _ = new(topology.Snapshot).With(topology.Changes{Put: w.objects})
	w.learn()
	return w
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
func (w *World) learn() {
	var c topology.Changes
	for b := range w.Snap.Bridges() {
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
	for r := range w.Snap.Routers() {
		for _, p := range r.Ports {
			for _, a := range allAddrs() {
				if w.rng.IntN(4) > 0 {
					c.Neighbours = append(c.Neighbours, topology.Neighbour{Port: p, Addr: a, MAC: w.mac(), State: topology.NeighbourOK})
				}
			}
		}
	}
	w.learnt = c
	w.Snap, _ = w.Snap.With(c)
}
