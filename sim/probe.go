package sim

import (
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Probe simulates a packet that a router sends from an address of one of its ports: a probe of a monitor (N4). It leaves by the router's own routes; its
// Ethernet addresses are set. res has Originated, and effects of them, only.
func (s *Simulator) Probe(snap *topology.Snapshot, source flow.VPortID, frame []byte, res *Result) {
	s.begin(snap, &s.ofrm, 0, res)
	defer s.end()
	p := snap.VPort(source)
	res.arena = append(res.arena, frame...)
	if p == nil || p.Kind != topology.DeviceRouter || packet.Parse(res.arena, &s.ofrm) != nil {
		return
	}
	r := snap.Router(p.Device)
	s.current = origin{frame: s.built(res.arena, 0), out: source, kind: OriginProbe, depth: 1}
	s.origin, s.f, s.key = &s.current, &s.ofrm, flow.KeyOf(&s.ofrm, 0)
	m := s.lookup(r, r.Routes, &s.key, s.key.Is6())
	var w way
	if s.choose(r.Routes, &m, &s.key, s.key.Is6(), &w); w.route == nil || w.hop.Kind != topology.RoutePort {
		return
	}
	out, next := w.out, w.hop.Via
	if !next.IsValid() {
		next = s.f.DstAddr()
	}
	h := hop{port: out.ID, src: out.MAC}
	mac, ok := s.resolve(r, out, &h, &w, next)
	if !ok {
		s.pending = s.questions()
		s.simulateOriginated()
		return
	}
	copy(s.current.frame[0:6], mac[:])
	copy(s.current.frame[6:12], out.MAC[:])
	s.pending = append(s.pending[:0], origin{frame: s.current.frame, out: out.ID, kind: OriginProbe, depth: 1})
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
