package randnet

import (
	"net/netip"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

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
		spec.Routes = w.table(ports, 4+w.rng.IntN(14))
		if w.rng.IntN(3) == 0 {
			spec.Tables = []topology.TableSpec{{Name: "a", Routes: w.table(ports, 3)}}
			for range 1 + w.rng.IntN(4) {
				spec.Policies = append(spec.Policies, w.policy(ports))
			}
		}
	}
}

// table draws up to n routes through some ports.
func (w *World) table(ports []string, n int) (routes []topology.RouteSpec) {
	for range n {
		v6 := w.rng.IntN(2) == 0
		s := topology.RouteSpec{Dst: w.prefix(v6), Weight: uint8(w.rng.IntN(3))}
		if w.rng.IntN(5) == 0 {
			s.Src = w.prefix(v6)
		}
		if n := len(routes); n > 0 && w.rng.IntN(4) == 0 { // an equal route
			s.Dst, s.Src = routes[n-1].Dst, routes[n-1].Src
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
		routes = append(routes, s)
	}
	return routes
}

// policy draws a policy with one or two conditions.
func (w *World) policy(ports []string) topology.PolicySpec {
	p := topology.PolicySpec{Priority: uint32(w.rng.IntN(3)), Action: []string{"main", "table", "table", "reroute", "reroute", "drop", "reject"}[w.rng.IntN(7)]}
	for range 1 + w.rng.IntN(2) {
		side := &p.Match
		if w.rng.IntN(4) == 0 {
			side = &p.Not
		}
		switch first := uint16(w.rng.Uint32()); w.rng.IntN(5) {
		case 0:
			side.Src = append(side.Src, topology.AddrSpec{Prefix: w.prefix(w.rng.IntN(2) == 0)})
		case 1:
			side.Dst = append(side.Dst, topology.AddrSpec{Prefix: w.prefix(w.rng.IntN(2) == 0)})
		case 2:
			p.Match.Protocols = []topology.Protocol{packet.ProtoTCP, packet.ProtoUDP}
			side.DstPorts = append(side.DstPorts, topology.PortRange{First: first, Last: max(first, first+uint16(w.rng.IntN(30000)))})
		case 3:
			side.Marks = append(side.Marks, uint32(w.rng.IntN(3)))
		default:
			if len(ports) > 0 {
				side.InPorts = append(side.InPorts, ports[w.rng.IntN(len(ports))])
			}
		}
	}
	switch {
	case p.Action == "table":
		p.Table = "a"
	case p.Action == "reroute" && len(ports) == 0:
		p.Action = "main"
	case p.Action == "reroute":
		for _, v6 := range []bool{false, true, w.rng.IntN(2) == 0} {
			n := topology.NextHopSpec{Port: ports[w.rng.IntN(len(ports))], Via: w.addr(v6)}
			if via := w.peerAddr(n.Port, v6); via.IsValid() {
				n.Via = via
			}
			p.NextHops = append(p.NextHops, n)
		}
	}
	return p
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
