package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Probe simulates a packet that a router sends from an address of one of its ports: a probe of a monitor (N4). It leaves by the router's own routes; its
// Ethernet addresses are set. res has Originated, and effects of them, only.
func (s *Simulator) Probe(snap *topology.Snapshot, source flow.VPortID, frame []byte, res *Result) {
	s.ofRouter(snap, source, frame, OriginProbe, res)
}

// Speak is Probe of a packet of a routing protocol (G1): to a neighbour on the link of the port it leaves by that port, whatever the routes say.
func (s *Simulator) Speak(snap *topology.Snapshot, source flow.VPortID, frame []byte, res *Result) {
	s.ofRouter(snap, source, frame, OriginSpeaker, res)
}

func (s *Simulator) ofRouter(snap *topology.Snapshot, source flow.VPortID, frame []byte, kind OriginKind, res *Result) {
	s.begin(snap, &s.ofrm, 0, res)
	defer s.end()
	p := snap.VPort(source)
	res.arena = append(res.arena, frame...)
	if p == nil || p.Kind != topology.DeviceRouter || packet.Parse(res.arena, &s.ofrm) != nil {
		return
	}
	r := snap.Router(p.Device)
	s.current = origin{frame: s.built(res.arena, 0), out: source, kind: kind, depth: 1}
	s.origin, s.f, s.key = &s.current, &s.ofrm, flow.KeyOf(&s.ofrm, 0)
	w := way{out: p}
	next := s.f.DstAddr()
	if kind == OriginProbe || !p.OnLink(next) {
		m := s.lookup(r, r.Routes, &s.key, s.key.Is6())
		if s.choose(r.Routes, &m, &s.key, s.key.Is6(), &w); w.route == nil || w.hop.Kind != topology.RoutePort {
			return
		}
		if w.hop.Via.IsValid() {
			next = w.hop.Via
		}
	}
	s.leave(r, &w, next)
}

// leave sends the router's own packet out of a port, once the MAC of its next hop is known.
func (s *Simulator) leave(r *topology.Router, w *way, next netip.Addr) {
	h := hop{port: w.out.ID, src: w.out.MAC}
	mac, ok := s.resolve(r, w.out, &h, w, next)
	if !ok {
		s.pending = s.questions()
		s.simulateOriginated()
		return
	}
	copy(s.current.frame[0:6], mac[:])
	copy(s.current.frame[6:12], w.out.MAC[:])
	s.pending = append(s.pending[:0], origin{frame: s.current.frame, out: w.out.ID, kind: s.current.kind, depth: 1})
	s.simulateOriginated()
}

// questions are the pending packets that ask for a neighbour: nobody is told that a probe can't be sent.
func (s *Simulator) questions() []origin {
	keep := s.pending[:0]
	for _, o := range s.pending {
		if o.kind == OriginARP {
			keep = append(keep, o)
		}
	}
	return keep
}

// answersProbe hands a packet to an own address of a router to the monitors that probe from its port, if it is from a member of theirs.
func (s *Simulator) answersProbe(own flow.VPortID, h *hop) bool {
	pools := s.snap.Probed(own)
	s.dep(topology.VPortDep(own))
	if len(pools) == 0 || h.tuple != 0 || s.f.Proto != packet.ProtoTCP && !s.f.IsICMP() {
		return false
	}
	s.notInstallable("to an address that members are probed from")
	_, _, echo := packet.EchoReply(s.f)
	if s.f.Proto != packet.ProtoTCP && !echo {
		return false
	}
	found := false
	for _, id := range pools {
		p := s.snap.Pool(id)
		for i := range p.Members {
			if m := &p.Members[i]; m.Addr == s.key.Src && m.V6 == s.key.Is6() {
				s.effect(Effect{Kind: ProbeAnswer, Device: id})
				found = true
				break
			}
		}
	}
	if found {
		s.consume(h, "answer to a monitor")
	}
	return found
}
