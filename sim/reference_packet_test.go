package sim

import (
	"net/netip"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
)

// sent is a packet on its way.
type sent struct {
	in       flow.VPortID
	from, to packet.MAC
	src, dst netip.Addr
	ttl      int
	len      int
	df       bool
	proto    uint8
	sport    uint16
	dport    uint16
	hasPorts bool
	devices  int
	mark     uint32
	steps    []conntrack.Step // that were drawn for its connection: the model does not draw, it tells which it allows
	taken    int              // of them, in the order of the devices on the way
}

// end is what becomes of a packet. Comparable.
type end struct {
	verdict  Verdict
	drop     DropReason
	reject   bool
	out      flow.VPortID
	from, to packet.MAC
	ttl      int
	src, dst netip.Addr
	sport    uint16
	dport    uint16
}

func dropped(why DropReason) []end  { return []end{{verdict: Drop, drop: why}} }
func rejected(why DropReason) []end { return []end{{verdict: Drop, drop: why, reject: true}} }

// sentOf is a packet as the model sees it.
func sentOf(f *packet.Frame, in flow.VPortID) sent {
	s := sent{
		in: in, from: f.Src(), to: f.Dst(), ttl: int(f.TTL()), len: f.IPLen(), df: f.DontFragment(), proto: f.Proto, sport: f.SrcPort, dport: f.DstPort,
		hasPorts: f.L3 != 0 && f.Proto != 99 && f.Frag != packet.FragLater,
	}
	if f.L3 != 0 {
		s.src, s.dst = f.SrcAddr(), f.DstAddr()
	}
	return s
}

// endOf is the first outcome of a result in the model's words.
func endOf(r *Result, s *sent) end {
	o := r.Outcomes[0]
	e := end{verdict: o.Verdict, drop: o.Drop, reject: o.Reject}
	if o.Verdict != Forward {
		return e
	}
	e.out, e.from, e.to, e.ttl, e.src, e.dst, e.sport, e.dport = flow.VPortID(o.Dest), s.from, s.to, s.ttl-int(o.Rewrite.TTLDec), s.src, s.dst, s.sport, s.dport
	if w := &o.Rewrite; w.SetMACs {
		e.from, e.to = w.SrcMAC, w.DstMAC
	}
	if w := &o.Rewrite; w.Translate {
		et := uint16(packet.EtherTypeIPv4)
		if s.src.Is6() {
			et = packet.EtherTypeIPv6
		}
		e.src, e.dst, e.sport, e.dport = w.Src.Netip(et), w.Dst.Netip(et), w.SrcPort, w.DstPort
	}
	return e
}
