package randnet

import (
	"math/rand/v2"
	"net/netip"
	"strconv"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// World is a random network: bridges, some linked, routers in a tree, hosts, uplinks, routes, neighbours and, in every other, chains of rules, from few
// addresses, so that they collide.
// Not safe for concurrent use.
type World struct {
	Snap  *topology.Snapshot
	Ports []flow.VPortID // exterior

	rng     *rand.Rand
	objects []*topology.Object
	macs    []packet.MAC // known somewhere
	learnt  topology.Changes
	next    uint32
}

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
}

// New draws a network: the same one for the same seed.
func New(seed uint64) *World {
	w := &World{rng: rand.New(rand.NewPCG(seed, 7))}
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
	if w.rng.IntN(2) == 0 {
		w.chains()
	}
	w.Snap, _ = new(topology.Snapshot).With(topology.Changes{Put: w.objects})
	w.learn()
	return w
}

// routes gives routers random routes through their ports.
func (w *World) routes(routers []*topology.Object) {
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
			if n := len(spec.Routes); n > 0 && w.rng.IntN(4) == 0 { // an equal route
				s.Dst, s.Src = spec.Routes[n-1].Dst, spec.Routes[n-1].Src
				v6 = s.Dst.Addr().Is6()
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
func (w *World) peerAddr(port string, v6 bool) netip.Addr {
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
