package sim

import (
	"slices"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/topology"
)

// floodStep is a bridge that a flood reaches, and the port by which it does.
type floodStep struct {
	bridge *topology.Bridge
	in     *topology.VPort
	mark   uint32
	links  flow.LinkSet // as hop.links
	apart  bool         // behind a chain, or a link with a rate: its members are not the group's
}

// apart is a member that gets a copy of its own, since a chain said so of that copy, or since that takes from the rate of a link.
type apart struct {
	port  flow.VPortID
	mark  uint32
	links flow.LinkSet
}

// floodFrom sends a copy to all ports of the bridge but the one that it came in by, over linked bridges too (B1, E10). Exterior members get it as one
// group; routers are simulated. An unknown unicast may be known, or not wanted, at a linked bridge: then members are told apart.
func (s *Simulator) floodFrom(b *topology.Bridge, p *topology.VPort, h *hop, unknown bool) {
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "floods "+h.dst.String())
	}
	s.flood = append(s.flood[:0], floodStep{bridge: b, in: p, mark: h.mark, links: h.links})
	s.members, s.apart, s.routers, s.missing = s.members[:0], s.apart[:0], s.routers[:0], false
	whole := true
	for i := 0; i < len(s.flood); i++ {
		whole = s.floodBridge(i, h, unknown) && whole
	}
	sent := s.floodMembers(b, p, h, whole)
	for _, m := range s.apart {
		copied := *h
		copied.links = m.links
		s.deliver(&copied, m.port.Dest())
		sent = true
	}
	for _, r := range s.routers {
		s.work = append(s.work, r)
		sent = true
	}
	if !sent && !s.missing {
		s.drop(h, DropNoMembers, false)
	}
}

// floodBridge finds the members at step i and the bridges behind it. It reports whether all ports get a copy.
func (s *Simulator) floodBridge(i int, h *hop, unknown bool) bool {
	b, in := s.flood[i].bridge, s.flood[i].in
	s.dep(topology.GroupDep(b.ID))
	if i > 0 {
		s.learn(b, in, h)
		if unknown {
			s.dep(topology.DeviceDep(b.ID))
			if at := s.station(b, h.dst); at != nil {
				if at.ID != in.ID && !s.nested(at.ID) {
					s.floodPort(i, at.ID, h)
				}
				return false
			}
			if b.DropUnknown {
				return false
			}
		}
	}
	whole := true
	for _, id := range b.Ports {
		switch {
		case id == in.ID:
		case s.nested(id):
			whole = false
		default:
			s.floodPort(i, id, h)
		}
	}
	return whole
}

// nested reports whether the packet would go round in the VPN behind a port: it came in by that one's public port.
func (s *Simulator) nested(id flow.VPortID) bool {
	v := s.snap.VPort(id)
	if v == nil || v.NotFrom == 0 || v.NotFrom != s.ingress {
		return false
	}
	s.dep(topology.VPortDep(id))
	return true
}

// floodPort sends the copy of step i out of a port.
func (s *Simulator) floodPort(i int, id flow.VPortID, h *hop) {
	v, step := s.snap.VPort(id), s.flood[i]
	if v == nil || v.AdminDown {
		return
	}
	filtered := filtersOut(step.bridge.Filters, v)
	copied := *h
	copied.mark, copied.links = step.mark, step.links
	if filtered {
		s.dep(topology.VPortDep(id))
		if s.filterCopy(func() verdict { return s.filterOut(step.bridge.Filters, step.in, v, &copied) }) == refused {
			return
		}
	}
	switch {
	case v.Exterior && (filtered || step.apart):
		s.apart = append(s.apart, apart{id, copied.mark, copied.links})
		return
	case v.Exterior:
		s.members = append(s.members, id)
		return
	}
	s.dep(topology.VPortDep(id))
	if d := s.snap.Missing(v); d != 0 {
		s.load(h, d)
		s.missing = true
		return
	}
	peer := s.vport(v.Peer)
	if peer == nil || peer.AdminDown {
		return
	}
	if peer.Kind == topology.DeviceBridge {
		x := s.snap.Bridge(peer.Device)
		if x == nil || slices.ContainsFunc(s.flood, func(f floodStep) bool { return f.bridge == x }) {
			return
		}
		s.cross(peer.ID, &copied)
		behind := step.apart || filtered || topology.FiltersIn(x.Filters, peer) || s.snap.LinkRate(peer.ID) != 0
		if s.filterCopy(func() verdict { return s.filterIn(x.Filters, peer, &copied) }) == pass {
			s.flood = append(s.flood, floodStep{x, peer, copied.mark, copied.links, behind})
		}
		return
	}
	r := copied
	r.port, r.branch = v.Peer, true
	s.cross(v.Peer, &r)
	s.routers = append(s.routers, r)
}

// floodMembers delivers to exterior members. A group's copy to the ingress vport is pruned, so if the frame came back to its bridge through a router, that
// vport gets a copy of its own.
func (s *Simulator) floodMembers(b *topology.Bridge, p *topology.VPort, h *hop, whole bool) bool {
	if len(s.members) == 0 {
		return false
	}
	if !whole {
		if only := s.members[0]; len(s.members) == 1 && s.origin == nil && s.lost.Dest == only.Dest() {
			s.unreachable(h, s.snap.VPort(only)) // known at a linked bridge
			return true
		}
		for _, m := range s.members {
			s.deliver(h, m.Dest())
		}
		return true
	}
	back := s.origin == nil && p.ID != s.ingress && slices.Contains(s.members, s.ingress)
	if back {
		s.deliver(h, s.ingress.Dest())
	}
	if !back || len(s.members) > 1 {
		s.deliver(h, b.Group())
	}
	return true
}
