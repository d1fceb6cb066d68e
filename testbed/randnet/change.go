package randnet

import (
	"net/netip"
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// Change draws a change of one thing of the network.
func (w *World) Change() topology.Changes {
	objects := func(k topology.Kind) []*topology.Object {
		var of []*topology.Object
		for _, o := range w.objects {
			if o.Kind == k {
				of = append(of, o)
			}
		}
		return of
	}
	pick := func(k topology.Kind) *topology.Object {
		of := objects(k)
		o := *of[w.rng.IntN(len(of))]
		return &o
	}
	if w.translates && w.flaws.IntN(8) == 0 {
		return topology.Changes{Put: []*topology.Object{w.changeGlobal()}}
	}
	v6 := w.rng.IntN(2) == 0
	if len(objects(topology.KindChain)) > 0 && w.rng.IntN(4) == 0 {
		return topology.Changes{Put: []*topology.Object{w.changeChain()}}
	}
	switch w.rng.IntN(8) {
	case 0, 1:
		b := w.Snap.Bridge(topology.DeviceID(pick(topology.KindBridge).Status.ID))
		e := topology.FDBEntry{Bridge: b.ID, MAC: w.macs[w.rng.IntN(len(w.macs))]}
		if len(b.Ports) > 0 && w.rng.IntN(3) > 0 {
			e.Port = b.Ports[w.rng.IntN(len(b.Ports))]
		}
		return topology.Changes{FDB: []topology.FDBEntry{e}}
	case 2:
		return topology.Changes{BridgeNeighbours: []topology.BridgeNeighbour{{Bridge: topology.DeviceID(pick(topology.KindBridge).Status.ID), Addr: w.addr(v6), MAC: w.macs[w.rng.IntN(len(w.macs))]}}}
	case 3:
		p := flow.VPortID(pick(topology.KindVPort).Status.ID)
		return topology.Changes{Neighbours: []topology.Neighbour{{Port: p, Addr: w.addr(v6), MAC: w.mac(), State: topology.NeighbourState(w.rng.IntN(3))}}}
	case 4:
		o := pick(topology.KindVPort)
		s := *o.Spec.(*topology.VPortSpec)
		s.AdminDown = !s.AdminDown
		o.Spec = &s
		return topology.Changes{Put: []*topology.Object{o}}
	case 5:
		o := pick(topology.KindVPort)
		s := *o.Spec.(*topology.VPortSpec)
		if w.Snap.VPort(flow.VPortID(o.Status.ID)).Kind == topology.DeviceRouter {
			s.MAC, s.MTU = w.mac(), uint16(1280+w.rng.IntN(200))
			s.Addresses = []netip.Prefix{netip.PrefixFrom(w.addr(false), 24), netip.PrefixFrom(w.addr(true), 120)}
			s.SingleHost = s.SingleHost && w.rng.IntN(2) == 0
		}
		o.Spec = &s
		return topology.Changes{Put: []*topology.Object{o}}
	case 6:
		o := pick(topology.KindBridge)
		s := *o.Spec.(*topology.BridgeSpec)
		s.UnknownUnicast = map[string]string{"drop": "flood", "flood": "drop"}[s.UnknownUnicast]
		o.Spec = &s
		return topology.Changes{Put: []*topology.Object{o}}
	}
	o := pick(topology.KindRouter)
	s := *o.Spec.(*topology.RouterSpec)
	if n := len(s.Policies); n > 0 && w.rng.IntN(4) == 0 {
		if s.Policies = slices.Clone(s.Policies[:n-1]); w.rng.IntN(2) == 0 {
			s.Policies = append(s.Policies, topology.PolicySpec{Match: topology.MatchSpec{Src: []topology.AddrSpec{{Prefix: w.prefix(v6)}}}, Action: "drop"})
		}
		o.Spec = &s
		return topology.Changes{Put: []*topology.Object{o}}
	}
	if n := len(s.Routes); n > 0 && w.rng.IntN(2) == 0 {
		s.Routes = slices.Delete(slices.Clone(s.Routes), n-1, n)
	} else {
		s.Routes = append(slices.Clone(s.Routes), topology.RouteSpec{Dst: w.prefix(v6), Kind: []string{"reject", "blackhole"}[w.rng.IntN(2)]})
	}
	o.Spec = &s
	return topology.Changes{Put: []*topology.Object{o}}
}

// Apply makes a change, and returns what changed.
func (w *World) Apply(c topology.Changes) []topology.Dep {
	next, deps := w.Snap.With(c)
	w.Snap = next
	for _, o := range c.Put {
		w.objects[slices.IndexFunc(w.objects, func(p *topology.Object) bool { return p.Ref() == o.Ref() })] = o
	}
	return deps
}
