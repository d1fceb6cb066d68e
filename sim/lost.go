package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Lost is something that is known to be out of reach: a destination, a neighbour or both. The zero value is nothing.
type Lost struct {
	Dest flow.Dest    // exterior vport that is bound nowhere, or whose edge is dead (E14). Copies of floods go to it as ever, unless it is the only member
	Port flow.VPortID // router port …
	Addr netip.Addr   // … where this neighbour was asked for in vain (R4). An entry with its MAC, if there is one by now, is believed
}

// unreachable ends a copy's walk at an exterior vport that is lost (E14). The last router that it passed tells the sender; a bridge tells nobody.
// The result holds until the vport is bound.
func (s *Simulator) unreachable(h *hop, dest *topology.VPort) {
	s.dep(topology.BindingDep(dest.ID))
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, s.portName(dest.ID)+" can not be reached: it is bound nowhere, or its edge is down")
	}
	p := s.snap.VPort(h.lastIn)
	if p == nil {
		s.drop(h, DropUnreachable, false)
		return
	}
	back := *h
	back.port, back.src = h.lastIn, h.lastSrc
	s.reject(s.snap.Router(p.Device), p, &back, DropUnreachable, packet.HostUnreachable)
}
