package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// icmpError originates an error about the packet, out of the port by which the router got it, to whoever sent it there (R3). The quote is of the packet as
// it entered the virtual network. That the packet may be answered is the builder's to check.
func (s *Simulator) icmpError(r *topology.Router, p *topology.VPort, h *hop, kind packet.ErrorKind, mtu uint32) {
	src := s.errorSource(r, p)
	if !src.IsValid() {
		return
	}
	n := len(s.res.arena)
	b, err := packet.AppendICMPError(s.res.arena, s.f, &packet.ICMPError{Kind: kind, MTU: mtu, Src: src, SrcMAC: p.MAC, DstMAC: h.src})
	if err != nil {
		return
	}
	if s.res.Trace != nil {
		s.res.Trace.add(s, h, "answers "+kind.String())
	}
	s.originate(s.built(b, n), p.ID, OriginError)
}

// errorSource returns the address that the router speaks from: the port's, or else another port's; link-local only if there is no other.
func (s *Simulator) errorSource(r *topology.Router, p *topology.VPort) netip.Addr {
	to := s.f.SrcAddr()
	a := p.AddrFor(to)
	if a.IsValid() && a != p.LinkLocal || to.IsLinkLocalUnicast() {
		return a
	}
	for _, id := range r.Ports {
		if v := s.snap.VPort(id); v != nil {
			if x := v.AddrFor(to); x.IsValid() && x != v.LinkLocal {
				return x
			}
		}
	}
	return a
}
